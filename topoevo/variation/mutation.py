"""What every mutation operator has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.registry import Registry

#: Every operator by name.
MUTATIONS: Registry[type[Mutation]] = Registry("mutation", "topoevo.variation")


@dataclass(frozen=True)
class Mutation(ABC):
    """A random structural change of one genome."""

    name: ClassVar[str]
    #: Value of the setting ``p_<name>`` where a parameter file gives none.
    default_probability: ClassVar[float] = 0.0

    @abstractmethod
    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return the mutated genome, or None if there is no legal place for the change in `genome`."""
