"""Films in a window."""

from __future__ import annotations

import os
import sys
import time

from topoevo.reporting.films.frames import Frame, Viewer


class NoWindowError(Exception):
    """A window cannot be opened; the message says why."""


class WindowClosedError(Exception):
    """The window was closed by its user."""


def has_display() -> bool:
    """Return whether there may be a screen for windows."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window(Viewer):
    """Shows frames in a window; space pauses, q and Escape close it.

    Parameters
    ----------
    title
        Of the window.

    Raises
    ------
    NoWindowError
        If there is no screen, or Python has come without tkinter.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter

            from PIL import ImageTk

            self._root = tkinter.Tk()
        except ImportError as error:
            raise NoWindowError(f"Python's tkinter is not installed ({error})") from None
        except tkinter.TclError as error:
            raise NoWindowError(str(error)) from None
        self._to_photo = ImageTk.PhotoImage
        self._is_open, self._is_paused = True, False
        self._root.title(title)
        self._root.resizable(False, False)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._root.protocol("WM_DELETE_WINDOW", self._leave)
        for key in ("q", "<Escape>"):
            self._root.bind(key, lambda event: self._leave())
        self._root.bind("<space>", lambda event: self._pause())
        self._due = time.monotonic()

    def show(self, frame: Frame, seconds: float) -> None:
        """See `Viewer.show`.

        Raises
        ------
        WindowClosedError
            If the user has closed the window.
        """
        photo = self._to_photo(frame.picture(), master=self._root)
        self._label.configure(image=photo)
        self._due = max(self._due, time.monotonic() - seconds) + seconds
        # Events are handled here instead of in tkinter's loop, which would keep Ctrl-C to itself.
        while True:
            self._root.update()
            if not self._is_open:
                raise WindowClosedError
            left = self._due - time.monotonic()
            if left <= 0.0 and not self._is_paused:
                break
            time.sleep(min(max(left, 0.01), 0.02))
        self._shown = photo

    def close(self, *, completed: bool) -> None:
        """See `Viewer.close`."""
        self._root.destroy()

    def _leave(self) -> None:
        """Remember that the window is to be closed."""
        self._is_open = False

    def _pause(self) -> None:
        """Stop, or go on."""
        self._is_paused = not self._is_paused
