"""What a picture shows, as circles, curves and words that any engine can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.genome import Genome, Role
from topoevo.reporting.picture_layout import Layout, lay_out

INK, FAINT = "#2b2b2b", "#6f6f6f"
POSITIVE, NEGATIVE = "#2166ac", "#c2410c"
_INPUT_FILL = "#ffffff"
_MARGIN = 26.0
#: Width of a letter as a part of the font size, on the safe side.
_LETTER = 0.56
_LONGEST_NAME = 22
#: More input names than this would not be readable.
_MAX_INPUT_NAMES = 48


@dataclass(frozen=True)
class Circle:
    """A node; sizes in points."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = "#4a4a4a"
    stroke_width: float = 0.7
    tooltip: str = ""


@dataclass(frozen=True)
class Curve:
    """A cubic Bézier curve through four control points."""

    points: tuple[tuple[float, float], ...]
    width: float
    color: str
    opacity: float
    tooltip: str = ""


@dataclass(frozen=True)
class Words:
    """One line of text; `anchor` (``left``, ``center`` or ``right``) is what lies at x."""

    x: float
    y: float
    text: str
    size: float
    anchor: str = "left"
    color: str = INK
    bold: bool = False


@dataclass
class Scene:
    """Everything in a picture; curves lie below circles; y grows upwards from 0."""

    width: float = 0.0
    height: float = 0.0
    curves: list[Curve] = field(default_factory=list)
    circles: list[Circle] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)


def make_scene(
    genome: Genome,
    *,
    title: str = "",
    subtitle: str = "",
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
) -> Scene:
    """Return the picture of a genome's active part.

    Parameters
    ----------
    genome
        What to draw.
    title, subtitle
        Lines above the network.
    input_names, output_names
        Of all input and output nodes in order of their ids; left out where empty.
    """
    layout = lay_out(genome)
    scene = Scene()
    left_names = _names_of(genome, layout, Role.INPUT, input_names)
    right_names = _names_of(genome, layout, Role.OUTPUT, output_names)
    if len(left_names) > _MAX_INPUT_NAMES:
        left_names = {}
    sizes = (_name_size(layout, left_names, 9.0), _name_size(layout, right_names, 12.0))
    margins = [
        _MARGIN + max((len(name) for name in names.values()), default=0) * size * _LETTER + 12
        for names, size in zip((left_names, right_names), sizes, strict=True)
    ]
    legend = _Legend(genome, layout)
    low, high = layout.position.min(axis=0), layout.position.max(axis=0)
    inner = max(high[0] - low[0], 120.0)
    lines = max(_text_width(title, 15), _text_width(subtitle, 10.5))
    room = max(inner + sum(margins), legend.narrowest + 2 * _MARGIN, lines)
    legend_height = legend.place(scene, x=_MARGIN, width=room - 2 * _MARGIN, bottom=_MARGIN - 6)
    bottom = _MARGIN + legend_height + 18
    header = (24 if title else 0) + (17 if subtitle else 0)
    shift = np.array([(room - inner - sum(margins)) / 2 + margins[0] - low[0], bottom + 12 - low[1]])
    position = layout.position + shift
    scene.width, scene.height = float(room), float(bottom + 12 + high[1] - low[1] + 26 + header + _MARGIN - 8)
    top = scene.height - _MARGIN
    if title:
        scene.words.append(Words(_MARGIN, top - 6, title, 15, bold=True))
    if subtitle:
        scene.words.append(Words(_MARGIN, top - (25 if title else 4), subtitle, 10.5, color=FAINT))
    _add_curves(scene, layout, position)
    _add_circles(scene, genome, layout, position, {**left_names, **right_names})
    for names, size, side, anchor in ((left_names, sizes[0], -1, "right"), (right_names, sizes[1], 1, "left")):
        for index, name in names.items():
            x = position[index, 0] + side * (layout.radius[index] + 6)
            scene.words.append(Words(float(x), float(position[index, 1]), name, size, anchor))
    return scene


def _text_width(text: str, size: float) -> float:
    """Estimated width of text with its margins."""
    return len(text) * size * _LETTER + 2 * _MARGIN


def _names_of(genome: Genome, layout: Layout, role: Role, names: Sequence[str]) -> dict[int, str]:
    """Names of shown nodes of a role, by their index among the shown nodes."""
    all_rows = np.flatnonzero(genome.nodes["role"] == role)
    if len(names) != len(all_rows):
        return {}
    by_row = dict(zip(all_rows.tolist(), names, strict=True))
    return {index: _short(by_row[row]) for index, row in enumerate(layout.rows.tolist()) if row in by_row}


