"""Edits of many genes at once, with which one mutation changes a part of a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS
from topoevo.genome.genes import HIDDEN, NODE_LAYOUT
from topoevo.genome.genome import Genome, extended, with_graph
from topoevo.genome.innovation import InnovationTracker
from topoevo.genome.tables import editable, frozen, inserted


def without_connections(genome: Genome, gone: NDArray[np.bool_]) -> Genome:
    """Return `genome` without some connection genes, and without the hidden nodes that are on no path then.

    A path leads from an input to an output over enabled connections. A node goes with all its genes.

    Parameters
    ----------
    genome
        Left as it is.
    gone
        Which connections go, bool [num_connections].
    """
    role, everyone = genome.role, np.ones(len(genome.nodes), np.bool_)
    remaining = genome.graph.part(everyone, ~gone)
    nodes = remaining.active[0] | (role != HIDDEN)
    return genome.part(nodes, ~gone & nodes[genome.source_row] & nodes[genome.target_row])


def with_connections(
    genome: Genome,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float32],
    *,
    tracker: InnovationTracker,
) -> Genome:
    """Return `genome` with more connections, of which it is known that they may be there together.

    Parameters
    ----------
    genome
        Left as it is.
    source, target
        Rows of their ends, int32 [num_new]; see `topoevo.genome.graph.Graph.joinable`. A gene that is disabled is
        enabled again. Nothing is checked.
    weight
        Weight of each, float32 [num_new].
    tracker
        Source of innovation numbers.
    """
    graph = genome.graph
    rows = graph.connections_between(source, target)
    is_gene = rows >= 0
    if is_gene.any():
        connections, enabled = editable(genome.connections), editable(graph.enabled)
        connections["enabled"][rows[is_gene]] = enabled[rows[is_gene]] = True
        connections["weight"][rows[is_gene]] = weight[is_gene]
        graph = graph.with_enabled_column(frozen(enabled))
        genome = with_graph(genome.nodes, frozen(connections), graph)
    new = (column[~is_gene].tolist() for column in (graph.id[source], graph.id[target], source, target, weight))
    genes = [(tracker.connection(from_id, to_id), s, t, w) for from_id, to_id, s, t, w in zip(*new, strict=True)]
    return extended(genome.nodes, genome.connections, graph, genes) if genes else genome


def with_hidden_node(genome: Genome, node: int, activation: str) -> Genome:
    """Return `genome` with one more hidden node, which is connected to nothing.

    Parameters
    ----------
    genome
        Left as it is.
    node
        Its id, which no other node has.
    activation
        Name of its activation.
    """
    graph = genome.graph.with_node(node, HIDDEN)
    gene = NODE_LAYOUT.pack(node, HIDDEN, ACTIVATIONS[activation].code)
    return with_graph(inserted(genome.nodes, [graph.row(node)], gene), genome.connections, graph)
