"""``topoevo play`` as a user calls it: in this process, and in a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from topoevo import load_network
from topoevo.cli import main
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.reporting.network_file import write_network
from topoevo.reporting.out_file import write_out
from topoevo.rollouts import RolloutError, roll_out
from topoevo.rollouts.gymnasium_watch import watch
from topoevo.tasks.environments.find import find_environment
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment

from .conftest import user_environment

ENVIRONMENTS = ("CartPoleSwingUp", "Snake", "CartPole-v1", "Pendulum-v1")


def make_genome(environment, seed=0):
    rng = np.random.default_rng(seed)
    genome = minimal_genome(
        environment.num_inputs, environment.num_outputs, p_enabled=1.0, tracker=InnovationTracker(), rng=rng, bias=True
    )
    return genome.with_weights(rng.normal(size=len(genome.connections)).astype(np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a network for each environment."""
    folder = tmp_path_factory.mktemp("play")
    for name in ENVIRONMENTS:
        environment = find_environment(name)
        settings = {"env_name": name, "take_argmax_action": None, "options": {}}
        write_network(folder / f"{name}.json", make_genome(environment), facts={"environment_settings": settings})
    write_network(
        folder / "data.json",
        make_genome(find_environment("Snake")),
        facts={"data_settings": {"dataset": "digits"}, "task": task_facts("digits")},
    )
    unset = make_genome(find_environment("Snake"))
    write_network(
        folder / "unset.json",
        unset.with_weights(np.full(len(unset.connections), np.nan, np.float32)),
        facts={"environment_settings": {"env_name": "Snake", "take_argmax_action": None, "options": {}}},
    )
    write_out(folder / "swing.out", make_genome(find_environment("CartPoleSwingUp")))
    return folder


def task_facts(name):
    return {
        "name": name, "kind": "classification", "loss": "cross_entropy",
        "input_names": [str(i) for i in range(10)], "output_names": ["a", "b", "c"],
        "input_offset": [0.0] * 10, "input_scale": [1.0] * 10, "target_offset": [], "target_scale": [], "data": {},
    }  # fmt: skip


@pytest.fixture(autouse=True)
def without_a_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")


def played(capsys, *words):
    capsys.readouterr()
    assert main(["play", *map(str, words)]) == 0
    return capsys.readouterr()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_results_are_those_of_an_evaluation(folder, capsys, name):
    network = load_network(folder / f"{name}.json").network
    environment = find_environment(name)
    for words, weights in (((), network.weight[None]), (("--shared_weight", "-1.5"), np.array([-1.5], np.float32))):
        out = played(capsys, folder / f"{name}.json", "--seed", 4, "--episodes", 3, *words).out
        expected = roll_out(environment, network, weights, [4, 5, 6])
        lines = [line for line in out.splitlines() if line.startswith("seed")]
        assert len(lines) == 3
        for i, line in enumerate(lines):
            measures = "".join(f", {key} {values[0, i]:g}" for key, values in expected.measures.items())
            assert line == (
                f"seed {4 + i}: return {expected.returns[0, i]:.2f}, {expected.steps[0, i]} steps{measures}"
            )
        assert ("shared weight -1.5" in out) == bool(words)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_watching_is_acting_as_in_an_evaluation(folder, name):
    network, environment = load_network(folder / f"{name}.json").network, find_environment(name)
    assert isinstance(environment, GymnasiumEnvironment)
    steps = list(watch(environment, network, network.weight, 9, render_mode=None))
    expected = roll_out(environment, network, network.weight[None], [9])
    assert (steps[-1].num_steps, steps[-1].total) == (expected.steps[0, 0], pytest.approx(expected.returns[0, 0]))
    assert [step.is_over for step in steps] == [False] * (len(steps) - 1) + [True]
    assert [step.num_steps for step in steps] == list(range(len(steps)))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_film_and_a_sheet(folder, capsys, tmp_path, name):
    said = played(capsys, folder / f"{name}.json", "--out", tmp_path / "a.gif", "--fps", 4, "--speed", 5)
    film = Image.open(tmp_path / "a.gif")
    assert f"a.gif: {film.n_frames} frames" in said.out
    steps = int(re.search(r"(\d+) steps", said.out)[1])
    steps_per_second = {"CartPoleSwingUp": 100, "Snake": 12, "CartPole-v1": 50, "Pendulum-v1": 30}[name]
    seconds = 0.0
    for k in range(film.n_frames):
        film.seek(k)
        seconds += film.info["duration"] / 1000
    assert seconds == pytest.approx(steps / steps_per_second / 5 + 1.5, abs=0.51)
    played(capsys, folder / f"{name}.json", "--out", tmp_path / "a.png", "--fps", 1, "--speed", 10)
    assert Image.open(tmp_path / "a.png").format == "PNG"


def test_without_a_screen_there_is_advice_and_the_last_board(folder, capsys):
    said = played(capsys, folder / "Snake.json")
    assert "--out film.gif" in said.err
    assert "┌────────────────────┐" in said.out and "✗" in said.out
    for name in ("CartPoleSwingUp", "CartPole-v1"):
        said = played(capsys, folder / f"{name}.json")
        assert "--out film.gif" in said.err and len(said.out.splitlines()) == 3


