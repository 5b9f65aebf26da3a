"""Elementary functions in single precision that the compiler can vectorize.

numba calls the scalar functions of the C library for exp, tanh, sin and cos, one sample at a time. The forms here are
branch free: reduction of the argument by rounding, a polynomial on the small remainder, and the power of two put
together from its bits. They are scalar functions; a loop over samples that calls one becomes vector code.

Greatest errors against double precision, tested in ``tests/kernels/test_elementary.py``:

====  ==========================  =================================================
exp   2e-7 relative               -87 <= x <= 88; 0 below -87 (to 2e-38), clamped above 88
tanh  3e-7 relative               everywhere
log   3e-7 relative, 1e-7 abs.    normal positive numbers
sin   3e-7 absolute               abs(x) <= 1000; stays in [-1, 1] everywhere
cos   3e-7 absolute               abs(x) <= 1000; stays in [-1, 1] everywhere
====  ==========================  =================================================

NaN stays NaN. The module stands in for numpy in `topoevo.activations`, hence its lower-case names.
"""

from __future__ import annotations

import numpy as np
from numba import njit

float32 = np.float32

#: 1.5 * 2**23: adding it to a number below 2**22 in size leaves the rounded integer in the low bits.
_ROUND = np.float32(12582912.0)
_ROUND_BITS = np.int32(0x4B400000)
_LOG2_E = np.float32(1.44269504)
#: ln 2 and pi in two or three parts, the first ones with so few bits that their multiples are exact.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_INVERSE_PI = np.float32(0.318309886)
_PI_HIGH = np.float32(3.140625)
_PI_MIDDLE = np.float32(9.67025756835937500e-4)
_PI_LOW = np.float32(6.27832957e-7)
_HALF_PI = np.float32(1.57079637)
_LARGEST = np.finfo(np.float32).max
_F0, _F1, _F2 = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_HALF = np.float32(0.5)
_BIAS = np.int32(127)
_MANTISSA = np.int32(23)

# No reassociation here: (x + ROUND) - ROUND must not be simplified to x.
_lane = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)


@_lane
def _power_of_two(bits):  # type: ignore[no-untyped-def]
    """2**n from the bits of ``n + ROUND``, for -126 <= n <= 127."""
    return np.int32((bits - _ROUND_BITS + _BIAS) << _MANTISSA).view(np.float32)


@_lane
def _expm1_remainder(r):  # type: ignore[no-untyped-def]
    """exp(r) - 1 for abs(r) <= ln(2)/2: Taylor's polynomial of degree 7, remainder below 4e-9 relative."""
    p = np.float32(1.0 / 5040.0)
    p = p * r + np.float32(1.0 / 720.0)
    p = p * r + np.float32(1.0 / 120.0)
    p = p * r + np.float32(1.0 / 24.0)
    p = p * r + np.float32(1.0 / 6.0)
    p = p * r + _HALF
    return r + r * r * p


@_lane
def exp(x):  # type: ignore[no-untyped-def]
    """e**x = 2**n * e**r with n = round(x / ln 2)."""
    c = np.float32(-87.0) if x < np.float32(-87.0) else x
    c = np.float32(88.0) if c > np.float32(88.0) else c
    shifted = c * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = c - n * _LN2_HIGH - n * _LN2_LOW
    scale = _power_of_two(np.float32(shifted).view(np.int32))
    return scale + scale * _expm1_remainder(r)


@_lane
def tanh(x):  # type: ignore[no-untyped-def]
    """tanh(x) = m / (m + 2) with m = e**(2x) - 1, exact in the small; 1 - 2**-24 is reached at 9."""
    c = np.float32(-9.5) if x < np.float32(-9.5) else x
    c = np.float32(9.5) if c > np.float32(9.5) else c
    c = c + c
    shifted = c * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = c - n * _LN2_HIGH - n * _LN2_LOW
    scale = _power_of_two(np.float32(shifted).view(np.int32))
    m = scale * _expm1_remainder(r) + (scale - _F1)
    return m / (m + _F2)


