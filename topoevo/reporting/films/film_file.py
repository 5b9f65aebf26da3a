"""Films as GIF files, and sheets with a few of their frames as PNG files."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.errors import ParamsError
from topoevo.reporting.atomic import write_atomically
from topoevo.reporting.films.frames import Frame, Viewer

if TYPE_CHECKING:
    from PIL.Image import Image

#: A longer film ends here: four minutes at twelve frames a second.
MAX_FRAMES = 3000

#: Pixels; wider pictures are reduced.
_MAX_WIDTH = 640
_NUM_COLORS = 64
_NUM_SAMPLES = 24  #: frames that the colors are chosen from
_SHEET_COLUMNS, _SHEET_ROWS, _SHEET_WIDTH, _SHEET_GAP = 3, 4, 420, 8


def check_film_path(path: Path) -> None:
    """Raise `ParamsError` if no film can be written there."""
    if path.suffix.lower() not in (".gif", ".png"):
        advice = ""
        if path.suffix.lower() in (".mp4", ".webm", ".mov", ".avi", ".mkv"):
            advice = f"; write a GIF and convert it: ffmpeg -i {path.stem}.gif -pix_fmt yuv420p {path.name}"
        raise ParamsError(f"--out: {str(path)!r} must end in .gif (a film) or .png (a sheet of 12 frames){advice}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"cannot be written: there is no folder {path.parent}"
        raise ParamsError(f"--out: {path} {problem}")


class FilmFile(Viewer):
    """Collects frames, and writes the file when all are there.

    Parameters
    ----------
    path
        File to write, ``.gif`` or ``.png``; replaced in one step.
    on_progress
        Told what is being done, with the part that is done, 0 … 1 or None.
    """

    def __init__(self, path: Path, on_progress: Callable[[str, float | None], None]) -> None:
        check_film_path(path)
        self._path, self._say = path, on_progress
        self._size = (0, 0)
        self._frames: list[bytes] = []
        self._hundredths: list[int] = []

    @property
    def num_frames(self) -> int:
        """Frames until now."""
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        """Whether further frames are left out."""
        return len(self._frames) >= MAX_FRAMES

    def show(self, frame: Frame, seconds: float) -> None:
        """See `Viewer.show`."""
        if self.is_full:
            return
        picture = frame.picture()
        if not self._frames:
            ratio = min(_MAX_WIDTH / picture.width, 1.0)
            self._size = round(picture.width * ratio), round(picture.height * ratio)
        if picture.size != self._size:
            picture = picture.resize(self._size)
        # Hundreds of frames would fill the memory; compressed they do not.
        self._frames.append(zlib.compress(picture.tobytes(), 1))
        self._hundredths.append(max(round(100 * seconds), 2))
        self._say("drawing", None)

    def close(self, *, completed: bool) -> None:
        """See `Viewer.close`."""
        if not completed or not self._frames:
            return
        content = self._gif() if self._path.suffix.lower() == ".gif" else self._sheet()
        try:
            write_atomically(self._path, content)
        except OSError as error:
            raise ParamsError(f"--out: cannot write {self._path}: {error.strerror}") from None

    def _frame(self, index: int) -> Image:
        """One of the collected frames."""
        from PIL import Image

        return Image.frombytes("RGB", self._size, zlib.decompress(self._frames[index]))

    def _spread(self, count: int) -> list[int]:
        """So many frames from the first to the last, or all."""
        last = len(self._frames) - 1
        return sorted({round(i * last / max(count - 1, 1)) for i in range(count)})

    def _gif(self) -> bytes:
        """The film with one palette for all frames, so that only what changes takes room."""
        from PIL import Image
        from PIL.Image import Dither, Quantize

        samples = self._spread(_NUM_SAMPLES)
        together = Image.new("RGB", (self._size[0], self._size[1] * len(samples)))
        for row, index in enumerate(samples):
            together.paste(self._frame(index), (0, row * self._size[1]))
        palette = together.quantize(_NUM_COLORS, Quantize.MEDIANCUT, dither=Dither.NONE)

        def reduced() -> Iterator[Image.Image]:
            for index in range(len(self._frames)):
                self._say("writing", index / len(self._frames))
                yield self._frame(index).quantize(palette=palette, dither=Dither.NONE)

        frames, content = reduced(), io.BytesIO()
        durations = [10 * h for h in self._hundredths]
        next(frames).save(content, "GIF", save_all=True, append_images=frames, loop=0, duration=durations)
        return content.getvalue()

    def _sheet(self) -> bytes:
        """Twelve frames of the film, in rows."""
        from PIL import Image
        from PIL.Image import Resampling

        chosen = self._spread(_SHEET_COLUMNS * _SHEET_ROWS)
        width = min(_SHEET_WIDTH, self._size[0])
        height = round(self._size[1] * width / self._size[0])
        rows = math.ceil(len(chosen) / _SHEET_COLUMNS)
        size = _SHEET_COLUMNS * (width + _SHEET_GAP) - _SHEET_GAP, rows * (height + _SHEET_GAP) - _SHEET_GAP
        sheet = Image.new("RGB", size, "#bdbdbd")
        for place, index in enumerate(chosen):
            left, top = place % _SHEET_COLUMNS * (width + _SHEET_GAP), place // _SHEET_COLUMNS * (height + _SHEET_GAP)
            sheet.paste(self._frame(index).resize((width, height), Resampling.LANCZOS), (left, top))
        content = io.BytesIO()
        sheet.save(content, "PNG", optimize=True)
        return content.getvalue()
