"""Weights before learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from topoevo.network import Network


def _normal(network: Network) -> NDArray[np.float64]:
    """0.1 for every edge, the predecessor's choice (Rieke 2020)."""
    return np.full(network.num_edges, 0.1)


def _he(network: Network) -> NDArray[np.float64]:
    """sqrt(2 / fan-in) with the real number of incoming edges (He et al. 2015, eq. 10); biases start at 0."""
    return np.where(network.from_bias, 0.0, np.sqrt(2.0 / np.maximum(network.fan_in, 1)))


#: Ways to draw weights by name: the standard deviation of every edge's normal distribution, float64 [num_edges].
WEIGHT_INITS: Mapping[str, Callable[[Network], NDArray[np.float64]]] = MappingProxyType({"normal": _normal, "he": _he})


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
    drawn = (WEIGHT_INITS[weight_init](network) * rng.standard_normal(network.num_edges)).astype(np.float32)
    return np.where(np.isnan(network.weight), drawn, network.weight)
