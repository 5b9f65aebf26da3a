"""Samples, scores and the transform of raw inputs."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from topoevo.tasks import DataSettings, Samples, load_task


@pytest.fixture(scope="module")
def digits():
    return load_task(DataSettings("digits"))


@pytest.fixture(scope="module")
def sine():
    return load_task(DataSettings("sine"))


def test_score_of_equal_outputs_is_the_log_of_the_number_of_classes(digits):
    score = digits.score(np.full((10, 7), 3.5, np.float32), np.arange(7, dtype=np.int32))
    assert score.loss == pytest.approx(math.log(10), abs=1e-12)
    assert score.accuracy == pytest.approx(1 / 7)  # the lowest class wins a tie


def test_cross_entropy_by_hand(digits):
    outputs = np.zeros((10, 2), np.float32)
    outputs[3, 0], outputs[4, 1] = 2.0, 1.0
    score = digits.score(outputs, np.array([3, 5], np.int32))
    expected = (math.log(math.e**2 + 9) - 2 + math.log(math.e + 9)) / 2
    assert score.loss == pytest.approx(expected, abs=1e-12)
    assert score.accuracy == 0.5


def test_large_outputs_do_not_overflow(digits):
    outputs = np.zeros((10, 1), np.float32)
    outputs[2] = 1e30
    assert digits.score(outputs, np.array([2], np.int32)).loss == 0
    assert digits.score(outputs, np.array([1], np.int32)).loss == pytest.approx(1e30, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_outputs_give_a_not_finite_loss_and_are_not_correct(digits, bad):
    outputs = np.zeros((10, 1), np.float32)
    outputs[2] = bad
    score = digits.score(outputs, np.array([2], np.int32))
    assert not math.isfinite(score.loss)
    assert score.accuracy == 0


def test_mean_squared_error_by_hand(sine):
    score = sine.score(np.array([[1.0, 2.0]], np.float32), np.array([[0.0], [4.0]], np.float32))
    assert score.loss == 2.5
    assert score.accuracy is None


def test_score_refuses_transposed_outputs(sine):
    with pytest.raises(ValueError, match=r"expected \(1, 3\)"):
        sine.score(np.zeros((3, 1), np.float32), np.zeros((3, 1), np.float32))


def test_transform_repeats_the_scaling_of_the_training_samples():
    from sklearn.datasets import load_digits

    task = load_task(DataSettings("digits", input_scaling="standardize"))
    raw = load_digits().data
    rows = {row.tobytes() for row in task.transform(raw)}
    assert len(rows) == len(raw)
    assert all(row.tobytes() in rows for row in np.concatenate([task.train.inputs, task.test.inputs]))
    with pytest.raises(ValueError, match="64"):
        task.transform(raw[:, :5])


def test_samples_cannot_be_written_to(digits):
    with pytest.raises(ValueError, match="read-only"):
        digits.train.inputs[0, 0] = 1
    mine = np.zeros((3, 2), np.float32)
    Samples(mine, np.zeros(3, np.int32))
    mine[0, 0] = 1  # the caller's own array stays writable


def test_samples_of_another_process_are_the_same_and_read_only(digits):
    copy = pickle.loads(pickle.dumps(digits))
    assert copy.train.inputs.tobytes() == digits.train.inputs.tobytes()
    assert not copy.train.inputs.flags.writeable and not copy.test.targets.flags.writeable
