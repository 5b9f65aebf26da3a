"""Writing to a disk that may be full, slow, read-only or gone: files that are whole or absent, and plain words."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

#: Names of files that are being written, with that of the process in them; pictures keep their endings.
_PARTIAL = re.compile(r"\..+\.(\d+)\.(?:part|svg|png)", re.ASCII)
#: The same in run directories of version 0.1.
_OLD_PARTIAL = re.compile(r"(generation|epoch)-\d+\.partial")
#: Errors of systems that cannot synchronize folders.
_NO_SYNC = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTSUP}
#: What a user can do about an error.
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or get a larger quota",
    errno.EFBIG: "allow larger files",
    errno.EROFS: "make the file system writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EMFILE: "allow more open files",
    errno.ENFILE: "allow more open files",
    errno.EIO: "check the disk",
}


@contextlib.contextmanager
def replaced_file(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Replace a file in one step, by what is written to the file object that the context gives.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    durable
        Whether the content is on the disk when the context ends, so that even a power failure does not lose it.

    Raises
    ------
    OSError
        If it cannot be written; an earlier file is then unchanged.
    """
    # The name has the process in it, so that two processes never share a half-written file.
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names of a folder's files are on the disk, where the system can do that."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def is_partial(name: str) -> bool:
    """Return whether a file of this name is being written, or was left half-written by a process that was killed."""
    return bool(_PARTIAL.fullmatch(name) or _OLD_PARTIAL.fullmatch(name))


def delete_partial_files(folders: Iterable[Path]) -> None:
    """Delete what processes that were killed have left half-written; nothing else, and not below these folders."""
    for folder in folders:
        # What cannot be deleted does no harm.
        with contextlib.suppress(OSError):
            for path in list(folder.iterdir()):
                found = _PARTIAL.fullmatch(path.name)
                if (found and not _is_other_process(int(found[1]))) or _OLD_PARTIAL.fullmatch(path.name):
                    with contextlib.suppress(OSError):
                        path.unlink()


def cannot_write(path: Path, error: OSError) -> str:
    """Return what went wrong with a file or folder, and what to do about it, in one sentence."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return f"{path} cannot be written: its folder was deleted or moved; put it back"
    return f"{path} cannot be written: {error.strerror or error}; {_REMEDIES.get(error.errno or 0, 'mend that')}"


def _is_other_process(number: int) -> bool:
    """Whether another process with this number runs."""
    # On Windows a file that is being written cannot be deleted, and signal 0 is none.
    if number == os.getpid() or sys.platform == "win32":
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
