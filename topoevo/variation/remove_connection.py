"""Remove a connection: the inverse of add_connection, without which evolution can only grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import BIAS
from topoevo.registry import option
from topoevo.variation.mutation import MUTATIONS, Mutation


@MUTATIONS.register
@dataclass(frozen=True)
class RemoveConnection(Mutation):
    """Delete an enabled connection, drawn uniformly; not from the bias node if that is connected to every node."""

    name: ClassVar[str] = "remove_connection"

    bias_connections: Literal["all", "evolved"] = option("all", "connections of the bias node")

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one connection gene less, or None if it has a single one."""
        from_inputs = genome.enabled & (genome.role[genome.source_row] != BIAS)
        rows = np.flatnonzero(genome.enabled if self.bias_connections == "evolved" else from_inputs)
        if len(rows) < 2:
            return None
        return genome.without_connection(int(genome.connections["innovation"][rows[rng.integers(len(rows))]]))
