"""The rows of one file, inputs apart from targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError, did_you_mean
from topoevo.foreign_files import has_controls, shown

#: Larger numbers would be infinite in float32.
LARGEST_NUMBER = 3e38
#: Larger files, and arrays that take more when unpacked, are refused before they are read.
MOST_BYTES = 2**31
MOST_ROWS, MOST_COLUMNS, MOST_CELLS = 10**7, 10**5, 2**28
#: Longest name of a column or class.
MOST_CHARACTERS = 1000
_CELLS_SHOWN = 5


@dataclass(frozen=True, eq=False)
class TablePart:
    """Training or test rows of a table.

    Parameters
    ----------
    where
        Path of the file, named in errors.
    input_names, target_names
        Columns.
    inputs : float or int [num_rows, num_inputs]
        Finite numbers.
    targets : str, bool or number [num_rows, num_targets]
        As they were read, text without surrounding blanks. Cells of a CSV file are all text.
    row_numbers : int [num_rows]
        How an error names each row.
    """

    where: str
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    inputs: NDArray[Any]
    targets: NDArray[Any]
    row_numbers: Sequence[int]

    def in_order_of(self, train: TablePart) -> TablePart:
        """Return these rows with the input columns in the order of the training rows.

        Raises
        ------
        TaskError
            If there are no rows, or the columns are others.
        """
        for mine, theirs in ((self.input_names, train.input_names), (self.target_names, train.target_names)):
            for name in sorted(set(theirs) - set(mine)):
                raise TaskError(f"{self.where}: has no column {name!r} as {train.where} has{did_you_mean(name, mine)}")
            for name in sorted(set(mine) - set(theirs)):
                raise TaskError(f"{self.where}: has a column {name!r} that {train.where} has not")
        if len(self.inputs) == 0:
            raise TaskError(f"{self.where}: has no rows to test on")
        order = [self.input_names.index(name) for name in train.input_names]
        inputs = np.ascontiguousarray(self.inputs[:, order])
        return TablePart(self.where, train.input_names, self.target_names, inputs, self.targets, self.row_numbers)

    def target_numbers(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return targets as numbers, and which cells are numbers that can be learned.

        Returns
        -------
        numbers : float64 [num_rows, num_targets]
            NaN where a cell is no number.
        usable : bool [num_rows, num_targets]
        """
        if self.targets.dtype.kind == "U":
            cells = [parse_number(text) for text in self.targets.ravel().tolist()]
            numbers = np.array(cells, dtype=np.float64).reshape(self.targets.shape)
        else:
            numbers = self.targets.astype(np.float64)
        with np.errstate(invalid="ignore"):
            return numbers, np.abs(numbers) <= LARGEST_NUMBER


def check_size(where: str, num_rows: int, num_columns: int) -> None:
    """Raise a `TaskError` if a table is larger than any that networks are trained on.

    Parameters
    ----------
    where
        Path of the file.
    num_rows, num_columns
        What it has, or has at least.
    """
    for number, most, what in (
        (num_columns, MOST_COLUMNS, "columns"),
        (num_rows, MOST_ROWS, "rows"),
        (num_rows * num_columns, MOST_CELLS, "cells"),
    ):
        if number > most:
            raise TaskError(f"{where}: has more than {most} {what}")


def check_name(where: str, name: str, what: str) -> None:
    """Raise a `TaskError` if a name is too long, or would steer the terminal that it is shown on.

    Parameters
    ----------
    where
        Path of the file.
    name, what
        A name, and of what.
    """
    if len(name) > MOST_CHARACTERS or has_controls(name):
        raise TaskError(
            f"{where}: the name of a {what} must have at most {MOST_CHARACTERS} characters, all of them printable, "
            f"not {shown(name)}"
        )


def parse_number(text: str) -> float:
    """Return the number in a cell, NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def not_numbers(where: str, cells: Sequence[tuple[int, str, object]], num_cells: int, advice: str) -> TaskError:
    """Return the error that lists cells which are not numbers.

    Parameters
    ----------
    where
        Path of the file.
    cells
        Row number, column name and content of at least the first few.
    num_cells
        How many there are.
    advice
        What to do about them.
    """
    listed = "; ".join(
        f"row {row}, column {column}: {shown(content) if isinstance(content, str) else repr(content)}"
        for row, column, content in cells[:_CELLS_SHOWN]
    )
    more = f"; and {num_cells - _CELLS_SHOWN} more" if num_cells > _CELLS_SHOWN else ""
    limit = f"({LARGEST_NUMBER:g} at most)"
    return TaskError(f"{where}: {num_cells} cell(s) hold no finite number {limit}: {listed}{more}. {advice}")
