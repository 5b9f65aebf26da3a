"""The evolved search as a user runs it: one command, whose run directory is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frontier_methods.problem import ROOT, Problem, Score, data_flags
from topoevo import load_network
from topoevo.experiment.params import load_params
from topoevo.genome import Genome

#: What turns the search into one with blind mutation alone: operators that know nothing, and no pruning.
BLIND: Mapping[str, Any] = {
    "pruning": "none",
    "initial_hidden_nodes": "null",
    "p_grow_connection": 0,
    "p_prune_connection": 0,
    "p_rewire_connection": 0,
    "p_grow_node": 0,
    "p_prune_node": 0,
    "p_merge_nodes": 0,
    "p_add_connection": 0.5,
    "p_add_node": 0.1,
    "p_remove_connection": 0.4,
}


@dataclass(frozen=True)
class Run:
    """What a run has left.

    Parameters
    ----------
    genome
        Its champion.
    validation
        Score of the champion on the validation samples.
    passes
        Samples that went forwards and backwards.
    is_bound
        Whether `passes` is the most that its settings allow, because the run tells no number.
    seconds
        Its own, those before an interruption included.
    """

    genome: Genome
    validation: Score
    passes: int
    is_bound: bool
    seconds: float


class SearchError(Exception):
    """A run that has not come to its end."""


def search(
    problem: Problem,
    budget: int,
    *,
    file: Path,
    out_dir: Path,
    num_workers: int,
    data_dir: str | None,
    overrides: Mapping[str, Any] | None = None,
) -> Run:
    """Return the run of the search that has at most so many connections; one that is there goes on, or is read.

    Parameters
    ----------
    problem
        Data set and seed.
    budget
        ``--max_connections``.
    file
        Its parameter file.
    out_dir
        Folder of the run.
    num_workers, data_dir
        Flags.
    overrides
        More flags.

    Raises
    ------
    SearchError
        With what the program has said, if it fails.
    """
    if not _is_finished(out_dir):
        started = out_dir / "checkpoint"
        if started.is_dir() and any(started.glob("*.npz")):
            words = ["--resume", str(out_dir), "--num_workers", str(num_workers)]
        else:
            data = data_flags(problem.name, problem.seed, folder=out_dir.parent / "tables", data_dir=data_dir)
            flags = data | {"max_connections": budget, "seed": problem.seed, "num_workers": num_workers}
            flags |= dict(overrides or {}) | {"out_dir": str(out_dir)}
            words = [str(file), *(word for name, value in flags.items() for word in (f"--{name}", str(value)))]
        ended = subprocess.run([sys.executable, ROOT / "run_wlnn.py", *words], capture_output=True, text=True)
        if not _is_finished(out_dir):
            raise SearchError(f"run_wlnn.py {' '.join(words)}\n{(ended.stderr or ended.stdout)[-2000:]}")
    return read_run(problem, out_dir)


def read_run(problem: Problem, out_dir: Path) -> Run:
    """Return what a finished run has left; its champion is scored here, as every method's network is."""
    result = json.loads((out_dir / "result.json").read_text())
    genome = load_network(out_dir / "champion.json").file.genome
    passes = result.get("sample_passes")
    return Run(
        genome,
        problem.score_genome("validation", genome),
        _most_passes(out_dir, result["evaluations"], len(problem.task.train)) if passes is None else int(passes),
        passes is None,
        float(result["seconds"]),
    )


def _is_finished(out_dir: Path) -> bool:
    """Whether a run has come to its end."""
    file = out_dir / "result.json"
    return file.is_file() and json.loads(file.read_text())["status"] == "finished"


def _most_passes(out_dir: Path, num_evaluations: int, num_samples: int) -> int:
    """The most samples that the settings of a run let pass: trainings, confirmations and the end."""
    params = load_params(out_dir / "params.yaml", {})
    a_training = params.num_epochs * (params.num_samples or num_samples)
    a_confirmation = params.num_epochs * num_samples if params.reward_data == "training" else 0
    more = (params.initial_epochs or params.num_epochs) - params.num_epochs
    return (
        num_evaluations * a_training
        + params.population_size * more * (params.num_samples or num_samples)
        + params.num_generations * a_confirmation
        + params.final_epochs * num_samples
    )
