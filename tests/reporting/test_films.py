"""Films: what the pictures show, which moments are shown, and the files."""

from __future__ import annotations

import io
import math
from collections import deque

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image
from rich.console import Console

from topoevo.errors import ParamsError
from topoevo.gymnasium_api import SimulationEnv
from topoevo.reporting.films.drawing import DRAWINGS, Moment, drawing_of
from topoevo.reporting.films.film_file import MAX_FRAMES, FilmFile, check_film_path
from topoevo.reporting.films.frames import DrawnFrame, Pace, RenderedFrame, moments_of
from topoevo.reporting.films.half_blocks import HalfBlocks
from topoevo.reporting.films.observations import Observations
from topoevo.rollouts import Recording
from topoevo.tasks.environments.environment import SIMULATIONS
from topoevo.tasks.environments.snake import DX, DY, FOOD_X, FOOD_Y, HEADING, X, Y


def random_episode(simulation, *, seed=0, max_steps=200):
    """Return a recording of random actions."""
    rng = np.random.default_rng(seed)
    state = simulation.initial_state(rng)
    states, actions, rewards = [state.copy()], [], []
    discrete = simulation.actions.kind == "discrete"
    for _ in range(max_steps):
        n = simulation.num_outputs
        actions.append(np.array([rng.integers(n)], np.float64) if discrete else rng.uniform(-1, 1, n))
        reward, ended = simulation.code().step(simulation.constants, state, actions[-1])
        states.append(state.copy())
        rewards.append(reward)
        if ended:
            break
    return Recording(np.array(states), np.array(actions), np.array(rewards))


def moment_at(recording, k, **more):
    return Moment(recording.states[: k + 1], recording.actions[:k], recording.rewards[:k], **more)


def printed(renderable, *, width=80, height=24, color=None):
    """Return the lines that a terminal of this size would have."""
    console = Console(
        file=io.StringIO(), width=width, height=height, color_system=color, force_terminal=color is not None
    )
    with console.capture() as capture:
        console.print(renderable, end="")
    return capture.get().removesuffix("\n").split("\n")


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


