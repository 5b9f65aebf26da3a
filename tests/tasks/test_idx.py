"""IDX files: read back, and every way they can be broken."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from topoevo.errors import TaskError
from topoevo.tasks.idx import parse_idx, read_content

ARRAY = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
CONTENT = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (5, 28, 28)) + ARRAY.tobytes()
PATH = Path("images-file")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_read_back(pack):
    assert (parse_idx(pack(CONTENT), PATH, item_shape=(28, 28)) == ARRAY).all()


def with_count(count: int) -> bytes:
    return CONTENT[:4] + count.to_bytes(4, "big") + CONTENT[8:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"\x89PNG\r\n\x1a\n", "no IDX file"),
        (b"\x00\x00\x0d\x03" + CONTENT[4:], "unsigned bytes"),
        (b"\x00\x00\x08\x01" + CONTENT[4:], "3 dimension"),
        (CONTENT[:10], "truncated within its header"),
        (CONTENT[:-1], "truncated: 3919 of 3920"),
        (CONTENT + b"x", "more values"),
        (with_count(4), "more values"),
        (with_count(0), "0 items"),
        (with_count(2**32 - 1), "4294967295 items"),
        (with_count(900_000), "truncated"),
        (CONTENT[:8] + (32).to_bytes(4, "big") + CONTENT[12:], r"\(32, 28\)"),
        (gzip.compress(CONTENT, mtime=0)[:-20], "corrupt gzip"),
        (gzip.compress(CONTENT, mtime=0)[:8], "corrupt gzip"),
        (gzip.compress(CONTENT, mtime=0)[:-8] + b"\x00" * 8, "corrupt gzip"),
        (b"\x1f\x8b" + b"\xff" * 50, "corrupt gzip"),
        (gzip.compress(CONTENT[:-1], mtime=0), "truncated: 3919"),
        (gzip.compress(CONTENT + b"x", mtime=0), "more values"),
    ],
)
def test_broken_file_is_named(content, message):
    with pytest.raises(TaskError, match=f"images-file: .*{message}"):
        parse_idx(content, PATH, item_shape=(28, 28))


def test_missing_file(tmp_path):
    with pytest.raises(TaskError, match="nowhere: cannot be read"):
        read_content(tmp_path / "nowhere")
