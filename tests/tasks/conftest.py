"""What the tests of tasks share: a cache of their own, small IDX files, and the real files where they lie."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from topoevo.tasks.mnist import FILES

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Return the folder that stands for the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TOPOEVO_CACHE", str(folder))
    return folder


@pytest.fixture
def real_data():
    """Return the folder of the real files; without them the test is skipped."""
    if not all((REAL_DATA / name / FILES[0]).is_file() for name in ("mnist", "fashion-mnist")):
        pytest.skip(f"needs the IDX files of MNIST and Fashion-MNIST in {REAL_DATA}")
    return REAL_DATA


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an IDX file of unsigned bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def small_files(tmp_path):
    """Return a folder with gzipped files of 60 training and 20 test images, and the arrays in them."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "data"
    folder.mkdir()
    arrays = {
        FILES[0]: rng.integers(0, 256, (60, 28, 28)),
        FILES[1]: np.arange(60) % 10,
        FILES[2]: rng.integers(0, 256, (20, 28, 28)),
        FILES[3]: np.arange(20) % 10,
    }
    for name, array in arrays.items():
        (folder / name).write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    return folder, arrays
