"""The picture of a report: reward, and accuracy, over the weight that all connections share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topoevo.reporting.figure_files import figure_files
from topoevo.reporting.picture_scene import FAINT, INK, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from topoevo.experiment.report import Report

_DOTS_PER_INCH = 144
_GRID_COLOR, _SPINE_COLOR, _TUNED_COLOR = "#e8e8e8", "#b5b5b5", "#1b7837"
_WORDS = {"reward": "reward", "return": "return", "accuracy": "test accuracy", "rmse": "test RMSE"}
#: Distance between labels at the right edge, as a part of the axis.
_APART = 0.072


def picture_of(report: Report, *, title: str, subtitle: str) -> dict[str, bytes]:
    """Return the picture of a report's curve as files.

    Parameters
    ----------
    report
        Has a curve.
    title, subtitle
        Lines above.

    Returns
    -------
    dict
        Contents by ending, ``svg`` and ``png``; equal reports have equal ones.
    """
    from matplotlib.figure import Figure

    assert report.curve is not None
    names = ["accuracy", "reward"] if "accuracy" in report.curve.values else ["reward"]
    # A figure of its own, without pyplot, which would hold state and look for a screen.
    height = 4.1 if len(names) == 1 else 5.3
    figure = Figure(figsize=(8.4, height), dpi=_DOTS_PER_INCH, facecolor="white")
    grid = figure.add_gridspec(
        len(names), height_ratios=[2.4, 1.0][: len(names)], left=0.1, right=0.735, top=1 - 0.78 / height,
        bottom=0.56 / height, hspace=0.12,
    )  # fmt: skip
    first: Any = None
    for row, name in enumerate(names):
        axes = figure.add_subplot(grid[row], sharex=first)
        first = axes if first is None else first
        _draw_panel(axes, report, name)
        axes.tick_params(labelbottom=row == len(names) - 1)
    axes.set_xlabel("weight of all connections", color=FAINT)
    margin = 0.1
    figure.text(
        margin, 1 - 0.27 / height, title, color=INK, fontsize=12, fontweight="bold", va="center", parse_math=False
    )
    figure.text(margin, 1 - 0.51 / height, subtitle, color=FAINT, fontsize=9.5, va="center", parse_math=False)
    return figure_files(figure)


def _draw_panel(axes: Any, report: Report, name: str) -> None:
    """One quantity over the shared weight, with what the conditions reach as lines."""
    assert report.curve is not None
    is_episodes = "steps" in report.curve.values
    weights, values = report.curve.shared_weights, report.curve.values[name]
    means, sds = _statistics(values)
    axes.axvline(0.0, color=_GRID_COLOR, linewidth=0.9, zorder=0)
    if values.shape[1] > 1:
        axes.fill_between(weights, means - sds, means + sds, color=POSITIVE, alpha=0.16, linewidth=0, zorder=2)
    axes.plot(weights, means, color=POSITIVE, linewidth=1.8, zorder=4, solid_joinstyle="round")
    within = [weight for weight in report.shared_weights if weights[0] <= weight <= weights[-1]]
    axes.plot(
        within, np.interp(within, weights, means), "o", color="white", markeredgecolor=POSITIVE, markersize=5.5,
        markeredgewidth=1.5, zorder=5,
    )  # fmt: skip
    if name == "accuracy" or "accuracy" not in report.curve.values:
        _draw_levels(axes, report, name, means, sds)
    axes.set_xlim(-2.06, 2.06)
    axes.set_xticks(np.arange(-2.0, 2.1, 0.5))
    axes.set_ylabel(_WORDS["return" if is_episodes and name == "reward" else name], color=FAINT)
    axes.tick_params(length=0, colors=INK, labelsize=9)
    axes.grid(axis="y", color=_GRID_COLOR, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_SPINE_COLOR)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def _draw_levels(axes: Any, report: Report, name: str, means: NDArray[Any], sds: NDArray[Any]) -> None:
    """What conditions reach: lines across, labelled at the right edge; the tuned shared weight as a dot."""
    styles = {
        "tuned_weights": ("tuned weights", _TUNED_COLOR, "-"),
        "ensemble_log_probability": ("ensemble", NEGATIVE, "--"),
        "tuned_shared_weight": ("tuned shared weight", POSITIVE, ""),
        "mean_shared_weights": (f"mean of {len(report.shared_weights)} weights", FAINT, "--"),
        "random_shared_weight": ("random shared weight", FAINT, ":"),
        "random_weights": ("random weights", FAINT, (0, (1, 3))),
    }
    levels = []
    for condition, (words, color, style) in styles.items():
        found = report.conditions.get(condition)
        level = None if found is None else found.mean(name)
        if found is None or level is None:
            continue
        levels.append((level, words, color))
        if found.shared_weight is not None:
            axes.plot([found.shared_weight], [level], "o", color=POSITIVE, markersize=7.5, zorder=6)
        else:
            axes.axhline(level, color=color, linestyle=style, linewidth=1.1, alpha=0.85, zorder=3)
    shown = np.array([level for level, *_ in levels])
    low = min(np.nanmin(means - sds), shown.min(initial=np.inf))
    high = max(np.nanmax(means + sds), shown.max(initial=-np.inf))
    margin = 0.05 * (high - low or 1.0)
    low, high = low - margin, high + margin
    if name == "accuracy":
        high = min(high, 1.0 + 0.2 * margin)
    axes.set_ylim(low, high)
    places = spread_apart([(level - low) / (high - low) for level, *_ in levels], _APART)
    for (level, words, color), place in zip(levels, places, strict=True):
        across = {"transform": axes.transAxes, "clip_on": False, "color": color}
        corner = [1.005, 1.015, 1.045, 1.055]
        heights = [(level - low) / (high - low)] * 2 + [place] * 2
        axes.plot(corner, heights, linewidth=0.7, alpha=0.7, **across)
        axes.text(1.07, place, f"{_level(level, name)}  {words}", fontsize=8.5, va="center", **across)


def _level(level: float, name: str) -> str:
    """A number beside the picture."""
    if name == "accuracy":
        return f"{100 * level:.1f} %"
    return (f"{level:.0f}" if abs(level) >= 100 else f"{level:.3g}").replace("-", "\N{MINUS SIGN}")


def spread_apart(places: list[float], apart: float) -> list[float]:
    """Return places between 0 and 1 moved as little as need be so that each is `apart` from the next.

    Parameters
    ----------
    places
        Where labels would be, in any order.
    apart
        Smallest distance.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    # Groups of labels that touch each other, each with its members and its center.
    groups: list[tuple[list[int], float]] = []
    for index in order:
        members, center = [index], min(places[index], 1.0)
        while groups and center - groups[-1][1] < apart * (len(members) + len(groups[-1][0])) / 2:
            members = groups.pop()[0] + members
            center = sum(places[i] for i in members) / len(members)
            center = min(center, 1.0 - apart * (len(members) - 1) / 2)
        groups.append((members, center))
    moved = list(places)
    for members, center in groups:
        for rank, index in enumerate(members):
            moved[index] = center + apart * (rank - (len(members) - 1) / 2)
    return moved


def _statistics(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation over trials, NaN where all have failed."""
    found = [row[~np.isnan(row)] for row in values]
    means = np.array([row.mean() if len(row) else np.nan for row in found])
    return means, np.array([row.std() if len(row) else np.nan for row in found])
