"""Losses and accuracies."""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels.arrays import Floats


class Loss(IntEnum):
    """What is minimized, averaged over samples."""

    CROSS_ENTROPY = 0  #: -log softmax of the right class, in nats
    MEAN_SQUARED_ERROR = 1  #: squared error averaged over outputs
    CLASS_SQUARED_ERROR = 2  #: the same with 1 for the right class and 0 for the others as targets

    @property
    def has_classes(self) -> bool:
        """Whether targets are class indices."""
        return self is not Loss.MEAN_SQUARED_ERROR


def target_values(loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> Floats:
    """Return what outputs are compared with by a squared error, [num_outputs, num_samples].

    Parameters
    ----------
    loss, outputs, targets
        See `Kernel.output_errors`.
    """
    if loss is Loss.MEAN_SQUARED_ERROR:
        return targets  # type: ignore[return-value]
    values: Floats = (np.arange(len(outputs))[:, None] == targets).astype(outputs.dtype)
    return values


def mean_scores(loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> tuple[float, float]:
    """Return the mean loss, and the fraction of right answers or NaN.

    Parameters
    ----------
    loss, outputs, targets
        See `Kernel.output_errors`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if loss is Loss.CROSS_ENTROPY:
            right = outputs[targets[0].astype(np.int64), np.arange(outputs.shape[1])]
            mean = float(np.mean(_log_sum_exp(outputs) - right, dtype=np.float64))
        else:
            mean = float(np.mean((outputs - target_values(loss, outputs, targets)) ** 2, dtype=np.float64))
    return mean, float(np.mean(outputs.argmax(axis=0) == targets[0])) if loss.has_classes else math.nan


def _log_sum_exp(outputs: Floats) -> Floats:
    """log(sum(exp(outputs))) over outputs, without overflow."""
    top = outputs.max(axis=0)
    result: Floats = top + np.log(np.exp(outputs - top).sum(axis=0))
    return result
