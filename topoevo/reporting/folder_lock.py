"""A lock on a folder: one process writes into it at a time."""

from __future__ import annotations

import errno
import os
import sys
import weakref
from pathlib import Path

from topoevo.errors import CheckpointError

#: Name of the file in the folder that is locked; it is empty and stays.
LOCK_NAME = ".lock"
#: What systems say if another process has the lock.
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}


class FolderLock:
    """Hold a folder until `release`, until nobody refers to this object, or until the process ends, however it ends.

    Parameters
    ----------
    folder
        It exists.

    Raises
    ------
    CheckpointError
        If another process holds it.
    OSError
        If the file of the lock cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in _TAKEN:
                os.close(descriptor)
                raise CheckpointError(
                    f"another process is writing to {folder}; wait for it, or choose another --out_dir"
                ) from None
            # A file system that knows no locks is no reason to write nothing.
        #: Gives the folder back; more than once does no harm.
        self.release = weakref.finalize(self, os.close, descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file without waiting; to close it gives it back, and so does the end of the process."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
