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

    output_connections: bool = option(False, "whether add_connection may end at an output node")
    weight: Literal["unset", "zero"] = option(
        "unset", "weight of a new connection: drawn by weight_init when learning starts, or zero"
    )
    max_connections: int | None = option(None, "largest number of connections that mutation may reach")

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with one more connection, or None if every legal pair is connected."""
        if self.max_connections is not None:
            from_bias = genome.nodes["role"][genome.source_row] == BIAS
            if np.count_nonzero(genome.connections["enabled"] & ~from_bias) >= self.max_connections:
                return None
        pair = draw_legal_pair(genome, rng, output_connections=self.output_connections)
        if pair is None:
            return None
        return genome.connect(*pair, tracker=tracker, weight=0.0 if self.weight == "zero" else UNSET)


def draw_legal_pair(
    genome: Genome, rng: np.random.Generator, *, output_connections: bool = True
) -> tuple[int, int] | None:
    """Draw a pair of nodes that a connection may join, uniformly, without trial and error.

    All legal pairs are counted (`topoevo.genome.compiled_graph.legal_targets`), and one number is drawn among them.

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
        Node ids.
    """
    from topoevo.genome import compiled_graph

    targets, closed, num_open = compiled_graph.legal_targets(
        genome.role, genome.source_row, genome.target_row, genome.enabled, output_connections
    )
    last = np.cumsum(num_open)
    if last[-1] == 0:
        return None
    draw = int(rng.integers(last[-1]))
    source = int(np.searchsorted(last, draw, side="right"))
    rank = draw - int(last[source] - num_open[source])
    target = int(targets[compiled_graph.nth_open(closed[source], rank)])
    return int(genome.nodes["id"][source]), int(genome.nodes["id"][target])
