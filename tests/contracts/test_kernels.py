"""Every backend computes what the reference computes: each primitive, and whole trainings.

A backend that cannot compute here is skipped, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.kernels import (
    KERNELS,
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
    UpdateRule,
    load_kernel,
    obstacle,
)
from topoevo.learning.optimizers import LR_SCHEDULES, OPTIMIZERS, make_optimization
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


@cache
def prepared(name: str) -> Kernel:
    """Return a backend that is ready."""
    kernel = load_kernel(name)
    for loop in Kernel.LOOPS:
        kernel.prepare(loop)
    return kernel


def available(request: pytest.FixtureRequest) -> Kernel:
    """Return the backend that a fixture stands for, if it can compute here."""
    reason = obstacle(request.param)
    if reason is not None:
        pytest.skip(reason)
    return prepared(request.param)


@pytest.fixture(params=[name for name in KERNELS if name != "reference"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return a backend to be proven."""
    return available(request)


@pytest.fixture(params=list(KERNELS))
def any_kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return a backend, be it the reference."""
    return available(request)


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


# -- primitives -------------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
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


# -- whole trainings --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("palette", PALETTES, ids=palette_id)
@pytest.mark.parametrize("kind", PLASTICITIES)
def test_trainings_with_every_activation_and_rule(
    evolve_network, make_batches, kernel, reference, palette, kind: str
) -> None:
    # Every activation and every rule meets every loss, if not all three together.
    loss = Loss((PALETTES.index(palette) + list(PLASTICITIES).index(kind)) % len(Loss))
    network = evolve_network(2, activations=palette, num_mutations=25, weight_std=0.5)
    plasticity = make_plasticity(kind, network)
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=45, batch_size=16)
    run = partial(
        trained,
        network=network,
        plasticity=plasticity,
        optimization=make_optimization("sgd", lr=0.05, momentum=0.5),
        batches=batches,
        order=np.array([0, 2, 1, 1, 0, 2], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)
    found = run(kernel)
    assert np.isnan(found.scores.accuracies).all() == (not loss.has_classes)
    learning = plasticity.plastic if plasticity.hebbian is None else plasticity.plastic | plasticity.hebbian
    assert (found.weights[~learning] == network.weight[~learning]).all()
    assert (found.weights != network.weight).any() == learning.any()


@pytest.mark.parametrize("kind", PLASTICITIES)
@pytest.mark.parametrize("loss", Loss)
def test_trainings_in_several_blocks(evolve_network, make_batches, kernel, reference, kind: str, loss: Loss) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    run = partial(
        trained,
        network=network,
        plasticity=make_plasticity(kind, network),
        optimization=make_optimization("sgd", lr=0.05, momentum=0.5),
        batches=make_batches(0, network, classes=loss.has_classes, **MANY_BLOCKS),
        order=np.array([0, 2, 1, 1], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("loop", ["train_by_perturbations", "train_by_proposals"])
@pytest.mark.parametrize("loss", Loss)
def test_trials_in_several_blocks(evolve_network, make_batches, kernel, reference, loop: str, loss: Loss) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=loss.has_classes, **MANY_BLOCKS)
    order = np.array([0, 2, 1, 1], np.int32)
    run = partial(loops(network)[loop], network=network, batches=batches, order=order, loss=loss)
    assert_same(run, kernel, reference)
    assert (run(kernel).weights != network.weight).any()


@pytest.mark.parametrize(("shape", "_"), SHAPES, ids=str)
def test_outputs_of_every_shape(evolve_network, make_batches, kernel, reference, shape: tuple[int, int], _) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=True, num_samples=shape[0], batch_size=shape[1])
    assert_close(kernel.outputs(network, network.weight, batches), reference.outputs(network, network.weight, batches))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lr_schedule", LR_SCHEDULES)
@pytest.mark.parametrize(("shape", "loss"), SHAPES, ids=str)
def test_trainings_with_every_optimizer_and_shape(
    evolve_network,
    make_batches,
    kernel,
    reference,
    optimizer: str,
    lr_schedule: str,
    shape: tuple[int, int],
    loss: Loss,
) -> None:
    network = evolve_network(5, activations=("tanh", "sigmoid", "sine"), num_mutations=30, weight_std=0.5)
    num_samples, batch_size = shape
    batches = make_batches(1, network, classes=loss.has_classes, num_samples=num_samples, batch_size=batch_size)
    order = np.concatenate([np.random.default_rng(e).permutation(batches.num_batches) for e in range(3)])
    run = partial(
        trained,
        network=network,
        plasticity=Plasticity(everywhere(network)),
        optimization=make_optimization(
            optimizer, lr=LEARNING_RATES[optimizer], momentum=0.9, weight_decay=0.01, lr_schedule=lr_schedule
        ),
        batches=batches,
        order=order.astype(np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("max_grad_norm", "grad_power"), TRANSFORMATIONS, ids=str)
def test_trainings_with_transformed_gradients(
    evolve_network, make_batches, kernel, reference, optimizer: str, max_grad_norm: float, grad_power: float
) -> None:
    network = evolve_network(5, activations=("tanh", "sigmoid"), num_mutations=30, weight_std=0.5)
    batches = make_batches(1, network, classes=True, num_samples=20, batch_size=8)
    optimization = make_optimization(
        optimizer,
        lr=0.2 * LEARNING_RATES[optimizer],
        momentum=0.5,
        weight_decay=0.01,
        max_grad_norm=max_grad_norm,
        grad_power=grad_power,
    )
    plasticity = make_plasticity("some edges", network)
    order = np.array([0, 1, 2, 2, 1, 0], np.int32)
    run = partial(
        trained, network=network, plasticity=plasticity, optimization=optimization, batches=batches, order=order
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("kind", PLASTICITIES)
def test_trainings_with_smoothed_labels(evolve_network, make_batches, kernel, reference, kind: str) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    plasticity, order = make_plasticity(kind, network), np.array([0, 2, 1, 1], np.int32)
    batches = make_batches(0, network, classes=True, **MANY_BLOCKS)
    smooth, sharp = (
        partial(
            trained,
            network=network,
            plasticity=plasticity,
            optimization=make_optimization("sgd", lr=0.05, momentum=0.5, label_smoothing=share),
            batches=batches,
            order=order,
        )
        for share in (0.2, 0.0)
    )
    assert_same(smooth, kernel, reference)
    found, without = smooth(kernel), sharp(kernel)
    assert found.scores.losses[0] == without.scores.losses[0], "what is reported is the cross entropy"
    assert (found.weights != without.weights).any() == plasticity.plastic.any()


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


@pytest.mark.parametrize("seed", range(6))
def test_trainings_of_networks_of_all_shapes(evolve_network, make_batches, kernel, reference, seed: int) -> None:
    network = evolve_network(
        seed,
        num_inputs=(1, 2, 7, 20, 40, 3)[seed],
        num_outputs=(1, 10, 2, 3, 5, 4)[seed],
        num_mutations=(0, 5, 150, 60, 100, 30)[seed],
        activations=("relu", "tanh", "gaussian"),
        bias=seed % 2 == 0,
        p_enabled=(1.0, 0.0, 0.3, 0.9, 0.1, 0.5)[seed],
        weight_std=0.3,
    )
    batches = make_batches(seed, network, classes=True, num_samples=30, batch_size=7)
    order = np.tile(np.arange(batches.num_batches, dtype=np.int32), 2)
    sgd = make_optimization("sgd", lr=0.05)
    for kind in ("gradient", "feedback", "direct", "oja", "sanger"):
        plasticity = make_plasticity(kind, network)
        run = partial(trained, network=network, plasticity=plasticity, optimization=sgd, batches=batches, order=order)
        assert_same(run, kernel, reference)
    for name in ("train_by_perturbations", "train_by_proposals"):
        assert_same(partial(loops(network)[name], network=network, batches=batches, order=order), kernel, reference)
    assert_close(kernel.outputs(network, network.weight, batches), reference.outputs(network, network.weight, batches))


def test_feedback_equal_to_the_weights_is_backpropagation(evolve_network, make_batches, any_kernel) -> None:
    network = evolve_network(4, activations=("tanh", "relu"))
    batches = make_batches(0, network, classes=True, num_samples=12, batch_size=12)
    rng = np.random.default_rng(0)
    feedbacks = {"own": None, "equal": network.weight.copy(), "other": rng.normal(size=network.num_edges).astype("f4")}
    sgd, one_step = make_optimization("sgd", lr=0.1), np.zeros(1, np.int32)
    after = {
        name: trained(any_kernel, network, Plasticity(everywhere(network), feedback), sgd, batches, one_step).weights
        for name, feedback in feedbacks.items()
    }
    assert after["own"].tobytes() == after["equal"].tobytes()
    into_output = network.into_output
    np.testing.assert_allclose(after["other"][into_output], after["own"][into_output], rtol=1e-6)
    assert (after["other"][~into_output] != after["own"][~into_output]).any()


@pytest.mark.parametrize("shaping", Shaping)
@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("palette", [("tanh",), ("step",), tuple(ACTIVATIONS)], ids=palette_id)
@pytest.mark.parametrize("loss", Loss)
def test_perturbations(
    evolve_network, make_batches, kernel, reference, shaping: Shaping, antithetic: bool, palette, loss: Loss
) -> None:
    network = evolve_network(2, activations=palette, num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=21, batch_size=8)
    run = partial(
        perturbed,
        network=network,
        plastic=make_plasticity("some edges", network).plastic,
        perturbations=Perturbations(8, 0.1, antithetic, shaping),
        optimization=make_optimization("sgd", lr=0.02, momentum=0.5, lr_schedule="linear"),
        batches=batches,
        order=np.array([0, 2, 1, 0], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)
    found = run(kernel)
    assert (found.weights[~run.keywords["plastic"]] == network.weight[~run.keywords["plastic"]]).all()
    assert (found.weights != network.weight).any()


@pytest.mark.parametrize("num_candidates", [2, 3, 40])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_perturbations_with_every_optimizer(
    evolve_network, make_batches, kernel, reference, num_candidates: int, optimizer: str
) -> None:
    network = evolve_network(5, activations=("tanh", "sigmoid"), num_mutations=30, weight_std=0.5)
    batches = make_batches(1, network, classes=True, num_samples=20, batch_size=8)
    run = partial(
        perturbed,
        network=network,
        plastic=everywhere(network),
        perturbations=Perturbations(num_candidates, 0.1, num_candidates % 2 == 0, Shaping.STANDARDIZED),
        optimization=make_optimization(optimizer, lr=LEARNING_RATES[optimizer], weight_decay=0.01, max_grad_norm=2.0),
        batches=batches,
        order=np.array([0, 1, 2, 2], np.int32),
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("shaping", Shaping)
def test_candidates_that_are_all_equal_say_nothing(make_batches, any_kernel, shaping: Shaping) -> None:
    """Outputs that are steps far from 0 do not notice a perturbation."""
    network = two_outputs(30, 30, activation="step")
    batches = make_batches(0, network, classes=True, num_samples=6, batch_size=6)
    batches.inputs[:] = 1.0
    found = perturbed(
        any_kernel,
        network,
        everywhere(network),
        Perturbations(4, 0.1, True, shaping),
        make_optimization("sgd", lr=0.1),
        batches,
        np.zeros(2, np.int32),
    )
    np.testing.assert_allclose(found.weights, network.weight, rtol=1e-6)
    assert found.state.steps == 2


@pytest.mark.parametrize("beta", [math.inf, 200.0, 3.0, 0.0])
@pytest.mark.parametrize("target_acceptance", [0.0, 0.3])
@pytest.mark.parametrize("palette", [("tanh",), ("step",), tuple(ACTIVATIONS)], ids=palette_id)
@pytest.mark.parametrize("loss", Loss)
def test_proposals(
    evolve_network, make_batches, kernel, reference, beta: float, target_acceptance: float, palette, loss: Loss
) -> None:
    network = evolve_network(2, activations=palette, num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=21, batch_size=8)
    some = make_plasticity("some edges", network).plastic
    deviation = np.where(some, np.linspace(0.01, 0.1, network.num_edges), 0.0)
    run = partial(
        proposed,
        network=network,
        proposals=Proposals(deviation, beta, 5, target_acceptance),
        batches=batches,
        order=np.array([0, 2, 1, 0], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)
    found = run(kernel)
    assert (found.weights[~some] == network.weight[~some]).all()
    assert (found.state.scale != 1) == (target_acceptance > 0)
    if beta == 0:
        assert (found.scores.acceptances == 1).all()
    elif math.isinf(beta) and palette == ("tanh",):
        assert 0 < found.scores.acceptances.mean() < 1


@pytest.mark.parametrize("beta", [math.inf, 1.0])
def test_what_does_not_change_the_loss_is_accepted(make_batches, any_kernel, beta: float) -> None:
    network = two_outputs(30, 30, activation="step")
    batches = make_batches(0, network, classes=True, num_samples=6, batch_size=6)
    batches.inputs[:] = 1.0
    found = proposed(any_kernel, network, Proposals(np.full(2, 0.1), beta, 4), batches, np.zeros(2, np.int32))
    assert (found.scores.acceptances == 1).all()
    assert (found.weights != network.weight).all()


@pytest.mark.parametrize("loop", Kernel.LOOPS)
def test_a_training_in_parts_is_the_same_training(evolve_network, make_batches, any_kernel, loop: str) -> None:
    """Memory, learning rate and random numbers go on where they were."""
    network = evolve_network(3)
    batches = make_batches(0, network, classes=True, num_samples=40, batch_size=8)
    order = np.array([0, 3, 1, 4, 2, 2, 0, 1], np.int32)
    start = np.linspace(-1, 1, network.num_edges, dtype=np.float32)
    adam = make_optimization("adam", lr=0.05, lr_schedule="linear", weight_averaging=0.6)
    arguments = {
        "train": (Plasticity(everywhere(network)), adam),
        "train_by_perturbations": (everywhere(network), Perturbations(4, 0.1, True, Shaping.RAW), adam),
        "train_by_proposals": (Proposals(np.full(network.num_edges, 0.05), 10.0, 3, 0.5),),
    }[loop]
    after = []
    for cuts in ([order], [order[:5], order[5:]]):
        weights, state = start.copy(), OptimizerState.zeros(network.num_edges, len(order))
        rng = () if loop == "train" else (np.random.default_rng(0),)
        losses = [
            getattr(any_kernel, loop)(
                network, weights, *arguments, state, batches, cut, Loss.CROSS_ENTROPY, *rng
            ).losses
            for cut in cuts
        ]
        assert state.steps == len(order)
        sums = None if state.weight_sum is None else state.weight_sum.tobytes()
        assert state.num_summed == (0 if loop == "train_by_proposals" else 5)
        after.append((weights.tobytes(), np.concatenate(losses).tobytes(), state.scale, sums))
    assert after[0] == after[1]
    assert after[0][0] != start.tobytes()


@pytest.mark.parametrize("loop", Kernel.LOOPS)
@pytest.mark.parametrize(("num_samples", "batch_size"), [(10, 8), (200, 130)])
def test_what_lies_beyond_a_short_batch_is_not_read(
    evolve_network, make_batches, kernel, loop: str, num_samples: int, batch_size: int
) -> None:
    network = evolve_network(4)
    clean = make_batches(0, network, classes=True, num_samples=num_samples, batch_size=batch_size)
    dirty = make_batches(0, network, classes=True, num_samples=num_samples, batch_size=batch_size)
    dirty.inputs[1, :, clean.sizes[1] :] = np.nan
    dirty.targets[1, :, clean.sizes[1] :] = 1
    results = [loops(network)[loop](kernel, network, b, np.array([0, 1, 1, 0], np.int32)) for b in (clean, dirty)]
    assert results[0].weights.tobytes() == results[1].weights.tobytes()
    assert results[0].scores.losses.tobytes() == results[1].scores.losses.tobytes()
    assert np.array_equal(*[kernel.outputs(network, network.weight, b) for b in (clean, dirty)])


# -- corners ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", Kernel.LOOPS)
def test_a_network_without_edges(any_kernel, make_batches, loop: str) -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(3, 2, p_enabled=0.0, tracker=tracker, rng=np.random.default_rng(0))
    network = compile_network(genome.split(0, tracker=tracker).without_connection(2))
    assert network.num_edges == 0
    batches = make_batches(0, network, classes=True, num_samples=5, batch_size=2)
    found = loops(network)[loop](any_kernel, network, batches, np.arange(3, dtype=np.int32))
    assert found.scores.losses == pytest.approx(np.log(2))
    assert np.array_equal(any_kernel.outputs(network, network.weight, batches), np.zeros((2, 5), np.float32))


@pytest.mark.parametrize("loop", Kernel.LOOPS)
def test_no_steps_is_no_change(evolve_network, make_batches, any_kernel, loop: str) -> None:
    network = evolve_network(0)
    batches = make_batches(0, network, classes=True, num_samples=5, batch_size=2)
    found = loops(network)[loop](any_kernel, network, batches, np.zeros(0, np.int32))
    assert found.weights.tobytes() == network.weight.tobytes()
    assert (len(found.scores.losses), found.state.steps) == (0, 0)


# -- losses that are not finite ---------------------------------------------------------------------------------


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


@pytest.mark.parametrize("loop", Kernel.LOOPS)
@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(
    "weights", [(np.nan, 1), (1, np.nan), (np.inf, 1), (1, -np.inf), (np.inf, np.inf), (3e38, -3e38)], ids=str
)
def test_training_stops_at_the_first_loss_that_is_not_finite(
    any_kernel, loop: str, loss: Loss, weights: tuple[float, float], make_batches
) -> None:
    network = two_outputs(*weights)
    plain = two_outputs(1, 1)
    batches = make_batches(0, plain, classes=loss.has_classes, num_samples=4, batch_size=4)
    batches.inputs[:] = 10.0
    if loss.has_classes:
        batches.targets[:] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        found = loops(network)[loop](any_kernel, network, batches, np.zeros(3, np.int32), loss)
    assert np.isnan(found.scores.losses).all()
    assert np.isnan(found.scores.accuracies).all()
    assert found.weights.tobytes() == network.weight.tobytes(), "no step on a loss that is not finite"
    assert found.state.steps == 0


def test_no_step_on_candidates_whose_losses_are_not_finite(any_kernel, make_batches) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=False, num_samples=4, batch_size=4)
    perturbations = Perturbations(4, 1e30, True, Shaping.CENTERED_RANKS)
    with np.errstate(over="ignore", invalid="ignore"):
        found = perturbed(
            any_kernel,
            network,
            everywhere(network),
            perturbations,
            make_optimization("sgd", lr=0.1),
            batches,
            np.zeros(3, np.int32),
            Loss.MEAN_SQUARED_ERROR,
        )
    assert np.isnan(found.scores.losses).all()
    assert found.weights.tolist() == [1, 1]
    assert found.state.steps == 0


@pytest.mark.parametrize("beta", [math.inf, 1.0, 0.0])
def test_no_walk_to_a_loss_that_is_not_a_number(any_kernel, make_batches, beta: float) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=True, num_samples=4, batch_size=4)
    batches.inputs[:] = 1e9
    proposals = Proposals(np.full(2, 3e38), beta, 4)
    with np.errstate(over="ignore", invalid="ignore"):
        found = proposed(any_kernel, network, proposals, batches, np.zeros(2, np.int32))
    assert (found.scores.acceptances == 0).all()
    assert found.weights.tolist() == [1, 1]
    assert found.state.steps == 2


def test_losses_before_a_divergence_are_kept(any_kernel, make_batches) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=False, num_samples=4, batch_size=4)
    batches.inputs[:] = 1e4
    plasticity, sgd = Plasticity(everywhere(network)), make_optimization("sgd", lr=1e3)
    with np.errstate(over="ignore", invalid="ignore"):
        _, scores, state = trained(
            any_kernel, network, plasticity, sgd, batches, np.zeros(20, np.int32), Loss.MEAN_SQUARED_ERROR
        )
    finite = np.isfinite(scores.losses)
    assert 1 <= finite.sum() < 20
    assert finite[: finite.sum()].all()
    assert np.isnan(scores.losses[finite.sum() :]).all()
    assert state.steps == finite.sum()