def test_an_out_file_acts_in_the_environment_that_is_named(folder, capsys):
    network = load_network(folder / "swing.out").network
    out = played(capsys, folder / "swing.out", "--env_name", "cartpoleswingup").out
    expected = roll_out(find_environment("CartPoleSwingUp"), network, network.weight[None], [0])
    assert f"return {expected.returns[0, 0]:.2f}" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("data.json",), ("digits", "no environment", "evaluate")),
        (("data.json", "--env_name", "CartPole-v1"), ("10 inputs and 3 outputs", "CartPole-v1 needs 4 and 2")),
        (("unset.json",), ("without weights", "--shared_weight 1")),
        (("swing.out",), ("--env_name",)),
        (("swing.out", "--env_name", "Snake"), ("5 inputs and 1 outputs", "Snake needs 10 and 3")),
        (("Snake.json", "--env_name", "Snaek"), ("did you mean 'Snake'",)),
        (("Snake.json", "--out", "film.mp4"), ("film.mp4", "ffmpeg")),
        (("Snake.json", "--out", "nowhere/film.gif"), ("no folder",)),
        (("Snake.json", "--fps", "0", "--speed", "-1", "--episodes", "0"), ("--fps", "--speed", "--episodes")),
        (("Snake.json", "--shared_weight", "inf"), ("--shared_weight",)),
        (("nothing.json",), ("nothing.json",)),
    ],
)
def test_what_cannot_be_played_is_refused(folder, capsys, monkeypatch, words, expected):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    assert main(["play", *words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error:") and said.out == ""
    assert all(word in said.err for word in expected), said.err
    assert sorted(folder.rglob("*")) == before


def test_an_environment_without_pictures_is_refused_for_films_and_played_otherwise(folder, capsys, tmp_path):
    import gymnasium
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    class Blind(CartPoleEnv):
        metadata: ClassVar = {"render_modes": ["ansi"]}

    gymnasium.register("Blind-v0", entry_point=Blind, max_episode_steps=20)
    try:
        assert main(["play", str(folder / "CartPole-v1.json"), "--env_name", "Blind-v0", "--out", "a.gif"]) == 2
        assert "only ansi, not rgb_array" in capsys.readouterr().err
        assert "return" in played(capsys, folder / "CartPole-v1.json", "--env_name", "Blind-v0").out
    finally:
        del gymnasium.registry["Blind-v0"]


def test_an_environment_that_breaks_is_one_message(folder, capsys, monkeypatch):
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    def broken(self, action):
        raise ZeroDivisionError("no more")

    monkeypatch.setattr(CartPoleEnv, "step", broken)
    assert main(["play", str(folder / "CartPole-v1.json")]) == 2
    error = capsys.readouterr().err
    assert "ZeroDivisionError: no more (step 1)" in error and "Traceback" not in error
    environment, network = find_environment("CartPole-v1"), load_network(folder / "CartPole-v1.json").network
    with pytest.raises(RolloutError, match="no more"):
        list(watch(environment, network, network.weight, 0, render_mode=None))


def in_terminal(words, *, until, then):
    """Run a command in a terminal of 80 x 24, send `then` when `until` is on the screen; return code and output."""
    control, terminal = pty.openpty()
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    variables = {
        name: value for name, value in user_environment(TERM="xterm-256color").items() if "DISPLAY" not in name
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "topoevo", *map(str, words)], stdin=terminal, stdout=terminal, stderr=terminal,
        env=variables, start_new_session=True,
        # Whoever runs tests in the background of a shell has Ctrl-C switched off, and so would the program.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    os.close(terminal)
    output, deadline, sent = b"", time.monotonic() + 60, False
    while time.monotonic() < deadline:
        if select.select([control], [], [], 0.1)[0]:
            try:
                part = os.read(control, 65536)
            except OSError:
                break
            if not part:
                break
            output += part
        if not sent and until in output:
            sent = True
            if then is not None:
                process.send_signal(then)
    os.close(control)
    assert sent, output[-500:]
    return process.wait(timeout=10), output.decode()


@pytest.mark.parametrize("name", ["Snake", "CartPoleSwingUp"])
def test_ctrl_c_gives_the_terminal_back(folder, name):
    words = ["play", folder / f"{name}.json", "--speed", "0.2"]
    code, output = in_terminal(words, until=b"step 1", then=signal.SIGINT)
    assert code == 130
    assert "Traceback" not in output
    # The other screen was opened and closed, and the cursor is seen again.
    assert output.count("\x1b[?1049h") == output.count("\x1b[?1049l") == 1
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    assert output.rstrip().endswith("interrupted")


def test_a_game_in_the_terminal(folder):
    words = ["play", folder / "Snake.json", "--speed", "20", "--episodes", "2"]
    code, output = in_terminal(words, until=b"seed 1:", then=None)
    assert code == 0
    shown, after = output.split("\x1b[?1049l")
    assert "●" in shown and "│" in shown
    assert re.findall(r"seed \d", after) == ["seed 0", "seed 1"]
