"""One weight on all edges: what one pass over many weights computes is what the reference computes weight by weight."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.errors import KernelError
from topoevo.kernels import KERNELS, Batches, Loss, load_kernel, obstacle
from topoevo.network import Network

SHARED_WEIGHTS = np.array([-2, -1, -0.5, 0.5, 1, 2], np.float32)
#: Samples in one block, a block and one sample more, several blocks; in one minibatch and in many.
CUTS = [(5, 5), (65, 65), (65, 7), (200, 130), (128, 64)]


def one_by_one(kernel, network: Network, batches: Batches, dtype: type = np.float32) -> np.ndarray:
    """Outputs under each weight in a pass of its own, by the definition of a forward pass."""
    return np.stack([kernel.outputs(network, np.full(network.num_edges, w, dtype), batches) for w in SHARED_WEIGHTS])


def assert_close(value: np.ndarray, expected: np.ndarray, tolerance: float | np.ndarray = 2e-5) -> None:
    """Assert agreement to a part of the size of the largest number."""
    assert value.shape == expected.shape
    allowed = tolerance * max(float(np.abs(expected).max()), 1.0)
    assert (np.abs(value - expected) <= allowed).all(), np.abs(value - expected).max()


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_every_activation_is_that_of_the_reference(evolve_network, make_batches, compiled, reference, name, seed):
    network = evolve_network(seed, activations=(name,), output_activation=name, num_mutations=15)
    batches = make_batches(seed, network, classes=True, num_samples=70, batch_size=70)
    found = compiled.shared_weight_outputs(network, SHARED_WEIGHTS, batches)
    assert found.dtype == np.float32
    exact = one_by_one(reference, network, batches, np.float64)
    # A sine magnifies a rounding error by 2 pi, and so does the next one: the reference shows by how much in all.
    rounding = np.abs(one_by_one(reference, network, batches) - exact).max(axis=2, keepdims=True)
    assert np.median(rounding) < 1e-4
    assert_close(found, exact, 2e-5 + 5 * rounding)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("kernel_name", KERNELS)
def test_mixed_activations_and_all_cuts(evolve_network, make_batches, reference, kernel_name, cut):
    if (reason := obstacle(kernel_name)) is not None:
        pytest.skip(reason)
    # Sums that round differently may fall on the two sides of a step, and sines magnify the difference.
    names = tuple(name for name in ACTIVATIONS if name not in ("step", "sine", "cosine"))
    for seed in range(5):
        network = evolve_network(seed, activations=names, num_mutations=50)
        batches = make_batches(seed, network, classes=True, num_samples=cut[0], batch_size=cut[1])
        found = load_kernel(kernel_name).shared_weight_outputs(network, SHARED_WEIGHTS, batches)
        assert_close(found, one_by_one(reference, network, batches))


def test_a_sample_has_the_same_bits_wherever_it_lies(evolve_network, compiled):
    network = evolve_network(1, num_mutations=60)
    inputs = np.random.default_rng(0).normal(size=(201, network.num_inputs)).astype(np.float32)
    labels = np.zeros(201, np.int32)

    def outputs(order, batch_size, weights=SHARED_WEIGHTS):
        batches = Batches.lay_out(inputs, labels, batch_size=batch_size, order=order)
        return compiled.shared_weight_outputs(network, weights, batches)

    there = np.arange(201)
    expected = outputs(there, 201)
    shuffled = np.random.default_rng(1).permutation(201)
    for batch_size in (1, 63, 64, 65, 100):
        assert np.array_equal(outputs(there, batch_size), expected)
        assert np.array_equal(outputs(shuffled, batch_size), expected[:, :, shuffled])
    assert np.array_equal(outputs(there, 64, SHARED_WEIGHTS[3:4]), expected[3:4]), "weights do not mix"


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("cut", CUTS)
def test_scores_are_those_of_the_outputs(evolve_network, make_batches, compiled, reference, loss, cut):
    network = evolve_network(2, activations=("tanh", "sine", "gaussian", "relu"))
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=cut[0], batch_size=cut[1])
    losses, accuracies = compiled.shared_weight_scores(network, SHARED_WEIGHTS, batches, loss)
    outputs = one_by_one(reference, network, batches).astype(np.float64)
    targets = np.concatenate([t[:, :n] for t, n in zip(batches.targets, batches.sizes, strict=True)], axis=1)
    if loss is Loss.CROSS_ENTROPY:
        log_sum = np.log(np.exp(outputs).sum(axis=1))
        expected = (log_sum - outputs[:, targets[0], np.arange(cut[0])]).mean(axis=1)
    else:
        values = np.eye(network.num_outputs)[:, targets[0]] if loss.has_classes else targets
        expected = ((outputs - values) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(losses, expected, rtol=2e-5)
    if loss.has_classes:
        assert accuracies.tolist() == (outputs.argmax(axis=1) == targets[0]).mean(axis=1).tolist()
    else:
        assert np.isnan(accuracies).all()
    by_default = reference.shared_weight_scores(network, SHARED_WEIGHTS, batches, loss)
    np.testing.assert_allclose(by_default[0], expected, rtol=2e-5)
    np.testing.assert_array_equal(by_default[1], accuracies)


def test_equal_outputs_are_the_first_class(evolve_network, compiled):
    """Under weight 0 all outputs are equal: the loss is log of their number, and class 0 is the answer."""
    network = evolve_network(0, activations=("tanh",))
    inputs = np.ones((80, network.num_inputs), np.float32)
    labels = np.repeat([0, 1], [20, 60]).astype(np.int32)
    batches = Batches.lay_out(inputs, labels, batch_size=80)
    losses, accuracies = compiled.shared_weight_scores(network, np.zeros(1, np.float32), batches, Loss.CROSS_ENTROPY)
    assert losses[0] == pytest.approx(np.log(network.num_outputs))
    assert accuracies[0] == 0.25


def test_what_is_not_finite_is_told_for_its_weight_alone(evolve_network, compiled):
    network = evolve_network(0, activations=("linear",), p_remove=0.0)
    batches = Batches.lay_out(np.ones((70, network.num_inputs), np.float32), np.zeros(70, np.int32), batch_size=32)
    weights = np.array([1, 3e38, np.nan, 0.5], np.float32)
    losses, _ = compiled.shared_weight_scores(network, weights, batches, Loss.CROSS_ENTROPY)
    assert np.isfinite(losses).tolist() == [True, False, False, True]
    alone, _ = compiled.shared_weight_scores(network, weights[[0, 3]], batches, Loss.CROSS_ENTROPY)
    assert alone.tolist() == losses[[0, 3]].tolist()


def test_samples_and_labels_that_do_not_fit_are_refused(evolve_network, make_batches, compiled):
    network = evolve_network(0, num_inputs=4)
    fitting = make_batches(0, network, classes=True, num_samples=70, batch_size=70)
    wide = make_batches(0, evolve_network(0, num_inputs=5), classes=True, num_samples=70, batch_size=70)
    labels = np.full_like(fitting.targets, network.num_outputs)
    with pytest.raises(KernelError, match="5 inputs"):
        compiled.shared_weight_outputs(network, SHARED_WEIGHTS, wide)
    with pytest.raises(KernelError, match="5 inputs"):
        compiled.shared_weight_scores(network, SHARED_WEIGHTS, wide, Loss.CROSS_ENTROPY)
    with pytest.raises(KernelError, match="class indices"):
        compiled.shared_weight_scores(
            network, SHARED_WEIGHTS, Batches(fitting.inputs, labels, fitting.sizes), Loss.CROSS_ENTROPY
        )


def test_once_prepared_nothing_is_compiled_again(evolve_network, make_batches, compiled):
    from topoevo.kernels import shared_weights as module

    assert not compiled.needs_compilation("shared_weight_scores")
    before = [list(loop.signatures) for loop in (module.shared_weight_outputs, module.shared_weight_scores)]
    assert all(before)
    network = evolve_network(0)
    for loss in Loss:
        batches = make_batches(0, network, classes=loss.has_classes, num_samples=4, batch_size=2)
        batches.inputs.flags.writeable = False
        compiled.shared_weight_scores(network, [0.5, 1.0], batches, loss)
        compiled.shared_weight_outputs(network, [0.5, 1.0], batches)
    assert [list(loop.signatures) for loop in (module.shared_weight_outputs, module.shared_weight_scores)] == before
