"""Time one epoch of training of given networks, next to the machine's matrix product.

    python benchmarks/training.py champion.json ... --dataset mnist --data_dir DIR --rules backprop last_layer

Prints seconds per epoch (the fastest of several repeats), billions of floating-point operations per second (two for
every multiply-add that the rule needs: one per edge and sample forward, two for backward), and in the same run what
one core reaches on a dense single-precision matrix product. Then, for each network, the part of a whole evaluation by
the first of the rules that passes outside the backend's loop. Without network files, random networks of 201 to 10,000
connections and fully connected ones are made.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from threadpoolctl import threadpool_limits

from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.shared_data import TaskData
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.genome.dense import dense_genome
from topoevo.kernels import Batches, Kernel, Loss, load_kernel
from topoevo.learning import LEARNING_RULES, OPTIMIZERS, LearningRule
from topoevo.learning.initialization import initial_weights
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network, compile_network
from topoevo.reporting.network_file import read_network
from topoevo.seeds import Stream
from topoevo.tasks.base import DataSettings, load_task
from topoevo.variation import MUTATIONS

#: With the learning rate of hidden connections that Hebbian learning has by default, a random network of 10,000
#: connections does not get through an epoch; the rate does not change the time.
HEBBIAN_RATE = 0.001


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", type=Path, help="network files; random networks if there are none")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data_dir")
    parser.add_argument("--rules", nargs="+", default=list(LEARNING_RULES), choices=list(LEARNING_RULES))
    parser.add_argument("--optimizer", default="adam", choices=list(OPTIMIZERS))
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--hebbian_rate", type=float, default=HEBBIAN_RATE)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--num_workers", type=int, default=1, help="threads that train at the same time")
    parser.add_argument(
        "--evaluation_epochs", type=int, default=5, help="epochs of a whole evaluation; 0 measures none"
    )
    parser.add_argument("--json", type=Path, help="file for the rows")
    given = parser.parse_args()
    task = load_task(DataSettings(given.dataset, data_dir=given.data_dir), lambda text: print(text, file=sys.stderr))
    loss = Loss.CROSS_ENTROPY if task.loss == "cross_entropy" else Loss.MEAN_SQUARED_ERROR
    batches = Batches.lay_out(task.train.inputs, task.train.targets, batch_size=given.batch_size)
    epochs = np.tile(np.arange(batches.num_batches, dtype=np.int32), (given.epochs, 1))
    kernel = load_kernel("numba")
    for loop in kernel.LOOPS:
        kernel.prepare(loop)

    rows: list[dict[str, Any]] = []
    print(
        f"{batches.num_samples} samples in minibatches of {given.batch_size}, {given.optimizer} with learning rate"
        f" {given.lr:g}, Hebbian rate {given.hebbian_rate:g}, threads: {given.num_workers}"
    )
    print(f"{'network':<28}{'rule':<20}{'edges':>7}{'nodes':>7}{'ms/epoch':>10}{'GF/s':>8}{'sgemm GF/s':>12}")
    genomes = networks(given.networks, task.num_inputs, task.num_outputs)
    for name, genome in genomes:
        network = compile_network(genome)
        for rule_name in given.rules:
            rule = make_rule(rule_name, given.hebbian_rate)

            def train(name: str = name, rule: LearningRule = rule, network: Network = network) -> None:
                rng = np.random.default_rng(0)
                weights = initial_weights(network, "he", rng)
                optimization = make_optimization(given.optimizer, lr=given.lr)
                learner = rule.start(network, weights, kernel=kernel, optimization=optimization, loss=loss, rng=rng)
                history = learner.train(batches, epochs)
                if history.diverged or not np.isfinite(learner.weights).all():
                    stop(f"{name}, {rule.name}: the loss became infinite, so that the time is that of a part")

            seconds = fastest(train, given.repeats, given.num_workers) / given.epochs
            operations = 2 * multiply_adds(network, rule) * batches.num_samples * given.num_workers
            row = {
                "network": name,
                "rule": rule_name,
                "edges": network.num_edges,
                "nodes": network.num_nodes,
                "num_workers": given.num_workers,
                "seconds_per_epoch": seconds,
                "gflops": operations / seconds / 1e9,
                "sgemm_gflops": sgemm_gflops(),
            }
            rows.append(row)
            print(
                f"{name:<28}{rule_name:<20}{row['edges']:>7}{row['nodes']:>7}{1e3 * seconds:>10.2f}"
                f"{row['gflops']:>8.1f}{row['sgemm_gflops']:>12.1f}",
                flush=True,
            )
    if given.evaluation_epochs:
        data = TaskData(task, given.batch_size, given.evaluation_epochs, 1000, 0)
        rule = make_rule(given.rules[0], given.hebbian_rate)
        print(f"\nwhole evaluations, {given.evaluation_epochs} epochs of {rule.name}, without laying the samples out")
        print(f"{'network':<28}{'ms':>10}{'outside of the loop':>22}")
        for name, genome in genomes:
            seconds, share = share_outside(genome, rule, given.optimizer, given.lr, loss, data, given.repeats)
            print(f"{name:<28}{1e3 * seconds:>10.2f}{share:>22.2%}", flush=True)
            for row in rows:
                if (row["network"], row["rule"]) == (name, rule.name):
                    row["share_outside_loop"] = share
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def make_rule(name: str, hebbian_rate: float) -> LearningRule:
    """A rule with its default options, but for the rate that decides whether Hebbian learning diverges."""
    return LEARNING_RULES[name](**({"rate": hebbian_rate} if name == "hebbian" else {}))


def stop(reason: str) -> NoReturn:
    """End the benchmark; what it would print is not what it is about."""
    raise SystemExit(f"error: {reason}; try a smaller --lr or --hebbian_rate")


class TimedKernel:
    """A backend that adds up the seconds in its loops."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kernel, name)
        if name not in Kernel.LOOPS:
            return found

        def timed(*arguments: Any, **keywords: Any) -> Any:
            started = time.perf_counter()
            try:
                return found(*arguments, **keywords)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


