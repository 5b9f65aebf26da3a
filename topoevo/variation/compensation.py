"""Weights that make up for what mutation changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topoevo.genome import Genome
from topoevo.genome.genes import BIAS


def with_shifted_biases(genome: Genome, shift: NDArray[np.float64]) -> Genome:
    """Return `genome` with other weights of the connections from the bias node.

    Parameters
    ----------
    genome
        Left as it is.
    shift
        What is added to the input of every node, float64 [num_nodes]; it is lost where there is no enabled connection
        from the bias node, or its weight is unset.
    """
    rows = np.flatnonzero(genome.enabled & (genome.role[genome.source_row] == BIAS))
    weights = genome.connections["weight"].copy()
    weights[rows] = as_weights(weights[rows] + np.nan_to_num(shift)[genome.target_row[rows]])
    return genome.with_weights(weights)


def as_weights(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return numbers in single precision, the largest that there is instead of larger ones; NaN stays unset."""
    limit = float(np.finfo(np.float32).max)
    return np.clip(numbers, -limit, limit).astype(np.float32)
