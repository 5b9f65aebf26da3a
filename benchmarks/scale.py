"""Measure what large populations cost besides evaluation, and predict from it how many workers they keep busy.

    python benchmarks/scale.py --populations 1000 10000 50000 --connections 500

Every population gets a process of its own. It is grown by real mutations, put into a checkpoint, and goes on from there
for some generations with the whole program: workers, ranking, confirmation, reproduction, digests, observers,
checkpoints. Only evaluation itself is left out: it returns a drawn reward and drawn weights at once. Then follow the
predictions, by the model that `predicted` states.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from topoevo.evolution import Evaluation, Individual, Population
from topoevo.evolution.mutating import mutate
from topoevo.evolution.reproduction import Reproduction
from topoevo.experiment import experiment as loop
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of, origin_of
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import Params, load_params
from topoevo.experiment.records import Observer
from topoevo.experiment.workers import Workers
from topoevo.experiment.workers.engine import Portion
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.reporting import ConsoleObserver, RunDirectory, make_observers
from topoevo.seeds import Stream, generator
from topoevo.variation import MUTATIONS

#: Different genomes that a population is bred from.
NUM_FOUNDERS = 64
WORKERS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SECONDS_AN_EVALUATION = (0.01, 0.1, 10.0)
#: What is aimed at: time outside evaluation, as a fraction of a generation, at .1 s an evaluation and 64 workers.
AIM = 0.05


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--populations", nargs="+", type=int, default=[1000, 10000, 50000])
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--num_generations", type=int, default=5, help="measured ones, after one to warm up")
    parser.add_argument("--joblib_backend", default="loky", choices=["threading", "loky"])
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(measured(given)))
        return
    rows = [in_a_process_of_its_own(sys.argv[1:], size, given) for size in given.populations]
    print_costs(rows)
    for row in rows:
        print_predictions(row)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def in_a_process_of_its_own(words: Sequence[str], size: int, given: argparse.Namespace) -> dict[str, Any]:
    """Measurements of one population, so that peaks of memory are its own."""
    command = [sys.executable, __file__, *words, "--populations", str(size), "--inside"]
    with tempfile.TemporaryFile("w+") as output:
        subprocess.run(command, check=True, stdout=output)
        output.seek(0)
        row: dict[str, Any] = json.loads(output.read().splitlines()[-1])
    return row


# -- measuring ------------------------------------------------------------------------------------------------------


@dataclass
class Stopwatch:
    """Adds up wall time and the processor time of this process, by part of a generation.

    A part that runs within another one is taken out of that one.
    """

    wall: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    _inner: list[list[float]] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        started = time.perf_counter(), time.process_time()
        self._inner.append([0.0, 0.0])
        try:
            yield
        finally:
            spent = [time.perf_counter() - started[0], time.process_time() - started[1]]
            inner = self._inner.pop()
            for total, one, other in zip((self.wall, self.processor), spent, inner, strict=True):
                total[name] = total.get(name, 0.0) + one - other
            if self._inner:
                self._inner[-1] = [sum(pair) for pair in zip(self._inner[-1], spent, strict=True)]

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, measured."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return measured


class StandIn:
    """An evaluator that returns at once, with a drawn reward and drawn weights."""

    remedy = "nothing"

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing to compile but what genomes need."""
        from topoevo.genome import compiled_graph

        compiled_graph.prepare()

    def evaluate(self, genome: Genome, shared: Any, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """A result as large as that of a training."""
        rng = generator(0, stream, generation, index)
        weights = rng.standard_normal(len(genome.connections), np.float32)
        reward = rng.normal()
        return Evaluation(reward, reward, rng.random(), weights, 0.0)


class Announcer(Observer):
    """Hands announcements on to the observers of a real run, measured; the end is not handed on.

    At the end a network file would be written for every individual, which belongs to no generation.
    """

    def __init__(self, inner: Sequence[Observer], watch: Stopwatch) -> None:
        self._inner, self._watch = inner, watch

    def on_start(self, run: Any) -> None:
        for one in self._inner:
            one.on_start(run)

    def on_evaluation(self, generation: int, done: int, total: int) -> None:
        for one in self._inner:
            one.on_evaluation(generation, done, total)

    def on_champion(self, champion: Any) -> None:
        with self._watch.part("champion"):
            for one in self._inner:
                one.on_champion(champion)

    def on_generation(self, record: Any) -> None:
        for one in self._inner:
            with self._watch.part(f"{type(one).__name__.removesuffix('Observer').lower()}"):
                one.on_generation(record)


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Everything about one population."""
    size = given.populations[-1]
    params = params_of(size, given)
    task = load_task_of(params)
    watch = Stopwatch()
    empty_bytes = peak_bytes()
    checkpoint = grown(params, task, given.connections)
    genomes = [member.genome for member in checkpoint.population.members]
    facts = {
        "population_size": size,
        "connections": float(np.mean([len(genome.connections) for genome in genomes])),
        "nodes": float(np.mean([len(genome.nodes) for genome in genomes])),
        **wire_bytes(genomes, params, task),
    }
    del genomes
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory.create(params.model_copy(update={"out_dir": folder + "/run"}), name="scale")
        console = ConsoleObserver(directory, stream=io.StringIO())
        announcer = Announcer(make_observers(directory, console), watch)
        wall, processor = run(params, task, checkpoint, directory, announcer, watch)
        newest = sorted(directory.checkpoint.glob("*.npz"))[-1]
        facts["checkpoint_bytes"] = newest.stat().st_size
        if directory.lock is not None:
            directory.lock.release()
    return {
        **facts,
        "num_workers": given.num_workers,
        "joblib_backend": given.joblib_backend,
        "wall_seconds": wall,
        "processor_seconds": processor,
        "peak_bytes": peak_bytes(),
        "disk_seconds": disk_seconds(facts["checkpoint_bytes"]),
        "empty_bytes": empty_bytes,
    }


def params_of(size: int, given: argparse.Namespace) -> Params:
    """Settings of the run."""
    return load_params(
        None,
        {
            "population_size": size,
            "num_generations": 1 + given.num_generations + 1,
            "num_workers": given.num_workers,
            "joblib_backend": given.joblib_backend,
            "output_connections": True,
            "activations": ("relu", "tanh"),
            "elite_ratio": 0.05,
            "p_complexity_objective": 1.0,
            "test_every": 0,
        },
    )


def grown(params: Params, task: Any, num_connections: int) -> Checkpoint:
    """A checkpoint after generation 0, whose population descends from genomes that mutation has grown."""
    tracker = InnovationTracker()
    mutations = {
        MUTATIONS[name](**params.options_of(MUTATIONS[name])): p for name, p in params.mutation_probabilities().items()
    }
    founders = []
    for index in range(min(NUM_FOUNDERS, params.population_size)):
        rng = generator(params.seed, Stream.INITIAL, 0, index)
        genome = minimal_genome(task.num_inputs, task.num_outputs, p_enabled=0.3, tracker=tracker, rng=rng)
        while len(genome.connections) < num_connections:
            genome, _ = mutate(genome, mutations, 1, tracker, rng)
        founders.append(genome)
    members = tuple(
        Individual(index, (), 0, (), founders[index % len(founders)], Evaluation(-1.0, -1.0, None, None, 0.0))
        for index in range(params.population_size)
    )
    reproduction = Reproduction(
        mutations=mutations, cull_ratio=0.0, elite_ratio=0.0, tournament_size=1, num_mutations=1, inherit_weights=False
    )
    population = reproduction.next_generation(
        Population(0, members), np.arange(len(members)), tracker=tracker, seed=params.seed, next_id=len(members)
    )
    return Checkpoint(population, tracker, None, frozenset(), len(members), 0.0, "", origin_of(params, task))


def wire_bytes(genomes: Sequence[Genome], params: Params, task: Any) -> dict[str, float]:
    """Bytes that travel for an individual, and once for a generation."""
    _, problem = judging_of(params, task)
    shared = problem.shared(Stream.SHARED, 1)
    sample = genomes[:: max(len(genomes) // 100, 1)]
    numbers = tuple(range(len(sample)))
    results = [
        (index, StandIn().evaluate(genome, shared, stream=Stream.LEARNING, generation=1, index=index))
        for index, genome in zip(numbers, sample, strict=True)
    ]
    with_none = Portion(StandIn(), shared, (), (), Stream.LEARNING, 1)
    with_all = Portion(StandIn(), shared, tuple(sample), numbers, Stream.LEARNING, 1)
    conditions = len(pickle.dumps(with_none, -1))
    return {
        "bytes_to_a_worker": (len(pickle.dumps(with_all, -1)) - conditions) / len(sample),
        "bytes_back": len(pickle.dumps(results, -1)) / len(sample),
        "bytes_of_conditions": conditions,
    }


def run(
    params: Params,
    task: Any,
    checkpoint: Checkpoint,
    directory: RunDirectory,
    announcer: Announcer,
    watch: Stopwatch,
) -> tuple[dict[str, float], dict[str, float]]:
    """Wall and processor seconds of a generation by part, the rest being ``other``."""
    stamps: list[tuple[dict[str, float], dict[str, float]]] = []

    class Timer(Observer):
        """Takes the time where a generation is announced, which is where it ends here."""

        def on_generation(self, record: Any) -> None:
            stamps.append(
                (
                    {**watch.wall, "complete": time.perf_counter()},
                    {**watch.processor, "complete": time.process_time()},
                )
            )

    _, problem = judging_of(params, task)
    digest = Population.digest
    assert isinstance(digest, property) and digest.fget is not None
    with ExitStack() as stack:
        for patched in (
            patch.object(loop, "judging_of", lambda *_: (StandIn(), problem)),
            patch.object(loop, "ranking", watch.around("ranking", loop.ranking)),
            patch.object(Population, "objectives", watch.around("ranking", Population.objectives)),
            patch.object(Population, "digest", property(watch.around("digest", digest.fget))),
            patch.object(Reproduction, "next_generation", watch.around("reproduction", Reproduction.next_generation)),
            patch.object(Workers, "evaluate", watch.around("dispatch", Workers.evaluate)),
            patch.object(Checkpoint, "write", watch.around("checkpoint", Checkpoint.write)),
        ):
            stack.enter_context(patched)
        experiment = loop.Experiment(
            params,
            task,
            observers=[Timer(), announcer],
            checkpoint=checkpoint,
            checkpoint_folder=directory.checkpoint,
        )
        del checkpoint
        experiment.run()
    # The first generation warms up.
    pairs = list(pairwise(stamps))
    return (
        typical([spent(before[0], after[0]) for before, after in pairs]),
        typical([spent(before[1], after[1]) for before, after in pairs]),
    )


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Seconds of a generation by part, from the sums at its two ends."""
    seconds = {name: value - before.get(name, 0.0) for name, value in after.items()}
    complete = seconds.pop("complete")
    return {**seconds, "other": complete - sum(seconds.values())}


def typical(generations: Sequence[dict[str, float]]) -> dict[str, float]:
    """The least of every part, since what else the machine does only ever adds to it; their sum as ``complete``."""
    parts = {name: min(one.get(name, 0.0) for one in generations) for name in generations[-1]}
    return {**parts, "complete": sum(parts.values())}


def disk_seconds(num_bytes: int) -> float:
    """Seconds until so many bytes are on the disk, the least of three times."""
    content = np.random.default_rng(0).bytes(num_bytes)
    seconds = []
    for _ in range(3):
        with tempfile.TemporaryFile() as file:
            started = time.perf_counter()
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - started)
    return min(seconds)


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# -- printing and predicting ----------------------------------------------------------------------------------------


