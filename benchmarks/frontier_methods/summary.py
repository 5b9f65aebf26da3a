"""Rows of measurements as tables and as a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]
Cells = dict[tuple[str, int], list[Row]]

#: Methods in the order of tables, with their names there and their colors (Okabe & Ito 2008) and markers.
STYLES = {
    "evolved": ("evolved", "#000000", "o"),
    "fisher_best_of": ("Fisher, best of N", "#D55E00", "s"),
    "fisher": ("Fisher pruning", "#E69F00", "D"),
    "magnitude": ("magnitude pruning", "#CC79A7", "v"),
    "rigl": ("RigL", "#0072B2", "^"),
    "l1": ("L1 + refit", "#009E73", "P"),
    "front": ("evolved, one run", "#000000", "*"),
    "first": ("first networks of evolved", "#7A5195", "h"),
    "blind": ("blind mutation", "#56B4E9", "X"),
    "random": ("random topology", "#8C8C8C", "."),
}


def tables(rows: Sequence[Row]) -> str:
    """Return Markdown: for every data set a table of test scores, one of costs, and where evolution is not best."""
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        cells = _cells([row for row in rows if row["dataset"] == dataset])
        parts += [f"### {dataset}", _scores(cells), _costs(cells), verdict(cells)]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(cells: Cells) -> str:
    """Return at which budgets the evolved search is not best by the mean of the test score, over seeds in common."""
    methods, budgets = _axes(cells)
    if "evolved" not in methods:
        return ""
    lines: list[str] = []
    unfinished: list[str] = []
    for budget in budgets:
        evolved = cells.get(("evolved", budget))
        if evolved is None:
            lines.append(f"- {budget}: not measured.")
            continue
        better = []
        for method in methods:
            ours, theirs = _in_common(evolved, cells.get((method, budget), []))
            # Means of the same scores in another order may differ in their last digit.
            if theirs and _mean(theirs, "test") > _mean(ours, "test") + 1e-9:
                better.append(f"{STYLES[method][0]} ({_mean(theirs, 'test'):.4f} against {_mean(ours, 'test'):.4f})")
            if any(row["is_capped"] for row in theirs):
                unfinished.append(f"{STYLES[method][0]} at {budget}")
        if better:
            lines.append(f"- {budget}: better is {', '.join(better)}.")
    found = (
        "No other method is better than evolved at any budget."
        if not lines
        else "Evolved is not best at\n\n" + "\n".join(lines)
    )
    return found + (f"\n\nStopped before its passes were used up: {', '.join(unfinished)}." if unfinished else "")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a picture: test error, or 1 - R² of a regression, over the number of connections; a panel a data set.

    Parameters
    ----------
    rows
        Measurements.
    path
        ``.png``, ``.svg`` or ``.pdf``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure = Figure(figsize=(7.6 * len(datasets), 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, dataset in zip(np.atleast_1d(figure.subplots(1, len(datasets))), datasets, strict=True):
        chosen = [row for row in rows if row["dataset"] == dataset]
        cells = _cells(chosen)
        methods, budgets = _axes(cells)
        ends = []
        for method in methods:
            name, color, marker = STYLES[method]
            points = [cells[method, budget] for budget in budgets if (method, budget) in cells]
            sizes = [_mean(one, "connections") for one in points]
            errors = np.array([1 - _mean(one, "test") for one in points])
            spread = np.array([_deviation(one, "test") for one in points])
            width = 2.4 if method == "evolved" else 1.3
            axes.plot(sizes, errors, color=color, marker=marker, linewidth=width, markersize=5, zorder=width)
            lower = np.maximum(errors - spread, errors / 2)
            axes.fill_between(sizes, lower, errors + spread, color=color, alpha=0.12, linewidth=0)
            ends.append((errors[-1], sizes[-1], name, color))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(budgets))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        low, high = axes.get_ylim()
        ticks = [one for scale in (0.001, 0.01, 0.1, 1) for one in np.array([1, 2, 3, 5, 7]) * scale]
        axes.yaxis.set_major_locator(FixedLocator([one for one in ticks if low <= one <= high]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("connections (biases not counted)")
        measure = "test error" if chosen[0]["measure"] == "accuracy" else "1 - R² on test samples"
        axes.set_title(f"{dataset}: {measure}, {_words_of_seeds(chosen)}", fontsize=10, loc="left")
        _label_ends(axes, ends)
    figure.savefig(path, dpi=130)


def _label_ends(axes: Any, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write the names of lines beside their right ends, none over another."""
    low, high = np.log(axes.get_ylim())
    gap = (high - low) / 24
    left, right = np.log(axes.get_xlim())
    axes.set_xlim(right=np.exp(right + (right - left) * 0.28))
    places: list[float] = []
    for error, size, name, color in sorted(ends):
        place = max(np.log(error), places[-1] + gap) if places else np.log(error)
        places.append(place)
        axes.annotate(
            name,
            (size, error),
            (np.exp(right + (right - left) * 0.02), np.exp(place)),
            color=color,
            fontsize=9,
            va="center",
            # A line leaves its name at the left end: from the middle, its default, it would cross the other names.
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.4, "linewidth": 0.7, "relpos": (0, 0.5)},
        )


