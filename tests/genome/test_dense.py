"""Fully connected genomes are what their name says."""

from __future__ import annotations

import networkx
import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.genome import Role
from topoevo.genome.dense import dense_genome
from topoevo.network import compile_network


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("hidden", [[], [4], [3, 5, 2]])
def test_it_is_the_complete_layered_graph(hidden, bias):
    genome = dense_genome(6, hidden, 2, activation="tanh", output_activation="sigmoid", bias=bias)
    genome.validate()
    graph = genome.to_networkx()
    if bias:
        (bias_node,) = (node for node, role in graph.nodes(data="role") if role == "bias")
        others = {node for node, role in graph.nodes(data="role") if role in ("hidden", "output")}
        assert set(graph.successors(bias_node)) == others
        graph.remove_node(bias_node)
    sizes = [6, *hidden, 2]
    expected = networkx.complete_multipartite_graph(*sizes)
    expected.remove_edges_from(
        [(a, b) for a, b in expected.edges if abs(expected.nodes[a]["subset"] - expected.nodes[b]["subset"]) != 1]
    )
    layers = dict(graph.nodes(data="layer"))
    assert sorted(layers.values()) == sorted(nx for _, nx in expected.nodes(data="subset"))
    assert all(layers[b] == layers[a] + 1 for a, b in graph.edges)
    assert graph.number_of_edges() == expected.number_of_edges() == len(set(graph.edges))
    names = {Role.HIDDEN: "tanh", Role.OUTPUT: "sigmoid"}
    for node in genome.nodes:
        assert ACTIVATIONS_BY_CODE[node["activation"]].name == names.get(Role(node["role"]), "linear")


def test_its_outputs_are_those_of_matrices(reference):
    genome = dense_genome(3, [4, 2], 2, activation="relu", bias=True)
    rng = np.random.default_rng(0)
    genome = genome.with_weights(rng.normal(size=len(genome.connections)).astype(np.float32))
    weight = {(int(g["source"]), int(g["target"])): float(g["weight"]) for g in genome.connections}
    inputs, activity = [0, 1, 2], rng.normal(size=(3, 7)).astype(np.float32)
    expected = activity.astype(np.float64)
    sources, bias_node = inputs, 3
    # Ids: inputs, bias, outputs, then hidden nodes layer by layer.
    for targets in ([6, 7, 8, 9], [10, 11], [4, 5]):
        matrix = np.array([[weight[s, t] for s in sources] for t in targets])
        expected = matrix @ expected + np.array([[weight[bias_node, t]] for t in targets])
        expected = expected if targets == [4, 5] else np.maximum(expected, 0)
        sources = targets
    network = compile_network(genome)
    outputs = reference.forward(network, network.weight, activity)[1][-2:]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
