"""Compiling to machine code: decorators, and where the result is kept between runs.

Importing this module imports numba, so modules with compiled functions are imported where they are used.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
import platformdirs

#: Sums may be reordered into vector lanes; infinities and NaN keep their meaning.
_SUMS = {"reassoc", "contract", "nsz", "arcp"}

#: Decorator of a loop that becomes part of the entry points that call it.
#:
#: Merging is for the results, not only for speed: a function that stays apart is compiled once more with every entry
#: point, each time a little differently (which sums are fused or reordered), and which of these versions runs would
#: depend on what was compiled or loaded first in a process.
inlined_loop = numba.njit(fastmath=_SUMS, error_model="numpy", nogil=True, forceinline=True)


def cache_directory(*sources: str) -> Path:
    """Return the folder for code compiled from `sources`, made if need be.

    numba notices a change of the file that holds a function, but not of the files whose functions it calls. So the
    folder's name is a hash of all of them. It lies in ``NUMBA_CACHE_DIR`` if that is set, else in the user's cache,
    else in a temporary folder that only this process uses: what lies in a folder that others can write is not loaded.

    Parameters
    ----------
    *sources
        The files that the compiled functions are written in.
    """
    content = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for source in (*sources, __file__):
        content.update(Path(source).read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    parents = [Path(chosen)] if chosen else []
    parents.append(Path(platformdirs.user_cache_dir("topoevo")) / "compiled")
    for parent in parents:
        with suppress(OSError):
            folder = parent / content.hexdigest()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
    folder = Path(tempfile.mkdtemp(prefix="topoevo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def entry_point(folder: Path) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function called from Python and caches it in `folder`.

    The compiled function runs without Python's global lock.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        # numba reads the folder when it decorates; other users of numba keep their own.
        config: Any = numba.config
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder)
        try:
            return numba.njit(fastmath=_SUMS, error_model="numpy", nogil=True, cache=True)(function)
        finally:
            config.CACHE_DIR = before

    return decorate
