"""The run directory: where everything lies, how it is made, and what may be overwritten."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.disk import cannot_write, delete_partial_files, is_partial, sync_folder
from topoevo.errors import CheckpointError, ParamsError
from topoevo.foreign_files import decoded, parse_json, read_bytes
from topoevo.reporting.atomic import write_atomically, write_json
from topoevo.reporting.environment import describe_environment
from topoevo.reporting.folder_lock import LOCK_NAME, FolderLock

if TYPE_CHECKING:
    from topoevo.experiment.params import Params

#: Where new runs go if ``out_dir`` is not given, relative to the working directory.
LOGS = Path("logs")

#: Longer descriptions of a machine or a result are none.
_MAX_FACTS_BYTES = 2**24

#: Files of every comparison with controls (`topoevo.experiment.controls`).
_CONTROLS = tuple(
    f"controls-{kind}.{ending}"
    for kind in ("random", "shuffled", "shuffled_by_layer")
    for ending in ("svg", "png", "csv", "json")
)

#: Everything that a run writes; nothing else is ever deleted.
_CONTENTS = (
    "params.yaml",
    "environment.json",
    "run.log",
    "metrics.csv",
    "failures.jsonl",
    "failures",
    "champion.json",
    "champion.svg",
    "champion.png",
    "result.json",
    "tensorboard",
    "networks",
    "front",
    "checkpoint",
    "shared_weight_curve.svg",
    "shared_weight_curve.png",
    *_CONTROLS,
)


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run's files; the folder exists.

    Parameters
    ----------
    path
        The folder.
    lock
        Keeps other processes from writing into it, as long as anything refers to it; None while nothing is written.
    """

    path: Path
    lock: FolderLock | None = field(default=None, repr=False, compare=False)

    @property
    def params(self) -> Path:
        """Complete parameter file."""
        return self.path / "params.yaml"

    @property
    def environment(self) -> Path:
        """Versions, processor, commit."""
        return self.path / "environment.json"

    @property
    def log(self) -> Path:
        """What the console said, and every generation."""
        return self.path / "run.log"

    @property
    def metrics(self) -> Path:
        """One row per generation."""
        return self.path / "metrics.csv"

    @property
    def failures(self) -> Path:
        """One line per failed individual."""
        return self.path / "failures.jsonl"

    @property
    def failure_files(self) -> Path:
        """Folder of some of them, to look at and to replay."""
        return self.path / "failures"

    @property
    def champion(self) -> Path:
        """Network file of the best network so far."""
        return self.path / "champion.json"

    @property
    def picture_svg(self) -> Path:
        """Its picture."""
        return self.path / "champion.svg"

    @property
    def picture_png(self) -> Path:
        """Its picture in pixels."""
        return self.path / "champion.png"

    @property
    def result(self) -> Path:
        """How the run ended."""
        return self.path / "result.json"

    @property
    def tensorboard(self) -> Path:
        """Folder of events."""
        return self.path / "tensorboard"

    @property
    def networks(self) -> Path:
        """Folder of snapshots of the population."""
        return self.path / "networks"

    @property
    def front(self) -> Path:
        """Folder of the best network of each size."""
        return self.path / "front"

    @property
    def front_table(self) -> Path:
        """Their sizes and scores."""
        return self.front / "front.csv"

    @property
    def checkpoint(self) -> Path:
        """Folder of what resuming needs."""
        return self.path / "checkpoint"

    @property
    def status(self) -> str | None:
        """How the run ended, as ``result.json`` says; None if it has not, or cannot be read."""
        try:
            status = parse_json(decoded(read_bytes(self.result, most_bytes=_MAX_FACTS_BYTES)))["status"]
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return status if isinstance(status, str) else None

    def controls(self, kind: str, ending: str) -> Path:
        """Return a file of a comparison with controls; `ending` is ``json``, ``csv``, ``svg`` or ``png``."""
        return self.path / f"controls-{kind}.{ending}"

    @property
    def has_controls(self) -> bool:
        """Whether there is a comparison with controls."""
        return any((self.path / name).exists() for name in _CONTROLS)

    def delete_controls(self) -> None:
        """Delete all comparisons with controls, which tell of a champion that may be replaced."""
        for name in _CONTROLS:
            (self.path / name).unlink(missing_ok=True)

    @staticmethod
    def check(params: Params) -> None:
        """Find out, without writing anything, whether `create` would refuse.

        Raises
        ------
        ParamsError
            If ``out_dir`` is not empty and may not be overwritten, or the folder is not writable.
        CheckpointError
            If another process writes into it.
        """
        folder = LOGS if params.out_dir is None else Path(params.out_dir).expanduser()
        try:
            existing = next(one for one in (folder, *folder.absolute().parents) if one.exists() or one.is_symlink())
        except OSError as error:
            raise ParamsError(f"out_dir: {folder} cannot be used: {error.strerror or error}") from None
        if not existing.is_dir():
            raise ParamsError(f"out_dir: {existing} is a file, not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ParamsError(f"out_dir: {folder} cannot be made: the folder {existing} is not writable")
        if params.out_dir is None or existing is not folder:
            return
        try:
            if (folder / LOCK_NAME).exists():
                FolderLock(folder).release()
            _check_contents(folder, params)
        except OSError as error:
            raise ParamsError(f"out_dir: {cannot_write(folder, error)}") from error

    @staticmethod
    def create(params: Params, *, name: str = "defaults") -> RunDirectory:
        """Make the folder of a new run, with its parameter file and what it runs on.

        Parameters
        ----------
        params
            Settings; ``out_dir`` names the folder, or ``logs/<time>-<name>-s<seed>`` is made.
        name
            Name of the parameter file, without folder and ending.

        Raises
        ------
        ParamsError
            If the folder holds anything that may not be overwritten, or is not writable.
        CheckpointError
            If another process writes into it.
        """
        RunDirectory.check(params)
        try:
            if params.out_dir is None:
                folder = _make_new(LOGS, f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-s{params.seed}")
            else:
                folder = Path(params.out_dir).expanduser()
                folder.mkdir(parents=True, exist_ok=True)
            run = RunDirectory(folder, FolderLock(folder))
            # Another process may have made a run here since the first check.
            _check_contents(folder, params)
            run._clear()
            run._delete_partial_files()
            # The parameter file first: it marks the folder as that of a run, which may be overwritten.
            write_atomically(run.params, params.to_yaml(), durable=True)
            write_json(run.environment, describe_environment(), durable=True)
        except OSError as error:
            raise ParamsError(f"out_dir: {cannot_write(Path(params.out_dir or LOGS), error)}") from error
        return run

    @staticmethod
    def open(path: str | Path) -> RunDirectory:
        """Return the folder of an earlier run, to read it; `locked` comes before writing.

        Parameters
        ----------
        path
            The folder.

        Raises
        ------
        CheckpointError
            If there is no run in the folder.
        """
        run = RunDirectory(Path(path))
        if run.path.is_file():
            raise CheckpointError(f"{path}: is a file; name the folder of its run instead")
        if not run.path.is_dir():
            raise CheckpointError(f"{path}: there is no such folder")
        if not _is_run(run.path):
            raise CheckpointError(f"{path}: is not the folder of a run: params.yaml or environment.json is missing")
        return run

    def locked(self) -> RunDirectory:
        """Return this folder with a lock, so that no other process writes into it.

        Raises
        ------
        CheckpointError
            If another process does, or the folder is not writable.
        """
        self._check_links()
        try:
            run = replace(self, lock=FolderLock(self.path))
        except OSError as error:
            raise CheckpointError(cannot_write(self.path, error)) from error
        run._delete_partial_files()
        return run

    def check_place(self) -> None:
        """Check that the folder is still the one that was locked.

        Raises
        ------
        CheckpointError
            If it was deleted, moved or replaced.
        """
        if self.lock is not None and not self.lock.holds_its_folder:
            raise CheckpointError(f"{self.path} cannot be written: the folder was deleted, moved or replaced")

    def go_on(self, params: Params) -> None:
        """Replace the settings in the folder by those that the run goes on with, and add what it runs on now.

        The result goes first: what the new settings ask for would pass for done, if the program ended in between.

        Parameters
        ----------
        params
            Settings.

        Raises
        ------
        CheckpointError
            If the folder is not writable.
        """
        try:
            self.result.unlink(missing_ok=True)
            sync_folder(self.path)
        except OSError as error:
            raise CheckpointError(cannot_write(self.result, error)) from error
        try:
            write_atomically(self.params, params.to_yaml(), durable=True)
            try:
                environment = parse_json(decoded(read_bytes(self.environment, most_bytes=_MAX_FACTS_BYTES)))
                resumed = [*environment.get("resumed", []), describe_environment()]
            except (OSError, ValueError, AttributeError, TypeError):
                environment, resumed = {}, [describe_environment()]
            write_json(self.environment, {**environment, "resumed": resumed}, durable=True)
        except OSError as error:
            # Of a file that is replaced, the error names the one that was to become it.
            path = Path(error.filename2 or self.path)
            raise CheckpointError(cannot_write(path, error)) from error

    def shown(self) -> str:
        """Return the path as a user would type it: relative to the working directory where that is shorter."""
        try:
            return str(self.path.resolve().relative_to(Path.cwd()))
        except (ValueError, OSError):
            return str(self.path)

    def _check_links(self) -> None:
        """Raise if a link would lead what is written out of the folder."""
        try:
            outside = self._link_outside()
        except (OSError, RuntimeError) as error:  # The latter of a link that leads to itself.
            raise CheckpointError(f"{self.path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        if outside is not None:
            raise CheckpointError(
                f"{outside}: is no file, but a link that leads out of the folder of the run, or a pipe or device; "
                "nothing is written there"
            )

    def _link_outside(self) -> Path | None:
        """The first link in the folder that leads out of it, or pipe or device, which may have no end."""
        home = self.path.resolve()
        folders = [self.path]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        if home not in Path(entry.path).resolve().parents:
                            return Path(entry.path)
                    elif entry.is_dir():
                        folders.append(Path(entry.path))
                    elif not entry.is_file():
                        return Path(entry.path)
        return None

    def _delete_partial_files(self) -> None:
        """Delete what processes that were killed have left half-written."""
        # One level below, where folders of this run lie; links lead elsewhere.
        folders = [self.path / name for name in _CONTENTS]
        folders += list(self.networks.glob("*/")) if not self.networks.is_symlink() else []
        delete_partial_files([self.path, *(one for one in folders if one.is_dir() and not one.is_symlink())])

    def _clear(self) -> None:
        """Delete what an earlier run wrote, and nothing else."""
        # The mark of a run goes last, so that a deletion that was stopped half-way can be repeated.
        for name in sorted(_CONTENTS, key=lambda one: one == "params.yaml"):
            one = self.path / name
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one)
            else:
                one.unlink(missing_ok=True)


def _check_contents(folder: Path, params: Params) -> None:
    """Raise if a folder holds anything that may not be overwritten."""
    if not _names(folder) - {LOCK_NAME}:
        return
    if not _is_run(folder):
        raise ParamsError(f"out_dir: {folder} has files in it that no run has written; choose another folder")
    if not params.overwrite_output:
        raise ParamsError(
            f"out_dir: {folder} holds an earlier run; add --overwrite_output to replace it, "
            f"--resume {folder} to continue it, or choose another folder"
        )


def _is_run(folder: Path) -> bool:
    """Whether a run has made this folder."""
    return (folder / "params.yaml").is_file() and (
        (folder / "environment.json").is_file() or _names(folder) <= {LOCK_NAME, *_CONTENTS}
    )


def _names(folder: Path) -> set[str]:
    """Names of all that is in a folder, but for what was left half-written."""
    return {one.name for one in folder.iterdir() if not is_partial(one.name)}


def _make_new(parent: Path, name: str) -> Path:
    """A new folder; a number is added where the name is taken, even by a run that starts at the same time."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")
