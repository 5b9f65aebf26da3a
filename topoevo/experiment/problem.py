"""What the loop needs to know of a problem, be it samples or an environment, and of how networks are judged on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from topoevo.evolution import Evaluation
from topoevo.evolution.moments import Moments
from topoevo.experiment.records import TaskScore
from topoevo.genome import Genome
from topoevo.kernels import Kernel
from topoevo.seeds import Stream


class Conditions(Protocol):
    """What everyone in a generation is compared on: samples in some order, or the seeds of episodes. Picklable."""

    def prepare(self) -> None:
        """Make what all workers read, once, before several threads ask for it."""


Shared = TypeVar("Shared", bound=Conditions, contravariant=True)


@dataclass(frozen=True, eq=False)
class Leg:
    """A part of a training. Picklable.

    Parameters
    ----------
    stop
        Steps of the training after which it pauses or, if these are all, ends.
    memory
        From the evaluation of the part before; None where the training begins.
    moments
        What an optimizer remembered that the training begins with; of no influence beside `memory`.
    decay_factor
        Times the weight decay of the settings.
    index
        Address of its random numbers, if that is another one than its place: trainings that are compared have the same.
    """

    stop: int
    memory: Mapping[str, Any] | None = None
    moments: Moments | None = None
    decay_factor: float = 1.0
    index: int | None = None


class Evaluator(Protocol[Shared]):
    """Judges one genome in a worker. Small enough to be sent to another process."""

    @property
    def remedy(self) -> str:
        """What may help where all rewards are undefined, in a few words."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile what evaluations need, in this process; `say` is told if it takes long."""

    def evaluate(
        self, genome: Genome, shared: Shared, *, stream: Stream, generation: int, index: int, leg: Leg | None = None
    ) -> Evaluation:
        """Return the evaluation of a genome; whatever goes wrong in it is part of the result.

        Parameters
        ----------
        genome
            What is developed and judged.
        shared
            What everyone is compared on.
        stream, generation, index
            Address of the random numbers of this evaluation.
        leg
            The part of the training that is to be done; None stands for all of it, the only one for most evaluators.
        """

    def attempt(self, genome: Genome, shared: Shared, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """Return the same, but raise what user code raises; for whoever looks for the reason."""

    def attempt_leg(
        self, genome: Genome, shared: Shared, leg: Leg, *, stream: Stream, generation: int, index: int
    ) -> Evaluation:
        """Return the same of a part of the training."""


class Problem(Protocol):
    """Hands out conditions, and scores champions; lives in the parent process."""

    @property
    def has_validation(self) -> bool:
        """Whether there is a separate part for choosing champions."""

    def shared(self, stream: Stream, generation: int, *, num_epochs: int | None = None) -> Any:
        """Return the conditions of one generation.

        Parameters
        ----------
        stream
            ``SHARED`` for a generation, ``CONFIRMATION`` for a champion candidate.
        generation
            Number of the generation.
        num_epochs
            Of training to the end; None stands for what the settings have for a generation.
        """

    def confirmed(self, genome: Genome, evaluation: Evaluation, kernel: Kernel) -> TaskScore:
        """Return the score that a confirming evaluation has led to.

        Parameters
        ----------
        genome
            With the weights of the evaluation.
        evaluation
            Under the conditions of a confirmation.
        kernel
            Backend.
        """

    def score(self, part: str, genome: Genome, kernel: Kernel) -> TaskScore:
        """Return how good a genome with given weights is.

        Parameters
        ----------
        part
            ``train``, ``validation`` or ``test``.
        genome
            All active connections have weights.
        kernel
            Backend.
        """
