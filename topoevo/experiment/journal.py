"""Finished evaluations of the generation under way, on the disk, so that an interruption does not repeat them.

A journal is text, one record a line, each behind a hash of itself; the first record says what file it is. It lies
beside the checkpoints and goes with the last checkpoint that could lead to its generation.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import math
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from topoevo.disk import sync_folder
from topoevo.evolution import Evaluation
from topoevo.evolution.moments import Moments
from topoevo.genome import Genome
from topoevo.seeds import Stream
from topoevo.variation.evidence import EVIDENCE_DTYPES, Evidence

FORMAT = "topoevo-journal"
VERSION = 5
#: Evaluations are on the disk about this long after they are finished; shorter generations never get there.
SECONDS_BETWEEN_WRITES = 1.0
#: Letters that a line may have for every connection gene (weights, evidence and moments have 106) and node gene, and
#: besides; longer reports of failures are not kept.
_A_CONNECTION, _A_NODE, _MAX_WORDS = 112, 24, 1 << 20
#: Places besides those of the population that a journal may hold.
_MAX_INDEX = 16


@dataclass(frozen=True)
class Place:
    """Where the random numbers of an evaluation come from, within a generation.

    Parameters
    ----------
    stream, index
        Part of their address.
    num_epochs
        Of a training that has another length than those of a generation; else 0.
    decay_factor
        Times the weight decay of the settings, which may change when a run goes on.
    """

    stream: Stream
    index: int
    num_epochs: int = 0
    decay_factor: float = 1.0


class Journal:
    """The evaluations of one generation as they come, and those of an earlier process.

    Parameters
    ----------
    folder
        Where checkpoints lie; None keeps nothing.
    generation
        Number of the generation.
    genomes
        Its members, which bound what is read.
    say
        Told what is wrong with the file of an earlier process, or why none can be written.

    Attributes
    ----------
    seconds
        Duration of the run when the last evaluation of an earlier process was finished; 0 if there is none.
    """

    def __init__(
        self, folder: Path | None, generation: int, genomes: Sequence[Genome], *, say: Callable[[str], None]
    ) -> None:
        self.seconds = 0.0
        self._say = say
        self._generation = generation
        self._path = None if folder is None else path_of(folder, generation)
        self._place = None if folder is None else _place_of(folder)
        self._file: IO[bytes] | None = None
        self._found: dict[Place, tuple[str, Evaluation]] = {}
        self._waiting: list[tuple[Place, Genome, Evaluation, float]] = []
        self._next_write = time.monotonic() + SECONDS_BETWEEN_WRITES
        #: Bytes of the file that are right; what follows is replaced.
        self._length = 0
        if self._path is not None and self._path.is_file():
            self._read(self._path, genomes)

    def known(self, place: Place, genome: Genome) -> Evaluation | None:
        """Return the evaluation of a genome by an earlier process, or None."""
        digest, evaluation = self._found.get(place, ("", None))
        if evaluation is None or digest != genome.digest:
            return None
        parts = (evaluation.weights, evaluation.removed)
        return evaluation if all(part is None or len(part) == len(genome.connections) for part in parts) else None

    def known_members(self, genomes: Sequence[Genome]) -> dict[int, Evaluation]:
        """Return evaluations of members of the generation by an earlier process, by their place in it."""
        places = [place for place in self._found if place == Place(Stream.LEARNING, place.index)]
        found = {
            place.index: self.known(place, genomes[place.index]) for place in sorted(places, key=lambda one: one.index)
        }
        return {index: evaluation for index, evaluation in found.items() if evaluation is not None}

    def add(self, place: Place, genome: Genome, evaluation: Evaluation, *, seconds: float) -> None:
        """Keep an evaluation, in memory until the next `save`.

        Parameters
        ----------
        place, genome, evaluation
            What was evaluated, and the outcome.
        seconds
            Duration of the run until now.
        """
        if self._path is not None:
            self._waiting.append((place, genome, evaluation, seconds))

    def save(self, *, now: bool = False) -> None:
        """Write what waits if it has waited long enough, or `now`."""
        if not self._waiting or not (now or time.monotonic() >= self._next_write):
            return
        assert self._path is not None
        content = b"".join(
            line for waiting in self._waiting if len(line := _line(_record(*waiting))) < _limit(waiting[1])
        )
        self._waiting.clear()
        try:
            if self._file is None:
                self._file = self._opened(self._path)
            self._file.write(content)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self.close()
            self._path = None
            self._say(f"what is evaluated cannot be kept until the next checkpoint: {error.strerror or error}")
        self._next_write = time.monotonic() + SECONDS_BETWEEN_WRITES

    def close(self) -> None:
        """Close the file; what waits is given up."""
        self._waiting.clear()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def delete(self) -> None:
        """Close and delete the file."""
        self.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _opened(self, path: Path) -> IO[bytes]:
        """The file, whose end is that of the last record that is right."""
        if _place_of(path.parent) != self._place:
            raise OSError(errno.ESTALE, "its folder was deleted, moved or replaced")
        file = path.open("r+b" if self._length else "wb")
        file.truncate(self._length)
        file.seek(self._length)
        if not self._length:
            file.write(_line(self._head))
            sync_folder(path.parent)
        return file

    @property
    def _head(self) -> dict[str, Any]:
        """The first record."""
        return {"format": FORMAT, "version": VERSION, "generation": self._generation}

    def _read(self, path: Path, genomes: Sequence[Genome]) -> None:
        """Take over what an earlier process has written, up to the first record that is not right."""
        limit = max(map(_limit, genomes), default=0)
        try:
            with path.open("rb") as file:
                while line := file.readline(limit):
                    if len(line) < limit and not line.endswith(b"\n"):
                        break  # The process was killed while it wrote.
                    record = _content(line)
                    if self._length:
                        self._take(record, len(genomes))
                    elif isinstance(record, dict) and self._is_of_another_version(record):
                        self._say(f"{path} is of another version of topoevo; what it holds is evaluated again")
                        return
                    elif record != self._head:
                        raise ValueError("it is not the journal of this generation and version")
                    self._length = file.tell()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._say(f"warning: {path} is damaged; {len(self._found)} evaluations before that are used ({error})")

    @staticmethod
    def _is_of_another_version(head: dict[str, Any]) -> bool:
        """Whether the first record is that of a sound journal which this version does not read."""
        return head.get("format") == FORMAT and head.get("version") != VERSION

    def _take(self, record: dict[str, Any], size: int) -> None:
        """Take over one record."""
        factor = _number(record["decay_factor"])
        place = Place(Stream[record["stream"]], record["index"], record["num_epochs"], factor)
        most = _MAX_INDEX if place.stream is Stream.CONFIRMATION else size
        is_address = type(place.index) is int and type(place.num_epochs) is int
        is_address = is_address and math.isfinite(factor)
        if not is_address or not 0 <= place.index < most or len(self._found) >= size + _MAX_INDEX:
            raise ValueError("there is no such individual")
        accuracy, weights = record["accuracy"], record["weights"]
        evaluation = Evaluation(
            reward=_number(record["reward"]),
            best_reward=_number(record["best_reward"]),
            accuracy=None if accuracy is None else _number(accuracy),
            weights=None if weights is None else _weights(weights),
            seconds=_number(record["seconds"]),
            failure=record["failure"],
            removed=None if (removed := record["removed"]) is None else _mask(removed),
            evidence=None if (evidence := record["evidence"]) is None else _evidence(evidence),
            rung=None if record["rung"] is None else _count(record["rung"]),
            num_saved=_count(record["num_saved"]),
            sample_passes=_count(record["sample_passes"]),
            moments=None if (moments := record.get("moments")) is None else moments_of_record(moments),
        )
        if not isinstance(evaluation.failure, str | None) or not isinstance(record["genome"], str):
            raise ValueError("a reason or digest is no text")
        # An endless run would be saved, and never be read again.
        if not 0 <= (seconds := _number(record["run_seconds"])) < math.inf:
            raise ValueError("a duration is none")
        self._found[place] = (record["genome"], evaluation)
        self.seconds = max(self.seconds, seconds)


def _place_of(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another one of the same name."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def path_of(folder: Path, generation: int) -> Path:
    """Return where the journal of a generation lies."""
    return folder / f"journal-{generation:06d}.jsonl"


def delete_journals(folder: Path, *, before: int | None = None) -> None:
    """Delete the journals of generations that no checkpoint leads to any more.

    Parameters
    ----------
    folder
        Where checkpoints lie.
    before
        The first generation whose journal stays; None deletes all.
    """
    for path in folder.glob("journal-*.jsonl"):
        number = path.stem.removeprefix("journal-")
        if number.isdecimal() and (before is None or int(number) < before):
            with contextlib.suppress(OSError):
                path.unlink()


def _record(place: Place, genome: Genome, evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    """An evaluation as JSON, every number bit for bit."""
    weights, moments = evaluation.weights, evaluation.moments
    return {
        "stream": place.stream.name,
        "index": place.index,
        "num_epochs": place.num_epochs,
        "decay_factor": _bits(place.decay_factor),
        "genome": genome.digest,
        "reward": _bits(evaluation.reward),
        "best_reward": _bits(evaluation.best_reward),
        "accuracy": None if evaluation.accuracy is None else _bits(evaluation.accuracy),
        "seconds": _bits(evaluation.seconds),
        "failure": evaluation.failure,
        "weights": None if weights is None else _text(weights.astype("<f4")),
        "removed": None if evaluation.removed is None else _text(evaluation.removed),
        "evidence": None
        if evaluation.evidence is None
        else {
            field.name: _text(array.astype(array.dtype.newbyteorder("<")))
            for field in fields(evaluation.evidence)
            for array in (getattr(evaluation.evidence, field.name),)
        },
        "rung": evaluation.rung,
        "num_saved": evaluation.num_saved,
        "sample_passes": evaluation.sample_passes,
        **({} if moments is None else {"moments": moments_record(moments)}),
        "run_seconds": _bits(seconds),
    }


def _limit(genome: Genome) -> int:
    """Letters that a record of this genome may have."""
    return _MAX_WORDS + _A_CONNECTION * len(genome.connections) + _A_NODE * len(genome.nodes)


def _line(record: dict[str, Any]) -> bytes:
    """A record behind its hash."""
    text = json.dumps(record).encode()
    return _hash(text) + b" " + text + b"\n"


def _content(line: bytes) -> dict[str, Any]:
    """The record in a line."""
    check, _, text = line.rstrip(b"\n").partition(b" ")
    if check != _hash(text):
        raise ValueError("a record is not what was written")
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("a record is not what was written")
    return record


def _hash(text: bytes) -> bytes:
    """Eight bytes in hexadecimal digits."""
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()


def _bits(number: float) -> str:
    """The bits of a number in hexadecimal digits; those of every NaN, too."""
    return struct.pack(">d", number).hex()


def _number(bits: str) -> float:
    """The number with these bits."""
    content = bytes.fromhex(bits)
    if len(content) != 8:
        raise ValueError("a number is none")
    number: float = struct.unpack(">d", content)[0]
    return number


def _count(value: Any) -> int:
    """A whole number, at least 0."""
    if type(value) is not int or value < 0:
        raise ValueError("a count is none")
    return value


def _text(array: NDArray[Any]) -> str:
    """The bytes of an array as text."""
    return base64.b64encode(array.tobytes()).decode()


def _mask(text: str) -> NDArray[np.bool_]:
    """The truth values in a record."""
    values = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if (values > 1).any():
        raise ValueError("a truth value is none")
    return values.astype(np.bool_)


def _evidence(record: dict[str, str]) -> Evidence:
    """The evidence in a record."""
    columns = {
        field.name: np.frombuffer(
            base64.b64decode(record[field.name], validate=True), np.dtype(dtype).newbyteorder("<")
        )
        for field, dtype in zip(fields(Evidence), EVIDENCE_DTYPES, strict=True)
    }
    return Evidence(**columns)


def moments_record(moments: Moments) -> dict[str, Any]:
    """Return moments as JSON values, bit for bit."""
    columns = {name: getattr(moments, name) for name in ("innovation", "first", "second")}
    return {
        "steps": moments.steps,
        **{name: _text(array.astype(array.dtype.newbyteorder("<"))) for name, array in columns.items()},
    }


def moments_of_record(record: dict[str, Any]) -> Moments:
    """Return the moments that `moments_record` has put down.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are none.
    """
    innovation = np.frombuffer(base64.b64decode(record["innovation"], validate=True), "<i4").astype(np.int32)
    first, second = _weights(record["first"]), _weights(record["second"])
    if not len(innovation) == len(first) == len(second) or (np.diff(innovation) <= 0).any():
        raise ValueError("moments are none")
    return Moments(innovation, first, second, _count(record["steps"]))


def _weights(text: str) -> NDArray[np.float32]:
    """The weights in a record."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
