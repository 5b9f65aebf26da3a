"""Gradients against calculus: finite differences in double precision, and autograd on random evolved networks."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.kernels import Loss, OptimizerState, Plasticity, load_kernel
from topoevo.kernels.batches import Batches
from topoevo.kernels.loss import mean_scores
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network

SMOOTH = ("linear", "sine", "cosine", "gaussian", "tanh", "sigmoid", "inverse")
KINKED = ("abs", "relu", "step")
#: As the table of activations has it.
PI = float(np.float32(np.pi))
PALETTES = [SMOOTH, (*SMOOTH, *KINKED), *[(name,) for name in ACTIVATIONS]]


def samples_clear_of_kinks(evolve_network, reference, activations, loss: Loss, seed: int):
    """Return a random network, weights, and samples that no node sees close to a kink; all in double precision."""
    output_activation = ("linear", "tanh", "sigmoid")[seed]
    network = evolve_network(seed, activations=activations, output_activation=output_activation, num_mutations=25)
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.6, network.num_edges)
    inputs = rng.normal(size=(network.num_inputs, 6))
    targets = rng.integers(0, 3, (1, 6)) if loss.has_classes else rng.normal(size=(3, 6))
    weighted_inputs, _ = reference.forward(network, weights, inputs)
    kinked = np.array([ACTIVATIONS_BY_CODE[code].name in KINKED for code in network.activation])
    dead = (weighted_inputs == 0).all(axis=1)  # fed by nothing but zeros: the slope at 0 meets activities of 0
    clear = (np.abs(weighted_inputs[kinked & ~dead]) > 1e-3).all(axis=0)
    assert clear.any()
    return network, weights, inputs[:, clear], targets[:, clear]


def gradient_of(kernel, network: Network, weights, inputs, targets, loss: Loss, feedback=None) -> np.ndarray:
    """Gradient of the mean loss from a backend's primitives."""
    weighted_inputs, activities = kernel.forward(network, weights, inputs)
    output_errors = kernel.output_errors(loss, activities[-network.num_outputs :], targets)
    carried = weights if feedback is None else feedback
    errors = kernel.backward(network, carried, weighted_inputs, activities, output_errors)
    return kernel.edge_products(network, errors, activities) / inputs.shape[1]


def mean_loss(kernel, network: Network, weights, inputs, targets, loss: Loss) -> float:
    _, activities = kernel.forward(network, weights, inputs)
    return mean_scores(loss, activities[-network.num_outputs :], targets)[0]


# -- finite differences -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("activations", PALETTES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_products_are_gradients(evolve_network, reference, activations, loss: Loss, seed: int) -> None:
    network, weights, inputs, targets = samples_clear_of_kinks(evolve_network, reference, activations, loss, seed)
    gradient = gradient_of(reference, network, weights, inputs, targets, loss)
    assert gradient.dtype == np.float64
    numeric = np.empty(network.num_edges)
    h = 1e-6
    for edge in range(network.num_edges):
        change = np.zeros(network.num_edges)
        change[edge] = h
        above, below = (
            mean_loss(reference, network, moved, inputs, targets, loss)
            for moved in (weights + change, weights - change)
        )
        numeric[edge] = (above - below) / (2 * h)
    np.testing.assert_allclose(gradient, numeric, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("loss", Loss)
def test_output_errors_are_derivatives(reference, loss: Loss) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(0, 3, (4, 5))
    targets = rng.integers(0, 4, (1, 5)) if loss.has_classes else rng.normal(size=(4, 5))
    errors = reference.output_errors(loss, outputs, targets)
    for place in np.ndindex(4, 5):
        change = np.zeros((4, 5))
        change[place] = 1e-6
        numeric = 5 * (
            mean_scores(loss, outputs + change, targets)[0] - mean_scores(loss, outputs - change, targets)[0]
        )
        assert errors[place] == pytest.approx(numeric / 2e-6, abs=1e-6)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.7])
def test_errors_of_smoothed_labels_are_derivatives(reference, label_smoothing: float) -> None:
    """Of the cross entropy with (1 - ε) onehot + ε / K, written out."""
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(0, 3, (4, 5)), rng.integers(0, 4, (1, 5))
    targets = (1 - label_smoothing) * (np.arange(4)[:, None] == labels) + label_smoothing / 4

    def total(outputs: np.ndarray) -> float:
        return -float((targets * (outputs - np.log(np.exp(outputs).sum(axis=0)))).sum())

    errors = reference.output_errors(Loss.CROSS_ENTROPY, outputs, labels, label_smoothing=label_smoothing)
    for place in np.ndindex(4, 5):
        change = np.zeros((4, 5))
        change[place] = 1e-6
        assert errors[place] == pytest.approx((total(outputs + change) - total(outputs - change)) / 2e-6, abs=1e-6)


# -- autograd ---------------------------------------------------------------------------------------------------


