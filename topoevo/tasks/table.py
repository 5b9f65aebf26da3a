"""The user's own table: a ``.csv`` file with a header row, or the arrays of an ``.npz`` file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from topoevo.errors import TaskError, did_you_mean
from topoevo.foreign_files import shown
from topoevo.tasks.base import DATASETS, Dataset, DataSettings, Progress, RawData
from topoevo.tasks.csv_file import read_csv
from topoevo.tasks.npz_file import read_npz
from topoevo.tasks.table_part import TablePart
from topoevo.tasks.targets import TargetCoding

SMALLEST_TABLE = 10


@DATASETS.register
@dataclass(frozen=True)
class Table(Dataset):
    """Rows of numbers, one column of which is the target; text is allowed in the target column alone.

    A CSV file has the names of its columns in its first row. An ``.npz`` file has ``X`` and ``y``, or ``x_train`` and
    ``y_train``, and if it has a test set ``X_test`` and ``y_test`` (or ``x_test``, ``Xt`` and so on). Inputs, and the
    targets of a regression, are standardized.
    """

    name: ClassVar[str] = "table"
    default_scaling: ClassVar[str] = "standardize"
    is_file: ClassVar[bool] = True

    @classmethod
    def handles(cls, dataset: str) -> bool:
        """Return whether `dataset` is a path that ends in ``.csv`` or ``.npz``."""
        return Path(dataset).suffix.lower() in (".csv", ".npz")

    def read(self, settings: DataSettings, on_progress: Progress) -> RawData:
        """Return the rows of the file, and of the test file if there is one.

        Raises
        ------
        TaskError
            If a file is missing, empty, ragged or has cells that are not numbers, or if its targets cannot be
            learned: one class only, or other classes or columns in the test file.
        """
        files = {"dataset": _locate(settings.dataset, "dataset", settings.data_dir)}
        if settings.test_file is not None:
            files["test_file"] = _locate(settings.test_file, "test_file", settings.data_dir)
        train, test = _read_files(files, settings.target_column)
        if len(train.inputs) < SMALLEST_TABLE:
            raise TaskError(f"{train.where}: has {len(train.inputs)} row(s), needs at least {SMALLEST_TABLE}")
        if not train.input_names:
            raise TaskError(f"{train.where}: has no input columns beside its target")
        coding = TargetCoding.fit(train, settings.task_type)
        path = files["dataset"]
        on_progress(f"{path.name}: {len(train.inputs)} rows, {len(train.input_names)} inputs, {coding.words()}")
        return RawData(
            kind=coding.kind,
            inputs=train.inputs,
            targets=coding.encode(train),
            test_inputs=None if test is None else test.inputs,
            test_targets=None if test is None else coding.encode(test),
            input_names=train.input_names,
            output_names=coding.names,
            target_scaling="standardize",
            provenance={
                "dataset": path.name,
                "sha256": {file.name: _sha256(file) for file in files.values()},
                "preprocessing": "columns of numbers",
                "target_columns": list(train.target_names),
            },
        )


def _sha256(path: Path) -> str:
    """Return the checksum of a file, read piece by piece."""
    checksum = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                checksum.update(piece)
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error
    return checksum.hexdigest()


def _locate(file_name: str, setting: str, data_dir: str | None) -> Path:
    """Return the path of a file as given, or else below ``data_dir``."""
    try:
        file_name.encode()
    except UnicodeEncodeError:
        raise TaskError(
            f"{setting}: {shown(file_name)} is no name in UTF-8, so it cannot be recorded; rename it"
        ) from None
    path = os.path.expanduser(file_name)
    candidates = [path] if data_dir is None else [path, os.path.join(os.path.expanduser(data_dir), path)]
    for candidate in candidates:
        # Unlike `Path.is_file`, false also where a folder may not be looked into.
        if os.path.isfile(candidate):
            return Path(candidate)
    raise TaskError(f"{setting}: there is no file {' or '.join(candidates)}{_alike(candidates)}")


def _alike(candidates: list[str]) -> str:
    """What may be meant by paths at which there is no file: a name like theirs in one of their folders, or nothing."""
    for candidate in candidates:
        folder, name = os.path.split(candidate)
        try:
            names = os.listdir(folder or os.curdir)
        except (OSError, ValueError):  # The latter where the path has a null byte.
            continue
        files = [one for one in names if Table.handles(one) and os.path.isfile(os.path.join(folder, one))]
        if hint := did_you_mean(name, files):
            return hint
    return ""


def _read_files(files: dict[str, Path], target_column: str | None) -> tuple[TablePart, TablePart | None]:
    """Return training and test rows, the columns of the latter in the order of the former."""
    path, test_path = files["dataset"], files.get("test_file")
    if test_path is not None and test_path.suffix.lower() != path.suffix.lower():
        raise TaskError(f"test_file: {test_path.name} is no {path.suffix} file, but {path.name} is")
    if path.suffix.lower() == ".csv":
        train, test = read_csv(path, target_column), None
        if test_path is not None:
            test = read_csv(test_path, train.target_names[0])
    else:
        if target_column is not None:
            raise TaskError(f"target_column: only a .csv file has one; the targets of {path.name} are its array y")
        train, test = read_npz(path)
        if test_path is not None:
            if test is not None:
                raise TaskError(f"test_file: {path.name} has a test set of its own")
            test = read_npz(test_path)[0]
    return train, None if test is None else test.in_order_of(train)
