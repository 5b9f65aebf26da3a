"""Objectives and digest of a population."""

from __future__ import annotations

import math
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

from topoevo.evolution import Evaluation, Individual, Population


@pytest.fixture
def population(evolve) -> Population:
    """Return four evaluated individuals and one that failed."""
    members = []
    for index in range(4):
        genome = evolve(index)
        weights = np.arange(len(genome.connections), dtype=np.float32) + index
        evaluation = Evaluation(-0.5 * index, 1.0 + index, 0.9, weights, 0.1 * index)
        members.append(Individual(index, (), 0, (), genome, evaluation))
    members.append(Individual(4, (), 0, (), evolve(4), Evaluation.failed("loss is not finite", 0.2)))
    return Population(3, tuple(members))


def test_objectives_are_columns_by_name(population: Population) -> None:
    objectives = population.objectives("reward", "simplicity", "best_reward")
    assert objectives.dtype == np.float64
    assert objectives[:, 0].tolist() == [0, -0.5, -1, -1.5, -math.inf]
    # Being small is no merit of a network that failed.
    sizes = [m.genome.complexity.connections for m in population.members[:4]]
    assert objectives[:, 1].tolist() == [*(-size for size in sizes), -math.inf]
    assert objectives[:, 2].tolist() == [1, 2, 3, 4, -math.inf]
    with pytest.raises((KeyError, ValueError)):
        population.objectives("beauty")


def test_objectives_before_evaluation(evolve) -> None:
    population = Population(0, (Individual(0, (), 0, (), evolve(0)),))
    assert population.objectives("reward", "best_reward").tolist() == [[-math.inf, -math.inf]]


def test_a_failure_says_why_and_ranks_last() -> None:
    failed = Evaluation.failed("loss is not finite", 1.5)
    assert (failed.reward, failed.best_reward, failed.accuracy, failed.weights) == (-math.inf, -math.inf, None, None)
    assert (failed.failure, failed.seconds) == ("loss is not finite", 1.5)
    assert Evaluation(0.0, 0.0, None, None, 0.0).failure is None


def changed(population: Population, place: int, **changes: object) -> Population:
    """The population with one evaluation changed."""
    members = list(population.members)
    members[place] = members[place].evaluated(replace(members[place].evaluation, **changes))
    return Population(population.generation, tuple(members))


def test_digest_sees_genomes_weights_rewards_and_order(population: Population, evolve) -> None:
    weights = population.members[1].evaluation.weights.copy()
    weights[-1] = np.nextafter(weights[-1], np.float32(np.inf))
    other_genome = list(population.members)
    other_genome[2] = replace(other_genome[2], genome=evolve(99))
    others = [
        changed(population, 1, weights=weights),
        changed(population, 0, reward=1e-300),
        changed(population, 3, weights=None),
        Population(3, population.members[::-1]),
        Population(3, population.members[:-1]),
        Population(3, tuple(other_genome)),
    ]
    assert len({population.digest, *(other.digest for other in others)}) == len(others) + 1


def test_digest_does_not_see_the_clock(population: Population) -> None:
    assert changed(population, 1, seconds=99.0).digest == population.digest
    assert len(population.digest) == 16


@pytest.mark.parametrize("weights", [None, [], [0.1, -0.0, math.nan, math.inf]])
def test_an_evaluation_travels_bit_for_bit(weights: list[float] | None) -> None:
    array = None if weights is None else np.array(weights, np.float32)
    sent = Evaluation(-0.1, 2.5, None, array, 0.3, None if weights else "no weights")
    got = pickle.loads(pickle.dumps(sent))
    assert all(getattr(got, f.name) == getattr(sent, f.name) for f in fields(sent) if f.name != "weights")
    if array is None:
        assert got.weights is None
    else:
        assert (got.weights.dtype, got.weights.tobytes()) == (np.float32, array.tobytes())
