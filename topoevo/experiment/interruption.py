"""How a run is asked to stop, and how it does."""

from __future__ import annotations


class Interrupted(BaseException):
    """The user or the system has asked the run to stop; raised where nothing is half done.

    Parameters
    ----------
    reason
        What happened, in a few words.
    """


class StopRequest:
    """Whether a run was asked to stop; may be set from a signal handler or another thread.

    Attributes
    ----------
    reason
        What happened, in a few words; empty until then.
    """

    def __init__(self) -> None:
        self.reason = ""

    def check(self) -> None:
        """Raise `Interrupted` if the run was asked to stop."""
        if self.reason:
            raise Interrupted(self.reason)
