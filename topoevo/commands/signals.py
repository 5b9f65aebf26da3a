"""Signals that end a program within seconds, whatever it is doing.

A signal arrives twice: in the main thread, where Python calls the handler as soon as it is between two instructions,
and in a thread that waits for nothing else. The main thread may be inside compiled code, or wait for a slow disk or for
a terminal that nobody reads; the other one sees to it that the program ends all the same.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

#: Ctrl-C, the system, a terminal that is closed.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
#: Seconds from the first signal until the main thread is not waited for any more, and seconds for last words.
_PATIENCE, _LAST_WORDS = 3.0, 1.2
#: So soon after the first one, in seconds, a signal is its echo: ``timeout``, for one, sends it to a process, and again
#: to the group of the process.
_ECHO = 0.3

_Handler = Callable[[int, FrameType | None], Any]


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C has ended the program.

    Parameters
    ----------
    number
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stopped_by_signals(
    stop: Callable[[str], None],
    *,
    say: Callable[[str], None] = lambda text: None,
    leave: Callable[[str], None] = lambda name: None,
) -> Iterator[None]:
    """Call `stop` with the name of the first signal that arrives; a second one, .3 s later or more, leaves at once.

    If the context has not ended three seconds later, the program leaves all the same, with the exit code of the signal.

    Parameters
    ----------
    stop
        Asks something to stop soon; called in another thread.
    say
        Told at once, in one line, what happens; in another thread.
    leave
        Called in another thread with the name of the signal before the program leaves, to save what can be saved; it
        has a second.
    """

    def on_first(name: str) -> None:
        stop(name)
        what = "interrupted" if name == "SIGINT" else f"interrupted by {name}"
        say(f"{what}: finishing what can be finished in two seconds; Ctrl-C again leaves at once")

    with _heard(dict.fromkeys(_SIGNALS, _do_nothing), on_first, leave):
        yield


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the first signal, `Terminated` if it is not Ctrl-C.

    What cannot be interrupted so ends the program after three seconds. Handlers that are not Python's own, such as
    those of a program that calls this one, are left alone.
    """
    own = {signal.SIGINT: signal.default_int_handler}
    handlers = {number: _raise for number in _SIGNALS if signal.getsignal(number) is own.get(number, signal.SIG_DFL)}
    usual = sys.unraisablehook

    def on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
        """Leave where an interruption came in a callback of the compiler or a finalizer, and Python would go on."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            _say_goodbye()
            os._exit(128 + getattr(unraisable.exc_value, "number", signal.SIGINT))
        usual(unraisable)

    sys.unraisablehook = on_unraisable
    try:
        with _heard(handlers, lambda name: None, lambda name: _say_goodbye()):
            yield
    finally:
        sys.unraisablehook = usual


def exit_code(name: str) -> int:
    """Return the exit code of a program that a signal of this name has ended: 130 for Ctrl-C."""
    return 128 + signal.Signals[name]


# -- hearing ----------------------------------------------------------------------------------------------------


@contextmanager
def _heard(
    handlers: Mapping[signal.Signals, _Handler], on_first: Callable[[str], None], leave: Callable[[str], None]
) -> Iterator[None]:
    """Have handlers called in the main thread, unless signals are ignored, and the others in threads of their own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A shell that starts a program in the background, and nohup, have asked to ignore some.
    handlers = {number: one for number, one in handlers.items() if signal.getsignal(number) is not signal.SIG_IGN}
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    watching = threading.Thread(
        target=_watch, args=(receiver, frozenset(handlers), on_first, leave), name="signals", daemon=True
    )
    watching.start()
    descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    _open.append(watching)
    try:
        yield
    finally:
        _open.pop()
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        # A child that was forked may have the socket, too; closing it would not be noticed.
        sender.shutdown(socket.SHUT_RDWR)
        sender.close()
        watching.join()
        receiver.close()


def _watch(
    receiver: socket.socket,
    numbers: frozenset[int],
    on_first: Callable[[str], None],
    leave: Callable[[str], None],
) -> None:
    """Wait for signals until the other end of the socket is closed."""
    first = _next(receiver, numbers, None)
    if first is None:
        return
    name = signal.Signals(first).name
    _in_thread(on_first, name)
    heard = time.monotonic()
    while second := _next(receiver, numbers, max(heard + _PATIENCE - time.monotonic(), 1e-3)):
        if time.monotonic() > heard + _ECHO:
            break
    if second is None:
        return
    if not second:
        done = _in_thread(leave, name)
        done.wait(_LAST_WORDS)
    os._exit(128 + (second or first))


def _next(receiver: socket.socket, numbers: frozenset[int], timeout: float | None) -> int | None:
    """The next signal, 0 if there is none within so many seconds, None at the end."""
    receiver.settimeout(timeout)
    while True:
        try:
            received = receiver.recv(1)
        except TimeoutError:
            return 0
        if not received:
            return None
        if received[0] in numbers:
            return received[0]


def _in_thread(function: Callable[[str], None], name: str) -> threading.Event:
    """Call something that may block or raise, and return what is set when it is done."""
    done = threading.Event()

    def call() -> None:
        try:
            with suppress(Exception):
                function(name)
        finally:
            done.set()

    threading.Thread(target=call, name="signal", daemon=True).start()
    return done


#: The threads of all contexts that are open.
_open: list[threading.Thread] = []


def _forget() -> None:
    """In a process that was forked, give signals their usual meaning: they are not meant for the parent."""
    if _open:
        _open.clear()
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# -- what happens in the main thread ----------------------------------------------------------------------------


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Let the other thread do what is to be done."""


def _raise(number: int, frame: FrameType | None) -> None:
    """Interrupt the program; where it imports, Python would leave a traceback of its own, so it ends."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _say_goodbye()
            os._exit(128 + number)
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(number)


def _say_goodbye() -> None:
    """The last words of a program that has nothing to save."""
    # The terminal may be closed.
    with suppress(OSError):
        sys.stderr.write("\ninterrupted\n")
        sys.stderr.flush()
