"""The cart-pole on its track: the way of the pole's tip, the force, and the reward of every step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from topoevo.reporting.films.canvas import PAPER, RULE, Canvas, mixed
from topoevo.reporting.films.drawing import DRAWINGS, Drawing, Moment
from topoevo.reporting.films.half_blocks import HalfBlocks, below
from topoevo.reporting.picture_scene import FAINT, INK, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import RenderableType

_WIDTH, _HEIGHT = 640, 312
_MARGIN = 28
_RAIL = 150  #: height of the cart's axle, in pixels from the top
_STRIP_TOP, _STRIP_BOTTOM = 246, 286
_TRACE = 60  #: steps
_LONGEST_ARROW = 62.0  #: pixels
_PIXELS_PER_CELL = 3

#: Meters that a terminal shows, where the whole track would make the pole too small.
_TERMINAL_METERS = 3.2


@DRAWINGS.register
class CartPoleFilm(Drawing):
    """Draws ``CartPoleSwingUp`` as fast as it is: a hundred steps a second."""

    name: ClassVar[str] = "CartPoleSwingUp"
    steps_per_second: ClassVar[float] = 100.0

    def picture(self, moment: Moment) -> Image:
        """See `Drawing.picture`."""
        canvas = Canvas(_WIDTH, _HEIGHT)
        right = f"step {moment.num_steps}    return {moment.total:.1f}"
        canvas.words(_WIDTH - _MARGIN, 32, right, 15, INK, anchor="rs")
        canvas.words(_MARGIN, 32, canvas.fitted(moment.title, 15, 390), 15, FAINT)
        pixels = (_WIDTH - 2 * _MARGIN - 40) / (2 * self.simulation.constants.track_limit)
        self._draw_scene(canvas, moment, pixels, _WIDTH / 2, _RAIL)
        self._draw_rewards(canvas, moment)
        return canvas.picture()

    def text(self, moment: Moment, width: int, height: int) -> RenderableType:
        """See `Drawing.text`."""
        limit = self.simulation.constants.track_limit
        columns, lines = max(width, 20), max(height - 1, 6)
        canvas = Canvas(columns * _PIXELS_PER_CELL, 2 * lines * _PIXELS_PER_CELL)
        meters = min(_TERMINAL_METERS, 2 * limit)
        pixels = min(canvas.width / meters, canvas.height / 2 / (self.simulation.constants.pole_length + 0.12))
        # The view follows the cart, as far as there is track.
        middle = max(limit + 0.1 - canvas.width / pixels / 2, 0.0)
        seen = float(np.clip(moment.state[0], -middle, middle))
        self._draw_scene(canvas, moment, pixels, canvas.width / 2 - seen * pixels, canvas.height / 2)
        words = f"step {moment.num_steps}  return {moment.total:.1f}  x {moment.state[0]:+.2f} m  {moment.title}"
        return below(HalfBlocks(canvas.picture(), columns, lines), words)

    def _draw_scene(self, canvas: Canvas, moment: Moment, pixels: float, middle: float, rail: float) -> None:
        """Track, cart, pole, the way of its tip and the force, at so many pixels a meter."""
        constants = self.simulation.constants
        x, angle = float(moment.state[0]), float(moment.state[2])
        size, place = pixels / 108.0, middle + x * pixels
        for end in (-1, 1):
            edge = middle + end * (constants.track_limit * pixels + 4 * size)
            canvas.line([(edge, rail - 15 * size), (edge, rail + 22 * size)], FAINT, 3 * size)
        ends = [middle + end * constants.track_limit * pixels for end in (-1, 1)]
        canvas.line([(end, rail + 22 * size) for end in ends], FAINT, 2 * size)
        for meter in range(-math.floor(constants.track_limit), math.floor(constants.track_limit) + 1):
            mark = middle + meter * pixels
            canvas.line([(mark, rail + 22 * size), (mark, rail + (32 if meter == 0 else 28) * size)], FAINT, size)
        self._draw_trace(canvas, moment, pixels, middle, rail)
        canvas.box(place - 24 * size, rail - 10 * size, place + 24 * size, rail + 13 * size, POSITIVE, radius=5 * size)
        for side in (-1, 1):
            canvas.disc(place + side * 14 * size, rail + 15 * size, 6.5 * size, INK)
            canvas.disc(place + side * 14 * size, rail + 15 * size, 2.2 * size, PAPER)
        if moment.num_steps:
            self._draw_force(canvas, float(moment.actions[-1, 0]), place, rail + 2 * size, size)
        tip_x = place - constants.pole_length * pixels * math.sin(angle)
        tip_y = rail - constants.pole_length * pixels * math.cos(angle)
        canvas.line([(place, rail), (tip_x, tip_y)], PAPER, 10 * size)
        canvas.line([(place, rail), (tip_x, tip_y)], NEGATIVE, 7 * size)
        canvas.disc(place, rail, 3 * size, PAPER)

    def _draw_trace(self, canvas: Canvas, moment: Moment, pixels: float, middle: float, rail: float) -> None:
        """Where the tip was, fainter the longer ago."""
        length = self.simulation.constants.pole_length
        states = moment.states[-_TRACE:]
        places_x = middle + pixels * (states[:, 0] - length * np.sin(states[:, 2]))
        places_y = rail - pixels * length * np.cos(states[:, 2])
        places = list(zip(places_x.tolist(), places_y.tolist(), strict=True))
        for i in range(1, len(places)):
            age = (len(places) - i) / _TRACE
            canvas.line(places[i - 1 : i + 1], mixed(NEGATIVE, PAPER, 0.35 + 0.65 * age), 2.0 * pixels / 108.0)

    def _draw_force(self, canvas: Canvas, force: float, place: float, y: float, size: float) -> None:
        """An arrow from the side that is pushed."""
        side = 1 if force > 0 else -1
        start, length = place + side * 26 * size, abs(force) * _LONGEST_ARROW * size
        if length < 3 * size:
            return
        head = min(11 * size, length)
        tip = start + side * length
        if length > head:
            canvas.line([(start, y), (tip - side * head, y)], INK, 2.6 * size)
        back = tip - side * head
        canvas.polygon([(tip, y), (back, y - 5.5 * size), (back, y + 5.5 * size)], INK)

    def _draw_rewards(self, canvas: Canvas, moment: Moment) -> None:
        """The reward of every step until now, along the longest possible episode."""
        left, right = _MARGIN + 20, _WIDTH - _MARGIN - 20
        step = (right - left) / self.simulation.max_steps
        height = _STRIP_BOTTOM - _STRIP_TOP
        canvas.words(left, _STRIP_TOP - 7, "reward of a step, 0 to 1", 11, FAINT)
        tops = (_STRIP_BOTTOM - height * np.clip(moment.rewards, 0.0, 1.0)).tolist()
        if len(tops) > 1:
            curve = [(left + (i + 1) * step, top) for i, top in enumerate(tops)]
            floor = [(curve[-1][0], _STRIP_BOTTOM), (curve[0][0], _STRIP_BOTTOM)]
            canvas.polygon([*curve, *floor], mixed(POSITIVE, PAPER, 0.72))
            canvas.line(curve, POSITIVE, 1.5)
        canvas.line([(left, _STRIP_BOTTOM), (right, _STRIP_BOTTOM)], RULE, 1)
        canvas.words(left, _STRIP_BOTTOM + 15, "0", 11, FAINT, anchor="ms")
        canvas.words(right, _STRIP_BOTTOM + 15, f"{self.simulation.max_steps} steps", 11, FAINT, anchor="rs")
