"""Films in a terminal, on a screen of their own that is gone afterwards."""

from __future__ import annotations

import time
from typing import TextIO

from topoevo.reporting.films.frames import Frame, Viewer

#: Frames in a second that a slow connection still carries.
MAX_FPS = 15.0


class Terminal(Viewer):
    """Shows frames in a terminal.

    Parameters
    ----------
    stream
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._live.start()
        self._due = time.monotonic()

    def show(self, frame: Frame, seconds: float) -> None:
        """See `Viewer.show`."""
        size = self._console.size
        # The last column stays free: some terminals begin a new line there.
        self._live.update(frame.text(max(size.width - 1, 1), size.height), refresh=True)
        self._due = max(self._due, time.monotonic() - seconds) + seconds
        time.sleep(max(self._due - time.monotonic(), 0.0))

    def close(self, *, completed: bool) -> None:
        """See `Viewer.close`."""
        self._live.stop()