def _short(name: str) -> str:
    """A name as one line of limited length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(name)).split())
    return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1] + "…"


def _name_size(layout: Layout, names: dict[int, str], largest: float) -> float:
    """Font size at which names above each other do not touch."""
    heights = np.sort(layout.position[list(names), 1])
    gap = float(np.diff(heights).min()) if len(heights) > 1 else largest
    return float(np.clip(0.95 * gap, 5.0, largest))


def _add_curves(scene: Scene, layout: Layout, position: NDArray[np.float64]) -> None:
    """Edges, the weakest first."""
    magnitude = np.abs(layout.weight)
    # A few huge weights should not make all others invisible.
    reference = float(np.quantile(magnitude, 0.95)) if len(magnitude) else 1.0
    strength = np.minimum(magnitude / (reference or 1.0), 1.0)
    # Many edges are thinner and more transparent, so that single ones can still be followed.
    density = float(np.clip((max(len(magnitude), 1) / 60) ** -0.35, 0.35, 1.2))
    for index in np.argsort(strength, kind="stable"):
        source, target = layout.edges[index]
        start, end = position[source, 0] + layout.radius[source], position[target, 0] - layout.radius[target]
        y_start, y_end = position[source, 1], position[target, 1]
        reach = max(0.5 * (end - start), 8.0)
        points = ((start, y_start), (start + reach, y_start), (end - reach, y_end), (end, y_end))
        scene.curves.append(
            Curve(
                points=tuple((float(x), float(y)) for x, y in points),
                width=float((0.55 + 2.2 * strength[index]) * density),
                color=POSITIVE if layout.weight[index] >= 0 else NEGATIVE,
                opacity=float((0.34 + 0.52 * strength[index]) * min(density + 0.25, 1.0)),
                tooltip=f"weight {layout.weight[index]:.4g}",
            )
        )


def _add_circles(
    scene: Scene, genome: Genome, layout: Layout, position: NDArray[np.float64], names: dict[int, str]
) -> None:
    """Nodes; a thick ring is a bias."""
    for index, (row, (x, y), radius) in enumerate(zip(layout.rows, position, layout.radius, strict=True)):
        gene = genome.nodes[row]
        is_input = gene["role"] == Role.INPUT
        activation = ACTIVATIONS_BY_CODE[gene["activation"]]
        stroke, width = (INK, min(0.22 * radius, 1.8)) if layout.has_bias[index] else ("#5a5a5a", 0.7)
        words = f"{Role(gene['role']).name.lower()} node {gene['id']} {names.get(index, '')}".strip()
        words = words if is_input else f"{words}: {activation.name}{', with bias' if layout.has_bias[index] else ''}"
        fill = _INPUT_FILL if is_input else activation.color
        scene.circles.append(Circle(float(x), float(y), float(radius), fill, stroke, width, words))


class _Legend:
    """Signs and what they mean, in as many lines as are needed."""

    _SIZE, _LINE, _SPACE = 9.5, 17.0, 18.0

    def __init__(self, genome: Genome, layout: Layout) -> None:
        computed = genome.nodes[layout.rows]
        computed = computed[computed["role"] != Role.INPUT]
        used = {ACTIVATIONS_BY_CODE[code].name for code in computed["activation"]}
        self._items: list[tuple[str, str]] = [("input", "input")]
        self._items += [(name, name) for name in ACTIVATIONS if name in used]
        if layout.has_bias.any():
            self._items.append(("with bias", "ring"))
        if len(layout.weight):
            self._items += [("positive weight", POSITIVE), ("negative weight", NEGATIVE)]
        self.narrowest = max(self._width(item) for item in self._items)

    def _width(self, item: tuple[str, str]) -> float:
        """Estimated width of an item."""
        return len(item[0]) * self._SIZE * _LETTER + (28.0 if item[1].startswith("#") else 15.0) + self._SPACE

    def place(self, scene: Scene, *, x: float, width: float, bottom: float) -> float:
        """Add the legend to a scene and return its height."""
        lines: list[list[tuple[str, str]]] = [[]]
        for item in self._items:
            if lines[-1] and sum(map(self._width, [*lines[-1], item])) > width:
                lines.append([])
            lines[-1].append(item)
        for number, line in enumerate(reversed(lines)):
            left, y = x, bottom + number * self._LINE + 6
            for text, sign in line:
                indent = self._add_sign(scene, left, y, sign)
                scene.words.append(Words(left + indent, y, text, self._SIZE, color=FAINT))
                left += self._width((text, sign))
        return len(lines) * self._LINE

    def _add_sign(self, scene: Scene, x: float, y: float, sign: str) -> float:
        """Add a sign and return how far right of it the words begin."""
        if sign.startswith("#"):
            points = ((x, y), (x + 7, y), (x + 14, y), (x + 21, y))
            scene.curves.append(Curve(points, 2.0, sign, 0.85))
            return 27.0
        fill = _INPUT_FILL if sign in ("input", "ring") else ACTIVATIONS[sign].color
        stroke = (INK, 1.6) if sign == "ring" else ("#5a5a5a", 0.7)
        scene.circles.append(Circle(x + 5, y, 4.6, fill, *stroke))
        return 14.0
