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
    seed=st.integers(0, 2**31),
    stratified=st.booleans(),
)
def test_partition_with_the_share_of_every_class(counts, ratio, seed, stratified):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held = hold_out(len(labels), ratio, seed=seed, labels=labels if stratified else None)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert len(held) == min(max(int(np.ceil(ratio * len(labels))), 1), len(labels) - 1)
    present = [count for count in counts if count]
    if stratified and min(present) >= 2 and min(len(held), len(kept)) >= len(present):
        share = len(held) / len(labels)
        taken = np.bincount(labels[held], minlength=len(counts))
        assert (np.abs(taken - share * np.array(counts)) <= 1).all()


def test_equal_classes_give_equally():
    labels = np.repeat(np.arange(10), 100)
    _, held = hold_out(1000, 0.2, seed=0, labels=labels)
    assert np.bincount(labels[held]).tolist() == [20] * 10


def test_a_class_with_one_sample_is_no_obstacle():
    labels = np.array([1] + [0] * 20)
    kept, held = hold_out(21, 0.5, seed=0, labels=labels)
    assert (len(kept), len(held)) == (10, 11)


def test_same_split_as_scikit_learn():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    inputs, labels = load_digits(return_X_y=True)
    _, held = hold_out(len(labels), 0.25, seed=0, labels=labels)
    _, expected, _, _ = train_test_split(inputs, labels, test_size=0.25, stratify=labels, random_state=0)
    np.testing.assert_array_equal(inputs[held], expected)


def test_seed_decides():
    def draw(seed):
        return hold_out(100, 0.3, seed=seed)[1].tolist()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_one_sample_cannot_be_split():
    with pytest.raises(TaskError, match="too few"):
        hold_out(1, 0.5, seed=0)
