"""Vector primitives of the compiled backend against numpy, and where rows may lie."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from topoevo.activations import ACTIVATIONS, Activation
from topoevo.genome.dense import dense_genome
from topoevo.kernels import Batches, Loss, OptimizerState, Plasticity
from topoevo.kernels.lanes import SUMS, add_up, aligned_rows, fused, product
from topoevo.kernels.passes import BLOCKS, blocks_together
from topoevo.learning.initialization import initial_weights
from topoevo.learning.optimizers import make_optimization
from topoevo.network import compile_network


@njit(fastmath=True)
def totals_of(numbers):
    """Sums of rows, and what is left in the rows."""
    rows = aligned_rows(len(numbers), SUMS)
    rows[:] = numbers
    totals = np.empty(len(numbers), np.float32)
    for k in range(0, len(numbers), SUMS):
        add_up(rows, k, totals)
    return totals, rows


@njit(fastmath=True)
def roundings(x, y, z):
    """``x y + z`` rounded once and rounded twice."""
    return fused(x, y, z), product(x, y) + z


def test_rows_are_added_up_in_order_and_cleared() -> None:
    numbers = np.random.default_rng(0).standard_normal((3 * SUMS, SUMS)).astype(np.float32)
    totals, rows = totals_of(numbers)
    in_order = numbers[:, 0].copy()
    for column in numbers[:, 1:].T:
        in_order += column
    assert np.array_equal(totals, in_order)
    assert not np.array_equal(totals, numbers[:, ::-1].cumsum(axis=1, dtype=np.float32)[:, -1])
    assert not rows.any()


def test_products_are_fused_only_where_it_is_asked_for() -> None:
    x, z = np.float32(1.0 + 2.0**-12), np.float32(-1.0)
    once, twice = roundings(x, x, z)
    assert once == np.float32(float(x) * float(x) + float(z))
    assert twice == x * x + z
    assert once != twice


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=list(ACTIVATIONS))
def test_slopes_that_an_activity_tells(activation: Activation) -> None:
    z = np.random.default_rng(0).normal(scale=3.0, size=500).astype(np.float32)
    y = activation.value(z)
    told = np.array_equal(activation.derivative(z, y), activation.derivative(y, y))
    assert activation.slope_from_activity == told == (activation.name not in {"sine", "cosine", "gaussian", "abs"})


@pytest.mark.parametrize("batch_size", [64, 100, 256])
def test_inputs_may_lie_anywhere(evolve_network, compiled, batch_size) -> None:
    network = evolve_network(1, num_inputs=8, num_mutations=60)
    rng = np.random.default_rng(0)
    laid = Batches.lay_out(
        rng.normal(size=(300, 8)).astype(np.float32), rng.integers(0, 3, 300).astype(np.int32), batch_size=batch_size
    )
    assert laid.inputs.ctypes.data % 64 == 0

    def train(batches: Batches) -> bytes:
        weights, order = network.weight.copy(), np.arange(batches.num_batches, dtype=np.int32)
        plasticity = Plasticity(np.ones(network.num_edges, np.bool_))
        state, optimization = OptimizerState.zeros(network.num_edges), make_optimization("adam", lr=0.01)
        compiled.train(network, weights, plasticity, optimization, state, batches, order, Loss.CROSS_ENTROPY)
        assert not np.array_equal(weights, network.weight)
        return weights.tobytes()

    room = np.zeros(laid.inputs.size + 1, np.float32)
    elsewhere = room[1:].reshape(laid.inputs.shape)
    elsewhere[:] = laid.inputs
    assert elsewhere.ctypes.data % 64 != laid.inputs.ctypes.data % 64
    assert train(Batches(elsewhere, laid.targets, laid.sizes)) == train(laid)


@pytest.mark.parametrize("batch_size", [256, 700])
@pytest.mark.parametrize("activation", ["relu", "sine"])
def test_products_of_several_blocks(compiled, reference, activation, batch_size) -> None:
    network = compile_network(dense_genome(40, [20], 3, activation=activation))
    assert blocks_together.py_func(len(network.activation), network.num_edges) == BLOCKS
    rng = np.random.default_rng(0)
    initial = initial_weights(network, "he", rng)
    batches = Batches.lay_out(
        rng.normal(size=(batch_size, 40)).astype(np.float32),
        rng.integers(0, 3, batch_size).astype(np.int32),
        batch_size=batch_size,
    )
    changes = []
    for kernel in (compiled, reference):
        weights, plasticity = initial.copy(), Plasticity(np.ones(network.num_edges, np.bool_))
        state, optimization = OptimizerState.zeros(network.num_edges), make_optimization("sgd", lr=0.1)
        kernel.train(
            network, weights, plasticity, optimization, state, batches, np.zeros(3, np.int32), Loss.CROSS_ENTROPY
        )
        changes.append(weights - initial)
    assert np.abs(changes[1]).max() > 0.01
    np.testing.assert_allclose(*changes, atol=1e-6)
