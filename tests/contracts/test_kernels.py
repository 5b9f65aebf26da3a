"""Every backend computes what the reference computes: each primitive, and whole trainings."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.genome import Genome, InnovationTracker
from topoevo.kernels import KERNELS, Kernel, Loss, Optimization, OptimizerState, Plasticity, UpdateRule, load_kernel
from topoevo.learning.optimizers import LR_SCHEDULES, OPTIMIZERS, make_optimization
from topoevo.network import Network, compile_network

#: Single activations, and all of them mixed.
PALETTES = [*[(name,) for name in ACTIVATIONS], tuple(ACTIVATIONS)]
#: Samples and batch size: a short last batch, one at a time, lanes of all sizes, everything at once.
SHAPES = [(23, 8), (5, 1), (67, 33), (16, 16)]
LEARNING_RATES = {"sgd": 0.05, "adam": 0.01, "adamw": 0.01, "adadelta": 1.0}


@pytest.fixture(params=[name for name in KERNELS if name != "reference"])
def kernel(request: pytest.FixtureRequest, compiled) -> Kernel:
    """Return a backend to be proven."""
    return load_kernel(request.param)


def close(value: np.ndarray, expected: np.ndarray, tolerance: float = 2e-5) -> None:
    """Assert that two arrays agree to a part of the size of the largest number."""
    assert value.shape == expected.shape
    assert value.dtype == expected.dtype
    scale = max(float(np.max(np.abs(expected), initial=0.0)), 1.0)
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance * scale)


def palette_id(palette: tuple[str, ...]) -> str:
    return palette[0] if len(palette) == 1 else "all"


def plasticities(network: Network, rng: np.random.Generator) -> dict[str, Plasticity]:
    """Every kind of rule that a loop distinguishes."""
    everywhere = np.ones(network.num_edges, np.bool_)
    some = rng.random(network.num_edges) < 0.6
    feedback = rng.normal(0, 0.5, network.num_edges).astype(np.float32)
    return {
        "gradient": Plasticity(everywhere),
        "some edges": Plasticity(some),
        "feedback": Plasticity(everywhere, feedback),
        "no propagation": Plasticity(network.into_output, propagate=False),
        "no propagation, all plastic, feedback": Plasticity(everywhere, feedback, propagate=False),
        "nothing": Plasticity(np.zeros(network.num_edges, np.bool_)),
    }


KINDS = ["gradient", "some edges", "feedback", "no propagation", "no propagation, all plastic, feedback", "nothing"]


# -- primitives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("palette", PALETTES, ids=palette_id)
@pytest.mark.parametrize("num_samples", [1, 7, 64])
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
        close(value, expected)
    # From here on from the same numbers, so that each primitive stands alone.
    output_errors = rng.normal(size=(network.num_outputs, num_samples)).astype(np.float32)
    feedback = rng.normal(size=network.num_edges).astype(np.float32)
    for carried in (network.weight, feedback):
        arguments = (network, carried, weighted_inputs, activities, output_errors)
        before = [array.tobytes() for array in arguments[1:]]
        errors = reference.backward(*arguments)
        close(kernel.backward(*arguments), errors)
        assert [array.tobytes() for array in arguments[1:]] == before
        assert (errors[: network.num_sources] == 0).all()
        close(kernel.edge_products(network, errors, activities), reference.edge_products(network, errors, activities))


@pytest.mark.parametrize("num_samples", [1, 9])
@pytest.mark.parametrize("num_outputs", [1, 2, 10])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e-3])
def test_output_errors(kernel, reference, num_samples: int, num_outputs: int, scale: float) -> None:
    rng = np.random.default_rng(0)
    outputs = (scale * rng.normal(size=(num_outputs, num_samples))).astype(np.float32)
    labels = rng.integers(0, num_outputs, (1, num_samples)).astype(np.int32)
    values = rng.normal(size=(num_outputs, num_samples)).astype(np.float32)
    for loss, targets in ((Loss.CROSS_ENTROPY, labels), (Loss.MEAN_SQUARED_ERROR, values)):
        # In double precision: in single precision the reference itself loses digits where outputs are large.
        expected = reference.output_errors(loss, outputs.astype(np.float64), targets).astype(np.float32)
        close(kernel.output_errors(loss, outputs, targets), expected, 1e-6)


def test_output_errors_of_the_reference_in_single_precision(reference) -> None:
    outputs = (100 * np.random.default_rng(0).normal(size=(10, 9))).astype(np.float32)
    labels = np.zeros((1, 9), np.int32)
    expected = reference.output_errors(Loss.CROSS_ENTROPY, outputs.astype(np.float64), labels).astype(np.float32)
    close(reference.output_errors(Loss.CROSS_ENTROPY, outputs, labels), expected, 1e-6)


@pytest.mark.parametrize("rule", UpdateRule)
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_updates(kernel, reference, rule: UpdateRule, decoupled: bool, weight_decay: float) -> None:
    rng = np.random.default_rng(0)
    optimization = Optimization(rule, 0.1, 1.0, 0.9, 0.99, 1e-6, weight_decay, decoupled)
    start = rng.normal(size=50).astype(np.float32)
    weights = {k: start.copy() for k in (kernel, reference)}
    states = {k: OptimizerState.zeros(50) for k in (kernel, reference)}
    plastic = rng.random(50) < 0.7
    for _ in range(6):
        gradient = rng.normal(size=50).astype(np.float32)
        for k in (kernel, reference):
            k.update(optimization, states[k], weights[k], gradient, plastic, lr=0.03)
        close(weights[kernel], weights[reference], 1e-5)
        close(states[kernel].first[plastic], states[reference].first[plastic], 1e-5)
        close(states[kernel].second[plastic], states[reference].second[plastic], 1e-5)
        assert states[kernel].steps == states[reference].steps
    assert (weights[kernel][plastic] != start[plastic]).all()


def test_memory_of_fixed_edges(kernel, reference) -> None:
    optimization = make_optimization("adam", lr=0.1)
    states = {k: OptimizerState(np.ones(2, np.float32), np.ones(2, np.float32), 3) for k in (kernel, reference)}
    for k, state in states.items():
        k.update(optimization, state, np.ones(2, np.float32), np.ones(2, np.float32), np.array([True, False]), lr=0.1)
    close(states[kernel].first, states[reference].first)


# -- whole trainings --------------------------------------------------------------------------------------------


def trained(kernel: Kernel, network: Network, plasticity, optimization, batches, order, loss, state=None):
    """Weights, losses, accuracies and state after a training."""
    weights = network.weight.copy()
    state = state or OptimizerState.zeros(network.num_edges)
    losses, accuracies = kernel.train(network, weights, plasticity, optimization, state, batches, order, loss)
    return weights, losses, accuracies, state


def assert_same_training(
    kernel, reference, network, plasticity, optimization, batches, order, loss, tolerance=2e-4
) -> None:
    weights, losses, accuracies, state = trained(kernel, network, plasticity, optimization, batches, order, loss)
    r_weights, r_losses, r_accuracies, r_state = trained(
        reference, network, plasticity, optimization, batches, order, loss
    )
    assert np.isfinite(r_losses).all()
    close(losses, r_losses, tolerance)
    close(weights, r_weights, tolerance)
    assert state.steps == r_state.steps == len(order)
    # A tie between two outputs may be broken by the last bit: one sample in a hundred.
    assert np.isnan(r_accuracies).all() == (loss is Loss.MEAN_SQUARED_ERROR)
    np.testing.assert_allclose(accuracies, r_accuracies, atol=0.01)
    assert (weights[~plasticity.plastic] == network.weight[~plasticity.plastic]).all()


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("palette", PALETTES, ids=palette_id)
@pytest.mark.parametrize("kind", KINDS)
def test_trainings_with_every_activation_and_rule(
    evolve_network, make_batches, kernel, reference, palette, kind: str, loss: Loss
) -> None:
    network = evolve_network(2, activations=palette, num_mutations=25, weight_std=0.5)
    plasticity = plasticities(network, np.random.default_rng(1))[kind]
    batches = make_batches(0, network, classes=loss is Loss.CROSS_ENTROPY, num_samples=45, batch_size=16)
    order = np.array([0, 2, 1, 1, 0, 2], np.int32)
    assert_same_training(
        kernel, reference, network, plasticity, make_optimization("sgd", lr=0.05, momentum=0.5), batches, order, loss
    )


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lr_schedule", LR_SCHEDULES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_trainings_with_every_optimizer_and_shape(
    evolve_network,
    make_batches,
    kernel,
    reference,
    loss: Loss,
    optimizer: str,
    lr_schedule: str,
    shape: tuple[int, int],
) -> None:
    network = evolve_network(5, activations=("tanh", "sigmoid", "sine"), num_mutations=30, weight_std=0.5)
    num_samples, batch_size = shape
    batches = make_batches(
        1, network, classes=loss is Loss.CROSS_ENTROPY, num_samples=num_samples, batch_size=batch_size
    )
    order = np.concatenate([np.random.default_rng(e).permutation(batches.num_batches) for e in range(3)]).astype(
        np.int32
    )
    optimization = make_optimization(
        optimizer, lr=LEARNING_RATES[optimizer], momentum=0.9, weight_decay=0.01, lr_schedule=lr_schedule
    )
    assert_same_training(
        kernel, reference, network, Plasticity(np.ones(network.num_edges, np.bool_)), optimization, batches, order, loss
    )


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
    order = np.tile(np.arange(batches.num_batches, dtype=np.int32), 3)
    assert_same_training(
        kernel, reference, network, Plasticity(np.ones(network.num_edges, np.bool_)), make_optimization("sgd", lr=0.05),
        batches, order, Loss.CROSS_ENTROPY,
    )  # fmt: skip
    close(kernel.outputs(network, network.weight, batches), reference.outputs(network, network.weight, batches))


def test_feedback_equal_to_the_weights_is_backpropagation(evolve_network, make_batches, kernel, reference) -> None:
    network = evolve_network(4, activations=("tanh", "relu"))
    batches = make_batches(0, network, classes=True, num_samples=12, batch_size=12)
    everywhere = np.ones(network.num_edges, np.bool_)
    rng = np.random.default_rng(0)
    feedbacks = {"own": None, "equal": network.weight.copy(), "other": rng.normal(size=network.num_edges).astype("f4")}
    for k in (kernel, reference):
        after = {
            name: trained(
                k, network, Plasticity(everywhere, feedback), make_optimization("sgd", lr=0.1), batches,
                np.zeros(1, np.int32), Loss.CROSS_ENTROPY,
            )[0]
            for name, feedback in feedbacks.items()
        }  # fmt: skip
        assert after["own"].tobytes() == after["equal"].tobytes()
        into_output = network.into_output
        np.testing.assert_allclose(after["other"][into_output], after["own"][into_output], rtol=1e-6)
        assert (after["other"][~into_output] != after["own"][~into_output]).any()


def test_a_training_in_two_parts(evolve_network, make_batches, kernel) -> None:
    network = evolve_network(4, activations=("tanh", "relu"))
    batches = make_batches(0, network, classes=True, num_samples=30, batch_size=6)
    plasticity = Plasticity(np.ones(network.num_edges, np.bool_))
    optimization = make_optimization("adam", lr=0.02)
    order = np.arange(5, dtype=np.int32)
    whole, losses, _, _ = trained(
        kernel, network, plasticity, optimization, batches, np.tile(order, 2), Loss.CROSS_ENTROPY
    )
    weights, state = network.weight.copy(), OptimizerState.zeros(network.num_edges)
    parts = [
        kernel.train(network, weights, plasticity, optimization, state, batches, order, Loss.CROSS_ENTROPY)[0]
        for _ in range(2)
    ]
    assert weights.tobytes() == whole.tobytes()
    assert np.array_equal(np.concatenate(parts), losses)
    assert state.steps == 10


@pytest.mark.parametrize("name", KERNELS)
def test_a_training_in_parts_is_the_same_training(evolve_network, make_batches, name: str, compiled) -> None:
    """Memory and learning rate go on where they were."""
    kernel, network = load_kernel(name), evolve_network(3)
    batches = make_batches(0, network, classes=True, num_samples=40, batch_size=8)
    optimization = make_optimization("adam", lr=0.05, lr_schedule="linear")
    plasticity = Plasticity(np.ones(network.num_edges, np.bool_))
    order = np.array([0, 3, 1, 4, 2, 2, 0, 1], np.int32)
    weights = {parts: np.linspace(-1, 1, network.num_edges, dtype=np.float32) for parts in (1, 2)}
    for parts, cuts in ((1, [order]), (2, [order[:5], order[5:]])):
        state = OptimizerState.zeros(network.num_edges, len(order))
        for cut in cuts:
            kernel.train(network, weights[parts], plasticity, optimization, state, batches, cut, Loss.CROSS_ENTROPY)
        assert state.steps == len(order)
    assert weights[1].tobytes() == weights[2].tobytes()


def test_what_lies_beyond_a_short_batch_is_not_read(evolve_network, make_batches, kernel) -> None:
    network = evolve_network(4)
    clean = make_batches(0, network, classes=True, num_samples=10, batch_size=8)
    dirty = make_batches(0, network, classes=True, num_samples=10, batch_size=8)
    dirty.inputs[1, :, 2:] = np.nan
    dirty.targets[1, :, 2:] = 1
    plasticity = Plasticity(np.ones(network.num_edges, np.bool_))
    order = np.array([0, 1, 1, 0], np.int32)
    results = [
        trained(kernel, network, plasticity, make_optimization("adam", lr=0.01), b, order, Loss.CROSS_ENTROPY)
        for b in (clean, dirty)
    ]
    assert results[0][0].tobytes() == results[1][0].tobytes()
    assert results[0][1].tobytes() == results[1][1].tobytes()
    assert np.array_equal(*[kernel.outputs(network, network.weight, b) for b in (clean, dirty)])


# -- corners ----------------------------------------------------------------------------------------------------


def test_a_network_without_edges(kernel, reference, make_batches) -> None:
    tracker = InnovationTracker()
    genome = Genome.minimal(3, 2, p_enabled=0.0, tracker=tracker, rng=np.random.default_rng(0))
    network = compile_network(genome.split(0, tracker=tracker).without_connection(2))
    assert network.num_edges == 0
    batches = make_batches(0, network, classes=True, num_samples=5, batch_size=2)
    for k in (kernel, reference):
        _, losses, _, _ = trained(
            k, network, Plasticity(np.zeros(0, np.bool_)), make_optimization("adam", lr=0.1), batches,
            np.arange(3, dtype=np.int32), Loss.CROSS_ENTROPY,
        )  # fmt: skip
        assert losses == pytest.approx(np.log(2))
        assert np.array_equal(k.outputs(network, network.weight, batches), np.zeros((2, 5), np.float32))


@pytest.mark.parametrize("name", KERNELS)
def test_no_steps_is_no_change(evolve_network, make_batches, name: str, compiled) -> None:
    network = evolve_network(0)
    batches = make_batches(0, network, classes=True, num_samples=5, batch_size=2)
    weights, losses, _, state = trained(
        load_kernel(name), network, Plasticity(np.ones(network.num_edges, np.bool_)), make_optimization("adam", lr=0.1),
        batches, np.zeros(0, np.int32), Loss.CROSS_ENTROPY,
    )  # fmt: skip
    assert weights.tobytes() == network.weight.tobytes()
    assert (len(losses), state.steps) == (0, 0)


# -- losses that are not finite ---------------------------------------------------------------------------------


def two_outputs(*weights: float) -> Network:
    """One input, connected to each output with the given weight."""
    genome = Genome.minimal(1, len(weights), p_enabled=1.0, tracker=InnovationTracker(), rng=np.random.default_rng(0))
    return compile_network(genome.with_weights(np.array(weights, np.float32)))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(
    "weights", [(np.nan, 1), (1, np.nan), (np.inf, 1), (1, -np.inf), (np.inf, np.inf), (3e38, -3e38)], ids=str
)
def test_training_stops_at_the_first_loss_that_is_not_finite(
    name: str, loss: Loss, weights: tuple[float, float], make_batches, compiled
) -> None:
    cross_entropy = loss is Loss.CROSS_ENTROPY
    network = two_outputs(*weights)
    plain = two_outputs(1, 1)
    batches = make_batches(0, plain, classes=cross_entropy, num_samples=4, batch_size=4)
    batches.inputs[:] = 10.0
    if cross_entropy:
        batches.targets[:] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        after, losses, accuracies, state = trained(
            load_kernel(name), network, Plasticity(np.ones(2, np.bool_)), make_optimization("sgd", lr=0.1), batches,
            np.zeros(3, np.int32), loss,
        )  # fmt: skip
    assert np.isnan(losses).all()
    assert np.isnan(accuracies).all()
    assert after.tobytes() == network.weight.tobytes(), "no step on a loss that is not finite"
    assert state.steps == 0


@pytest.mark.parametrize("name", KERNELS)
def test_losses_before_a_divergence_are_kept(name: str, make_batches, compiled) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=False, num_samples=4, batch_size=4)
    batches.inputs[:] = 1e4
    with np.errstate(over="ignore", invalid="ignore"):
        _, losses, _, state = trained(
            load_kernel(name), network, Plasticity(np.ones(2, np.bool_)), make_optimization("sgd", lr=1e3), batches,
            np.zeros(20, np.int32), Loss.MEAN_SQUARED_ERROR,
        )  # fmt: skip
    finite = np.isfinite(losses)
    assert 1 <= finite.sum() < 20
    assert finite[: finite.sum()].all()
    assert np.isnan(losses[finite.sum() :]).all()
    assert state.steps == finite.sum()
