"""Operators that take away what the loss misses least: prune_connection, prune_node, and merge_nodes."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.genome import CONNECTION_DTYPE, NODE_DTYPE, Genome, InnovationTracker, Role
from topoevo.genome.dense import dense_genome
from topoevo.genome.edits import without_connections
from topoevo.kernels import Kernel
from topoevo.network import compile_network
from topoevo.variation import Evidence
from topoevo.variation.grow_connection import num_connections
from topoevo.variation.merge_nodes import MergeNodes
from topoevo.variation.prune_connection import PruneConnection
from topoevo.variation.prune_node import PruneNode

EXACT = {"noise_min": 1e-9, "noise_max": 1e-9}
SEEDS = range(8)


def fresh() -> InnovationTracker:
    return InnovationTracker(1000, 1000)


def changed(evidence: Evidence, **columns: object) -> Evidence:
    """Evidence with other columns."""
    return Evidence(**{**{field.name: getattr(evidence, field.name) for field in fields(Evidence)}, **columns})


def activities(genome: Genome, reference: Kernel, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the nodes of a network and what they say, float64 [num_nodes, num_samples]."""
    network = compile_network(genome)
    return network.node_id, reference.forward(network, network.weight.astype(np.float64), inputs)[1]


def observed(evidence: Evidence, genome: Genome, reference: Kernel, inputs: np.ndarray) -> Evidence:
    """Evidence with true means and deviations of activities, and true correlations of its similar pairs."""
    ids, said = activities(genome, reference, inputs)
    order = np.argsort(ids)
    rows = [[ids.tolist().index(node) for node in pair] for pair in evidence.similar.tolist()]
    return changed(
        evidence,
        node=ids[order],
        mean=said.mean(axis=1)[order],
        deviation=said.std(axis=1)[order],
        correlation=[np.corrcoef(said[pair])[0, 1] for pair in rows],
    )


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_lowest_saliencies_go(evolve, make_evidence, seed: int, stale: bool) -> None:
    genome = evolve(seed, num_mutations=60)
    evidence = make_evidence(seed, genome, stale=stale)
    child = PruneConnection(share_min=0.2, share_max=0.2, **EXACT)(genome, fresh(), np.random.default_rng(0), evidence)
    known = dict(zip(evidence.innovation.tolist(), evidence.saliency.tolist(), strict=True))
    genes = [int(gene["innovation"]) for gene in genome.connections[genome.enabled] if gene["source"] != genome.bias_id]
    by_saliency = sorted((number for number in genes if number in known), key=known.__getitem__)
    lowest = by_saliency[: round(0.2 * len(by_saliency))]
    assert child.digest == without_connections(genome, np.isin(genome.connections["innovation"], lowest)).digest


def test_the_share_is_log_uniform_and_one_connection_at_least_goes(evolve, make_evidence) -> None:
    genome = dense_genome(20, (), 20)
    evidence, rng = make_evidence(0, genome), np.random.default_rng(0)
    gone = [400 - num_connections(PruneConnection()(genome, fresh(), rng, evidence)) for _ in range(400)]
    assert min(gone) == 4 and 70 <= max(gone) <= 80
    assert abs(np.median(gone) - np.sqrt(0.01 * 0.2) * 400) < 4
    small = dense_genome(2, (), 2)
    child = PruneConnection()(small, fresh(), rng, make_evidence(0, small))
    assert num_connections(child) == 3


def test_the_last_connections_stay(make_evidence) -> None:
    genome, rng = dense_genome(3, (2,), 2, bias=True), np.random.default_rng(0)
    operator = PruneConnection(bias_connections="evolved", share_min=0.9, share_max=0.9)
    while (child := operator(genome, fresh(), rng, make_evidence(0, genome))) is not None:
        assert child.complexity.connections > 0
        assert len(child.connections) < len(genome.connections)
        genome = child
    assert genome.complexity.connections in (1, 2)
    assert PruneNode()(genome, fresh(), rng, make_evidence(0, genome)) is None


@pytest.mark.parametrize("evolved", [False, True])
def test_the_bias_is_spared_if_it_is_connected_to_every_node(make_evidence, evolved: bool) -> None:
    genome = dense_genome(4, (), 4, bias=True)
    evidence = make_evidence(0, genome)
    evidence = changed(evidence, saliency=np.where(genome.connections["source"] == genome.bias_id, 0.0, 1.0))
    operator = PruneConnection(bias_connections="evolved" if evolved else "all")
    child = operator(genome, fresh(), np.random.default_rng(0), evidence)
    assert (child.complexity.biases < 4) == evolved
    assert (child.complexity.connections == 16) == evolved


