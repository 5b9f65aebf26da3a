"""The comparison of races: budgets are counted in the epochs that were trained."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from topoevo.experiment.data import load_task_of
from topoevo.experiment.params import load_params

RUN = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "racing.py"))["run"]


@pytest.mark.parametrize(("racing", "passes_of_children"), [(1, 6 * 2), (2, 6 * 1 + 3 * 1)])
def test_passes_are_those_of_the_epochs_that_were_trained(racing: int, passes_of_children: int) -> None:
    params = load_params(
        None,
        {
            "population_size": 8,
            "tournament_size": 2,
            "elite_ratio": 0.25,
            "train_elites": False,
            "inherit_weights": True,
            "validation_ratio": 0.2,
            "reward_data": "validation",
            "p_initial_connection_enabled": 0.02,
            "max_connections": 50,
            "num_epochs": 4,
            "max_connection_epochs": 100,
            "racing": racing,
        },
    )
    row = RUN(params, load_task_of(params), 1e-9)
    first = 8 * 4 if racing == 1 else 8 * 2 + 4 * 2
    assert (row.generations, row.passes) == (1, first)
    row = RUN(params, load_task_of(params), first + passes_of_children)
    assert (row.generations, row.passes) == (2, first + passes_of_children)
