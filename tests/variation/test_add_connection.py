"""add_connection: uniform over all legal pairs, found by definition here and by counting there."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from scipy.stats import chisquare

from topoevo.genome import Genome, InnovationTracker, Role, minimal_genome
from topoevo.variation.add_connection import AddConnection, draw_open_pair


def draw_legal_pair(genome: Genome, rng: np.random.Generator, **options) -> tuple[int, int] | None:
    """The ids of a pair that is drawn."""
    pair = draw_open_pair(genome, rng, **options)
    return None if pair is None else tuple(genome.nodes["id"][list(pair)].tolist())


def legal_pairs(genome: Genome, *, output_connections: bool) -> set[tuple[int, int]]:
    """Every pair of nodes that a connection may join, by trying all of them."""
    role = dict(zip(genome.nodes["id"].tolist(), genome.nodes["role"].tolist(), strict=True))
    graph = networkx.DiGraph()
    graph.add_nodes_from(role)
    genes = [(int(g["source"]), int(g["target"]), bool(g["enabled"])) for g in genome.connections]
    graph.add_edges_from((s, t) for s, t, _ in genes)
    connected = {(s, t) for s, t, enabled in genes if enabled}
    pairs = set()
    for s in role:
        for t in role:
            if s == t or (s, t) in connected or role[s] == Role.OUTPUT or role[t] in (Role.INPUT, Role.BIAS):
                continue
            if role[t] == Role.OUTPUT and not output_connections:
                continue
            if not networkx.has_path(graph, t, s):
                pairs.add((s, t))
    return pairs


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("output_connections", [False, True])
def test_pairs_are_uniform_over_all_legal_ones(evolve, seed: int, output_connections: bool) -> None:
    genome = evolve(seed, num_inputs=2, num_outputs=2, num_mutations=8, bias=seed % 2 == 0, p_remove=0.15)
    legal = sorted(legal_pairs(genome, output_connections=output_connections))
    rng = np.random.default_rng(1000 + seed)
    draws = 60 * max(len(legal), 1)
    drawn = [draw_legal_pair(genome, rng, output_connections=output_connections) for _ in range(draws)]
    if not legal:
        assert drawn == [None] * draws
        return
    assert set(drawn) <= set(legal)
    counts = [drawn.count(pair) for pair in legal]
    assert len(legal) == 1 or chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("seed", range(25))
def test_pairs_of_a_large_graph_are_legal_and_exhaustive(evolve, seed: int) -> None:
    # 70 and more targets: the bit sets must not stop at a machine word.
    genome = evolve(seed, num_inputs=3, num_outputs=6, num_mutations=200, activations=("relu",), p_remove=0.02)
    assert np.count_nonzero(genome.nodes["role"] >= Role.HIDDEN) > 64
    legal = legal_pairs(genome, output_connections=True)
    rng = np.random.default_rng(seed)
    assert {draw_legal_pair(genome, rng) for _ in range(40)} <= legal


def test_a_disabled_pair_is_legal_and_enabled_again() -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(1, 1, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0))
    genome = genome.split(0, tracker=tracker)
    assert legal_pairs(genome, output_connections=True) == {(0, 1)}
    operator = AddConnection(output_connections=True)
    mutated = operator(genome, tracker, np.random.default_rng(0))
    assert mutated is not None
    assert len(mutated.connections) == len(genome.connections)
    assert mutated.connections["enabled"].all()
    assert mutated.connections["innovation"].tolist() == genome.connections["innovation"].tolist()
    assert AddConnection(output_connections=False)(genome, tracker, np.random.default_rng(0)) is None


@pytest.mark.parametrize("output_connections", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_graph_is_completed_and_then_answers_none(evolve, seed: int, output_connections: bool) -> None:
    genome = evolve(seed, num_inputs=2, num_outputs=2, num_mutations=10, p_remove=0.0)
    tracker, rng = InnovationTracker(1000, 1000), np.random.default_rng(seed)
    operator = AddConnection(output_connections=output_connections)
    while (mutated := operator(genome, tracker, rng)) is not None:
        assert np.count_nonzero(mutated.connections["enabled"]) == np.count_nonzero(genome.connections["enabled"]) + 1
        genome = mutated
    genome.validate()
    assert legal_pairs(genome, output_connections=output_connections) == set()
    if output_connections:
        hidden = np.count_nonzero(genome.nodes["role"] == Role.HIDDEN)
        assert (
            np.count_nonzero(genome.connections["enabled"])
            == 3 * (hidden + 2) + hidden * (hidden - 1) // 2 + 2 * hidden
        )


def test_without_hidden_nodes_and_outputs_there_is_no_place() -> None:
    genome = minimal_genome(2, 2, p_enabled=0.0, tracker=InnovationTracker(), rng=np.random.default_rng(0))
    assert draw_legal_pair(genome, np.random.default_rng(0), output_connections=False) is None
    assert draw_legal_pair(genome, np.random.default_rng(0), output_connections=True) is not None


@pytest.mark.parametrize(("weight", "unset"), [("unset", True), ("zero", False)])
def test_the_weight_of_a_new_connection(evolve, weight: str, unset: bool) -> None:
    genome = evolve(0)
    mutated = AddConnection(output_connections=True, weight=weight)(
        genome, InnovationTracker(1000, 1000), np.random.default_rng(0)
    )
    new = mutated.connections[~np.isin(mutated.connections["innovation"], genome.connections["innovation"])]
    assert len(new) == 1
    assert np.isnan(new["weight"][0]) == unset
    assert unset or new["weight"][0] == 0


def test_max_connections_is_reached_and_not_passed() -> None:
    tracker = InnovationTracker()
    rng = np.random.default_rng(0)
    genome = minimal_genome(4, 4, p_enabled=0.0, tracker=tracker, rng=rng, bias=True)
    operator = AddConnection(output_connections=True, max_connections=6)
    for _ in range(30):
        genome = operator(genome, tracker, rng) or genome
    assert genome.complexity.connections == 6
    exceeding = AddConnection(output_connections=True, max_connections=6, pruning="fisher")
    assert exceeding(genome, tracker, rng).complexity.connections == 7, "training prunes what is too much"
