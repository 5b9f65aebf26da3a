"""Measurements: from a chosen network to a line of a file, and what is said meanwhile."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from frontier_methods.problem import Problem, Score
from topoevo import load_network
from topoevo.evolution import Individual
from topoevo.experiment.records import Champion, TaskScore
from topoevo.genome import Genome
from topoevo.reporting.atomic import write_atomically
from topoevo.reporting.network_facts import facts_of
from topoevo.reporting.network_file import write_network

#: What a row has at least.
COLUMNS = {"dataset", "method", "budget", "seed", "measure", "test", "connections", "biases", "hidden", "layers"}
COLUMNS |= {"configuration", "tried", "passes", "seconds", "cpu_seconds", "is_capped"}


class BenchmarkError(Exception):
    """What keeps the benchmark from going on, in one message."""


@dataclass(frozen=True)
class Outcome:
    """A network that a method has chosen.

    Parameters
    ----------
    genome
        With weights.
    configuration
        How it came about, in words.
    tried, passes, seconds
        Trainings, samples that went forwards and backwards, and time.
    cpu_seconds
        Time of processors; None if that is not known.
    is_capped
        Whether time was over before the passes were used up.
    is_finished
        Whether it has been through the final stage.
    """

    genome: Genome
    configuration: str
    tried: int
    passes: int
    seconds: float
    cpu_seconds: float | None
    is_capped: bool = False
    is_finished: bool = False


@dataclass
class Stopwatch:
    """Time since it was made: of the clock, and of processors in this process and those that it has started."""

    _started: tuple[float, float] = field(default_factory=lambda: Stopwatch._now())

    def read(self) -> tuple[float, float]:
        """Return both, in seconds."""
        now = self._now()
        return now[0] - self._started[0], now[1] - self._started[1]

    @staticmethod
    def _now() -> tuple[float, float]:
        """Both clocks."""
        return time.perf_counter(), sum(os.times()[:4])


class Rows:
    """The measurements in a file.

    Parameters
    ----------
    path
        JSON lines; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows = read_rows(path) if path is not None and path.exists() else []
        if self.rows:
            # A line that was cut off would spoil the next one.
            self._write()

    def find(self, **wanted: Any) -> dict[str, Any] | None:
        """Return the row with these values, or None."""
        return next((row for row in self.rows if all(row[name] == value for name, value in wanted.items())), None)

    def check(self, dataset: str, fingerprints: Mapping[str, str]) -> None:
        """Raise BenchmarkError if a row of a data set was measured with other settings; some old ones do not tell.

        Parameters
        ----------
        dataset
            Its name.
        fingerprints
            What rows of each method must have.
        """
        for row in self.rows:
            wanted = fingerprints.get(row["method"]) if row["dataset"] == dataset else None
            if wanted is not None and row.get("fingerprint", wanted) != wanted:
                raise BenchmarkError(
                    f"{self.path}: {row['method']} with budget {row['budget']} and seed {row['seed']} was measured with"
                    " other settings; name another file with --out"
                )

    def replace(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Put a row in the place of another one."""
        self.rows[self.rows.index(old)] = new
        self._write()

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def _write(self) -> None:
        """Write the whole file."""
        if self.path is not None:
            write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the measurements of a file; a last line that was cut off is passed over.

    Raises
    ------
    BenchmarkError
        If the file cannot be read, or another line is none.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read: {error.strerror}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not set(row) >= COLUMNS:
                raise ValueError
            rows.append(row)
        except (ValueError, TypeError):
            if number < len(lines):
                raise BenchmarkError(f"{path}:{number}: is no line of measurements") from None
    return rows


def measured(
    problem: Problem, method: str, budget: int, outcome: Outcome, *, networks: Path, fingerprint: str
) -> dict[str, Any]:
    """Return the row of a chosen network after its final stage, and write the network.

    Parameters
    ----------
    problem, method, budget
        What was asked for.
    outcome
        What was found.
    networks
        Folder for the network file.
    fingerprint
        What else the row depends on.
    """
    name = f"{problem.name}-{method}-{budget}-s{problem.seed}.json"
    before = _write(problem, outcome.genome, networks / "chosen" / name, parts=("train", "validation"))
    watch = Stopwatch()
    genome, passes = (outcome.genome, 0) if outcome.is_finished else problem.finish(outcome.genome)
    seconds, cpu_seconds = watch.read()
    scores = _write(problem, genome, networks / name, parts=("train", "validation", "test"))
    size = genome.complexity
    return {
        "dataset": problem.name,
        "method": method,
        "budget": budget,
        "seed": problem.seed,
        "fingerprint": fingerprint,
        "measure": "accuracy" if problem.task.kind == "classification" else "r2",
        "test": scores["test"].value,
        "test_rmse": scores["test"].rmse,
        # Of what was chosen: the final stage may have learned the validation samples, too.
        "validation": None if outcome.is_finished else before["validation"].value,
        "train": scores["train"].value,
        "connections": size.connections,
        "biases": size.biases,
        "hidden": size.hidden,
        "layers": genome.num_layers,
        "network": name,
        "configuration": outcome.configuration,
        "tried": outcome.tried,
        "passes": outcome.passes + passes,
        "seconds": round(outcome.seconds + seconds, 2),
        "cpu_seconds": None if outcome.cpu_seconds is None else round(outcome.cpu_seconds + cpu_seconds, 2),
        "is_capped": outcome.is_capped,
        "chosen": {name: value for name, value in vars(outcome).items() if name != "genome"},
        "final_stage_helped": None if outcome.is_finished else genome is not outcome.genome,
    }


def chosen(row: dict[str, Any], *, networks: Path) -> Outcome:
    """Return what a method had chosen, before the final stage, when a row was measured; parameters as of `measured`.

    Raises
    ------
    BenchmarkError
        If the network is not there any more.
    """
    path = networks / "chosen" / row["network"]
    if not path.is_file():
        raise BenchmarkError(f"there is no network {path}, without which its final stage cannot be repeated")
    return Outcome(load_network(path).file.genome, **row["chosen"])


def _write(problem: Problem, genome: Genome, path: Path, *, parts: Sequence[str]) -> dict[str, Score]:
    """Write a network file, and return the scores on parts of the data, which it tells, too."""
    scores = {part: problem.score_genome(part, genome) for part in parts}
    has_classes = problem.task.kind == "classification"
    told = {
        part: TaskScore(-score.loss, score.value if has_classes else None, score.rmse) for part, score in scores.items()
    }
    champion = Champion(Individual(0, (), 0, (), genome), None, **told)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_network(path, genome, facts=facts_of(champion, problem.params, problem.task))
    return scores


class Progress:
    """Lines on the console that tell how long the rest will take, judged by what there was of each method.

    Parameters
    ----------
    cells
        Method, budget and seed of all that will be measured.
    """

    def __init__(self, cells: list[tuple[str, int, int]]) -> None:
        self._left = list(cells)
        self._num_cells = len(cells)
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._watch = Stopwatch()

    def tell(self, row: dict[str, Any]) -> None:
        """Print one measurement."""
        self._left.remove((row["method"], row["budget"], row["seed"]))
        seconds, self._watch = self._watch.read()[0], Stopwatch()
        self._seconds[row["method"]].append(seconds)
        known = [np.mean(self._seconds[method]) for method, _, _ in self._left if self._seconds[method]]
        bound = "at least " if len(known) < len(self._left) else ""
        done = f"[{self._num_cells - len(self._left)}/{self._num_cells}]"
        what = f"{row['dataset']} {row['method']} {row['budget']} seed {row['seed']}: {row['test']:.4f}"
        how = f"{row['connections']} connections; {row['configuration']}; {row['tried']} tried; {seconds:.0f} s"
        print(f"{done} {what} ({how}), {bound}{sum(known) / 60:.0f} min left", file=sys.stderr, flush=True)
