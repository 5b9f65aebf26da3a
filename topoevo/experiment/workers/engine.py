"""What runs evaluations elsewhere: threads, processes, or other machines."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from topoevo.errors import TopoevoError
from topoevo.evolution import Evaluation
from topoevo.experiment.problem import Conditions, Evaluator, Leg
from topoevo.genome import Genome
from topoevo.seeds import Stream

#: Short evaluations are handed out several at a time on one machine, so many that they take this long.
SECONDS_A_PORTION = 0.02
#: How often the main thread looks up while it waits.
SECONDS_BETWEEN_LOOKS = 0.2
#: What is running when a run is asked to stop may take so long until it is given up.
SECONDS_OF_GRACE = 2.0


@dataclass(frozen=True)
class Lost:
    """What happened to a portion that was not computed to its end.

    Parameters
    ----------
    reason
        What stands in the record of the failure; the last line is one sentence.
    overdue
        Whether it was given up since it took too long.
    """

    reason: str
    overdue: bool = False

    @staticmethod
    def by_timeout(seconds: float) -> Lost:
        """Return what is said of a portion that took longer than it may.

        Parameters
        ----------
        seconds
            The limit.
        """
        return Lost(f"the evaluation took longer than evaluation_timeout, {seconds:g} seconds", overdue=True)


@dataclass(frozen=True, eq=False)
class Portion:
    """What a worker does at a time: the evaluation of a few genomes. Picklable.

    Parameters
    ----------
    evaluator, shared
        How, and on what.
    genomes, indices
        The genomes, and their places in the population.
    stream, generation
        Part of the address of their random numbers.
    legs
        Which part of the training is to be done, by place; those without are trained from beginning to end.
    """

    evaluator: Evaluator[Any]
    shared: Conditions
    genomes: tuple[Genome, ...]
    indices: tuple[int, ...]
    stream: Stream
    generation: int
    legs: Mapping[int, Leg] = field(default_factory=dict)

    def compute(self) -> list[tuple[int, Evaluation]] | Lost:
        """Return pairs of index and evaluation.

        Whatever user code raises costs the individual, be it a request to leave the program; where there is too little
        memory the portion is lost.

        Raises
        ------
        TopoevoError
            If something outside the program is wrong, for all individuals alike.
        """
        try:
            return [
                (index, self._evaluation(genome, index))
                for index, genome in zip(self.indices, self.genomes, strict=True)
            ]
        except MemoryError:
            return Lost(traceback.format_exc())

    def singles(self) -> list[Portion]:
        """Return a portion for each genome."""
        return [
            replace(self, genomes=(genome,), indices=(index,), legs=legs_of(self.legs, (index,)))
            for index, genome in zip(self.indices, self.genomes, strict=True)
        ]

    def _evaluation(self, genome: Genome, index: int) -> Evaluation:
        """One evaluation, or why there is none."""
        started = time.perf_counter()
        part = {"leg": leg} if (leg := self.legs.get(index)) is not None else {}
        try:
            return self.evaluator.evaluate(
                genome, self.shared, stream=self.stream, generation=self.generation, index=index, **part
            )
        except (TopoevoError, MemoryError):
            raise
        except BaseException:  # Also sys.exit: an individual's failure is a result; the run goes on.
            return Evaluation.failed(traceback.format_exc(), time.perf_counter() - started)


def legs_of(legs: Mapping[int, Leg], indices: Sequence[int]) -> dict[int, Leg]:
    """Return those legs that belong to some places."""
    return {index: legs[index] for index in indices if index in legs}


class Engine(Protocol):
    """One way of computing portions; entered and left as a context, and used for one generation after another."""

    @property
    def num_workers(self) -> int:
        """Portions that are computed at the same time, at present."""

    @property
    def seconds_a_portion(self) -> float:
        """How long a portion of short evaluations is to take, so that handing it out costs little beside."""

    def __enter__(self) -> Engine:
        """Start the workers, or find them."""

    def __exit__(self, *error: object) -> None:
        """Let the workers go; those that hang are not waited for."""

    def compute(
        self, portions: Sequence[Portion], on_wait: Callable[[], None]
    ) -> Iterator[tuple[Portion, list[tuple[int, Evaluation]] | Lost]]:
        """Yield every portion once, in the order of arrival, with its evaluations or with how it was lost.

        Parameters
        ----------
        portions
            Those to be started first come first.
        on_wait
            Called in this thread at least every .2 s. It may raise: then nothing more is started, what arrives within
            two seconds is yielded still, and the error is raised (`Patience`).

        Raises
        ------
        TopoevoError
            From a portion, or since the engine cannot go on.
        """


class Patience:
    """Asks whether to go on; after a no, what is running gets some more seconds.

    Parameters
    ----------
    on_wait
        Raises where the answer is no.
    """

    def __init__(self, on_wait: Callable[[], None]) -> None:
        self._on_wait = on_wait
        self._error: BaseException | None = None
        self._until = 0.0

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more is to be started."""
        return self._error is not None

    def look(self) -> None:
        """Ask, unless the answer was no before; then raise what was raised, once the time is up."""
        if self._error is not None:
            if time.monotonic() > self._until:
                raise self._error
            return
        try:
            self._on_wait()
        except BaseException as error:
            self._error, self._until = error, time.monotonic() + SECONDS_OF_GRACE

    def end(self) -> None:
        """Raise what was raised, if anything was."""
        if self._error is not None:
            raise self._error
