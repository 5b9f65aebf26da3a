"""Enable a disabled connection again (Gaier & Ha 2019, released code: 5 % of mutations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.variation.mutation import MUTATIONS, Mutation


@MUTATIONS.register
@dataclass(frozen=True)
class EnableConnection(Mutation):
    """Enable a connection gene, drawn uniformly among the disabled ones; it keeps its weight."""

    name: ClassVar[str] = "enable_connection"

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one more enabled connection, or None if none is disabled."""
        rows = np.flatnonzero(~genome.enabled)
        if len(rows) == 0:
            return None
        _, source, target, weight, _ = genome.connections[rows[rng.integers(len(rows))]].item()
        return genome.connect(source, target, tracker=tracker, weight=weight)
