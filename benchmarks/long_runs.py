"""Run thousands of generations, and see whether memory stays flat and time follows the size of the networks alone.

    python benchmarks/long_runs.py --num_generations 3000

Two problems, each in processes of its own: digits with a tiny training, and weight-agnostic networks on
CartPoleSwingUp. Each runs with files, TensorBoard and checkpoints; once for time and for the memory of the process, and
once with `tracemalloc` for the bytes that Python and numpy have in use. The number of connections is limited, so that
memory has no reason to grow after the first generations. Whether a long run becomes slow is seen in two ways: time is
explained by the number of genes and by the number of the generation, and the last hundred generations are repeated by a
new process, which goes on from a checkpoint.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import load_params
from topoevo.experiment.records import GenerationRecord, Observer
from topoevo.reporting import ConsoleObserver, RunDirectory, make_observers

_COMMON = {
    "population_size": 16,
    "tournament_size": 4,
    "elite_ratio": 0.1,
    "p_add_connection": 0.4,
    "p_add_node": 0.1,
    "p_remove_connection": 0.3,
    "p_complexity_objective": 0.2,
    "output_connections": True,
    "max_connections": 60,
    "test_every": 100,
    "checkpoint_every": 10,
}
PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "digits": ("wlnn", {**_COMMON, "num_samples": 128, "batch_size": 64, "num_epochs": 1, "num_workers": 2}),
    "swing-up": (
        "wann",
        {
            **_COMMON,
            "env_name": "CartPoleSwingUp",
            "num_trials": 1,
            "activations": ("linear", "tanh", "sine", "relu"),
            "p_change_activation": 0.2,
        },
    ),
}
#: Generations after which memory is to be flat, and by how much it may grow then.
SETTLED, MOST_GROWTH = 300, 0.05
#: Generations between two looks at what Python and numpy have in use, which take long.
TRACED_EVERY = 20
#: Generations that are judged together, by this percentile: pictures, tests of champions and what else the machine
#: does are not the subject.
BLOCK, QUIET = 50, 10
#: Generations at the end that a new process repeats.
REPEATED = 100


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS), help=f"some of {', '.join(PROBLEMS)}")
    parser.add_argument("--num_generations", type=int, default=3000)
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.into:
        course = run(given.problems[0], given.num_generations, given.state, is_traced=given.traced)
        given.into.write_text(json.dumps(vars(course)))
        return
    rows = []
    for problem in given.problems:
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state.npz"
            plain = in_a_process_of_its_own(problem, given.num_generations, state)
            anew = in_a_process_of_its_own(problem, given.num_generations, state)
        traced = in_a_process_of_its_own(problem, given.num_generations, traced=True)
        rows.append({"problem": problem, **judged(plain, anew, traced)})
        print_row(rows[-1])
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


@dataclass
class Course:
    """What was measured at the end of every generation.

    Parameters
    ----------
    seconds
        Processor time of the generation.
    connections
        Connection genes of an individual, mean.
    resident, traced
        Bytes of the process, and bytes that Python and numpy have in use (0 where they are not traced).
    growth
        Where most of what was in use at the end, and not when memory had settled, was allocated.
    """

    seconds: list[float] = field(default_factory=list)
    connections: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    traced: list[int] = field(default_factory=list)
    growth: list[str] = field(default_factory=list)


class Probe(Observer):
    """Measures at the end of every generation."""

    def __init__(self, course: Course, keep: Callable[[int], None]) -> None:
        self._course, self._keep = course, keep
        self._last = time.process_time()
        self._before: tracemalloc.Snapshot | None = None

    def on_generation(self, record: GenerationRecord) -> None:
        """Add to the course."""
        now = time.process_time()
        self._course.seconds.append(now - self._last)
        members = record.population.members
        self._course.connections.append(float(np.mean([len(member.genome.connections) for member in members])))
        self._course.resident.append(resident_bytes())
        if tracemalloc.is_tracing() and record.generation % TRACED_EVERY == 0:
            # What waits for the collector is no leak.
            gc.collect()
            self._course.traced.append(tracemalloc.get_traced_memory()[0])
            if record.generation == SETTLED:
                self._before = tracemalloc.take_snapshot()
        self._keep(record.generation)
        self._last = time.process_time()

    def on_end(self, outcome: Any) -> None:
        """Find out what has grown."""
        if self._before is not None:
            found = tracemalloc.take_snapshot().compare_to(self._before, "lineno")
            self._course.growth = [str(one) for one in found[:8]]


def run(problem: str, num_generations: int, state: Path | None, *, is_traced: bool) -> Course:
    """Return what is measured in one run.

    Parameters
    ----------
    problem, num_generations
        One of `PROBLEMS`, and its length.
    state
        Checkpoint to go on from; if there is none yet, that of the last `REPEATED` generations is put there.
    is_traced
        Whether allocations are followed.
    """
    family, settings = PROBLEMS[problem]
    course = Course()
    checkpoint = Checkpoint.read(state) if state is not None and state.exists() else None
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        # Not the folder itself, which exists.
        changes = {"num_generations": num_generations, "out_dir": f"{folder}/run"}
        params = load_params(None, {**settings, **changes}, family=family)
        directory = RunDirectory.create(params, name=problem)

        def keep(generation: int) -> None:
            if state is not None and checkpoint is None and generation == num_generations - REPEATED:
                shutil.copy(directory.checkpoint / f"generation-{generation:06d}.npz", state)

        observers = make_observers(directory, ConsoleObserver(directory, stream=nowhere))
        if is_traced:
            tracemalloc.start()
        experiment = Experiment(
            params,
            load_task_of(params),
            observers=[Probe(course, keep), *observers],
            checkpoint=checkpoint,
            checkpoint_folder=directory.checkpoint,
        )
        experiment.run()
        tracemalloc.stop()
        if directory.lock is not None:
            directory.lock.release()
    return course


def in_a_process_of_its_own(
    problem: str, num_generations: int, state: Path | None = None, *, traced: bool = False
) -> Course:
    """Return what is measured in one run, whose memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "course.json"
        command = [sys.executable, __file__, problem, "--num_generations", str(num_generations), "--into", str(result)]
        if state is not None:
            command += ["--state", str(state)]
        subprocess.run([*command, *(["--traced"] if traced else [])], check=True)
        return Course(**json.loads(result.read_text()))


