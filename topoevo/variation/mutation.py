"""What every mutation operator has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.registry import Registry
from topoevo.variation.evidence import Evidence

#: Every operator by name.
MUTATIONS: Registry[type[Mutation]] = Registry("mutation", "topoevo.variation")


@dataclass(frozen=True)
class Mutation(ABC):
    """A random structural change of one genome."""

    name: ClassVar[str]
    #: Value of the setting ``p_<name>`` where a parameter file gives none.
    default_probability: ClassVar[float] = 0.0
    #: Whether it is an `InformedMutation`.
    needs_evidence: ClassVar[bool] = False
    #: Whether, with default options, a child whose parent has a weight on every connection computes what its parent
    #: computes.
    preserves_function: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return the mutated genome, or None if there is no legal place for the change in `genome`."""


@dataclass(frozen=True)
class InformedMutation(Mutation):
    """A random change of one genome that is led by what learning saw of it."""

    needs_evidence: ClassVar[bool] = True

    def __call__(
        self,
        genome: Genome,
        tracker: InnovationTracker,
        rng: np.random.Generator,
        evidence: Evidence | None = None,
    ) -> Genome | None:
        """Return the mutated genome, or None without evidence or a legal place.

        Parameters
        ----------
        genome, tracker, rng
            See `Mutation`.
        evidence
            Of `genome`, or of the one that it came from by earlier mutations.
        """
        return None if evidence is None else self._mutate(genome, tracker, rng, evidence)

    @abstractmethod
    def _mutate(
        self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        """Return the mutated genome, or None; genes that the evidence names may be gone, and others be new."""
