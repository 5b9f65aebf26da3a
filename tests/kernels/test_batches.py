"""Samples laid out as minibatches."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.kernels import Batches, Optimization, UpdateRule
from topoevo.kernels.optimization import learning_rate


@pytest.mark.parametrize(("num_samples", "batch_size"), [(10, 3), (9, 3), (5, 1), (4, 4), (3, 100), (1, 1)])
@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("shuffled", [True, False])
def test_every_sample_lies_where_the_order_says(
    num_samples: int, batch_size: int, classes: bool, shuffled: bool
) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(num_samples, 4)).astype(np.float32)
    targets = rng.integers(0, 3, num_samples).astype(np.int32) if classes else inputs[:, :2] * 2
    order = rng.permutation(num_samples) if shuffled else None
    batches = Batches.lay_out(inputs, targets, batch_size=batch_size, order=order)
    batch_size = min(batch_size, num_samples)
    sizes = batches.sizes.tolist()
    assert sum(sizes) == num_samples == batches.num_samples
    assert set(sizes[:-1]) <= {batch_size}
    assert 1 <= sizes[-1] <= batch_size
    assert batches.num_batches == len(sizes) == -(-num_samples // batch_size)
    expected = order if shuffled else np.arange(num_samples)
    columns = targets.reshape(num_samples, -1)
    place = 0
    for batch, size in enumerate(sizes):
        for sample in range(size):
            assert np.array_equal(batches.inputs[batch, :, sample], inputs[expected[place]])
            assert np.array_equal(batches.targets[batch, :, sample], columns[expected[place]])
            place += 1
        assert (batches.inputs[batch, :, size:] == 0).all()
    assert batches.inputs.dtype == np.float32
    assert batches.targets.dtype == (np.int32 if classes else np.float32)
    assert batches.sizes.dtype == np.int32
    assert all(a.flags.c_contiguous for a in (batches.inputs, batches.targets, batches.sizes))


def test_an_order_may_choose_a_part() -> None:
    inputs = np.arange(6, dtype=np.float32)[:, None]
    batches = Batches.lay_out(inputs, np.arange(6, dtype=np.int32), batch_size=2, order=np.array([5, 0, 3]))
    assert batches.targets[:, 0].tolist() == [[5, 0], [3, 0]]
    assert batches.sizes.tolist() == [2, 1]


def test_the_data_are_copied() -> None:
    inputs, targets = np.ones((4, 1), np.float32), np.ones(4, np.int32)
    batches = Batches.lay_out(inputs, targets, batch_size=4)
    inputs[:], targets[:] = 7, 7
    assert (batches.inputs == 1).all()
    assert (batches.targets == 1).all()


@pytest.mark.parametrize(
    ("ratio", "num_steps", "expected"), [(1.0, 3, [2, 2, 2]), (0.5, 3, [2, 1.5, 1]), (0.1, 1, [2])]
)
def test_learning_rate_falls_linearly_to_its_end(ratio: float, num_steps: int, expected: list[float]) -> None:
    optimization = Optimization(UpdateRule.SGD, 2.0, ratio)
    assert [learning_rate(optimization, step, num_steps) for step in range(num_steps)] == pytest.approx(expected)
