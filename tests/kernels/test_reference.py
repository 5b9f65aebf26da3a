"""The reference backend against definitions, and updates by hand; its gradients are proven in test_gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

from topoevo.kernels import Batches, Loss, Optimization, OptimizerState, Plasticity, UpdateRule
from topoevo.kernels.loss import mean_scores
from topoevo.learning.optimizers import make_optimization


def test_losses_by_definition() -> None:
    outputs = np.array([[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    loss, accuracy = mean_scores(Loss.CROSS_ENTROPY, outputs, np.array([[0, 1]], np.int32))
    assert loss == pytest.approx((np.log(3) + np.log(np.e**2 + 2)) / 2)
    assert accuracy == 0.5, "a tie goes to the first output"
    loss, accuracy = mean_scores(Loss.MEAN_SQUARED_ERROR, outputs, outputs + np.array([[1.0], [2.0], [0.0]]))
    assert loss == pytest.approx(5 / 3)
    assert np.isnan(accuracy)
    loss, accuracy = mean_scores(Loss.CLASS_SQUARED_ERROR, outputs, np.array([[0, 1]], np.int32))
    assert loss == pytest.approx((1 + 4 + 1) / 6)
    assert accuracy == 0.5


def test_cross_entropy_neither_over_nor_underflows(reference) -> None:
    outputs = np.array([[3e4, -3e4], [0.0, 0.0]], np.float32)
    loss, _ = mean_scores(Loss.CROSS_ENTROPY, outputs, np.array([[1, 0]], np.int32))
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


def test_adamw_takes_no_more_than_the_whole_weight(reference, compiled) -> None:
    for kernel in (reference, compiled):
        for decay in (10.0, 25.0, 1e30):
            strong = make_optimization("adamw", lr=0.1, weight_decay=decay)
            assert steps(kernel, strong, [0, 0]) == [0, 0]
            assert steps(kernel, strong, [5]) == pytest.approx([-0.1], rel=1e-5)


def test_adadelta_by_hand(reference, compiled) -> None:
    for kernel in (reference, compiled):
        adadelta = make_optimization("adadelta", lr=1.0)
        second = 0.1 * 4
        move = np.sqrt(1e-6 / (second + 1e-6)) * 2
        first = 0.1 * move**2
        second_2 = 0.9 * second + 0.1 * 9
        move_2 = np.sqrt((first + 1e-6) / (second_2 + 1e-6)) * 3
        assert steps(kernel, adadelta, [2, 3]) == pytest.approx([1 - move, 1 - move - move_2], rel=1e-6)


def test_rmsprop_by_hand(reference, compiled) -> None:
    for kernel in (reference, compiled):
        second = 0.01 * 4
        first = 2 / (np.sqrt(second) + 1e-8)
        second_2 = 0.99 * second + 0.01 * 9
        first_2 = 3 / (np.sqrt(second_2) + 1e-8)
        plain = make_optimization("rmsprop", lr=0.1)
        assert steps(kernel, plain, [2, 3]) == pytest.approx([1 - 0.1 * first, 1 - 0.1 * (first + first_2)], abs=1e-6)
        heavy = make_optimization("rmsprop", lr=0.1, momentum=0.5)
        assert steps(kernel, heavy, [2, 3])[1] == pytest.approx(1 - 0.1 * (1.5 * first + first_2), rel=1e-5)


def test_no_optimizer_by_hand(reference, compiled) -> None:
    for kernel in (reference, compiled):
        assert steps(kernel, make_optimization("none", lr=0.1, weight_decay=0.5), [2, -3]) == [1, 1]


def test_gradients_are_cut_and_raised_by_hand(reference, compiled) -> None:
    for kernel in (reference, compiled):
        weights, gradient = np.zeros(3, np.float32), np.array([3, -4, 100], np.float32)
        plastic = np.array([True, True, False])
        for max_grad_norm, grad_power, expected in (
            (10.0, 1.0, [-3, 4, 0]),
            (1.0, 1.0, [-0.6, 0.8, 0]),
            (math.inf, 0.5, [-np.sqrt(3), 2, 0]),
            (math.inf, 0.0, [-1, 1, 0]),
            (0.5, 0.5, [-np.sqrt(0.3), np.sqrt(0.4), 0]),
        ):
            weights[:] = 0
            optimization = make_optimization("sgd", lr=1.0, max_grad_norm=max_grad_norm, grad_power=grad_power)
            kernel.update(optimization, OptimizerState.zeros(3), weights, gradient, plastic, lr=1.0)
            np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("rule", [rule for rule in UpdateRule if rule is not UpdateRule.NONE])
@pytest.mark.parametrize("decoupled", [False, True])
def test_what_is_not_plastic_stays(reference, compiled, rule: UpdateRule, decoupled: bool) -> None:
    optimization = Optimization(rule, 0.1, first_decay=0.9, second_decay=0.9, weight_decay=0.1, decoupled=decoupled)
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
    losses, accuracies, _ = reference.train(
        network, weights, Plasticity(np.ones(network.num_edges, np.bool_)), optimization,
        OptimizerState.zeros(network.num_edges), batches, order, Loss.CROSS_ENTROPY,
    )  # fmt: skip
    expected, state = network.weight.copy(), OptimizerState.zeros(network.num_edges)
    for step, (batch, size, lr) in enumerate(zip(order, (2, 4, 4), (0.1, 0.051, 0.002), strict=True)):
        inputs, targets = batches.inputs[batch, :, :size], batches.targets[batch, :, :size]
        weighted_inputs, activities = reference.forward(network, expected, inputs)
        outputs = activities[-network.num_outputs :]
        assert (losses[step], accuracies[step]) == pytest.approx(mean_scores(Loss.CROSS_ENTROPY, outputs, targets))
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
