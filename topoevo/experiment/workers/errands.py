"""Errands to a cluster, which may take long: another thread runs them, and this one hears signals meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from multiprocessing import resource_tracker
from queue import SimpleQueue
from typing import TypeVar

from topoevo.experiment.workers.engine import SECONDS_BETWEEN_LOOKS

#: Signals of a terminal: Ctrl-C, and its end.
_SIGNALS = [signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
T = TypeVar("T")


class Errands:
    """A thread that runs errands one after another.

    It lives until it is dismissed, since processes that are started from a thread may end with it. They are spared what
    a terminal sends to everyone.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        _start_resource_tracker()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS) if hasattr(signal, "pthread_sigmask") else None
        try:
            threading.Thread(target=self._run, daemon=True, name="cluster").start()
        finally:
            if blocked is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def run(self, errand: Callable[[], T], on_wait: Callable[[], None], *, timeout: float | None = None) -> T:
        """Return what an errand returns; it is left to itself if `on_wait` raises.

        Parameters
        ----------
        errand
            Called in the other thread.
        on_wait
            Called in this thread, every .2 s.
        timeout
            Seconds after which the errand is left to itself; None waits.

        Raises
        ------
        TimeoutError
            After the timeout.
        """
        result: Future[T] = Future()

        def act() -> None:
            try:
                result.set_result(errand())
            except BaseException as error:
                result.set_exception(error)

        self._waiting.put(act)
        started = time.monotonic()
        while True:
            if wait([result], SECONDS_BETWEEN_LOOKS).done:
                return result.result()
            if timeout is not None and time.monotonic() - started >= timeout:
                raise TimeoutError
            on_wait()

    def dismiss(self) -> None:
        """Let the thread end after its last errand."""
        self._waiting.put(None)

    def _run(self) -> None:
        """Run errands until there is None."""
        while (act := self._waiting.get()) is not None:
            act()


def _start_resource_tracker() -> None:
    """Start what cleans up after Python's processes, before another thread does it and loses its mask of signals."""
    before = os.environ.get("PYTHONWARNINGS")
    # It would tell the user of a killed program what it removes.
    os.environ["PYTHONWARNINGS"] = ",".join([*([before] if before else []), "ignore:resource_tracker:UserWarning"])
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
