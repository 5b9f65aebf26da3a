"""From one generation to the next: islands, culling, elites, tournaments, mutation, newcomers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution.islands import Islands, fraction_of
from topoevo.evolution.moments import Moments
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
        Networks without parents that take the last places of every generation, and how many of them; not with several
        islands.
    num_islands, migration_every
        Parts of the population that breed apart, and generations between migrations; see `Islands`.
    """

    mutations: Mapping[Mutation, float]
    cull_ratio: float
    elite_ratio: float
    tournament_size: int
    num_mutations: int
    inherit_weights: bool
    newcomers: Newcomers | None = None
    num_newcomers: int = 0
    num_islands: int = 1
    migration_every: int = 0

    def drawing(self, probabilities: Mapping[str, float]) -> Reproduction:
        """Return the same with other probabilities of operators, by name; newcomers are made as before."""
        mutations = {one: probabilities[one.name] for one in self.mutations if one.name in probabilities}
        return replace(self, mutations=mutations)

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
        generation = population.generation + 1
        islands = Islands.of(size, self.num_islands, self.elite_ratio, self.migration_every)
        ranked = [self._ranked(population, order, islands, island) for island in range(self.num_islands)]
        members = [self._unchanged(elite) for part in ranked for elite in part[: islands.num_elites]]
        num_elites = len(members)
        num_newcomers = 0 if self.newcomers is None else self.num_newcomers
        indices = range(num_elites, size - num_newcomers)
        addressed = generators(seed, Stream.REPRODUCTION, generation, indices)
        for index, rng in zip(indices, addressed, strict=True):
            island = islands.island(generation, index)
            origin = islands.origin(generation, index)
            if origin is None:
                parent, genome, operators = self._child(ranked[island], tracker, rng)
            else:
                parent = ranked[origin][0]
                genome, operators = self.passed_on(parent), ()
            members.append(
                Individual(
                    next_id + index - num_elites,
                    (parent.id,),
                    generation,
                    operators,
                    genome,
                    founded=parent.founded,
                    parent_reward=parent.reward if isfinite(parent.reward) else None,
                    ancestor=parent.line,
                    moments=_moments_of(parent),
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

    def _ranked(
        self, population: Population, order: NDArray[np.int64], islands: Islands, island: int
    ) -> list[Individual]:
        """Those who live on an island, from best to worst."""
        here = set(islands.members(population.generation, island))
        return [population.members[place] for place in order if int(place) in here]

    def _unchanged(self, elite: Individual) -> Individual:
        """An individual that goes on, not evaluated."""
        return Individual(
            elite.id,
            elite.parents,
            elite.born,
            elite.operators,
            self.passed_on(elite),
            founded=elite.founded,
            parent_reward=elite.parent_reward,
            ancestor=elite.ancestor,
            moments=_moments_of(elite),
        )

    def _child(
        self, ranked: list[Individual], tracker: InnovationTracker, rng: np.random.Generator
    ) -> tuple[Individual, Genome, tuple[str, ...]]:
        """A parent from an island, a mutated copy of it, and how it was mutated."""
        parent = ranked[tournament(self._num_breeding(ranked), self.tournament_size, rng)]
        evidence = None if parent.evaluation is None else parent.evaluation.evidence
        genome, operators = mutate(
            self.passed_on(parent), self.mutations, self.num_mutations, tracker, rng, evidence=evidence
        )
        return parent, genome, operators

    def _num_breeding(self, ranked: list[Individual]) -> int:
        """How many of an island may have children: the better ones, and who was stopped only where nobody finished."""
        num_breeding = max(len(ranked) - fraction_of(len(ranked), self.cull_ratio), 1)
        num_finished = sum(member.progress == inf for member in ranked)
        was_racing = any(0 <= member.progress < inf for member in ranked)
        return min(num_breeding, num_finished) if was_racing and num_finished else num_breeding

    def passed_on(self, individual: Individual) -> Genome:
        """Return the genome that an individual hands to the next generation."""
        evaluation = individual.evaluation
        if not self.inherit_weights or evaluation is None or evaluation.weights is None:
            return individual.genome
        return individual.genome.with_weights(evaluation.weights)


def _moments_of(individual: Individual) -> Moments | None:
    """What the optimizer of the last evaluation remembers."""
    return None if individual.evaluation is None else individual.evaluation.moments


def initial_population(size: int, *newcomers: Newcomers, tracker: InnovationTracker, seed: int) -> Population:
    """Return the unevaluated generation 0.

    Parameters
    ----------
    size
        Number of individuals.
    *newcomers
        How they are made, or those of each of so many equal parts.
    tracker, seed
        Innovation numbers, and the run's seed.
    """
    tracker.start_generation()
    members = []
    for index in range(size):
        part = newcomers[index * len(newcomers) // size]
        genome, operators = part.draw(tracker, generator(seed, Stream.INITIAL, 0, index))
        members.append(Individual(index, (), 0, operators, genome))
    return Population(0, tuple(members))
