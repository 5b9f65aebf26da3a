"""Tables as arrays of numpy's ``.npz`` files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.tasks.table_part import LARGEST_NUMBER, TablePart, not_numbers

_TRAIN_NAMES = (("X", "y"), ("x_train", "y_train"), ("X_train", "y_train"))
_TEST_NAMES = (("X_test", "y_test"), ("x_test", "y_test"), ("Xt", "yt"))


def read_npz(path: Path) -> tuple[TablePart, TablePart | None]:
    """Return training rows, and test rows if the file has them.

    Inputs of more than two dimensions, such as images, are flattened. Rows and columns are counted from 0.

    Raises
    ------
    TaskError
        If the file cannot be read, lacks arrays, or has arrays that are no finite numbers or do not fit together.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise TaskError(f"{path}: is no .npz file")
        with np.load(path, allow_pickle=False) as archive:
            train = _find(_TRAIN_NAMES, archive.files)
            test = _find(_TEST_NAMES, archive.files)
            if train is None:
                present = ", ".join(sorted(archive.files)) or "none"
                raise TaskError(f"{path}: needs the arrays X and y (or x_train and y_train), has {present}")
            arrays = {name: np.asarray(archive[name]) for name in (*train, *(test or ()))}
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise TaskError(f"{path}: is no .npz file of plain arrays: {error}") from error
    except MemoryError as error:
        raise TaskError(f"{path}: does not fit into memory") from error
    train_part = _part(path, arrays, train)
    return train_part, None if test is None else _part(path, arrays, test)


def _find(candidates: tuple[tuple[str, str], ...], present: list[str]) -> tuple[str, str] | None:
    """Return the first pair of names that are both present."""
    return next((pair for pair in candidates if set(pair) <= set(present)), None)


def _part(path: Path, arrays: dict[str, NDArray[Any]], names: tuple[str, str]) -> TablePart:
    """Return the rows of one pair of arrays."""
    inputs_name, targets_name = names
    inputs, targets = arrays[inputs_name], arrays[targets_name]
    if inputs.dtype.kind not in "buif" or inputs.ndim < 1:
        raise TaskError(f"{path}: {inputs_name} is no array of numbers (type {inputs.dtype}, shape {inputs.shape})")
    if targets.dtype.kind not in "buifUS" or targets.ndim not in (1, 2):
        raise TaskError(
            f"{path}: {targets_name} is no vector of classes or numbers (type {targets.dtype}, shape {targets.shape})"
        )
    if len(inputs) == 0:
        raise TaskError(f"{path}: {inputs_name} has no rows")
    if len(inputs) != len(targets):
        raise TaskError(f"{path}: {inputs_name} has {len(inputs)} rows, but {targets_name} has {len(targets)}")
    inputs = np.ascontiguousarray(inputs.reshape(len(inputs), -1 if inputs.size else 0))
    if inputs.dtype.kind == "b":
        inputs = inputs.astype(np.uint8)
    if inputs.dtype.kind == "f":
        bad = np.argwhere(~(np.abs(inputs) <= LARGEST_NUMBER))
        if len(bad):
            cells = [(int(row), f"{inputs_name}[:, {column}]", float(inputs[row, column])) for row, column in bad[:5]]
            raise not_numbers(str(path), cells, len(bad), "Rows are counted from 0")
    targets = targets.reshape(len(targets), -1)
    if targets.dtype.kind == "S":
        targets = np.char.decode(targets, "utf-8", "replace")
    if targets.dtype.kind == "U":
        targets = np.char.strip(targets)
    num_targets = targets.shape[1]
    return TablePart(
        where=str(path),
        input_names=tuple(f"x{column}" for column in range(inputs.shape[1])),
        target_names=("y",) if num_targets == 1 else tuple(f"y{column}" for column in range(num_targets)),
        inputs=inputs,
        targets=targets,
        row_numbers=range(len(inputs)),
    )
