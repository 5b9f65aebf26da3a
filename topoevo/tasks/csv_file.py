"""Tables of text: comma, semicolon or tab between cells, names of the columns in the first row."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError, did_you_mean
from topoevo.tasks.table_part import LARGEST_NUMBER, TablePart, not_numbers, parse_number

_ROWS_SHOWN = 5


def read_csv(path: Path, target_column: str | None) -> TablePart:
    """Return the rows of a CSV file; all columns but the target must hold finite numbers.

    Rows are numbered as the lines of the file, so the header is row 1. Lines without any text are skipped.

    Parameters
    ----------
    path
        UTF-8 text.
    target_column
        Name, or position counted from 0 (from the end if negative); None: the last column.

    Raises
    ------
    TaskError
        If the file cannot be read, has no header, ragged rows, or cells that are no numbers, or has no such column.
    """
    with _rows_of(path) as rows:
        return _read_rows(str(path), rows, target_column)


def read_inputs(path: Path, input_names: Sequence[str]) -> NDArray[np.float64]:
    """Return some columns of a CSV file, float64 [num_rows, len(input_names)]; others may hold anything.

    Parameters
    ----------
    path
        UTF-8 text, as for `read_csv`.
    input_names
        Names of the columns, in the order that is wanted.

    Raises
    ------
    TaskError
        If the file cannot be read, lacks a column, or has cells in these columns that are no finite numbers.
    """
    with _rows_of(path) as rows:
        header_row, header = next(rows, (0, []))
        names = tuple(name.strip() for name in header)
        _check_names(str(path), header_row, names)
        missing = [name for name in input_names if name not in names]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise TaskError(f"{path}: has no column {missing[0]!r}{did_you_mean(missing[0], names)}{more}")
        places = [names.index(name) for name in input_names]
        values: list[list[float]] = []
        bad: list[tuple[int, str, object]] = []
        for row, cells in rows:
            if len(cells) != len(names):
                raise TaskError(f"{path}: the header has {len(names)} cells, but row {row} has {len(cells)}")
            numbers = [parse_number(cells[place]) for place in places]
            bad.extend(
                (row, names[place], cells[place])
                for place, number in zip(places, numbers, strict=True)
                if not abs(number) <= LARGEST_NUMBER
            )
            values.append(numbers)
        if bad:
            raise not_numbers(str(path), bad, len(bad), "Turn text into numbers, and fill or drop empty cells")
        return np.array(values, np.float64).reshape(len(values), len(places))


@contextmanager
def _rows_of(path: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Number and cells of every row with text; problems of reading become a `TaskError`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first_line = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(first_line), strict=True)
            # The number of a row is that of its last line, which matters only where a cell has line breaks.
            yield ((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise TaskError(f"{path}: row {reader.line_num} is no CSV: {error}") from error
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_rows(where: str, rows: Iterator[tuple[int, list[str]]], target_column: str | None) -> TablePart:
    """Return the rows behind the header, which comes first."""
    header_row, header = next(rows, (0, []))
    names = tuple(name.strip() for name in header)
    _check_names(where, header_row, names)
    target = _position(where, names, target_column)
    input_names = names[:target] + names[target + 1 :]
    numbers, targets, row_numbers = array("d"), [], []
    bad: list[tuple[int, str, object]] = []
    ragged: list[str] = []
    for row, cells in rows:
        if len(cells) != len(names):
            ragged.append(f"row {row} has {len(cells)}")
            continue
        text = cells.pop(target).strip()
        if not text:
            bad.append((row, names[target], text))
        targets.append(text)
        row_numbers.append(row)
        try:
            values = list(map(float, cells))
        except ValueError:
            values = [parse_number(cell) for cell in cells]
        # One comparison per row finds NaN, infinity and too large numbers.
        if not sum(map(abs, values)) <= LARGEST_NUMBER:
            named = zip(input_names, cells, values, strict=True)
            bad.extend((row, name, cell) for name, cell, value in named if not abs(value) <= LARGEST_NUMBER)
        numbers.extend(values)
    if ragged:
        more = f" and {len(ragged) - _ROWS_SHOWN} more" if len(ragged) > _ROWS_SHOWN else ""
        raise TaskError(f"{where}: the header has {len(names)} cells, but {', '.join(ragged[:_ROWS_SHOWN])}{more}")
    if bad:
        raise not_numbers(where, bad, len(bad), "Turn text into numbers, and fill or drop empty cells")
    return TablePart(
        where=where,
        input_names=input_names,
        target_names=(names[target],),
        inputs=np.array(numbers, dtype=np.float64).reshape(len(targets), len(input_names)),
        targets=np.array(targets, dtype=np.str_).reshape(-1, 1),
        row_numbers=row_numbers,
    )


def _delimiter(first_line: str) -> str:
    """Return the separator that is most frequent in the header; a comma if in doubt."""
    return max(",;\t", key=first_line.count)


def _check_names(where: str, header_row: int, names: tuple[str, ...]) -> None:
    """Raise a `TaskError` unless the first row is a header with distinct names."""
    if not names:
        raise TaskError(f"{where}: is empty, expected a row of column names")
    if all(np.isfinite(parse_number(name)) for name in names):
        raise TaskError(f"{where}: row {header_row} has numbers where the names of the columns should be")
    for position, name in enumerate(names):
        if not name:
            raise TaskError(f"{where}: column {position + 1} has no name (an index column? write the file without it)")
        if name in names[:position]:
            raise TaskError(f"{where}: two columns have the name {name!r}")


def _position(where: str, names: tuple[str, ...], target_column: str | None) -> int:
    """Return the position of the target column."""
    if target_column is None:
        return len(names) - 1
    if target_column in names:
        return names.index(target_column)
    try:
        position = int(target_column)
    except ValueError:
        hint = did_you_mean(target_column, names)
        raise TaskError(f"target_column: {where} has no column {target_column!r}{hint}") from None
    if not -len(names) <= position < len(names):
        raise TaskError(f"target_column: {where} has {len(names)} columns, so there is no position {position}")
    return position % len(names)
