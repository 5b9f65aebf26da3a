"""Files that anyone may have written, read within bounds: nothing is allocated before it is known how much it is.

What is wrong with a file is a `ValueError` of one sentence without the file's name; the reader of a format names the
file and turns it into a `topoevo.errors.TopoevoError`.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

#: JSON deeper than this is nobody's; what walks through it may call itself as often.
MAX_DEPTH = 50
#: Values in one JSON file: those of a network with a million connections.
MAX_VALUES = 8_000_000

#: Longer whole numbers are no count, seed or identity.
_MAX_DIGITS = 40
#: What is read of an archive at a time, and so what its directory may take: thousands of entries.
_MAX_PIECE_BYTES = 2**20
#: What an array's description may take; numpy's own limit.
_MAX_HEADER_BYTES = 10_000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def read_bytes(path: Path, *, most_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Parameters
    ----------
    path
        The file.
    most_bytes
        Larger files are refused before they are read.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no file, too large, or its name is impossible.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is no file")
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > most_bytes:
            raise ValueError(f"has {size} bytes; at most {most_bytes} are read")
        try:
            content = file.read(size + 1)
        except MemoryError:
            raise ValueError("does not fit into memory") from None
    # Some files of the system say that they have no bytes, and have no end.
    if len(content) > size:
        raise ValueError("grows while it is read")
    return content


def decoded(content: bytes) -> str:
    """Return bytes as text; a byte order mark is left out.

    Raises
    ------
    ValueError
        If it is no UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text in UTF-8: {error.reason} at byte {error.start}") from None


def shown(text: object, *, length: int = 80) -> str:
    """Return what a file says as a message may quote it: in quotes, short, without control characters."""
    words = str(text)
    return repr(words if len(words) <= length else words[: length - 3] + "...")


def plain(text: object, *, length: int = 300) -> str:
    """Return the same without quotes, for what is partly our own words."""
    return shown(text, length=length)[1:-1]


def has_controls(text: str) -> bool:
    """Return whether text holds characters that steer a terminal, other than ends of lines and tabs."""
    return _CONTROL.search(text) is not None


# -- JSON -------------------------------------------------------------------------------------------------------


def parse_json(text: str, *, most_values: int = MAX_VALUES) -> Any:
    """Return JSON values, of JSON as its standard says and no more.

    Parameters
    ----------
    text
        All of the file.
    most_values
        How many values there may be, with those inside others.

    Raises
    ------
    ValueError
        If it is no JSON, has a key twice in one object, numbers that are not finite or endless, half a surrogate pair,
        or is too deep or too large.
    """
    # Every value but the first follows a comma or an opening bracket; commas in text count too, of which few are.
    if sum(text.count(mark) for mark in ",[{") > most_values:
        raise ValueError(f"has more than {most_values} values")
    try:
        content = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite, parse_int=_bounded
        )
        _check_depth(content)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("is no valid JSON: a character is half of a surrogate pair") from None
    except RecursionError:
        raise ValueError(f"is no valid JSON: it is nested deeper than {MAX_DEPTH} levels") from None
    except MemoryError:
        raise ValueError("does not fit into memory") from None
    except ValueError as error:
        raise ValueError(f"is no valid JSON: {error}") from None
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} appears twice in one object")
    return found


def _no_number(constant: str) -> NoReturn:
    """Raise at a constant that is not JSON."""
    raise ValueError(f"{constant} is no number of JSON; null is a number that was never given")


def _finite(text: str) -> float:
    """A number that is one."""
    if math.isinf(number := float(text)):
        raise ValueError(f"the number {shown(text, length=20)} is too large")
    return number


def _bounded(text: str) -> int:
    """A whole number that somebody may mean."""
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a whole number has {len(text)} digits")
    return int(text)


def _check_depth(content: Any) -> None:
    """Raise unless JSON values are nested in few levels."""
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for one in level
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise RecursionError


# -- arrays -----------------------------------------------------------------------------------------------------


def read_arrays(
    path: Path, *, most_bytes: int, wanted: Collection[str] | None = None
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return arrays of a ``.npz`` file; what numpy would unpickle is refused.

    Parameters
    ----------
    path
        The file.
    most_bytes
        Of all arrays that are read together, unpacked.
    wanted
        Names of the arrays that are read if they are there; None: all.

    Returns
    -------
    arrays
        By name.
    names
        Of all arrays in the file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no archive of plain arrays, is damaged, or unpacks to more than `most_bytes`.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is no file")
    try:
        with path.open("rb") as file, zipfile.ZipFile(cast(IO[bytes], _Pieces(file))) as archive:
            return _arrays(archive, most_bytes, wanted)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise ValueError(f"is no archive, or a damaged one: {error}") from None
    except MemoryError:
        raise ValueError("does not fit into memory") from None


class _Pieces:
    """A file that hands out small pieces only, so that an archive cannot have a directory of any size."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or those to the end, if they are few."""
        data = self._file.read(_MAX_PIECE_BYTES + 1 if size < 0 else min(size, _MAX_PIECE_BYTES + 1))
        if len(data) > _MAX_PIECE_BYTES:
            raise ValueError("is an archive with a directory of more than a megabyte, or with huge cells")
        return data

    def close(self) -> None:
        """Leave the file to who has opened it."""


def _arrays(
    archive: zipfile.ZipFile, most_bytes: int, wanted: Collection[str] | None
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Arrays of an open archive, and the names of all."""
    entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise ValueError("is an archive in which a name appears twice")
    chosen = [name for name in entries if wanted is None or name in wanted]
    # Nothing beyond the size that the directory states is ever unpacked.
    if (size := sum(entries[name].file_size for name in chosen)) > most_bytes:
        raise ValueError(f"unpacks to {size} bytes; at most {most_bytes} are read")
    return {name: _array(archive, entries[name], name) for name in chosen}, list(entries)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """One array, whose size is known to be that of its entry before it is read."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"has the entry {shown(name)}, compressed in a way that numpy never does")
    with archive.open(info) as stream:
        try:
            header_bytes, shape, dtype = _described(stream)
        except (zipfile.BadZipFile, zlib.error, EOFError):
            raise
        except Exception:  # Numpy reads the description as Python, which fails in many ways.
            raise ValueError(f"has an entry {shown(name)} that is no array of numpy") from None
    count = math.prod(shape)
    if dtype.hasobject or not _is_plain(dtype) or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"has the array {shown(name)} of type {shown(dtype)}, not of plain numbers or text")
    if header_bytes + count * dtype.itemsize != info.file_size:
        raise ValueError(f"has the array {shown(name)} of {info.file_size} bytes, not of what its shape needs")
    with archive.open(info) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # At the end the checksum is compared.
    return array


def _described(stream: IO[bytes]) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Length of an array's header, its shape and its type."""
    counted = _Counted(stream)
    file = cast(IO[bytes], counted)
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = readers[version](file, max_header_size=_MAX_HEADER_BYTES)
    return counted.num_bytes, shape, dtype


class _Counted:
    """A stream that knows how much was read; a description that is longer than any is not read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.num_bytes = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        if size > 2 * _MAX_HEADER_BYTES:
            raise ValueError("the description of an array is too long")
        data = self._stream.read(size)
        self.num_bytes += len(data)
        return data


def _is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether a type, or every column of a record, is one of plain values."""
    if dtype.names is None:
        return dtype.subdtype is None and dtype.kind in "biufcSU"
    return all(field[0].names is None and _is_plain(field[0]) for field in (dtype.fields or {}).values())