def judged(plain: Course, anew: Course, traced: Course) -> dict[str, Any]:
    """Return growth of memory, and what time depends on.

    Parameters
    ----------
    plain, anew, traced
        A whole run, its last generations in a new process, and the whole run with `tracemalloc`.
    """
    first = SETTLED // BLOCK
    seconds, connections = typical(plain.seconds)[first:], typical(plain.connections)[first:]
    generation = np.arange(len(seconds)) * float(BLOCK)
    by_size, _, r_squared = fitted(seconds, connections)
    together, errors, _ = fitted(seconds, connections, generation)
    share = generation[-1] / np.mean(seconds)
    # The first generation of a process loads and prepares much.
    old, new = plain.seconds[-REPEATED + 1 :], anew.seconds[1:]
    assert plain.connections[-REPEATED + 1 :] == anew.connections[1:]
    return {
        "num_generations": len(plain.seconds),
        "resident_growth": growth(plain.resident, 1),
        "resident_megabytes": plain.resident[-1] / 1e6,
        "traced_growth": growth(traced.traced, TRACED_EVERY),
        "traced_megabytes": traced.traced[-1] / 1e6,
        "milliseconds": 1e3 * float(np.mean(seconds)),
        "connections": [float(connections[0]), float(connections.min()), float(connections.max())],
        "microseconds_a_connection": 1e6 * by_size[1],
        "r_squared": r_squared,
        "drift": together[2] * share,
        "drift_error": errors[2] * share,
        "old_over_new": float(np.percentile(old, QUIET) / np.percentile(new, QUIET)),
        "grown": traced.growth,
    }


def growth(sizes: Sequence[int], every: int) -> float:
    """Return by which part memory has grown since it had settled: medians of a hundred generations.

    Parameters
    ----------
    sizes, every
        Bytes, and generations between two of them.
    """
    first, width = SETTLED // every, max(100 // every, 1)
    return float(np.median(sizes[-width:]) / np.median(sizes[first : first + width]) - 1.0)


def typical(values: Sequence[float]) -> NDArray[np.float64]:
    """Return a low percentile of every block of generations: of time, what a generation takes on a quiet machine."""
    whole = len(values) // BLOCK * BLOCK
    return np.percentile(np.reshape(values[:whole], (-1, BLOCK)), QUIET, axis=1)


def fitted(
    values: NDArray[np.float64], *columns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return least-squares coefficients (the constant first), their standard errors, and R²."""
    design = np.stack([np.ones(len(values)), *columns], axis=1)
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    residuals = values - design @ coefficients
    variance = residuals @ residuals / (len(values) - design.shape[1])
    errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    return coefficients, errors, 1.0 - residuals.var() / values.var()


def resident_bytes() -> int:
    """Return the memory of this process, as the system counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def print_row(row: dict[str, Any]) -> None:
    """Print one problem."""
    low, high = row["connections"][1:]
    count, each = row["num_generations"], row["milliseconds"]
    print(f"\n{row['problem']}: {count} generations, {each:.2f} ms of processor time each")
    print(
        f"memory after generation {SETTLED} (aim: {MOST_GROWTH:.0%}): process {row['resident_growth']:+.2%} to"
        f" {row['resident_megabytes']:.0f} MB, Python and numpy {row['traced_growth']:+.2%} to"
        f" {row['traced_megabytes']:.1f} MB"
    )
    print(
        f"time: {row['microseconds_a_connection']:+.1f} µs for each of {low:.0f} to {high:.0f} connections (mean),"
        f" R² {row['r_squared']:.2f}; drift over the whole run beside that {row['drift']:+.1%}"
        f" ± {row['drift_error']:.1%}"
    )
    print(f"the last {REPEATED} generations took {row['old_over_new']:.2f} of what a new process takes", flush=True)
    for line in row["grown"]:
        print(f"    {line}")


if __name__ == "__main__":
    main()
