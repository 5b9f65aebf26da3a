"""Random numbers that several operators draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """Return a number from `low` to `high`, both above 0, whose logarithm is uniform."""
    return float(low * (high / low) ** rng.random())


def ranked(values: NDArray[np.floating], noise: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return positions by rising value times log-normal noise.

    Parameters
    ----------
    values
        At least 0, float [num_values]; zeros come in random order.
    noise
        Standard deviation of the noise's logarithm.
    rng
        Generator.

    Returns
    -------
    ndarray of intp [num_values]
    """
    factors = rng.lognormal(0.0, noise, len(values))
    return np.argsort(np.where(values > 0.0, values * factors, -factors), kind="stable")
