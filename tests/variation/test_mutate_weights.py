"""Mutated weights: the statistics that the options promise, and everything else as it was."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.dense import dense_genome
from topoevo.variation.mutate_weights import MutateWeights


@pytest.fixture(scope="module")
def large() -> Genome:
    """Return a genome with 20,000 weights."""
    genome = dense_genome(100, (100,), 100, activation="tanh", bias=False)
    return genome.with_weights(np.random.default_rng(0).normal(0, 3, len(genome.connections)).astype(np.float32))


def mutated(operator: MutateWeights, genome: Genome, seed: int = 0) -> np.ndarray:
    found = operator(genome, InnovationTracker(1000, 1000), np.random.default_rng(seed))
    assert found.nodes.tobytes() == genome.nodes.tobytes()
    for name in ("innovation", "source", "target", "enabled"):
        assert found.connections[name].tobytes() == genome.connections[name].tobytes()
    return found.connections["weight"]


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_changes_are_normal(large: Genome, sigma: float) -> None:
    before = large.connections["weight"]
    change = mutated(MutateWeights(sigma=sigma, p_change=1.0, p_replace=0.0), large).astype(np.float64) - before
    assert kstest(change / sigma, "norm").pvalue > 1e-3
    # Changes do not depend on what they change.
    assert abs(np.corrcoef(change, before)[0, 1]) < 4 / np.sqrt(len(before))


@pytest.mark.parametrize(("p_change", "p_replace"), [(1.0, 0.1), (0.3, 0.5), (0.05, 0.0), (1.0, 1.0)])
def test_so_many_are_changed_and_replaced(large: Genome, p_change: float, p_replace: float) -> None:
    before = large.connections["weight"]
    after = mutated(MutateWeights(p_change=p_change, p_replace=p_replace), large)
    number = len(before)
    for found, p in ((np.isnan(after), p_change * p_replace), (after == before, 1 - p_change)):
        assert abs(np.count_nonzero(found) - p * number) <= 4 * np.sqrt(p * (1 - p) * number) + 1e-9


def test_one_weight_at_least_is_changed_evenly(evolve) -> None:
    genome = evolve(1, num_mutations=5)
    rows = np.flatnonzero(genome.enabled)
    counts = np.zeros(len(genome.connections))
    for seed in range(600):
        changed = mutated(MutateWeights(p_change=1e-9, p_replace=0.0), genome, seed) != genome.connections["weight"]
        assert changed.sum() == 1
        counts += changed
    assert (counts[~genome.enabled] == 0).all()
    expected = 600 / len(rows)
    assert (abs(counts[rows] - expected) < 4 * np.sqrt(expected)).all()


def test_unset_and_disabled_weights_keep_their_bits(evolve) -> None:
    genome = evolve(3)
    disabled = ~genome.enabled
    assert disabled.any()
    weights = genome.connections["weight"].copy()
    unset = np.flatnonzero(genome.enabled)[:3]
    weights[unset] = np.nan
    after = mutated(MutateWeights(p_change=1.0, p_replace=0.0), genome.with_weights(weights))
    kept = disabled.copy()
    kept[unset] = True
    assert after[kept].tobytes() == weights[kept].tobytes()
    assert (after[~kept] != weights[~kept]).all()


def test_there_is_no_place_where_no_weight_is_set(evolve) -> None:
    genome = evolve(3, weight_std=None)
    unset = genome.with_weights(np.full(len(genome.connections), np.nan, np.float32))
    assert MutateWeights()(unset, InnovationTracker(1000, 1000), np.random.default_rng(0)) is None