def gradient_by_autograd(
    network: Network, weights, inputs, targets, loss: Loss, *, label_smoothing: float = 0.0
) -> np.ndarray:
    """Gradient of the mean loss of a network written out node by node."""
    torch = pytest.importorskip("torch", reason="autograd is PyTorch's")
    functions = {
        "linear": lambda z: z,
        "step": lambda z: (z > 0).double(),
        "sine": lambda z: torch.sin(PI * z),
        "cosine": lambda z: torch.cos(PI * z),
        "gaussian": lambda z: torch.exp(-(z**2) / 2),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "inverse": lambda z: -z,
        "abs": torch.abs,
        "relu": torch.relu,
    }
    leaf = torch.tensor(weights, requires_grad=True)
    nodes = [torch.tensor(row) for row in inputs[network.input_index]]
    nodes += [torch.ones(inputs.shape[1], dtype=torch.float64)] * network.has_bias
    for node, code in enumerate(network.activation):
        z = torch.zeros(inputs.shape[1], dtype=torch.float64)
        for edge in range(network.row_start[node], network.row_start[node + 1]):
            z = z + leaf[edge] * nodes[network.source[edge]]
        nodes.append(functions[ACTIVATIONS_BY_CODE[code].name](z))
    outputs = torch.stack(nodes[-network.num_outputs :], dim=1)
    if loss is Loss.CROSS_ENTROPY:
        labels = torch.tensor(targets[0])
        mean = torch.nn.functional.cross_entropy(outputs, labels, label_smoothing=label_smoothing)
    elif loss is Loss.CLASS_SQUARED_ERROR:
        mean = torch.nn.functional.mse_loss(outputs, torch.eye(network.num_outputs, dtype=torch.float64)[targets[0]])
    else:
        mean = torch.nn.functional.mse_loss(outputs, torch.tensor(targets.T))
    if not mean.requires_grad:
        return np.zeros(network.num_edges)
    return torch.autograd.grad(mean, leaf)[0].numpy()


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("activations", PALETTES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_autograd(evolve_network, reference, activations, loss: Loss, seed: int) -> None:
    network, weights, inputs, targets = samples_clear_of_kinks(evolve_network, reference, activations, loss, seed)
    expected = gradient_by_autograd(network, weights, inputs, targets, loss)
    gradient = gradient_of(reference, network, weights, inputs, targets, loss)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-10)
    gradient = gradient_of(load_kernel("torch"), network, weights, inputs, targets, loss)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)  # where pi has more digits


@pytest.mark.parametrize(("loss", "label_smoothing"), [*((loss, 0.0) for loss in Loss), (Loss.CROSS_ENTROPY, 0.2)])
@pytest.mark.parametrize("activations", PALETTES, ids=str)
def test_a_step_of_every_backend_follows_autograd(
    evolve_network, reference, compiled, activations, loss: Loss, label_smoothing: float
) -> None:
    """The loops have gradients of their own, beside the primitives."""
    network, weights, inputs, targets = samples_clear_of_kinks(evolve_network, reference, activations, loss, 1)
    weights = weights.astype(np.float32)
    batches = Batches(
        inputs[None].astype(np.float32),
        targets[None].astype(np.int32 if loss.has_classes else np.float32),
        np.array([inputs.shape[1]], np.int32),
    )
    expected = gradient_by_autograd(
        network, weights.astype(np.float64), inputs, targets, loss, label_smoothing=label_smoothing
    )
    optimization = make_optimization("sgd", lr=1.0, label_smoothing=label_smoothing)
    for kernel in (reference, compiled, load_kernel("torch")):
        after = weights.copy()
        kernel.train(
            network, after, Plasticity(np.ones(network.num_edges, np.bool_)), optimization,
            OptimizerState.zeros(network.num_edges), batches, np.zeros(1, np.int32), loss,
        )  # fmt: skip
        scale = max(1.0, np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(weights - after, expected, rtol=1e-4, atol=2e-5 * scale)


# -- feedback ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("activations", PALETTES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_feedback_alignment_is_backpropagation_where_it_should_be(
    evolve_network, reference, activations, loss: Loss, seed: int
) -> None:
    network, weights, inputs, targets = samples_clear_of_kinks(evolve_network, reference, activations, loss, seed)
    feedback = np.random.default_rng(9).normal(0, 0.6, network.num_edges)
    gradient = gradient_of(reference, network, weights, inputs, targets, loss)
    aligned = gradient_of(reference, network, weights, inputs, targets, loss, feedback)
    equal = gradient_of(reference, network, weights, inputs, targets, loss, weights.copy())
    assert np.array_equal(equal, gradient)
    into_output = network.into_output
    assert np.array_equal(aligned[into_output], gradient[into_output])
    if gradient[~into_output].any():
        assert (aligned[~into_output] != gradient[~into_output]).any()