# -- every simulation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIMULATIONS)
def test_all_pictures_have_one_size_and_follow_the_state(name):
    simulation = SIMULATIONS[name]()
    drawing, recording = drawing_of(simulation), random_episode(simulation, max_steps=8)
    last = recording.num_steps
    pictures = [drawing.picture(moment_at(recording, k, is_over=k == last)) for k in range(last + 1)]
    assert {(p.mode, p.size) for p in pictures} == {("RGB", pictures[0].size)}
    assert len({p.tobytes() for p in pictures}) == last + 1


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.parametrize(("width", "height"), [(79, 24), (40, 12), (200, 60)])
def test_text_fits_into_the_terminal(name, width, height):
    simulation = SIMULATIONS[name]()
    recording = random_episode(simulation, max_steps=5)
    moment = moment_at(recording, recording.num_steps, is_over=True, title="a title that is rather long " * 3)
    lines = printed(drawing_of(simulation).text(moment, width, height), width=width, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity")
def test_gymnasium_finds_nothing_wrong_with_rendering(name):
    check_env(SimulationEnv(name, render_mode="rgb_array"))


def test_every_drawing_belongs_to_a_simulation():
    assert set(DRAWINGS) <= set(SIMULATIONS)


# -- cart-pole ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0, math.pi, -1.0])
@pytest.mark.parametrize("x", [-2.0, 0.0, 1.5])
def test_the_pole_points_where_it_is(x, angle):
    simulation = SIMULATIONS["CartPoleSwingUp"]()
    state = np.array([[x, 0.0, angle, 0.0]])
    picture = drawing_of(simulation).picture(Moment(state, np.zeros((0, 1)), np.zeros(0)))
    red = np.argwhere((np.array(picture).astype(int) - rgb("#c2410c") == 0).all(axis=2))
    pixels = (640 - 96) / 4.8
    # The middle of the pole, half of its length from the axle; positive angles are against the clock.
    middle = 320 + pixels * (x - 0.3 * math.sin(angle)), 150 - pixels * 0.3 * math.cos(angle)
    np.testing.assert_allclose(red.mean(axis=0)[::-1], middle, atol=4.0)


def test_the_force_is_an_arrow_to_the_side_it_pushes():
    simulation = SIMULATIONS["CartPoleSwingUp"]()
    state, drawing = np.zeros((2, 4)), drawing_of(simulation)

    def ink(force):
        """Dark pixels on both sides of the cart, at the height of the arrow."""
        picture = np.array(drawing.picture(Moment(state, np.array([[force]]), np.zeros(1)))).astype(int)
        dark = picture[147:158].sum(axis=2) < 300
        return dark[:, 200:290].sum(), dark[:, 350:440].sum()

    assert ink(0.0) == (0, 0)
    left, right = ink(-1.0)
    assert left > 100 and right == 0
    assert ink(0.5)[0] == 0 and 0 < ink(0.5)[1] < left


# -- snake --------------------------------------------------------------------------------------------------------


def test_the_body_is_where_the_head_was():
    """Against a queue of cells that grows with food."""
    simulation = SIMULATIONS["Snake"](board_size=6)
    drawing = drawing_of(simulation)
    for seed in range(20):
        recording = random_episode(simulation, seed=seed)
        first = recording.states[0]
        x, y, heading = first[[X, Y, HEADING]].astype(int).tolist()
        body = deque((x - k * DX[heading], y - k * DY[heading]) for k in range(3))
        for k in range(1, recording.num_steps):
            state = recording.states[k]
            body.appendleft((int(state[X]), int(state[Y])))
            if recording.rewards[k - 1] < 1.0:
                body.pop()
            assert drawing.body(moment_at(recording, k)) == list(body)


def test_the_board_is_drawn_cell_by_cell():
    simulation = SIMULATIONS["Snake"]()
    drawing, recording = drawing_of(simulation), random_episode(simulation, seed=1)
    moment = moment_at(recording, 3)
    picture = np.array(drawing.picture(moment)).astype(int)
    body, food = drawing.body(moment), tuple(moment.state[[FOOD_X, FOOD_Y]].astype(int).tolist())
    for x in range(10):
        for y in range(10):
            red, green, _ = picture[62 + 30 * y + 15, 18 + 30 * x + 15]
            kind = "food" if red > green + 60 else "body" if green > red + 30 else "floor"
            assert kind == ("food" if (x, y) == food else "body" if (x, y) in body else "floor"), (x, y)


def test_the_board_as_text():
    simulation = SIMULATIONS["Snake"]()
    drawing, recording = drawing_of(simulation), random_episode(simulation, seed=1)
    moment = moment_at(recording, 3, title="two words")
    lines = printed(drawing.text(moment, 79, 24))
    assert lines[0] == " two words"
    cells = {(x, y): lines[2 + y][2 + 2 * x : 4 + 2 * x] for x in range(10) for y in range(10)}
    head, *rest = drawing.body(moment)
    assert cells.pop(head) == "▲▶▼◀"[int(moment.state[HEADING])] + " "
    assert [cells.pop(cell) for cell in rest] == ["██"] * len(rest)
    assert cells.pop(tuple(moment.state[[FOOD_X, FOOD_Y]].astype(int).tolist())) == "● "
    assert set(cells.values()) == {"· "}


def test_a_large_board_is_shown_around_the_head():
    simulation = SIMULATIONS["Snake"](board_size=100)
    for seed in range(10):
        recording = random_episode(simulation, seed=seed, max_steps=1)
        lines = printed(drawing_of(simulation).text(moment_at(recording, 0), 79, 24))
        assert sum(any(arrow in line for arrow in "▲▶▼◀") for line in lines) == 1


@pytest.mark.parametrize(
    ("actions", "expected"), [([0] * 12, "hit the wall"), ([1] * 12, "starved"), ([0, 1, 2], "time is up")]
)
def test_a_game_says_how_it_ended(actions, expected):
    simulation = SIMULATIONS["Snake"](max_hunger=9, **({"max_steps": 3} if expected == "time is up" else {}))
    state = simulation.initial_state(np.random.default_rng(3))
    states, rewards = [state.copy()], []
    for action in actions:
        reward, ended = simulation.code().step(simulation.constants, state, np.array([float(action)]))
        states.append(state.copy())
        rewards.append(reward)
        if ended:
            break
    moment = Moment(np.array(states), np.zeros((len(rewards), 1)), np.array(rewards), is_over=True)
    assert drawing_of(simulation).end_of(moment) == expected


def test_biting_itself():
    simulation = SIMULATIONS["Snake"]()
    drawing = drawing_of(simulation)
    found = set()
    for seed in range(300):
        recording = random_episode(simulation, seed=seed, max_steps=400)
        moment = moment_at(recording, recording.num_steps, is_over=True)
        x, y = (int(moment.state[i] + d[int(moment.state[HEADING])]) for i, d in ((X, DX), (Y, DY)))
        if drawing.end_of(moment) == "bit itself":
            assert (x, y) in drawing.body(moment)
            found.add(seed)
        elif drawing.end_of(moment) == "hit the wall":
            assert min(x, y) < 0 or max(x, y) >= 10
    assert found


# -- a simulation without a drawing -------------------------------------------------------------------------------


def test_a_simulation_without_a_drawing_is_shown_by_curves():
    simulation = SIMULATIONS["CartPoleSwingUp"](name="Unheard")
    drawing, recording = drawing_of(simulation), random_episode(simulation, max_steps=50)
    assert isinstance(drawing, Observations)
    picture = np.array(drawing.picture(moment_at(recording, 50))).astype(int)
    # The dot at the end of the curve of x: at the top of its row if the last value is the largest, else lower.
    blue = np.argwhere((picture[52:86] - rgb("#2166ac") == 0).all(axis=2))
    dot = blue[blue[:, 1] >= blue[:, 1].max() - 4].mean(axis=0)
    values = recording.states[:51, 0].astype(np.float32)
    height = (values[-1] - values.min()) / (values.max() - values.min())
    assert dot[0] == pytest.approx(26 - 24 * height, abs=1.5)
    assert dot[1] == pytest.approx(134 + 50 / 199 * (560 - 24 - 66 - 134), abs=3)


# -- pictures in a terminal ---------------------------------------------------------------------------------------


def test_half_blocks_have_the_color_of_the_upper_and_the_lower_pixel():
    colors = [["#ff0000", "#00ff00"], ["#0000ff", "#ffffff"]]
    picture = Image.fromarray(np.array([[rgb(c) for c in row] for row in colors], np.uint8))
    (line,) = printed(HalfBlocks(picture, 2, 1), color="truecolor")
    assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀" in line
    assert "\x1b[38;2;0;255;0;48;2;255;255;255m▀" in line


@pytest.mark.parametrize(("width", "height"), [(80, 24), (10, 24), (80, 3)])
def test_half_blocks_keep_the_proportions(width, height):
    blocks = HalfBlocks(Image.new("RGB", (640, 320)), width, height)
    assert blocks.width <= width and blocks.height <= height
    assert blocks.width / (2 * blocks.height) == pytest.approx(2.0, rel=0.35)


# -- pace and files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps_per_second", [100.0, 50.0, 30.0, 12.0, 7.3])
@pytest.mark.parametrize("fps", [25.0, 10.0, 50.0])
@pytest.mark.parametrize("speed", [1.0, 0.3, 4.0])
def test_a_film_takes_as_long_as_the_episode(steps_per_second, fps, speed):
    pace = Pace.of(steps_per_second, fps=fps, speed=speed)
    recording = Recording(np.zeros((1001, 1)), np.zeros((1000, 1)), np.zeros(1000))
    shown = [moment.num_steps for moment in moments_of(recording, pace, "")]
    expected = {round(j * pace.steps) for j in range(1001)}
    assert shown == sorted({k for k in expected if k <= 1000} | {1000})
    # GIF files have whole hundredths of a second.
    assert len(shown) * pace.seconds == pytest.approx(
        1000 / (steps_per_second * speed), rel=0.005 / pace.seconds + 0.02
    )
    assert pace.seconds >= 1 / 50
    assert pace.seconds == pytest.approx(round(100 * pace.seconds) / 100)


def film_of(path, frames, seconds=0.04):
    told = []
    with FilmFile(path, lambda what, share: told.append(what)) as film:
        for frame in frames:
            film.show(frame, seconds)
    return told


def test_a_film_has_the_pictures_in_their_colors_and_times(tmp_path):
    simulation = SIMULATIONS["Snake"]()
    drawing, recording = drawing_of(simulation), random_episode(simulation, seed=1)
    moments = [moment_at(recording, k) for k in range(recording.num_steps)]
    told = film_of(tmp_path / "a.gif", [DrawnFrame(drawing, m) for m in moments], 0.08)
    assert set(told) == {"drawing", "writing"}
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == len(moments)
        assert film.info["loop"] == 0
        for k, moment in enumerate(moments):
            film.seek(k)
            assert film.info["duration"] == 80
            error = np.array(film.convert("RGB")).astype(int) - np.array(drawing.picture(moment))
            assert np.abs(error).mean() < 3.0
            # Smooth edges lose some of their shades.
            assert np.percentile(np.abs(error), 99.5) < 40


def test_a_sheet_has_twelve_frames_from_first_to_last(tmp_path):
    shades = np.linspace(0, 250, 50).astype(np.uint8)
    frames = [RenderedFrame(np.full((20, 30, 3), shade, np.uint8), "") for shade in shades]
    film_of(tmp_path / "a.png", frames)
    sheet = np.array(Image.open(tmp_path / "a.png"))
    assert sheet.shape == (4 * 28 - 8, 3 * 38 - 8, 3)
    found = [int(sheet[28 * row + 10, 38 * column + 15, 0]) for row in range(4) for column in range(3)]
    assert found == [shades[round(i * 49 / 11)] for i in range(12)]


def test_wide_pictures_are_reduced(tmp_path):
    film_of(tmp_path / "a.gif", [RenderedFrame(np.zeros((400, 1280, 3), np.uint8), "")])
    assert Image.open(tmp_path / "a.gif").size == (640, 200)


def test_a_film_ends_at_some_time(tmp_path):
    with FilmFile(tmp_path / "a.gif", lambda what, share: None) as film:
        for i in range(MAX_FRAMES + 2):
            film.show(RenderedFrame(np.full((1, 2, 3), i % 250, np.uint8), ""), 0.02)
        assert film.is_full and film.num_frames == MAX_FRAMES
        film._frames = film._frames[:2]


def test_nothing_is_written_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), FilmFile(tmp_path / "a.gif", lambda what, share: None) as film:
        film.show(RenderedFrame(np.zeros((2, 2, 3), np.uint8), ""), 0.02)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.mp4", "ffmpeg -i a.gif"), ("a.jpg", "must end in .gif"), ("none/a.gif", "no folder"), ("a", "must end in")],
)
def test_a_file_that_cannot_be_a_film_is_refused(tmp_path, name, words):
    with pytest.raises(ParamsError, match=words):
        check_film_path(tmp_path / name)


@pytest.mark.slow
def test_ten_seconds_of_cart_pole_take_less_than_two_megabytes(tmp_path):
    simulation = SIMULATIONS["CartPoleSwingUp"]()
    rng = np.random.default_rng(0)
    n = 1000
    states = np.stack([np.sin(np.arange(n + 1) / 90), np.zeros(n + 1), np.arange(n + 1) / 12, np.zeros(n + 1)], axis=1)
    recording = Recording(states, rng.uniform(-1, 1, (n, 1)), rng.uniform(0, 1, n))
    drawing = drawing_of(simulation)
    pace = Pace.of(drawing.steps_per_second, fps=25.0, speed=1.0)
    film_of(tmp_path / "a.gif", [DrawnFrame(drawing, m) for m in moments_of(recording, pace, "title")], pace.seconds)
    assert (tmp_path / "a.gif").stat().st_size < 2_000_000
