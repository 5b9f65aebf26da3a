"""Minibatches, and what is found out about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels.arrays import Floats, aligned_zeros


@dataclass(frozen=True, eq=False)
class Batches:
    """Samples cut into minibatches, each one contiguous.

    Parameters
    ----------
    inputs
        float32 [num_batches, num_inputs, batch_size]; what lies beyond a batch's size is zero.
    targets
        Class indices int32 [num_batches, 1, batch_size], or values float32 [num_batches, num_outputs, batch_size].
    sizes
        Samples in each minibatch, int32 [num_batches]; only the last one of each part may be smaller.
    """

    inputs: Floats
    targets: NDArray[np.int32] | Floats
    sizes: NDArray[np.int32]

    @staticmethod
    def lay_out(
        inputs: Floats,
        targets: NDArray[np.int32] | Floats,
        *,
        batch_size: int,
        order: NDArray[np.integer[Any]] | None = None,
        num_parts: int = 1,
    ) -> Batches:
        """Return samples as minibatches; the last one is smaller if they do not divide evenly.

        Parameters
        ----------
        inputs
            float32 [num_samples, num_inputs].
        targets
            int32 [num_samples] or float32 [num_samples, num_outputs].
        batch_size
            Samples a minibatch, at least 1.
        order
            Which sample comes where, int [num_samples]; None keeps the order.
        num_parts
            Parts of the same size, one after the other, each of which has minibatches of its own.
        """
        num_samples = len(inputs) if order is None else len(order)
        in_part = num_samples // num_parts
        assert in_part * num_parts == num_samples
        batch_size = min(batch_size, in_part)
        starts = [part + start for part in range(0, num_samples, in_part) for start in range(0, in_part, batch_size)]
        columns = targets[:, None] if targets.ndim == 1 else targets
        laid_inputs = aligned_zeros((len(starts), inputs.shape[1], batch_size))
        laid_targets: NDArray[Any] = np.zeros((len(starts), columns.shape[1], batch_size), columns.dtype)
        sizes = np.full(len(starts), batch_size, np.int32)
        for batch, start in enumerate(starts):
            size = min(batch_size, in_part - start % in_part)
            rows = slice(start, start + size) if order is None else order[start : start + size]
            laid_inputs[batch, :, :size] = inputs[rows].T
            laid_targets[batch, :, :size] = columns[rows].T
            sizes[batch] = size
        return Batches(laid_inputs, laid_targets, sizes)

    @property
    def num_batches(self) -> int:
        """Number of minibatches."""
        return len(self.sizes)

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return int(self.sizes.sum())


class StepScores(NamedTuple):
    """Scores of each step, of its minibatch before the step.

    Parameters
    ----------
    losses, accuracies
        Means over the minibatch, float64 [num_steps]. Accuracy is NaN for regression. Training stops at the first
        loss that is not finite; the steps from there on are NaN.
    acceptances
        Fraction of accepted proposals, float64 [num_steps]; None where nothing is proposed.
    """

    losses: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    acceptances: NDArray[np.float64] | None = None
