"""Which method finds the best network with a given number of connections?

    python benchmarks/frontier.py --dataset mnist --data_dir DIR --budgets 100 200 300 500 --seeds 3 --out rows.jsonl
    python benchmarks/frontier.py --summarize rows.jsonl --picture frontier.png

Methods: evolved (the search of the parameter file, with --max_connections), fisher and magnitude (gradual pruning of
fully connected networks), rigl, random (topologies drawn at random), l1 (L1-penalized linear model, refitted),
fisher_best_of (pruning again and again, with as many sample passes as the evolved search), blind (the evolved search
without informed operators).

The same for all: validation samples choose; what is chosen is trained by the final stage of the parameter file
(final_epochs, and its optimizer) and keeps the weights that are better on validation samples; then it sees the test
samples, once. A connection is one between nodes on a path from an input to an output; those from the bias node are
counted apart. Every line of --out is one network; what is there already is not measured again, so that a stopped
benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from frontier_methods.lasso import l1
from frontier_methods.problem import DATASETS, IMAGES, Problem, load_problem, params_file, shortened
from frontier_methods.restarts import TRAININGS, best_configuration, best_of
from frontier_methods.searching import BLIND, SearchError, search
from frontier_methods.summary import STYLES, tables

from topoevo.errors import TopoevoError
from topoevo.genome import Genome

#: In the order in which they are measured: the evolved search tells how long its rival may take.
METHODS = ("l1", "fisher", "magnitude", "rigl", "random", "evolved", "fisher_best_of", "blind")
BUDGETS = {
    **dict.fromkeys(IMAGES, (100, 200, 300, 500, 850, 1200, 1850, 3000)),
    "digits": (50, 100, 150, 200, 300, 500),
    "breast_cancer": (5, 10, 20, 30, 50, 100),
    "wine": (5, 10, 20, 30, 50, 100),
    "diabetes": (3, 5, 10, 20, 50, 100),
}


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
    is_capped: bool = False
    is_finished: bool = False


class Rows:
    """The measurements in a file.

    Parameters
    ----------
    path
        JSON lines; None keeps nothing. A last line that was cut off is passed over.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows = read_rows(path) if path is not None and path.exists() else []

    def find(self, **wanted: Any) -> dict[str, Any] | None:
        """Return the row with these values, or None."""
        return next((row for row in self.rows if all(row[name] == value for name, value in wanted.items())), None)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row."""
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


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

    def tell(self, row: dict[str, Any]) -> None:
        """Print one measurement."""
        self._left.remove((row["method"], row["budget"], row["seed"]))
        self._seconds[row["method"]].append(row["seconds"])
        known = [np.mean(self._seconds[method]) for method, _, _ in self._left if self._seconds[method]]
        bound = "at least " if len(known) < len(self._left) else ""
        done = f"[{self._num_cells - len(self._left)}/{self._num_cells}]"
        what = f"{row['method']} {row['budget']} seed {row['seed']}: {row['test']:.4f}"
        how = f"{row['connections']} connections; {row['configuration']}; {row['tried']} tried; {row['seconds']:.0f} s"
        print(f"{done} {what} ({how}), {bound}{sum(known) / 60:.0f} min left", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, or print what was measured."""
    given = _parser().parse_args()
    if given.summarize:
        rows = [row for path in given.summarize for row in read_rows(path)]
        print(tables(rows), end="")
    else:
        rows = measure(given)
        print(tables(rows), end="")
    if given.picture:
        from frontier_methods.summary import draw

        draw(rows, given.picture)


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of all that is asked for; see `--help`."""
    file = given.params or params_file(given.dataset)
    if not file.is_file():
        _give_up(f"there is no parameter file {file}; name one with --params")
    budgets = sorted(given.budgets or BUDGETS[given.dataset])
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    kept = Rows(given.out)
    cells = [
        (method, budget, seed)
        for seed in seeds
        for method in METHODS
        if method in given.methods
        for budget in budgets
        if kept.find(dataset=given.dataset, method=method, budget=budget, seed=seed) is None
    ]
    progress = Progress(cells)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.runs_dir or (given.out.with_suffix(".runs") if given.out else Path(temporary))
        for seed in dict.fromkeys(seed for _, _, seed in cells):
            problem = load_problem(given.dataset, seed, folder=folder / "tables", data_dir=given.data_dir, file=file)
            if given.num_epochs or given.num_steps:
                problem = shortened(
                    problem,
                    num_epochs=given.num_epochs or problem.num_epochs,
                    num_steps=given.num_steps or problem.num_steps,
                )
            for method in METHODS:
                wanted = [budget for one, budget, at in cells if (one, at) == (method, seed)]
                for budget, outcome in _outcomes(problem, method, wanted, given, file, folder, kept):
                    row = row_of(problem, method, budget, outcome)
                    kept.add(row)
                    progress.tell(row)
    asked = {(method, budget, seed) for method in given.methods for budget in budgets for seed in seeds}
    return [
        row
        for row in kept.rows
        if row["dataset"] == given.dataset and (row["method"], row["budget"], row["seed"]) in asked
    ]


def row_of(problem: Problem, method: str, budget: int, outcome: Outcome) -> dict[str, Any]:
    """Return the measurement of a chosen network, after its final stage."""
    started = time.perf_counter()
    genome, passes = (outcome.genome, 0) if outcome.is_finished else problem.finish(outcome.genome)
    validation, test = problem.score_genome("validation", genome), problem.score_genome("test", genome)
    size = genome.complexity
    return {
        "dataset": problem.name,
        "method": method,
        "budget": budget,
        "seed": problem.seed,
        "measure": "accuracy" if problem.task.kind == "classification" else "r2",
        "test": test.value,
        "test_rmse": test.rmse,
        "validation": validation.value,
        "validation_loss": validation.loss,
        "connections": size.connections,
        "biases": size.biases,
        "hidden": size.hidden,
        "digest": genome.digest,
        "configuration": outcome.configuration,
        "tried": outcome.tried,
        "passes": outcome.passes + passes,
        "seconds": round(outcome.seconds + time.perf_counter() - started, 2),
        "is_capped": outcome.is_capped,
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the measurements of a file; a last line that was cut off is passed over."""
    rows = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines):
                _give_up(f"{path}:{number}: is no line of measurements")
    return rows


