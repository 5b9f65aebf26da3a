"""Tables of text: comma, semicolon or tab between cells, names of the columns in the first row."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError, did_you_mean
from topoevo.tasks.table_part import (
    LARGEST_NUMBER,
    MOST_BYTES,
    MOST_CHARACTERS,
    TablePart,
    check_name,
    check_size,
    not_numbers,
    parse_number,
)

_SHOWN = 5
#: In characters, line breaks in cells included.
_LONGEST_ROW = 4_000_000


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
        values = array("d")
        num_rows = 0
        bad = _Bad()
        for row, cells in rows:
            if len(cells) != len(names):
                raise TaskError(f"{path}: the header has {len(names)} cells, but row {row} has {len(cells)}")
            numbers = [parse_number(cells[place]) for place in places]
            if not sum(map(abs, numbers)) <= LARGEST_NUMBER:
                bad.add(row, input_names, [cells[place] for place in places], numbers)
            values.extend(numbers)
            num_rows += 1
            check_size(str(path), num_rows, len(places))
        bad.check(str(path))
        return np.array(values, np.float64).reshape(num_rows, len(places))


class _Bad:
    """Cells that hold no number: how many, and the first of them."""

    def __init__(self) -> None:
        self._first: list[tuple[int, str, object]] = []
        self._count = 0

    def add(self, row: int, names: Sequence[str], cells: Sequence[str], values: Sequence[float]) -> None:
        """Look for them in a row."""
        for name, cell, value in zip(names, cells, values, strict=True):
            if not abs(value) <= LARGEST_NUMBER:
                self.note(row, name, cell)

    def note(self, row: int, name: str, cell: str) -> None:
        """Count one."""
        self._count += 1
        if len(self._first) < _SHOWN:
            self._first.append((row, name, cell))

    def check(self, where: str) -> None:
        """Raise a `TaskError` if there are any."""
        if self._count:
            raise not_numbers(where, self._first, self._count, "Turn text into numbers, and fill or drop empty cells")


class _Lines:
    """The lines of a file, as long as a row of cells is not made of too many of them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(_LONGEST_ROW):
            self._length += len(line)
            if self._length >= _LONGEST_ROW:
                raise csv.Error(f"it is longer than {_LONGEST_ROW} characters; is a quotation mark missing?")
            yield line

    def end_row(self) -> None:
        """Begin to count anew."""
        self._length = 0


@contextmanager
def _rows_of(path: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Number and cells of every row with text; problems of reading become a `TaskError`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
                raise TaskError(f"{path}: has {size} bytes; at most {MOST_BYTES} are read")
            first_line = file.readline(_LONGEST_ROW)
            file.seek(0)
            lines = _Lines(file)
            reader = csv.reader(iter(lines), delimiter=_delimiter(first_line), strict=True)
            yield _rows(reader, lines)
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise TaskError(f"{path}: row {reader.line_num} is no CSV: {error}") from error
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from error
    except MemoryError:
        raise TaskError(f"{path}: does not fit into memory") from None


def _rows(reader: Any, lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every row with text."""
    for cells in reader:
        lines.end_row()
        # The number of a row is that of its last line, which matters only where a cell has line breaks.
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _read_rows(where: str, rows: Iterator[tuple[int, list[str]]], target_column: str | None) -> TablePart:
    """Return the rows behind the header, which comes first."""
    header_row, header = next(rows, (0, []))
    names = tuple(name.strip() for name in header)
    _check_names(where, header_row, names)
    target = _position(where, names, target_column)
    input_names = names[:target] + names[target + 1 :]
    numbers, targets, row_numbers, longest = array("d"), [], array("q"), 1
    bad, ragged, num_ragged = _Bad(), [], 0
    for row, cells in rows:
        if len(cells) != len(names):
            num_ragged += 1
            check_size(where, num_ragged, 1)
            if num_ragged <= _SHOWN:
                ragged.append(f"row {row} has {len(cells)}")
            continue
        text = cells.pop(target).strip()
        if not text:
            bad.note(row, names[target], text)
        targets.append(text)
        row_numbers.append(row)
        check_size(where, len(targets), len(names))
        if len(text) > longest:
            longest = _checked_length(where, row, text)
        try:
            values = list(map(float, cells))
        except ValueError:
            values = [parse_number(cell) for cell in cells]
        # One comparison per row finds NaN, infinity and too large numbers.
        if not sum(map(abs, values)) <= LARGEST_NUMBER:
            bad.add(row, input_names, cells, values)
        numbers.extend(values)
    if num_ragged:
        more = f" and {num_ragged - _SHOWN} more" if num_ragged > _SHOWN else ""
        raise TaskError(f"{where}: the header has {len(names)} cells, but {', '.join(ragged)}{more}")
    bad.check(where)
    if 4 * longest * len(targets) > MOST_BYTES:
        raise TaskError(f"{where}: the {len(targets)} cells of column {names[target]!r} are too long")
    return TablePart(
        where=where,
        input_names=input_names,
        target_names=(names[target],),
        inputs=np.array(numbers, dtype=np.float64).reshape(len(targets), len(input_names)),
        targets=np.array(targets, dtype=np.str_).reshape(-1, 1),
        row_numbers=row_numbers,
    )


def _checked_length(where: str, row: int, text: str) -> int:
    """Length of a target, which may be the name of a class, or a `TaskError`."""
    if len(text) > MOST_CHARACTERS:
        raise TaskError(f"{where}: row {row}: a target has {len(text)} characters, at most {MOST_CHARACTERS} are read")
    return len(text)


def _delimiter(first_line: str) -> str:
    """Return the separator that is most frequent in the header; a comma if in doubt."""
    return max(",;\t", key=first_line.count)


def _check_names(where: str, header_row: int, names: tuple[str, ...]) -> None:
    """Raise a `TaskError` unless the first row is a header with distinct names."""
    if not names:
        raise TaskError(f"{where}: is empty, expected a row of column names")
    check_size(where, 1, len(names))
    if all(np.isfinite(parse_number(name)) for name in names):
        raise TaskError(f"{where}: row {header_row} has numbers where the names of the columns should be")
    seen: set[str] = set()
    for position, name in enumerate(names):
        if not name:
            raise TaskError(f"{where}: column {position + 1} has no name (an index column? write the file without it)")
        check_name(where, name, "column")
        if name in seen:
            raise TaskError(f"{where}: two columns have the name {name!r}")
        seen.add(name)


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
