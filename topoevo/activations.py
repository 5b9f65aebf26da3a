"""The activation functions of nodes, one row each.

Every function is written once, elementwise, on top of the name ``np``. Called from Python it is numpy; the compiled
backend binds ``np`` to `topoevo.kernels.elementary` instead, whose exp, tanh, sin and cos vectorize. Constants are
``np.float32``, so that compiled arithmetic stays in single precision. To add an activation, write its value and
derivative and append a row to the table: names go into files, the order of the rows does not.

The ten functions and their definitions are those of weight agnostic networks (Gaier & Ha 2019, arXiv 1906.04358).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
_PI = np.float32(np.pi)
_FAR = np.float32(100.0)


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Parameters
    ----------
    name
        How parameter files and network files call it.
    code
        Row number in this process; never written to a file.
    value
        ``value(z)``: activity of a node whose weighted input is `z`; any shape, dtype kept.
    derivative
        ``derivative(z, y)``: slope dy/dz, given the weighted input and the activity ``y = value(z)``. At a kink it is
        the derivative from the left or zero; where the slope is zero almost everywhere (step) it is zero.
    color
        Fill color of the nodes in pictures, as ``#rrggbb``.
    """

    name: str
    code: int
    value: Callable[[Any], Any]
    derivative: Callable[[Any, Any], Any]
    color: str

    @property
    def slope_from_activity(self) -> bool:
        """Whether ``derivative(y, y)`` is the slope, too: whether the activity tells it without the weighted input."""
        z = np.append(np.linspace(-3.0, 3.0, 101, dtype=np.float32), np.float32(np.nan))
        y = self.value(z)
        return np.array_equal(self.derivative(z, y), self.derivative(y, y), equal_nan=True)

    @property
    def is_flat(self) -> bool:
        """Whether the slope is zero almost everywhere, as that of step, so that no error passes."""
        z = np.linspace(-3.0, 3.0, 101, dtype=np.float32)
        return not np.any(self.derivative(z, self.value(z)))


def _linear(z):  # type: ignore[no-untyped-def]
    return z


def _linear_derivative(z, y):  # type: ignore[no-untyped-def]
    return np.where(np.equal(z, z), _ONE, z)


def _step(z):  # type: ignore[no-untyped-def]
    return np.heaviside(z, _ZERO)


def _step_derivative(z, y):  # type: ignore[no-untyped-def]
    return np.where(np.equal(z, z), _ZERO, z)


def _sine(z):  # type: ignore[no-untyped-def]
    return np.sin(_PI * z)


def _sine_derivative(z, y):  # type: ignore[no-untyped-def]
    return _PI * np.cos(_PI * z)


def _cosine(z):  # type: ignore[no-untyped-def]
    return np.cos(_PI * z)


def _cosine_derivative(z, y):  # type: ignore[no-untyped-def]
    return -_PI * np.sin(_PI * z)


def _gaussian(z):  # type: ignore[no-untyped-def]
    return np.exp(-_HALF * z * z)


def _gaussian_derivative(z, y):  # type: ignore[no-untyped-def]
    # Far out y is 0; the limit keeps an infinite z from making 0 * inf of it.
    return -np.clip(z, -_FAR, _FAR) * y


def _tanh(z):  # type: ignore[no-untyped-def]
    return np.tanh(z)


def _tanh_derivative(z, y):  # type: ignore[no-untyped-def]
    return _ONE - y * y


def _sigmoid(z):  # type: ignore[no-untyped-def]
    # The form with tanh neither overflows nor cancels, whatever the sign of z.
    return _HALF + _HALF * np.tanh(_HALF * z)


def _sigmoid_derivative(z, y):  # type: ignore[no-untyped-def]
    return y * (_ONE - y)


def _inverse(z):  # type: ignore[no-untyped-def]
    return -z


def _inverse_derivative(z, y):  # type: ignore[no-untyped-def]
    return np.where(np.equal(z, z), -_ONE, z)


def _abs(z):  # type: ignore[no-untyped-def]
    return np.abs(z)


def _abs_derivative(z, y):  # type: ignore[no-untyped-def]
    return np.where(z > _ZERO, _ONE, -_ONE)


def _relu(z):  # type: ignore[no-untyped-def]
    return np.maximum(z, _ZERO)


def _relu_derivative(z, y):  # type: ignore[no-untyped-def]
    return np.where(z > _ZERO, _ONE, _ZERO)


_TABLE = (
    ("linear", _linear, _linear_derivative, "#d9d9d9"),
    ("step", _step, _step_derivative, "#bc80bd"),
    ("sine", _sine, _sine_derivative, "#80b1d3"),
    ("cosine", _cosine, _cosine_derivative, "#8dd3c7"),
    ("gaussian", _gaussian, _gaussian_derivative, "#ffffb3"),
    ("tanh", _tanh, _tanh_derivative, "#b3de69"),
    ("sigmoid", _sigmoid, _sigmoid_derivative, "#ccebc5"),
    ("inverse", _inverse, _inverse_derivative, "#fccde5"),
    ("abs", _abs, _abs_derivative, "#bebada"),
    ("relu", _relu, _relu_derivative, "#fb8072"),
)

#: Every activation by name, in the order of the table.
ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        name: Activation(name, code, value, derivative, color)
        for code, (name, value, derivative, color) in enumerate(_TABLE)
    }
)

#: The same, by code.
ACTIVATIONS_BY_CODE: tuple[Activation, ...] = tuple(ACTIVATIONS.values())


def activation_codes(names: NDArray[np.str_] | list[str] | tuple[str, ...]) -> NDArray[np.int8]:
    """Return the codes of several activations.

    Parameters
    ----------
    names
        Names of the table.

    Returns
    -------
    ndarray of int8 [len(names)]

    Raises
    ------
    UnknownNameError
        If a name is not in the table.
    """
    from topoevo.errors import UnknownNameError

    for name in names:
        if name not in ACTIVATIONS:
            raise UnknownNameError("activation", str(name), ACTIVATIONS)
    return np.array([ACTIVATIONS[str(name)].code for name in names], np.int8)
