"""Elementary functions in single precision: the errors that their module states, and that they vectorize."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numba import njit

from topoevo.compilation import inlined_loop
from topoevo.kernels import elementary

FUNCTIONS = ("exp", "tanh", "log", "sin", "cos", "abs")


@pytest.fixture(scope="module")
def over_samples():
    """Return ``{name: inlined_loop(x, y)}``, compiled as the kernels compile their loops."""

    def compile_inlined_loop(function):
        @inlined_loop
        def run(x, y):
            for j in range(len(x)):
                y[j] = function(x[j])

        return run

    return {name: compile_inlined_loop(getattr(elementary, name)) for name in FUNCTIONS}


@pytest.fixture
def apply(over_samples):
    """Return ``apply(name, x)``: float32 values of a vectorized loop."""

    def run(name: str, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, np.float32)
        y = np.empty_like(x)
        over_samples[name](x, y)
        return y

    return run


def grid(low: float, high: float, count: int = 400_001) -> np.ndarray:
    """Numbers spread evenly, in single precision, with their neighbors at round places."""
    x = np.linspace(low, high, count).astype(np.float32)
    return np.clip(np.concatenate([x, np.nextafter(x[::100], np.float32(np.inf))]), np.float32(low), np.float32(high))


def powers(low: int, high: int, count: int = 200_001) -> np.ndarray:
    """Positive numbers of all sizes between two powers of ten."""
    return np.logspace(low, high, count).astype(np.float32)


def relative_error(y: np.ndarray, exact: np.ndarray) -> float:
    assert (y[exact == 0] == 0).all()
    y, exact = y[exact != 0].astype(np.float64), exact[exact != 0]
    return float(np.max(np.abs(y - exact) / np.abs(exact)))


def absolute_error(y: np.ndarray, exact: np.ndarray) -> float:
    return float(np.max(np.abs(y.astype(np.float64) - exact)))


def test_exp(apply) -> None:
    x = np.concatenate([grid(-87, 88), powers(-30, 0), -powers(-30, 0)])
    assert relative_error(apply("exp", x), np.exp(x.astype(np.float64))) <= 2e-7
    below = np.array([-87.0001, -88, -104, -1e4, -3e38, -np.inf], np.float32)
    assert ((apply("exp", below) >= 0) & (apply("exp", below) <= 2e-38)).all()
    above = np.array([88.001, 89, 1e5, 3e38, np.inf], np.float32)
    assert (apply("exp", above) == apply("exp", np.array([88.0]))[0]).all()
    assert apply("exp", np.array([0.0, -0.0])).tolist() == [1.0, 1.0]


def test_tanh(apply) -> None:
    x = np.concatenate([grid(-12, 12), powers(-30, 38), -powers(-30, 38)])
    assert relative_error(apply("tanh", x), np.tanh(x.astype(np.float64))) <= 3e-7
    assert apply("tanh", np.array([np.inf, -np.inf, 0.0, 50.0, -50.0])).tolist() == [1, -1, 0, 1, -1]
    assert (np.abs(apply("tanh", x)) <= 1).all()


def test_log(apply) -> None:
    x = np.concatenate([powers(-37, 38), grid(0.5, 2.0), np.array([1.1754944e-38, 3.4028235e38], np.float32)])
    y, exact = apply("log", x).astype(np.float64), np.log(x.astype(np.float64))
    assert (np.abs(y - exact) <= np.maximum(3e-7 * np.abs(exact), 1e-7)).all()
    assert apply("log", np.ones(1))[0] == 0
    assert apply("log", np.array([np.inf]))[0] == np.inf


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine(apply, name: str) -> None:
    x = np.concatenate([grid(-1000, 1000), grid(-7, 7), powers(-30, 0), np.float32(np.pi) * np.arange(-300, 300) / 2])
    x = x.astype(np.float32)
    assert absolute_error(apply(name, x), getattr(np, name)(x.astype(np.float64))) <= 3e-7
    huge = np.concatenate([powers(3, 38), -powers(3, 38), np.array([3.4028235e38, -3.4028235e38], np.float32)])
    assert (np.abs(apply(name, huge)) <= 1).all(), "stays in [-1, 1] everywhere"
    assert np.isnan(apply(name, np.array([np.inf, -np.inf]))).all()


def test_sine_of_small_numbers_is_exact_in_relative_terms(apply) -> None:
    x = np.concatenate([powers(-30, -1), -powers(-30, -1)])
    assert relative_error(apply("sin", x), np.sin(x.astype(np.float64))) <= 3e-7


def test_abs(apply) -> None:
    x = np.array([-3.5, 0.0, 2.0, -np.inf, np.inf, -1e-45], np.float32)
    assert apply("abs", x).tolist() == np.abs(x).tolist()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays_nan(apply, name: str) -> None:
    x = np.ones(67, np.float32)
    x[[0, 13, 66]] = np.nan
    assert np.array_equal(np.isnan(apply(name, x)), np.isnan(x))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("length", [0, 1, 3, 8, 17, 64, 65])
def test_a_lane_does_not_depend_on_its_neighbors(apply, name: str, length: int) -> None:
    x = np.random.default_rng(length).uniform(0.1, 5, length)
    together = apply(name, x)
    alone = np.array([apply(name, x[i : i + 1])[0] for i in range(length)], np.float32)
    # Vector and remainder loops may contract multiply and add differently: the last bit is free.
    np.testing.assert_allclose(together, alone, rtol=2.5e-7, atol=1e-7)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_loops_vectorize_without_calls(over_samples, apply, name: str) -> None:
    apply(name, np.ones(4))
    (code,) = over_samples[name].inspect_llvm().values()
    assert re.search(r"<(?:4|8|16) x float>", code), "no vector of floats in the compiled loop"
    assert not re.search(rf"call [^\n]*@(?:numba\.)?(?:llvm\.)?{name}f?(?:\.(?:v\d+)?f32)?\(", code)


@pytest.mark.parametrize(
    ("name", "arguments"), [("maximum", (0.0,)), ("clip", (-2.0, 2.0)), ("heaviside", (0.0,)), ("heaviside", (0.5,))]
)
def test_choices_are_those_of_numpy(name: str, arguments: tuple[float, ...]) -> None:
    function = getattr(elementary, name)
    x = np.array([-np.inf, -3, -1e-45, -0.0, 0.0, 1e-45, 2, 5, np.inf, np.nan], np.float32)
    limits = [np.float32(a) for a in arguments]
    expected = getattr(np, name)(x, *limits)
    assert np.array_equal([function(value, *limits) for value in x], expected, equal_nan=True)


def test_where() -> None:
    @njit
    def chosen(condition):
        return elementary.where(condition, np.float32(1), np.float32(2))

    assert (chosen(True), chosen(False)) == (1, 2)
