"""The course of a training, and the part of it that counts as the network's score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Which part of a training the score is taken from (Rieke 2020).
EVALUATION_PERIODS = ("integral", "last_batch", "last_ten_batches", "first_ten_batches", "last_epoch")


@dataclass(frozen=True, eq=False)
class TrainingHistory:
    """Scores of every minibatch, taken just before the step that it causes.

    Parameters
    ----------
    losses
        Mean loss over the minibatch, float64 [num_steps]; NaN from the first loss on that was not finite.
    accuracies
        Fraction of right answers, float64 [num_steps]; NaN for regression.
    sizes
        Samples in the minibatch, int32 [num_steps].
    steps_per_epoch
        Minibatches in one epoch.
    acceptances
        Fraction of accepted proposals, float64 [num_steps]; None where nothing is proposed.
    """

    losses: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    sizes: NDArray[np.int32]
    steps_per_epoch: int
    acceptances: NDArray[np.float64] | None = None

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite."""
        return bool(np.isnan(self.losses).any())

    def mean(self, period: str) -> tuple[float, float]:
        """Return loss and accuracy, averaged over the samples of one period.

        Parameters
        ----------
        period
            ``integral`` (the whole training), ``last_batch``, ``last_ten_batches``, ``first_ten_batches`` (of the whole
            training) or ``last_epoch``.
        """
        steps = {
            "integral": slice(None),
            "last_batch": slice(-1, None),
            "last_ten_batches": slice(-10, None),
            "first_ten_batches": slice(10),
            "last_epoch": slice(-self.steps_per_epoch, None),
        }[period]
        weights = self.sizes[steps]
        return (
            float(np.average(self.losses[steps], weights=weights)),
            float(np.average(self.accuracies[steps], weights=weights)),
        )