def print_costs(rows: Sequence[dict[str, Any]]) -> None:
    """Microseconds an individual by part, sizes and memory."""
    names = [name for name in rows[0]["processor_seconds"] if name != "complete"]
    print("\nprocessor (and wall) microseconds of the parent, for an individual and generation")
    print(f"{'':<16}" + "".join(f"{row['population_size']:>20,}" for row in rows))
    for name in [*names, "complete"]:
        cells = [
            [1e6 * row[kind].get(name, 0.0) / row["population_size"] for kind in ("processor_seconds", "wall_seconds")]
            for row in rows
        ]
        print(f"{name:<16}" + "".join(f"{processor:>11.1f} ({wall:6.1f})" for processor, wall in cells))
    print()
    for title, value in (
        ("seconds a generation, evaluation left out", lambda row: f"{row['processor_seconds']['complete']:.2f}"),
        ("connection genes, nodes (mean)", lambda row: f"{row['connections']:.0f}, {row['nodes']:.0f}"),
        ("bytes to a worker, an individual", lambda row: f"{row['bytes_to_a_worker']:,.0f}"),
        ("bytes back, an individual", lambda row: f"{row['bytes_back']:,.0f}"),
        ("bytes of conditions", lambda row: f"{row['bytes_of_conditions']:,.0f}"),
        ("checkpoint, MB", lambda row: f"{row['checkpoint_bytes'] / 1e6:.1f}"),
        ("checkpoint, seconds", lambda row: f"{row['wall_seconds']['checkpoint']:.2f}"),
        ("as many bytes to the disk, seconds", lambda row: f"{row['disk_seconds']:.3f}"),
        ("peak memory of the process, MiB", lambda row: f"{row['peak_bytes'] / 2**20:.0f}"),
        ("of it before there is a population, MiB", lambda row: f"{row['empty_bytes'] / 2**20:.0f}"),
    ):
        print(f"{title:<44}" + "".join(f"{value(row):>14}" for row in rows))


