"""Add a node by splitting an enabled connection (Stanley & Miikkulainen 2002, section 3.1)."""

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
class AddNode(Mutation):
    """Split an enabled connection, drawn uniformly among those that do not start at the bias node."""

    name: ClassVar[str] = "add_node"
    default_probability: ClassVar[float] = 0.2

    activations: tuple[str, ...] = option(("relu",), "activations that mutation may draw")
    bias: bool = option(False, "whether a bias node is connected to every hidden and output node")
    bias_connections: Literal["all", "evolved"] = option("all", "connections of the bias node")
    max_connections: int | None = option(None, "largest number of connections that mutation may reach")
    pruning: str = option("none", "how training prunes what exceeds max_connections")

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one more hidden node, or None if there is no connection to split."""
        rows = np.flatnonzero(genome.enabled & (genome.role[genome.source_row] != BIAS))
        is_full = self.pruning == "none" and self.max_connections is not None and len(rows) >= self.max_connections
        if len(rows) == 0 or is_full:
            return None
        innovation = int(genome.connections["innovation"][rows[rng.integers(len(rows))]])
        activation = self.activations[rng.integers(len(self.activations))]
        return genome.split(
            innovation, tracker=tracker, activation=activation, bias=self.bias and self.bias_connections == "all"
        )
