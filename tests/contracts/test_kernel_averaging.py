"""Averages of weights after the last steps of a training, on every backend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from topoevo.kernels import Loss, OptimizerState, Perturbations, Plasticity, Shaping
from topoevo.learning.optimizers import OPTIMIZERS, make_optimization

from .trainings import (
    LEARNING_RATES,
    PLASTICITIES,
    assert_close,
    everywhere,
    make_plasticity,
    perturbed,
    trained,
    two_outputs,
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", PLASTICITIES)
def test_averages_are_those_of_the_weights_after_the_last_steps(
    evolve_network, make_batches, any_kernel, reference, optimizer: str, kind: str
) -> None:
    network = evolve_network(2, activations=("tanh", "relu"), num_mutations=25, weight_std=0.5)
    plasticity, order = make_plasticity(kind, network), np.array([0, 2, 1, 1, 0, 2, 0, 1, 1, 0], np.int32)
    batches = make_batches(0, network, classes=True, num_samples=45, batch_size=16)
    optimization = make_optimization(
        optimizer, lr=LEARNING_RATES[optimizer], weight_decay=0.01, lr_schedule="cosine", weight_averaging=0.35
    )
    found = trained(any_kernel, network, plasticity, optimization, batches, order)
    plain = trained(any_kernel, network, plasticity, replace(optimization, weight_averaging=0.0), batches, order)
    assert found.weights.tobytes() == plain.weights.tobytes()
    assert found.scores.losses.tobytes() == plain.scores.losses.tobytes()
    assert plain.state.average is None
    # The same in steps of one minibatch, without averaging: 3.5 of ten steps are four.
    weights, state, path = network.weight.copy(), OptimizerState.zeros(network.num_edges, len(order)), []
    for one in order:
        any_kernel.train(
            network, weights, plasticity, replace(optimization, weight_averaging=0.0), state, batches,
            np.array([one], np.int32), Loss.CROSS_ENTROPY,
        )  # fmt: skip
        path.append(weights.copy())
    assert weights.tobytes() == found.weights.tobytes()
    expected = np.mean(path[-4:], axis=0, dtype=np.float64).astype(np.float32)
    assert np.array_equal(found.state.average, expected) and found.state.num_summed == 4
    learning = plasticity.plastic if optimizer != "none" else np.zeros(network.num_edges, np.bool_)
    if plasticity.hebbian is not None:
        learning = learning | plasticity.hebbian
    assert (expected != found.weights).any() == learning.any()
    expected = trained(reference, network, plasticity, optimization, batches, order).state
    assert_close(found.state.average, expected.average, 2e-4)
    assert found.state.num_summed == expected.num_summed


def test_averages_of_perturbed_networks(evolve_network, make_batches, any_kernel) -> None:
    network = evolve_network(2, activations=("tanh",), num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=True, num_samples=45, batch_size=16)
    order = np.array([0, 2, 1, 1, 0], np.int32)
    perturbations = Perturbations(6, 0.05, True, Shaping.CENTERED_RANKS)
    path = []
    for num in range(len(order) + 1):
        optimization = make_optimization("adam", lr=0.02, weight_averaging=0.0 if num < len(order) else 0.6)
        found = perturbed(
            any_kernel, network, everywhere(network), perturbations, optimization, batches, order[: num + 1]
        )
        path.append(found.weights)
    assert path[-1].tobytes() == path[-2].tobytes()
    expected = np.mean(path[2:5], axis=0, dtype=np.float64).astype(np.float32)
    assert np.array_equal(found.state.average, expected)


@pytest.mark.parametrize(
    ("share", "num_steps", "num"), [(0.0, 10, 0), (1e-9, 10, 1), (0.3, 10, 3), (0.99, 10, 10), (0.5, 1, 1)]
)
def test_how_many_steps_are_averaged(make_batches, any_kernel, share: float, num_steps: int, num: int) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=True, num_samples=4, batch_size=4)
    optimization = make_optimization("sgd", lr=0.1, weight_averaging=share)
    order = np.zeros(num_steps, np.int32)
    assert (
        trained(any_kernel, network, Plasticity(everywhere(network)), optimization, batches, order)[2].num_summed == num
    )


def test_an_average_of_an_earlier_training_is_forgotten(make_batches, any_kernel) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=True, num_samples=4, batch_size=4)
    optimization = make_optimization("sgd", lr=0.1, weight_averaging=0.5)
    state = OptimizerState.zeros(2, 8)
    state.add_to_average(np.full(2, 1e6, np.float32))
    weights, path = network.weight.copy(), []
    for _ in range(8):
        any_kernel.train(
            network, weights, Plasticity(everywhere(network)), optimization, state, batches, np.zeros(1, np.int32),
            Loss.CROSS_ENTROPY,
        )  # fmt: skip
        path.append(weights.copy())
    assert state.num_summed == 4
    np.testing.assert_allclose(state.average, np.mean(path[4:], axis=0), rtol=1e-6)


def test_weights_before_a_divergence_alone_are_averaged(any_kernel, make_batches) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=False, num_samples=4, batch_size=4)
    batches.inputs[:] = 1e4
    sgd = make_optimization("sgd", lr=1e3, weight_averaging=0.99)
    with np.errstate(over="ignore", invalid="ignore"):
        found = trained(
            any_kernel, network, Plasticity(everywhere(network)), sgd, batches, np.zeros(20, np.int32),
            Loss.MEAN_SQUARED_ERROR,
        )  # fmt: skip
    assert 1 <= found.state.steps < 20
    assert found.state.num_summed == found.state.steps