def print_predictions(row: dict[str, Any]) -> None:
    """Efficiency and time outside evaluation, for numbers of workers and durations of an evaluation."""
    size = row["population_size"]
    print(f"\npredicted for {size:,} individuals: efficiency, and time outside evaluation as a part of a generation")
    print(f"{'workers':>8}" + "".join(f"{f'{seconds:g} s an evaluation':>26}" for seconds in SECONDS_AN_EVALUATION))
    for workers in WORKERS:
        cells = [predicted(row, workers, seconds) for seconds in SECONDS_AN_EVALUATION]
        print(f"{workers:>8}" + "".join(f"{efficiency:>17.1%}{outside:>9.2%}" for efficiency, outside in cells))
    outside = predicted(row, 64, 0.1)[1]
    dispatch, serial = costs(row)
    print(
        f".1 s and 64 workers: {outside:.2%} outside evaluation, {'within' if outside <= AIM else 'above'} {AIM:.0%};"
        f" an individual keeps all waiting for {1e6 * serial / size:.0f} µs, and the parent busy for"
        f" {1e6 * dispatch / size:.0f} µs more"
    )


def predicted(row: dict[str, Any], num_workers: int, seconds: float) -> tuple[float, float]:
    """Parallel efficiency, and time outside evaluation, as fractions of the time T of a generation.

    T = max(⌈N / W⌉ t, N d) + N s, with N individuals, W workers, t seconds an evaluation, and for an individual d
    seconds in which the parent hands it out, takes it back, keeps a record of it and hashes it, while workers compute,
    and s seconds in which they wait: everything else that was measured. Efficiency is N t / (W T), and what is outside
    evaluation T - ⌈N / W⌉ t.

    Assumed: the parent has a core to itself and takes the processor time that was measured here, and for a checkpoint
    the time of the disk, measured apart, besides; all evaluations take equally long; the network carries the bytes
    without delay; a worker always has another portion at hand. Left out: the confirmation of a new best individual, one
    more evaluation in a generation while the others wait.
    """
    size = row["population_size"]
    dispatch, serial = costs(row)
    rounds = math.ceil(size / num_workers) * seconds
    complete = max(rounds, dispatch) + serial
    return size * seconds / num_workers / complete, 1.0 - rounds / complete


def costs(row: dict[str, Any]) -> tuple[float, float]:
    """Seconds of the parent in a generation while workers compute, and while they wait."""
    processor = row["processor_seconds"]
    return processor["dispatch"], processor["complete"] - processor["dispatch"] + row["disk_seconds"]


if __name__ == "__main__":
    main()
