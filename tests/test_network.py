"""Phenotypes: order and layout, and that pruning does not change what the graph computes."""

from __future__ import annotations

import dataclasses

import networkx
import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.genome import Genome, InnovationTracker, Role, minimal_genome
from topoevo.network import Network, compile_network

SEEDS = range(15)


def same(one: Network, other: Network) -> bool:
    """Whether two networks have the same arrays."""
    names = ("node_id", "input_index", "activation", "row_start", "source", "weight", "gene")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def recursive_outputs(genome: Genome, inputs: np.ndarray) -> np.ndarray:
    """Outputs of the whole enabled graph in float64, node by node; a node without sources has activity f(0)."""
    nodes = {int(gene["id"]): gene for gene in genome.nodes}
    incoming: dict[int, list[tuple[int, float]]] = {node: [] for node in nodes}
    for gene in genome.connections[genome.connections["enabled"]]:
        incoming[int(gene["target"])].append((int(gene["source"]), float(gene["weight"])))
    rank = {int(i): k for k, i in enumerate(genome.nodes["id"][genome.nodes["role"] == Role.INPUT])}
    known: dict[int, np.ndarray] = {}

    def activity(node: int) -> np.ndarray:
        if node not in known:
            gene = nodes[node]
            if gene["role"] == Role.INPUT:
                known[node] = inputs[rank[node]].astype(np.float64)
            elif gene["role"] == Role.BIAS:
                known[node] = np.ones(inputs.shape[1])
            else:
                z = sum((w * activity(s) for s, w in incoming[node]), np.zeros(inputs.shape[1]))
                known[node] = ACTIVATIONS_BY_CODE[gene["activation"]].value(z)
        return known[node]

    return np.array([activity(int(i)) for i in genome.nodes["id"][genome.nodes["role"] == Role.OUTPUT]])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bias", [False, True])
def test_layout(evolve, seed: int, bias: bool) -> None:
    genome = evolve(seed, bias=bias, num_mutations=60, p_remove=0.2)
    network = compile_network(genome)
    active_nodes, active_connections = genome.active
    assert sorted(network.node_id.tolist()) == genome.nodes["id"][active_nodes].tolist()
    assert sorted(network.gene.tolist()) == np.flatnonzero(active_connections).tolist()
    genes = genome.connections[network.gene]
    assert np.array_equal(network.node_id[network.source], genes["source"])
    assert np.array_equal(network.node_id[network.target], genes["target"])
    assert np.array_equal(network.weight, genes["weight"])

    assert (network.source < network.target).all(), "topological order"
    assert (network.target >= network.num_sources).all()
    for node in range(network.num_nodes - network.num_sources):
        edges = slice(network.row_start[node], network.row_start[node + 1])
        assert (network.target[edges] == network.num_sources + node).all()
        assert (np.diff(network.source[edges]) > 0).all(), "ascending within a target"
    assert network.row_start[0] == 0
    assert network.row_start[-1] == network.num_edges == len(network.weight)

    role = dict(zip(genome.nodes["id"].tolist(), genome.nodes["role"].tolist(), strict=True))
    code = dict(zip(genome.nodes["id"].tolist(), genome.nodes["activation"].tolist(), strict=True))
    inputs, outputs = (genome.nodes["id"][genome.nodes["role"] == r] for r in (Role.INPUT, Role.OUTPUT))
    first_computed, first_output = network.num_sources, network.num_nodes - network.num_outputs
    assert network.num_inputs == len(inputs)
    assert np.array_equal(inputs[network.input_index], network.node_id[: len(network.input_index)])
    assert network.has_bias == (network.num_sources > len(network.input_index))
    if network.has_bias:
        assert role[int(network.node_id[network.num_sources - 1])] == Role.BIAS
    assert {role[i] for i in network.node_id[first_computed:first_output].tolist()} <= {Role.HIDDEN}
    assert np.array_equal(network.node_id[first_output:], outputs), "outputs in the order of the task"
    assert network.activation.tolist() == [code[i] for i in network.node_id[first_computed:].tolist()]


