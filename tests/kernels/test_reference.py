"""The reference backend against calculus: finite differences, definitions and updates by hand."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.kernels import Batches, Loss, Optimization, OptimizerState, Plasticity, UpdateRule
from topoevo.kernels.reference import _mean_scores
from topoevo.learning.optimizers import make_optimization

SMOOTH = ("linear", "sine", "cosine", "gaussian", "tanh", "sigmoid", "inverse")
KINKED = ("abs", "relu", "step")


def mean_loss(kernel, network, weights, inputs, targets, loss) -> float:
    _, activities = kernel.forward(network, weights, inputs)
    return _mean_scores(loss, activities[-network.num_outputs :], targets)[0]


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("activations", [SMOOTH, (*SMOOTH, *KINKED), *[(name,) for name in ACTIVATIONS]], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_products_are_gradients(evolve_network, reference, activations, loss: Loss, seed: int) -> None:
    output_activation = ("linear", "tanh", "sigmoid")[seed]
    network = evolve_network(seed, activations=activations, output_activation=output_activation, num_mutations=25)
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.6, network.num_edges)
    inputs = rng.normal(size=(network.num_inputs, 6))
    targets = rng.integers(0, 3, (1, 6)) if loss is Loss.CROSS_ENTROPY else rng.normal(size=(3, 6))
    weighted_inputs, activities = reference.forward(network, weights, inputs)
    # A sample with a node close to a kink says nothing: leave it out.
    kinked = np.array([ACTIVATIONS_BY_CODE[code].name in KINKED for code in network.activation])
    dead = (weighted_inputs == 0).all(axis=1)  # fed by nothing but zeros: the slope at 0 meets activities of 0
    clear = (np.abs(weighted_inputs[kinked & ~dead]) > 1e-3).all(axis=0)
    assert clear.any()
    inputs, targets = inputs[:, clear], targets[:, clear]
    weighted_inputs, activities = reference.forward(network, weights, inputs)
    output_errors = reference.output_errors(loss, activities[-network.num_outputs :], targets)
    errors = reference.backward(network, weights, weighted_inputs, activities, output_errors)
    gradient = reference.edge_products(network, errors, activities) / clear.sum()
    assert gradient.dtype == np.float64

    numeric = np.empty(network.num_edges)
    h = 1e-6
    for edge in range(network.num_edges):
        change = np.zeros(network.num_edges)
        change[edge] = h
        numeric[edge] = (
            mean_loss(reference, network, weights + change, inputs, targets, loss)
            - mean_loss(reference, network, weights - change, inputs, targets, loss)
        ) / (2 * h)
    np.testing.assert_allclose(gradient, numeric, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("loss", Loss)
def test_output_errors_are_derivatives(reference, loss: Loss) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(0, 3, (4, 5))
    targets = rng.integers(0, 4, (1, 5)) if loss is Loss.CROSS_ENTROPY else rng.normal(size=(4, 5))
    errors = reference.output_errors(loss, outputs, targets)
    for place in np.ndindex(4, 5):
        change = np.zeros((4, 5))
        change[place] = 1e-6
        numeric = 5 * (
            _mean_scores(loss, outputs + change, targets)[0] - _mean_scores(loss, outputs - change, targets)[0]
        )
        assert errors[place] == pytest.approx(numeric / 2e-6, abs=1e-6)


def test_losses_by_definition() -> None:
    outputs = np.array([[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    loss, accuracy = _mean_scores(Loss.CROSS_ENTROPY, outputs, np.array([[0, 1]], np.int32))
    assert loss == pytest.approx((np.log(3) + np.log(np.e**2 + 2)) / 2)
    assert accuracy == 0.5, "a tie goes to the first output"
    loss, accuracy = _mean_scores(Loss.MEAN_SQUARED_ERROR, outputs, outputs + np.array([[1.0], [2.0], [0.0]]))
    assert loss == pytest.approx(5 / 3)
    assert np.isnan(accuracy)


def test_cross_entropy_neither_over_nor_underflows(reference) -> None:
    outputs = np.array([[3e4, -3e4], [0.0, 0.0]], np.float32)
    loss, _ = _mean_scores(Loss.CROSS_ENTROPY, outputs, np.array([[1, 0]], np.int32))
    assert loss == pytest.approx(3e4)
    errors = reference.output_errors(Loss.CROSS_ENTROPY, outputs, np.array([[1, 0]], np.int32))
    assert errors.tolist() == [[1, -1], [-1, 1]]


# -- updates by hand --------------------------------------------------------------------------------------------


def steps(kernel, optimization: Optimization, gradients: list[float], start: float = 1.0) -> list[float]:
    """Weight after each step of a single edge."""
    weights, state = np.array([start], np.float32), OptimizerState.zeros(1)
    seen = []
    for gradient in gradients:
        kernel.update(
            optimization, state, weights, np.array([gradient], np.float32), np.ones(1, np.bool_), lr=optimization.lr
        )
        seen.append(float(weights[0]))
    assert state.steps == len(gradients)
    return seen


def test_sgd_by_hand(reference, compiled) -> None:
    for kernel in (reference, compiled):
        plain = make_optimization("sgd", lr=0.1)
        assert steps(kernel, plain, [2, -1]) == pytest.approx([0.8, 0.9])
        heavy = make_optimization("sgd", lr=0.1, momentum=0.5)
        assert steps(kernel, heavy, [2, 2, 0]) == pytest.approx([0.8, 0.5, 0.35])  # velocity 2, 3, 1.5
        decayed = make_optimization("sgd", lr=0.1, weight_decay=0.5)
        assert steps(kernel, decayed, [0, 0]) == pytest.approx([0.95, 0.9025])


def test_adam_by_hand(reference, compiled) -> None:
    for kernel in (reference, compiled):
        adam = make_optimization("adam", lr=0.1)
        # The first step is lr times the sign, whatever the size; the second follows from algorithm 1.
        m, v = 0.9 * 0.1 * 3 + 0.1 * -1, 0.999 * 0.001 * 9 + 0.001
        second = 0.1 * (m / (1 - 0.81)) / (np.sqrt(v / (1 - 0.999**2)) + 1e-8)
        assert steps(kernel, adam, [3, -1]) == pytest.approx([0.9, 0.9 - second], rel=1e-5)
        assert steps(kernel, adam, [1e-3]) == pytest.approx([0.9], rel=1e-4)
        # L2: the decay is part of the gradient, so its size is divided out again.
        assert steps(kernel, make_optimization("adam", lr=0.1, weight_decay=0.2), [0]) == pytest.approx([0.9])


def test_adamw_decays_beside_the_gradient(reference, compiled) -> None:
    for kernel in (reference, compiled):
        adamw = make_optimization("adamw", lr=0.1, weight_decay=0.2)
        assert steps(kernel, adamw, [0, 0]) == pytest.approx([0.98, 0.98**2])
        assert steps(kernel, adamw, [5]) == pytest.approx([0.98 - 0.1], rel=1e-5)


def test_adadelta_by_hand(reference, compiled) -> None:
    for kernel in (reference, compiled):
        adadelta = make_optimization("adadelta", lr=1.0)
        second = 0.1 * 4
        move = np.sqrt(1e-6 / (second + 1e-6)) * 2
        first = 0.1 * move**2
        second_2 = 0.9 * second + 0.1 * 9
        move_2 = np.sqrt((first + 1e-6) / (second_2 + 1e-6)) * 3
        assert steps(kernel, adadelta, [2, 3]) == pytest.approx([1 - move, 1 - move - move_2], rel=1e-6)


@pytest.mark.parametrize("rule", UpdateRule)
@pytest.mark.parametrize("decoupled", [False, True])
def test_what_is_not_plastic_stays(reference, compiled, rule: UpdateRule, decoupled: bool) -> None:
    optimization = Optimization(rule, 0.1, 1.0, 0.9, 0.9, 1e-8, 0.1, decoupled)
    plastic = np.array([True, False, True, False])
    for kernel in (reference, compiled):
        weights = np.ones(4, np.float32)
        kernel.update(optimization, OptimizerState.zeros(4), weights, np.ones(4, np.float32), plastic, lr=0.1)
        assert (weights[plastic] < 1).all()
        assert (weights[~plastic] == 1).all()


# -- whole trainings --------------------------------------------------------------------------------------------


def test_each_step_is_the_primitives_one_after_the_other(evolve_network, reference, make_batches) -> None:
    network = evolve_network(3)
    batches = make_batches(0, network, classes=True, num_samples=10, batch_size=4)
    optimization = make_optimization("sgd", lr=0.1, lr_schedule="linear")
    weights = network.weight.copy()
    order = np.array([2, 0, 1], np.int32)
    losses, accuracies = reference.train(
        network, weights, Plasticity(np.ones(network.num_edges, np.bool_)), optimization,
        OptimizerState.zeros(network.num_edges), batches, order, Loss.CROSS_ENTROPY,
    )  # fmt: skip
    expected, state = network.weight.copy(), OptimizerState.zeros(network.num_edges)
    for step, (batch, size, lr) in enumerate(zip(order, (2, 4, 4), (0.1, 0.051, 0.002), strict=True)):
        inputs, targets = batches.inputs[batch, :, :size], batches.targets[batch, :, :size]
        weighted_inputs, activities = reference.forward(network, expected, inputs)
        outputs = activities[-network.num_outputs :]
        assert (losses[step], accuracies[step]) == pytest.approx(_mean_scores(Loss.CROSS_ENTROPY, outputs, targets))
        errors = reference.output_errors(Loss.CROSS_ENTROPY, outputs, targets)
        errors = reference.backward(network, expected, weighted_inputs, activities, errors)
        gradient = reference.edge_products(network, errors, activities) / size
        reference.update(optimization, state, expected, gradient, np.ones(network.num_edges, np.bool_), lr=lr)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_outputs_cover_every_sample(evolve_network, reference, make_batches) -> None:
    network = evolve_network(1)
    batches = make_batches(0, network, classes=False, num_samples=11, batch_size=4)
    one = Batches(batches.inputs[2:, :, :3], batches.targets[2:, :, :3], batches.sizes[2:])
    outputs = reference.outputs(network, network.weight, batches)
    assert outputs.shape == (3, 11)
    assert np.array_equal(outputs[:, 8:], reference.outputs(network, network.weight, one))