class TimedEvaluator(DatasetEvaluator):
    """An evaluator whose backend is a `TimedKernel`."""

    @cached_property
    def kernel(self) -> Any:
        """The backend."""
        return TimedKernel(load_kernel(self.kernel_name))


def share_outside(
    genome: Genome, rule: LearningRule, optimizer: str, lr: float, loss: Loss, data: TaskData, repeats: int
) -> tuple[float, float]:
    """Seconds of an evaluation, and the part outside the loop (development, weights, scores), each at its fastest."""
    evaluator = TimedEvaluator(
        rule=rule,
        optimization=make_optimization(optimizer, lr=lr),
        kernel_name="numba",
        loss=loss,
        weight_init="he",
        evaluation_period="integral",
        num_trials=1,
        seed=0,
        feedback_seed=0,
    )
    shared = data.shared(Stream.SHARED, 0)
    # Done once for all networks of a generation.
    _ = shared.batches
    wholes, rests = [], []
    for _ in range(repeats):
        evaluator.kernel.seconds = 0.0
        started = time.perf_counter()
        evaluation = evaluator.evaluate(genome, shared, stream=Stream.LEARNING, generation=0, index=0)
        seconds = time.perf_counter() - started
        if evaluation.failure is not None:
            stop(evaluation.failure.strip())
        wholes.append(seconds)
        rests.append(seconds - evaluator.kernel.seconds)
    return min(wholes), min(rests) / min(wholes)


def networks(files: list[Path], num_inputs: int, num_outputs: int) -> list[tuple[str, Genome]]:
    """Names and genomes of what is measured."""
    if files:
        return [(file.stem, read_network(file).genome) for file in files]
    random = [(f"random-{size}", random_genome(num_inputs, num_outputs, size)) for size in (201, 301, 1201, 10_000)]
    dense = [
        (f"dense-{num_inputs}-{hidden}-{num_outputs}", dense_genome(num_inputs, [hidden], num_outputs))
        for hidden in (20, 500)
    ]
    return random + dense


def random_genome(num_inputs: int, num_outputs: int, num_connections: int) -> Genome:
    """A genome mutated as by the published settings until it has the size."""
    rng, tracker = np.random.default_rng(0), InnovationTracker()
    genome = minimal_genome(num_inputs, num_outputs, p_enabled=0.05, tracker=tracker, rng=rng)
    add_node, add_connection = MUTATIONS["add_node"](), MUTATIONS["add_connection"]()
    for _ in range(rng.binomial(genome.complexity.connections, 0.5)):
        genome = add_node(genome, tracker, rng) or genome
    while genome.complexity.connections < num_connections:
        genome = (add_node if rng.random() < 0.2 else add_connection)(genome, tracker, rng) or genome
    return genome


def multiply_adds(network: Network, rule: Any) -> int:
    """Multiply-adds per sample that the rule needs; random numbers and weight updates are not counted.

    One per edge for each network that is computed, one for every error that is passed on, one per edge that follows
    errors, two per edge that follows activities.
    """
    num_tried = {"train_by_perturbations": "num_candidates", "train_by_proposals": "num_proposals"}
    if rule.loop in num_tried:
        return network.num_edges * (1 + int(getattr(rule, num_tried[rule.loop])))
    plasticity = rule.plasticity(network)
    passed_on = 0
    if plasticity.direct is not None:
        passed_on = plasticity.direct.size
    elif plasticity.propagate:
        passed_on = np.count_nonzero(network.source >= network.num_sources)
    hebbian = 0 if plasticity.hebbian is None else 2 * np.count_nonzero(plasticity.hebbian)
    return int(network.num_edges + passed_on + np.count_nonzero(plasticity.plastic) + hebbian)


def fastest(train: Callable[[], None], repeats: int, num_workers: int) -> float:
    """Seconds of the fastest repeat in which every thread trains once."""
    best = float("inf")
    with ThreadPoolExecutor(num_workers) as pool:
        for _ in range(repeats):
            started = time.perf_counter()
            for future in [pool.submit(train) for _ in range(num_workers)]:
                future.result()
            best = min(best, time.perf_counter() - started)
    return best


def sgemm_gflops(size: int = 1024) -> float:
    """What one core reaches on a dense product of single-precision matrices."""
    a, b = np.ones((2, size, size), np.float32)
    best = float("inf")
    with threadpool_limits(1):
        for _ in range(5):
            started = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


if __name__ == "__main__":
    main()