def _cells(rows: Sequence[Row]) -> Cells:
    """Rows by method and budget."""
    found: Cells = defaultdict(list)
    for row in rows:
        found[row["method"], row["budget"]].append(row)
    return dict(found)


def _axes(cells: Cells) -> tuple[list[str], list[int]]:
    """Methods in the order of tables, and budgets."""
    return [method for method in STYLES if any(method == one for one, _ in cells)], sorted({one for _, one in cells})


def _scores(cells: Cells) -> str:
    """The table of test scores, the best of each line in bold."""
    methods, budgets = _axes(cells)
    rows = [row for one in cells.values() for row in one]
    most = max(len(one) for one in cells.values())
    lines = ["| connections | " + " | ".join(STYLES[method][0] for method in methods) + " |"]
    lines.append("|---" * (len(methods) + 1) + "|")
    for budget in budgets:
        means = {method: _mean(cells[method, budget], "test") for method in methods if (method, budget) in cells}
        texts = []
        for method in methods:
            if method not in means:
                texts.append("–")
                continue
            text = f"{means[method]:.4f}"
            count = len(cells[method, budget])
            text += f" ± {_deviation(cells[method, budget], 'test'):.4f}" if count > 1 else ""
            text += f" ({count})" if count < most else ""
            texts.append(f"**{text}**" if means[method] == max(means.values()) else text)
        lines.append(f"| {budget} | " + " | ".join(texts) + " |")
    measure = {"accuracy": "Test accuracy", "r2": "R² on test samples"}[rows[0]["measure"]]
    counted = ", in brackets: of fewer" if any(len(one) < most for one in cells.values()) else ""
    spread = "one seed" if most == 1 else f"mean ± standard deviation of {most} seeds"
    return f"{measure}, {spread}{counted}.\n\n" + "\n".join(lines)


def _costs(cells: Cells) -> str:
    """The table of what it took: connections and biases, trainings, passes and seconds; mean of the seeds."""
    methods, budgets = _axes(cells)
    names = ("connections", "method", "counted", "biases", "hidden", "layers", "tried", "passes (millions)")
    names += ("seconds", "of processors", "")
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for budget in budgets:
        for method in methods:
            if (method, budget) not in cells:
                continue
            rows = cells[method, budget]
            numbers = [f"{_mean(rows, name):.0f}" for name in ("connections", "biases", "hidden", "layers", "tried")]
            numbers += [f"{_mean(rows, 'passes') / 1e6:,.1f}", f"{_mean(rows, 'seconds'):,.0f}"]
            cpu = [row["cpu_seconds"] for row in rows if row["cpu_seconds"] is not None]
            numbers.append(f"{np.mean(cpu):,.0f}" if cpu else "–")
            note = "time was over before the passes" if any(row["is_capped"] for row in rows) else ""
            lines.append(f"| {budget} | {STYLES[method][0]} | " + " | ".join(numbers) + f" | {note} |")
    return "\n".join(lines)


def _in_common(first: Sequence[Row], second: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of those seeds that are in both."""
    seeds = {row["seed"] for row in first} & {row["seed"] for row in second}
    chosen = [[row for row in rows if row["seed"] in seeds] for rows in (first, second)]
    return chosen[0], chosen[1]


def _words_of_seeds(rows: Sequence[Row]) -> str:
    """Of how many seeds the lines are."""
    per_cell = defaultdict(set)
    for row in rows:
        per_cell[row["method"], row["budget"]].add(row["seed"])
    counts = sorted({len(seeds) for seeds in per_cell.values()})
    if counts == [1]:
        return "one seed"
    return f"mean and deviation of {' to '.join(map(str, sorted({counts[0], counts[-1]})))} seeds"


def _mean(rows: Sequence[Row], name: str) -> float:
    """Mean of a column."""
    return float(np.mean([row[name] for row in rows]))


def _deviation(rows: Sequence[Row], name: str) -> float:
    """Standard deviation of a column over seeds; 0 of a single one."""
    return float(np.std([row[name] for row in rows], ddof=1)) if len(rows) > 1 else 0.0
