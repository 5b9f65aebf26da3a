"""Layers against networkx."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topoevo.errors import GenomeError
from topoevo.genome.topology import longest_path_layers


@st.composite
def graphs(draw: st.DrawFn, acyclic: bool) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of nodes, sources, targets, with labels in no order."""
    n = draw(st.integers(1, 12))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
    label = draw(st.permutations(range(n)))
    if acyclic:
        pairs = [(min(p), max(p)) for p in pairs if p[0] != p[1]]
    edges = np.array([(label[a], label[b]) for a, b in pairs], np.int32).reshape(-1, 2)
    return n, edges[:, 0], edges[:, 1]


def as_networkx(n: int, source: np.ndarray, target: np.ndarray) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(zip(source.tolist(), target.tolist(), strict=True))
    return graph


@settings(max_examples=150, deadline=None)
@given(graphs(acyclic=True))
def test_layers_are_longest_paths(drawn: tuple[int, np.ndarray, np.ndarray]) -> None:
    graph = as_networkx(*drawn)
    layers = longest_path_layers(*drawn)
    for node in graph:
        above = graph.subgraph(networkx.ancestors(graph, node) | {node})
        assert layers[node] == networkx.dag_longest_path_length(above)


@settings(max_examples=150, deadline=None)
@given(graphs(acyclic=False))
def test_a_cycle_is_refused_and_nothing_else(drawn: tuple[int, np.ndarray, np.ndarray]) -> None:
    if networkx.is_directed_acyclic_graph(as_networkx(*drawn)):
        longest_path_layers(*drawn)
    else:
        with pytest.raises(GenomeError, match="cycle"):
            longest_path_layers(*drawn)


def test_the_longest_chain() -> None:
    n = 300
    chain = np.arange(n, dtype=np.int32)
    assert longest_path_layers(n, chain[:-1], chain[1:]).tolist() == chain.tolist()
