"""What goes to other machines: samples once, the conditions of a generation once, and for every portion its genomes.

Nothing here knows an engine. A parcel names its conditions, and conditions name their samples; how a worker comes by
what it lacks is the engine's business.
"""

from __future__ import annotations

import faulthandler
import io
import os
import pickle
import platform
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib import metadata
from typing import Any

from topoevo import __version__
from topoevo.evolution import Evaluation
from topoevo.experiment.problem import Conditions, Evaluator, Leg
from topoevo.experiment.workers.engine import Lost, Portion
from topoevo.genome import Genome
from topoevo.seeds import Stream
from topoevo.tasks.task import Samples

#: Packages that decide the bytes of a result.
_LIBRARIES = ("numpy", "numba", "llvmlite", "torch", "gymnasium")
#: Conditions that a worker keeps: those of a generation, and of what is done between two.
_NUM_KEPT = 2
#: A worker that ends itself leaves its last answer so much time to travel, in seconds.
_SECONDS_TO_ANSWER = 1.0


@dataclass(frozen=True)
class Versions:
    """What the bytes of an evaluation depend on, besides the settings.

    Parameters
    ----------
    topoevo
        Version of this package; others cannot work for it.
    others
        Names and versions of the interpreter, the machine and the libraries.
    """

    topoevo: str
    others: tuple[tuple[str, str], ...]

    def differences(self, there: Versions) -> str:
        """Return what is different elsewhere, in words; empty if nothing is.

        Parameters
        ----------
        there
            Versions of a worker.
        """
        others = dict(there.others)
        found = [(name, mine, others.get(name, "none")) for name, mine in self.others]
        return ", ".join(f"{name} {theirs} instead of {mine}" for name, mine, theirs in found if mine != theirs)


@cache
def versions_here() -> Versions:
    """Return the versions of this process.

    Of the processor it matters whether it multiplies and adds in one step; how wide its registers are does not.
    """
    from llvmlite.binding import get_host_cpu_features

    return Versions(
        __version__,
        (
            ("python", ".".join(platform.python_version_tuple()[:2])),
            ("machine", platform.machine()),
            ("fused multiply-add", "yes" if get_host_cpu_features().get("fma") else "no"),
            *((name, _version(name)) for name in _LIBRARIES),
        ),
    )


