"""Tuning weights: the best is found, kept, and the same for the same seed."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.experiment.tuning import (
    GRID,
    CmaSettings,
    GradientSettings,
    require_cma,
    tune_by_cma,
    tune_by_gradient,
    tune_shared_weight,
)
from topoevo.kernels import load_kernel
from topoevo.network import compile_network
from topoevo.tasks.base import DataSettings, load_task

TARGET = np.array([1.0, -2.0, 0.5, 0.0], np.float32)


def returns_of(weights):
    """Minus the squared distance from the target."""
    return -np.sum((np.atleast_2d(weights) - TARGET) ** 2, axis=1).astype(np.float64)


def tuned(seed=0, *, returns=lambda weights, generation: returns_of(weights), confirm=None, num_generations=120):
    confirm = confirm or (lambda weights: float(returns_of(weights)[0]))
    settings = CmaSettings(num_generations, 10, 1)
    return tune_by_cma(returns, confirm, np.zeros(4, np.float32), settings, seed=seed, tell=lambda text: None)


def test_the_best_of_the_grid_is_taken_and_failures_are_not():
    def score(weights):
        found = -((weights.astype(np.float64) - 0.83) ** 2)
        return np.where(weights > 0.75, np.nan, found)

    assert tune_shared_weight(score) == pytest.approx(0.7)
    assert len(GRID) == 41 and GRID[0] == -2 and GRID[-1] == 2


def test_cma_finds_the_optimum_without_global_randomness():
    np.random.seed(1)  # noqa: NPY002 - what must not be touched
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = tuned()
    np.testing.assert_allclose(found, TARGET, atol=0.01)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(found, tuned())
    assert (found != tuned(seed=1)).any()


def test_what_is_kept_is_what_is_confirmed():
    """Where confirmation prefers the start, the start comes back, whatever the search has found."""
    found = tuned(confirm=lambda weights: -float(np.abs(weights).sum()), num_generations=30)
    np.testing.assert_array_equal(found, np.zeros(4))


def test_candidates_that_fail_do_not_stop_the_search():
    def returns(weights, generation):
        found = returns_of(weights)
        found[weights[:, 0] > 1.5] = np.nan
        return found

    np.testing.assert_allclose(tuned(returns=returns), TARGET, atol=0.01)
    np.testing.assert_array_equal(tuned(returns=lambda weights, generation: np.full(len(weights), np.nan)), np.zeros(4))


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(ParamsError, match=r"topoevo\[rl\]"):
        require_cma()


@pytest.fixture(scope="module")
def digits():
    return load_task(DataSettings("digits", validation_ratio=0.2))


def test_validation_samples_choose_the_epoch(digits, evolve):
    """With a learning rate that spoils everything the start is kept; without validation samples it is not."""
    network = compile_network(evolve(2, num_inputs=64, num_outputs=10, activations=("tanh",), p_enabled=0.1))
    kernel = load_kernel("numba")

    def train(task, **changes):
        settings = GradientSettings(**{"num_epochs": 3, "batch_size": 50, **changes})
        return tune_by_gradient(
            task, network, network.weight, settings, seed=0, index=0, kernel=kernel, tell=lambda text: None
        )

    np.testing.assert_array_equal(train(digits, lr=50.0), network.weight)
    assert (train(dataclasses.replace(digits, validation=None), lr=50.0) != network.weight).any()
    assert (train(digits) != network.weight).any()
