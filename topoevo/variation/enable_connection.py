"""Enable a disabled connection again (Gaier & Ha 2019, released code: 5 % of mutations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import BIAS
from topoevo.registry import option
from topoevo.variation.mutation import MUTATIONS, Mutation


@MUTATIONS.register
@dataclass(frozen=True)
class EnableConnection(Mutation):
    """Enable a connection gene, drawn uniformly among the disabled ones; it keeps its weight."""

    name: ClassVar[str] = "enable_connection"

    max_connections: int | None = option(None, "largest number of connections that mutation may reach")
    pruning: str = option("none", "how training prunes what exceeds max_connections")

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one more enabled connection, or None if none is disabled or it has as many as it may."""
        rows = np.flatnonzero(~genome.enabled)
        if self.max_connections is not None and self.pruning == "none":
            from_bias = genome.role[genome.source_row] == BIAS
            if np.count_nonzero(genome.enabled & ~from_bias) >= self.max_connections:
                # Connections of the bias node do not count.
                rows = np.flatnonzero(~genome.enabled & from_bias)
        if len(rows) == 0:
            return None
        _, source, target, weight, _ = genome.connections[rows[rng.integers(len(rows))]].item()
        return genome.connect(source, target, tracker=tracker, weight=weight)
