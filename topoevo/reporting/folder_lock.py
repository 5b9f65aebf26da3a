"""A lock on a folder: one process writes into it at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import sys
import time
import weakref
from pathlib import Path

from topoevo.errors import CheckpointError

#: Name of the file in the folder that is locked; it says who holds it, and stays.
LOCK_NAME = ".lock"
#: What systems say if another process has the lock.
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
#: The only content that is shown.
_HOLDER = re.compile(r"process \d{1,10} on [\w.-]{1,64} since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


class FolderLock:
    """Hold a folder until `release`, until nobody refers to this object, or until the process ends, however it ends.

    Parameters
    ----------
    folder
        It exists.

    Raises
    ------
    CheckpointError
        If another process holds it; says which.
    OSError
        If the file of the lock cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        if self._path.is_symlink():
            raise CheckpointError(f"{self._path}: is a link, which no lock is; delete it")
        # A link that was put there since is not followed either: what it leads to would be overwritten.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(self._descriptor)
        except OSError as error:
            if error.errno in _TAKEN:
                holder = _holder(self._descriptor)
                os.close(self._descriptor)
                raise CheckpointError(
                    f"another process is writing to {folder}{holder}; wait for it, or choose another --out_dir"
                ) from None
            # A file system that knows no locks is no reason to write nothing.
        # The lock is the system's; what the file says is for people, and may be missing on a full disk.
        with contextlib.suppress(OSError):
            _sign(self._descriptor)
        #: Gives the folder back; more than once does no harm.
        self.release = weakref.finalize(self, _give_back, self._descriptor)

    @property
    def holds_its_folder(self) -> bool:
        """Whether the folder is still where it was, and nobody has put another one in its place."""
        try:
            there, ours = os.stat(self._path), os.fstat(self._descriptor)
        except OSError:
            return False
        return os.path.samestat(there, ours)


def _lock(descriptor: int) -> None:
    """Lock an open file without waiting; to close it gives it back, and so does the end of the process."""
    if sys.platform == "win32":
        import msvcrt

        # The first bytes, which are read by others, stay free.
        os.lseek(descriptor, 2**20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sign(descriptor: int) -> None:
    """Write into the file of the lock who holds it."""
    host = re.sub(r"[^\w.-]", "_", platform.node(), flags=re.ASCII)[:64] or "unknown"
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {host} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())


def _give_back(descriptor: int) -> None:
    """Empty and close the file of the lock."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def _holder(descriptor: int) -> str:
    """What the file of the lock says, in parentheses; nothing where it says nothing of the kind."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        words = os.read(descriptor, 200).decode("ascii", errors="replace").strip()
    except OSError:
        return ""
    return f" ({words})" if _HOLDER.fullmatch(words) else ""
