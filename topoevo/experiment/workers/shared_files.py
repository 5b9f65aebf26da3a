"""Files that all processes of a pool read: samples, mapped into memory once, and the conditions of a generation."""

from __future__ import annotations

import io
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from topoevo.errors import WorkerError, in_one_line
from topoevo.experiment.problem import Conditions, Evaluator
from topoevo.experiment.workers.parcels import Packing
from topoevo.tasks.task import Samples

#: Files that lie in memory, where the system has such a folder.
_IN_MEMORY = Path("/dev/shm")
#: So much is left to others there, bytes.
_LEFT_TO_OTHERS = 2**30


class SharedFiles:
    """Writes what workers need into a folder of its own.

    Samples are written once, as long as conditions refer to them; conditions once a generation. Files lie in memory
    where there is room, else in the folder for temporary files.
    """

    def __init__(self) -> None:
        self._packing = Packing()
        self._folders: list[Path] = []
        self._samples: dict[str, tuple[Path, Path]] = {}
        self._last = ""
        self._conditions: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder for small files."""
        return self._folder_in(Path(tempfile.gettempdir()))

    def remove(self) -> None:
        """Remove all files."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()

    def write(self, evaluator: Evaluator[Any], shared: Conditions) -> Path:
        """Return the file of these conditions; it is written if they are not those of the last time.

        Parameters
        ----------
        evaluator, shared
            How genomes are judged, and on what.

        Raises
        ------
        WorkerError
            If they cannot be pickled, or there is no room.
        """
        try:
            packed = self._packing.pack(evaluator, shared)
        except Exception as error:
            raise WorkerError(
                f"what evaluates networks cannot be sent to a process ({in_one_line(error)}); take joblib_backend"
                " threading"
            ) from error
        if self._conditions is not None and self._last == packed.name:
            return self._conditions
        # The workers are between two generations, and nobody reads what is not needed any more.
        unneeded = [file for name, files in self._samples.items() if name not in packed.samples for file in files]
        self._forget(unneeded if self._conditions is None else [*unneeded, self._conditions])
        self._samples = {
            name: self._samples.get(name) or (self._array_file(one.inputs), self._array_file(one.targets))
            for name, one in packed.samples.items()
        }
        content = pickle.dumps((packed.content, self._samples))
        self._last, self._conditions = packed.name, self._new_file(len(content), lambda file: file.write(content))
        return self._conditions

    def _array_file(self, array: np.ndarray[Any, Any]) -> Path:
        """An array that others can map into memory."""
        return self._new_file(array.nbytes, lambda file: np.save(file, array, allow_pickle=False))

    def _new_file(self, size: int, write: Callable[[IO[bytes]], object]) -> Path:
        """A file in the first folder that has room."""
        reasons = []
        for parent in (_IN_MEMORY, Path(tempfile.gettempdir())):
            file = None
            try:
                if parent == _IN_MEMORY and shutil.disk_usage(parent).free < size + _LEFT_TO_OTHERS:
                    continue
                with tempfile.NamedTemporaryFile(dir=self._folder_in(parent), delete=False) as file:
                    write(file)
                return Path(file.name)
            except OSError as error:
                reasons.append(str(error))
                self._forget([] if file is None else [Path(file.name)])
        raise WorkerError(f"samples cannot be handed to worker processes: {'; '.join(reasons)}")

    def _folder_in(self, parent: Path) -> Path:
        """Folder of this object, which nobody else may read."""
        mine = next((folder for folder in self._folders if folder.parent == parent), None)
        if mine is None:
            mine = Path(tempfile.mkdtemp(prefix="topoevo-workers-", dir=parent))
            self._folders.append(mine)
        return mine

    @staticmethod
    def _forget(files: Iterable[Path]) -> None:
        """Remove files; who has mapped them goes on reading them."""
        for file in files:
            with suppress(OSError):
                file.unlink()


#: Folders that this process has read from.
folders_read: set[Path] = set()


def read(path: Path) -> tuple[Evaluator[Any], Conditions]:
    """Return evaluator and conditions; called in a worker process.

    Parameters
    ----------
    path
        As returned by `SharedFiles.write` in the parent process.
    """
    folders_read.add(path.parent)
    content, files = pickle.loads(path.read_bytes())
    unpickler = pickle.Unpickler(io.BytesIO(content))
    unpickler.persistent_load = lambda name: _mapped(*files[name])  # type: ignore[method-assign]
    evaluator, shared = unpickler.load()
    return evaluator, shared


@lru_cache(2)
def _mapped(inputs: Path, targets: Path) -> Samples:
    """Samples that are in memory once for all processes."""
    folders_read.update((inputs.parent, targets.parent))
    return Samples(*(np.load(file, mmap_mode="r", allow_pickle=False) for file in (inputs, targets)))
