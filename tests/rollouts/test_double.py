"""Sine and cosine in double precision against numpy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from topoevo.rollouts import double


def over(function: object) -> object:
    """A compiled loop over an array."""

    @njit
    def loop(x, y):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            y[i] = function(x[i])

    return loop


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_errors_are_below_what_is_stated(name: str) -> None:
    loop = over(getattr(double, name))
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-10, 10, 4001), rng.uniform(-1e5, 1e5, 20000), np.arange(-50, 51) * (math.pi / 2)])
    y = np.empty_like(x)
    loop(x, y)
    assert np.abs(y - getattr(np, name)(x)).max() < 3e-16


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_far_out_and_not_finite(name: str) -> None:
    loop = over(getattr(double, name))
    x = np.array([1e9, -1e15, 1e300, np.nan, np.inf])
    y = np.empty_like(x)
    loop(x, y)
    assert (np.abs(y[:3]) <= 1).all()
    assert np.isnan(y[3])


def test_everything_else_is_that_of_math() -> None:
    @njit
    def floor(x):  # type: ignore[no-untyped-def]
        return double.floor(x) + double.pi

    assert floor(2.5) == 2.0 + math.pi
