"""Which method finds the best network with a given number of connections?

    python benchmarks/frontier.py --dataset mnist --data_dir DIR --budgets 100 200 300 500 --seeds 3 --out rows.jsonl
    python benchmarks/frontier.py --summarize rows.jsonl --picture frontier.png

Methods: evolved (the search of the parameter file, with --max_connections), fisher and magnitude (gradual pruning of
fully connected networks), rigl, random (topologies drawn at random), l1 (L1-penalized linear model, refitted),
first (the best of the evolved search's first networks, which are pruned, too: what activations of several kinds and
direct connections are worth without evolution), fisher_best_of (pruning again and again, with as many sample passes as
the evolved search), blind (the evolved search without informed operators), front (one evolved search for all budgets,
with --front_connections).

The same for all: validation samples choose; what is chosen is trained by the final stage of the parameter file
(final_epochs, final_samples, and its optimizer); then it sees the test samples, once. A connection is one between nodes
on a path from an input to an output; those from the bias node are counted apart. Every line of --out is one network,
which lies beside it; what is there already is not measured again, so that a stopped benchmark goes on. After a change
of the final stage, --finish_again repeats that alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from frontier_methods.lasso import l1
from frontier_methods.problem import DATASETS, IMAGES, Problem, load_problem, params_file, shortened
from frontier_methods.restarts import TRAININGS, best_configuration, best_of
from frontier_methods.rows import BenchmarkError, Outcome, Progress, Rows, Stopwatch, chosen, measured, read_rows
from frontier_methods.searching import OVERRIDES, search
from frontier_methods.summary import draw, tables

from topoevo.errors import TopoevoError

#: In the order in which they are measured: the evolved search tells how many passes its rival may use.
METHODS = ("l1", *TRAININGS, "evolved", "front", "first", "fisher_best_of", "blind")
#: Those that are runs of the program.
SEARCHES = ("evolved", "front", *OVERRIDES)
#: Those that are measured if none is named.
USUAL_METHODS = tuple(method for method in METHODS if method != "front")
BUDGETS = {
    **dict.fromkeys(IMAGES, (100, 200, 300, 500, 850, 1200, 1850, 3000)),
    "digits": (50, 100, 150, 200, 300, 500),
    "breast_cancer": (5, 10, 20, 30, 50, 100),
    "wine": (5, 10, 20, 30, 50, 100),
    "diabetes": (3, 5, 10, 20, 50, 100),
}


def main() -> None:
    """Measure, or read what was measured, and print."""
    given = _parser().parse_args()
    if given.summarize:
        rows = [row for path in given.summarize for row in read_rows(path)]
    else:
        rows = finish_again(given) if given.finish_again else measure(given)
    print(tables(rows), end="")
    if given.picture:
        draw(rows, given.picture)


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of all that the flags ask for, those that were there before included."""
    if not given.params.is_file():
        raise BenchmarkError(f"there is no parameter file {given.params}; name one with --params")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    asked = [(method, budget, seed) for seed in seeds for method in given.methods for budget in given.budgets]
    kept = Rows(given.out)
    cells = [
        (method, budget, seed)
        for method, budget, seed in asked
        if kept.find(dataset=given.dataset, method=method, budget=budget, seed=seed) is None
    ]
    progress = Progress(cells)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out.with_suffix(".runs") if given.out else Path(temporary)
        problem = _problem(given, cells[0][2] if cells else given.first_seed, folder, max(given.budgets))
        fingerprints = _fingerprints(problem, given)
        kept.check(given.dataset, fingerprints)
        for seed in dict.fromkeys(seed for _, _, seed in cells):
            for method in dict.fromkeys(method for method, _, at in cells if at == seed):
                wanted = [budget for one, budget, at in cells if (one, at) == (method, seed)]
                # Budgets with distorted copies and those without; a run of all of them decides by the largest.
                for budgets in _alike(problem, wanted) if method != "front" else [wanted]:
                    size = max(given.budgets if method == "front" else budgets)
                    if (problem.seed, problem.params.copies_for_size) != (seed, _copies(problem, size)):
                        problem = _problem(given, seed, folder, size)
                    for budget, outcome in _outcomes(problem, method, budgets, given, folder, kept):
                        told = {"networks": folder / "networks", "fingerprint": fingerprints[method]}
                        row = measured(problem, method, budget, outcome, **told)
                        kept.add(row)
                        progress.tell(row)
    found = (kept.find(dataset=given.dataset, method=one, budget=budget, seed=seed) for one, budget, seed in asked)
    return [row for row in found if row is not None]


