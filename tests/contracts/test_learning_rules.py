"""Every registered learning rule keeps the contract of `topoevo.learning.LearningRule`, and learns.

Written on the registry: a rule in a new file is tested without a line here.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from topoevo.genome import Genome, InnovationTracker
from topoevo.kernels import Batches, Loss
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.learning.base import Learner
from topoevo.learning.initialization import initial_weights
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network, compile_network

#: Epochs of 120 samples in minibatches of 16, Adam at .03: every rule has to be through by then.
BUDGET = 40


@pytest.fixture(params=list(LEARNING_RULES))
def rule(request: pytest.FixtureRequest) -> LearningRule:
    """Return a rule with its default options."""
    return LEARNING_RULES[request.param]()


@pytest.fixture(scope="module")
def dense() -> Network:
    """Return 5 inputs, 12 tanh nodes on random pairs of inputs each, 3 outputs connected to all of them, biases."""
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = Genome.minimal(5, 3, p_enabled=1.0, tracker=tracker, rng=rng, bias=True)
    for innovation in genome.connections["innovation"].tolist():
        gene = genome.connections[np.searchsorted(genome.connections["innovation"], innovation)]
        if gene["source"] != genome.bias_id and len(genome.nodes) < 9 + 12:
            genome = genome.split(innovation, tracker=tracker, activation="tanh", bias=True)
    for node in genome.nodes["id"][9:].tolist():
        for source, target in [*((i, node) for i in rng.permutation(5)[:2].tolist()), *((node, o) for o in (6, 7, 8))]:
            genes = genome.connections
            if not ((genes["source"] == source) & (genes["target"] == target)).any():
                genome = genome.connect(source, target, tracker=tracker)
    genome.validate()
    return compile_network(genome)


def start(rule: LearningRule, network: Network, kernel, *, seed: int = 0, loss: Loss = Loss.CROSS_ENTROPY) -> Learner:
    rng = np.random.default_rng(seed)
    weights = initial_weights(network, "he", rng)
    optimization = make_optimization("adam", lr=0.03)
    return rule.start(network, weights, kernel=kernel, optimization=optimization, loss=loss, rng=rng)


def epochs(batches: Batches, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(batches.num_batches) for _ in range(count)], np.int32)


def test_name_and_options(rule: LearningRule) -> None:
    assert LEARNING_RULES[rule.name] is type(rule)
    assert type(rule).__dataclass_params__.frozen
    for field in dataclasses.fields(rule):
        assert field.metadata["help"]
        assert field.default is not dataclasses.MISSING


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_classes(rule: LearningRule, dense: Network, classification, compiled, seed: int) -> None:
    inputs, labels = classification(3, num_samples=180)
    batches = Batches.lay_out(inputs[:120], labels[:120], batch_size=16)
    fresh = Batches.lay_out(inputs[120:], labels[120:], batch_size=60)
    learner = start(rule, dense, compiled, seed=seed)
    history = learner.train(batches, epochs(batches, BUDGET))
    assert not history.diverged
    assert history.mean("last_epoch")[1] >= 0.97
    assert history.mean("last_epoch")[0] < 0.5 * history.mean("first_ten_batches")[0]
    assert np.mean(learner.outputs(fresh).argmax(axis=0) == labels[120:]) >= 0.95


def test_it_learns_numbers(rule: LearningRule, dense: Network, compiled) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(120, 5)).astype(np.float32)
    targets = np.stack([inputs[:, 0] - inputs[:, 1], np.tanh(inputs[:, 2]), 0.5 + inputs[:, 3] * 0.3], 1).astype("f4")
    batches = Batches.lay_out(inputs, targets, batch_size=16)
    history = start(rule, dense, compiled, loss=Loss.MEAN_SQUARED_ERROR).train(batches, epochs(batches, BUDGET))
    assert history.mean("last_epoch")[0] < 0.25 * targets.var(axis=0).mean()


def test_both_backends_agree(rule: LearningRule, dense: Network, classification, compiled, reference) -> None:
    inputs, labels = classification(1, num_samples=50)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    learners = [start(rule, dense, kernel) for kernel in (compiled, reference)]
    histories = [learner.train(batches, epochs(batches, 3)) for learner in learners]
    np.testing.assert_allclose(learners[0].weights, learners[1].weights, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(histories[0].losses, histories[1].losses, rtol=1e-3)
    assert np.array_equal(histories[0].sizes, histories[1].sizes)


def test_the_same_seed_gives_the_same_bytes_in_any_thread(
    rule: LearningRule, dense: Network, classification, compiled
) -> None:
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)

    def trained(seed: int) -> bytes:
        learner = start(rule, dense, compiled, seed=seed)
        history = learner.train(batches, epochs(batches, 10))
        return learner.weights.tobytes() + history.losses.tobytes() + history.accuracies.tobytes()

    alone = [trained(seed) for seed in range(3)]
    assert len(set(alone)) == 3
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(trained, [0, 1, 2, 2, 1, 0])) == alone + alone[::-1]


def test_learning_touches_nothing_but_the_learner(rule: LearningRule, dense: Network, classification, compiled) -> None:
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    given = initial_weights(dense, "he", np.random.default_rng(0))
    watched = [given, dense.weight, dense.source, dense.activation, batches.inputs, batches.targets, batches.sizes]
    before = [array.tobytes() for array in watched]
    optimization = make_optimization("adam", lr=0.03)
    learner = rule.start(
        dense, given, kernel=compiled, optimization=optimization, loss=Loss.CROSS_ENTROPY, rng=np.random.default_rng(0)
    )
    learner.train(batches, epochs(batches, 2))
    assert [array.tobytes() for array in watched] == before
    assert (learner.weights != given).any()


def test_train_only_outputs_holds_for_every_rule(rule: LearningRule, dense: Network, classification, compiled) -> None:
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    learner = start(dataclasses.replace(rule, train_only_outputs=True), dense, compiled)
    before = learner.weights.copy()
    learner.train(batches, epochs(batches, 3))
    hidden = ~dense.into_output
    assert hidden.any()
    assert learner.weights[hidden].tobytes() == before[hidden].tobytes()
    assert (learner.weights[~hidden] != before[~hidden]).any()


def test_a_loss_that_is_not_finite_is_seen(rule: LearningRule, dense: Network, classification, compiled) -> None:
    inputs, labels = classification(1)
    inputs[70] = np.nan
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    learner = start(rule, dense, compiled)
    history = learner.train(batches, epochs(batches, 2))
    assert history.diverged
