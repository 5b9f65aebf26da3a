"""What operators are told of a network, against its definition: every number is found in another way, too."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.experiment.evidence import Probe, gather
from topoevo.genome import InnovationTracker, Role
from topoevo.genome.dense import dense_genome
from topoevo.kernels import Loss, Optimization, UpdateRule
from topoevo.learning import LEARNING_RULES
from topoevo.network import compile_network

SGD = Optimization(UpdateRule.SGD, 0.1)


@pytest.fixture
def probe_of(compiled):
    def build(genome, rule="backprop", num_samples=40, seed=0, optimization=SGD):
        network = compile_network(genome)
        rng = np.random.default_rng(seed)
        learner = LEARNING_RULES[rule]().start(
            network,
            network.weight,
            kernel=compiled,
            optimization=optimization,
            loss=Loss.CROSS_ENTROPY,
            rng=rng,
        )
        inputs = rng.standard_normal((network.num_inputs, num_samples)).astype(np.float32)
        return Probe(learner, inputs, rng.integers(network.num_outputs, size=(1, num_samples)).astype(np.int32))

    return build


def gradient(kernel, genome, inputs, targets):
    """Gradient of the mean loss by each edge, float64 [num_edges]."""
    network = compile_network(genome)
    z, a = kernel.forward(network, network.weight, inputs)
    errors = kernel.output_errors(Loss.CROSS_ENTROPY, a[-network.num_outputs :], targets)
    products = kernel.edge_products(network, kernel.backward(network, network.weight, z, a, errors), a)
    return network, products / inputs.shape[1]


@pytest.fixture
def genome(evolve):
    return evolve(4, num_mutations=80, activations=("tanh", "relu", "abs")).active_part()


def targets_of(probe, seed=0):
    rng = np.random.default_rng(seed)
    rng.standard_normal(probe.inputs.shape)
    return rng.integers(probe.learner.network.num_outputs, size=(1, probe.inputs.shape[1])).astype(np.int32)


def test_slopes_are_gradients_of_weights_that_are_not_there(probe_of, compiled, genome) -> None:
    probe = probe_of(genome)
    evidence = gather(probe, genome, output_connections=True)
    assert len(evidence.absent) > 5
    for (source, target), slope in zip(evidence.absent.tolist(), evidence.slope, strict=True):
        tracker = InnovationTracker(1000, 1000)
        joined = genome.connect(source, target, tracker=tracker, weight=0.0)
        network, found = gradient(compiled, joined, probe.inputs, targets_of(probe))
        edge = np.flatnonzero(joined.connections["innovation"][network.gene] == 1000)
        assert slope == pytest.approx(found[edge[0]], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("output_connections", [True, False])
def test_absent_connections_are_all_that_are_legal(probe_of, genome, output_connections: bool) -> None:
    evidence = gather(probe_of(genome), genome, output_connections=output_connections)
    pairs = genome.graph.open_pairs(output_connections=output_connections)
    legal = {tuple(genome.graph.id[list(pairs.pair(number))].tolist()) for number in range(pairs.num_pairs)}
    named = {tuple(pair) for pair in evidence.absent.tolist()}
    assert named <= legal
    # Whatever is missing has no slope: its source is silent or its target gets no error.
    assert len(named) > 0.5 * len(legal)
    assert (np.diff(np.abs(evidence.slope)) <= 0).all()


def test_the_largest_slopes_are_kept(probe_of, monkeypatch) -> None:
    """So many for each connection, or at least so many, of those that there are without a limit."""
    genome = dense_genome(40, (12,), 20, bias=True)
    genome = genome.with_only(genome.connections["innovation"] % 3 > 0)
    probe = probe_of(genome.with_weights(np.random.default_rng(1).standard_normal(len(genome.connections))))
    everything = gather(probe, genome, output_connections=True)
    num_edges = probe.learner.network.num_edges
    assert len(everything.absent) > num_edges
    for for_each, least, expected in ((1, 7, num_edges), (0, 7, 7)):
        monkeypatch.setattr("topoevo.experiment.evidence.ABSENT_PER_CONNECTION", for_each)
        monkeypatch.setattr("topoevo.experiment.evidence.LEAST_ABSENT", least)
        found = gather(probe, genome, output_connections=True)
        assert len(found.absent) == expected
        np.testing.assert_array_equal(found.absent, everything.absent[:expected])
        np.testing.assert_array_equal(found.slope, everything.slope[:expected])


def test_connections_have_room_where_only_new_nodes_may_feed_an_output(probe_of, monkeypatch) -> None:
    monkeypatch.setattr("topoevo.experiment.evidence.ABSENT_PER_CONNECTION", 0)
    monkeypatch.setattr("topoevo.experiment.evidence.LEAST_ABSENT", 40)
    genome = dense_genome(40, (12,), 20, bias=True)
    genome = genome.with_only(genome.connections["innovation"] % 3 > 0)
    probe = probe_of(genome.with_weights(np.random.default_rng(1).standard_normal(len(genome.connections))))
    both = gather(probe, genome, output_connections=True, new_nodes=True)
    hidden = gather(probe, genome, output_connections=False)
    apart = gather(probe, genome, output_connections=False, new_nodes=True)
    outputs = set(genome.nodes["id"][genome.role == Role.OUTPUT].tolist())
    is_output = np.array([target in outputs for target in apart.absent[:, 1].tolist()])
    assert (np.count_nonzero(is_output), np.count_nonzero(~is_output)) == (40, 40)
    np.testing.assert_array_equal(apart.absent[~is_output], hidden.absent)
    assert set(map(tuple, both.absent.tolist())) <= set(map(tuple, apart.absent.tolist()))
    assert (np.diff(np.abs(apart.slope)) <= 0).all()


def test_saliency_is_fisher_information(probe_of, compiled, genome) -> None:
    probe = probe_of(genome)
    evidence = gather(probe, genome, output_connections=True)
    targets = targets_of(probe)
    squares = []
    for sample in range(probe.inputs.shape[1]):
        network, one = gradient(compiled, genome, probe.inputs[:, sample : sample + 1], targets[:, sample : sample + 1])
        squares.append(one.astype(np.float64) ** 2)
    expected = network.weight.astype(np.float64) ** 2 * np.mean(squares, axis=0)
    order = np.argsort(genome.connections["innovation"][network.gene])
    np.testing.assert_allclose(evidence.saliency, expected[order], rtol=1e-3, atol=1e-9)
    assert (evidence.innovation == genome.connections["innovation"][network.gene][order]).all()


def test_strain_is_the_mean_size_of_samples_gradients(probe_of, compiled, genome) -> None:
    probe = probe_of(genome)
    targets = targets_of(probe)
    sizes = [
        np.abs(gradient(compiled, genome, probe.inputs[:, [k]], targets[:, [k]])[1].astype(np.float64))
        for k in range(probe.inputs.shape[1])
    ]
    np.testing.assert_allclose(probe.strain(), np.mean(sizes, axis=0), rtol=1e-3, atol=1e-8)


def test_an_optimizer_that_averages_squares_is_believed(probe_of, genome) -> None:
    probe = probe_of(genome, optimization=Optimization(UpdateRule.ADAM, 0.1, second_decay=0.9))
    probe.learner.state.steps = 5
    probe.learner.state.second[:] = np.arange(probe.learner.network.num_edges)
    expected = probe.learner.weights**2 * np.arange(probe.learner.network.num_edges, dtype=np.float32)
    assert probe.saliency().tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("changes", "is_believed"),
    [
        ({"weight_decay": 0.1, "decoupled": True}, True),
        ({"weight_decay": 0.1}, False),
        ({"max_grad_norm": 1.0}, False),
        ({"grad_power": 0.5}, False),
    ],
)
def test_averages_of_other_gradients_than_those_of_the_loss_are_not_believed(
    probe_of, genome, changes, is_believed
) -> None:
    fresh = probe_of(genome).saliency()
    probe = probe_of(genome, optimization=Optimization(UpdateRule.ADAM, 0.1, second_decay=0.9, **changes))
    probe.learner.state.steps = 5
    probe.learner.state.second[:] = 1.0
    assert (probe.saliency().tobytes() != fresh.tobytes()) == is_believed


def test_saliency_may_be_of_weights_or_of_what_passes_through_them(probe_of, genome) -> None:
    probe = probe_of(genome)
    network, weights = probe.learner.network, probe.learner.weights
    assert probe.saliency("magnitude").tobytes() == np.abs(weights).tobytes()
    norms = np.sqrt((probe.activities.astype(np.float64) ** 2).mean(axis=1))
    expected = np.abs(weights) * norms[network.source]
    np.testing.assert_allclose(probe.saliency("activity"), expected, rtol=1e-4)
    evidence = gather(probe, genome, output_connections=True, saliency="activity")
    order = np.argsort(genome.connections["innovation"][network.gene])
    np.testing.assert_allclose(evidence.saliency, expected[order], rtol=1e-4)


def test_averages_that_are_partly_inherited_are_not_believed(probe_of, genome) -> None:
    fresh = probe_of(genome, optimization=Optimization(UpdateRule.ADAM, 0.1, second_decay=0.9)).saliency()
    inherited = probe_of(genome, optimization=Optimization(UpdateRule.ADAM, 0.1, second_decay=0.9))
    state = inherited.learner.state
    state.steps, state.num_inherited = 5, 1000
    # The first edge is new: its average has seen five steps alone.
    state.second[1:] = 1.0
    assert inherited.saliency().tobytes() == fresh.tobytes()


def test_activities_are_those_of_the_nodes_and_of_all_inputs(probe_of, genome) -> None:
    probe = probe_of(genome)
    network = probe.learner.network
    evidence = gather(probe, genome, output_connections=True)
    rows = {int(node): row for node, row in zip(network.node_id, probe.activities, strict=True)}
    rows |= dict(enumerate(probe.inputs))
    assert evidence.node.tolist() == sorted(rows)
    expected = np.array([rows[node] for node in sorted(rows)])
    np.testing.assert_allclose(evidence.mean, expected.mean(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(evidence.deviation, expected.std(axis=1), rtol=1e-3, atol=1e-3)


def test_similar_nodes_are_those_that_correlate(probe_of, genome) -> None:
    probe = probe_of(genome)
    network = probe.learner.network
    evidence = gather(probe, genome, output_connections=True)
    hidden = slice(network.num_sources, network.num_nodes - network.num_outputs)
    rows = {int(node): row for row, node in enumerate(network.node_id[hidden])}
    with np.errstate(invalid="ignore"):
        table = np.corrcoef(probe.activities[hidden].astype(np.float64))
    found = [table[rows[a], rows[b]] for a, b in evidence.similar.tolist()]
    np.testing.assert_allclose(evidence.correlation, found, atol=1e-3)
    assert abs(found[0]) == pytest.approx(np.nanmax(np.abs(table - np.eye(len(table)))), abs=1e-3)


def test_feedback_alignment_gives_its_own_signal(probe_of, genome) -> None:
    probes = {rule: probe_of(genome, rule) for rule in ("backprop", "feedback_alignment", "direct_feedback_alignment")}
    outputs = slice(-probes["backprop"].learner.network.num_outputs, None)
    for rule in ("feedback_alignment", "direct_feedback_alignment"):
        assert probes[rule].errors[outputs].tobytes() == probes["backprop"].errors[outputs].tobytes()
        hidden = probes["backprop"].errors[: outputs.start]
        assert not np.allclose(probes[rule].errors[: outputs.start], hidden)


def test_rules_without_errors_in_hidden_nodes_have_other_evidence(probe_of, genome) -> None:
    for rule in ("hebbian", "last_layer"):
        probe = probe_of(genome, rule)
        network = probe.learner.network
        assert not probe.errors[: -network.num_outputs].any()
        evidence = gather(probe, genome, output_connections=True)
        ids = set(network.node_id[network.num_sources : -network.num_outputs].tolist())
        into_hidden = np.array([target in ids for target in evidence.absent[:, 1].tolist()])
        assert into_hidden.any() == (rule == "hebbian")
        if rule == "hebbian":
            row = {int(node): k for k, node in enumerate(network.node_id)}
            used = [k for k in np.flatnonzero(into_hidden) if int(evidence.absent[k, 0]) in row]
            means = [
                (probe.activities[row[s]].astype(np.float64) * probe.activities[row[t]]).mean()
                for s, t in evidence.absent[used].tolist()
            ]
            ratio = evidence.slope[used] / np.array(means)
            # Operators go against slopes, and the rule along the product of activities.
            assert np.median(ratio) < 0
            np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-2)


def test_frozen_connections_share_the_saliency_of_what_they_feed(probe_of, genome) -> None:
    probe = probe_of(genome, "last_layer")
    network, saliency = probe.learner.network, probe.saliency()
    start, edge = network.outgoing
    power = probe.learner.weights**2 * (probe.activities[network.source] ** 2).mean(axis=1)
    for row in range(network.num_sources, network.num_nodes - network.num_outputs):
        into = np.flatnonzero(network.target == row)
        if power[into].sum() > 0:
            total = saliency[edge[start[row] : start[row + 1]]].sum()
            np.testing.assert_allclose(saliency[into], total * power[into] / power[into].sum(), rtol=1e-3)
