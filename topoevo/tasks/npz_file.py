"""Tables as arrays of numpy's ``.npz`` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.foreign_files import read_arrays, shown
from topoevo.tasks.table_part import (
    LARGEST_NUMBER,
    MOST_BYTES,
    MOST_CHARACTERS,
    TablePart,
    check_size,
    not_numbers,
)

_TRAIN_NAMES = (("X", "y"), ("x_train", "y_train"), ("X_train", "y_train"))
_TEST_NAMES = (("X_test", "y_test"), ("x_test", "y_test"), ("Xt", "yt"))
_NAMES = (*_TRAIN_NAMES, *_TEST_NAMES)
_NAMES_SHOWN = 10


def read_npz(path: Path) -> tuple[TablePart, TablePart | None]:
    """Return training rows, and test rows if the file has them.

    Inputs of more than two dimensions, such as images, are flattened. Rows and columns are counted from 0.

    Raises
    ------
    TaskError
        If the file cannot be read, lacks arrays, or has arrays that are no finite numbers or do not fit together.
    """
    try:
        arrays, present = read_arrays(path, most_bytes=MOST_BYTES, wanted={name for pair in _NAMES for name in pair})
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise TaskError(f"{path}: is no .npz file of plain arrays: it {error}") from error
    train, test = _find(_TRAIN_NAMES, present), _find(_TEST_NAMES, present)
    if train is None:
        names = ", ".join(sorted(present)[:_NAMES_SHOWN]) or "none"
        raise TaskError(f"{path}: needs the arrays X and y (or x_train and y_train), has {shown(names)}")
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
    check_size(str(path), len(inputs), inputs.size // len(inputs))
    inputs = np.ascontiguousarray(inputs.reshape(len(inputs), -1 if inputs.size else 0))
    if inputs.dtype.kind == "b":
        inputs = inputs.astype(np.uint8)
    if inputs.dtype.kind == "f":
        bad = np.argwhere(~(np.abs(inputs) <= LARGEST_NUMBER))
        if len(bad):
            cells = [(int(row), f"{inputs_name}[:, {column}]", float(inputs[row, column])) for row, column in bad[:5]]
            raise not_numbers(str(path), cells, len(bad), "Rows are counted from 0")
    targets = targets.reshape(len(targets), -1)
    num_targets = targets.shape[1]
    if num_targets == 0:
        raise TaskError(f"{path}: {targets_name} has no columns")
    check_size(str(path), len(targets), num_targets)
    if targets.dtype.kind in "SU":
        targets = _text(path, targets, targets_name)
    return TablePart(
        where=str(path),
        input_names=tuple(f"x{column}" for column in range(inputs.shape[1])),
        target_names=("y",) if num_targets == 1 else tuple(f"y{column}" for column in range(num_targets)),
        inputs=inputs,
        targets=targets,
        row_numbers=range(len(inputs)),
    )


def _text(path: Path, targets: NDArray[Any], name: str) -> NDArray[Any]:
    """Names of classes, without surrounding blanks, all of which can be written."""
    if targets.dtype.itemsize > 4 * MOST_CHARACTERS:
        raise TaskError(f"{path}: {name} is text of more than {MOST_CHARACTERS} characters")
    try:
        if targets.dtype.kind == "S":
            targets = np.char.decode(targets, "utf-8", "replace")
        targets = np.char.strip(targets)
        "".join(np.unique(targets).tolist()).encode()
    except (ValueError, SystemError):  # Cells may hold numbers that no character has.
        raise TaskError(f"{path}: {name} is no text of Unicode") from None
    return targets
