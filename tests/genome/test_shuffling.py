"""Shuffled genomes keep what they promise to keep, and nothing else."""

from __future__ import annotations

import itertools
from collections import Counter

import networkx
import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.genome import CONNECTION_DTYPE, NODE_DTYPE, Genome, Role
from topoevo.genome.shuffling import shuffled, shuffled_by_layer

SHUFFLES = [shuffled, shuffled_by_layer]


def graph_of(genome, *, bias=False):
    """Enabled connections as a networkx graph over all nodes; those from the bias node only if asked for."""
    graph = genome.to_networkx()
    dropped = [
        (a, b)
        for a, b, enabled in graph.edges(data="enabled")
        if not enabled or (graph.nodes[a]["role"] == "bias") != bias
    ]
    graph.remove_edges_from(dropped)
    return graph


def longest_path_layers(graph):
    """Layers by definition, from networkx."""
    return {node: layer for layer, nodes in enumerate(networkx.topological_generations(graph)) for node in nodes}


def genome_of(edges, num_inputs, num_outputs, num_hidden):
    """A genome of inputs, then outputs, then hidden nodes."""
    roles = [Role.INPUT] * num_inputs + [Role.OUTPUT] * num_outputs + [Role.HIDDEN] * num_hidden
    linear = ACTIVATIONS["linear"].code
    return Genome(
        np.array([(number, role, linear) for number, role in enumerate(roles)], NODE_DTYPE),
        np.array([(number, a, b, 0.5, True) for number, (a, b) in enumerate(edges)], CONNECTION_DTYPE),
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_active_part_computes_the_same(evolve, seed):
    genome = evolve(seed, p_remove=0.25)
    part = genome.active_part()
    part.validate()
    assert part.complexity == genome.complexity
    assert len(part.connections) == part.complexity.connections + part.complexity.biases
    assert set(graph_of(part).edges) <= set(graph_of(genome).edges)
    assert part.num_inputs == genome.num_inputs and part.num_outputs == genome.num_outputs
    hidden = part.nodes["role"] == Role.HIDDEN
    assert np.count_nonzero(hidden) == genome.complexity.hidden


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("seed", range(8))
def test_a_shuffled_genome_is_legal_and_repeatable(evolve, shuffle, seed):
    genome = evolve(seed, num_mutations=80)
    before = genome.digest
    one, two, other = (shuffle(genome, np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    one.validate()
    assert genome.digest == before
    assert one.digest == two.digest != other.digest
    assert (one.nodes == genome.active_part().nodes).all(), "ids, roles and activations stay"
    assert set(graph_of(one, bias=True).edges) == set(graph_of(genome.active_part(), bias=True).edges)


@pytest.mark.parametrize("seed", range(8))
def test_degrees_layers_and_size_stay(evolve, seed):
    genome = evolve(seed, num_mutations=80).active_part()
    result = shuffled(genome, np.random.default_rng(seed))
    before, after = graph_of(genome), graph_of(result)
    assert dict(before.in_degree) == dict(after.in_degree)
    assert dict(before.out_degree) == dict(after.out_degree)
    assert result.complexity == genome.complexity, "every node is still on a path from an input to an output"
    assert networkx.is_directed_acyclic_graph(after)
    layer = dict(zip(genome.nodes["id"].tolist(), genome.layers().tolist(), strict=True))
    assert all(layer[a] < layer[b] for a, b in after.edges)
    assert max(longest_path_layers(after).values()) <= max(layer.values())


def test_shuffling_really_mixes(evolve):
    """By far most connections have moved, in another way every time."""
    genome = evolve(3, num_inputs=30, num_outputs=5, num_mutations=60).active_part()
    before = set(graph_of(genome).edges)
    results = [frozenset(graph_of(shuffled(genome, np.random.default_rng(s))).edges) for s in range(10)]
    assert np.mean([len(before & result) / len(before) for result in results]) < 0.5
    assert len(set(results)) == 10


def test_all_graphs_with_the_same_degrees_are_equally_likely():
    """Four inputs with one connection and two outputs with two: six graphs, counted out; chi squared at p = 0.001."""
    inputs, outputs = range(4), (4, 5)
    pairs = list(itertools.product(inputs, outputs))
    degrees = Counter({0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 2})
    possible = {
        frozenset(edges)
        for edges in itertools.combinations(pairs, 4)
        if Counter(itertools.chain.from_iterable(edges)) == degrees
    }
    assert len(possible) == 6  # which two of the four inputs lead to the first output
    genome = genome_of([(0, 4), (1, 4), (2, 5), (3, 5)], 4, 2, 0)
    found = Counter(frozenset(graph_of(shuffled(genome, np.random.default_rng(seed))).edges) for seed in range(1200))
    assert set(found) == possible
    expected = 1200 / 6
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 20.5  # five degrees of freedom


def test_a_fully_connected_layer_cannot_be_shuffled():
    edges = list(itertools.product(range(3), (3, 4)))
    genome = genome_of(edges, 3, 2, 0)
    for shuffle in SHUFFLES:
        assert set(graph_of(shuffle(genome, np.random.default_rng(0))).edges) == set(edges)


@pytest.mark.parametrize("seed", range(8))
def test_by_layer_keeps_the_layers_of_every_connection(evolve, seed):
    genome = evolve(seed, num_mutations=80).active_part()
    result = shuffled_by_layer(genome, np.random.default_rng(seed))
    layer = dict(zip(genome.nodes["id"].tolist(), genome.layers().tolist(), strict=True))
    joined = [Counter((layer[a], layer[b]) for a, b in graph_of(one).edges) for one in (genome, result)]
    assert joined[0] == joined[1]
    assert result.complexity.connections <= genome.complexity.connections


def test_by_layer_draws_every_pair_of_a_layer_equally_often():
    """Two connections from three inputs to two outputs: each of the six pairs is in a third of the graphs."""
    genome = genome_of([(0, 3), (1, 3)], 3, 2, 0)
    found = Counter()
    for seed in range(1500):
        edges = set(graph_of(shuffled_by_layer(genome, np.random.default_rng(seed))).edges)
        assert len(edges) == 2
        found.update(edges)
    assert set(found) == set(itertools.product(range(3), (3, 4)))
    # The standard deviation of a count is sqrt(1500 / 3 * 2 / 3) = 18; five of them are 91.
    assert all(abs(count - 500) < 91 for count in found.values())
