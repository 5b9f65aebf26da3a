"""Time weight-agnostic networks: on samples, through a generation, and in environments; one core.

    python benchmarks/weight_agnostic.py champion.json ... --json rows.json
    python benchmarks/weight_agnostic.py --data_dir DIR

Given network files (also ``.out`` files), prints for each the milliseconds of one forward pass over 6 shared weights ×
1000 samples, and of the same with losses and accuracies. Without any, does so for random networks of 256 inputs, and
goes on with a generation of 960 networks on MNIST at the start of a run (if there is --data_dir), CartPoleSwingUp, and
CartPole-v1 of Gymnasium beside a bare loop over its vector environment with random actions. All times are the fastest
of several repeats. Beside them stands what the published programs need on one core of an AMD EPYC (Zen 5), and how
many times as fast this is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import topoevo
from topoevo.activations import ACTIVATIONS
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import load_params
from topoevo.experiment.workers import Workers
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.kernels import Batches, Loss, load_kernel
from topoevo.network import Network, compile_network
from topoevo.rollouts import Episodes, prepare, roll_out
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.environments.find import find_environment
from topoevo.variation import MUTATIONS

SHARED_WEIGHTS = np.array([-2, -1, -0.5, 0.5, 1, 2], np.float32)
NUM_SAMPLES = 1000
MNIST_PARAMS = Path(__file__).parents[1] / "params" / "wann" / "mnist.yaml"

#: Milliseconds of a forward pass by connections, jrieke/evolution-learning.
PUBLISHED_FORWARD_MS = {138: 3.4, 300: 14.0, 1500: 191.0}
#: CartPoleSwingUp with a network: steps a second by connections, jrieke/evolution-learning.
PUBLISHED_STEPS = {1: 98e3, 18: 22e3, 53: 5.9e3}
#: prettyNeatWann: a generation of 960 on MNIST, and one individual of 6 × 3 episodes in CartPoleSwingUp.
PUBLISHED_GENERATION_SECONDS = 20.0
PUBLISHED_INDIVIDUAL_MS = 181.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", type=Path, help="network files; random networks if there are none")
    parser.add_argument("--data_dir", help="folder with the files of MNIST; without it no generation is measured")
    parser.add_argument("--num_generations", type=int, default=5, help="generations on MNIST that are measured")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path, help="file for the rows")
    given = parser.parse_args()
    load_kernel("numba").prepare("shared_weight_scores")
    if given.networks:
        rows = forward_rows([(str(file), topoevo.load_network(file).network) for file in given.networks], given.repeats)
    else:
        random = [(f"random-{size}", compile_network(random_genome(256, 10, size))) for size in PUBLISHED_FORWARD_MS]
        rows = forward_rows(random, given.repeats)
        if given.data_dir:
            rows += generation_rows(given.data_dir, given.num_generations)
        rows += swing_up_rows(given.repeats) + gymnasium_rows(given.repeats)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def forward_rows(networks: list[tuple[str, Network]], repeats: int) -> list[dict[str, Any]]:
    """Milliseconds of 6 weights × 1000 samples."""
    print(f"6 shared weights x {NUM_SAMPLES} samples; published: jrieke/evolution-learning")
    print(f"{'network':<28}{'edges':>7}{'nodes':>7}{'forward ms':>12}{'scores ms':>11}{'published ms':>14}{'ratio':>9}")
    kernel = load_kernel("numba")
    rng = np.random.default_rng(0)
    rows = []
    for name, network in networks:
        batches = Batches.lay_out(
            rng.random((NUM_SAMPLES, network.num_inputs), np.float32),
            rng.integers(network.num_outputs, size=NUM_SAMPLES, dtype=np.int32),
            batch_size=NUM_SAMPLES,
        )
        seconds = fastest(lambda n=network, b=batches: kernel.shared_weight_outputs(n, SHARED_WEIGHTS, b), repeats)
        scoring = fastest(
            lambda n=network, b=batches: kernel.shared_weight_scores(n, SHARED_WEIGHTS, b, Loss.CROSS_ENTROPY), repeats
        )
        connections = int(np.count_nonzero(~network.from_bias))
        published = near(connections, PUBLISHED_FORWARD_MS) if network.num_inputs == 256 else None
        rows.append(
            {
                "section": "forward",
                "network": name,
                "connections": connections,
                "nodes": network.num_nodes,
                "forward_ms": 1e3 * seconds,
                "scores_ms": 1e3 * scoring,
                "published_ms": published,
            }
        )
        print(
            f"{name:<28}{network.num_edges:>7}{network.num_nodes:>7}{1e3 * seconds:>12.3f}{1e3 * scoring:>11.3f}"
            + ("" if published is None else f"{published:>14.1f}{published / (1e3 * seconds):>8.0f}x"),
            flush=True,
        )
    return rows


def generation_rows(data_dir: str, num_generations: int) -> list[dict[str, Any]]:
    """Seconds of the first generations of a run with the published settings."""
    settings = {"data_dir": data_dir, "num_generations": num_generations, "num_workers": 1, "test_every": 10**6}
    params = load_params(MNIST_PARAMS, settings, family="wann")
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params) as workers:
        records = [experiment.step(workers) for _ in range(num_generations)]
    print(f"\na generation of {params.population_size} on MNIST, seconds; published (prettyNeatWann): 20")
    print(
        f"{'generation':<12}{'evaluation':>12}{'ranking':>12}{'confirmation':>14}{'reproduction':>14}{'all':>9}{'ratio':>9}"
    )
    rows = []
    for generation, record in enumerate(records):
        seconds = dict(record.seconds)
        stages = [seconds[name] for name in ("evaluation", "ranking", "confirmation", "reproduction")]
        whole = sum(stages)
        rows.append({"section": "generation", "network": f"generation-{generation}", "seconds": whole, **seconds})
        print(
            f"{generation:<12}{stages[0]:>12.3f}{stages[1]:>12.3f}{stages[2]:>14.3f}{stages[3]:>14.3f}{whole:>9.3f}"
            f"{PUBLISHED_GENERATION_SECONDS / whole:>8.0f}x"
        )
    return rows


def swing_up_rows(repeats: int) -> list[dict[str, Any]]:
    """Steps a second in CartPoleSwingUp, and milliseconds of one individual of 6 × 3 episodes."""
    environment = find_environment("CartPoleSwingUp", take_argmax_action=None, options={})
    prepare(environment)
    print("\nCartPoleSwingUp; published: jrieke/evolution-learning (steps/s), prettyNeatWann (one individual)")
    print(f"{'network':<28}{'connections':>12}{'steps/s':>14}{'published':>12}{'ratio':>9}{'6 x 3 ms':>11}{'ratio':>9}")
    rows = []
    for size, published in PUBLISHED_STEPS.items():
        network = compile_network(random_genome(5, 1, size))
        connections = int(np.count_nonzero(~network.from_bias))
        speed = steps_per_second(environment, network, SHARED_WEIGHTS, range(100), repeats)
        individual = fastest(lambda n=network: roll_out(environment, n, SHARED_WEIGHTS, range(3)), repeats)
        rows.append(
            {
                "section": "swing_up",
                "network": f"random-{size}",
                "connections": connections,
                "steps_per_second": speed,
                "individual_ms": 1e3 * individual,
            }
        )
        print(
            f"{f'random-{size}':<28}{connections:>12}{speed:>14,.0f}{published:>12,.0f}{speed / published:>8.0f}x"
            f"{1e3 * individual:>11.3f}{PUBLISHED_INDIVIDUAL_MS / (1e3 * individual):>8.0f}x",
            flush=True,
        )
    return rows


def gymnasium_rows(repeats: int) -> list[dict[str, Any]]:
    """Steps a second of Gymnasium's CartPole-v1 with a network, and of a bare loop with random actions."""
    environment = find_environment("CartPole-v1", take_argmax_action=None, options={})
    network, weights, seeds = compile_network(balancing_genome()), np.abs(SHARED_WEIGHTS), range(20)
    num_lanes = len(weights) * len(seeds)
    found: list[tuple[float, float]] = []
    # In turns, so that both meet the same machine.
    for _ in range(max(3, repeats // 10)):
        speed = steps_per_second(environment, network, weights, seeds, 1)
        found.append((speed, bare_steps_per_second(num_lanes)))
    speed, bare = np.max(found, axis=0)
    print(f"\nCartPole-v1 of Gymnasium, {num_lanes} lanes, steps/s")
    print(f"with a network {speed:,.0f}, bare loop with random actions {bare:,.0f}, ratio {speed / bare:.2f}")
    return [
        {
            "section": "gymnasium",
            "network": "balancing",
            "steps_per_second": float(speed),
            "bare_steps_per_second": float(bare),
        }
    ]


def bare_steps_per_second(num_lanes: int, num_steps: int = 500) -> float:
    """Steps a second of a loop that does nothing but draw actions and step."""
    import gymnasium

    environments = gymnasium.make_vec("CartPole-v1", num_envs=num_lanes)
    started = time.perf_counter()
    environments.reset(seed=0)
    for _ in range(num_steps):
        environments.step(environments.action_space.sample())
    seconds = time.perf_counter() - started
    environments.close()
    return num_lanes * num_steps / seconds


def steps_per_second(
    environment: Environment, network: Network, weights: np.ndarray, seeds: range, repeats: int
) -> float:
    """Steps that are part of an episode, a second."""
    episodes: list[Episodes] = []
    seconds = fastest(lambda: episodes.append(roll_out(environment, network, weights, seeds)), repeats)
    return float(episodes[0].steps.sum() / seconds)


def random_genome(num_inputs: int, num_outputs: int, num_connections: int) -> Genome:
    """A genome mutated as published, with all ten activations, until it has the size."""
    rng, tracker = np.random.default_rng(0), InnovationTracker()
    start = max(1, num_connections // 2)
    genome = minimal_genome(
        num_inputs, num_outputs, p_enabled=0.5, tracker=tracker, rng=rng, bias=True, max_connections=start
    )
    names = tuple(ACTIVATIONS)
    mutations = (
        MUTATIONS["change_activation"](activations=names),
        MUTATIONS["add_node"](activations=names),
        MUTATIONS["add_connection"](output_connections=True),
    )
    while genome.complexity.connections < num_connections:
        genome = mutations[rng.choice(3, p=(0.5, 0.25, 0.25))](genome, tracker, rng) or genome
    return genome


def balancing_genome() -> Genome:
    """A genome that keeps the pole of CartPole-v1 up for long: pushes right where angle + angular velocity > 0."""
    rng, tracker = np.random.default_rng(0), InnovationTracker()
    genome = minimal_genome(4, 2, p_enabled=0.0, tracker=tracker, rng=rng, max_connections=1)
    for innovation in genome.connections["innovation"]:
        genome = genome.without_connection(int(innovation))
    for source in (2, 3):
        genome = genome.connect(source, 5, tracker=tracker)
    return genome


def near(number: int, table: dict[int, float]) -> float | None:
    """The entry for a number at most a tenth away."""
    return next((value for key, value in table.items() if abs(number - key) <= 0.1 * key), None)


def fastest(work: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest repeat; the first call is not counted."""
    work()
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    main()
