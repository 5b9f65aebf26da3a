"""Archives: arrays and JSON in one file that is whole or absent, and is checked when it is read.

An archive is a numpy ``.npz`` file, not compressed. Its entry ``meta`` is JSON: format, version, the checksum of every
other entry, and what the format adds. Nothing in it is executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from topoevo.disk import cannot_write, replaced_file
from topoevo.errors import CheckpointError, in_one_line
from topoevo.foreign_files import read_arrays, shown

#: From this version of a format on, archives have checksums.
CHECKED_VERSION = 2

#: What an entry may be: an array, or arrays of one dtype that are stored one after the other as one.
Entry: TypeAlias = "NDArray[Any] | Sequence[NDArray[Any]]"

#: JSON takes many times its bytes when it is read; a population of a million has less.
_MAX_META_BYTES, _MAX_META_VALUES = 2**29, 2**24
#: Small arrays are collected up to so many bytes before they are written.
_CHUNK_BYTES = 2**20

_State = TypeVar("_State")


def write_archive(path: Path, entries: Mapping[str, Entry], meta: Mapping[str, Any]) -> None:
    """Replace an archive in one step; it is on the disk when this returns.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    entries
        Arrays by name; none is copied as a whole.
    meta
        JSON values, with at least ``format`` and ``version``.

    Raises
    ------
    OSError
        If it cannot be written; an earlier file is then unchanged.
    """
    with replaced_file(path, durable=True) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        checksums = {name: _write_entry(archive, name, entry) for name, entry in entries.items()}
        text = json.dumps({**meta, "checksums": checksums}).encode()
        _write_entry(archive, "meta", np.frombuffer(text, np.uint8))


def read_archive(path: Path, format: str, version: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the entries of an archive, and its ``meta`` as JSON values.

    Parameters
    ----------
    path
        The file.
    format, version
        What ``meta`` says it is; older versions are read, too.

    Raises
    ------
    CheckpointError
        If it is something else, damaged, or not readable.
    """
    try:
        # What is not compressed takes no more memory than the file has bytes.
        arrays, _ = read_arrays(path, most_bytes=path.stat().st_size)
        meta = _read_meta(arrays.pop("meta", None))
        found = meta.pop("format", None), meta.pop("version", None)
        if found[0] != format or type(found[1]) is not int or not 1 <= found[1] <= version:
            raise CheckpointError(f"is of another version: {shown(found[0])} {shown(found[1])}")
        checksums = meta.pop("checksums", None)
        if found[1] >= CHECKED_VERSION:
            _check(arrays, checksums)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror or error}") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise CheckpointError(str(error) or "does not fit into memory") from error
    return arrays, meta


def write_state(
    folder: Path, prefix: str, number: int, entries: Mapping[str, Entry], meta: Mapping[str, Any], *, kept: int
) -> Path:
    """Write one state of a run into `folder`, delete the oldest, and return the new file.

    Parameters
    ----------
    folder, prefix, number
        Where, and how the file is called; of the folder at most the last level is made.
    entries, meta
        See `write_archive`.
    kept
        States that stay in the folder, this one included.

    Raises
    ------
    CheckpointError
        If it cannot be written; all earlier ones are then as they were.
    """
    path = folder / f"{prefix}-{number:06d}.npz"
    try:
        # If more is missing, the run's folder has gone, and a new one would be another run's.
        folder.mkdir(exist_ok=True)
        write_archive(path, entries, meta)
        files = state_files(folder, prefix)
        # What stands after the newest state is damaged: the run went on from an earlier one.
        for old in {*files[: max(files.index(path) + 1 - kept, 0)], *files[files.index(path) + 1 :]}:
            with contextlib.suppress(OSError):
                old.unlink()
    except OSError as error:
        raise CheckpointError(cannot_write(path, error)) from error
    return path


def state_files(folder: Path, prefix: str) -> list[Path]:
    """Return the files of all states in a folder, oldest first."""
    numbers = ((path.stem.removeprefix(f"{prefix}-"), path) for path in folder.glob(f"{prefix}-*.npz"))
    return [path for _, path in sorted((int(text), path) for text, path in numbers if text.isdecimal())]


