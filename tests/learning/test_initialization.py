"""Weights before learning."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.learning.initialization import WEIGHT_INITS, initial_weights
from topoevo.network import Network, compile_network


@pytest.fixture(scope="module")
def network() -> Network:
    """Return 400 inputs, 3 outputs, a bias: fan-ins of about 40, and a hidden node of fan-in 1 before every output."""
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = minimal_genome(400, 3, p_enabled=0.1, tracker=tracker, rng=rng, bias=True)
    for innovation in genome.connections["innovation"][:30].tolist():
        if (
            genome.connections["source"][np.searchsorted(genome.connections["innovation"], innovation)]
            != genome.bias_id
        ):
            genome = genome.split(innovation, tracker=tracker, bias=True)
    return compile_network(genome)


def draws(network: Network, weight_init: str, count: int = 60) -> np.ndarray:
    return np.array([initial_weights(network, weight_init, np.random.default_rng(s)) for s in range(count)])


def test_normal_has_standard_deviation_a_tenth(network: Network) -> None:
    assert kstest(draws(network, "normal").ravel() / 0.1, "norm").pvalue > 1e-3


def test_he_scales_with_the_real_fan_in(network: Network) -> None:
    drawn = draws(network, "he")
    sources = np.bincount(network.target[~network.from_bias], minlength=network.num_nodes)
    fan_in = sources[network.target]
    assert len(set(fan_in[~network.from_bias].tolist())) >= 3
    for size in set(fan_in[~network.from_bias].tolist()):
        edges = ~network.from_bias & (fan_in == size)
        assert kstest(drawn[:, edges].ravel() / np.sqrt(2 / size), "norm").pvalue > 1e-3
    assert network.from_bias.any()
    assert (drawn[:, network.from_bias] == 0).all(), "biases start at 0"


@pytest.mark.parametrize("weight_init", WEIGHT_INITS)
def test_given_weights_are_kept(network: Network, weight_init: str) -> None:
    import dataclasses

    given = network.weight.copy()
    given[::3] = 7.0
    given[0] = 0.0
    drawn = initial_weights(dataclasses.replace(network, weight=given), weight_init, np.random.default_rng(0))
    assert drawn[0] == 0
    assert (drawn[3::3] == 7).all()
    assert np.isfinite(drawn).all()
    assert drawn.dtype == np.float32
    free = np.isnan(given)
    assert np.array_equal(drawn[free], initial_weights(network, weight_init, np.random.default_rng(0))[free])


@pytest.mark.parametrize("weight_init", WEIGHT_INITS)
def test_what_comes_back_is_not_the_networks_own(evolve_network, weight_init: str) -> None:
    network = evolve_network(0)
    weights = initial_weights(network, weight_init, np.random.default_rng(0))
    assert np.array_equal(weights, network.weight)
    assert not np.shares_memory(weights, network.weight)
