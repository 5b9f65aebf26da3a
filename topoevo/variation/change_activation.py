"""Give a hidden node another activation (Gaier & Ha 2019, figure 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import HIDDEN
from topoevo.registry import option
from topoevo.variation.mutation import MUTATIONS, Mutation


@MUTATIONS.register
@dataclass(frozen=True)
class ChangeActivation(Mutation):
    """Draw a hidden node, then one of the other activations, both uniformly."""

    name: ClassVar[str] = "change_activation"

    activations: tuple[str, ...] = option(("relu",), "activations that mutation may draw")

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one activation changed, or None if no node has an alternative."""
        hidden = np.flatnonzero(genome.role == HIDDEN)
        if len(self.activations) < 2:
            # With a single name to draw, only nodes that have a different one can change.
            current = [ACTIVATIONS_BY_CODE[code].name for code in genome.nodes["activation"][hidden]]
            hidden = hidden[[name not in self.activations for name in current]]
        if len(hidden) == 0:
            return None
        row = hidden[rng.integers(len(hidden))]
        current_name = ACTIVATIONS_BY_CODE[genome.nodes["activation"][row]].name
        others = [name for name in self.activations if name != current_name]
        return genome.with_activation(int(genome.nodes["id"][row]), others[rng.integers(len(others))])
