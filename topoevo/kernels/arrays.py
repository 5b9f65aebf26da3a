"""Arrays of kernels: single precision, and aligned."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: What kernels compute with.
Floats = NDArray[np.float32]


def aligned_zeros(shape: tuple[int, ...]) -> Floats:
    """Return zeros that begin with a line of the cache, from where compiled loops read rows in one go.

    Parameters
    ----------
    shape
        Of the array, float32.
    """
    numbers = np.zeros(math.prod(shape) + 16, np.float32)
    first = -numbers.ctypes.data % 64 // 4
    return numbers[first : first + math.prod(shape)].reshape(shape)
