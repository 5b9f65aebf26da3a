"""The picture of a comparison with controls: every network's test score as a dot on one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from topoevo.reporting.figure_files import figure_files
from topoevo.reporting.picture_scene import FAINT, INK, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from topoevo.experiment.comparison import Comparison

_DOTS_PER_INCH = 144
_INCHES = (7.2, 2.9)
_DOT_SIZE = 38.0  #: points squared
#: A dot that is closer than this part of the axis to another one is moved up or down.
_APART, _STEP = 0.014, 0.11
_HIGHEST = 0.42
#: Parts of the picture's width that a line of text and the label of the axis may have; longer ones are shrunk.
_WIDEST, _WIDEST_LABEL = 0.93, 0.77
_SMALLEST = 4.0  #: points


def picture_of(comparison: Comparison, *, title: str, subtitle: str) -> dict[str, bytes]:
    """Return the picture as files.

    Parameters
    ----------
    comparison
        What to draw.
    title, subtitle
        Lines above.

    Returns
    -------
    dict
        Contents by ending, ``svg`` and ``png``; equal comparisons have equal ones.
    """
    from matplotlib.figure import Figure

    # A figure of its own, without pyplot, which would hold state and look for a screen.
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, facecolor="white")
    axes = figure.add_axes((0.2, 0.2, 0.77, 0.6))
    rows = (
        (1.0, "champion", comparison.champions, POSITIVE, f"{len(comparison.champions)} trainings"),
        (0.0, "controls", comparison.controls, NEGATIVE, f"{len(comparison.controls)} networks"),
    )
    scores = {y: comparison.test_scores(networks) for y, _, networks, _, _ in rows}
    everything = np.concatenate(list(scores.values()))
    low, high = (everything.min(), everything.max()) if len(everything) else (0.0, 1.0)
    margin = 0.06 * (high - low or 1.0)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(-0.6, 1.6)
    for y, _, _, color, _ in rows:
        if len(scores[y]):
            steps = spread_out(scores[y], _APART * (high - low + 2 * margin))
            heights = y + steps * min(_STEP, _HIGHEST / max(int(np.abs(steps).max()), 1))
            axes.scatter(scores[y], heights, s=_DOT_SIZE, color=color, alpha=0.75, linewidths=0, zorder=3)
            axes.plot([scores[y].mean()] * 2, [y - _HIGHEST, y + _HIGHEST], color=INK, linewidth=1.4, zorder=4)
    axes.set_yticks([y for y, *_ in rows], [f"{name}\n{count}" for _, name, _, _, count in rows])
    words = {"accuracy": "test accuracy", "rmse": "test error (RMSE; lower is better)"}[comparison.measure]
    epochs = "1 epoch" if comparison.num_epochs == 1 else f"{comparison.num_epochs} epochs"
    axes.set_xlabel(f"{words} after {epochs} from new weights; bars are means", color=FAINT)
    axes.tick_params(length=0, colors=INK)
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b5b5b5")
    bold = figure.text(0.03, 0.93, title, color=INK, fontsize=11, fontweight="bold", va="center", parse_math=False)
    plain = figure.text(0.03, 0.85, subtitle, color=FAINT, fontsize=9.5, va="center", parse_math=False)
    for text, widest in ((bold, _WIDEST), (plain, _WIDEST), (axes.xaxis.label, _WIDEST_LABEL)):
        size = text.get_fontproperties().get_size_in_points()
        # Step by step: letters are fitted to pixels, so that the width is not proportional to the size.
        while size > _SMALLEST and text.get_window_extent().width > widest * figure.bbox.width:
            size -= 0.25
            text.set_fontsize(size)
    return figure_files(figure)


def spread_out(values: NDArray[np.float64], apart: float) -> NDArray[np.int64]:
    """Return how many steps up or down to move dots so that none hides another.

    Parameters
    ----------
    values
        Places on the axis, float64 [num_dots].
    apart
        Distance from which dots may stand beside each other.

    Returns
    -------
    int64 [num_dots]
        From the middle: 0, 1, -1, 2, -2 …
    """
    steps = np.zeros(len(values), np.int64)
    last: dict[int, float] = {}
    for index in np.argsort(values, kind="stable"):
        candidates = (sign * size for size in range(len(values)) for sign in ((1, -1) if size else (1,)))
        steps[index] = next(step for step in candidates if values[index] - last.get(step, -np.inf) >= apart)
        last[int(steps[index])] = float(values[index])
    return steps
