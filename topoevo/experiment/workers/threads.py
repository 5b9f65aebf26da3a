"""Threads of this process: compiled code runs in parallel, and everyone reads the same samples.

They are made here, since those of a pool of the standard library are waited for when Python ends, however long they
hang, and joblib looks for finished threads every 10 ms only, longer than many a training.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from topoevo.errors import WorkerError
from topoevo.evolution import Evaluation
from topoevo.experiment.workers.engine import SECONDS_A_PORTION, SECONDS_BETWEEN_LOOKS, Lost, Patience, Portion

if TYPE_CHECKING:
    from typing_extensions import Self

_SWITCH_INTERVAL = 1e-4  #: seconds
#: So many threads may hang for every worker, and in all if there are few workers.
_MOST_HANGING_A_WORKER, _MOST_HANGING = 4, 32

_Result = list[tuple[int, Evaluation]] | Lost | BaseException


@dataclass(eq=False)
class _Round:
    """One call of `ThreadEngine.compute`; what is left of it when it is over is passed by."""

    results: SimpleQueue[tuple[Portion, _Result]] = field(default_factory=SimpleQueue)
    is_over: bool = False


@dataclass(frozen=True, eq=False)
class _Task:
    """What a thread computes, and since when."""

    round: _Round
    portion: Portion
    started: float


class _Thread(threading.Thread):
    """Computes portions until it is told to end, or is given up.

    Parameters
    ----------
    inbox
        Where all threads take portions from; None tells them to end.
    """

    def __init__(self, inbox: SimpleQueue[tuple[_Round, Portion] | None]) -> None:
        super().__init__(name="worker", daemon=True)
        self._inbox = inbox
        self._lock = threading.Lock()
        self._is_abandoned = False
        self.task: _Task | None = None

    def run(self) -> None:
        """Take, compute, hand over."""
        while (item := self._inbox.get()) is not None:
            task = _Task(*item, time.monotonic())
            if not self._is_at(task):
                break
            # A round that ends sees this task, or this thread sees the end of the round.
            if not task.round.is_over:
                task.round.results.put((task.portion, _computed(task.portion)))
            # What the last round was about would stay in memory while this thread waits.
            del item, task
            if not self._is_at(None):
                return
        self._inbox.put(item)

    def _is_at(self, task: _Task | None) -> bool:
        """Whether the thread was not abandoned, and begins a task, or none."""
        with self._lock:
            self.task = None if self._is_abandoned else task
            return not self._is_abandoned

    def abandon(self, task: _Task) -> bool:
        """Return whether the thread was at this task still, and will be at no other one."""
        with self._lock:
            self._is_abandoned = self.task is task
            return self._is_abandoned


def _computed(portion: Portion) -> _Result:
    """What becomes of a portion."""
    try:
        return portion.compute()
    except BaseException as error:
        return error


#: Threads that were given up, and may be running still.
_abandoned: set[_Thread] = set()


def num_hanging() -> int:
    """Return how many threads were given up and have not come back; a program that has some ends by ``os._exit``."""
    _abandoned.difference_update([thread for thread in _abandoned if not thread.is_alive()])
    return len(_abandoned)


class ThreadEngine:
    """Computes portions in threads.

    A thread cannot be ended from outside: one that hangs is given up, another takes its place, and it goes on to use a
    core until the program ends.

    Parameters
    ----------
    num_workers
        Threads, at least 1.
    timeout
        Seconds after which a portion is given up; None waits for ever.
    """

    seconds_a_portion = SECONDS_A_PORTION

    def __init__(self, num_workers: int, *, timeout: float | None = None) -> None:
        self.num_workers = num_workers
        self._timeout = timeout
        self._threads: list[_Thread] = []
        self._inbox: SimpleQueue[tuple[_Round, Portion] | None] = SimpleQueue()

    def __enter__(self) -> Self:
        # A thread that comes back from compiled code waits this long for one that runs Python; the default of 5 ms is
        # longer than a short training.
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setswitchinterval(self._switch_interval)
        self._inbox.put(None)
        for thread in list(self._threads):
            task = thread.task
            if task is None or not self._abandon(thread, task):
                thread.join()
        self._threads.clear()

    def compute(
        self, portions: Sequence[Portion], on_wait: Callable[[], None]
    ) -> Iterator[tuple[Portion, list[tuple[int, Evaluation]] | Lost]]:
        """See `topoevo.experiment.workers.engine.Engine.compute`."""
        for shared in {id(portion.shared): portion.shared for portion in portions}.values():
            shared.prepare()
        round_, patience, unfinished = _Round(), Patience(on_wait), set(portions)
        for portion in portions:
            self._inbox.put((round_, portion))
        self._hire(len(portions))
        try:
            while unfinished and not (round_.is_over and round_.results.empty() and not self._busy(round_)):
                try:
                    portion, result = round_.results.get(timeout=self._seconds_to_wait(round_))
                except Empty:
                    pass
                else:
                    # What comes after it was given up has been started anew.
                    if portion in unfinished:
                        unfinished.discard(portion)
                        if isinstance(result, BaseException):
                            raise result
                        yield portion, result
                patience.look()
                round_.is_over = patience.is_stopping
                for portion, lost in self._overdue(round_):
                    if portion in unfinished:
                        unfinished.discard(portion)
                        yield portion, lost
        finally:
            round_.is_over = True
            for thread, task in self._busy(round_):
                if task.portion in unfinished:
                    self._abandon(thread, task)
        patience.end()

    def _hire(self, num_portions: int) -> None:
        """Have as many threads as can be of use."""
        while len(self._threads) < min(self.num_workers, num_portions):
            thread = _Thread(self._inbox)
            try:
                thread.start()
            except RuntimeError as error:
                if self._threads:
                    return
                raise WorkerError(f"no thread can be started: {error}") from error
            self._threads.append(thread)

    def _busy(self, round_: _Round) -> list[tuple[_Thread, _Task]]:
        """Threads that compute something of this round, and what."""
        tasks = [(thread, thread.task) for thread in self._threads]
        return [(thread, task) for thread, task in tasks if task is not None and task.round is round_]

    def _seconds_to_wait(self, round_: _Round) -> float:
        """Until the next look, or until a portion is overdue."""
        starts = [task.started for _, task in self._busy(round_)] if self._timeout is not None else []
        if self._timeout is None or not starts:
            return SECONDS_BETWEEN_LOOKS
        return min(max(min(starts) + self._timeout - time.monotonic(), 1e-3), SECONDS_BETWEEN_LOOKS)

    def _overdue(self, round_: _Round) -> Iterator[tuple[Portion, Lost]]:
        """Give up threads that have taken too long."""
        if self._timeout is None:
            return
        for thread, task in self._busy(round_):
            if time.monotonic() - task.started <= self._timeout or not self._abandon(thread, task):
                continue
            if num_hanging() > max(_MOST_HANGING, _MOST_HANGING_A_WORKER * self.num_workers):
                raise WorkerError(
                    f"{num_hanging()} evaluations hang, and threads cannot be ended: take joblib_backend loky, whose"
                    " processes can be, or a longer evaluation_timeout"
                )
            self._hire(self.num_workers)
            yield task.portion, Lost.by_timeout(self._timeout)

    def _abandon(self, thread: _Thread, task: _Task) -> bool:
        """Return whether a thread was at this task still and is counted on no more."""
        if not thread.abandon(task):
            return False
        self._threads.remove(thread)
        _abandoned.add(thread)
        return True
