"""Signals: what is finished is kept, the rest is given up, and the program ends within seconds, whatever it is doing.

Limits of time are wide here, since the machine may be busy; what is waited for would take minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from topoevo.experiment.backends import CLUSTERS

from .conftest import BLIND, PARAMS, read_json
from .lives import MARK, Life

TINY = ("--population_size", "8", "--tournament_size", "3", "--num_epochs", "1", "--num_samples", "64")
RUN = ("wlnn", BLIND, *TINY, "--num_generations", "2", "--checkpoint_every", "1", "--out_dir", "run")
MLP = (
    "wlnn",
    PARAMS / "no-evolution" / "digits-mlp.yaml",
    "--hidden_layers",
    "4",
    "--num_epochs",
    "2",
    "--out_dir",
    "run",
)
#: An evaluation takes minutes.
ENDLESS = (
    "wlnn",
    BLIND,
    "--population_size",
    "8",
    "--tournament_size",
    "3",
    "--num_epochs",
    "1000000",
    "--out_dir",
    "run",
)
_SECONDS = 20.0


def ended_by(life: Life, number: signal.Signals) -> float:
    """Send a signal, wait for the end, check how it ended, and return the seconds that it took."""
    started = time.monotonic()
    os.kill(life.pid, number)
    code = life.end()
    seconds = time.monotonic() - started
    assert code == 128 + number, f"exit code {code}\n{life.out}\n{life.err}"
    assert "Traceback" not in life.err
    assert seconds < _SECONDS, life.out
    until = time.monotonic() + _SECONDS
    while left := descendants_of(life):
        assert time.monotonic() < until, f"{left} are left"
        time.sleep(0.1)
    if record := os.environ.get("TOPOEVO_RECORD_SECONDS"):
        with open(record, "a", encoding="utf-8") as file:
            file.write(f"{os.environ['PYTEST_CURRENT_TEST']} {number.name} {seconds:.2f}\n")
    return seconds


def descendants_of(life: Life) -> list[str]:
    """Command lines of the processes that a life has left."""
    mark = f"{MARK}={life.pid}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != life.pid:
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def evaluated(folder: Path) -> list[str]:
    path = folder / "evaluated"
    return path.read_text().splitlines() if path.exists() else []


ENGINES = [
    ("threading", 1, signal.SIGINT),
    pytest.param("threading", 2, signal.SIGTERM, marks=pytest.mark.slow),
    pytest.param("loky", 1, signal.SIGINT, marks=pytest.mark.slow),
    ("loky", 2, signal.SIGTERM),
    *(
        pytest.param(backend, 2, number, marks=pytest.mark.slow)
        for backend in ("dask", "ray")
        for number in (signal.SIGINT, signal.SIGTERM)
    ),
]


@pytest.mark.parametrize(("backend", "num_workers", "number"), ENGINES)
def test_an_evaluation_that_takes_minutes_is_given_up(nursery, tmp_path, backend, num_workers, number):
    if backend in CLUSTERS:
        pytest.importorskip(backend, reason=f"needs the extra {backend}")
    words = (*ENDLESS, "--joblib_backend", backend, "--num_workers", num_workers)
    life = nursery.start(tmp_path, *words)
    life.wait_for("writing to run")
    time.sleep(2.0 if backend == "threading" else 6.0)
    assert backend == "threading" or descendants_of(life), "no worker has begun"
    ended_by(life, number)
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["status"], result["reason"], result["generations"]) == ("interrupted", number.name, 0)
    assert "interrupted" in life.out and "leaves at once" in life.out and "resume run" in life.out


@pytest.mark.parametrize(
    "place",
    [
        "scoring", "training",
        *(pytest.param(place, marks=pytest.mark.slow) for place in ("compiling", "reproducing", "drawing", "writing")),
    ],
)  # fmt: skip
def test_whatever_the_main_thread_is_stuck_in_the_program_ends(nursery, tmp_path, place):
    words = MLP if place == "training" else RUN
    life = nursery.start(tmp_path, *words, stuck_in=place)
    life.wait_for("stuck")
    ended_by(life, signal.SIGTERM)
    if place not in ("compiling", "writing"):
        result = read_json(tmp_path / "run" / "result.json")
        assert (result["status"], result["reason"]) == ("interrupted", "SIGTERM")
    if place not in ("drawing", "writing"):
        assert "resume run" in life.out
    nursery.live(tmp_path, "resume", "run")
    assert read_json(tmp_path / "run" / "result.json")["status"] == "finished"


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_loading_ends_at_once_and_leaves_nothing(nursery, tmp_path, number):
    life = nursery.start(tmp_path, *RUN, stuck_in="loading")
    life.wait_for("stuck")
    ended_by(life, number)
    assert not (tmp_path / "run").exists() and life.err.strip() == "interrupted"


def test_what_is_evaluated_before_a_signal_is_not_evaluated_again(nursery, tmp_path):
    words = (*RUN, "--num_workers", "2", "--p_complexity_objective", "0")
    (tmp_path / "whole").mkdir()
    nursery.live(tmp_path / "whole", *words)
    slow = {"seconds": 0.25, "evaluated": str(tmp_path / "evaluated")}
    for attempt in range(2):
        before = len(evaluated(tmp_path))
        life = nursery.start(tmp_path, *(("resume", "run") if attempt else words), **slow)
        until = time.monotonic() + 60
        while len(evaluated(tmp_path)) < before + 3:
            assert time.monotonic() < until
            time.sleep(0.02)
        ended_by(life, signal.SIGINT if attempt % 2 else signal.SIGTERM)
        assert read_json(tmp_path / "run" / "result.json")["status"] == "interrupted"
    nursery.live(tmp_path, "resume", "run", **slow)
    lines = evaluated(tmp_path)
    assert len(lines) == len(set(lines)) == 18, "8 individuals and a candidate in each of two generations"
    ours, theirs = (read_json(folder / "run" / "result.json") for folder in (tmp_path, tmp_path / "whole"))
    assert ours["seconds"] > 18 * 0.25 / 2, "the time of all processes adds up"
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_a_kill_costs_what_was_under_way(nursery, tmp_path):
    slow = {"seconds": 0.25, "evaluated": str(tmp_path / "evaluated"), "journal_at_once": True}
    for attempt in range(2):
        before = len(evaluated(tmp_path))
        life = nursery.start(tmp_path, *(("resume", "run") if attempt else (*RUN, "--num_workers", "2")), **slow)
        until = time.monotonic() + 60
        while len(evaluated(tmp_path)) < before + 4:
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(0.2)
        os.kill(life.pid, signal.SIGKILL)
        assert life.end() == -signal.SIGKILL
    nursery.live(tmp_path, "resume", "run", **slow)
    lines = evaluated(tmp_path)
    assert len(set(lines)) == 18
    # At most the evaluations that two workers had finished a moment before each kill.
    assert len(lines) <= 18 + 2 * 2


def test_a_signal_that_is_sent_twice_is_one(nursery, tmp_path):
    """As by ``timeout``, to the program and to its group."""
    life = nursery.start(tmp_path, *RUN, "--num_workers", "2", seconds=0.25, evaluated=str(tmp_path / "evaluated"))
    until = time.monotonic() + 60
    while len(evaluated(tmp_path)) < 3:
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(life.pid, signal.SIGTERM)
    time.sleep(0.01)
    ended_by(life, signal.SIGTERM)
    assert read_json(tmp_path / "run" / "result.json")["status"] == "interrupted"


def test_a_second_signal_leaves_at_once(nursery, tmp_path):
    life = nursery.start(tmp_path, *RUN, stuck_in="evaluating")
    life.wait_for("stuck")
    os.kill(life.pid, signal.SIGINT)
    life.wait_for("leaves at once")
    time.sleep(0.4)
    started = time.monotonic()
    os.kill(life.pid, signal.SIGTERM)
    assert life.end() == 128 + signal.SIGTERM
    assert time.monotonic() - started < 1.5, "less than the time that evaluations get"
    assert not (tmp_path / "run" / "result.json").exists()
    nursery.live(tmp_path, "resume", "run")
    assert read_json(tmp_path / "run" / "result.json")["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["control", "train"])
def test_other_commands_end_too(nursery, tmp_path, command):
    nursery.live(tmp_path, *RUN)
    words = {
        "control": ("control", "run", "--num_epochs", "1000000"),
        "train": ("train", "run", "--num_epochs", "1000000"),
    }[command]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    life = nursery.start(tmp_path, *words, **({"stuck_in": "training"} if command == "train" else {}))
    life.wait_for("stuck" if command == "train" else "comparing")
    time.sleep(2.0)
    ended_by(life, signal.SIGTERM)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_a_signal_that_is_ignored_stays_ignored(nursery, tmp_path):
    """As with ``nohup``, or in the background of a shell."""
    life = nursery.start(tmp_path, *RUN, "--num_workers", "1", seconds=0.05, ignore=["SIGHUP", "SIGINT"])
    life.wait_for("writing to run")
    for number in (signal.SIGHUP, signal.SIGINT):
        os.kill(life.pid, number)
    assert life.end() == 0, life.err
    assert read_json(tmp_path / "run" / "result.json")["status"] == "finished"


def test_signals_of_a_forked_child_are_its_own(nursery, tmp_path):
    """As of the processes that a user's environment starts and ends."""
    life = nursery.start(tmp_path, *RUN, forks=True)
    assert life.end() == 0, f"{life.out}\n{life.err}"
    assert "the child died of 15" in life.out and "interrupted" not in life.out
