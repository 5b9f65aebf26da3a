"""Held-out samples: a partition, of the right size, in which every class has its share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topoevo.errors import TaskError
from topoevo.tasks.splits import hold_out


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda counts: sum(counts) >= 2),
    ratio=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
    stratified=st.booleans(),
)
def test_partition_with_the_share_of_every_class(counts, ratio, seed, stratified):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held = hold_out(len(labels), ratio, rng=np.random.default_rng(seed), labels=labels if stratified else None)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert len(held) == min(max(round(ratio * len(labels)), 1), len(labels) - 1)
    assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()
    if stratified:
        share = len(held) / len(labels)
        taken = np.bincount(labels[held], minlength=len(counts))
        # Rounding down, and at most what rounding left over.
        assert (taken >= np.floor(share * np.array(counts) - 1)).all()
        assert (taken <= np.ceil(share * np.array(counts) + 1)).all()


def test_equal_classes_give_equally():
    labels = np.repeat(np.arange(10), 100)
    _, held = hold_out(1000, 0.2, rng=np.random.default_rng(0), labels=labels)
    assert np.bincount(labels[held]).tolist() == [20] * 10


def test_a_class_with_one_sample_stays():
    labels = np.array([1] + [0] * 20)
    for seed in range(20):
        assert 0 in hold_out(21, 0.5, rng=np.random.default_rng(seed), labels=labels)[0]


def test_seed_decides():
    def draw(seed):
        return hold_out(100, 0.3, rng=np.random.default_rng(seed))[1].tolist()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_one_sample_cannot_be_split():
    with pytest.raises(TaskError, match="too few"):
        hold_out(1, 0.5, rng=np.random.default_rng(0))