@pytest.mark.parametrize("seed", SEEDS)
def test_edges_by_kind(evolve, seed: int) -> None:
    genome = evolve(seed)
    network = compile_network(genome)
    graph = networkx.DiGraph(zip(network.source.tolist(), network.target.tolist(), strict=True))
    ids = network.node_id
    bias, outputs = genome.bias_id, set(genome.nodes["id"][genome.nodes["role"] == Role.OUTPUT].tolist())
    for edge, (source, target) in enumerate(zip(network.source.tolist(), network.target.tolist(), strict=True)):
        assert network.from_bias[edge] == (ids[source] == bias)
        assert network.into_output[edge] == (int(ids[target]) in outputs)
        assert network.fan_in[edge] == sum(ids[s] != bias for s in graph.predecessors(target))
    start, edge = network.outgoing
    assert sorted(edge.tolist()) == list(range(network.num_edges))
    for row in range(network.num_nodes):
        assert (network.source[edge[start[row] : start[row + 1]]] == row).all()
    assert start[-1] == network.num_edges


@pytest.mark.parametrize("seed", SEEDS)
def test_the_network_computes_what_the_graph_says(evolve, reference, seed: int) -> None:
    # With activations for which f(0) = 0 and no bias, what pruning removes is silent in the full graph too.
    genome = evolve(
        seed,
        bias=False,
        activations=("linear", "tanh", "relu", "abs", "inverse", "sine"),
        num_mutations=60,
        p_remove=0.3,
    )
    network = compile_network(genome)
    inputs = np.random.default_rng(seed).normal(size=(genome.num_inputs, 7))
    _, activities = reference.forward(network, network.weight.astype(np.float64), inputs)
    expected = recursive_outputs(genome, inputs)
    np.testing.assert_allclose(activities[-network.num_outputs :], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_bias_and_every_activation(evolve, reference, seed: int) -> None:
    genome = evolve(seed, bias=True, num_mutations=40, p_remove=0.0)
    network = compile_network(genome)
    if not genome.active[1][genome.connections["enabled"]].all():
        pytest.skip("pruned: what is cut off may have been active at 0")
    inputs = np.random.default_rng(seed).normal(size=(genome.num_inputs, 7))
    _, activities = reference.forward(network, network.weight.astype(np.float64), inputs)
    np.testing.assert_allclose(
        activities[-network.num_outputs :], recursive_outputs(genome, inputs), rtol=1e-9, atol=1e-9
    )


def test_splitting_with_a_linear_node_changes_nothing(evolve, reference) -> None:
    genome = evolve(4)
    before = compile_network(genome)
    inputs = np.random.default_rng(0).normal(size=(5, 9))
    row = int(np.flatnonzero(genome.active[1])[0])
    split = genome.split(
        int(genome.connections["innovation"][row]), tracker=InnovationTracker(900, 900), activation="linear", bias=True
    )
    after = compile_network(split)
    assert after.num_nodes == before.num_nodes + 1
    outputs = [reference.forward(n, n.weight.astype(np.float64), inputs)[1][-n.num_outputs :] for n in (before, after)]
    np.testing.assert_allclose(*outputs, rtol=1e-12, atol=1e-12)


def test_only_outputs_are_left_without_a_path(reference) -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(3, 2, p_enabled=0.0, tracker=tracker, rng=np.random.default_rng(0))
    genome = genome.split(0, tracker=tracker).without_connection(2)
    network = compile_network(genome)
    assert (network.num_nodes, network.num_edges, network.num_sources) == (2, 0, 0)
    _, activities = reference.forward(network, network.weight, np.ones((3, 4), np.float32))
    assert np.array_equal(activities, np.zeros((2, 4)))


def test_compilation_is_a_function_of_the_genes(evolve) -> None:
    genome = evolve(6)
    assert same(compile_network(genome), compile_network(Genome(genome.nodes.copy(), genome.connections.copy())))


@pytest.mark.parametrize(
    "names",
    [
        ("node_id", "input_index", "source", "weight", "gene", "activation", "row_start"),
        pytest.param(
            ("target", "from_bias", "fan_in", "outgoing"),
        ),
    ],
)
def test_arrays_are_read_only(evolve_network, names: tuple[str, ...]) -> None:
    network = evolve_network(0)
    for name in names:
        value = getattr(network, name)
        for array in value if isinstance(value, tuple) else (value,):
            assert not array.flags.writeable, name


def test_the_callers_array_stays_the_callers(evolve_network) -> None:
    network = evolve_network(0)
    weights = network.weight.copy()
    other = dataclasses.replace(network, weight=weights)
    weights[:] = 7
    assert np.array_equal(other.weight, network.weight)
