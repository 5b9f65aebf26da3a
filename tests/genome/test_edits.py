"""Edits of many genes: the same as one by one, and paths by definition."""

from __future__ import annotations

import networkx
import numpy as np
import pytest

from topoevo.genome import Genome, InnovationTracker, Role
from topoevo.genome.edits import with_connections, with_hidden_node, without_connections

SEEDS = range(8)


def assert_consistent(genome: Genome) -> None:
    """The graph that was handed on is that of the tables, and these are legal."""
    genome.validate()
    anew = Genome(genome.nodes, genome.connections).graph
    for name in ("id", "role", "source", "target", "enabled"):
        assert np.array_equal(getattr(genome.graph, name), getattr(anew, name))


@pytest.mark.parametrize("seed", SEEDS)
def test_connections_are_added_as_one_by_one(evolve, seed: int) -> None:
    genome, rng = evolve(seed, p_remove=0.0), np.random.default_rng(seed)
    open_pairs = genome.graph.open_pairs(output_connections=True)
    pairs = np.array([open_pairs.pair(number) for number in range(open_pairs.num_pairs)], np.int32)
    pairs = rng.permutation(pairs)
    pairs = pairs[genome.graph.joinable(pairs[:, 0], pairs[:, 1], limit=100)]
    is_gene = [genome.graph.connection(*pair) is not None for pair in pairs.tolist()]
    assert any(is_gene) and not all(is_gene), "disabled genes and new ones"
    weights = rng.standard_normal(len(pairs)).astype(np.float32)
    weights[3] = np.nan

    trackers = [InnovationTracker(1000, 1000) for _ in range(2)]
    for tracker in trackers:
        # Numbers that an earlier sibling has asked for in another order.
        for source, target in genome.nodes["id"][pairs[::-3]].tolist():
            tracker.connection(source, target)
    together = with_connections(genome, pairs[:, 0], pairs[:, 1], weights, tracker=trackers[0])
    one_by_one = genome
    for (source, target), weight in zip(genome.nodes["id"][pairs].tolist(), weights, strict=True):
        one_by_one = one_by_one.connect(source, target, tracker=trackers[1], weight=weight)
    assert together.digest == one_by_one.digest
    assert_consistent(together)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_on_no_path_go_with_their_connections(evolve, seed: int, share: float) -> None:
    genome, rng = evolve(seed, num_mutations=60), np.random.default_rng(seed)
    gone = rng.random(len(genome.connections)) < share
    child = without_connections(genome, gone)
    left = [tuple(gene) for gene in genome.connections[~gone].tolist()]
    graph = networkx.DiGraph([(s, t) for _, s, t, _, enabled in left if enabled])
    graph.add_nodes_from(genome.nodes["id"].tolist())
    role = dict(zip(genome.nodes["id"].tolist(), genome.nodes["role"].tolist(), strict=True))

    def is_reached(node: int, from_role: Role, on: networkx.DiGraph) -> bool:
        return any(role[other] == from_role for other in networkx.ancestors(on, node))

    nodes = {
        node
        for node in role
        if role[node] != Role.HIDDEN
        or (is_reached(node, Role.INPUT, graph) and is_reached(node, Role.OUTPUT, graph.reverse()))
    }
    assert child.nodes["id"].tolist() == sorted(nodes)
    remaining = [gene[:3] for gene in left if gene[1] in nodes and gene[2] in nodes]
    assert [gene[:3] for gene in child.connections.tolist()] == remaining
    assert_consistent(child)


def test_a_hidden_node_is_sorted_in(evolve) -> None:
    genome = evolve(0)
    ids = genome.nodes["id"].tolist()
    free = next(number for number in range(ids[-1] + 2) if number not in ids)
    child = with_hidden_node(genome, free, "tanh")
    assert child.nodes["id"].tolist() == sorted([*ids, free])
    row = child.graph.row(free)
    assert child.nodes.tolist()[row] == (free, int(Role.HIDDEN), 5)
    assert np.delete(child.nodes, row).tobytes() == genome.nodes.tobytes()
    assert child.connections.tobytes() == genome.connections.tobytes()
    assert_consistent(child)
