"""The evolved search as a user runs it: one command, whose run directory is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frontier_methods.problem import ROOT, Problem, data_flags
from frontier_methods.rows import BenchmarkError
from topoevo import load_network
from topoevo.genome import Genome

#: What turns the search into another: its first networks alone, or blind mutation, by operators that know nothing and
#: without pruning, from sparse networks (see `first_networks`).
OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    "first": {"num_generations": 1},
    "blind": {
        "pruning": "none",
        "initial_networks": "sparse",
        "p_grow_connection": 0,
        "p_prune_connection": 0,
        "p_rewire_connection": 0,
        "p_grow_node": 0,
        "p_prune_node": 0,
        "p_merge_nodes": 0,
        "p_add_connection": 0.5,
        "p_add_node": 0.1,
        "p_remove_connection": 0.4,
    },
}
#: Share of the budget that the sparse first networks have for connections on average, and of these that are split.
SPARSE_SHARE, SPLIT_SHARE = 0.5, 0.3
#: Networks for each budget in a run that evolves several sizes at once.
NETWORKS_AN_ISLAND = 12


@dataclass(frozen=True)
class Run:
    """What a run has left.

    Parameters
    ----------
    genome
        Its champion.
    passes
        Samples that went forwards and backwards.
    seconds
        Its own, those before an interruption included.
    is_new
        Whether it was begun and finished just now.
    """

    genome: Genome
    passes: int
    seconds: float
    is_new: bool


def search(
    problem: Problem,
    budgets: Sequence[int],
    *,
    file: Path,
    out_dir: Path,
    num_workers: int,
    data_dir: str | None,
    overrides: Mapping[str, Any] | None = None,
    is_front: bool = False,
) -> dict[int, Run]:
    """Return what a run of the search has found at each budget; one that is there goes on, or is read.

    Parameters
    ----------
    problem
        Data set and seed.
    budgets
        One, ``--max_connections``, or those of a run with ``--front_connections``.
    file
        Its parameter file.
    out_dir
        Folder of the run.
    num_workers, data_dir
        Flags.
    overrides
        More flags.
    is_front
        Whether one budget, too, is evolved with ``--front_connections``.

    Raises
    ------
    BenchmarkError
        With what the program has said, if it fails.
    """
    is_new = False
    if not _is_finished(out_dir):
        started = out_dir / "checkpoint"
        if started.is_dir() and any(started.glob("*.npz")):
            words = ["--resume", str(out_dir), "--num_workers", str(num_workers)]
        else:
            is_new = True
            flags = data_flags(problem.name, problem.seed, folder=out_dir.parent / "tables", data_dir=data_dir)
            flags |= _front(budgets) if is_front else {"max_connections": budgets[0]}
            flags |= {"seed": problem.seed, "num_workers": num_workers, **(overrides or {}), "out_dir": out_dir}
            if flags.get("initial_networks") == "sparse":
                flags |= first_networks(problem.task.num_inputs * problem.task.num_outputs, budgets[0])
            words = [str(file), *_words(flags)]
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        ended = subprocess.run([sys.executable, ROOT / "run_wlnn.py", *words], capture_output=True, text=True)
        if not _is_finished(out_dir):
            raise BenchmarkError(f"run_wlnn.py {' '.join(words)}\n{(ended.stderr or ended.stdout)[-2000:]}")
    files = {budget: out_dir / "front" / f"{budget}.json" for budget in budgets}
    files = files if is_front else {budgets[0]: out_dir / "champion.json"}
    return _read(out_dir, files, is_new)


def _read(out_dir: Path, files: Mapping[int, Path], is_new: bool) -> dict[int, Run]:
    """What a finished run has left in network files, by budget."""
    result = json.loads((out_dir / "result.json").read_text())
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise BenchmarkError(f"{out_dir}: the run has not written {', '.join(missing)}")
    return {
        budget: Run(load_network(path).file.genome, result["sample_passes"], float(result["seconds"]), is_new)
        for budget, path in files.items()
    }


def first_networks(num_pairs: int, budget: int) -> dict[str, float]:
    """Return settings with which sparse first networks have hidden nodes and room to grow.

    Parameters
    ----------
    num_pairs
        Inputs times outputs, each of which may be connected at first.
    budget
        Largest number of connections.
    """
    share = SPARSE_SHARE * budget / num_pairs
    return {"p_initial_connection_enabled": min(share, 1.0), "p_initial_add_node": SPLIT_SHARE}


def _front(budgets: Sequence[int]) -> dict[str, Any]:
    """Flags of a run that evolves a network for each size."""
    population_size = NETWORKS_AN_ISLAND * len(budgets)
    return {"front_connections": budgets, "population_size": population_size}


def _words(flags: Mapping[str, Any]) -> list[str]:
    """Flags as they are typed."""
    words = []
    for name, value in flags.items():
        words += [f"--{name}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return words


def _is_finished(out_dir: Path) -> bool:
    """Whether a run has come to its end."""
    file = out_dir / "result.json"
    return file.is_file() and json.loads(file.read_text())["status"] == "finished"
