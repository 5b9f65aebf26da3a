"""Tables of a run directory that grow by lines, cut back to what a run that goes on will not write again."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from topoevo.reporting.atomic import write_atomically

#: Longer lines are not those of a run.
_MAX_LINE = 2**24


def keep_rows(path: Path, columns: Sequence[str], wanted: range) -> int:
    """Leave only whole rows of some generations or epochs in a table, and return how many of those are missing.

    Parameters
    ----------
    path
        A CSV file, of this version or one with other columns; it need not exist.
    columns
        Names of the columns; the first is the number of the generation or epoch.
    wanted
        The numbers that stay.

    Raises
    ------
    OSError
        If it cannot be read or written.
    """
    found: dict[int, list[str]] = {}
    header: list[str] = []
    if path.exists():
        for line in _whole_lines(path):
            row = _cells(line)
            if not header:
                header = row
            elif len(row) == len(header) and row[0].isdecimal() and len(row[0]) <= 10 and int(row[0]) in wanted:
                named = dict(zip(header, row, strict=True))
                found[int(row[0])] = [named.get(name, "") for name in columns]
        if header[:1] != [*columns[:1]]:
            found = {}
        if not found:
            path.unlink()
    if found:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *(found[number] for number in sorted(found))])
        write_atomically(path, text.getvalue(), durable=True)
    return len(wanted) - len(found)


def keep_lines(path: Path, first: int) -> None:
    """Leave only whole lines of JSON whose ``generation`` comes before `first`.

    Parameters
    ----------
    path
        The file; it need not exist.
    first
        The generation that comes next.

    Raises
    ------
    OSError
        If it cannot be read or written.
    """
    if not path.exists():
        return
    kept = []
    for line in _whole_lines(path):
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            if json.loads(line)["generation"] < first:
                kept.append(line + "\n")
    write_atomically(path, "".join(kept), durable=True)


def _whole_lines(path: Path) -> list[str]:
    """Lines that were written to their end; after a power failure there may be anything behind them."""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        lines = []
        while line := file.readline(_MAX_LINE):
            if line.endswith("\n") and "\0" not in line:
                lines.append(line.removesuffix("\n"))
        return lines


def _cells(line: str) -> list[str]:
    """The cells of one row."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []
