"""The columns of a genome's graph: looked up, handed on by edits, and asked about paths."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topoevo.genome import Genome, InnovationTracker, Role, compiled_graph
from topoevo.genome.graph import Graph

SEEDS = range(8)
COLUMNS = ("id", "role", "source", "target", "enabled")


def as_networkx(graph: Graph) -> networkx.DiGraph:
    """All connections between rows, disabled ones too."""
    result = networkx.DiGraph()
    result.add_nodes_from(range(len(graph.id)))
    result.add_edges_from(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    return result


def assert_graph_is_right(genome: Genome) -> None:
    """Compare with the graph that is looked up anew, and that one with the tables."""
    anew = Graph.of(genome.nodes, genome.connections)
    for name in COLUMNS:
        column = getattr(genome.graph, name)
        assert np.array_equal(column, getattr(anew, name)), name
        assert column.dtype == getattr(anew, name).dtype
        assert not column.flags.writeable
    assert np.array_equal(anew.id[anew.source], genome.connections["source"])
    assert np.array_equal(anew.id[anew.target], genome.connections["target"])


@pytest.mark.parametrize("seed", SEEDS)
def test_edits_hand_on_the_graph(evolve, make_operator, seed: int) -> None:
    operators = [
        make_operator(name, activations=("relu", "tanh"), output_connections=True, bias=True)
        for name in ("add_connection", "add_node", "remove_connection", "change_activation")
    ]
    rng, tracker = np.random.default_rng(seed), InnovationTracker(1000, 1000)
    founder = evolve(seed, num_inputs=3, num_outputs=2, num_mutations=10)
    in_the_middle = 0
    for _ in range(12):  # siblings share numbers, so that genes are sorted in before others
        genome = founder
        for _ in range(10):
            child = operators[int(rng.choice(4, p=(0.4, 0.4, 0.1, 0.1)))](genome, tracker, rng)
            if child is None:
                continue
            in_the_middle += len(child.nodes) > len(genome.nodes) and child.nodes["id"][-1] == genome.nodes["id"][-1]
            genome = child
            assert_graph_is_right(genome)
        assert_graph_is_right(genome.with_weights(np.zeros(len(genome.connections), np.float32)))
    assert in_the_middle


def test_ends_that_do_not_exist_have_no_row(evolve) -> None:
    genome = evolve(0)
    connections = genome.connections.copy()
    connections["source"][0], connections["target"][1] = -7, 2**31 - 1
    graph = Graph.of(genome.nodes, connections)
    assert graph.source[0] == graph.target[1] == len(genome.nodes)
    assert np.array_equal(graph.source[1:], genome.source_row[1:])


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 2**31 - 1), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_rows_of_any_ids(numbers: set[int], random) -> None:
    ids = np.array(sorted(numbers), np.int32)
    wanted = np.array(random.choices([*ids.tolist(), 0, 1, 2**31 - 1], k=30), np.int32)
    for array in (ids, wanted):
        array.flags.writeable = False
    rows, again = compiled_graph.rows_of_ends(ids, wanted, wanted)
    row_of = {number: row for row, number in enumerate(ids.tolist())}
    assert rows.tolist() == again.tolist() == [row_of.get(number, len(ids)) for number in wanted.tolist()]


@pytest.mark.parametrize("seed", SEEDS)
def test_connections_and_paths_between_all_pairs(evolve, seed: int) -> None:
    graph = evolve(seed, num_mutations=30).graph
    expected = as_networkx(graph)
    row_of = {pair: row for row, pair in enumerate(zip(graph.source.tolist(), graph.target.tolist(), strict=True))}
    for start in expected:
        reached = networkx.descendants(expected, start) | {start}
        for goal in expected:
            assert graph.connection(start, goal) == row_of.get((start, goal))
            row = graph.connections_between(np.array([start], np.int32), np.array([goal], np.int32))
            assert row.tolist() == [row_of.get((start, goal), -1)]
            assert graph.has_path(start, goal) == (goal in reached)


@pytest.mark.parametrize("output_connections", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_open_pairs_are_all_that_close_no_cycle(evolve, seed: int, output_connections: bool) -> None:
    graph = evolve(seed, num_mutations=60).graph
    known = as_networkx(graph)
    taken = set(zip(graph.source[graph.enabled].tolist(), graph.target[graph.enabled].tolist(), strict=True))
    targets = {Role.HIDDEN, Role.OUTPUT} if output_connections else {Role.HIDDEN}
    expected = [
        (source, target)
        for source in known
        for target in known
        if graph.role[source] != Role.OUTPUT
        and graph.role[target] in targets
        and (source, target) not in taken
        and not networkx.has_path(known, target, source)
    ]
    pairs = graph.open_pairs(output_connections=output_connections)
    assert pairs.num_pairs == len(expected)
    assert [pairs.pair(number) for number in range(pairs.num_pairs)] == expected


def test_more_targets_than_bits_in_a_word(evolve) -> None:
    genome = evolve(0, num_mutations=400, p_remove=0.0)
    assert np.count_nonzero(genome.role == Role.HIDDEN) > 64
    known = as_networkx(genome.graph)
    pairs = genome.graph.open_pairs(output_connections=False)
    for number in range(0, pairs.num_pairs, 17):
        source, target = pairs.pair(number)
        assert not networkx.has_path(known, target, source)
    hidden = set(np.flatnonzero(genome.role == Role.HIDDEN).tolist())
    taken = {(s, t) for s, t, on in zip(*(c.tolist() for c in genome.graph.columns[1:]), strict=True) if on}
    sources = [row for row in known if genome.role[row] != Role.OUTPUT]
    closed = sum(len(hidden & ({s} | networkx.ancestors(known, s) | {t for q, t in taken if q == s})) for s in sources)
    assert pairs.num_pairs == len(sources) * len(hidden) - closed


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_compiled_once(evolve, seed: int) -> None:
    compiled_graph.prepare()
    genome = evolve(seed)
    _ = genome.complexity, genome.layers(), Genome(genome.nodes.copy(), genome.connections).active
    genome.graph.joinable(genome.source_row[:0], genome.target_row[:0], limit=3)
    for name in ("rows_of_ends", "longest_path_layers", "active", "sizes", "open_pairs", "open_pair", "joinable"):
        assert len(getattr(compiled_graph, name).signatures) == 1, name
    for name in ("edge_between", "has_path"):
        assert len(getattr(compiled_graph, name).signatures) == 1, name


@pytest.mark.parametrize("limit", [0, 1, 30, 10**6])
@pytest.mark.parametrize("seed", SEEDS)
def test_connections_that_join_together_close_no_cycle(evolve, seed: int, limit: int) -> None:
    # More than 64 hidden nodes: ancestors do not fit into one word.
    graph = evolve(seed, num_mutations=250 if seed % 2 else 40, p_remove=0.02).graph
    known = as_networkx(graph)
    pairs = [
        (source, target)
        for source in known
        for target in known
        if graph.role[source] != Role.OUTPUT and graph.role[target] >= Role.HIDDEN and source != target
    ]
    new = np.random.default_rng(seed).permutation(np.array(pairs, np.int32))[:400]
    expected = []
    for position, (source, target) in enumerate(new.tolist()):
        if len(expected) < limit and not networkx.has_path(known, target, source):
            known.add_edge(source, target)
            expected.append(position)
    assert graph.joinable(new[:, 0], new[:, 1], limit=limit).tolist() == expected
