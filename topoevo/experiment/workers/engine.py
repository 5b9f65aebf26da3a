"""What runs evaluations elsewhere: threads, processes, or other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from topoevo.evolution import Evaluation
from topoevo.experiment.problem import Conditions, Evaluator
from topoevo.genome import Genome
from topoevo.seeds import Stream


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
    """

    evaluator: Evaluator[Any]
    shared: Conditions
    genomes: tuple[Genome, ...]
    indices: tuple[int, ...]
    stream: Stream
    generation: int

    def compute(self) -> list[tuple[int, Evaluation]]:
        """Return pairs of index and evaluation."""
        return [
            (
                index,
                self.evaluator.evaluate(
                    genome, self.shared, stream=self.stream, generation=self.generation, index=index
                ),
            )
            for index, genome in zip(self.indices, self.genomes, strict=True)
        ]


@dataclass(frozen=True)
class Lost:
    """A portion whose worker ended or was given up before it was done.

    Parameters
    ----------
    reason
        What happened, in a sentence that stands in the record of the failure.
    """

    reason: str


class Engine(Protocol):
    """One way of computing portions; entered and left as a context, and used for one generation after another."""

    @property
    def num_workers(self) -> int:
        """Portions that are computed at the same time, at present."""

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
            Called in this thread at least every .2 s; may raise to give up, after which nothing is waited for.
        """
