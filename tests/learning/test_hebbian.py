"""Hebbian rules: what they converge to, and that the output layer is none of their business."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.kernels import Batches, Kernel, Loss
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.learning.base import Learner
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network


def start(
    network: Network,
    kernel: Kernel,
    rule: LearningRule,
    *,
    weights: np.ndarray | None = None,
    optimizer: str = "none",
    loss: Loss = Loss.MEAN_SQUARED_ERROR,
) -> Learner:
    return rule.start(
        network,
        network.weight if weights is None else weights,
        kernel=kernel,
        optimization=make_optimization(optimizer, lr=0.05),
        loss=loss,
        rng=np.random.default_rng(0),
    )


def hebbian(variant: str, rate: float) -> LearningRule:
    return LEARNING_RULES["hebbian"](variant=variant, rate=rate)


def steps(count: int) -> np.ndarray:
    """Epochs of a single minibatch."""
    return np.zeros((count, 1), np.int32)


@pytest.fixture(scope="module")
def samples() -> Batches:
    """Return 50 samples of 4 inputs, neither centered nor of equal variances, in one minibatch."""
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    inputs = rng.normal(size=(50, 4)) * [1.6, 1.1, 0.7, 0.4] @ rotation + 0.3
    return Batches.lay_out(inputs.astype(np.float32), np.zeros((50, 1), np.float32), batch_size=50)


def components(samples: Batches, *, bias: bool = False) -> np.ndarray:
    """Eigenvectors of the second moments <x x^T> of inputs (and bias) by falling eigenvalue, one a row."""
    inputs = samples.inputs[0].astype(np.float64)
    if bias:
        inputs = np.vstack([inputs, np.ones(inputs.shape[1])])
    values, vectors = np.linalg.eigh(inputs @ inputs.T / inputs.shape[1])
    assert np.diff(values).min() > 0.05, "well apart"
    return vectors.T[::-1]


@pytest.mark.parametrize("bias", [False, True])
def test_a_linear_node_finds_the_first_principal_component(bias: bool, dense, matrices, samples, compiled) -> None:
    sizes = (4, 1, 1)
    network = dense(sizes, activation="linear", bias=bias, weight_std=0.2)
    learner = start(network, compiled, hebbian("oja", 0.05))
    learner.train(samples, steps(600))
    found = matrices(network, learner.weights, sizes)[0][0]
    first = components(samples, bias=bias)[0]
    assert found * np.sign(found @ first) == pytest.approx(first, abs=1e-4)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-4)


def test_one_step_of_oja(evolve_network, compiled, reference) -> None:
    """Oja 1982, eq. 3, averaged over the minibatch and written sample by sample, on a graph of any shape."""
    network = evolve_network(6, activations=("tanh", "relu", "sine"))
    inputs = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    batches = Batches.lay_out(inputs, np.zeros((9, 3), np.float32), batch_size=9)
    weights = network.weight.astype(np.float64)
    _, activities = reference.forward(network, weights, batches.inputs[0].astype(np.float64))
    expected = weights.copy()
    hidden = np.flatnonzero(~network.into_output)
    assert len(hidden) > 5
    for e in hidden:
        x, y = activities[network.source[e]], activities[network.target[e]]
        expected[e] += 0.1 * np.mean([b * (a - weights[e] * b) for a, b in zip(x, y, strict=True)])
    for kernel in (compiled, reference):
        learner = start(network, kernel, hebbian("oja", 0.1))
        learner.train(batches, steps(1))
        assert learner.weights == pytest.approx(expected, abs=1e-5)


def test_one_step_of_sanger(evolve_network, compiled, reference) -> None:
    """Sanger 1989, eq. 6: what a node and those before it that share the source explain is subtracted."""
    network = evolve_network(6, activations=("tanh", "relu", "sine"))
    inputs = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    batches = Batches.lay_out(inputs, np.zeros((9, 3), np.float32), batch_size=9)
    weights = network.weight.astype(np.float64)
    _, activities = reference.forward(network, weights, batches.inputs[0].astype(np.float64))
    expected = weights.copy()
    hidden = np.flatnonzero(~network.into_output)
    shared = 0
    for e in hidden:
        before = [
            k for k in hidden if network.source[k] == network.source[e] and network.target[k] <= network.target[e]
        ]
        shared += len(before) > 1
        explained = sum(weights[k] * activities[network.target[k]] for k in before)
        expected[e] += 0.1 * np.mean(activities[network.target[e]] * (activities[network.source[e]] - explained))
    assert shared > 3
    for kernel in (compiled, reference):
        learner = start(network, kernel, hebbian("sanger", 0.1))
        learner.train(batches, steps(1))
        assert learner.weights == pytest.approx(expected, abs=1e-5)


def test_sanger_finds_the_first_components_in_order(dense, matrices, samples, compiled) -> None:
    sizes = (4, 3, 1)
    network = dense(sizes, activation="linear", bias=False, weight_std=0.2)
    learner = start(network, compiled, hebbian("sanger", 0.1))
    learner.train(samples, steps(1500))
    found = matrices(network, learner.weights, sizes)[0]
    expected = components(samples)[:3]
    assert found * np.sign(np.sum(found * expected, axis=1, keepdims=True)) == pytest.approx(expected, abs=2e-3)


def test_rectified_nodes_become_copies_by_oja_but_not_by_sanger(dense, matrices, compiled) -> None:
    """Inputs and first weights are positive, as of images: every node has the same first component to find."""
    sizes = (6, 4, 1)
    network = dense(sizes, activation="relu", bias=False)
    weights = np.abs(network.weight)
    inputs = np.random.default_rng(0).random((60, 6)).astype(np.float32)
    batches = Batches.lay_out(inputs, np.zeros((60, 1), np.float32), batch_size=60)
    cosines = {}
    for variant in ("oja", "sanger"):
        learner = start(network, compiled, hebbian(variant, 0.1), weights=weights)
        learner.train(batches, steps(2000))
        hidden = matrices(network, learner.weights, sizes)[0].astype(np.float64)
        directions = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
        cosines[variant] = (directions @ directions.T)[np.triu_indices(4, 1)]
    assert cosines["oja"].min() > 0.9999
    assert cosines["sanger"].max() < 0.9


@pytest.mark.parametrize("variant", ["oja", "sanger"])
def test_outputs_follow_the_gradient_as_in_last_layer(variant: str, dense, classification, compiled, reference) -> None:
    network = dense((5, 6, 3))
    inputs, labels = classification(0)
    batches = Batches.lay_out(inputs, labels, batch_size=120)
    outputs = network.into_output
    for kernel in (compiled, reference):

        def trained(rule: LearningRule, count: int, kernel: Kernel = kernel) -> np.ndarray:
            learner = start(network, kernel, rule, optimizer="adam", loss=Loss.CROSS_ENTROPY)
            learner.train(batches, steps(count))
            return learner.weights

        last_layer = LEARNING_RULES["last_layer"]()
        one = trained(hebbian(variant, 0.1), 1)
        assert one[outputs].tobytes() == trained(last_layer, 1)[outputs].tobytes()
        assert (one[~outputs] != network.weight[~outputs]).all()
        assert (trained(hebbian(variant, 0.1), 9)[outputs] != trained(last_layer, 9)[outputs]).any(), "other features"
        assert trained(hebbian(variant, 0.0), 9).tobytes() == trained(last_layer, 9).tobytes()
