"""Snake's board: the body from head to tail, the food, and what the head sees before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from topoevo.reporting.films.canvas import PAPER, RULE, Canvas, mixed
from topoevo.reporting.films.drawing import DRAWINGS, Drawing, Moment
from topoevo.reporting.picture_scene import FAINT, INK, NEGATIVE
from topoevo.tasks.environments.snake import (
    BOARD,
    DX,
    DY,
    FOOD,
    FOOD_X,
    FOOD_Y,
    HEADING,
    HUNGER,
    LENGTH,
    MOVES,
    TURNS,
    X,
    Y,
    can_enter,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import RenderableType

    from topoevo.tasks.environments.environment import Simulation

_BOARD, _MARGIN, _HEADER = 300, 18, 62
_HEAD_COLOR, _TAIL_COLOR = "#14632f", "#9fd39a"
_FLOOR, _FLOOR_DARKER = "#f4f6ee", "#ecefe3"
_RAY, _HUNGRY = "#c9cfba", "#d97706"
_ARROWS = "▲▶▼◀"
_SHADES = 8  #: of the body


@DRAWINGS.register
class SnakeFilm(Drawing):
    """Draws ``Snake``, twelve moves a second."""

    name: ClassVar[str] = "Snake"
    steps_per_second: ClassVar[float] = 12.0
    for_terminal: ClassVar[bool] = True

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        self._size = self.simulation.board_size
        self._cell = _BOARD / self._size

    def picture(self, moment: Moment) -> Image:
        """See `Drawing.picture`."""
        width = _BOARD + 2 * _MARGIN
        canvas, state = Canvas(width, _BOARD + _HEADER + _MARGIN), moment.state
        canvas.words(_MARGIN, 27, canvas.fitted(moment.title, 12, 165), 12, FAINT)
        canvas.words(width - _MARGIN, 27, f"food {state[FOOD]:.0f}    step {moment.num_steps}", 14, INK, anchor="rs")
        self._draw_hunger(canvas, moment)
        self._draw_floor(canvas)
        body = self.body(moment)
        if not moment.is_over:
            self._draw_sight(canvas, moment)
        x, y = self._middle(state[FOOD_X], state[FOOD_Y])
        canvas.disc(x, y, 0.33 * self._cell, NEGATIVE)
        canvas.disc(x - 0.1 * self._cell, y - 0.12 * self._cell, 0.07 * self._cell, mixed(NEGATIVE, PAPER, 0.6))
        self._draw_body(canvas, body)
        self._draw_face(canvas, moment)
        if moment.is_over:
            words = f"{self.end_of(moment)} after {moment.num_steps} steps"
            # In the half of the board where the head is not.
            y = _HEADER + _BOARD * (0.8 if state[Y] < self._size / 2 else 0.2)
            canvas.box(width / 2 - 112, y - 19, width / 2 + 112, y + 19, PAPER, edge=RULE, radius=7)
            canvas.words(width / 2, y + 5, words, 14, INK, anchor="ms")
        return canvas.picture()

    def text(self, moment: Moment, width: int, height: int) -> RenderableType:
        """See `Drawing.text`."""
        from rich.console import Group
        from rich.text import Text

        state, size = moment.state, self._size
        cells = {cell: ("██", mixed(_HEAD_COLOR, _TAIL_COLOR, share)) for cell, share in self._shades(moment)}
        cells.setdefault((int(state[FOOD_X]), int(state[FOOD_Y])), ("● ", "#ef4444"))
        head = int(state[X]), int(state[Y])
        arrow = "✗ " if moment.is_over else f"{_ARROWS[int(state[HEADING])]} "
        cells[head] = arrow, f"bold {PAPER} on {_HEAD_COLOR}"
        # Of a board that is too large, what is around the head.
        columns, rows = min(size, max((width - 4) // 2, 4)), min(size, max(height - 4, 4))
        left = min(max(head[0] - columns // 2, 0), size - columns)
        top = min(max(head[1] - rows // 2, 0), size - rows)
        lines = Text(no_wrap=True, overflow="crop")
        lines.append(f" {moment.title}\n", "dim")
        lines.append(f" ┌{'──' * columns}┐\n", "dim")
        for y in range(top, top + rows):
            lines.append(" │", "dim")
            for x in range(left, left + columns):
                lines.append(*cells.get((x, y), ("· ", "dim")))
            lines.append("│\n", "dim")
        lines.append(f" └{'──' * columns}┘\n", "dim")
        lines.append(f" food {state[FOOD]:.0f}", "bold")
        lines.append(f"  step {moment.num_steps}  hungry for {state[HUNGER]:.0f} of {self.simulation.max_hunger}")
        lines.append(f"  {self.end_of(moment)}" if moment.is_over else "", "bold")
        # In a group, for rich forgets of a text by itself that it is not to be wrapped.
        return Group(lines)

    def body(self, moment: Moment) -> list[tuple[int, int]]:
        """Return the cells of the body, (x, y), from head to tail."""
        age = moment.state[MOVES] - moment.state[BOARD:]
        cells = np.flatnonzero(age < moment.state[LENGTH])
        return [(int(c) % self._size, int(c) // self._size) for c in cells[np.argsort(age[cells])]]

    def end_of(self, moment: Moment) -> str:
        """Return how a game has ended."""
        state = moment.state
        if state[LENGTH] >= self._size**2:
            return "board full"
        if state[HUNGER] >= self.simulation.max_hunger:
            return "starved"
        if moment.num_steps >= self.simulation.max_steps:
            return "time is up"
        x, y = state[X] + DX[int(state[HEADING])], state[Y] + DY[int(state[HEADING])]
        return "bit itself" if min(x, y) >= 0 and max(x, y) < self._size else "hit the wall"

    def _shades(self, moment: Moment) -> list[tuple[tuple[int, int], float]]:
        """Cells of the body, and 0 for the head to 1 for the tail."""
        body = self.body(moment)
        return [(cell, i / max(len(body) - 1, 1)) for i, cell in enumerate(body)]

    def _middle(self, x: float, y: float) -> tuple[float, float]:
        """The middle of a cell in pixels."""
        return _MARGIN + (x + 0.5) * self._cell, _HEADER + (y + 0.5) * self._cell

    def _draw_hunger(self, canvas: Canvas, moment: Moment) -> None:
        """A bar that shrinks until there is food."""
        left, right = _MARGIN + 58, _MARGIN + _BOARD
        canvas.words(_MARGIN, 52, "strength", 12, FAINT)
        canvas.box(left, 44, right, 52, RULE, radius=4)
        share = max(1.0 - moment.state[HUNGER] / self.simulation.max_hunger, 0.0)
        if share * (right - left) >= 8:
            color = mixed(_HUNGRY, _HEAD_COLOR, share)
            canvas.box(left, 44, left + share * (right - left), 52, color, radius=4)

    def _draw_floor(self, canvas: Canvas) -> None:
        """The cells."""
        canvas.box(_MARGIN - 3, _HEADER - 3, _MARGIN + _BOARD + 3, _HEADER + _BOARD + 3, _FLOOR, edge=FAINT, radius=4)
        for x in range(self._size):
            for y in range(x % 2, self._size, 2):
                left, top = _MARGIN + x * self._cell, _HEADER + y * self._cell
                canvas.box(left, top, left + self._cell, top + self._cell, _FLOOR_DARKER)

    def _draw_sight(self, canvas: Canvas, moment: Moment) -> None:
        """How far the head can go ahead, to its left and to its right."""
        state, constants = moment.state, self.simulation.constants
        for turn in TURNS:
            heading = (int(state[HEADING]) + turn) % 4
            room = 0
            while can_enter(constants, state, state[X] + (room + 1) * DX[heading], state[Y] + (room + 1) * DY[heading]):
                room += 1
                x, y = self._middle(state[X] + room * DX[heading], state[Y] + room * DY[heading])
                canvas.disc(x, y, 0.07 * self._cell, _RAY)

    def _draw_body(self, canvas: Canvas, body: list[tuple[int, int]]) -> None:
        """Thick lines from cell to cell, from the tail to the head."""
        for i in range(len(body) - 2, -1, -1):
            # In few shades, so that little changes from move to move, and a film stays small.
            color = mixed(_HEAD_COLOR, _TAIL_COLOR, i * _SHADES // len(body) / (_SHADES - 1))
            canvas.line([self._middle(*body[i + 1]), self._middle(*body[i])], color, 0.66 * self._cell)

    def _draw_face(self, canvas: Canvas, moment: Moment) -> None:
        """The head with its eyes, which are crosses in the end."""
        state, cell = moment.state, self._cell
        x, y = self._middle(state[X], state[Y])
        dx, dy = DX[int(state[HEADING])], DY[int(state[HEADING])]
        canvas.disc(x, y, 0.44 * cell, _HEAD_COLOR)
        for side in (-1, 1):
            eye = x + (0.12 * dx - 0.2 * side * dy) * cell, y + (0.12 * dy + 0.2 * side * dx) * cell
            if moment.is_over:
                arm = 0.08 * cell
                for way in (-1, 1):
                    ends = [(eye[0] - arm, eye[1] - way * arm), (eye[0] + arm, eye[1] + way * arm)]
                    canvas.line(ends, PAPER, 0.05 * cell)
            else:
                canvas.disc(*eye, 0.11 * cell, PAPER)
                canvas.disc(eye[0] + 0.04 * cell * dx, eye[1] + 0.04 * cell * dy, 0.055 * cell, INK)
