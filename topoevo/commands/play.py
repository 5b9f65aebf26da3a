"""Watching a network in its environment."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.commands.evaluate import say
from topoevo.commands.loading import load_named
from topoevo.commands.parser import NETWORK_HELP, Parser
from topoevo.errors import NetworkFileError, ParamsError, TaskError
from topoevo.network import Network
from topoevo.reporting.films.drawing import Drawing, Moment, drawing_of
from topoevo.reporting.films.film_file import MAX_FRAMES, FilmFile, check_film_path
from topoevo.reporting.films.frames import DrawnFrame, Frame, Pace, RenderedFrame, Viewer, moments_of
from topoevo.reporting.films.terminal import MAX_FPS, Terminal
from topoevo.reporting.films.window import NoWindowError, Window, WindowClosedError, has_display
from topoevo.reporting.lines import count
from topoevo.rollouts import RolloutError, needs_compilation, prepare, record, roll_out
from topoevo.tasks.environments.environment import Environment, Simulation
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment
from topoevo.trained_network import TrainedNetwork

#: How long the last picture of an episode stays.
_SECONDS_AT_THE_END = 1.5

_ADVICE = "write a film with --out film.gif"


@dataclasses.dataclass(frozen=True, eq=False)
class Player:
    """A network, its weights, and where it acts.

    Parameters
    ----------
    environment, network
        They fit together.
    weights
        float32 [] (shared) or [num_edges].
    title
        Words above the pictures.
    fps, speed
        Frames in a second, and how many times faster than it is everything goes.
    """

    environment: Environment
    network: Network
    weights: NDArray[np.float32]
    title: str
    fps: float
    speed: float


def play_command(words: list[str], prog: str) -> int:
    """``topoevo play``: show a network in its environment."""
    given = _parser(prog).parse_args(words)
    _check_numbers(given)
    out = None if given.out is None else Path(given.out).expanduser()
    if out is not None:
        check_film_path(out)
    trained, environment = _loaded(given.network, given.env_name)
    weights, weights_name = _weights(trained, given.shared_weight)
    title = environment.name if weights.ndim else f"{environment.name}, shared weight {weights:g}"
    player = Player(environment, trained.network, weights, title, given.fps, given.speed)
    complexity = trained.file.genome.complexity
    sizes = f"{count(complexity.connections, 'connection')}, {count(complexity.biases, 'bias', 'biases')}"
    print(f"{given.network}: {sizes}")
    print(f"{environment.name}, with {weights_name}", flush=True)
    if needs_compilation(environment):
        say("compiling ...")
    prepare(environment)
    seeds = range(given.seed, given.seed + given.episodes)
    try:
        if isinstance(environment, Simulation):
            return _play_simulation(player, environment, seeds, out)
        assert isinstance(environment, GymnasiumEnvironment)
        return _play_gymnasium(player, environment, seeds, out)
    except RolloutError as error:
        raise TaskError(str(error)) from error
    except WindowClosedError:
        print("window closed")
        return 0


def _parser(prog: str) -> Parser:
    """The words that the command takes."""
    parser = Parser(prog=prog, description="Show a network in its environment.")
    parser.add_argument("network", help=f"{NETWORK_HELP}, or published .out file")
    parser.add_argument("--env_name", help="environment, if it is not the recorded one")
    parser.add_argument("--out", help="film to write (.gif), or sheet of 12 frames (.png), instead of showing it")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode (default 0)")
    parser.add_argument("--shared_weight", type=float, help="weight of all connections, instead of their own ones")
    parser.add_argument("--episodes", type=int, default=1, help="episodes, from seeds that count up (default 1)")
    parser.add_argument("--fps", type=float, default=25.0, help="frames in a second (default 25)")
    parser.add_argument("--speed", type=float, default=1.0, help="times faster than it is (default 1)")
    return parser


def _check_numbers(given: Any) -> None:
    """Refuse numbers that mean nothing."""
    problems = []
    if not 0 <= given.seed < 2**31:
        problems.append(f"--seed: {given.seed} must be from 0 to {2**31 - 1}")
    if given.episodes < 1:
        problems.append(f"--episodes: {given.episodes} must be at least 1")
    if not 1.0 <= given.fps <= 50.0:
        problems.append(f"--fps: {given.fps:g} must be from 1 to 50, the fastest that viewers of GIF files show")
    if not 0.01 <= given.speed <= 100.0:
        problems.append(f"--speed: {given.speed:g} must be from 0.01 to 100")
    if given.shared_weight is not None and not abs(given.shared_weight) <= np.finfo(np.float32).max:
        problems.append(f"--shared_weight: {given.shared_weight:g} must be a finite number of single precision")
    if problems:
        raise ParamsError("\n".join(problems))


# -- network and environment --------------------------------------------------------------------------------------


def _loaded(path: str, env_name: str | None) -> tuple[TrainedNetwork, Environment]:
    """The network and the environment that it is to act in."""
    trained = load_named(path, env_name=env_name)
    if env_name is None and "data_settings" in trained.file.facts:
        raise TaskError(
            f"{path}: the network was made for the data set {trained.file.task.name}, there is no environment to play "
            "in; use evaluate or predict"
        )
    return trained, trained.load_environment(env_name, on_progress=say)


def _weights(trained: TrainedNetwork, shared_weight: float | None) -> tuple[NDArray[np.float32], str]:
    """The weights, float32 [] or [num_edges], and which ones they are."""
    if shared_weight is not None:
        return np.array(shared_weight, np.float32), f"shared weight {shared_weight:g}"
    weights = np.asarray(trained.network.weight, np.float32)
    if np.isnan(weights).any():
        raise NetworkFileError("the network has connections without weights; give one for all with --shared_weight 1")
    if len(weights) and (weights == weights[0]).all():
        return weights[0], f"the network's own shared weight {weights[0]:g}"
    return weights, "the network's own weights"


# -- showing ------------------------------------------------------------------------------------------------------


def _play_simulation(player: Player, simulation: Simulation, seeds: range, out: Path | None) -> int:
    """Show episodes of one of our own environments."""
    drawing = drawing_of(simulation)
    # All errors come before anything is shown.
    episodes = roll_out(simulation, player.network, player.weights[None], list(seeds))
    viewer = _viewer(player, out, prefers_terminal=drawing.for_terminal)
    pace = Pace.of(drawing.steps_per_second, fps=_fps(player, viewer), speed=player.speed)
    lines: list[str] = []
    last = None
    with _Shown(viewer, out, lines):
        for i, seed in enumerate(seeds):
            recording = record(simulation, player.network, player.weights, seed)
            measures = {name: float(values[0, i]) for name, values in episodes.measures.items()}
            line = _result(seed, recording.rewards.sum(), recording.num_steps, measures)
            for moment in moments_of(recording, pace, _titled(player, seed, seeds)):
                last = moment
                if viewer is None:
                    continue
                seconds = pace.seconds + (_SECONDS_AT_THE_END if moment.is_over else 0.0)
                viewer.show(DrawnFrame(drawing, moment), seconds)
            lines.append(line)
    if viewer is None:
        _show_nowhere(drawing, last)
    return 0


def _play_gymnasium(player: Player, environment: GymnasiumEnvironment, seeds: range, out: Path | None) -> int:
    """Show episodes of an environment of Gymnasium."""
    from topoevo.rollouts.gymnasium_watch import render_modes, watch

    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    modes, steps_per_second = render_modes(environment)
    has_pictures, viewer = "rgb_array" in modes, None
    if out is not None and not has_pictures:
        known = f"only {', '.join(modes)}" if modes else "no renderer"
        raise TaskError(f"--out: {environment.name} cannot be drawn into a film: it has {known}, not rgb_array")
    own_window = out is None and "human" in modes and has_display()
    if has_pictures and not own_window:
        viewer = _viewer(player, out, prefers_terminal=False)
    if viewer is None and not own_window:
        say(
            f"{environment.name} is not shown: " + (f"there is no screen; {_ADVICE}" if modes else "it has no renderer")
        )
    mode = "human" if own_window else None if viewer is None else "rgb_array"
    if mode == "rgb_array":
        # Pictures need no screen, but pygame complains when there is none.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    pace = Pace.of(steps_per_second, fps=_fps(player, viewer), speed=player.speed)
    lines: list[str] = []
    with _Shown(viewer, out, lines):
        for seed in seeds:
            for step in watch(environment, player.network, player.weights, seed, render_mode=mode, speed=player.speed):
                if viewer is not None and (step.is_over or pace.shows(step.num_steps)):
                    pixels = step.render()
                    assert pixels is not None
                    words = f"step {step.num_steps}  return {step.total:.1f}  {_titled(player, seed, seeds)}"
                    frame: Frame = RenderedFrame(pixels, words)
                    viewer.show(frame, pace.seconds + (_SECONDS_AT_THE_END if step.is_over else 0.0))
            lines.append(_result(seed, step.total, step.num_steps, {}))
    return 0


def _titled(player: Player, seed: int, seeds: range) -> str:
    """Words above a picture."""
    return f"{player.title}, seed {seed}" if len(seeds) > 1 else player.title


def _fps(player: Player, viewer: Viewer | None) -> float:
    """Frames in a second."""
    return min(player.fps, MAX_FPS) if isinstance(viewer, Terminal) else player.fps


def _viewer(player: Player, out: Path | None, *, prefers_terminal: bool) -> Viewer | None:
    """What shows the frames; None if there is nothing."""
    if out is not None:
        return FilmFile(out, _progress())
    in_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if has_display() and not (prefers_terminal and in_terminal):
        try:
            return Window(player.title)
        except NoWindowError as error:
            say(f"no window can be opened: {error}")
    return Terminal(sys.stdout) if in_terminal else None


class _Shown:
    """Shows frames and says afterwards, on a screen that is free again, how the episodes went."""

    def __init__(self, viewer: Viewer | None, out: Path | None, lines: list[str]) -> None:
        self._viewer, self._out, self._lines = viewer, out, lines

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if self._viewer is not None:
                self._viewer.close(completed=kind is None)
        finally:
            _clear_progress()
            for line in self._lines:
                print(line)
        if kind is None and isinstance(self._viewer, FilmFile):
            size = self._out.stat().st_size / 1000 if self._out else 0
            print(f"{self._out}: {self._viewer.num_frames} frames, {size:.0f} kB")
            if self._viewer.is_full:
                say(f"the film ends after {MAX_FRAMES} frames; for more of it use a higher --speed or lower --fps")


def _show_nowhere(drawing: Drawing, last: Moment | None) -> None:
    """Print the end of a game that is text, and say how to see more."""
    if drawing.for_terminal and last is not None:
        from rich.console import Console

        console = Console(file=sys.stdout, highlight=False)
        console.print(drawing.text(last, console.width, 200))
    say(f"there is no terminal and no screen to show it on; {_ADVICE}")


def _result(seed: int, total: float, steps: int, measures: dict[str, float]) -> str:
    """How an episode went."""
    words = [f"return {total:.2f}", f"{steps} steps", *(f"{name} {value:g}" for name, value in measures.items())]
    return f"seed {seed}: {', '.join(words)}"


def _progress() -> Callable[[str, float | None], None]:
    """What tells how far a film is: one line of a terminal, nothing elsewhere."""
    counted: Iterator[int] = iter(range(1, 1_000_000))

    def show(what: str, share: float | None) -> None:
        if sys.stderr.isatty():
            done = f"frame {next(counted)}" if share is None else f"{share:.0%}"
            print(f"\r{what} {done:<12}", end="", file=sys.stderr, flush=True)

    return show


def _clear_progress() -> None:
    """Free the line of the progress."""
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr, flush=True)