def finish_again(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows that the flags ask for, after another final stage of what was chosen then.

    Runs of the program end with a final stage of their own, and are left as they are.
    """
    kept = Rows(given.out)
    folder = given.out.with_suffix(".runs")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    found = []
    for seed, budget in product(seeds, given.budgets):
        problem = _problem(given, seed, folder, budget)
        asked = {"dataset": given.dataset, "seed": seed}
        for method in given.methods:
            row = kept.find(**asked, method=method, budget=budget)
            if row is None or method in SEARCHES:
                continue
            outcome = chosen(row, networks=folder / "networks")
            told = {"networks": folder / "networks", "fingerprint": _fingerprints(problem, given)[method]}
            found.append(measured(problem, method, budget, outcome, **told))
            kept.replace(row, found[-1])
    if left := [method for method in given.methods if method in SEARCHES]:
        print(f"{', '.join(left)}: measure them anew, their runs have had their final stage", file=sys.stderr)
    return found


def _fingerprints(problem: Problem, given: argparse.Namespace) -> dict[str, str]:
    """What rows of each method that is asked for depend on, as hashes."""
    found = {}
    for method in given.methods:
        flags: dict[str, Any] = {}
        if method in TRAININGS or method == "fisher_best_of":
            flags["num_configurations"] = given.num_configurations
        if method == "fisher_best_of":
            flags |= {"passes": given.passes, "minutes": given.minutes}
        if method == "front":
            # The second version: each size learns for as many epochs as alone.
            flags |= {"budgets": given.budgets, "version": 2}
        found[method] = problem.fingerprint(searches=method in SEARCHES, flags=flags)
    return found


def _copies(problem: Problem, size: int) -> int:
    """How many distorted copies networks of a size learn from."""
    return problem.params.model_copy(update={"max_connections": size}).copies_for_size


def _alike(problem: Problem, budgets: list[int]) -> list[list[int]]:
    """Budgets in groups that learn from the same samples."""
    groups: dict[int, list[int]] = {}
    for budget in budgets:
        groups.setdefault(_copies(problem, budget), []).append(budget)
    return list(groups.values())


def _problem(given: argparse.Namespace, seed: int, folder: Path, size: int) -> Problem:
    """The data of one seed, for networks of a size."""
    problem = load_problem(
        given.dataset, seed, folder=folder / "tables", data_dir=given.data_dir, file=given.params, budget=size
    )
    return shortened(
        problem,
        num_epochs=given.num_epochs or problem.num_epochs,
        num_steps=given.num_steps or problem.num_steps,
    )


def _outcomes(
    problem: Problem, method: str, budgets: list[int], given: argparse.Namespace, folder: Path, kept: Rows
) -> Iterator[tuple[int, Outcome]]:
    """What a method finds at each budget."""
    if method == "l1":
        return _linear(problem, budgets)
    if method != "front" and method in SEARCHES:
        runs = [([budget], [budget]) for budget in budgets]
        return _searched(problem, method, runs, given, folder)
    if method == "front":
        return _searched(problem, method, [(given.budgets, budgets)], given, folder)
    return _trained(problem, method, budgets, given, kept)


def _linear(problem: Problem, budgets: list[int]) -> Iterator[tuple[int, Outcome]]:
    """Linear models; times and passes are those from the first one on."""
    watch = Stopwatch()
    for budget, found in l1(problem, budgets, np.random.default_rng([problem.seed, 2])):
        yield budget, Outcome(found.genome, found.configuration, 1, found.passes, *watch.read())


def _trained(
    problem: Problem, method: str, budgets: list[int], given: argparse.Namespace, kept: Rows
) -> Iterator[tuple[int, Outcome]]:
    """Networks of one training each, the best of several."""
    for budget in budgets:
        watch = Stopwatch()
        limits = {"num_workers": given.num_workers, "most": given.num_configurations}
        if method == "fisher_best_of":
            passes = given.passes or _evolved_passes(problem, budget, kept)
            best = best_of(problem, "fisher", budget, passes=passes, minutes=given.minutes, **limits)
        else:
            best = best_configuration(problem, method, budget, **limits)
        found = best.found
        yield (
            budget,
            Outcome(
                found.genome, found.configuration, best.num_tried, best.passes, *watch.read(), is_capped=best.is_capped
            ),
        )


def _searched(
    problem: Problem,
    method: str,
    runs: list[tuple[list[int], list[int]]],
    given: argparse.Namespace,
    folder: Path,
) -> Iterator[tuple[int, Outcome]]:
    """Networks of evolved searches: of each run the budgets, and those of them that are wanted."""
    for together, wanted in runs:
        watch = Stopwatch()
        found = search(
            problem,
            together,
            file=given.params,
            out_dir=folder / f"{problem.name}-{method}-{'-'.join(map(str, together))}-s{problem.seed}",
            num_workers=given.num_workers,
            data_dir=given.data_dir,
            overrides=OVERRIDES.get(method),
            is_front=method == "front",
        )
        cpu_seconds = watch.read()[1]
        for budget in wanted:
            run = found[budget]
            words = "one run for all budgets" if method == "front" else "one run"
            cost = cpu_seconds if run.is_new else None
            yield budget, Outcome(run.genome, words, 1, run.passes, run.seconds, cost, is_finished=True)


def _evolved_passes(problem: Problem, budget: int, kept: Rows) -> int:
    """Sample passes of the evolved search with the same budget and seed."""
    row = kept.find(dataset=problem.name, method="evolved", budget=budget, seed=problem.seed)
    if row is None:
        raise BenchmarkError(
            f"fisher_best_of: evolved is not measured with budget {budget} and seed {problem.seed}; measure it, or say "
            "--passes"
        )
    return int(row["passes"])


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=DATASETS, default="digits", help="default: digits")
    add("--budgets", nargs="+", type=_at_least_1, help="numbers of connections (default: by data set)")
    add("--seeds", type=_at_least_1, default=3, help="number of seeds (default: 3)")
    add("--first_seed", type=_at_least_0, default=0, help="the first of them (default: 0)")
    add("--methods", nargs="+", choices=METHODS, default=USUAL_METHODS, metavar="METHOD", help="default: all but front")
    add("--minutes", type=_above_0, default=15.0, help="after which fisher_best_of begins no training (default: 15)")
    add("--passes", type=_at_least_1, help="sample passes of fisher_best_of, instead of those of the evolved search")
    add("--num_workers", type=_at_least_1, default=2, help="trainings at the same time (default: 2)")
    add("--data_dir", help="folder with the files of MNIST or Fashion-MNIST")
    add("--params", type=Path, help="parameter file of the search and of the final stage (default: by data set)")
    add("--num_epochs", type=_at_least_1, help="epochs of a baseline's training (default: 30)")
    add("--num_steps", type=_at_least_1, help="its least number of steps (default: 4000)")
    add("--num_configurations", type=_at_least_1, help="of widths, rates and decays, the first ones (default: all)")
    add("--out", type=Path, help="file of the measurements; networks and runs go into a folder beside it")
    add("--finish_again", action="store_true", help="repeat the final stage of the measurements in --out")
    add("--summarize", nargs="+", type=Path, metavar="ROWS", help="print the tables of such files, measure nothing")
    add("--picture", type=_picture, help="file for a picture, .png, .svg or .pdf")
    return parser


class _Parser(argparse.ArgumentParser):
    """Fills in what depends on the data set."""

    def parse_args(self, *words: Any, **keywords: Any) -> Any:
        given = super().parse_args(*words, **keywords)
        given.budgets = sorted(set(given.budgets or BUDGETS[given.dataset]))
        given.methods = [method for method in METHODS if method in given.methods]
        given.params = given.params or params_file(given.dataset)
        if given.finish_again and given.out is None:
            self.error("--finish_again needs --out")
        return given


def _at_least_1(word: str) -> int:
    """A whole number above 0."""
    return _checked(int(word), word, int(word) >= 1, "at least 1")


def _at_least_0(word: str) -> int:
    """A whole number that is not negative."""
    return _checked(int(word), word, int(word) >= 0, "at least 0")


def _picture(word: str) -> Path:
    """A file that a picture can be written to."""
    path = Path(word)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{word} does not end in .png, .svg or .pdf")
    return path


def _above_0(word: str) -> float:
    """A number above 0."""
    return _checked(float(word), word, float(word) > 0, "above 0")


def _checked(number: Any, word: str, is_right: bool, wanted: str) -> Any:
    """The number if it is right."""
    if not is_right:
        raise argparse.ArgumentTypeError(f"{word} is not {wanted}")
    return number


if __name__ == "__main__":
    try:
        main()
    except (BenchmarkError, TopoevoError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the rows in --out are kept, and the same command goes on", file=sys.stderr)
        sys.exit(130)
