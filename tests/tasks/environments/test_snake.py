"""Snake: the rules as a list of cells has them, sensors that turn with the head, food on any free cell."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.rollouts import roll_out
from topoevo.tasks.environments import snake
from topoevo.tasks.environments.snake import Snake

HEADINGS = [(0, -1), (1, 0), (0, 1), (-1, 0)]
STRAIGHT, LEFT, RIGHT = (np.array([float(i)]) for i in range(3))


def body_of(environment: Snake, state: np.ndarray) -> list[tuple[int, int]]:
    """Cells from head to tail, by the moves in which the head came in."""
    size = environment.board_size
    ages = state[snake.MOVES] - state[snake.BOARD :]
    cells = [int(cell) for cell in np.argsort(ages, kind="stable")[: int(state[snake.LENGTH])]]
    return [(cell % size, cell // size) for cell in cells]


def place(
    environment: Snake, body: list[tuple[int, int]], heading: int, food: tuple[int, int], generator: int = 1
) -> np.ndarray:
    """A state with the cells of a body from head to tail."""
    size = environment.board_size
    state = environment.initial_state(np.random.default_rng(0))
    state[snake.BOARD :] = snake.NEVER
    for age, (x, y) in enumerate(body):
        state[snake.BOARD + y * size + x] = -age
    state[: snake.BOARD] = (*body[0], heading, len(body), 0, 0, *food, 0, generator)
    return state


class Game:
    """The rules once more: a list of cells, the head first."""

    def __init__(self, environment: Snake, state: np.ndarray) -> None:
        self.size, self.max_hunger = environment.board_size, environment.max_hunger
        self.body = body_of(environment, state)
        self.heading = HEADINGS[int(state[snake.HEADING])]
        self.food = int(state[snake.FOOD_X]), int(state[snake.FOOD_Y])
        self.hunger = 0

    def move(self, action: int) -> tuple[float, bool]:
        x, y = self.heading
        self.heading = [(x, y), (y, -x), (-y, x)][action]
        head = self.body[0][0] + self.heading[0], self.body[0][1] + self.heading[1]
        eats = head == self.food
        rest = self.body if eats else self.body[:-1]
        if head in rest or not (0 <= head[0] < self.size and 0 <= head[1] < self.size):
            return 0.0, True
        self.body = [head, *rest]
        self.hunger = 0 if eats else self.hunger + 1
        return float(eats), self.hunger == self.max_hunger or len(self.body) == self.size**2


@pytest.mark.parametrize("seed", range(40))
def test_games_are_those_of_a_list_of_cells(seed):
    environment = Snake(board_size=5, max_hunger=30)
    rng = np.random.default_rng(seed)
    state = environment.initial_state(rng)
    game = Game(environment, state)
    observe, step = environment.code()
    observation = np.zeros(environment.num_inputs, np.float32)
    length = len(game.body)
    for _ in range(300):
        observe(environment.constants, state, observation)
        # Mostly towards food and round obstacles, so that snakes grow long.
        scores = observation[:3] * 2 + observation[6:9] + rng.uniform(0, 0.3, 3)
        action = int(np.argmax(scores))
        reward, ended = step(environment.constants, state, np.array([float(action)]))
        assert (reward, ended) == game.move(action)
        assert body_of(environment, state) == game.body
        assert state[snake.HUNGER] == game.hunger
        game.food = int(state[snake.FOOD_X]), int(state[snake.FOOD_Y])
        if ended:
            break
        assert game.food not in game.body
    assert ended
    assert environment.measure(state) == {"food": len(game.body) - length}


def test_every_snake_begins_alive_on_the_board():
    environment = Snake(board_size=4)
    states = [environment.initial_state(np.random.default_rng(seed)) for seed in range(300)]
    for state in states:
        body = body_of(environment, state)
        heading = np.array(HEADINGS[int(state[snake.HEADING])])
        assert [tuple(np.array(body[0]) - age * heading) for age in range(3)] == body
        assert all(0 <= x < 4 and 0 <= y < 4 for x, y in body)
        assert (state[snake.FOOD_X], state[snake.FOOD_Y]) not in body
    # Every cell that a body fits behind is a beginning, with every heading.
    assert len({tuple(state[: snake.LENGTH]) for state in states}) == 4 * 4 * 2


def test_the_head_may_enter_the_cell_that_the_tail_leaves():
    environment = Snake()
    ring = [(3, 3), (3, 4), (4, 4), (4, 3)]
    state = place(environment, ring, heading=0, food=(9, 9))
    assert environment.code().step(environment.constants, state, RIGHT) == (0.0, False)
    assert body_of(environment, state) == [(4, 3), (3, 3), (3, 4), (4, 4)]


def test_the_body_is_deadly_where_it_stays():
    environment = Snake()
    ring = [(3, 3), (3, 4), (4, 4), (4, 3), (4, 2)]
    state = place(environment, ring, heading=0, food=(9, 9))
    assert environment.code().step(environment.constants, state, RIGHT) == (0.0, True)


@pytest.mark.parametrize(("heading", "head"), [(0, (5, 0)), (1, (9, 5)), (2, (5, 9)), (3, (0, 5))])
def test_walls_are_deadly(heading, head):
    environment = Snake()
    dx, dy = HEADINGS[heading]
    body = [(head[0] - age * dx, head[1] - age * dy) for age in range(3)]
    state = place(environment, body, heading, food=(2, 2))
    observation = np.zeros(environment.num_inputs, np.float32)
    environment.code().observe(environment.constants, state, observation)
    assert observation[:4].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert environment.code().step(environment.constants, state.copy(), STRAIGHT) == (0.0, True)
    assert environment.code().step(environment.constants, state.copy(), LEFT)[1] is False


def test_a_full_board_ends_the_game():
    environment = Snake(board_size=4)
    winding = [(x if y % 2 == 0 else 3 - x, y) for y in range(4) for x in range(4)]
    state = place(environment, winding[1:], heading=3, food=winding[0])
    assert environment.code().step(environment.constants, state, STRAIGHT) == (1.0, True)


def test_the_bonus_is_for_moves_that_are_survived():
    environment = Snake(step_bonus=0.25)
    code = environment.code()
    state = place(environment, [(5, 1), (5, 2), (5, 3)], heading=0, food=(5, 0))
    assert code.step(environment.constants, state, STRAIGHT) == (1.25, False)
    assert code.step(environment.constants, state.copy(), LEFT) == (0.25, False)
    assert code.step(environment.constants, state, STRAIGHT) == (0.0, True)


def test_sensors_of_a_drawn_board():
    # Head at (2, 2) going up, body below; 2 cells free ahead, the body 1 cell away to the left.
    environment = Snake(board_size=6)
    body = [(2, 2), (2, 3), (1, 3), (0, 3), (0, 2), (0, 1)]
    state = place(environment, body, heading=0, food=(5, 4))
    observation = np.zeros(environment.num_inputs, np.float32)
    environment.code().observe(environment.constants, state, observation)
    clear, room, food = [1, 1, 1], [2, 1, 3], [0, 0, 3, 2]
    np.testing.assert_allclose(observation, [*clear, *(np.array([*room, *food]) / 5)], rtol=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_sensors_are_the_same_on_a_board_that_is_turned(seed):
    environment, rng = Snake(board_size=7), np.random.default_rng(seed)
    code, constants = environment.code(), environment.constants
    upright = environment.initial_state(rng)
    turned = upright.copy()
    turned[snake.BOARD :] = np.rot90(upright[snake.BOARD :].reshape(7, 7), -1).ravel()
    turned[[snake.X, snake.Y]] = 6 - upright[snake.Y], upright[snake.X]
    turned[[snake.FOOD_X, snake.FOOD_Y]] = 6 - upright[snake.FOOD_Y], upright[snake.FOOD_X]
    turned[snake.HEADING] = (upright[snake.HEADING] + 1) % 4
    seen = np.zeros((2, environment.num_inputs), np.float32)
    for _ in range(12):
        for state, observation in zip((upright, turned), seen, strict=True):
            code.observe(constants, state, observation)
        np.testing.assert_array_equal(*seen)
        action = np.array([float(np.argmax(seen[0, :3] + rng.uniform(0, 0.1, 3)))])
        results = [code.step(constants, state, action) for state in (upright, turned)]
        assert results[0] == results[1]
        if results[0][0] > 0.0 or results[0][1]:
            return  # The next food lies anywhere.


def test_food_is_as_likely_on_every_free_cell():
    environment = Snake(board_size=4)
    body = [(1, 1), (1, 2), (2, 2), (2, 1), (3, 1)]
    state = place(environment, body, heading=0, food=(0, 0), generator=12345)
    counts = np.zeros((4, 4), int)
    for _ in range(5500):
        assert snake.place_food(environment.constants, state)
        counts[int(state[snake.FOOD_Y]), int(state[snake.FOOD_X])] += 1
    assert all(counts[y, x] == 0 for x, y in body)
    free = counts[counts > 0]
    assert len(free) == 11
    # Chi-square with 10 degrees of freedom: above 29.6 once in 1,000 times.
    assert ((free - 500.0) ** 2 / 500.0).sum() < 29.6


def test_the_generator_is_the_known_one():
    # The check value of the same generator in the C++ standard (minstd_rand): the 10,000th number after 1.
    state = place(Snake(), [(5, 5), (5, 6), (5, 7)], heading=0, food=(0, 0), generator=1)
    for _ in range(10_000):
        snake.place_food(Snake().constants, state)
    assert state[snake.GENERATOR] == 399268537


def test_random_actions_find_a_tenth_of_a_food():
    # 0.107 ± 0.002 over 40,000 games.
    environment, rng = Snake(), np.random.default_rng(0)
    step, found = environment.code().step, []
    for seed in range(1500):
        state, ended = environment.initial_state(np.random.default_rng(seed)), False
        while not ended:
            _, ended = step(environment.constants, state, np.array([float(rng.integers(3))]))
        found.append(environment.measure(state)["food"])
    assert np.mean(found) == pytest.approx(0.107, abs=0.03)


SHARED_WEIGHTS = np.array([-2, -1, -0.5, 0.5, 1, 2], np.float32)


def test_six_connections_with_any_shared_weight_find_enough(wire):
    # |w (clear + food)| for each direction: towards food, never into an obstacle if it can be helped.
    environment = Snake()
    edges = [(sensor + direction, direction) for direction in range(3) for sensor in (0, 6)]
    network = wire(10, 3, edges, activation="abs")
    episodes = roll_out(environment, network, SHARED_WEIGHTS, range(100))
    food = episodes.measures["food"]
    assert (food == food[0]).all()
    assert food.mean() > 18.0
    np.testing.assert_array_equal(episodes.returns, food)


def test_compiled_games_are_those_of_python(wire):
    environment = Snake(board_size=6, max_hunger=40, step_bonus=0.125)
    edges = [(sensor + direction, direction) for direction in range(3) for sensor in (0, 6)]
    network = wire(10, 3, edges, activation="abs")
    weights = SHARED_WEIGHTS[[1, 5]]
    compiled, plain = (
        roll_out(environment, network, weights, range(4), kernel_name=name) for name in ("numba", "reference")
    )
    np.testing.assert_array_equal(compiled.returns, plain.returns)
    np.testing.assert_array_equal(compiled.steps, plain.steps)
    np.testing.assert_array_equal(compiled.measures["food"], plain.measures["food"])
    assert len(np.unique(compiled.returns)) > 3