@pytest.mark.parametrize("seed", SEEDS)
def test_the_node_of_the_lowest_outgoing_saliency_goes(evolve, make_evidence, seed: int) -> None:
    genome = evolve(seed, num_mutations=60)
    evidence = make_evidence(seed, genome)
    child = PruneNode(noise=1e-9)(genome, fresh(), np.random.default_rng(0), evidence)
    hidden = genome.nodes["id"][genome.active[0] & (genome.role == Role.HIDDEN)].tolist()
    known = dict(zip(evidence.innovation.tolist(), evidence.saliency.tolist(), strict=True))
    total = dict.fromkeys(hidden, 0.0)
    for number, source, _, _, enabled in genome.connections.tolist():
        if enabled and source in total:
            total[source] += known.get(number, 0.0)
    lowest = min(hidden, key=total.__getitem__)
    assert lowest not in child.nodes["id"].tolist()
    touching = (genome.connections["source"] == lowest) | (genome.connections["target"] == lowest)
    assert child.nodes.tobytes() == without_connections(genome, touching).nodes.tobytes()


def test_nodes_that_go_with_a_pruned_node_leave_their_means_too(make_evidence, reference) -> None:
    """Where 3 goes in 0 → 3 → 4 → 2, 4 goes with it."""
    nodes = [(0, Role.INPUT, "linear"), (1, Role.BIAS, "linear"), (2, Role.OUTPUT, "linear")]
    nodes += [(3, Role.HIDDEN, "linear"), (4, Role.HIDDEN, "linear")]
    ends = [(0, 3, 1.0), (3, 4, 2.0), (4, 2, 1.0), (0, 2, 0.5), (1, 2, 0.1), (1, 3, 1.0), (1, 4, 0.5)]
    genome = Genome(
        np.array([(one, role, ACTIVATIONS[name].code) for one, role, name in nodes], NODE_DTYPE),
        np.array([(k, s, t, w, True) for k, (s, t, w) in enumerate(ends)], CONNECTION_DTYPE),
    )
    inputs = np.random.default_rng(0).standard_normal((1, 50)) + 1.0
    evidence = observed(make_evidence(0, genome), genome, reference, inputs)
    # The connection out of 3 is the least salient.
    evidence = changed(evidence, saliency=np.where(evidence.innovation == 1, 0.1, 1.0))
    child = PruneNode(noise=1e-9)(genome, fresh(), np.random.default_rng(0), evidence)
    assert child.nodes["id"].tolist() == [0, 1, 2]
    before, after = (activities(one, reference, inputs)[1][-1] for one in (genome, child))
    assert before.mean() == pytest.approx(after.mean(), abs=1e-5) and abs(before.mean()) > 2


def test_a_node_whose_saliency_is_undefined_stays(make_evidence) -> None:
    genome = dense_genome(4, (3,), 2, bias=True)
    genome = genome.with_weights(np.ones(len(genome.connections), np.float32))
    evidence = make_evidence(0, genome)
    hidden = genome.nodes["id"][genome.role == Role.HIDDEN]
    for node in hidden:
        out = genome.connections["innovation"][genome.connections["source"] == node]
        lost = changed(evidence, saliency=np.where(np.isin(evidence.innovation, out), np.nan, 1.0))
        for seed in range(4):
            assert node in PruneNode()(genome, fresh(), np.random.default_rng(seed), lost).nodes["id"]


