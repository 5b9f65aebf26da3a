"""Evaluation periods: which minibatches count, and that samples count, not minibatches."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.learning.history import EVALUATION_PERIODS, TrainingHistory


def history(losses: list[float], sizes: list[int], steps_per_epoch: int) -> TrainingHistory:
    losses_array = np.array(losses, np.float64)
    return TrainingHistory(losses_array, losses_array / 100, np.array(sizes, np.int32), steps_per_epoch)


@pytest.fixture
def three_epochs() -> TrainingHistory:
    """Return 3 epochs of 8 minibatches, the last of each epoch with 2 samples instead of 4; losses 0 … 23."""
    return history([float(step) for step in range(24)], [4, 4, 4, 4, 4, 4, 4, 2] * 3, 8)


def by_sample(steps: range, sizes: dict[int, int]) -> float:
    """Mean of the step numbers over samples, one after the other."""
    return float(np.mean([step for step in steps for _ in range(sizes.get(step, 4))]))


@pytest.mark.parametrize(
    ("period", "steps"),
    [
        ("integral", range(24)),
        ("last_batch", range(23, 24)),
        ("last_ten_batches", range(14, 24)),
        ("first_ten_batches", range(10)),  # the predecessor took them from the last epoch
        ("last_epoch", range(16, 24)),
    ],
)
def test_periods(three_epochs: TrainingHistory, period: str, steps: range) -> None:
    expected = by_sample(steps, {7: 2, 15: 2, 23: 2})
    loss, accuracy = three_epochs.mean(period)
    assert loss == pytest.approx(expected)
    assert accuracy == pytest.approx(expected / 100)


def test_every_period_is_tested() -> None:
    assert set(EVALUATION_PERIODS) == {"integral", "last_batch", "last_ten_batches", "first_ten_batches", "last_epoch"}


@pytest.mark.parametrize("period", EVALUATION_PERIODS)
def test_a_short_training(period: str) -> None:
    assert history([3.0], [5], 1).mean(period) == (3.0, 0.03)


def test_unknown_periods_are_refused() -> None:
    with pytest.raises((KeyError, ValueError)):
        history([3.0], [5], 1).mean("first_epoch")


def test_divergence() -> None:
    assert not history([1.0, 2.0], [1, 1], 2).diverged
    diverged = history([1.0, np.nan], [1, 1], 2)
    assert diverged.diverged
    assert np.isnan(diverged.mean("integral")[0])
    regression = TrainingHistory(np.ones(3), np.full(3, np.nan), np.ones(3, np.int32), 3)
    assert not regression.diverged, "regression has no accuracy"
    assert regression.mean("integral")[0] == 1
    assert np.isnan(regression.mean("integral")[1])
