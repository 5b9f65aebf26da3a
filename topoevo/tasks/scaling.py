"""Offset and scale of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALINGS = ("none", "center", "standardize")

_ROWS_AT_ONCE = 4096


def fit_scaling(
    columns: NDArray[Any], scaling: str, *, unit: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return offset and scale of every column, so that ``(column - offset) / scale`` is scaled.

    Parameters
    ----------
    columns : float [num_samples, num_columns]
        Training samples.
    scaling
        ``none``: divided by `unit`. ``center``: mean 0, divided by `unit`. ``standardize``: mean 0 and
        standard deviation 1 (of the population); a constant column becomes 0 and has scale 1.
    unit
        Greater than 0.

    Returns
    -------
    offset, scale : float32 [num_columns]
    """
    assert scaling in SCALINGS
    num_columns = columns.shape[1]
    scale = np.full(num_columns, unit, dtype=np.float32)
    if scaling == "none":
        return np.zeros(num_columns, dtype=np.float32), scale
    offset = np.asarray(np.mean(columns, axis=0, dtype=np.float64), dtype=np.float32)
    if scaling == "standardize":
        squares = np.zeros(num_columns)
        for start in range(0, len(columns), _ROWS_AT_ONCE):
            # About the rounded mean, so that a column far from zero keeps unit size in spite of the rounding.
            deviation = columns[start : start + _ROWS_AT_ONCE].astype(np.float64) - offset
            squares += np.einsum("ij,ij->j", deviation, deviation)
        varies = columns.min(axis=0) != columns.max(axis=0)
        scale = np.where(varies, np.sqrt(squares / len(columns)), 1.0).astype(np.float32)
        scale[scale == 0] = 1.0
    return offset, scale


def apply_scaling(
    columns: NDArray[Any], offset: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return ``(columns - offset) / scale``, computed in float64.

    Parameters
    ----------
    columns : float [num_samples, num_columns]
    offset, scale : float32 [num_columns]

    Returns
    -------
    float32 [num_samples, num_columns]
        C-contiguous. `columns` itself where nothing changes, so that a file stays mapped.
    """
    if columns.dtype == np.float32 and columns.flags.c_contiguous and not offset.any() and (scale == 1).all():
        return columns
    scaled = np.empty(columns.shape, dtype=np.float32)
    for start in range(0, len(columns), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        scaled[rows] = (columns[rows].astype(np.float64) - offset) / scale
    return scaled
