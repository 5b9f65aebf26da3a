"""Processes of this machine, each on its own: what ends one of them costs what it was computing, and nothing else.

They are started as loky starts them, without the main module of the program. Its executor is not used: when a worker is
killed while it writes a result, the executor waits for the rest for ever.
"""

from __future__ import annotations

import multiprocessing.resource_tracker
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topoevo.errors import WorkerError, in_one_line
from topoevo.evolution import Evaluation
from topoevo.experiment.workers.engine import SECONDS_A_PORTION, SECONDS_BETWEEN_LOOKS, Lost, Patience, Portion
from topoevo.experiment.workers.process_worker import (
    SIGNALS,
    Compute,
    Ready,
    Refused,
    TakeOver,
    crash_of,
    serve,
)
from topoevo.experiment.workers.shared_files import SharedFiles

if TYPE_CHECKING:
    from typing_extensions import Self

#: Workers that may end before they have begun, while no other one answers.
_MOST_FAILED_STARTS = 5
#: Idle workers may take so long to leave.
_SECONDS_TO_LEAVE = 1.0
#: Libraries that have threads of their own share the cores between the workers.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_Evaluations = list[tuple[int, Evaluation]]


class _Gone(Exception):
    """A worker has ended by itself; the message says how."""


class _Worker:
    """A process, seen from the parent.

    Parameters
    ----------
    context
        Starts processes.
    alive
        See `topoevo.experiment.workers.process_worker.serve`.
    crash_report
        File for what can be said of a crash.
    environment
        Variables that are different in the process.
    """

    def __init__(self, context: Any, alive: Connection, crash_report: Path, environment: dict[str, str]) -> None:
        self.connection, theirs = context.Pipe()
        self._crash_report = crash_report
        self.process: BaseProcess = context.Process(
            target=serve, args=(theirs, alive, crash_report), name="worker", env=environment
        )
        self.portion: Portion | None = None
        self._taken_over: Path | None = None
        self._wanted: Path | None = None
        #: Since when the portion is computed; None while the worker gets ready for it.
        self.started: float | None = None
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if hasattr(signal, "pthread_sigmask") else None
        try:
            self.process.start()
        finally:
            if blocked is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        # From now on the end of the process is the end of what can be read.
        theirs.close()

    def begin(self, portion: Portion, conditions: Path) -> None:
        """Compute a portion, after the conditions have been taken over if need be."""
        self.portion, self._wanted = portion, conditions
        if self._taken_over == conditions:
            self._compute()
        else:
            self._send(TakeOver(conditions))

    def answer(self) -> _Evaluations | Lost | Refused | None:
        """What has become of the portion; None if it is under way. Waits for an answer that has begun to arrive."""
        try:
            answer: _Evaluations | Lost | Refused | Ready = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            raise _Gone(self._end()) from None
        except Exception as error:
            answer = Lost(f"the result cannot be read: {in_one_line(error)}")
        if isinstance(answer, Ready):
            self._taken_over = self._wanted
            self._compute()
            return None
        self.portion = self.started = None
        return answer

    def stop(self) -> None:
        """Ask the process to leave."""
        with suppress(OSError):
            self.connection.send_bytes(pickle.dumps(None))

    def kill(self) -> None:
        """End the process, and what it has started."""
        assert self.process.pid is not None
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        # One that has just been started is not the first of its group yet.
        if self.process.is_alive():
            os.kill(self.process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def bury(self) -> None:
        """Let the system forget a process that was killed."""
        self.process.join(_SECONDS_TO_LEAVE)
        self.connection.close()
        with suppress(OSError):
            self._crash_report.unlink()

    def check(self) -> None:
        """Raise if the process has ended, however its end was hidden."""
        if not self.process.is_alive() and not self.connection.poll():
            raise _Gone(self._end())

    def _compute(self) -> None:
        """Send the genomes."""
        assert self.portion is not None
        self.started = time.monotonic()
        portion = self.portion
        self._send(Compute(portion.genomes, portion.indices, portion.stream, portion.generation, portion.legs))

    def _send(self, request: TakeOver | Compute) -> None:
        """A request on its way."""
        content = pickle.dumps(request, pickle.HIGHEST_PROTOCOL)
        try:
            self.connection.send_bytes(content)
        except OSError:
            raise _Gone(self._end()) from None

    def _end(self) -> str:
        """How the process has ended, after what can be said of a crash."""
        self.process.join(_SECONDS_TO_LEAVE)
        self.kill()
        crash = crash_of(self._crash_report)
        self.bury()
        code = self.process.exitcode
        sentence = f"the worker process has ended with exit code {code}"
        if code is not None and code < 0:
            sentence = f"the worker process was ended by {_name_of(-code)}"
            if -code == getattr(signal, "SIGKILL", 0):
                sentence += ", as the system does where memory runs out"
        return "\n".join(part for part in (crash, sentence) if part)


def _name_of(number: int) -> str:
    """Name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class ProcessEngine:
    """Computes portions in processes.

    Parameters
    ----------
    num_workers
        Processes, at least 1.
    timeout
        Seconds after which the process of a portion is ended; None waits for ever.
    """

    seconds_a_portion = SECONDS_A_PORTION

    def __init__(self, num_workers: int, *, timeout: float | None = None) -> None:
        self.num_workers = num_workers
        self._timeout = timeout
        self._workers: list[_Worker] = []
        #: Those that still compute what nobody waits for.
        self._given_up: list[_Worker] = []
        self._num_started = self._num_failed_starts = 0

    def __enter__(self) -> Self:
        from joblib import cpu_count
        from joblib.externals.loky.backend import get_context, resource_tracker

        # Their start would unblock signals that a worker must not hear while it starts.
        for tracker in (resource_tracker, multiprocessing.resource_tracker):
            tracker.ensure_running()
        self._context = get_context("loky")
        self._alive, self._end_of_life = self._context.Pipe(duplex=False)
        self._files = SharedFiles()
        threads = str(max(cpu_count() // self.num_workers, 1))
        self._environment = {name: threads for name in _THREAD_VARIABLES if name not in os.environ}
        return self

    def __exit__(self, *error: object) -> None:
        # If this process is ended now, the workers that are left see to the rest.
        self._files.remove()
        for worker in self._workers:
            worker.stop()
        self._dismiss(self._given_up)
        until = time.monotonic() + _SECONDS_TO_LEAVE
        for worker in self._workers:
            worker.process.join(max(until - time.monotonic(), 0.0))
        self._dismiss(self._workers)
        self._end_of_life.close()
        self._alive.close()

    def compute(
        self, portions: Sequence[Portion], on_wait: Callable[[], None]
    ) -> Iterator[tuple[Portion, _Evaluations | Lost]]:
        """See `topoevo.experiment.workers.engine.Engine.compute`."""
        self._dismiss(self._given_up)
        patience, waiting = Patience(on_wait), deque(portions)
        try:
            while waiting or self._busy():
                if patience.is_stopping:
                    waiting.clear()
                else:
                    self._hand_out(waiting)
                yield from self._arrived(waiting)
                patience.look()
        finally:
            self._given_up = self._busy()
            self._workers = [worker for worker in self._workers if worker.portion is None]
        patience.end()

    def _busy(self) -> list[_Worker]:
        """Workers that have a portion."""
        return [worker for worker in self._workers if worker.portion is not None]

    def _hand_out(self, waiting: deque[Portion]) -> None:
        """Give portions to workers that have none, and start workers while there are too few."""
        idle = [worker for worker in self._workers if worker.portion is None]
        while waiting and (idle or len(self._workers) < self.num_workers):
            portion = waiting.popleft()
            conditions = self._files.write(portion.evaluator, portion.shared)
            worker = idle.pop() if idle else self._hire()
            if worker is None:
                waiting.appendleft(portion)
                return
            try:
                worker.begin(portion, conditions)
            except _Gone as gone:
                self._start_again(worker, str(gone), waiting)

    def _hire(self) -> _Worker | None:
        """A new worker, or None where the system has no room for one more."""
        self._num_started += 1
        report = self._files.folder / f"crash-{self._num_started}"
        try:
            worker = _Worker(self._context, self._alive, report, self._environment)
        except OSError as error:
            if self._workers:
                return None
            raise WorkerError(f"no worker process can be started: {error}") from error
        self._workers.append(worker)
        return worker

    def _arrived(self, waiting: deque[Portion]) -> Iterator[tuple[Portion, _Evaluations | Lost]]:
        """What has become of portions, after some waiting."""
        busy = self._busy()
        ready = wait([worker.connection for worker in busy], timeout=self._seconds_to_wait(busy))
        for worker in busy:
            portion, was_started = worker.portion, worker.started is not None
            assert portion is not None
            try:
                if worker.connection in ready:
                    answer = worker.answer()
                    self._num_failed_starts = 0
                    if isinstance(answer, Refused):
                        raise WorkerError(answer.reason)
                    if answer is not None:
                        yield portion, answer
                elif not ready:
                    worker.check()
            except _Gone as gone:
                if not was_started:
                    self._start_again(worker, str(gone), waiting)
                    continue
                self._dismiss([worker])
                yield portion, Lost(str(gone))
            else:
                if self._is_overdue(worker):
                    assert self._timeout is not None
                    self._dismiss([worker])
                    yield portion, Lost.by_timeout(self._timeout)

    def _start_again(self, worker: _Worker, reason: str, waiting: deque[Portion]) -> None:
        """Let another worker begin what one could not begin."""
        assert worker.portion is not None
        waiting.appendleft(worker.portion)
        self._dismiss([worker])
        self._num_failed_starts += 1
        if self._num_failed_starts >= _MOST_FAILED_STARTS:
            raise WorkerError(f"worker processes end before they have begun: {reason.splitlines()[-1]}")

    def _seconds_to_wait(self, busy: list[_Worker]) -> float:
        """Until the next look, or until a portion is overdue."""
        starts = [worker.started for worker in busy if worker.started is not None]
        if self._timeout is None or not starts:
            return SECONDS_BETWEEN_LOOKS
        return min(max(min(starts) + self._timeout - time.monotonic(), 0.0) + 1e-3, SECONDS_BETWEEN_LOOKS)

    def _is_overdue(self, worker: _Worker) -> bool:
        """Whether a worker has computed for too long."""
        if self._timeout is None or worker.started is None:
            return False
        return time.monotonic() - worker.started > self._timeout

    def _dismiss(self, workers: list[_Worker]) -> None:
        """End workers."""
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.bury()
        self._workers = [worker for worker in self._workers if worker not in workers]
        self._given_up = []