@pytest.mark.parametrize("seed", SEEDS)
def test_targets_of_a_pruned_node_keep_their_mean_input(make_evidence, reference, seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = dense_genome(4, (5,), 3, activation="sigmoid", bias=True)
    genome = genome.with_weights(rng.standard_normal(len(genome.connections)).astype(np.float32))
    inputs = rng.standard_normal((4, 100))
    evidence = observed(make_evidence(seed, genome), genome, reference, inputs)
    child = PruneNode()(genome, fresh(), rng, evidence)
    assert len(child.nodes) == len(genome.nodes) - 1
    before, after = (activities(one, reference, inputs)[1][-3:] for one in (genome, child))
    # The outputs are linear, so that their means are those of their inputs.
    assert np.allclose(before.mean(axis=1), after.mean(axis=1), atol=1e-5)
    assert not np.allclose(before, after, atol=1e-2)


def with_twins(*, slope: float, offset: float, in_line: bool) -> Genome:
    """A linear network in which hidden node 6 says slope · y + offset where node 5 says y; one may hear the other."""
    weights = {(0, 5): 0.7, (1, 5): -0.4, (2, 5): 0.3, (5, 3): 1.3, (5, 4): -0.8, (6, 4): 0.9, (6, 7): 1.1, (7, 3): 0.4}
    weights |= {(0, 3): 0.5, (2, 3): 0.2, (2, 4): -0.6, (2, 7): 0.1}
    if in_line:
        weights |= {(5, 6): slope, (2, 6): offset}
    else:
        weights |= {(0, 6): slope * 0.7, (1, 6): slope * -0.4, (2, 6): slope * 0.3 + offset}
    roles = [Role.INPUT, Role.INPUT, Role.BIAS, Role.OUTPUT, Role.OUTPUT, Role.HIDDEN, Role.HIDDEN, Role.HIDDEN]
    nodes = np.array([(number, role, 0) for number, role in enumerate(roles)], NODE_DTYPE)
    genes = [(number, *pair, weight, True) for number, (pair, weight) in enumerate(sorted(weights.items()))]
    genome = Genome(nodes, np.array(genes, CONNECTION_DTYPE))
    genome.validate()
    return genome


@pytest.mark.parametrize("weaker", [5, 6])
@pytest.mark.parametrize("in_line", [False, True])
@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (-2.0, 0.5), (0.3, -4.0)])
def test_merging_twins_changes_nothing(make_evidence, reference, weaker: int, in_line, slope, offset) -> None:
    genome = with_twins(slope=slope, offset=offset, in_line=in_line)
    inputs = np.random.default_rng(0).standard_normal((2, 50))
    evidence = changed(
        make_evidence(0, genome),
        similar=[(5, 6)],
        correlation=[0.0],
        saliency=np.where(genome.connections["source"] == weaker, 1.0, 9.0),
    )
    evidence = observed(evidence, genome, reference, inputs)
    assert np.isclose(abs(evidence.correlation[0]), 1.0)
    child = MergeNodes()(genome, fresh(), np.random.default_rng(0), evidence)
    child.validate()
    # Node 6 cannot take over what node 5 says to it.
    assert ({5, 6} - set(child.nodes["id"].tolist())) == ({6} if in_line else {weaker})
    before, after = (activities(one, reference, inputs)[1][-2:] for one in (genome, child))
    assert np.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_node_that_stays_takes_over_by_least_squares(make_evidence, reference, seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = dense_genome(4, (2,), 3, activation="tanh", bias=True)
    genome = genome.with_weights(rng.standard_normal(len(genome.connections)).astype(np.float32))
    inputs = rng.standard_normal((4, 200))
    (a, b), outputs = genome.nodes["id"][genome.role == Role.HIDDEN], genome.nodes["id"][genome.role == Role.OUTPUT]
    evidence = changed(make_evidence(seed, genome), similar=[(a, b)], correlation=[0.0])
    evidence = observed(evidence, genome, reference, inputs)
    child = MergeNodes()(genome, fresh(), rng, evidence)
    (goes,) = {int(a), int(b)} - set(child.nodes["id"].tolist())
    stays = int(a) + int(b) - goes
    ids, said = activities(genome, reference, inputs)
    y = {node: said[ids.tolist().index(node)] for node in (stays, goes)}
    design = np.stack([y[stays], np.ones(200)], axis=1)
    (slope, offset), *_ = np.linalg.lstsq(design, y[goes], rcond=None)
    old, new = ({(s, t): w for _, s, t, w, _ in one.connections.tolist()} for one in (genome, child))
    for output in outputs.tolist():
        assert np.isclose(new[stays, output], old[stays, output] + slope * old[goes, output], atol=1e-4)
        bias = genome.bias_id
        assert np.isclose(new[bias, output], old[bias, output] + offset * old[goes, output], atol=1e-4)


def test_the_most_similar_pair_is_merged_unless_noise_says_otherwise(evolve, make_evidence) -> None:
    genome = dense_genome(3, (6,), 2, activation="tanh").with_weights(np.ones(30, np.float32))
    evidence = make_evidence(0, genome)
    distance = 1.0 - np.abs(evidence.correlation)
    nearest = set(evidence.similar[np.argmin(distance)].tolist())
    hidden = set(genome.nodes["id"][genome.role == Role.HIDDEN].tolist())

    def gone(noise: float) -> set[int]:
        operator, rng = MergeNodes(noise=noise), np.random.default_rng(0)
        children = [operator(genome, fresh(), rng, evidence) for _ in range(30)]
        return set().union(*(hidden - set(child.nodes["id"].tolist()) for child in children))

    assert len(gone(1e-9)) == 1 and gone(1e-9) < nearest
    assert len(gone(3.0)) > 2


@pytest.mark.parametrize("deviation", [0.0, np.inf, np.nan])
def test_a_node_that_says_nothing_or_too_much_cannot_stand_for_another(make_evidence, deviation: float) -> None:
    genome = dense_genome(3, (2,), 2).with_weights(np.ones(10, np.float32))
    evidence = make_evidence(0, genome)
    evidence = changed(evidence, deviation=np.full(len(evidence.node), deviation))
    assert len(evidence.similar_in(genome)[0]) == 1
    assert MergeNodes()(genome, fresh(), np.random.default_rng(0), evidence) is None


@pytest.mark.parametrize("operator", [PruneNode(), MergeNodes()])
def test_weights_that_are_unset_stay_unset(make_evidence, operator) -> None:
    genome = dense_genome(3, (4,), 2, bias=True)
    child = operator(genome, fresh(), np.random.default_rng(0), make_evidence(0, genome))
    assert len(child.nodes) < len(genome.nodes)
    assert np.isnan(child.connections["weight"]).all()


def test_estimates_stay_in_the_range_of_single_precision(make_evidence) -> None:
    genome = dense_genome(3, (2,), 2, bias=True).with_weights(np.full(14, 1e38, np.float32))
    evidence = make_evidence(0, genome)
    deviation = np.where(evidence.node == evidence.similar[0, 0], 1e-30, 1e9)
    tiny = changed(evidence, deviation=deviation, mean=evidence.mean * 1e9)
    for operator in (PruneNode(), MergeNodes()):
        operator(genome, fresh(), np.random.default_rng(0), tiny).validate()
