"""From one generation to the next: culling, elites, tournaments, mutation, newcomers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution.mutating import mutate
from topoevo.evolution.newcomers import Newcomers
from topoevo.evolution.population import Individual, Population
from topoevo.evolution.selection import tournament
from topoevo.genome import Genome, InnovationTracker
from topoevo.seeds import Stream, generator, generators
from topoevo.variation import Mutation


@dataclass(frozen=True)
class Reproduction:
    """How the next generation is made.

    Parameters
    ----------
    mutations
        Operators with their probabilities, which are normalized here; those with probability 0 are left out.
    cull_ratio
        Fraction of the population, counted from the worst, that has no children.
    elite_ratio
        Fraction of the population, counted from the best, that goes on unchanged.
    tournament_size
        Different individuals that compete to become a parent.
    num_mutations
        Mutations of every child.
    inherit_weights
        Whether trained weights are passed on (Lamarck); otherwise every evaluation draws new ones.
    newcomers, num_newcomers
        Networks without parents that take the last places of every generation, and how many of them.
    """

    mutations: Mapping[Mutation, float]
    cull_ratio: float
    elite_ratio: float
    tournament_size: int
    num_mutations: int
    inherit_weights: bool
    newcomers: Newcomers | None = None
    num_newcomers: int = 0

    def next_generation(
        self, population: Population, order: NDArray[np.int64], *, tracker: InnovationTracker, seed: int, next_id: int
    ) -> Population:
        """Return the unevaluated next generation: elites first, then children, then newcomers.

        Parameters
        ----------
        population
            Evaluated individuals; none of them is changed.
        order
            Their indices from best to worst, int64 [num_members].
        tracker
            Innovation numbers; a new generation is started in it.
        seed
            The run's seed.
        next_id
            Id of the first child; the others and the newcomers follow.
        """
        tracker.start_generation()
        size = len(population.members)
        ranked = [population.members[index] for index in order]
        num_elites = fraction_of(size, self.elite_ratio)
        breeding = ranked[: max(size - fraction_of(size, self.cull_ratio), 1)]
        generation = population.generation + 1
        members = [
            Individual(
                elite.id, elite.parents, elite.born, elite.operators, self.passed_on(elite), founded=elite.founded
            )
            for elite in ranked[:num_elites]
        ]
        num_newcomers = 0 if self.newcomers is None else self.num_newcomers
        indices = range(num_elites, size - num_newcomers)
        addressed = generators(seed, Stream.REPRODUCTION, generation, indices)
        for index, rng in zip(indices, addressed, strict=True):
            parent = breeding[tournament(len(breeding), self.tournament_size, rng)]
            genome, operators = mutate(self.passed_on(parent), self.mutations, self.num_mutations, tracker, rng)
            members.append(
                Individual(
                    next_id + index - num_elites, (parent.id,), generation, operators, genome, founded=parent.founded
                )
            )
        for index in range(size - num_newcomers, size):
            assert self.newcomers is not None
            rng = generator(seed, Stream.INITIAL, generation, index)
            genome, operators = self.newcomers.draw(tracker, rng)
            members.append(
                Individual(next_id + index - num_elites, (), generation, operators, genome, founded=generation)
            )
        return Population(generation, tuple(members))

    def passed_on(self, individual: Individual) -> Genome:
        """Return the genome that an individual hands to the next generation."""
        evaluation = individual.evaluation
        if not self.inherit_weights or evaluation is None or evaluation.weights is None:
            return individual.genome
        return individual.genome.with_weights(evaluation.weights)


def fraction_of(size: int, ratio: float) -> int:
    """Return the whole individuals in a fraction of a population: 29 for .29 of 100, although .29 * 100 < 29."""
    return math.floor(ratio * size + 1e-9)


def initial_population(size: int, newcomers: Newcomers, *, tracker: InnovationTracker, seed: int) -> Population:
    """Return the unevaluated generation 0.

    Parameters
    ----------
    size
        Number of individuals.
    newcomers
        How they are made.
    tracker, seed
        Innovation numbers, and the run's seed.
    """
    tracker.start_generation()
    members = []
    for index in range(size):
        genome, operators = newcomers.draw(tracker, generator(seed, Stream.INITIAL, 0, index))
        members.append(Individual(index, (), 0, operators, genome))
    return Population(0, tuple(members))
