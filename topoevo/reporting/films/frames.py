"""Which moments are shown, for how long, and what shows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topoevo.reporting.films.drawing import Drawing, Moment
from topoevo.reporting.films.half_blocks import HalfBlocks, below

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import RenderableType
    from typing_extensions import Self


class Frame(ABC):
    """One picture of a film."""

    @abstractmethod
    def picture(self) -> Image:
        """Return it in RGB."""

    @abstractmethod
    def text(self, width: int, height: int) -> RenderableType:
        """Return it for a terminal of so many columns and lines."""


@dataclass(frozen=True, eq=False)
class DrawnFrame(Frame):
    """A moment of a simulation."""

    drawing: Drawing
    moment: Moment

    def picture(self) -> Image:
        """See `Frame.picture`."""
        return self.drawing.picture(self.moment)

    def text(self, width: int, height: int) -> RenderableType:
        """See `Frame.text`."""
        return self.drawing.text(self.moment, width, height)


@dataclass(frozen=True, eq=False)
class RenderedFrame(Frame):
    """What an environment of Gymnasium has rendered.

    Parameters
    ----------
    pixels
        uint8 [height, width, 3].
    words
        A line below it in a terminal.
    """

    pixels: NDArray[np.uint8]
    words: str

    def picture(self) -> Image:
        """See `Frame.picture`."""
        from PIL import Image

        return Image.fromarray(np.ascontiguousarray(self.pixels[..., :3], np.uint8))

    def text(self, width: int, height: int) -> RenderableType:
        """See `Frame.text`."""
        return below(HalfBlocks(self.picture(), width, height - 1), self.words)


class Viewer(ABC):
    """Shows frames, one after the other; a context manager."""

    @abstractmethod
    def show(self, frame: Frame, seconds: float) -> None:
        """Show a frame for some time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(completed=kind is None)

    def close(self, *, completed: bool) -> None:  # noqa: B027 - many viewers have nothing to give back
        """End the film, after all frames or after an error."""


@dataclass(frozen=True)
class Pace:
    """How many steps go by from frame to frame.

    Parameters
    ----------
    steps
        Steps between two frames; a fraction is rounded anew for every frame.
    seconds
        Time between two frames, whole hundredths as GIF files have them.
    """

    steps: float
    seconds: float

    @staticmethod
    def of(steps_per_second: float, *, fps: float, speed: float) -> Pace:
        """Return the pace at which no step is shown twice.

        Parameters
        ----------
        steps_per_second
            Of the environment as fast as it is.
        fps
            Frames in a second, at most.
        speed
            Times faster than it is.
        """
        hundredths = max(round(100.0 / min(fps, steps_per_second * speed)), 2)
        return Pace(max(steps_per_second * speed * hundredths / 100.0, 1.0), hundredths / 100.0)

    def shows(self, step: int) -> bool:
        """Return whether a frame is due after so many steps; one is due before the first step."""
        return round(round(step / self.steps) * self.steps) == step


def moments_of(recording: Any, pace: Pace, title: str) -> list[Moment]:
    """Return the moments of a recorded episode that are shown; the last one always is.

    Parameters
    ----------
    recording
        A `topoevo.rollouts.Recording`.
    pace
        Which ones.
    title
        Words above every picture.
    """
    last = recording.num_steps
    return [
        Moment(recording.states[: k + 1], recording.actions[:k], recording.rewards[:k], k == last, title)
        for k in range(last + 1)
        if k == last or pace.shows(k)
    ]
