"""Copies of packed tables against numpy's own, which are slow but plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topoevo.genome import CONNECTION_DTYPE, NODE_DTYPE
from topoevo.genome.tables import editable, inserted, kept

DTYPES = [NODE_DTYPE, CONNECTION_DTYPE, np.dtype(np.int32), np.dtype(np.bool_)]


def random_rows(dtype: np.dtype, count: int, seed: int) -> np.ndarray:
    """Rows of random bytes, truth values being 0 or 1."""
    values = np.random.default_rng(seed).integers(0, 2, (count, dtype.itemsize), np.uint8)
    return values.view(dtype).reshape(count)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DTYPES), st.integers(0, 9), st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_inserted_is_what_numpy_inserts(dtype: np.dtype, count: int, places: list[int]) -> None:
    places = sorted(min(place, count) for place in places)
    rows, new = random_rows(dtype, count, 0), random_rows(dtype, len(places), 1)
    before = rows.tobytes()
    result = inserted(rows, places, new.tobytes())
    assert result.tobytes() == np.insert(rows, places, new).tobytes()
    assert result.dtype == dtype
    assert not result.flags.writeable
    assert rows.tobytes() == before


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 8])
def test_kept_is_what_numpy_selects(dtype: np.dtype, count: int) -> None:
    rows = random_rows(dtype, count, 2)
    keep = np.random.default_rng(3).random(count) < 0.5
    assert kept(rows, keep).tobytes() == rows[keep].tobytes()
    assert kept(rows, keep).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 8])
def test_an_editable_copy_is_a_copy(dtype: np.dtype, count: int) -> None:
    rows = random_rows(dtype, count, 4)
    before = rows.tobytes()
    copy = editable(rows)
    assert copy.tobytes() == before
    copy[:] = np.zeros(1, dtype)
    assert rows.tobytes() == before
    assert copy.dtype == dtype