@_lane
def log(x):  # type: ignore[no-untyped-def]
    """ln(x) = e ln 2 + 2 atanh(s) with s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2))."""
    bits = np.float32(x).view(np.int32)
    # Subtracting the bits of sqrt(1/2) makes the exponent field round at sqrt(1/2) instead of at 1.
    e = np.int32(bits - np.int32(0x3F3504F3)) >> _MANTISSA
    m = np.int32(bits - np.int32(e << _MANTISSA)).view(np.float32)
    s = (m - _F1) / (m + _F1)
    q = s * s
    p = np.float32(1.0 / 9.0)
    p = p * q + np.float32(1.0 / 7.0)
    p = p * q + np.float32(1.0 / 5.0)
    p = p * q + np.float32(1.0 / 3.0)
    f = np.float32(e)
    result = f * _LN2_HIGH + (f * _LN2_LOW + (_F2 * s + _F2 * s * q * p))
    # Infinity and NaN have bits too, which mean nothing above.
    return result if x <= _LARGEST else x


@_lane
def _sin_reduced(r):  # type: ignore[no-untyped-def]
    """sin(r) for abs(r) <= pi/2: Taylor's polynomial of degree 11, remainder below 6e-8."""
    r = -_HALF_PI if r < -_HALF_PI else r
    r = _HALF_PI if r > _HALF_PI else r
    q = r * r
    p = np.float32(-1.0 / 39916800.0)
    p = p * q + np.float32(1.0 / 362880.0)
    p = p * q + np.float32(-1.0 / 5040.0)
    p = p * q + np.float32(1.0 / 120.0)
    p = p * q + np.float32(-1.0 / 6.0)
    s = r + r * q * p
    s = -_F1 if s < -_F1 else s
    return _F1 if s > _F1 else s


@_lane
def _sin_half_turns(x, k, bits):  # type: ignore[no-untyped-def]
    """(-1)**n sin(x - k pi), where `k` is within a half of x/pi and `bits` holds n in its low bits."""
    r = x - k * _PI_HIGH - k * _PI_MIDDLE - k * _PI_LOW
    sign = np.int32(bits << np.int32(31))
    return np.int32(np.float32(_sin_reduced(r)).view(np.int32) ^ sign).view(np.float32)


@_lane
def sin(x):  # type: ignore[no-untyped-def]
    """sin(x) = (-1)**k sin(x - k pi) with k = round(x / pi)."""
    shifted = x * _INVERSE_PI + _ROUND
    return _sin_half_turns(x, shifted - _ROUND, np.float32(shifted).view(np.int32))


@_lane
def cos(x):  # type: ignore[no-untyped-def]
    """cos(x) = (-1)**(k+1) sin(x - (k + 1/2) pi) with k = round(x / pi - 1/2)."""
    shifted = (x * _INVERSE_PI - _HALF) + _ROUND
    return _sin_half_turns(x, (shifted - _ROUND) + _HALF, np.float32(shifted).view(np.int32) + np.int32(1))


@_lane
def where(condition, if_true, if_false):  # type: ignore[no-untyped-def]
    """`if_true` or `if_false`."""
    return if_true if condition else if_false


@_lane
def equal(x, y):  # type: ignore[no-untyped-def]
    """Whether two numbers are equal; NaN is not equal to itself."""
    return x == y


@_lane
def maximum(x, y):  # type: ignore[no-untyped-def]
    """The larger one; x if it is NaN."""
    return y if x < y else x


@_lane
def clip(x, low, high):  # type: ignore[no-untyped-def]
    """x between two limits; NaN if it is NaN."""
    x = low if x < low else x
    return high if x > high else x


@_lane
def heaviside(x, at_zero):  # type: ignore[no-untyped-def]
    """0 below zero, 1 above; NaN if x is NaN."""
    y = _F1 if x > _F0 else (_F0 if x < _F0 else at_zero)
    return y if x == x else x


@_lane
def abs(x):  # type: ignore[no-untyped-def]
    """The size of x."""
    return -x if x < _F0 else x
