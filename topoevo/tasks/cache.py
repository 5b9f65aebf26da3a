"""Files kept between runs: downloads, and arrays that take long to compute."""

from __future__ import annotations

import hashlib
import io
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.disk import delete_partial_files, replaced_file
from topoevo.errors import TaskError

_SECONDS_TO_ANSWER = 15
_SECONDS_BETWEEN_REPORTS = 0.5
_CHECKSUM_BYTES = 32


def cache_folder() -> Path:
    """Return the user's cache folder for topoevo; the environment variable ``TOPOEVO_CACHE`` names another one."""
    chosen = os.environ.get("TOPOEVO_CACHE")
    if chosen:
        return Path(chosen)
    import pooch

    return Path(pooch.os_cache("topoevo"))


def download(
    file_name: str, *, sha256: str, mirrors: Sequence[str], folder: Path, on_progress: Callable[[str], None]
) -> Path:
    """Fetch a file from the first mirror that has the right one, and return where it lies.

    Parameters
    ----------
    file_name
        Last part of the address, and name of the file.
    sha256
        What the file must hash to.
    mirrors
        Addresses of folders, ending in ``/``, tried in turn.
    folder
        Where the file goes; a partial or wrong file is never left there.
    on_progress
        Told how much has arrived.

    Raises
    ------
    TaskError
        If no mirror has the file, or the folder is not writable; says what every mirror answered.
    """
    import pooch

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TaskError(f"{folder}: cannot be made: {error.strerror or error}") from error
    answers = []
    logger = pooch.get_logger()
    level = logger.level
    for mirror in mirrors:
        downloader = pooch.HTTPDownloader(
            progressbar=_ProgressReport(file_name, on_progress), chunk_size=1 << 16, timeout=_SECONDS_TO_ANSWER
        )
        try:
            # Its own words about the download would stand between those of `on_progress`.
            logger.setLevel("WARNING")
            return Path(
                pooch.retrieve(
                    mirror + file_name, f"sha256:{sha256}", fname=file_name, path=folder, downloader=downloader
                )
            )
        except ValueError:
            answers.append(f"{mirror}: the file there has another checksum")
        except OSError as error:  # includes every error of `requests`
            answers.append(f"{mirror}: {_reason(error)}")
        finally:
            logger.setLevel(level)
    raise TaskError(f"{file_name} cannot be downloaded ({'; '.join(answers)})")


def cached_array(
    key: str,
    shape: tuple[int, ...],
    compute: Callable[[], NDArray[np.float32]],
    *,
    say: Callable[[str], None] = lambda text: None,
) -> NDArray[np.float32]:
    """Return an array that was computed once, mapped from a file in the user's cache.

    Where the cache cannot be written, the array is computed and stays in memory.

    Parameters
    ----------
    key
        File name without extension; says everything the result depends on.
    shape
        Shape of the result; a file with another shape or checksum is replaced.
    compute
        Makes the array.
    say
        Told if it cannot be kept.

    Returns
    -------
    float32, C-contiguous, read-only if mapped
    """
    path = cache_folder() / "prepared" / f"{key}.npy"
    mapped = _map_array(path, shape)
    if mapped is not None:
        return mapped
    array = compute()
    assert array.shape == shape and array.dtype == np.float32
    content = np.ascontiguousarray(array)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        delete_partial_files([path.parent])
        with replaced_file(path) as file:
            file.write(_header(shape))
            file.write(content.data)
            file.write(_checksum(content.reshape(-1).view(np.uint8)))
        mapped = _map_array(path, shape)
    except OSError as error:
        why = f"{path} cannot be written ({error.strerror or error})"
        say(f"warning: {why}, so this is done every time; TOPOEVO_CACHE names another folder")
    return array if mapped is None else mapped


def _map_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return the array in a file, or None where there is no such array, or a damaged one."""
    header = _header(shape)
    size = math.prod(shape) * np.dtype(np.float32).itemsize
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != len(header) + size + _CHECKSUM_BYTES:
                return None
            if file.read(len(header)) != header:
                return None
        content = np.memmap(path, np.uint8, "r", offset=len(header))
    except (OSError, ValueError):
        return None
    array = content[:size]
    if content[size:].tobytes() != _checksum(array):
        return None
    return array.view(np.float32).reshape(shape)


def _header(shape: tuple[int, ...]) -> bytes:
    """Return what stands before an array of this shape in numpy's ``.npy`` format."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _checksum(content: Any) -> bytes:
    """Return what stands behind an array; numpy reads over it."""
    return hashlib.sha256(content).digest()


def _reason(error: OSError) -> str:
    """Return what went wrong with a request, in few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"answered {response.status_code}"
    if error.errno is not None:
        return error.strerror or str(error)
    return {
        "ConnectTimeout": "no answer in time",
        "ReadTimeout": "no answer in time",
        "ConnectionError": "no connection",
        "ChunkedEncodingError": "the connection broke off",
    }.get(type(error).__name__, type(error).__name__)


class _ProgressReport:
    """What pooch takes for a progress bar; turns it into words."""

    def __init__(self, file_name: str, on_progress: Callable[[str], None]) -> None:
        self.total = 0
        self._file_name = file_name
        self._on_progress = on_progress
        self._received = 0
        self._last_report = -np.inf

    def update(self, num_bytes: int) -> None:
        """Count bytes, and report now and then."""
        self._received += num_bytes
        if time.monotonic() - self._last_report >= _SECONDS_BETWEEN_REPORTS:
            self._last_report = time.monotonic()
            received = min(self._received, self.total) if self.total else self._received
            of_total = f" of {self.total / 1e6:.1f}" if self.total else ""
            self._on_progress(f"downloading {self._file_name}: {received / 1e6:.1f}{of_total} MB")

    def reset(self) -> None:
        """Start counting again."""
        self._received = 0

    def close(self) -> None:
        """Do nothing; part of what pooch expects."""
