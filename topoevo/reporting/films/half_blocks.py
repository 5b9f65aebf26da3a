"""Pictures in a terminal: two pixels a letter, one above the other."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult


class HalfBlocks:
    """A picture as rich prints it, reduced to so many columns and lines at most.

    Parameters
    ----------
    picture
        In RGB.
    width, height
        Columns and lines.
    """

    def __init__(self, picture: Image, width: int, height: int) -> None:
        from PIL.Image import Resampling

        ratio = min(width / picture.width, 2 * height / picture.height)
        size = max(round(picture.width * ratio), 1), 2 * max(round(picture.height * ratio / 2), 1)
        self.pixels = picture.resize(size, Resampling.BOX).tobytes()
        self.width, self.height = size[0], size[1] // 2

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        row = 3 * self.width
        for line in range(self.height):
            upper, lower = self.pixels[2 * line * row :][:row], self.pixels[(2 * line + 1) * row :][:row]
            for i in range(0, row, 3):
                yield Segment("▀", _style(upper[i : i + 3], lower[i : i + 3]))
            yield Segment.line()


def below(picture: HalfBlocks, words: str) -> RenderableType:
    """Return a picture with a line of text under it."""
    from rich.console import Group
    from rich.text import Text

    return Group(picture, Text(words, no_wrap=True, overflow="ellipsis"))


@lru_cache(maxsize=4096)
def _style(upper: bytes, lower: bytes) -> Any:
    """The colors of a letter."""
    from rich.color import Color
    from rich.style import Style

    # Steps of 8 are not seen, and make many letters alike.
    return Style(
        color=Color.from_rgb(*(v & 0xF8 | v >> 5 for v in upper)),
        bgcolor=Color.from_rgb(*(v & 0xF8 | v >> 5 for v in lower)),
    )
