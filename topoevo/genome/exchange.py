"""Genomes as graphs of another library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.genome.genes import Role

if TYPE_CHECKING:
    import networkx

    from topoevo.genome.genome import Genome


def as_networkx(genome: Genome) -> networkx.DiGraph[Any]:
    """Return a genome as `networkx.DiGraph`; see `Genome.to_networkx`."""
    import networkx

    graph: networkx.DiGraph[Any] = networkx.DiGraph()
    for gene, layer in zip(genome.nodes, genome.layers(), strict=True):
        graph.add_node(
            int(gene["id"]),
            role=Role(gene["role"]).name.lower(),
            activation=ACTIVATIONS_BY_CODE[gene["activation"]].name,
            layer=int(layer),
        )
    for gene in genome.connections:
        graph.add_edge(
            int(gene["source"]),
            int(gene["target"]),
            weight=float(gene["weight"]),
            innovation=int(gene["innovation"]),
            enabled=bool(gene["enabled"]),
        )
    return graph
