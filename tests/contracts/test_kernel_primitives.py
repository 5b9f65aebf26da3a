"""Every backend computes each primitive as the reference does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.kernels import Loss, Optimization, OptimizerState, UpdateRule
from topoevo.learning.optimizers import make_optimization

from .trainings import PALETTES, TRANSFORMATIONS, assert_close, palette_id, two_outputs


@pytest.mark.parametrize("palette", PALETTES, ids=palette_id)
@pytest.mark.parametrize("num_samples", [1, 7, 64, 65, 130])
@pytest.mark.parametrize("seed", range(3))
def test_passes(evolve_network, kernel, reference, palette, num_samples: int, seed: int) -> None:
    output = palette[seed % len(palette)]
    network = evolve_network(seed, activations=palette, output_activation=output, num_mutations=40, p_remove=0.15)
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(network.num_inputs, num_samples)).astype(np.float32)
    weighted_inputs, activities = reference.forward(network, network.weight, inputs)
    for value, expected in zip(
        kernel.forward(network, network.weight, inputs), (weighted_inputs, activities), strict=True
    ):
        assert_close(value, expected)
    # From here on from the same numbers, so that each primitive stands alone. At the kink of abs slopes may differ.
    at_kink = (weighted_inputs == 0) & (network.activation == ACTIVATIONS["abs"].code)[:, None]
    weighted_inputs[at_kink] = activities[network.num_sources :][at_kink] = 0.5
    output_errors = rng.normal(size=(network.num_outputs, num_samples)).astype(np.float32)
    feedback = rng.normal(size=network.num_edges).astype(np.float32)
    num_hidden = network.num_nodes - network.num_sources - network.num_outputs
    direct = rng.normal(size=(num_hidden, network.num_outputs)).astype(np.float32)
    for primitive, carried in (("backward", network.weight), ("backward", feedback), ("direct_errors", direct)):
        arguments = (network, carried, weighted_inputs, activities, output_errors)
        before = [array.tobytes() for array in arguments[1:]]
        errors = getattr(reference, primitive)(*arguments)
        assert_close(getattr(kernel, primitive)(*arguments), errors)
        assert [array.tobytes() for array in arguments[1:]] == before
        assert (errors[: network.num_sources] == 0).all()
        assert_close(
            kernel.edge_products(network, errors, activities), reference.edge_products(network, errors, activities)
        )
    for decorrelate in (False, True):
        assert_close(
            kernel.hebbian_changes(network, network.weight, activities, decorrelate=decorrelate),
            reference.hebbian_changes(network, network.weight, activities, decorrelate=decorrelate),
        )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activities_at_zero_and_far_out(kernel, reference, name: str) -> None:
    network = two_outputs(1, -1, activation=name)
    inputs = np.array([[0.0, -0.0, 1e-30, 20.0, 1e3]], np.float32)
    assert_close(
        kernel.forward(network, network.weight, inputs)[1], reference.forward(network, network.weight, inputs)[1]
    )


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("num_samples", [1, 9, 65, 130])
@pytest.mark.parametrize("num_outputs", [1, 2, 10])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e-3])
def test_output_errors(any_kernel, reference, loss: Loss, num_samples: int, num_outputs: int, scale: float) -> None:
    rng = np.random.default_rng(0)
    outputs = (scale * rng.normal(size=(num_outputs, num_samples))).astype(np.float32)
    labels = rng.integers(0, num_outputs, (1, num_samples)).astype(np.int32)
    targets = labels if loss.has_classes else rng.normal(size=(num_outputs, num_samples)).astype(np.float32)
    # In double precision: in single precision the reference itself loses digits where outputs are large.
    expected = reference.output_errors(loss, outputs.astype(np.float64), targets).astype(np.float32)
    assert_close(any_kernel.output_errors(loss, outputs, targets), expected, 1e-6)


@pytest.mark.parametrize("num_samples", [1, 65, 130])
@pytest.mark.parametrize("num_outputs", [1, 2, 10])
@pytest.mark.parametrize("label_smoothing", [0.1, 0.9])
def test_output_errors_with_smoothed_labels(
    any_kernel, reference, num_samples: int, num_outputs: int, label_smoothing: float
) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(0, 3, (num_outputs, num_samples)).astype(np.float32)
    labels = rng.integers(0, num_outputs, (1, num_samples)).astype(np.int32)
    given = {"targets": labels, "label_smoothing": label_smoothing}
    expected = reference.output_errors(Loss.CROSS_ENTROPY, outputs.astype(np.float64), **given).astype(np.float32)
    found = any_kernel.output_errors(Loss.CROSS_ENTROPY, outputs, **given)
    assert_close(found, expected, 1e-6)
    sharp = any_kernel.output_errors(Loss.CROSS_ENTROPY, outputs, labels)
    assert (np.abs(found - sharp) > 1e-3).any() == (num_outputs > 1)
    squared = [
        any_kernel.output_errors(Loss.CLASS_SQUARED_ERROR, outputs, labels, label_smoothing=share)
        for share in (0.0, label_smoothing)
    ]
    assert squared[0].tobytes() == squared[1].tobytes()


@pytest.mark.parametrize("rule", UpdateRule)
@pytest.mark.parametrize(
    ("weight_decay", "decoupled"),
    # Times the learning rate, the last one is more than the whole weight.
    [(0.0, False), (0.0, True), (0.1, False), (0.1, True), (50.0, True)],
)
@pytest.mark.parametrize(("max_grad_norm", "grad_power"), [(math.inf, 1.0), *TRANSFORMATIONS], ids=str)
def test_updates(
    kernel, reference, rule: UpdateRule, decoupled: bool, weight_decay: float, max_grad_norm: float, grad_power: float
) -> None:
    rng = np.random.default_rng(0)
    optimization = Optimization(
        rule,
        0.1,
        first_decay=0.9,
        second_decay=0.99,
        epsilon=1e-6,
        weight_decay=weight_decay,
        decoupled=decoupled,
        max_grad_norm=max_grad_norm,
        grad_power=grad_power,
    )
    start = rng.normal(size=50).astype(np.float32)
    weights = {k: start.copy() for k in (kernel, reference)}
    states = {k: OptimizerState.zeros(50) for k in (kernel, reference)}
    plastic = rng.random(50) < 0.7
    for _ in range(6):
        gradient = rng.normal(size=50).astype(np.float32)
        gradient[:3] = 0.0
        before = gradient.tobytes()
        for k in (kernel, reference):
            k.update(optimization, states[k], weights[k], gradient, plastic, lr=0.03)
        assert gradient.tobytes() == before
        assert_close(weights[kernel], weights[reference], 1e-5)
        assert_close(states[kernel].first[plastic], states[reference].first[plastic], 1e-5)
        assert_close(states[kernel].second[plastic], states[reference].second[plastic], 1e-5)
        assert states[kernel].steps == states[reference].steps
    moved = weights[kernel] != start
    assert not moved[~plastic].any()
    assert moved[3:][plastic[3:]].all() == (rule is not UpdateRule.NONE)


def test_a_gradient_of_zero_is_not_cut(any_kernel) -> None:
    weights = np.ones(3, np.float32)
    optimization = make_optimization("sgd", lr=0.1, max_grad_norm=1.0)
    zero = np.zeros(3, np.float32)
    any_kernel.update(optimization, OptimizerState.zeros(3), weights, zero, np.ones(3, np.bool_), lr=0.1)
    assert weights.tolist() == [1, 1, 1]


def test_memory_of_fixed_edges(kernel, reference) -> None:
    optimization = make_optimization("adam", lr=0.1)
    states = {k: OptimizerState(np.ones(2, np.float32), np.ones(2, np.float32), 3) for k in (kernel, reference)}
    for k, state in states.items():
        k.update(optimization, state, np.ones(2, np.float32), np.ones(2, np.float32), np.array([True, False]), lr=0.1)
    assert_close(states[kernel].first, states[reference].first)
