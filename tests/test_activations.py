"""The ten activations: definitions, slopes, and what they do at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE, activation_codes
from topoevo.errors import UnknownNameError

#: Definitions of Gaier & Ha 2019, written with the standard library.
DEFINITIONS = {
    "linear": lambda z: z,
    "step": lambda z: 1.0 if z > 0 else 0.0,
    "sine": lambda z: math.sin(math.pi * z),
    "cosine": lambda z: math.cos(math.pi * z),
    "gaussian": lambda z: math.exp(-z * z / 2),
    "tanh": math.tanh,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "inverse": lambda z: -z,
    "abs": abs,
    "relu": lambda z: max(z, 0.0),
}
KINKED = ("step", "abs", "relu")


def test_there_is_a_definition_for_each() -> None:
    assert set(DEFINITIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_is_the_definition(name: str) -> None:
    z = np.concatenate([np.linspace(-8, 8, 1601), [0.0, -0.0, 1e-30, -1e-30]])
    expected = np.array([DEFINITIONS[name](x) for x in z.tolist()])
    np.testing.assert_allclose(ACTIVATIONS[name].value(z), expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_is_the_slope(name: str) -> None:
    activation = ACTIVATIONS[name]
    z = np.linspace(-4.003, 4.001, 997)
    if name in KINKED:
        z = z[np.abs(z) > 1e-3]
    h = 1e-5
    expected = (activation.value(z + h) - activation.value(z - h)).astype(np.float64) / (2 * h)
    np.testing.assert_allclose(activation.derivative(z, activation.value(z)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "slope"), [("step", 0.0), ("abs", -1.0), ("relu", 0.0)])
def test_derivative_at_a_kink_is_from_the_left_or_zero(name: str, slope: float) -> None:
    zero = np.zeros(1, np.float32)
    assert ACTIVATIONS[name].derivative(zero, ACTIVATIONS[name].value(zero)) == slope


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_single_precision_stays_single(name: str) -> None:
    z = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    y = ACTIVATIONS[name].value(z)
    assert y.dtype == ACTIVATIONS[name].derivative(z, y).dtype == np.float32
    assert y.shape == (2, 3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_double_precision_stays_double(name: str) -> None:
    assert ACTIVATIONS[name].value(np.linspace(-2, 2, 3)).dtype == np.float64


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_large_inputs_stay_finite(name: str, sign: int) -> None:
    z = np.array([20.0, 200.0, 1e4, 1e18], np.float32) * sign
    y = ACTIVATIONS[name].value(z)
    slope = ACTIVATIONS[name].derivative(z, y)
    assert np.isfinite(y).all()
    assert np.isfinite(slope).all()
    if name in ("sigmoid", "tanh", "gaussian", "sine", "cosine", "step"):
        assert (np.abs(y) <= 1).all()


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_nan_stays_nan(name: str) -> None:
    assert np.isnan(ACTIVATIONS[name].value(np.array([np.nan], np.float32))).all()


@pytest.mark.parametrize(
    ("name", "z", "y"),
    [
        ("relu", np.inf, np.inf),
        ("relu", -np.inf, 0.0),
        ("abs", -np.inf, np.inf),
        ("inverse", np.inf, -np.inf),
        ("step", -np.inf, 0.0),
        ("step", np.inf, 1.0),
        ("tanh", -np.inf, -1.0),
        ("sigmoid", -np.inf, 0.0),
        ("sigmoid", np.inf, 1.0),
        ("gaussian", -np.inf, 0.0),
    ],
)
def test_value_at_infinity_is_the_limit(name: str, z: float, y: float) -> None:
    with np.errstate(invalid="ignore"):
        assert ACTIVATIONS[name].value(np.array([z], np.float32))[0] == y


@pytest.mark.parametrize(
    ("name", "z"),
    [("relu", -np.inf), *((n, z) for n in ("step", "tanh", "sigmoid", "gaussian") for z in (np.inf, -np.inf))],
)
def test_slope_where_flat_at_infinity_is_zero(name: str, z: float) -> None:
    x = np.array([z], np.float32)
    with np.errstate(invalid="ignore"):
        assert ACTIVATIONS[name].derivative(x, ACTIVATIONS[name].value(x))[0] == 0


def test_codes_are_rows() -> None:
    assert [a.code for a in ACTIVATIONS_BY_CODE] == list(range(len(ACTIVATIONS)))
    assert activation_codes(["relu", "linear"]).tolist() == [ACTIVATIONS["relu"].code, ACTIVATIONS["linear"].code]
    with pytest.raises(UnknownNameError, match="did you mean 'relu'"):
        activation_codes(["rellu"])


def test_colors_can_be_told_apart() -> None:
    colors = [a.color for a in ACTIVATIONS_BY_CODE]
    assert len(set(colors)) == len(colors)
    for color in colors:
        assert len(color) == 7
        assert int(color[1:], 16) >= 0
