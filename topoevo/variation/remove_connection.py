"""Remove a connection: the inverse of add_connection, without which evolution can only grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import BIAS
from topoevo.variation.mutation import MUTATIONS, Mutation


@MUTATIONS.register
@dataclass(frozen=True)
class RemoveConnection(Mutation):
    """Delete an enabled connection, drawn uniformly among those that do not start at the bias node."""

    name: ClassVar[str] = "remove_connection"

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one connection gene less, or None if it has a single one."""
        rows = np.flatnonzero(genome.enabled & (genome.role[genome.source_row] != BIAS))
        if len(rows) < 2:
            return None
        return genome.without_connection(int(genome.connections["innovation"][rows[rng.integers(len(rows))]]))
