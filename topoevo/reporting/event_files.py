"""Files of TensorBoard's events: writing them, and forgetting what happens again after a resume."""

from __future__ import annotations

import importlib
import os
import struct
import sys
import threading
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from topoevo.disk import replaced_file

#: How TensorBoard knows files of events; a file that is being replaced must not be called so.
_PATTERN, _NEW = "*.tfevents.*", "events.new"
#: What stands before the content of a record, its length and a checksum, and the bytes of the checksum that follows.
_HEAD, _CHECKSUM = struct.Struct("<QI"), 4


def event_writer(folder: Path, suffix: str) -> Any:
    """Return a new file of events; what it was given is on the disk after its ``flush``.

    Parameters
    ----------
    folder
        Where; it is made if it is missing.
    suffix
        End of the file's name, which has only the second in it.
    """
    load_tensorboardx()
    # The usual class, EventFileWriter, hands events to a thread: those that are still on their way when the process is
    # killed are lost, and errors are never heard of.
    from tensorboardX.event_file_writer import EventsWriter

    folder.mkdir(exist_ok=True)
    return EventsWriter(os.path.join(folder, "events"), suffix)


def read_events(path: Path) -> Iterator[tuple[bytes, Any]]:
    """Yield the records of a file of events as they are stored, and the event of each.

    Parameters
    ----------
    path
        The file. A record that is damaged or not complete ends it; its event is None.
    """
    load_tensorboardx()
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    content = memoryview(path.read_bytes())
    start = 0
    while start < len(content):
        event = None
        head = content[start : start + _HEAD.size]
        end = len(content) + 1
        if len(head) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if masked_crc32c(bytes(head[:8])) == checksum:
                end = start + _HEAD.size + length + _CHECKSUM
        if end <= len(content):
            try:
                event = Event.FromString(bytes(content[start + _HEAD.size : end - _CHECKSUM]))
            except Exception:  # The class belongs to one of several implementations of protocol buffers.
                end = len(content) + 1
        yield bytes(content[start:end]), event
        start = end


def forget_events(folder: Path, first: int) -> str | None:
    """Delete the events of all steps from `first` on, and what a killed process has left half-written.

    Parameters
    ----------
    folder
        Folder of the events.
    first
        The first step that happens again.

    Returns
    -------
    str or None
        The last text of the settings that is left.
    """
    settings = None
    for path in sorted(folder.glob(_PATTERN)):
        kept, is_whole, shows_something = [], True, False
        for record, event in read_events(path):
            if event is None or (event.step >= first and not event.HasField("file_version")):
                is_whole = False
                continue
            kept.append(record)
            shows_something |= event.HasField("summary")
            for value in event.summary.value:
                if value.tag.startswith("params/") and value.tensor.string_val:
                    settings = value.tensor.string_val[0].decode(errors="replace")
        if not shows_something:
            path.unlink()
        elif not is_whole:
            with replaced_file(folder / _NEW, durable=True) as file:
                file.writelines(kept)
            os.replace(folder / _NEW, path)
    return settings


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
