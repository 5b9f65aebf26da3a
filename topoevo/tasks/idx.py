"""The IDX file format of MNIST: big-endian sizes, then unsigned bytes."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.foreign_files import read_bytes

_UNSIGNED_BYTE = 0x08
_GZIP_START = b"\x1f\x8b"
_MOST_ITEMS = 1_000_000
_MOST_BYTES_OF_FILE = 1 << 30
_BYTES_AT_ONCE = 1 << 20


def read_content(path: Path) -> bytes:
    """Return the bytes of a file, packed as they are.

    Raises
    ------
    TaskError
        If the file cannot be read or is larger than 1 GiB.
    """
    try:
        return read_bytes(path, most_bytes=_MOST_BYTES_OF_FILE)
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise TaskError(f"{path}: {error}") from error


def parse_idx(content: bytes, path: Path, *, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the array in the bytes of an IDX file, gzipped or not.

    Parameters
    ----------
    content
        Bytes of the file.
    path
        Named in errors.
    item_shape
        Expected shape behind the first dimension: ``(28, 28)`` for images, ``()`` for labels.

    Returns
    -------
    uint8 [num_items, *item_shape]
        Read-only.

    Raises
    ------
    TaskError
        If the content is no IDX file of unsigned bytes, of other dimensions, truncated, too long, or corrupt gzip.
    """
    packed = content.startswith(_GZIP_START)
    stream: io.BufferedIOBase = gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content)
    try:
        num_items, num_bytes = _read_header(stream, path, item_shape)
        values = np.empty(num_bytes, np.uint8)
        found = _fill(values, stream)
        # Reading on to the end also makes gzip compare its checksum.
        surplus = bool(stream.read(1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TaskError(f"{path}: is truncated or corrupt gzip: {error}") from error
    except MemoryError:
        raise TaskError(f"{path}: does not fit into memory") from None
    if found < num_bytes:
        raise TaskError(f"{path}: is truncated: {found} of {num_bytes} values for {num_items} items")
    if surplus:
        raise TaskError(f"{path}: has more values than the {num_bytes} its header announces")
    values.flags.writeable = False
    return values.reshape(num_items, *item_shape)


def _fill(values: NDArray[np.uint8], stream: io.BufferedIOBase) -> int:
    """Fill an array from a stream, piece by piece, and return how many there were; the rest takes no memory."""
    done = 0
    while done < len(values) and (piece := stream.read(min(_BYTES_AT_ONCE, len(values) - done))):
        values[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return done


def _read_header(stream: io.BufferedIOBase, path: Path, item_shape: tuple[int, ...]) -> tuple[int, int]:
    """Return number of items and number of values, both checked before anything is allocated."""
    num_dimensions = 1 + len(item_shape)
    header = stream.read(4 + 4 * num_dimensions)
    magic = bytes([0, 0, _UNSIGNED_BYTE, num_dimensions])
    if header[:4] != magic:
        raise TaskError(
            f"{path}: is no IDX file of unsigned bytes with {num_dimensions} dimension(s): "
            f"starts with {header[:4].hex() or 'nothing'}, expected {magic.hex()}"
        )
    if len(header) < 4 + 4 * num_dimensions:
        raise TaskError(f"{path}: is truncated within its header")
    num_items, *shape = (int(size) for size in np.frombuffer(header[4:], dtype=">u4"))
    if tuple(shape) != item_shape:
        raise TaskError(f"{path}: items have shape {tuple(shape)}, expected {item_shape}")
    if not 1 <= num_items <= _MOST_ITEMS:
        raise TaskError(f"{path}: has {num_items} items, expected 1 to {_MOST_ITEMS}")
    return num_items, num_items * math.prod(item_shape)
