"""Drawing with smooth edges, in pixels of the finished picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    Point = tuple[float, float]

#: Everything is drawn so many times larger and then reduced.
_LARGER = 3

PAPER, RULE = "#ffffff", "#d9d9d9"


class Canvas:
    """A picture in the making. Lengths and places are in pixels, y downwards; colors as in ``#rrggbb``.

    Parameters
    ----------
    width, height
        Size of the picture.
    """

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _LARGER, height * _LARGER), PAPER)
        self._draw: Any = ImageDraw.Draw(self._image)

    def line(self, points: Sequence[Point], color: str, width: float) -> None:
        """Draw a line through points, with round ends and corners."""
        scaled, thickness = [(x * _LARGER, y * _LARGER) for x, y in points], round(width * _LARGER)
        self._draw.line(scaled, color, thickness, joint="curve")
        if width > 2.0:
            for x, y in (points[0], points[-1]):
                # Pillow's circles have their edge besides.
                self.disc(x, y, (thickness - 1) / (2.0 * _LARGER), color)

    def disc(self, x: float, y: float, radius: float, color: str, *, edge: str | None = None) -> None:
        """Draw a filled circle."""
        corners = [(v + sign * radius) * _LARGER for sign in (-1, 1) for v in (x, y)]
        self._draw.ellipse(corners, color, edge, _LARGER if edge else 0)

    def box(
        self, left: float, top: float, right: float, bottom: float, color: str | None, *, edge: str | None = None,
        radius: float = 0.0,
    ) -> None:  # fmt: skip
        """Draw a rectangle with round corners."""
        corners = [v * _LARGER for v in (left, top, right, bottom)]
        self._draw.rounded_rectangle(corners, radius * _LARGER, color, edge, _LARGER if edge else 0)

    def polygon(self, points: Sequence[Point], color: str) -> None:
        """Draw a filled polygon."""
        self._draw.polygon([(x * _LARGER, y * _LARGER) for x, y in points], color)

    def words(self, x: float, y: float, text: str, size: float, color: str, *, anchor: str = "ls") -> None:
        """Write a line of text; `anchor` as in Pillow: ``l``, ``m`` or ``r``, and ``s`` for the baseline."""
        self._draw.text((x * _LARGER, y * _LARGER), text, color, _font(round(size * _LARGER)), anchor=anchor)

    def fitted(self, text: str, size: float, width: float) -> str:
        """Return the text, cut at its end where it would be wider."""
        font = _font(round(size * _LARGER))
        if font.getlength(text) <= width * _LARGER:
            return text
        while text and font.getlength(text + "…") > width * _LARGER:
            text = text[:-1]
        return text + "…"

    def picture(self) -> Image:
        """Return the finished picture."""
        return self._image.reduce(_LARGER)


def mixed(first: str, second: str, ratio: float) -> str:
    """Return a color between two, the first one for 0, the second one for 1."""
    parts = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * ratio):02x}" for a, b in parts)


@lru_cache(maxsize=32)
def _font(size: int) -> Any:
    """Pillow's own font."""
    from PIL import ImageFont

    return ImageFont.load_default(size)
