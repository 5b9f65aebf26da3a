"""Operators that add what the loss asks for: grow_connection, grow_node, and rewire_connection."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import networkx
import numpy as np
import pytest
from scipy.stats import chisquare, kstest, norm

from topoevo.activations import ACTIVATIONS
from topoevo.genome import Genome, InnovationTracker, Role
from topoevo.genome.dense import dense_genome
from topoevo.kernels import Kernel, Loss
from topoevo.network import compile_network
from topoevo.variation import Evidence
from topoevo.variation.chance import log_uniform, ranked
from topoevo.variation.grow_connection import GrowConnection, num_connections
from topoevo.variation.grow_node import GrowNode
from topoevo.variation.rewire_connection import RewireConnection

#: Hardly any noise: the order is that of the evidence.
EXACT = {"noise_min": 1e-9, "noise_max": 1e-9}
SEEDS = range(8)


def fresh() -> InnovationTracker:
    return InnovationTracker(1000, 1000)


def changed(evidence: Evidence, **columns: object) -> Evidence:
    """Evidence with other columns."""
    return Evidence(**{**{field.name: getattr(evidence, field.name) for field in fields(Evidence)}, **columns})


def pairs_of(genome: Genome) -> set[tuple[int, int]]:
    """Ids of the ends of enabled connections."""
    return {(s, t) for _, s, t, _, enabled in genome.connections.tolist() if enabled}


def test_random_factors_are_log_uniform() -> None:
    rng = np.random.default_rng(0)
    drawn = np.log([log_uniform(0.02, 0.4, rng) for _ in range(2000)])
    assert kstest(drawn, "uniform", (np.log(0.02), np.log(20))).pvalue > 1e-3


def test_noise_exchanges_neighbors_as_often_as_log_normal_factors_do() -> None:
    rng, sigma, draws = np.random.default_rng(0), 0.7, 4000
    exchanged = sum(int(ranked(np.array([1.0, 2.0]), sigma, rng)[0] == 1) for _ in range(draws))
    p = norm.cdf(-np.log(2.0) / (sigma * np.sqrt(2.0)))
    assert abs(exchanged - p * draws) < 4 * np.sqrt(p * (1 - p) * draws)
    zeros = Counter(int(ranked(np.array([0.0, 5.0, 0.0]), sigma, rng)[0]) for _ in range(400))
    assert set(zeros) == {0, 2} and chisquare(list(zeros.values())).pvalue > 1e-3


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_largest_slopes_that_close_no_cycle_grow(evolve, make_evidence, seed: int, stale: bool) -> None:
    genome = evolve(seed, num_mutations=60)
    evidence = make_evidence(seed, genome, stale=stale, num_absent=200)
    child = GrowConnection(output_connections=True, growth_min=0.3, growth_max=0.3, **EXACT)(
        genome, fresh(), np.random.default_rng(0), evidence
    )
    graph = networkx.DiGraph((s, t) for _, s, t, _, _ in genome.connections.tolist())
    ids = genome.nodes["id"]
    graph.add_nodes_from(ids.tolist())
    absent = evidence.absent_from(genome, output_connections=True)
    expected: set[tuple[int, int]] = set()
    for position in np.argsort(-np.abs(absent.slope)):
        source, target = int(ids[absent.source[position]]), int(ids[absent.target[position]])
        if len(expected) < round(0.3 * num_connections(genome)) and not networkx.has_path(graph, target, source):
            graph.add_edge(source, target)
            expected.add((source, target))
    assert pairs_of(child) - pairs_of(genome) == expected
    assert pairs_of(genome) <= pairs_of(child)
    grown = [weight for _, s, t, weight, _ in child.connections.tolist() if (s, t) in expected]
    assert grown == [0.0] * len(expected)


def test_growth_by_chance_draws_all_absent_connections_alike(evolve, make_evidence) -> None:
    genome = evolve(3, num_inputs=6, num_outputs=3, num_mutations=25, p_enabled=0.4)
    ids, role, alive = genome.nodes["id"].tolist(), genome.role.tolist(), genome.active[0].tolist()
    paths = networkx.DiGraph(pairs_of(genome) | {(s, t) for _, s, t, _, _ in genome.connections.tolist()})
    paths.add_nodes_from(ids)
    takes_part = {node for node, kind, lives in zip(ids, role, alive, strict=True) if kind != Role.HIDDEN or lives}
    kinds = dict(zip(ids, role, strict=True))
    legal = {
        (source, target)
        for source in takes_part
        for target in takes_part
        if kinds[source] in (Role.INPUT, Role.HIDDEN)
        and kinds[target] in (Role.HIDDEN, Role.OUTPUT)
        and (source, target) not in pairs_of(genome)
        and not networkx.has_path(paths, target, source)
    }
    rng, evidence = np.random.default_rng(0), make_evidence(0, genome)
    one = GrowConnection(
        criterion="random", weight="estimate", output_connections=True, growth_min=0.001, growth_max=0.001
    )
    counts: Counter[tuple[int, int]] = Counter()
    for _ in range(30 * len(legal)):
        child = one(genome, fresh(), rng, evidence)
        (pair,) = pairs_of(child) - pairs_of(genome)
        counts[pair] += 1
        assert [w for _, s, t, w, _ in child.connections.tolist() if (s, t) == pair] == [0.0]
    assert set(counts) == legal and len(legal) > 20
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_growth_is_a_share_of_the_connections(evolve, make_evidence) -> None:
    genome = evolve(3, num_inputs=20, num_outputs=10, num_mutations=40, p_enabled=0.4)
    size, rng = num_connections(genome), np.random.default_rng(0)
    evidence = make_evidence(0, genome, num_absent=10**6)
    operator = GrowConnection(output_connections=True, growth_min=0.02, growth_max=0.4)
    added = [num_connections(operator(genome, fresh(), rng, evidence)) - size for _ in range(300)]
    assert min(added) == max(1, round(0.02 * size)) and 0.35 * size < max(added) <= 0.4 * size
    # The logarithm of a log-uniform number is uniform.
    assert abs(np.median(added) - np.sqrt(0.02 * 0.4) * size) < 0.03 * size


@pytest.mark.parametrize("output_connections", [False, True])
def test_outputs_are_targets_if_they_may(evolve, make_evidence, output_connections: bool) -> None:
    genome = evolve(1)
    operator = GrowConnection(output_connections=output_connections, growth_min=1.0, growth_max=1.0)
    child = operator(genome, fresh(), np.random.default_rng(0), make_evidence(1, genome, num_absent=10**6))
    outputs = set(genome.nodes["id"][genome.role == Role.OUTPUT].tolist())
    assert output_connections == any(target in outputs for _, target in pairs_of(child) - pairs_of(genome))


@pytest.mark.parametrize("room", [0, 1, 7])
def test_grow_connection_keeps_max_connections_unless_training_prunes(evolve, make_evidence, room: int) -> None:
    genome = evolve(2)
    size, evidence = num_connections(genome), make_evidence(2, genome, num_absent=10**6)
    wishes = {"output_connections": True, "growth_min": 0.5, "growth_max": 0.5, "max_connections": size + room}
    bounded = GrowConnection(**wishes)(genome, fresh(), np.random.default_rng(0), evidence)
    # Connections of the bias node take a place, too, although they do not count.
    assert (bounded is None) == (room == 0)
    assert room == 0 or num_connections(bounded) <= size + room < num_connections(bounded) + 3
    pruned_later = GrowConnection(**wishes, pruning="fisher")(genome, fresh(), np.random.default_rng(0), evidence)
    assert len(pairs_of(pruned_later)) == len(pairs_of(genome)) + round(0.5 * size)


def slopes(genome: Genome, reference: Kernel, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross entropy, and its slope by the weight of every pair of nodes of a network, float64 [nodes, nodes]."""
    network = compile_network(genome)
    weights = network.weight.astype(np.float64)
    weighted_inputs, activities = reference.forward(network, weights, inputs)
    outputs = activities[-network.num_outputs :]
    errors = reference.output_errors(Loss.CROSS_ENTROPY, outputs, labels[None])
    errors = reference.backward(network, weights, weighted_inputs, activities, errors)
    log_likelihood = outputs[labels, np.arange(len(labels))] - np.log(np.exp(outputs).sum(axis=0))
    return -log_likelihood.mean(), activities @ errors.T / len(labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_estimated_weights_lower_the_loss_as_the_slopes_promise(reference, seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = dense_genome(6, (5,), 3, activation="tanh")
    genome = genome.with_weights(rng.standard_normal(len(genome.connections)).astype(np.float32))
    inputs, labels = rng.standard_normal((6, 200)), rng.integers(0, 3, 200)
    before, slope = slopes(genome, reference, inputs, labels)
    order = compile_network(genome).node_id
    absent = np.array([(s, t) for s in range(6) for t in range(6, 9)], np.int32)
    slope = slope[np.searchsorted(order, absent[:, 0])][:, [list(order).index(t) for t in range(6, 9)]]
    slope = np.array([slope[i, absent[i, 1] - 6] for i in range(len(absent))])
    evidence = changed(Evidence(*(np.zeros(0) for _ in fields(Evidence))), absent=absent, slope=slope)
    operator = GrowConnection(output_connections=True, weight="estimate", growth_min=0.1, growth_max=0.1, **EXACT)
    child = operator(genome, fresh(), rng, evidence)
    after, _ = slopes(child, reference, inputs, labels)
    weights = {(s, t): w for _, s, t, w, _ in child.connections.tolist() if (s, t) not in pairs_of(genome)}
    chosen = [position for position, pair in enumerate(absent.tolist()) if tuple(pair) in weights]
    new = np.array([weights[tuple(absent[position].tolist())] for position in chosen])
    assert len(new) == round(0.1 * num_connections(genome))
    rms = np.sqrt(np.mean(np.square(genome.connections["weight"], dtype=np.float64)))
    assert np.allclose(new, -0.1 * rms * slope[chosen] / abs(slope).max(), rtol=1e-5)
    promised = float(new @ slope[chosen])
    assert 0.5 * promised > after - before > 1.5 * promised


def bridged(genome: Genome, evidence: Evidence, seed: int = 0, **options: object) -> tuple[Genome, np.ndarray]:
    """The child, and the genes of the connections that it has gained."""
    child = GrowNode(noise=1e-9, **options)(genome, fresh(), np.random.default_rng(seed), evidence)
    return child, child.connections[child.connections["innovation"] >= 1000]


@pytest.mark.parametrize("fan_in", [1, 3, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_bridge_leads_from_the_largest_slopes_to_their_target(evolve, make_evidence, seed: int, fan_in: int) -> None:
    genome = evolve(seed, num_mutations=60)
    evidence = make_evidence(seed, genome, num_absent=300)
    child, new = bridged(genome, evidence, fan_in=fan_in, activations=("tanh",))
    by_target: dict[int, list[tuple[float, int]]] = {}
    for (source, target), slope in zip(evidence.absent.tolist(), evidence.slope.tolist(), strict=True):
        if source != genome.bias_id:
            by_target.setdefault(target, []).append((slope, source))
    best = {target: sorted(found, key=lambda one: -abs(one[0]))[:fan_in] for target, found in by_target.items()}
    target = max(best, key=lambda one: sum(slope * slope for slope, _ in best[one]))
    into, out = new[new["target"] == 1000], new[new["source"] == 1000]
    assert sorted(into["source"].tolist()) == sorted(source for _, source in best[target])
    assert (out["target"].tolist(), out["weight"].tolist()) == ([target], [0.0])
    assert child.nodes[child.graph.row(1000)].tolist() == (1000, int(Role.HIDDEN), ACTIVATIONS["tanh"].code)
    # Weights against the slopes; independent sources of these deviations add up to a deviation of 1.
    slope_of = {source: slope for slope, source in best[target]}
    ratio = [weight / slope_of[source] for source, weight in zip(into["source"].tolist(), into["weight"], strict=True)]
    assert max(ratio) < 0 and np.allclose(ratio, ratio[0], rtol=1e-5)
    known = dict(zip(evidence.node.tolist(), np.fmax(evidence.deviation, 0.01).tolist(), strict=True))
    deviations = np.array([known.get(source, 1.0) for source in into["source"].tolist()])
    assert np.isclose(np.square(into["weight"] * deviations).sum(), 1.0, rtol=1e-5)


def test_the_bias_of_a_bridge_centers_its_input(evolve, make_evidence) -> None:
    genome = evolve(4)
    evidence = make_evidence(4, genome, num_absent=10**6)
    mean = dict(zip(evidence.node.tolist(), evidence.mean.tolist(), strict=True))
    _, new = bridged(genome, evidence, bias=True)
    into = new[new["target"] == 1000]
    weight = {int(gene["source"]): float(gene["weight"]) for gene in into}
    bias = weight.pop(genome.bias_id)
    assert weight and np.isclose(bias, -sum(w * mean.get(source, 0.0) for source, w in weight.items()), rtol=1e-5)
    for options in ({"bias": False}, {"bias": True, "bias_connections": "evolved"}):
        _, new = bridged(genome, evidence, **options)
        assert genome.bias_id not in new["source"].tolist()


@pytest.mark.parametrize(("room", "grown"), [(1, None), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_a_bridge_keeps_max_connections_unless_training_prunes(evolve, make_evidence, room: int, grown) -> None:
    genome = evolve(2)
    size, evidence = num_connections(genome), make_evidence(2, genome, num_absent=10**6)
    operator = GrowNode(max_connections=size + room)
    child = operator(genome, fresh(), np.random.default_rng(0), evidence)
    assert (child and num_connections(child) - size) == grown
    child = replace(operator, pruning="fisher")(genome, fresh(), np.random.default_rng(0), evidence)
    assert num_connections(child) - size == 4


def test_connections_are_split_in_proportion_to_their_strain(evolve, make_evidence) -> None:
    genome = evolve(3, num_inputs=3, num_outputs=2, num_mutations=6)
    strain_of = {}
    evidence = make_evidence(3, genome)
    legal = genome.active[1] & (genome.connections["source"] != genome.bias_id)
    for innovation in genome.connections["innovation"][legal].tolist():
        strain_of[innovation] = float(evidence.strain[evidence.innovation.tolist().index(innovation)])
    operator, rng, counts = GrowNode(kind="split"), np.random.default_rng(0), Counter()
    for _ in range(1500):
        child = operator(genome, fresh(), rng, evidence)
        before, after = (one.connections["innovation"][one.enabled] for one in (genome, child))
        (split,) = set(before.tolist()) - set(after.tolist())
        counts[split] += 1
    assert set(counts) <= set(strain_of)
    share = np.array(list(strain_of.values())) / sum(strain_of.values())
    assert chisquare([counts[number] for number in strain_of], 1500 * share).pvalue > 1e-3
    full = GrowNode(kind="split", max_connections=num_connections(genome))
    assert full(genome, fresh(), rng, evidence) is None


@pytest.mark.parametrize("activation", ["cosine", "gaussian", "sigmoid", "tanh"])
def test_a_split_says_the_same_to_inputs_of_zero(make_evidence, reference, activation: str) -> None:
    genome = dense_genome(4, (), 3, bias=True)
    genome = genome.with_weights(np.random.default_rng(0).standard_normal(15).astype(np.float32))
    operator = GrowNode(kind="split", activations=(activation,), bias=True)
    child = operator(genome, fresh(), np.random.default_rng(1), make_evidence(0, genome))
    assert len(child.nodes) == len(genome.nodes) + 1
    said = []
    for one in (genome, child):
        network = compile_network(one)
        _, activities = reference.forward(network, network.weight.astype(np.float64), np.zeros((4, 1)))
        said.append(activities[-3:, 0])
    assert np.allclose(*said, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_rewiring_moves_connections_from_low_saliency_to_large_slopes(evolve, make_evidence, seed: int) -> None:
    genome = evolve(seed, num_mutations=60).active_part()
    evidence = make_evidence(seed, genome, num_absent=10**6)
    size = num_connections(genome)
    child = RewireConnection(output_connections=True, share_min=0.2, share_max=0.2, **EXACT)(
        genome, fresh(), np.random.default_rng(0), evidence
    )
    is_input = genome.connections["source"] != genome.bias_id
    saliency = np.where(is_input, evidence.saliency_of(genome, unknown=np.inf), np.inf)
    lowest = genome.connections["innovation"][np.argsort(saliency)[: round(0.2 * size)]]
    assert not set(lowest.tolist()) & set(child.connections["innovation"].tolist())
    new = child.connections[child.connections["innovation"] >= 1000]
    assert (new["weight"] == 0).all()
    slope_of = dict(zip(map(tuple, evidence.absent.tolist()), np.abs(evidence.slope).tolist(), strict=True))
    chosen = [slope_of[s, t] for s, t in new[["source", "target"]].tolist()]
    left = evidence.absent_from(child, output_connections=True)
    alone = [child.graph.joinable(left.source[[i]], left.target[[i]], limit=1) for i in range(len(left.slope))]
    legal = [abs(left.slope[i]) for i, one in enumerate(alone) if len(one)]
    assert max(legal, default=0.0) <= min(chosen)
    from_bias = np.count_nonzero(new["source"] == genome.bias_id)
    assert num_connections(child) + from_bias == size or not legal
