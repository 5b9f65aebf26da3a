"""The tables at the end of a run: the best network of each size, and what came of mutation operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from topoevo.evolution.credit import Standing
from topoevo.reporting.measures import num_layers

if TYPE_CHECKING:
    from topoevo.experiment.front import Front
    from topoevo.experiment.records import Champion, TaskScore

#: Measures of a network that are the same whatever the task, as columns.
_SHAPE = ("connections", "biases", "hidden", "layers")
_PARTS = ("train", "validation", "test")


def front_columns(front: Front) -> list[tuple[str, ...]]:
    """Return the table of a front: the names of its columns, then a row of values for each size; numbers in full.

    Parameters
    ----------
    front
        With one network or more.

    Returns
    -------
    list
        ``size`` (largest number of connections), ``connections``, ``biases``, ``hidden``, ``layers``, ``generation``,
        and loss and accuracy, or error (``rmse``), on the samples for training, validation and test; empty where there
        is none.
    """
    measure = "accuracy" if next(iter(front.champions.values())).train.rmse is None else "rmse"
    scores = [f"{part}_{name}" for part in _PARTS for name in ("loss", measure)]
    rows: list[tuple[str, ...]] = [("size", *_SHAPE, "generation", *scores)]
    for size, champion in front.champions.items():
        values: list[object] = [size, *_shape(champion), champion.generation]
        for part in _PARTS:
            score: TaskScore | None = getattr(champion, part)
            values += ["", ""] if score is None else [-score.reward, getattr(score, measure)]
        rows.append(tuple("" if value is None else str(value) for value in values))
    return rows


def front_rows(front: Front) -> list[tuple[str, str]]:
    """Return a front for the screen, as pairs of size and the rest of a line; the first is the header.

    Parameters
    ----------
    front
        The best network of each size.
    """
    if not front.champions:
        return []
    header, *rows = front_columns(front)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    measure = header[-1].removeprefix("test_")
    columns = [*_SHAPE, f"validation_{measure}", "test_loss", f"test_{measure}"]
    shown = [name for name in columns if any(row[name] for row in found)]
    cells = [[name.replace("_", " ") for name in shown]]
    if any(champion.knows_validation for champion in front.champions.values()):
        cells = [[f"earlier {name}" if name.startswith("validation") else name for name in cells[0]]]
    cells += [[row[name] if name in _SHAPE else _short(row[name]) for name in shown] for row in found]
    return list(zip(["size", *(row["size"] for row in found)], _aligned(cells), strict=True))


def operator_rows(standings: Mapping[str, Standing], *, adapted: bool) -> list[tuple[str, str]]:
    """Return operators for the screen, as pairs of name and the rest of a line; the first is the header.

    Parameters
    ----------
    standings
        By name.
    adapted
        Whether their probabilities have changed.
    """
    cells = [["children", "improved", "rank", *(["probability"] if adapted else [])]]
    for one in standings.values():
        share = "-" if one.credit.share is None else f"{100 * one.credit.share:.1f} %"
        rank = "-" if one.credit.rank is None else f"{one.credit.rank:.2f}"
        cells.append([str(one.credit.children), share, rank, *([f"{one.probability:.3f}"] if adapted else [])])
    return list(zip(["operator", *standings], _aligned(cells), strict=True))


def _shape(champion: Champion) -> tuple[int, ...]:
    """The values of `_SHAPE`."""
    complexity = champion.individual.genome.complexity
    return complexity.connections, complexity.biases, complexity.hidden, num_layers(champion.individual)


def _short(number: str) -> str:
    """A score on the screen: four decimals, or as many digits where these say nothing or are beside the point."""
    if not number:
        return ""
    value = float(number)
    return f"{value:.4f}" if value == 0.0 or 1e-2 <= abs(value) < 1e4 else f"{value:.4g}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, every column to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
