"""Offset and scale of columns against scikit-learn, and the hard columns."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.tasks.scaling import apply_scaling, fit_scaling


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    return rng.normal([5, -3, 1e3], [2, 0.1, 1e-2], (5000, 3))


def test_standardize_is_that_of_sklearn(columns):
    from sklearn.preprocessing import StandardScaler

    offset, scale = fit_scaling(columns, "standardize")
    expected = StandardScaler().fit_transform(columns)
    np.testing.assert_allclose(apply_scaling(columns, offset, scale), expected, atol=5e-3)
    np.testing.assert_allclose(apply_scaling(columns[:, :2], offset[:2], scale[:2]), expected[:, :2], atol=2e-5)


def test_center_keeps_the_unit(columns):
    offset, scale = fit_scaling(columns, "center", unit=16.0)
    assert scale.tolist() == [16.0] * 3
    np.testing.assert_allclose(apply_scaling(columns, offset, scale).mean(axis=0), 0, atol=1e-5)


def test_none_divides_by_the_unit(columns):
    np.testing.assert_allclose(apply_scaling(columns, *fit_scaling(columns, "none", unit=2.0)), columns / 2, rtol=1e-7)


def test_constant_column_becomes_zero():
    columns = np.full((20, 2), 0.1)
    columns[:, 1] = np.arange(20)
    offset, scale = fit_scaling(columns, "standardize")
    assert scale[0] == 1
    np.testing.assert_allclose(apply_scaling(columns, offset, scale)[:, 0], 0, atol=1e-8)


def test_column_far_from_zero_keeps_unit_size():
    stamps = 1.7e12 + np.random.default_rng(0).normal(0, 1e4, (1000, 1))
    scaled = apply_scaling(stamps, *fit_scaling(stamps, "standardize"))
    assert np.sqrt(np.mean(scaled.astype(np.float64) ** 2)) == pytest.approx(1, rel=1e-4)


def test_nothing_to_do_copies_nothing():
    columns = np.ones((4, 2), np.float32)
    assert apply_scaling(columns, *fit_scaling(columns, "none")) is columns
