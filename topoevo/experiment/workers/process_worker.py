"""What a worker process does: take conditions over, compute portions, and end with the program that has started it."""

from __future__ import annotations

import faulthandler
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

from topoevo.errors import TopoevoError, in_one_line
from topoevo.evolution import Evaluation
from topoevo.experiment.problem import Conditions, Evaluator, Leg
from topoevo.experiment.workers import shared_files
from topoevo.experiment.workers.engine import Lost, Portion
from topoevo.genome import Genome
from topoevo.seeds import Stream

#: Signals that are meant for the program: a terminal sends them to all its processes.
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@dataclass(frozen=True)
class TakeOver:
    """The worker is to read conditions, and to compile what they need.

    Parameters
    ----------
    path
        See `topoevo.experiment.workers.shared_files`.
    """

    path: Path


@dataclass(frozen=True, eq=False)
class Compute:
    """The worker is to compute a portion under the conditions that it has taken over.

    Parameters
    ----------
    genomes, indices, stream, generation, legs
        See `topoevo.experiment.workers.engine.Portion`.
    """

    genomes: tuple[Genome, ...]
    indices: tuple[int, ...]
    stream: Stream
    generation: int
    legs: Mapping[int, Leg]


@dataclass(frozen=True)
class Ready:
    """Answer: the conditions are taken over."""


@dataclass(frozen=True)
class Refused:
    """Answer: something is wrong that is not the fault of an individual.

    Parameters
    ----------
    reason
        For the user, in one sentence.
    """

    reason: str


#: What a worker answers.
Answer = Ready | Refused | Lost | list[tuple[int, Evaluation]]
_Held = tuple[Evaluator[Any], Conditions]


def serve(requests: Connection, alive: Connection, crash_report: Path) -> None:
    """Answer requests until None comes.

    Parameters
    ----------
    requests
        Brings pickled requests, and takes pickled answers.
    alive
        Ends with the process that has started this one; nothing is ever sent through it.
    crash_report
        File for what Python can say of a crash in compiled code.
    """
    _leave_the_terminal()
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    shared_files.folders_read.add(crash_report.parent)
    try:
        with crash_report.open("w") as report:
            faulthandler.enable(report, all_threads=False)
            _answer_all(requests)
            faulthandler.disable()
    except (EOFError, OSError):
        _leave()


def _answer_all(requests: Connection) -> None:
    """Answer requests; `EOFError` and `OSError` say that the other end has gone."""
    held: _Held | None = None
    while (request := pickle.loads(requests.recv_bytes())) is not None:
        answer: Answer
        if isinstance(request, TakeOver):
            held = None
            answer, held = _taken_over(request)
        else:
            assert isinstance(request, Compute) and held is not None
            answer = _computed(request, *held)
        requests.send_bytes(_pickled(answer))
        del request, answer


def crash_of(report: Path) -> str:
    """Return the frames of a crash, innermost first, one a line; empty if there was none.

    Parameters
    ----------
    report
        File that `serve` was given.
    """
    try:
        lines = report.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    frames = [line for line in lines if line.startswith("  File ")]
    return "\n".join(["Crash (innermost call first):", *frames]) if frames else ""


def _leave_the_terminal() -> None:
    """Be the first of a group of processes that is ended as a whole, and hear no signals meant for the program."""
    if hasattr(os, "setsid"):
        os.setsid()
    # The parent has blocked them while this process started; those that have arrived are forgotten.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    # Programs that user code starts inherit what is ignored, and are to hear it.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else lambda number, frame: None)


def _end_with_parent(alive: Connection) -> None:
    """Leave as soon as the parent process has gone, whatever is computed."""
    wait([alive])
    _leave()


def _leave() -> NoReturn:
    """Leave without a parent process, and clean up in its place."""
    for folder in shared_files.folders_read:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _taken_over(request: TakeOver) -> tuple[Ready | Refused, _Held | None]:
    """Answer, and the conditions; compiled code is loaded, so that no evaluation has to wait for it."""
    try:
        evaluator, shared = shared_files.read(request.path)
        evaluator.prepare(lambda text: None)
        shared.prepare()
    except TopoevoError as error:
        return Refused(str(error)), None
    except BaseException as error:
        return Refused(f"a worker process cannot begin: {in_one_line(error)}"), None
    return Ready(), (evaluator, shared)


def _computed(request: Compute, evaluator: Evaluator[Any], shared: Conditions) -> Answer:
    """Evaluations, or why there are none."""
    portion = Portion(
        evaluator, shared, request.genomes, request.indices, request.stream, request.generation, request.legs
    )
    try:
        return portion.compute()
    except TopoevoError as error:
        return Refused(str(error))


def _pickled(answer: Answer) -> bytes:
    """An answer on its way; evaluations that cannot be sent have failed."""
    try:
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        return pickle.dumps(Lost("there was too little memory to send the results"))
    except Exception:
        assert isinstance(answer, list)
        return pickle.dumps([(index, _sendable(evaluation)) for index, evaluation in answer])


def _sendable(evaluation: Evaluation) -> Evaluation:
    """An evaluation, or the failure to send it."""
    try:
        pickle.dumps(evaluation)
    except Exception as error:
        return Evaluation.failed(f"the result cannot be sent: {in_one_line(error)}", evaluation.seconds)
    return evaluation
