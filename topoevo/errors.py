"""Errors that a user can cause, each told in one plain message.

The command line turns every `TopoevoError` into that message and exit code 2, without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

#: Nothing that is longer is a name with a mistake in it.
_LONGEST_NAME = 200
#: Of messages that are not ours, more is not repeated.
_LONGEST_LINE = 1000


class TopoevoError(Exception):
    """Something outside the program is wrong: a setting, a file, the data or an argument."""


class ParamsError(TopoevoError):
    """Settings are unknown, of the wrong type, out of range, or contradict each other.

    Parameters
    ----------
    message
        One line for every problem.
    usable
        The settings without those that are wrong, so that files and data can be checked too; None if there are none.
    """

    def __init__(self, message: str, usable: Any = None) -> None:
        super().__init__(message)
        self.usable = usable


class UnknownNameError(TopoevoError):
    """A name is in no registry.

    Parameters
    ----------
    kind
        What was looked for, for example ``"learning rule"``.
    name
        The name that was received.
    known
        The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, known)} (known: {', '.join(known) or 'none'})")
        self.kind = kind
        self.name = name
        self.known = known


class GenomeError(TopoevoError):
    """A genome is not a legal feed-forward graph, or an edit would make it illegal."""


class KernelError(TopoevoError):
    """A computation backend is missing, or cannot run what was asked of it."""


class TaskError(TopoevoError):
    """A data set or environment is missing, corrupt, or does not fit the settings."""


class NetworkFileError(TopoevoError):
    """A network file is not readable as a topoevo network."""


class WorkerError(TopoevoError):
    """A worker process ended before its work was done."""


class CheckpointError(TopoevoError):
    """A checkpoint or run directory cannot be written or continued from."""


def in_one_line(error: BaseException) -> str:
    """Return the class and the first line of an error that is not ours, which may be of any kind and length."""
    try:
        lines = str(error).splitlines()
    except Exception:  # Its class may be as faulty as what raised it.
        lines = ["no readable message"]
    line = lines[0] if lines else "no message"
    return f"{type(error).__name__}: {line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + ' ...'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known name, or an empty string."""
    if len(name) > _LONGEST_NAME:
        return ""
    closest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {closest[0]!r}?" if closest else ""
