"""Drawing with matplotlib, where graphviz is not installed."""

from __future__ import annotations

from pathlib import Path

from topoevo.reporting.picture_scene import Scene

_DOTS_PER_INCH = 144


def draw(scene: Scene, file: Path) -> None:
    """Write a file whose ending is ``.svg`` or ``.png``."""
    import matplotlib
    from matplotlib.collections import EllipseCollection, PathCollection
    from matplotlib.colors import to_rgba
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Outline

    # A figure of its own, without pyplot, which would hold state and look for a screen.
    figure = Figure(figsize=(scene.width / 72, scene.height / 72), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, scene.width)
    axes.set_ylim(0, scene.height)
    axes.axis("off")
    codes = [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4]
    axes.add_collection(
        PathCollection(
            [Outline(curve.points, codes) for curve in scene.curves],
            facecolors="none",
            edgecolors=[to_rgba(curve.color, curve.opacity) for curve in scene.curves],
            linewidths=[curve.width for curve in scene.curves],
            capstyle="round",
        )
    )
    diameters = [2 * circle.radius for circle in scene.circles]
    axes.add_collection(
        EllipseCollection(
            diameters,
            diameters,
            [0.0] * len(diameters),
            units="xy",
            offsets=[(circle.x, circle.y) for circle in scene.circles],
            offset_transform=axes.transData,
            facecolors=[circle.fill for circle in scene.circles],
            edgecolors=[circle.stroke for circle in scene.circles],
            linewidths=[circle.stroke_width for circle in scene.circles],
            zorder=3,
        )
    )
    for words in scene.words:
        axes.text(
            words.x,
            words.y,
            words.text,
            fontsize=words.size * 0.93,
            color=words.color,
            ha=words.anchor,
            va="center_baseline",
            fontweight="bold" if words.bold else "normal",
            parse_math=False,
            zorder=4,
        )
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "topoevo"}):
        # A date would make equal pictures different files.
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, format=file.suffix[1:], dpi=_DOTS_PER_INCH, metadata=metadata)
