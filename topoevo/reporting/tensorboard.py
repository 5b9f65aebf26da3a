"""An observer that writes events for TensorBoard."""

from __future__ import annotations

import contextlib
import math
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topoevo.disk import cannot_write
from topoevo.experiment.records import EpochRecord, GenerationRecord, Observer, Outcome, Run
from topoevo.reporting.event_files import event_writer, forget_events
from topoevo.reporting.measures import (
    EPOCH_MEASURES,
    MEASURES,
    accuracies,
    champion_measures,
    measures_of,
    measures_of_epoch,
)

if TYPE_CHECKING:
    from topoevo.experiment.params import Params

#: What the table of hyperparameters compares runs by.
_COMPARED = ("champion/test_accuracy", "champion/test_reward", "champion/connections", "best/reward")


class TensorBoardObserver(Observer):
    """Write scalars, histograms, settings and the champion's picture; the step is the generation, or the epoch.

    Parameters
    ----------
    folder
        Folder of the events.
    picture
        PNG file that another observer draws, earlier in the list; shown whenever it has changed.
    warn
        Is told in one line if events cannot be written; the run goes on without.

    Notes
    -----
    The set of tags does not grow with the generations or epochs. After a resume, what was written of those that run
    again is deleted. Scores at the end of the run stand at the step after the last generation or epoch. The events of a
    generation are on the disk before its checkpoint.
    """

    def __init__(self, folder: Path, *, picture: Path | None = None, warn: Callable[[str], None] | None = None) -> None:
        self._folder = folder
        self._picture = picture
        self._warn = warn
        self._picture_time: int | None = None
        self._next_picture = 0.0
        self._writer: Any = None

    def on_start(self, run: Run) -> None:
        """Open a file of events, forget what will happen again, and write the settings if they are others."""
        # Generations count from 0, epochs from 1.
        first = run.num_done if run.params.evolves or not run.num_done else run.num_done + 1
        with self._writing():
            before = forget_events(self._folder, first)
            writer = event_writer(self._folder, f".{first:06d}")
            from tensorboardX.proto.event_pb2 import Event, SessionLog

            self._writer = writer
            if first:
                # TensorBoard may have read what is deleted now. The version makes it look at session starts at all.
                self._add(Event(step=first, file_version="brain.Event:2"))
                self._add(Event(step=first, session_log=SessionLog(status=SessionLog.START)))
            settings = _text_of(run.params)
            if settings != before:
                self._write_settings(run.params, settings, first)
            self._writer.flush()

    def on_generation(self, record: GenerationRecord) -> None:
        """Write all measures of a generation."""
        if self._writer is None:
            return
        from tensorboardX import summary

        step = record.generation
        members = record.population.members
        connections = [member.genome.complexity.connections for member in members]
        with self._writing():
            self._write_scalars(MEASURES, measures_of(record), step)
            for name, values in (("accuracy", accuracies(members)), ("connections", connections)):
                if values:
                    self._write(summary.histogram(f"population/{name}", values, bins="auto", max_bins=60), step)
            # Pictures are megabytes, and TensorBoard shows few of many: some forty for ten times the generations.
            if step >= self._next_picture:
                self._write_picture(step)
            self._writer.flush()

    def on_epoch(self, record: EpochRecord) -> None:
        """Write all measures of an epoch."""
        if self._writer is None:
            return
        with self._writing():
            self._write_scalars(EPOCH_MEASURES, measures_of_epoch(record), record.epoch)
            self._writer.flush()

    def on_end(self, outcome: Outcome) -> None:
        """Write the champion's final scores, and close the file."""
        if self._writer is None:
            return
        from tensorboardX import summary

        step = outcome.generations if outcome.epochs is None else outcome.epochs + 1
        with self._writing():
            if outcome.champion is not None:
                self._write_scalars(MEASURES, champion_measures(outcome.champion), step)
                self._write_picture(step)
            self._write(summary.hparams({}, {})[2], step)
            self._writer.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Give up, and say why, if events cannot be written."""
        try:
            yield
        except OSError as error:
            self._writer = None
            if self._warn is not None:
                self._warn(f"warning: {cannot_write(self._folder, error)}; the run goes on without TensorBoard")

    def _write_settings(self, params: Params, text: str, step: int) -> None:
        """Settings as text, and as hyperparameters of this same run (`add_hparams` would make another one)."""
        from tensorboardX import summary

        self._write(summary.text("params", text), step)
        # TensorBoard complains about infinity.
        values = {name: str(one) if one == math.inf else one for name, one in params.model_dump().items()}
        shown = {name: one for name, one in values.items() if isinstance(one, (bool, int, float, str))}
        lists = {name: " ".join(map(str, one)) for name, one in values.items() if isinstance(one, (list, tuple))}
        for part in summary.hparams({**shown, **lists}, dict.fromkeys(_COMPARED))[:2]:
            self._write(part, step)

    def _write_scalars(self, names: Iterable[str], measures: Mapping[str, float | None], step: int) -> None:
        """Write the measures that are known."""
        from tensorboardX.proto.summary_pb2 import Summary

        known = [(name, measures.get(name)) for name in names]
        values = [Summary.Value(tag=name, simple_value=value) for name, value in known if value is not None]
        self._write(Summary(value=values), step)

    def _write_picture(self, step: int) -> None:
        """The picture as it lies on the disk, if it is a new one."""
        from tensorboardX.proto.summary_pb2 import Summary

        if self._picture is None or not self._picture.exists():
            return
        changed = self._picture.stat().st_mtime_ns
        if changed == self._picture_time:
            return
        self._picture_time, self._next_picture = changed, 1.06 * step
        png = self._picture.read_bytes()
        # The header of a PNG file begins with its size.
        width, height = struct.unpack(">II", png[16:24])
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
        self._write(Summary(value=[Summary.Value(tag="champion/picture", image=image)]), step)

    def _write(self, content: Any, step: int) -> None:
        """Write a summary."""
        from tensorboardX.proto.event_pb2 import Event

        self._add(Event(summary=content, step=step))

    def _add(self, event: Any) -> None:
        """Write an event, with the time."""
        event.wall_time = time.time()
        self._writer.write_event(event)


def _text_of(params: Params) -> str:
    """The settings as TensorBoard shows them."""
    return "```yaml\n" + params.to_yaml() + "```"


def write_image(folder: Path, tag: str, png: bytes, *, step: int, suffix: str) -> None:
    """Write an image to a file of events of its own, in place of an earlier one with this suffix.

    Parameters
    ----------
    folder
        Folder of the events.
    tag, step
        Where TensorBoard shows it.
    png
        Content of a PNG file.
    suffix
        End of the file's name.
    """
    earlier = list(folder.glob(f"*{suffix}"))
    writer = event_writer(folder, suffix)
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    writer.write_event(Event(summary=summary, step=step, wall_time=time.time()))
    writer.close()
    written = set(folder.glob(f"*{suffix}")) - set(earlier)
    if written:
        for path in earlier:
            path.unlink(missing_ok=True)