def read_last_state(
    folder: Path,
    prefix: str,
    read: Callable[[Path], _State],
    on_damaged: Callable[[str], None] | None = None,
) -> _State:
    """Return the newest state of a run that is whole.

    Parameters
    ----------
    folder, prefix
        Where, and how the files are called.
    read
        Makes a state of a file; whatever it raises stands for a damaged one.
    on_damaged
        Is told of every newer file that is not whole, in one line each.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    problems = []
    for path in reversed(state_files(folder, prefix)):
        try:
            state = read(path)
        except Exception as error:  # A damaged file can fail in any way; the one before it may be whole.
            words = str(error) if isinstance(error, CheckpointError) else in_one_line(error)
            problems.append(f"{path.name}: {words}")
            continue
        for problem in problems:
            if on_damaged is not None:
                on_damaged(f"warning: the checkpoint {problem}; going on from {path.name}")
        return state
    if problems:
        raise CheckpointError(f"no checkpoint in {folder} is readable ({'; '.join(problems)})")
    raise CheckpointError(f"there is no checkpoint in {folder}, so the run cannot go on from there")


def _write_entry(archive: zipfile.ZipFile, name: str, entry: Entry) -> str:
    """Write an array, or several as one, and return the checksum."""
    parts = [entry] if isinstance(entry, np.ndarray) else list(entry)
    dtype = parts[0].dtype
    shape = parts[0].shape
    if not isinstance(entry, np.ndarray):
        shape = (sum(len(part) for part in parts), *shape[1:])
    num_bytes = sum(part.nbytes for part in parts)
    if name == "meta" and num_bytes > _MAX_META_BYTES:
        raise CheckpointError(f"the state of the run is too large: {num_bytes} bytes of names and numbers")
    checksum = _checksum_of(dtype, shape)
    # Without a time in it, equal content makes equal files.
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=num_bytes >= 2**31 - 2**16) as stream:
        stream.write(_header(dtype, shape))
        chunk = bytearray()
        for part in parts:
            if part.dtype != dtype:
                raise AssertionError(f"arrays of {name} differ in their dtype")
            # A view of each of many small tables would take longer than a copy.
            content = _bytes_of(part) if part.nbytes > _CHUNK_BYTES else part.tobytes()
            if len(chunk) + len(content) > _CHUNK_BYTES:
                checksum.update(chunk)
                stream.write(chunk)
                chunk = bytearray()
            if len(content) > _CHUNK_BYTES:
                checksum.update(content)
                stream.write(content)
            else:
                chunk += content
        checksum.update(chunk)
        stream.write(chunk)
    return str(checksum.hexdigest())


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before an array in a file of numpy."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, as they are in memory."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _checksum_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """A SHA-256 that has seen the type and shape of an array, and goes on with its bytes."""
    return hashlib.sha256(repr((np.lib.format.dtype_to_descr(dtype), tuple(map(int, shape)))).encode())


def _read_meta(array: NDArray[Any] | None) -> dict[str, Any]:
    """The JSON values of an archive."""
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError("has no entry 'meta'")
    if array.nbytes > _MAX_META_BYTES:
        raise ValueError(f"has {array.nbytes} bytes of JSON, more than are read")
    content = array.tobytes()
    if sum(map(content.count, b",[{")) > _MAX_META_VALUES:
        raise ValueError(f"has more than {_MAX_META_VALUES} values of JSON")
    meta = json.loads(content)
    if not isinstance(meta, dict):
        raise ValueError("has an entry 'meta' that is no JSON object")
    return meta


def _check(arrays: Mapping[str, NDArray[Any]], checksums: Any) -> None:
    """Raise unless all arrays are there, and as they were written."""
    if not isinstance(checksums, dict) or checksums.keys() != arrays.keys():
        raise ValueError("has other entries than it says")
    for name, array in arrays.items():
        checksum = _checksum_of(array.dtype, array.shape)
        checksum.update(_bytes_of(array))
        if checksum.hexdigest() != checksums[name]:
            raise ValueError(f"is damaged: the entry {shown(name)} has another checksum")
