"""Whether the targets of a table are classes or numbers, and how they are coded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.foreign_files import shown
from topoevo.tasks.table_part import TablePart, check_name, not_numbers
from topoevo.tasks.task import Kind

_FEW_VALUES = 20
_MANY_VALUES = 100
_CHOOSE = "choose another target_column, or set task_type"


@dataclass(frozen=True, eq=False)
class TargetCoding:
    """How targets become class indices or numbers.

    Parameters
    ----------
    kind
        Classification or regression.
    names
        Class names, or target columns.
    classes : str or float64 [num_classes], or None
        The value of each class, ascending; None for a regression.
    """

    kind: Kind
    names: tuple[str, ...]
    classes: NDArray[Any] | None

    @classmethod
    def fit(cls, train: TablePart, task_type: str) -> TargetCoding:
        """Return the coding of training targets.

        With ``task_type`` auto these are classes: text, truth values, and whole numbers with few distinct values (at
        most half as many as rows, and at most 20, or 5 % of the rows up to 100). Everything else is a regression.

        Parameters
        ----------
        train
            Training rows.
        task_type
            ``auto``, ``classification`` or ``regression``.

        Raises
        ------
        TaskError
            If the targets are all the same, are partly numbers, or have as many classes as rows.
        """
        numbers, usable = train.target_numbers()
        is_text = train.targets.dtype.kind == "U"
        # A few cells of text among numbers are mistakes, the other way round they are names.
        has_names = is_text and not usable.all() and (task_type == "classification" or usable.mean() < 0.5)
        if task_type == "regression" or not has_names:
            _check_numbers(train, usable)
        if task_type == "regression" or (task_type == "auto" and not has_names and not _few_values(train, numbers)):
            if (numbers.min(axis=0) == numbers.max(axis=0)).any():
                raise TaskError(f"{train.where}: all targets are the same; {_CHOOSE}")
            return cls("regression", train.target_names, None)
        if numbers.shape[1] > 1:
            raise TaskError(f"{train.where}: classes must be one column of targets, not {numbers.shape[1]}")
        values = train.targets[:, 0] if has_names else numbers[:, 0]
        classes = np.unique(values)
        if len(classes) == 1:
            only = _class_name(classes.tolist()[0])
            raise TaskError(f"{train.where}: all targets are of one class, {only!r}; {_CHOOSE}")
        if has_names:
            for name in classes.tolist():
                check_name(train.where, name, "class")
        if 2 * len(classes) > len(values):
            raise TaskError(
                f"{train.where}: target column {train.target_names[0]!r} has {len(classes)} different values "
                f"in {len(values)} rows, which are no classes; {_CHOOSE}"
            )
        return cls("classification", tuple(map(_class_name, classes.tolist())), classes)

    def encode(self, part: TablePart) -> NDArray[Any]:
        """Return the targets of training or test rows.

        Returns
        -------
        int32 [num_rows] or float64 [num_rows, num_targets]

        Raises
        ------
        TaskError
            If a class is unknown, or a target is no number where numbers are expected.
        """
        numbers, usable = part.target_numbers()
        if self.classes is None or self.classes.dtype.kind == "f":
            _check_numbers(part, usable)
        if self.classes is None:
            return numbers
        values = numbers[:, 0] if self.classes.dtype.kind == "f" else part.targets[:, 0].astype(np.str_)
        unknown = np.setdiff1d(values, self.classes)
        if len(unknown):
            listed = ", ".join(shown(_class_name(value)) for value in unknown[:5].tolist())
            raise TaskError(f"{part.where}: has classes that the training rows have not: {listed}")
        return np.searchsorted(self.classes, values).astype(np.int32)

    def words(self) -> str:
        """Return what was decided, in a few words."""
        if self.kind == "classification":
            return f"{len(self.names)} classes"
        return f"regression of {', '.join(self.names)}"


def _few_values(train: TablePart, numbers: NDArray[np.float64]) -> bool:
    """Return whether the targets look like classes."""
    if train.targets.shape[1] > 1:
        return False
    if train.targets.dtype.kind == "b":
        return True
    if (numbers != np.rint(numbers)).any():
        return False
    num_values, num_rows = len(np.unique(numbers)), len(numbers)
    return 2 * num_values <= num_rows and num_values <= min(_MANY_VALUES, max(_FEW_VALUES, 0.05 * num_rows))


def _check_numbers(part: TablePart, usable: NDArray[np.bool_]) -> None:
    """Raise a `TaskError` that lists the targets which are no numbers."""
    bad = np.argwhere(~usable)
    if len(bad):
        cells = [
            (part.row_numbers[row], part.target_names[column], part.targets[row, column].item())
            for row, column in bad[:5]
        ]
        raise not_numbers(part.where, cells, len(bad), "If the targets are names, set task_type to classification")


def _class_name(value: Any) -> str:
    """Return the name of a class: text as it is, whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
