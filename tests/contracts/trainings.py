"""What the tests of backends share: trainings of every kind, and what it means that two are the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.kernels import (
    Batches,
    Kernel,
    Loss,
    Optimization,
    OptimizerState,
    Perturbations,
    Plasticity,
    Proposals,
    Shaping,
    StepScores,
)
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network, compile_network

#: Single activations, and all of them mixed.
PALETTES = [*[(name,) for name in ACTIVATIONS], tuple(ACTIVATIONS)]
#: Samples and batch size, with a loss: a short last batch, one at a time, lanes of all sizes, everything at once; and
#: batches that the compiled loops cut into blocks of 64: full ones, one sample more, several and a partial one.
SHAPES = [
    ((23, 8), Loss.CROSS_ENTROPY),
    ((5, 1), Loss.MEAN_SQUARED_ERROR),
    ((67, 33), Loss.CLASS_SQUARED_ERROR),
    ((16, 16), Loss.CROSS_ENTROPY),
    ((200, 64), Loss.CLASS_SQUARED_ERROR),
    ((129, 65), Loss.MEAN_SQUARED_ERROR),
    ((300, 256), Loss.CROSS_ENTROPY),
]
#: Two full blocks and two samples in each of two batches, then a full block and six samples.
MANY_BLOCKS = {"num_samples": 330, "batch_size": 130}
LEARNING_RATES = {"sgd": 0.05, "adam": 0.01, "adamw": 0.01, "adadelta": 1.0, "rmsprop": 0.002, "none": 0.1}
#: Cuts that do and do not reach a gradient, and powers of its components.
TRANSFORMATIONS = [(math.inf, 0.5), (0.1, 1.0), (1e6, 1.0), (0.3, 0.7), (math.inf, 0.0)]


def assert_close(value: np.ndarray, expected: np.ndarray, tolerance: float = 2e-5) -> None:
    """Assert that two arrays agree to a part of the size of the largest number."""
    assert value.shape == expected.shape
    assert value.dtype == expected.dtype
    scale = max(float(np.max(np.abs(expected), initial=0.0)), 1.0)
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance * scale)


def palette_id(palette: tuple[str, ...]) -> str:
    return palette[0] if len(palette) == 1 else "all"


def everywhere(network: Network) -> np.ndarray:
    """Every edge."""
    return np.ones(network.num_edges, np.bool_)


PLASTICITIES: dict[str, Callable[[Network, np.ndarray, np.ndarray, np.ndarray], Plasticity]] = {
    "gradient": lambda n, some, feedback, direct: Plasticity(everywhere(n)),
    "some edges": lambda n, some, feedback, direct: Plasticity(some),
    "feedback": lambda n, some, feedback, direct: Plasticity(everywhere(n), feedback),
    "feedback, some edges": lambda n, some, feedback, direct: Plasticity(some, feedback),
    "direct": lambda n, some, feedback, direct: Plasticity(everywhere(n), direct=direct),
    "direct, some edges": lambda n, some, feedback, direct: Plasticity(some, direct=direct),
    "no propagation": lambda n, some, feedback, direct: Plasticity(n.into_output, propagate=False),
    "no propagation, all plastic, feedback": lambda n, some, feedback, direct: Plasticity(
        everywhere(n), feedback, propagate=False
    ),
    "oja": lambda n, some, feedback, direct: Plasticity(
        n.into_output, propagate=False, hebbian=~n.into_output, hebbian_lr=0.02
    ),
    "sanger": lambda n, some, feedback, direct: Plasticity(
        n.into_output, propagate=False, hebbian=~n.into_output, hebbian_lr=0.02, decorrelate=True
    ),
    "sanger of some, gradient of some": lambda n, some, feedback, direct: Plasticity(
        some, hebbian=~n.into_output & ~some, hebbian_lr=0.02, decorrelate=True
    ),
    "nothing": lambda n, some, feedback, direct: Plasticity(np.zeros(n.num_edges, np.bool_)),
}


def make_plasticity(kind: str, network: Network, seed: int = 1) -> Plasticity:
    """Return one of every kind of rule that a loop distinguishes."""
    rng = np.random.default_rng(seed)
    some = rng.random(network.num_edges) < 0.6
    feedback = rng.normal(0, 0.5, network.num_edges).astype(np.float32)
    num_hidden = network.num_nodes - network.num_sources - network.num_outputs
    direct = rng.normal(0, 0.5, (num_hidden, network.num_outputs)).astype(np.float32)
    return PLASTICITIES[kind](network, some, feedback, direct)


class Trained(NamedTuple):
    """What a training leaves."""

    weights: np.ndarray
    scores: StepScores
    state: OptimizerState


def trained(
    kernel: Kernel,
    network: Network,
    plasticity: Plasticity,
    optimization: Optimization,
    batches: Batches,
    order: np.ndarray,
    loss: Loss = Loss.CROSS_ENTROPY,
) -> Trained:
    """Train along a plasticity."""
    weights, state = network.weight.copy(), OptimizerState.zeros(network.num_edges)
    scores = kernel.train(network, weights, plasticity, optimization, state, batches, order, loss)
    return Trained(weights, scores, state)


def perturbed(
    kernel: Kernel,
    network: Network,
    plastic: np.ndarray,
    perturbations: Perturbations,
    optimization: Optimization,
    batches: Batches,
    order: np.ndarray,
    loss: Loss = Loss.CROSS_ENTROPY,
) -> Trained:
    """Train by an evolution strategy."""
    weights, state, rng = network.weight.copy(), OptimizerState.zeros(network.num_edges), np.random.default_rng(7)
    scores = kernel.train_by_perturbations(
        network, weights, plastic, perturbations, optimization, state, batches, order, loss, rng
    )
    return Trained(weights, scores, state)


def proposed(
    kernel: Kernel,
    network: Network,
    proposals: Proposals,
    batches: Batches,
    order: np.ndarray,
    loss: Loss = Loss.CROSS_ENTROPY,
) -> Trained:
    """Train by Metropolis proposals."""
    weights, state, rng = network.weight.copy(), OptimizerState.zeros(network.num_edges), np.random.default_rng(7)
    scores = kernel.train_by_proposals(network, weights, proposals, state, batches, order, loss, rng)
    return Trained(weights, scores, state)


def loops(network: Network) -> dict[str, Callable[..., Trained]]:
    """Every loop with plain settings, as ``loop(kernel, network, batches, order, loss)``."""
    adam = make_optimization("adam", lr=0.02)
    perturbations = Perturbations(6, 0.05, True, Shaping.CENTERED_RANKS)
    proposals = Proposals(np.full(network.num_edges, 0.05), 50.0, 3, 0.4)

    def train(kernel, network, batches, order, loss=Loss.CROSS_ENTROPY) -> Trained:
        return trained(kernel, network, Plasticity(everywhere(network)), adam, batches, order, loss)

    def train_by_perturbations(kernel, network, batches, order, loss=Loss.CROSS_ENTROPY) -> Trained:
        return perturbed(kernel, network, everywhere(network), perturbations, adam, batches, order, loss)

    def train_by_proposals(kernel, network, batches, order, loss=Loss.CROSS_ENTROPY) -> Trained:
        return proposed(kernel, network, proposals, batches, order, loss)

    return {f.__name__: f for f in (train, train_by_perturbations, train_by_proposals)}


def assert_same(run: Callable[[Kernel], Trained], kernel: Kernel, reference: Kernel, tolerance: float = 2e-4) -> None:
    """Assert that a backend trains as the reference does, through finite losses all the way."""
    found, expected = run(kernel), run(reference)
    assert np.isfinite(expected.scores.losses).all()
    assert_close(found.scores.losses, expected.scores.losses, tolerance)
    # A tie between two outputs may be broken by the last bit: one sample in a hundred.
    np.testing.assert_allclose(found.scores.accuracies, expected.scores.accuracies, atol=0.01)
    assert (found.scores.acceptances is None) == (expected.scores.acceptances is None)
    if expected.scores.acceptances is not None:
        assert_close(found.scores.acceptances, expected.scores.acceptances, 1e-12)
    assert_close(found.weights, expected.weights, tolerance)
    assert found.state.steps == expected.state.steps == len(expected.scores.losses)
    assert found.state.scale == pytest.approx(expected.state.scale)


def two_outputs(*weights: float, activation: str = "linear") -> Network:
    """One input, connected to each output with the given weight."""
    genome = minimal_genome(
        1,
        len(weights),
        p_enabled=1.0,
        tracker=InnovationTracker(),
        rng=np.random.default_rng(0),
        output_activation=activation,
    )
    return compile_network(genome.with_weights(np.array(weights, np.float32)))