def _version(package: str) -> str:
    """Version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


@dataclass(frozen=True, eq=False)
class Parcel:
    """What is particular to a portion.

    Parameters
    ----------
    conditions
        Name of the conditions, which come by themselves.
    genomes, indices, stream, generation
        As in `Portion`.
    sender
        Versions of the parent process.
    timeout
        Seconds that the evaluations may take together; None is for ever.
    legs
        As in `Portion`.
    """

    conditions: str
    genomes: tuple[Genome, ...]
    indices: tuple[int, ...]
    stream: Stream
    generation: int
    sender: Versions
    timeout: float | None = None
    legs: Mapping[int, Leg] = field(default_factory=dict)


@dataclass(frozen=True)
class Missing:
    """The worker lacks the samples; it has been started anew, or has just come."""


@dataclass(frozen=True)
class Foreign:
    """The worker has another version of this package, and has computed nothing."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a worker sends back.

    Parameters
    ----------
    content
        Pairs of index and evaluation, or why there are none.
    versions
        Those of the worker.
    """

    content: list[tuple[int, Evaluation]] | Lost | Missing | Foreign
    versions: Versions


@dataclass(frozen=True, eq=False)
class Packed:
    """Evaluator and conditions of a generation, without their samples.

    Parameters
    ----------
    name
        Unique in this and all other processes.
    content
        A pickle in which samples are represented by their names.
    samples
        The samples by their names.
    """

    name: str
    content: bytes
    samples: dict[str, Samples]


@dataclass
class Packing:
    """Packs conditions, each once as long as they are the same.

    Samples are known by their content: runs on the same data share them, on a cluster that they share.
    """

    _last: tuple[object, object, Packed] | None = None
    _samples: dict[str, Samples] = field(default_factory=dict)

    def pack(self, evaluator: Evaluator[Any], shared: Conditions) -> Packed:
        """Return the conditions packed.

        Parameters
        ----------
        evaluator, shared
            As in `Portion`; packed again only if they are other objects than the last time.
        """
        if self._last is None or self._last[0] is not evaluator or self._last[1] is not shared:
            self._last = evaluator, shared, self._packed(evaluator, shared)
        return self._last[2]

    def _packed(self, evaluator: Evaluator[Any], shared: Conditions) -> Packed:
        """See `pack`."""
        # Classes of a script that was started as a program travel with what they make.
        from cloudpickle import CloudPickler

        buffer, named = io.BytesIO(), {}
        pickler = CloudPickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)

        def name_of(thing: object) -> str | None:
            if not isinstance(thing, Samples):
                return None
            name = self._name_of(thing)
            named[name] = thing
            return name

        pickler.persistent_id = name_of
        pickler.dump((evaluator, shared))
        self._samples = named
        return Packed(uuid.uuid4().hex, buffer.getvalue(), named)

    def _name_of(self, samples: Samples) -> str:
        """Name of samples, hashed only when they are met for the first time."""
        known = next((name for name, one in self._samples.items() if one is samples), None)
        if known is not None:
            return known
        digest = blake2b(repr((samples.inputs.shape, samples.targets.shape)).encode(), digest_size=16)
        for array in (samples.inputs, samples.targets):
            digest.update(array.dtype.str.encode())
            digest.update(memoryview(array.reshape(-1).view("u1")))  # type: ignore[arg-type]
        return f"topoevo-{digest.hexdigest()}"


#: Evaluator and conditions in this worker process, by name, the latest last.
_unpacked: dict[str, tuple[Evaluator[Any], Conditions]] = {}
_unpacking = threading.Lock()


def answer(parcel: Parcel, content: Callable[[], bytes], samples: Callable[[str], Samples]) -> Answer:
    """Return the evaluations of a parcel; called in a worker.

    Parameters
    ----------
    parcel
        Genomes.
    content
        Returns the packed conditions, when they are needed.
    samples
        Returns samples by their name.

    Raises
    ------
    TopoevoError
        If the settings cannot be computed here, whatever the genome.
    """
    here = versions_here()
    if here.topoevo != parcel.sender.topoevo:
        return Answer(Foreign(), here)
    try:
        evaluator, shared = _conditions(parcel.conditions, content, samples)
    except KeyError:
        return Answer(Missing(), here)
    portion = Portion(evaluator, shared, parcel.genomes, parcel.indices, parcel.stream, parcel.generation, parcel.legs)
    return Answer(portion.compute() if parcel.timeout is None else _within(parcel.timeout, portion), here)


def _within(seconds: float, portion: Portion) -> list[tuple[int, Evaluation]] | Lost:
    """What becomes of a portion within a time; if it takes longer, this process ends soon after the answer."""
    result: Future[list[tuple[int, Evaluation]] | Lost] = Future()

    def compute() -> None:
        try:
            result.set_result(portion.compute())
        except BaseException as error:
            result.set_exception(error)

    # Where the hanging code lets no other thread run, the process ends without an answer.
    faulthandler.dump_traceback_later(seconds + 2 * _SECONDS_TO_ANSWER, exit=True)
    threading.Thread(target=compute, daemon=True).start()
    wait([result], seconds)
    if result.done():
        faulthandler.cancel_dump_traceback_later()
        return result.result()
    ending = threading.Timer(_SECONDS_TO_ANSWER, os._exit, [1])
    ending.daemon = True
    ending.start()
    return Lost.by_timeout(seconds)


def _conditions(
    name: str, content: Callable[[], bytes], samples: Callable[[str], Samples]
) -> tuple[Evaluator[Any], Conditions]:
    """Conditions of this name, unpacked and compiled for once, however many threads ask for them."""
    with _unpacking:
        if name not in _unpacked:
            unpickler = pickle.Unpickler(io.BytesIO(content()))
            unpickler.persistent_load = samples  # type: ignore[method-assign]
            evaluator, shared = unpickler.load()
            evaluator.prepare(lambda words: None)
            shared.prepare()
            while len(_unpacked) >= _NUM_KEPT:
                del _unpacked[next(iter(_unpacked))]
            _unpacked[name] = evaluator, shared
        return _unpacked[name]
