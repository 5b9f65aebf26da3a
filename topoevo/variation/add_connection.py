"""Add a connection between two nodes that are not connected (Stanley & Miikkulainen 2002, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import BIAS, UNSET
from topoevo.registry import option
from topoevo.variation.mutation import MUTATIONS, Mutation


@MUTATIONS.register
@dataclass(frozen=True)
class AddConnection(Mutation):
    """Connect two nodes, drawn uniformly among all pairs that keep the graph acyclic and are not connected.

    A pair with a disabled gene is legal; the gene is enabled again. Sources are inputs, the bias node and hidden nodes,
    targets are hidden nodes and, with `output_connections`, outputs.
    """

    name: ClassVar[str] = "add_connection"
    default_probability: ClassVar[float] = 0.8

    output_connections: bool = option(False, "whether mutations may connect to an output node")
    weight: Literal["unset", "zero"] = option(
        "unset", "weight of a new connection: drawn by weight_init when learning starts, or zero"
    )
    max_connections: int | None = option(None, "largest number of connections that mutation may reach")
    pruning: str = option("none", "how training prunes what exceeds max_connections")

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one more connection, or None if every legal pair is connected."""
        if self.max_connections is not None and self.pruning == "none":
            from_bias = genome.role[genome.source_row] == BIAS
            if np.count_nonzero(genome.enabled & ~from_bias) >= self.max_connections:
                return None
        pair = draw_open_pair(genome, rng, output_connections=self.output_connections)
        if pair is None:
            return None
        return genome.joined(*pair, tracker=tracker, weight=0.0 if self.weight == "zero" else UNSET)


def draw_open_pair(
    genome: Genome, rng: np.random.Generator, *, output_connections: bool = True
) -> tuple[int, int] | None:
    """Draw a pair of nodes that a connection may join, uniformly, without trial and error.

    All of them are counted (`topoevo.genome.graph.Graph.open_pairs`), and one number is drawn.

    Parameters
    ----------
    genome
        The graph.
    rng
        Generator.
    output_connections
        Whether outputs are targets.

    Returns
    -------
    (source, target) or None
        Rows of nodes.
    """
    open_pairs = genome.graph.open_pairs(output_connections=output_connections)
    if not open_pairs.num_pairs:
        return None
    return open_pairs.pair(int(rng.integers(open_pairs.num_pairs)))
