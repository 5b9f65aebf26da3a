"""The picture of a front: errors against numbers of connections."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log
from typing import TYPE_CHECKING, Any

from topoevo.reporting.curve_picture import spread_apart
from topoevo.reporting.figure_files import figure_files
from topoevo.reporting.picture_scene import FAINT, INK, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from topoevo.experiment.front import Front

_DOTS_PER_INCH = 144
_INCHES = (7.2, 4.2)
#: Smallest distance of two labels of the axis of connections, as a part of it.
_APART = 0.075
#: Room beside the first and the last size, as a factor.
_MARGIN = 1.12


def picture_of(front: Front, *, title: str, subtitle: str) -> dict[str, bytes]:
    """Return the picture as files.

    Parameters
    ----------
    front
        What to draw, with one network or more.
    title, subtitle
        Lines above.

    Returns
    -------
    dict
        Contents by ending, ``svg`` and ``png``; equal fronts have equal ones.
    """
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot, which would hold state and look for a screen.
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, facecolor="white")
    axes = figure.add_axes((0.11, 0.14, 0.69, 0.68))
    is_regression = front.networks[0].train.rmse is not None
    knows_validation = any(one.knows_validation for one in front.networks)
    names = {"train": "training", "validation": "earlier validation" if knows_validation else "validation"}
    _draw_lines(axes, front, is_regression, names)
    axes.set_xlabel("connections, without those from the bias node", color=FAINT)
    axes.set_ylabel("error (RMSE)" if is_regression else "wrong answers, in percent", color=FAINT)
    axes.tick_params(length=0, colors=INK)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b5b5b5")
    figure.text(0.03, 0.94, title, color=INK, fontsize=11, fontweight="bold", va="center", parse_math=False)
    figure.text(0.03, 0.88, subtitle, color=FAINT, fontsize=9.5, va="center", parse_math=False)
    return figure_files(figure)


def _draw_lines(axes: Axes, front: Front, is_regression: bool, names: Mapping[str, str]) -> None:
    """A line for each kind of samples that networks have errors on, named at its right end."""
    networks = front.networks
    sizes = [max(one.individual.genome.complexity.connections, 1) for one in networks]
    axes.set_xscale("log")
    shown = _labeled(sizes)
    axes.set_xticks(shown, [str(size) for size in shown])
    axes.minorticks_off()
    axes.set_xlim(min(sizes) / _MARGIN, max(sizes) * _MARGIN)
    ends = []
    found: dict[str, dict[int, float]] = {}
    for part, color, style in (("validation", NEGATIVE, "--"), ("train", FAINT, ":"), ("test", POSITIVE, "-")):
        errors = [_error(getattr(one, part), is_regression) for one in networks]
        known = {size: error for size, error in zip(sizes, errors, strict=True) if error is not None}
        if not known:
            continue
        found[part] = known
        line = axes.plot(
            list(known), list(known.values()), style, color=color, marker="o", markersize=4.5, linewidth=1.6
        )
        line[0].set_clip_on(False)
        ends.append((list(known.values())[-1], names.get(part, part), color))
    _name_lines(axes, ends)
    for size, error in found.get("test", {}).items():
        others = [errors[size] for part, errors in found.items() if part != "test" and size in errors]
        words = f"{error:.3g}" if is_regression else f"{error:.1f}"
        _label(axes, size, error, words, above=error > max(others, default=-inf))


def _label(axes: Axes, size: int, error: float, words: str, *, above: bool) -> None:
    """Write an error where no line goes that falls to the right: above right of its point, or below left of it."""
    # Below is room above the axis alone.
    if above or error < 0.08 * axes.get_ylim()[1]:
        place: dict[str, Any] = {"xytext": (4, 6), "ha": "left"}
        if size == round(axes.get_xlim()[1] / _MARGIN):
            # The name of the line follows.
            place = {"xytext": (0, 7), "ha": "center"}
    else:
        place = {"xytext": (-3, -5), "ha": "right", "va": "top"}
        if size == round(axes.get_xlim()[0] * _MARGIN):
            place = {"xytext": (0, -7), "ha": "center", "va": "top"}
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
    axes.annotate(words, (size, error), textcoords="offset points", fontsize=8.5, color=POSITIVE, bbox=ground, **place)


def _name_lines(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write names beside the right ends of lines, so that none hides another."""
    axes.autoscale(axis="y")
    low, high = 0.0, max(axes.get_ylim()[1], 1e-9) * 1.1
    axes.set_ylim(low, high)
    places = spread_apart([end / high for end, _, _ in ends], 0.06)
    for (_, name, color), place in zip(ends, places, strict=True):
        axes.text(1.02, place, name, color=color, transform=axes.transAxes, fontsize=9.5, va="center", clip_on=False)


def _labeled(sizes: list[int]) -> list[int]:
    """Those sizes whose labels on a logarithmic axis do not touch, the largest first."""
    extent = log(max(sizes) / min(sizes)) or 1.0
    shown: list[int] = []
    for size in sorted(set(sizes), reverse=True):
        if not shown or log(shown[-1] / size) >= _APART * extent:
            shown.append(size)
    return shown


def _error(score: object, is_regression: bool) -> float | None:
    """What is drawn of a score."""
    value: float | None = getattr(score, "rmse" if is_regression else "accuracy", None)
    return value if value is None or is_regression else 100.0 * (1.0 - value)
