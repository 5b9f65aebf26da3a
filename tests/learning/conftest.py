"""Networks with an architecture that tests of single rules can reason about."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from topoevo.genome.dense import dense_genome
from topoevo.network import Network, compile_network


@pytest.fixture(scope="session")
def dense() -> Callable[..., Network]:
    """Return ``dense(sizes, ...)``: layers of nodes, each connected to all of the layer before and to the bias node."""

    def build(
        sizes: tuple[int, ...], *, bias: bool = True, weight_std: float = 0.7, seed: int = 0, **activations: str
    ) -> Network:
        options = {"activation": "tanh", "bias": bias, **activations}
        genome = dense_genome(sizes[0], sizes[1:-1], sizes[-1], **options)
        weights = weight_std * np.random.default_rng(seed).standard_normal(len(genome.connections))
        return compile_network(genome.with_weights(weights.astype(np.float32)))

    return build


@pytest.fixture(scope="session")
def matrices() -> Callable[[Network, np.ndarray, tuple[int, ...]], list[np.ndarray]]:
    """Return ``matrices(network, weights, sizes)``: those of a `dense` network, [target, source], the bias last."""

    def split(network: Network, weights: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
        parts, done = [], 0
        for before, size in pairwise(sizes):
            # A row's sources ascend: the bias node comes after the inputs, but before hidden nodes.
            order = np.argsort(network.from_bias[done : done + before + network.has_bias], kind="stable")
            count = size * len(order)
            parts.append(weights[done : done + count].reshape(size, -1)[:, order])
            done += count
        assert done == network.num_edges
        return parts

    return split
