"""The evolution strategy: its estimate is the gradient, its shapings and its published settings are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import rankdata

from topoevo.kernels import Batches, Kernel, Loss, Shaping
from topoevo.kernels.objectives import shaped_losses
from topoevo.learning import LEARNING_RULES
from topoevo.learning.base import Learner
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network


def start(
    network: Network,
    kernel: Kernel,
    *,
    optimizer: str = "sgd",
    lr: float = 1.0,
    loss: Loss = Loss.CROSS_ENTROPY,
    seed: int = 0,
    **options,
) -> Learner:
    return LEARNING_RULES["evolution_strategy"](**options).start(
        network,
        network.weight,
        kernel=kernel,
        optimization=make_optimization(optimizer, lr=lr),
        loss=loss,
        rng=np.random.default_rng(seed),
    )


def one_step(learner: Learner, batches: Batches) -> np.ndarray:
    """Change of the weights by one step, in double precision."""
    before = learner.weights.astype(np.float64)
    learner.train(batches, np.zeros((1, 1), np.int32))
    return learner.weights - before


@pytest.mark.parametrize("loss", [Loss.CROSS_ENTROPY, Loss.MEAN_SQUARED_ERROR])
def test_the_antithetic_estimate_converges_to_the_gradient(
    loss: Loss, evolve_network, make_batches, compiled, reference
):
    """The mean of n n^T g over m pairs has the mean square error |g|^2 (d + 1) / m in d dimensions (Isserlis)."""
    network = evolve_network(5, activations=("tanh", "sigmoid"), num_mutations=12)
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=12, batch_size=12)
    weights, inputs = network.weight.astype(np.float64), batches.inputs[0].astype(np.float64)
    weighted_inputs, activities = reference.forward(network, weights, inputs)
    output_errors = reference.output_errors(loss, activities[-network.num_outputs :], batches.targets[0])
    errors = reference.backward(network, weights, weighted_inputs, activities, output_errors)
    gradient = reference.edge_products(network, errors, activities) / inputs.shape[1]
    length = np.linalg.norm(gradient)
    assert 8 < network.num_edges < 50

    for num_pairs, repeats in ((50, 16), (500, 8), (5000, 1)):
        options = {"num_candidates": 2 * num_pairs, "sigma": 1e-3, "shaping": "raw"}
        estimates = [-one_step(start(network, compiled, loss=loss, seed=s, **options), batches) for s in range(repeats)]
        error = math.sqrt(np.mean([np.sum((estimate - gradient) ** 2) for estimate in estimates]))
        expected = length * math.sqrt((network.num_edges + 1) / num_pairs)
        # A sum of squares over more than 8 edges has a relative deviation of its root below 1 / sqrt(16) = .25.
        assert error == pytest.approx(expected, rel=0.5)
    cosine = estimates[0] @ gradient / (np.linalg.norm(estimates[0]) * length)
    assert cosine >= 0.99
    assert np.linalg.norm(estimates[0]) == pytest.approx(length, rel=0.05)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0, 2.0, 4.0], [-1 / 2, 0, 1 / 2]),
        ([3.0, 1.0, 1.0, 2.0], [1 / 2, -1 / 3, -1 / 3, 1 / 6]),
        ([5.0, 5.0, 5.0], [0, 0, 0]),
        ([2.0, 1.0, 2.0, 2.0, 1.0], [1 / 4, -3 / 8, 1 / 4, 1 / 4, -3 / 8]),
    ],
)
def test_centered_ranks(losses: list[float], expected: list[float]) -> None:
    found = shaped_losses(np.array(losses), Shaping.CENTERED_RANKS, 0.1)
    assert found == pytest.approx(expected)
    assert found == pytest.approx((rankdata(losses) - 1) / (len(losses) - 1) - 0.5)


def test_standardized_losses() -> None:
    assert shaped_losses(np.array([1.0, 3.0]), Shaping.STANDARDIZED, 0.1).tolist() == [-1, 1]
    found = shaped_losses(np.array([2.0, 4.0, 4.0, 6.0]), Shaping.STANDARDIZED, 0.1)
    assert found == pytest.approx([-math.sqrt(2), 0, 0, math.sqrt(2)])
    assert shaped_losses(np.full(4, 0.3), Shaping.STANDARDIZED, 0.1).tolist() == [0, 0, 0, 0]


def test_raw_losses() -> None:
    assert shaped_losses(np.array([1.0, 3.0]), Shaping.RAW, 0.5).tolist() == [2, 6]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("shaping", ["standardized", "centered_ranks"])
def test_candidates_that_are_all_equal_say_nothing(shaping: str, optimizer: str, dense, compiled, reference) -> None:
    """Steps far from their edges hide every perturbation."""
    network = dense((2, 3, 1), activation="step", output_activation="step", weight_std=1.0)
    inputs = np.random.default_rng(0).normal(10, 1, (6, 2)).astype(np.float32)
    batches = Batches.lay_out(inputs, np.ones((6, 1), np.float32), batch_size=6)
    for kernel in (compiled, reference):
        learner = start(network, kernel, loss=Loss.MEAN_SQUARED_ERROR, shaping=shaping, sigma=1e-6, optimizer=optimizer)
        history = learner.train(batches, np.zeros((3, 1), np.int32))
        assert not history.diverged
        assert learner.weights.tobytes() == network.weight.tobytes()


def test_the_plain_published_setting(dense, matrices, compiled, reference) -> None:
    """One step of ``cesch97/NeuroEvolution:main.jl`` (science of that run: P = 8, sigma = lr = .001), written anew.

    Losses there are summed over outputs; standardizing makes them the means of ours.
    """
    sizes, num_candidates, sigma, lr, batch_size = (6, 4, 4, 3), 8, 0.001, 0.001, 16
    network = dense(sizes, activation="relu", weight_std=0.5)
    rng = np.random.default_rng(3)
    inputs = rng.random((batch_size, 6)).astype(np.float32)
    labels = rng.integers(0, 3, batch_size).astype(np.int32)
    theta = network.weight.astype(np.float64)
    perturbations = sigma * np.random.default_rng(7).standard_normal((num_candidates, len(theta)), np.float32)

    def loss(parameters: np.ndarray) -> float:
        layers = matrices(network, parameters, sizes)
        x = inputs.T.astype(np.float64)
        for depth, layer in enumerate(layers):
            x = layer[:, :-1] @ x + layer[:, -1:]
            if depth < len(layers) - 1:
                x = np.maximum(x, 0)
        return float(np.mean(np.sum((x - np.eye(3)[labels].T) ** 2, axis=0)))

    losses = np.array([loss(theta + perturbation) for perturbation in perturbations])
    advantages = (losses - losses.mean()) / losses.std()
    expected = -lr / (num_candidates * sigma) * advantages @ perturbations

    batches = Batches.lay_out(inputs, labels, batch_size=batch_size)
    for kernel in (reference, compiled):
        learner = start(
            network,
            kernel,
            lr=lr,
            loss=Loss.CLASS_SQUARED_ERROR,
            seed=7,
            num_candidates=num_candidates,
            sigma=sigma,
            antithetic=False,
            shaping="standardized",
        )
        history = learner.train(batches, np.zeros((1, 1), np.int32))
        # Differences of losses are 1e-4, to which single precision adds 1e-7.
        np.testing.assert_allclose(learner.weights - theta, expected, rtol=0, atol=0.01 * np.abs(expected).max())
        assert history.losses[0] == pytest.approx(loss(theta) / 3, rel=1e-5)


def test_pairs_with_centered_ranks_and_adam(dense, compiled, reference) -> None:
    """One step of Salimans et al. 2017: ranks of both members of every pair, and Adam's first step, lr sign(g)."""
    network = dense((3, 1), bias=False)
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(10, 3)).astype(np.float32), rng.normal(size=(10, 1)).astype(np.float32)
    noise = np.random.default_rng(5).standard_normal((4, 3), np.float32).astype(np.float64)
    candidates = np.concatenate([network.weight + 0.1 * noise, network.weight - 0.1 * noise])
    losses = [np.mean((inputs.astype(np.float64) @ candidate - targets[:, 0]) ** 2) for candidate in candidates]
    ranks = (rankdata(losses) - 1) / 7 - 0.5
    estimate = (ranks[:4] - ranks[4:]) @ noise / 8
    batches = Batches.lay_out(inputs, targets, batch_size=10)
    options = {"num_candidates": 8, "sigma": 0.1, "loss": Loss.MEAN_SQUARED_ERROR, "seed": 5}
    for kernel in (reference, compiled):
        assert one_step(start(network, kernel, **options), batches) == pytest.approx(-estimate, abs=1e-6)
        adam = one_step(start(network, kernel, optimizer="adam", lr=0.01, **options), batches)
        assert adam == pytest.approx(-0.01 * np.sign(estimate), rel=1e-4)


def test_it_trains_steps(dense, classification, compiled) -> None:
    """Hidden steps have no slope: a rule that follows errors leaves the weights below them as they are."""
    network = dense((5, 8, 3), activation="step")
    inputs, labels = classification(2, num_samples=90)
    batches = Batches.lay_out(inputs, labels, batch_size=90)
    learner = start(network, compiled, optimizer="adam", lr=0.1, sigma=0.3, num_candidates=20)
    history = learner.train(batches, np.zeros((60, 1), np.int32))
    hidden = ~network.into_output
    assert (learner.weights[hidden] != network.weight[hidden]).all()
    assert history.accuracies[-1] >= 0.95 > 0.6 > history.accuracies[0]
