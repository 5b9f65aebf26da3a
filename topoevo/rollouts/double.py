"""Sine and cosine in double precision that the compiler can vectorize.

The module stands in for `math` in compiled simulations: what it does not define is that of `math`. The arguments are
reduced as in `topoevo.kernels.elementary`. The errors are below 3e-16 for ``abs(x) <= 1e5``; results stay in [-1, 1]
everywhere, and NaN stays NaN.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

#: 1.5 * 2**52: adding it to a number below 2**51 in size leaves the rounded integer in the low bits.
_ROUND = 6755399441055744.0
_INVERSE_PI = 0.3183098861837907
#: pi in three parts, the first two of 30 bits, so that their multiples are exact.
_PI_HIGH = float.fromhex("0x1.921fb54000000p+1")
_PI_MIDDLE = float.fromhex("0x1.10b4611800000p-29")
_PI_LOW = float.fromhex("0x1.313198a2e0370p-60")
_HALF_PI = 1.5707963267948966
_SIGN = np.int64(63)

# No reassociation: (x + ROUND) - ROUND must not be simplified to x.
_lane = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)


@_lane
def _sin_half_turns(x, k, bits):
    """(-1)**n sin(x - k pi) by Taylor; `k` is within a half of x/pi and `bits` holds n in its low bits."""
    r = ((x - k * _PI_HIGH) - k * _PI_MIDDLE) - k * _PI_LOW
    r = -_HALF_PI if r < -_HALF_PI else r
    r = _HALF_PI if r > _HALF_PI else r
    q = r * r
    p = 1.0 / 51090942171709440000.0
    p = p * q - 1.0 / 121645100408832000.0
    p = p * q + 1.0 / 355687428096000.0
    p = p * q - 1.0 / 1307674368000.0
    p = p * q + 1.0 / 6227020800.0
    p = p * q - 1.0 / 39916800.0
    p = p * q + 1.0 / 362880.0
    p = p * q - 1.0 / 5040.0
    p = p * q + 1.0 / 120.0
    p = p * q - 1.0 / 6.0
    s = r + r * q * p
    s = -1.0 if s < -1.0 else s
    s = 1.0 if s > 1.0 else s
    return np.int64(np.float64(s).view(np.int64) ^ np.int64(bits << _SIGN)).view(np.float64)


@_lane
def sin(x):
    """sin(x) = (-1)**k sin(x - k pi) with k = round(x / pi)."""
    shifted = x * _INVERSE_PI + _ROUND
    return _sin_half_turns(x, shifted - _ROUND, np.float64(shifted).view(np.int64))


@_lane
def cos(x):
    """cos(x) = (-1)**(k+1) sin(x - (k + 1/2) pi) with k = round(x / pi - 1/2)."""
    shifted = (x * _INVERSE_PI - 0.5) + _ROUND
    return _sin_half_turns(x, (shifted - _ROUND) + 0.5, np.float64(shifted).view(np.int64) + np.int64(1))


def __getattr__(name: str) -> Any:
    """Everything else is that of `math`."""
    return getattr(math, name)
