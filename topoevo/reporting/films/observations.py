"""A simulation without a picture of its own: curves of what it observes, of the actions and of the rewards."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.reporting.films.canvas import RULE, Canvas
from topoevo.reporting.films.drawing import Drawing, Moment
from topoevo.reporting.films.half_blocks import HalfBlocks, below
from topoevo.reporting.picture_scene import FAINT, INK, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import RenderableType

_WIDTH, _MARGIN, _HEADER = 560, 24, 52
_NAMES, _VALUES = 110, 66  #: widths of the columns beside the curves
_ROW, _MOST_ROWS = 34, 16
_SHOWN = 200  #: steps


class Observations(Drawing):
    """Draws any simulation: the last steps of every curve, thirty steps a second."""

    name: ClassVar[str] = "observations"
    steps_per_second: ClassVar[float] = 30.0

    def picture(self, moment: Moment) -> Image:
        """See `Drawing.picture`."""
        rows = self._rows(moment)
        canvas = Canvas(_WIDTH, _HEADER + _ROW * len(rows) + 12)
        right = f"step {moment.num_steps}    return {moment.total:.4g}"
        canvas.words(_WIDTH - _MARGIN, 30, right, 15, INK, anchor="rs")
        canvas.words(_MARGIN, 30, canvas.fitted(moment.title, 15, 320), 15, FAINT)
        for i, (name, values, color) in enumerate(rows):
            self._draw_row(canvas, _HEADER + i * _ROW, name, values, color)
        return canvas.picture()

    def text(self, moment: Moment, width: int, height: int) -> RenderableType:
        """See `Drawing.text`."""
        words = f"step {moment.num_steps}  return {moment.total:.4g}  {moment.title}"
        return below(HalfBlocks(self.picture(moment), width, height - 1), words)

    def _rows(self, moment: Moment) -> list[tuple[str, NDArray[np.float64], str]]:
        """Name, last values and color of every curve."""
        simulation = self.simulation
        states = moment.states[-_SHOWN:]
        seen = np.zeros((len(states), simulation.num_inputs), np.float32)
        for state, observation in zip(states, seen, strict=True):
            simulation.code().observe(simulation.constants, state, observation)
        names = simulation.actions.names if simulation.actions.kind == "continuous" else ("action",)
        rows = [(name, seen[:, i].astype(np.float64), POSITIVE) for i, name in enumerate(simulation.observation_names)]
        rows = rows[: _MOST_ROWS - len(names) - 1]
        rows += [(name, moment.actions[-_SHOWN:, i], NEGATIVE) for i, name in enumerate(names)]
        return [*rows, ("reward", moment.rewards[-_SHOWN:], INK)]

    def _draw_row(self, canvas: Canvas, top: float, name: str, values: NDArray[np.float64], color: str) -> None:
        """One curve between its least and its largest value."""
        left, right, bottom = _MARGIN + _NAMES, _WIDTH - _MARGIN - _VALUES, top + _ROW - 8
        canvas.words(_MARGIN, bottom - 8, canvas.fitted(name, 12, _NAMES - 10), 12, FAINT)
        canvas.line([(left, bottom), (right, bottom)], RULE, 1)
        if not len(values):
            return
        low, high = float(values.min()), float(values.max())
        heights = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
        step = (right - left) / (_SHOWN - 1)
        curve = [(left + i * step, bottom - h * (_ROW - 10)) for i, h in enumerate(heights.tolist())]
        if len(curve) > 1:
            canvas.line(curve, color, 1.5)
        canvas.disc(*curve[-1], 2.5, color)
        canvas.words(_WIDTH - _MARGIN, bottom - 8, f"{values[-1]:.3g}", 12, INK, anchor="rs")
