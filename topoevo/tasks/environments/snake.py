"""Snake: the head goes straight on or turns, food makes the body longer, walls and the body are deadly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topoevo.registry import option
from topoevo.tasks.environments.environment import SIMULATIONS, Actions, Simulation, SimulationCode

#: Where each number of a state lies. From `BOARD` on there are the cells, row by row: in which move the head came in.
X, Y, HEADING, LENGTH, MOVES, HUNGER, FOOD_X, FOOD_Y, FOOD, GENERATOR, BOARD = range(11)

#: Steps along x and y for each heading; y counts downwards, so that the next heading is a turn to the right.
DX = (0, 1, 0, -1)
DY = (-1, 0, 1, 0)

#: What each action adds to the heading: straight on, left, right.
TURNS = (0, 3, 1)

#: The move in which the head came into a cell that it has never been in.
NEVER = -1e9

ACTIONS = Actions("discrete", ("straight", "left", "right"))

INITIAL_LENGTH = 3

#: The generator that places food, x' = 48271 x mod 2^31 - 1 (Park, Miller & Stockmeyer 1993).
MULTIPLIER, MODULUS = 48271, 2147483647


class SnakeConstants(NamedTuple):
    """Numbers that the functions are given."""

    board_size: int
    max_hunger: int
    step_bonus: float


def can_enter(constants: SnakeConstants, state: NDArray[np.float64], x: float, y: float) -> bool:
    """Return whether a cell is on the board and not of the body, whose last cell is left in the same move."""
    size = constants.board_size
    if x < 0 or x >= size or y < 0 or y >= size:
        return False
    return bool(state[MOVES] + 1 - state[BOARD + int(y) * size + int(x)] >= state[LENGTH])


def place_food(constants: SnakeConstants, state: NDArray[np.float64]) -> bool:
    """Put food on one of the free cells, each as likely as the others; return whether there is one."""
    size = constants.board_size
    num_free = size * size - int(state[LENGTH])
    if num_free <= 0:
        return False
    number = int(state[GENERATOR]) * MULTIPLIER % MODULUS
    state[GENERATOR] = number
    left = number * num_free // MODULUS
    for cell in range(size * size):
        if state[MOVES] - state[BOARD + cell] >= state[LENGTH]:
            if left == 0:
                state[FOOD_X] = cell % size
                state[FOOD_Y] = cell // size
            left -= 1
    return True


def observe(constants: SnakeConstants, state: NDArray[np.float64], observation: NDArray[np.float32]) -> None:
    """Write what the head perceives ahead, to its left and to its right, and of the food also behind.

    ``clear`` is 1 if the next cell can be entered, else 0. ``room`` is the number of cells in a row that can be entered
    now, ``food`` the number of cells that the food is away in this direction, 0 if it is in the opposite one; both are
    shares of the longest way on the board.
    """
    longest = constants.board_size - 1.0
    for direction in range(3):
        heading = (int(state[HEADING]) + TURNS[direction]) % 4
        dx, dy = DX[heading], DY[heading]
        room = 0
        while can_enter(constants, state, state[X] + (room + 1) * dx, state[Y] + (room + 1) * dy):
            room += 1
        away = (state[FOOD_X] - state[X]) * dx + (state[FOOD_Y] - state[Y]) * dy
        observation[direction] = min(room, 1)
        observation[3 + direction] = room / longest
        observation[6 + direction] = max(away, 0.0) / longest
        if direction == 0:
            observation[9] = max(-away, 0.0) / longest


def step(constants: SnakeConstants, state: NDArray[np.float64], action: NDArray[np.float64]) -> tuple[float, bool]:
    """Move the head by one cell; return 1 for food, plus the bonus of a survived step, and whether the game is over.

    The tail moves on in the same move, so that the head may enter its cell; with food the tail stays.
    """
    heading = (int(state[HEADING]) + TURNS[int(action[0])]) % 4
    state[HEADING] = heading
    x, y = state[X] + DX[heading], state[Y] + DY[heading]
    if not can_enter(constants, state, x, y):
        return 0.0, True
    state[X], state[Y] = x, y
    state[MOVES] += 1.0
    state[HUNGER] += 1.0
    state[BOARD + int(y) * constants.board_size + int(x)] = state[MOVES]
    if x != state[FOOD_X] or y != state[FOOD_Y]:
        return constants.step_bonus, bool(state[HUNGER] >= constants.max_hunger)
    state[LENGTH] += 1.0
    state[FOOD] += 1.0
    state[HUNGER] = 0.0
    return 1.0 + constants.step_bonus, not place_food(constants, state)


@SIMULATIONS.register
@dataclass(frozen=True, eq=False)
class Snake(Simulation):
    """A snake of three cells, put straight and at random on a square board, all of whose cells it can enter.

    The reward is 1 for food. An episode ends in a wall or in the body, of hunger, when the body fills the board, or
    after `max_steps`.

    Parameters
    ----------
    board_size
        Cells along each side.
    max_hunger
        Moves without food after which the snake dies.
    step_bonus
        Reward of every move that is survived.

    References
    ----------
    The task of leothomas/simple_neural_net; differs from it in the sensors, which are relative to the heading, as the
    actions are, and in the reward, which was the number of steps, at most 500, there.
    """

    name: str = "Snake"
    observation_names: tuple[str, ...] = (
        *("clear_ahead", "clear_left", "clear_right"),
        *("room_ahead", "room_left", "room_right"),
        *("food_ahead", "food_left", "food_right", "food_behind"),
    )
    actions: Actions = ACTIONS
    max_steps: int = 2000
    board_size: int = option(10, "cells along each side of the board", ge=4, le=100)
    max_hunger: int = option(100, "moves without food after which the snake dies", ge=1)
    step_bonus: float = option(0.0, "reward of every move that is survived; food is 1")

    measures: ClassVar[tuple[str, ...]] = ("food",)

    @property
    def constants(self) -> SnakeConstants:
        """See `Simulation.constants`."""
        return SnakeConstants(self.board_size, self.max_hunger, float(self.step_bonus))

    @staticmethod
    def code() -> SimulationCode:
        """See `Simulation.code`."""
        return SimulationCode(observe, step)

    def initial_state(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """See `Simulation.initial_state`."""
        size, heading = self.board_size, int(rng.integers(4))
        # The body lies straight behind the head, on the board.
        along, across = int(rng.integers(INITIAL_LENGTH - 1, size)), int(rng.integers(size))
        if heading in (0, 3):
            along = size - 1 - along
        x, y = (across, along) if DX[heading] == 0 else (along, across)
        state = np.zeros(BOARD + size * size)
        state[BOARD:] = NEVER
        for age in range(INITIAL_LENGTH):
            state[BOARD + (y - age * DY[heading]) * size + x - age * DX[heading]] = -age
        state[[X, Y, HEADING, LENGTH]] = x, y, heading, INITIAL_LENGTH
        state[GENERATOR] = rng.integers(1, MODULUS)
        place_food(self.constants, state)
        return state

    def measure(self, state: NDArray[np.float64]) -> dict[str, float]:
        """See `Simulation.measure`."""
        return {"food": float(state[FOOD])}
