"""Pruning while a network learns: how many go when, which ones, and that what is left goes on exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from topoevo.genome.dense import dense_genome
from topoevo.kernels import Loss, Optimization, UpdateRule
from topoevo.learning import LEARNING_RULES
from topoevo.learning.course import train_and_prune
from topoevo.learning.pruning import Pruning, most_salient, prune
from topoevo.network import compile_network

ADAM = Optimization(UpdateRule.ADAM, 0.02, final_lr_ratio=0.1, first_decay=0.9, second_decay=0.99)
RULES = ["backprop", "feedback_alignment", "direct_feedback_alignment", "hebbian", "last_layer"]


@pytest.fixture
def start(compiled, evolve_network):
    def build(rule="backprop", seed=3, num_steps=0):
        network = evolve_network(seed, num_mutations=120, activations=("tanh", "relu"))
        return LEARNING_RULES[rule]().start(
            network,
            network.weight,
            kernel=compiled,
            optimization=ADAM,
            loss=Loss.CROSS_ENTROPY,
            rng=np.random.default_rng(0),
            num_steps=num_steps,
        )

    return build


def by_magnitude(learner):
    return np.abs(learner.weights)


def size(network) -> int:
    return int(np.count_nonzero(~network.from_bias))


def epochs_of(batches, num_epochs=4):
    return np.tile(np.arange(batches.num_batches, dtype=np.int32), (num_epochs, 1))


def test_the_schedule_is_cubic_and_ends_with_what_is_wanted() -> None:
    stages = Pruning(100, by_magnitude, stages_per_halving=3, start=0.1, stop=0.5).schedule(800, 1000)
    steps, left = zip(*stages, strict=True)
    assert len(stages) == 9, "three halvings in three stages each"
    assert (steps[-1], left[-1]) == (500, 100)
    assert steps[0] > 100
    # Zhu & Gupta 2018, eq. 1, with the share of the way as a variable.
    progress = np.arange(1, 10) / 9
    assert left == tuple(int(100 + 700 * (1 - p) ** 3) for p in progress)


@pytest.mark.parametrize(("before", "stages"), [(100, 0), (99, 0), (101, 1), (200, 4)])
def test_there_is_a_stage_where_one_connection_is_too_many(before: int, stages: int) -> None:
    assert len(Pruning(100, by_magnitude, stages_per_halving=4, stop=0.5).schedule(before, 1000)) == stages


@pytest.mark.parametrize("rule", RULES)
def test_nothing_to_prune_is_plain_training_bit_for_bit(start, make_batches, rule: str) -> None:
    plain, pruned = start(rule), start(rule)
    batches = make_batches(0, plain.network, classes=True, num_samples=90, batch_size=20)
    before = plain.train(batches, epochs_of(batches))
    after = train_and_prune(
        pruned, batches, epochs_of(batches), Pruning(10_000, by_magnitude, stages_per_halving=2, stop=0.5)
    )
    assert plain.weights.tobytes() == pruned.weights.tobytes()
    assert before.losses.tobytes() == after.losses.tobytes()
    assert before.mean("last_epoch") == after.mean("last_epoch")


@pytest.mark.parametrize("rule", RULES)
def test_as_many_are_left_as_are_wanted_and_all_are_of_use(start, make_batches, rule: str) -> None:
    learner = start(rule)
    batches = make_batches(0, learner.network, classes=True, num_samples=90, batch_size=20)
    whole, wanted = learner.network, size(learner.network) // 3
    history = train_and_prune(
        learner, batches, epochs_of(batches), Pruning(wanted, by_magnitude, stages_per_halving=2, stop=0.5)
    )
    network = learner.network
    assert 0 < size(network) <= wanted
    assert set(network.gene) < set(whole.gene)
    outgoing = set(network.source)
    hidden = range(network.num_sources, network.num_nodes - network.num_outputs)
    assert all(row in outgoing for row in hidden), "a node that nobody hears"
    heard = set(network.target[~network.from_bias])
    assert all(row in heard for row in hidden), "a node that hears nothing but the bias"
    assert len(learner.weights) == len(learner.state.first) == len(learner.plasticity.plastic) == network.num_edges
    assert np.isfinite(history.losses).all()


def test_the_most_salient_stay(start) -> None:
    learner = start()
    rng = np.random.default_rng(1)
    saliency = rng.random(learner.network.num_edges).astype(np.float32)
    # Edges into outputs: then nobody is left on no path for want of others.
    saliency[learner.network.into_output & (learner.network.source < learner.network.num_sources)] += 10
    wanted = int(np.count_nonzero((saliency > 10) & ~learner.network.from_bias))
    genes = learner.network.gene[(saliency > 10) & ~learner.network.from_bias]
    prune(learner, wanted, saliency)
    assert sorted(learner.network.gene[~learner.network.from_bias]) == sorted(genes)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_left_learns_as_a_network_of_its_own(start, make_batches, rule: str) -> None:
    """After pruning, training is that of the smaller network from the same weights and memory."""
    learner = start(rule, num_steps=40)
    batches = make_batches(0, learner.network, classes=True, num_samples=90, batch_size=20)
    order = epochs_of(batches, 8)
    learner.train(batches, order[:4])
    whole, weights, state, plasticity = learner.network, learner.weights.copy(), learner.state, learner.plasticity
    prune(learner, size(whole) // 2, np.abs(weights))
    rows = np.flatnonzero(np.isin(whole.gene, learner.network.gene))
    twin = start(rule, num_steps=40)
    twin.network, twin.weights = learner.network, weights[rows]
    hidden = np.isin(whole.node_id[whole.num_sources : -whole.num_outputs], learner.network.node_id)
    twin.plasticity = replace(
        plasticity,
        plastic=plasticity.plastic[rows],
        feedback=None if plasticity.feedback is None else plasticity.feedback[rows],
        direct=None if plasticity.direct is None else plasticity.direct[hidden],
        hebbian=None if plasticity.hebbian is None else plasticity.hebbian[rows],
    )
    twin.state = replace(state, first=state.first[rows], second=state.second[rows])
    learner.train(batches, order[4:])
    twin.train(batches, order[4:])
    assert learner.weights.tobytes() == twin.weights.tobytes()
    assert learner.state.steps == 40


def test_a_training_that_diverges_ends_there(start, make_batches) -> None:
    learner = start()
    learner.optimization = replace(learner.optimization, lr=1e30)
    batches = make_batches(0, learner.network, classes=True, num_samples=90, batch_size=20)
    history = train_and_prune(
        learner, batches, epochs_of(batches), Pruning(5, by_magnitude, stages_per_halving=2, stop=0.5)
    )
    assert history.diverged
    assert len(history.losses) == len(history.sizes) == epochs_of(batches).size


@pytest.mark.parametrize("seed", range(6))
def test_none_is_spent_on_a_connection_that_is_on_no_path(evolve_network, seed: int) -> None:
    network = evolve_network(seed, num_mutations=120)
    rng = np.random.default_rng(seed)
    saliency = rng.exponential(size=network.num_edges)
    for num_connections in range(1, size(network)):
        keep = most_salient(network, num_connections, saliency)
        part, kept = network.part(keep)
        top = np.argsort(-np.where(network.from_bias, -1.0, saliency), kind="stable")[:num_connections]
        plain = network.from_bias.copy()
        plain[top] = True
        assert size(network.part(plain)[0]) <= size(part) <= num_connections
        assert (kept == keep)[~network.from_bias].all()
        if size(part) < num_connections:
            # No other connection can come alone.
            for edge in np.flatnonzero(~keep):
                more = keep.copy()
                more[edge] = True
                assert size(network.part(more)[0]) != size(part) + 1


def test_outputs_that_seem_useless_do_not_empty_a_small_network() -> None:
    network = compile_network(dense_genome(12, (4,), 2))
    saliency = np.where(network.target < 16, 2.0, 1.0)
    saliency[network.source >= 12] = 0.5
    assert [size(network.part(most_salient(network, count, saliency))[0]) for count in (2, 5, 9, 20)] == [2, 5, 9, 20]