def _outcomes(
    problem: Problem,
    method: str,
    budgets: list[int],
    given: argparse.Namespace,
    file: Path,
    folder: Path,
    kept: Rows,
) -> Iterator[tuple[int, Outcome]]:
    """What a method finds at each budget."""
    if method == "l1" and budgets:
        started = time.perf_counter()
        for budget, found in l1(problem, budgets, np.random.default_rng([problem.seed, 2])):
            seconds = time.perf_counter() - started
            yield budget, Outcome(found.genome, found.configuration, 1, found.passes, seconds)
        return
    for budget in budgets:
        started = time.perf_counter()
        if method in TRAININGS:
            best = best_configuration(problem, method, budget, num_workers=given.num_workers)
        elif method == "fisher_best_of":
            passes = given.passes or _evolved_passes(problem, budget, kept)
            best = best_of(
                problem, "fisher", budget, passes=passes, minutes=given.minutes, num_workers=given.num_workers
            )
        else:
            try:
                run = search(
                    problem,
                    budget,
                    file=file,
                    out_dir=folder / f"{problem.name}-{method}-{budget}-s{problem.seed}",
                    num_workers=given.num_workers,
                    data_dir=given.data_dir,
                    overrides=BLIND if method == "blind" else None,
                )
            except SearchError as error:
                _give_up(str(error))
            words = "at most so many passes" if run.is_bound else ""
            yield budget, Outcome(run.genome, words, 1, run.passes, run.seconds, is_finished=True)
            continue
        yield (
            budget,
            Outcome(
                best.found.genome,
                best.found.configuration,
                best.num_tried,
                best.passes,
                time.perf_counter() - started,
                best.is_capped,
            ),
        )


def _evolved_passes(problem: Problem, budget: int, kept: Rows) -> int:
    """Sample passes of the evolved search with the same budget and seed."""
    row = kept.find(dataset=problem.name, method="evolved", budget=budget, seed=problem.seed)
    if row is None:
        _give_up(f"fisher_best_of: there is no row of evolved with budget {budget} and seed {problem.seed}; --passes")
    return int(row["passes"])


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=DATASETS, default="digits")
    add("--budgets", nargs="+", type=_at_least_1, help="numbers of connections (default: by data set)")
    add("--seeds", type=_at_least_1, default=3, help="number of seeds (default: 3)")
    add("--first_seed", type=int, default=0)
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD", help="default: all")
    add("--minutes", type=float, default=15.0, help="after which fisher_best_of begins no training (default: 15)")
    add("--passes", type=_at_least_1, help="sample passes of fisher_best_of, instead of those of the evolved search")
    add("--num_workers", type=_at_least_1, default=2, help="trainings at the same time (default: 2)")
    add("--data_dir", help="folder with the files of MNIST or Fashion-MNIST")
    add("--params", type=Path, help="parameter file of the search and of the final stage (default: by data set)")
    add("--num_epochs", type=_at_least_1, help="epochs of a baseline's training (default: 30)")
    add("--num_steps", type=_at_least_1, help="its least number of steps (default: 4000)")
    add("--out", type=Path, help="file of the measurements; the runs of searches lie beside it")
    add("--runs_dir", type=Path, help="folder for the runs of searches, instead of the one beside --out")
    add("--summarize", nargs="+", type=Path, metavar="ROWS", help="print the tables of measurements and stop")
    add("--picture", type=Path, help="file for a picture of the measurements")
    return parser


def _at_least_1(word: str) -> int:
    """A whole number above 0."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not at least 1")
    return number


def _give_up(message: str) -> Any:
    """Say what is wrong and stop."""
    print(message, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    assert set(METHODS) == set(STYLES)
    try:
        main()
    except TopoevoError as problem:
        _give_up(str(problem))
