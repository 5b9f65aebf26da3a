"""Add a connection between two nodes that are not connected (Stanley & Miikkulainen 2002, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import BIAS, HIDDEN, OUTPUT, UNSET
from topoevo.genome.topology import longest_path_layers
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

    The targets of a source are counted as bits: a hidden node may not reach its ancestors, itself, or the nodes that
    it is connected to; an input may reach everything but the latter.

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
    role = genome.nodes["role"]
    is_target = (role == HIDDEN) | (role == OUTPUT) if output_connections else role == HIDDEN
    targets = np.flatnonzero(is_target)
    sources = np.flatnonzero(role != OUTPUT)
    if len(targets) == 0:
        return None
    bit = np.full(len(role), -1, np.int64)
    bit[targets] = np.arange(len(targets))
    excluded = _excluded_targets(genome, bit)
    free = np.array([len(targets) - excluded[row].bit_count() for row in sources])
    last = np.cumsum(free)
    if last[-1] == 0:
        return None
    draw = int(rng.integers(last[-1]))
    place = int(np.searchsorted(last, draw, side="right"))
    source = int(sources[place])
    rank = draw - int(last[place] - free[place])
    mask = excluded[source]
    open_bits = [b for b in range(len(targets)) if not mask >> b & 1]
    return int(genome.nodes["id"][source]), int(genome.nodes["id"][targets[open_bits[rank]]])


def _excluded_targets(genome: Genome, bit: np.ndarray) -> list[int]:
    """For every node row, the bit set of targets that it may not be connected to."""
    source, target = genome.source_row, genome.target_row
    layer = longest_path_layers(len(genome.nodes), source, target)
    # Disabled genes count for ancestry, because they may be enabled again, but not as connected pairs.
    ancestors = [0] * len(genome.nodes)
    own = [1 << b if b >= 0 else 0 for b in bit.tolist()]
    order = np.argsort(layer[target], kind="stable")
    for s, t in zip(source[order].tolist(), target[order].tolist(), strict=True):
        ancestors[t] |= ancestors[s] | own[s]
    excluded = [a | b for a, b in zip(ancestors, own, strict=True)]
    enabled = genome.connections["enabled"]
    for s, t in zip(source[enabled].tolist(), target[enabled].tolist(), strict=True):
        excluded[s] |= own[t]
    return excluded
