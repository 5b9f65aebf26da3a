"""Weights before learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from topoevo.network import Network


def _normal(network: Network, rng: np.random.Generator) -> NDArray[np.float64]:
    """N(0, 0.1²) for every edge, as the predecessor draws them (Rieke 2020)."""
    return 0.1 * rng.standard_normal(network.num_edges)


def _he(network: Network, rng: np.random.Generator) -> NDArray[np.float64]:
    """N(0, 2 / fan-in) with the real number of incoming edges (He et al. 2015, eq. 10); biases start at 0."""
    weights = rng.standard_normal(network.num_edges) * np.sqrt(2.0 / np.maximum(network.fan_in, 1))
    weights[network.from_bias] = 0.0
    return weights


#: Ways to draw weights by name.
WEIGHT_INITS: Mapping[str, Callable[[Network, np.random.Generator], NDArray[np.float64]]] = MappingProxyType(
    {"normal": _normal, "he": _he}
)


def initial_weights(network: Network, weight_init: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the weights that learning starts with, float32 [num_edges].

    Weights that the genome has are kept; those that are unset (NaN) are drawn.

    Parameters
    ----------
    network
        The network.
    weight_init
        Name of `WEIGHT_INITS`.
    rng
        Generator of the individual.
    """
    drawn = WEIGHT_INITS[weight_init](network, rng).astype(np.float32)
    return np.where(np.isnan(network.weight), drawn, network.weight)
