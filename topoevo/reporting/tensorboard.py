"""An observer that writes events for TensorBoard."""

from __future__ import annotations

import importlib
import math
import struct
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topoevo.experiment.records import EpochRecord, GenerationRecord, Observer, Outcome, Run
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

    Notes
    -----
    The set of tags does not grow with the generations or epochs. After a resume, what was written of those that run
    again is purged. Scores at the end of the run stand at the step after the last generation or epoch.
    """

    def __init__(self, folder: Path, *, picture: Path | None = None) -> None:
        self._folder = folder
        self._picture = picture
        self._picture_time: int | None = None
        self._writer: Any = None

    def on_start(self, run: Run) -> None:
        """Open a file of events, and write the settings."""
        load_tensorboardx()
        from tensorboardX.event_file_writer import EventFileWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # Generations count from 0, epochs from 1.
        first = run.num_done if run.params.evolves or not run.num_done else run.num_done + 1
        # File names have only the second in them: the suffix keeps a resumed run from replacing an earlier file.
        self._writer = EventFileWriter(str(self._folder), filename_suffix=f".{first:06d}")
        if first:
            # The version event makes TensorBoard look at session starts at all.
            self._add(Event(step=first, file_version="brain.Event:2"))
            self._add(Event(step=first, session_log=SessionLog(status=SessionLog.START)))
        self._write_settings(run.params, first)
        self._writer.flush()

    def on_generation(self, record: GenerationRecord) -> None:
        """Write all measures of a generation."""
        from tensorboardX import summary

        step = record.generation
        self._write_scalars(MEASURES, measures_of(record), step)
        members = record.population.members
        connections = [member.genome.complexity.connections for member in members]
        for name, values in (("accuracy", accuracies(members)), ("connections", connections)):
            if values:
                self._write(summary.histogram(f"population/{name}", values, bins="auto", max_bins=60), step)
        self._write_picture(step)
        # An event that is still in memory when the process is killed would be missing after a resume.
        self._writer.flush()

    def on_epoch(self, record: EpochRecord) -> None:
        """Write all measures of an epoch."""
        self._write_scalars(EPOCH_MEASURES, measures_of_epoch(record), record.epoch)
        self._writer.flush()

    def on_end(self, outcome: Outcome) -> None:
        """Write the champion's final scores, and close the file."""
        from tensorboardX import summary

        if self._writer is None:
            return
        step = outcome.generations if outcome.epochs is None else outcome.epochs + 1
        if outcome.champion is not None:
            self._write_scalars(MEASURES, champion_measures(outcome.champion), step)
            self._write_picture(step)
        self._write(summary.hparams({}, {})[2], step)
        self._writer.close()

    def _write_settings(self, params: Params, step: int) -> None:
        """Settings as text, and as hyperparameters of this same run (`add_hparams` would make another one)."""
        from tensorboardX import summary

        self._write(summary.text("params", "```yaml\n" + params.to_yaml() + "```"), step)
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
        self._picture_time = changed
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
        self._writer.add_event(event)


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
    load_tensorboardx()
    from tensorboardX.event_file_writer import EventFileWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    earlier = list(folder.glob(f"*{suffix}"))
    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    writer.add_event(Event(summary=summary, step=step, wall_time=time.time()))
    writer.close()
    written = set(folder.glob(f"*{suffix}")) - set(earlier)
    if written:
        for path in earlier:
            path.unlink(missing_ok=True)


class _Missing(MetaPathFinder):
    """To the thread that makes it, a module is not installed; it is to all others."""

    def __init__(self, name: str) -> None:
        self._name, self._thread = name, threading.get_ident()

    def find_spec(self, name: str, *_: object) -> None:
        """Raise for that module, and leave everything else to the next finder."""
        if name == self._name and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)


def load_tensorboardx() -> None:
    """Import tensorboardX without torch, which it loads wherever it is installed: 190 MB and 1.6 s for nothing."""
    missing = _Missing("torch")
    # New lists, since another thread that is importing may be going through the present one.
    sys.meta_path = [missing, *sys.meta_path]
    try:
        importlib.import_module("tensorboardX")
    finally:
        sys.meta_path = [finder for finder in sys.meta_path if finder is not missing]
