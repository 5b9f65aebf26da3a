"""Processes that run the command line and are disturbed: killed in the middle of a write, slowed down, or counted.

As a program, this file imports everything once and then forks a child for every line of JSON that it reads, so that a
life takes tenths of a second to begin. It has no threads, which would not survive the fork.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Variable of the environment of a life and of all that descends from it.
MARK = "TOPOEVO_LIFE"
#: A life that lasts longer hangs.
_SECONDS = 120.0


@dataclass(frozen=True)
class Life:
    """One process.

    Parameters
    ----------
    folder
        Working directory, and where its output goes.
    pid, number
        Of the process, and of the life.
    nursery
        Its parent.
    """

    folder: Path
    pid: int
    number: int
    nursery: Nursery

    def end(self) -> int:
        """Wait for the end, and return the exit code, or minus the signal that it died of."""
        return self.nursery.wait_for(self)

    @property
    def out(self) -> str:
        """What it has printed until now."""
        return self._read("out")

    @property
    def err(self) -> str:
        """What it has printed as errors."""
        return self._read("err")

    def _read(self, name: str) -> str:
        """What is in one of the two files."""
        path = self.folder / f"{name}-{self.number}"
        return path.read_text("utf-8") if path.exists() else ""

    def wait_for(self, text: str) -> None:
        """Wait until it has printed something."""
        until = time.monotonic() + _SECONDS
        while text not in self.out:
            assert time.monotonic() < until and os.path.exists(f"/proc/{self.pid}"), f"{self.out}\n{self.err}"
            time.sleep(0.01)


class Nursery:
    """Forks lives from a process that has imported everything."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment,
        )
        self._number = 0
        self._codes: dict[int, int] = {}

    def start(self, folder: Path, *words: object, **disturbance: Any) -> Life:
        """Begin a life: the words of ``topoevo``, in a folder, and what disturbs it (`_Disturbed`)."""
        self._number += 1
        request = {
            "folder": str(folder),
            "words": [str(word) for word in words],
            "number": self._number,
            "disturbance": disturbance,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        while (heard := self._heard()) is None:
            pass
        return Life(folder, heard, self._number, self)

    def live(self, folder: Path, *words: object, expect: int | None = 0, **disturbance: Any) -> Life:
        """Begin a life, wait for its end, and check its exit code unless None is expected."""
        life = self.start(folder, *words, **disturbance)
        code = life.end()
        assert expect is None or code == expect, f"exit code {code}\n{life.out}\n{life.err}"
        return life

    def wait_for(self, life: Life) -> int:
        """Return the exit code of a life."""
        while life.pid not in self._codes:
            self._heard()
        return self._codes[life.pid]

    def close(self) -> None:
        """End."""
        self._process.kill()
        self._process.communicate()

    def _heard(self) -> int | None:
        """Take one answer: the process of a life that has begun, or None if one has ended."""
        assert self._process.stdout is not None
        heard: dict[str, int] = json.loads(self._process.stdout.readline())
        if "code" not in heard:
            return heard["pid"]
        self._codes[heard["pid"]] = heard["code"]
        return None


class _Disturbed:
    """What happens to a life.

    Parameters
    ----------
    kill_at
        It dies of SIGKILL in its so-manieth operation on the disk: in the middle of a write, else before or after.
    count_to
        File that gets the number of those operations at the end.
    seconds
        That every evaluation takes longer.
    evaluated
        File that gets a line for every evaluation that has ended.
    fail
        Every so-manieth individual of a generation fails.
    journal_at_once
        Every evaluation is on the disk at once, not about a second later.
    stuck_in
        Something of `_STUCK` that runs compiled code for minutes, in which Python hears no signal.
    ignore
        Names of signals that whoever has started the process has switched off.
    forks
        An evaluation forks a child and ends it by SIGTERM.
    """

    def __init__(
        self,
        *,
        kill_at: int = 0,
        count_to: str | None = None,
        seconds: float = 0.0,
        evaluated: str | None = None,
        fail: int = 0,
        journal_at_once: bool = False,
        stuck_in: str | None = None,
        ignore: Sequence[str] = (),
        forks: bool = False,
    ) -> None:
        self._kill_at = kill_at
        self._count = 0
        if kill_at or count_to:
            self._watch_the_disk()
        if seconds or evaluated or fail:
            self._watch_evaluations(seconds, evaluated, fail)
        if journal_at_once:
            from topoevo.experiment import journal

            journal.SECONDS_BETWEEN_WRITES = 0.0
        if stuck_in is not None:
            self._stick(*_STUCK[stuck_in])
        for name in ignore:
            signal.signal(signal.Signals[name], signal.SIG_IGN)
        if forks:
            self._fork_once()
        self._count_to = count_to

    def end(self) -> None:
        """Tell the number of operations."""
        if self._count_to is not None:
            with os.fdopen(os.open(self._count_to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
                file.write(str(self._count))

    def _is_time(self) -> bool:
        """Count an operation, and tell whether it is the last."""
        self._count += 1
        return self._count == self._kill_at

    def _watch_the_disk(self) -> None:
        """Count, and die."""
        for name in ("fsync", "replace", "unlink", "mkdir"):
            setattr(os, name, self._deadly(getattr(os, name)))
        disturbed, open_file, open_path = self, builtins.open, pathlib.Path.open

        class Torn:
            """A file whose writes may be cut in half."""

            def __init__(self, file: Any) -> None:
                self._file = file

            def __getattr__(self, name: str) -> Any:
                return getattr(self._file, name)

            def __enter__(self) -> Torn:
                return self

            def __exit__(self, *error: object) -> None:
                self._file.close()

            def write(self, content: Any) -> Any:
                if disturbed._is_time():
                    self._file.write(content[: len(content) // 2])
                    self._file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
                return self._file.write(content)

            def writelines(self, lines: Any) -> None:
                for line in lines:
                    self.write(line)

        def torn(file: Any, name: object, mode: str) -> Any:
            is_of_run = isinstance(name, (str, os.PathLike)) and "/run" in os.path.abspath(name)
            return Torn(file) if is_of_run and set(mode) & set("wax+") else file

        def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            return torn(open_file(file, mode, *args, **options), file, mode)

        def opened_path(path: pathlib.Path, mode: str = "r", *args: Any, **options: Any) -> Any:
            return torn(open_path(path, mode, *args, **options), path, mode)

        builtins.open = opened  # type: ignore[assignment]
        pathlib.Path.open = opened_path  # type: ignore[assignment, method-assign]

    def _deadly(self, function: Any) -> Any:
        """A function of the system, before or after which the process may die."""

        def call(*args: Any, **options: Any) -> Any:
            is_last = self._is_time()
            if is_last and self._kill_at % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*args, **options)
            finally:
                if is_last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    def _watch_evaluations(self, seconds: float, evaluated: str | None, fail: int) -> None:
        """Slow evaluations down, count them, and let some fail."""
        from topoevo.experiment.evaluators import DatasetEvaluator

        attempt = DatasetEvaluator.attempt

        def disturbed(evaluator: Any, genome: Any, shared: Any, *, stream: Any, generation: int, index: int) -> Any:
            time.sleep(seconds)
            evaluation = attempt(evaluator, genome, shared, stream=stream, generation=generation, index=index)
            if evaluated:
                with open(evaluated, "a", encoding="utf-8") as file:
                    file.write(f"{stream.name} {generation} {index}\n")
            if fail and index % fail == 1 and stream.name == "LEARNING":
                raise ZeroDivisionError(f"number {index} of generation {generation}")
            return evaluation

        DatasetEvaluator.attempt = disturbed  # type: ignore[method-assign]

    def _fork_once(self) -> None:
        """Have the first evaluation end a child of its own."""
        from topoevo.experiment.evaluators import DatasetEvaluator

        attempt = DatasetEvaluator.attempt

        def forking(*args: Any, **options: Any) -> Any:
            DatasetEvaluator.attempt = attempt  # type: ignore[method-assign]
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(1)
            time.sleep(0.2)
            os.kill(pid, signal.SIGTERM)
            print("the child died of", os.WTERMSIG(os.waitpid(pid, 0)[1]), flush=True)
            return attempt(*args, **options)

        DatasetEvaluator.attempt = forking  # type: ignore[method-assign]

    def _stick(self, module: str, name: str) -> None:
        """Have a function compute for minutes before it does anything."""
        owner = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        function = getattr(owner, last)

        def stuck(*args: Any, **options: Any) -> Any:
            print("stuck", flush=True)
            _spinning()(10**12)
            return function(*args, **options)

        setattr(owner, last, stuck)


#: Modules and functions that a life can be stuck in.
_STUCK = {
    "loading": ("topoevo.commands.evolve", "load_task_of"),
    "compiling": ("topoevo.experiment.evaluators", "prepare_compiled"),
    "evaluating": ("topoevo.experiment.evaluators", "DatasetEvaluator.attempt"),
    "scoring": ("topoevo.experiment.shared_data", "TaskData.score"),
    "reproducing": ("topoevo.evolution.reproduction", "Reproduction.next_generation"),
    "drawing": ("topoevo.reporting.pictures", "draw_champion"),
    "training": ("topoevo.learning.base", "Learner.train"),
    "writing": ("topoevo.experiment.archive", "write_archive"),
}


@functools.cache
def _spinning() -> Any:
    """A compiled function that adds for so many turns, without Python's lock."""
    import numba

    @numba.njit(nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
    def spin(turns: int) -> float:
        total = 0.0
        for turn in range(turns):
            total = total * 0.999999 + turn
        return total

    spin(1)
    return spin


def _drawn(champion: Any, task: Any, *files: Path) -> None:
    """Write the beginning of a picture, since a whole one takes longer than the run."""
    for file in files:
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IHDR" + bytes([0, 0, 0, 1, 0, 0, 0, 1]))


def _live(request: dict[str, Any]) -> int:
    """Be the child."""
    from topoevo.cli import main

    os.chdir(request["folder"])
    # All that descends from this process can be found by its environment.
    os.environ[MARK] = str(os.getpid())
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(f"{name}-{request['number']}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.stdin = builtins.open(os.devnull, encoding="utf-8")  # noqa: SIM115 - until the end
    sys.stdout = builtins.open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = builtins.open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if request["disturbance"].get("stuck_in") != "drawing":
        pictures: Any = importlib.import_module("topoevo.reporting.pictures")
        pictures.draw_champion = _drawn
    disturbed = _Disturbed(**request["disturbance"])
    code = main(request["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    disturbed.end()
    return code


def _import_everything() -> None:
    """Load what a run needs, compiled code included, which takes seconds."""
    import matplotlib.figure  # noqa: F401
    import numpy as np
    import rich.progress  # noqa: F401

    import topoevo.commands.control
    import topoevo.reporting.files
    import topoevo.reporting.pictures
    import topoevo.reporting.tensorboard  # noqa: F401
    from topoevo.experiment.data import load_task_of
    from topoevo.experiment.experiment import Experiment
    from topoevo.experiment.params import load_params
    from topoevo.experiment.training import Training

    settings = {"population_size": 4, "tournament_size": 2, "num_epochs": 1, "num_workers": 1}
    params = load_params(None, {**settings, "num_generations": 1})
    task = load_task_of(params)
    assert Experiment(params, task).run().status == "finished"
    assert Training(load_params(None, {**settings, "num_generations": 0}), task).run().status == "finished"
    assert np.isfinite(task.train.inputs).all() and _spinning()


def _serve() -> None:
    """Fork for every line, and tell when a child has begun and ended."""
    import select

    _import_everything()
    # Ctrl-C in the terminal of the tests is not for this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children: set[int] = set()
    received = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.005 if children else None)
        for pid in sorted(children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                children.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                os.write(1, (json.dumps({"pid": pid, "code": code}) + "\n").encode())
        if not ready:
            continue
        content = os.read(0, 65536)
        if not content:
            return
        received += content
        while b"\n" in received:
            line, received = received.split(b"\n", 1)
            pid = os.fork()
            if pid == 0:
                code = 70
                try:
                    code = _live(json.loads(line))
                except BaseException:
                    import traceback

                    traceback.print_exc()
                    sys.stderr.flush()
                finally:
                    os._exit(code)
            children.add(pid)
            os.write(1, (json.dumps({"pid": pid}) + "\n").encode())


if __name__ == "__main__":
    _serve()
