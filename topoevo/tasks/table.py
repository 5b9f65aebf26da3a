"""The user's own table: a ``.csv`` file with a header row, or the arrays of an ``.npz`` file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.tasks.base import DATASETS, Dataset, DataSettings, Progress, RawData
from topoevo.tasks.csv_file import CsvTable, read_csv
from topoevo.tasks.npz_file import read_npz
from topoevo.tasks.targets import Targets, read_targets

SMALLEST_TABLE = 10


@DATASETS.register
@dataclass(frozen=True)
class Table(Dataset):
    """Rows of numbers, one column of which is the target; text is allowed in the target column alone.

    A CSV file has the names of its columns in its first row. An ``.npz`` file has ``X`` and ``y``, and if it has a test
    set ``X_test`` and ``y_test``; or ``x_train``, ``y_train``, ``x_test``, ``y_test``. Inputs, and the targets of a
    regression, are standardized.
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
        path = _locate(settings.dataset, "dataset", settings.data_dir)
        test_path = None
        if settings.test_file is not None:
            test_path = _locate(settings.test_file, "test_file", settings.data_dir)
            if test_path.suffix.lower() != path.suffix.lower():
                raise TaskError(f"test_file: {test_path.name} is not a {path.suffix} file as {path.name} is")
        read = _read_csv_files if path.suffix.lower() == ".csv" else _read_npz_files
        train, test, input_names, target_names = read(path, test_path, settings.target_column)
        if len(train[0]) < SMALLEST_TABLE:
            raise TaskError(f"{path}: has {len(train[0])} row(s), needs at least {SMALLEST_TABLE}")
        if not input_names:
            raise TaskError(f"{path}: has no input columns beside its target")
        targets = read_targets(train[1], settings.task_type, where=str(path), names=target_names)
        on_progress(f"{path.name}: {len(train[0])} rows, {len(input_names)} inputs, {targets.words()}")
        return RawData(
            kind=targets.kind,
            inputs=train[0],
            targets=targets.values,
            test_inputs=None if test is None else test[0],
            test_targets=None if test is None else targets.encode(test[1], where=str(test_path or path)),
            input_names=input_names,
            output_names=targets.names,
            target_scaling="standardize",
            provenance={
                "dataset": path.name,
                "sha256": {
                    file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, test_path) if file is not None
                },
                "preprocessing": "columns of numbers",
                "target_columns": list(target_names),
            },
        )
