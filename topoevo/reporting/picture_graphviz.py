"""Drawing with graphviz, where its program ``dot`` is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from topoevo.reporting.picture_scene import Scene

_SECONDS = 20
_DOTS_PER_INCH = 144
_FONT = "Helvetica,Arial,sans-serif"


def is_installed() -> bool:
    """Return whether graphviz can draw."""
    return shutil.which("dot") is not None


def draw(scene: Scene, file: Path) -> None:
    """Write a file whose ending is ``.svg`` or ``.png``.

    Raises
    ------
    OSError, subprocess.SubprocessError
        If graphviz fails or takes too long.

    Notes
    -----
    Places and curves are given (engine ``neato -n2``): the layout of ``dot`` itself takes minutes for a thousand
    connections.
    """
    kind = file.suffix[1:]
    # Older versions of graphviz cut a vector picture that is asked for in another resolution than 72.
    dots = 72 if kind == "svg" else _DOTS_PER_INCH
    command = ["dot", "-Kneato", "-n2", f"-Gdpi={dots}", f"-T{kind}", f"-o{file}"]
    subprocess.run(command, input=source(scene).encode(), capture_output=True, timeout=_SECONDS, check=True)


def source(scene: Scene) -> str:
    """Return the scene in the language of graphviz."""
    import graphviz

    graph = graphviz.Digraph(
        graph_attr={
            "outputorder": "edgesfirst",
            # Boxes of words may reach over the edge, which must not move the rest.
            "notranslate": "true",
            "viewport": f"{scene.width:.2f},{scene.height:.2f},1,{scene.width / 2:.2f},{scene.height / 2:.2f}",
            "pad": "0",
            "margin": "0",
            "bgcolor": "white",
            "fontname": _FONT,
            "tooltip": " ",
        },
        node_attr={"shape": "circle", "style": "filled", "fixedsize": "true", "label": "", "fontname": _FONT},
        edge_attr={"arrowhead": "none"},
    )
    for corner, (x, y) in {"a": (0.0, 0.0), "b": (scene.width, scene.height)}.items():
        # Graphviz moves everything to the lower left; invisible nodes in two corners hold it in place.
        graph.node(corner, pos=_point(x, y), shape="point", style="invis", width="0.01", height="0.01")
    ends = []
    for number, curve in enumerate(scene.curves):
        ends.append((f"s{number}", f"t{number}"))
        for name, (x, y) in zip(ends[-1], (curve.points[0], curve.points[-1]), strict=True):
            graph.node(name, pos=_point(x, y), shape="point", style="invis", width="0.001", height="0.001")
    for (start, end), curve in zip(ends, scene.curves, strict=True):
        graph.edge(
            start,
            end,
            pos=" ".join(f"{x:.2f},{y:.2f}" for x, y in curve.points),
            color=f"{curve.color}{round(255 * curve.opacity):02x}",
            penwidth=f"{curve.width:.2f}",
            tooltip=graphviz.escape(curve.tooltip or " "),
        )
    for number, circle in enumerate(scene.circles):
        graph.node(
            f"c{number}",
            pos=_point(circle.x, circle.y),
            width=f"{2 * circle.radius / 72:.4f}",
            fillcolor=circle.fill,
            color=circle.stroke,
            penwidth=f"{circle.stroke_width:.2f}",
            tooltip=graphviz.escape(circle.tooltip or " "),
        )
    for number, words in enumerate(scene.words):
        # Wider than the text, with the text at one of its ends.
        width = 4.0 + 0.9 * words.size * len(words.text)
        side = {"left": 0.5, "center": 0.0, "right": -0.5}[words.anchor]
        end = {"left": "\\l", "center": "", "right": "\\r"}[words.anchor]
        graph.node(
            f"w{number}",
            label=_escape(words.text) + end,
            pos=_point(words.x + side * width, words.y),
            shape="none",
            style="",
            margin="0",
            width=f"{width / 72:.4f}",
            height=f"{1.4 * words.size / 72:.4f}",
            fontsize=f"{words.size:.2f}",
            fontcolor=words.color,
            fontname="Helvetica-Bold" if words.bold else _FONT,
        )
    return str(graph.source)


def _point(x: float, y: float) -> str:
    """A fixed position."""
    return f"{x:.2f},{y:.2f}!"


def _escape(text: str) -> str:
    """Text that is not taken for markup."""
    return text.replace("\\", "\\\\")
