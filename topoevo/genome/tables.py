"""Copies of gene tables and columns, as runs of bytes: numpy copies packed records field by field, 20 times slower."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Array = TypeVar("_Array", bound=NDArray[Any])


def frozen(array: _Array) -> _Array:
    """Return the array itself, read-only from now on: it is handed out again and again."""
    array.flags.writeable = False
    return array


def editable(rows: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that may be written to.

    Parameters
    ----------
    rows
        Any dtype [num_rows], contiguous.
    """
    return np.frombuffer(bytearray(rows), rows.dtype) if len(rows) else rows.copy()


def inserted(rows: NDArray[Any], places: Sequence[int], new: bytes) -> NDArray[Any]:
    """Return a read-only copy with new rows in it.

    Parameters
    ----------
    rows
        Any dtype [num_rows], contiguous.
    places
        Row before which each new one goes, ascending; ``len(rows)`` to append.
    new
        The new rows, at least one, as they lie in memory.
    """
    if places[0] == len(rows):
        pieces: list[Any] = [rows, new]
    elif places[0] == places[-1]:
        pieces = [rows[: places[0]], new, rows[places[0] :]]
    else:
        pieces, size = [rows[: places[0]]], rows.itemsize
        for index, (place, following) in enumerate(pairwise([*places, len(rows)])):
            pieces += [new[index * size : (index + 1) * size], rows[place:following]]
    return np.frombuffer(b"".join(pieces), rows.dtype)


def kept(rows: NDArray[Any], keep: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a read-only copy of those rows that are kept.

    Parameters
    ----------
    rows
        Any dtype [num_rows], contiguous.
    keep
        Bool [num_rows].
    """
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize)))
    return frozen(as_bytes[keep].view(rows.dtype))
