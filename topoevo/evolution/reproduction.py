"""From one generation to the next: culling, elites, tournaments, mutation."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution.population import Individual, Population
from topoevo.evolution.selection import tournament
from topoevo.genome import Genome, InnovationTracker
from topoevo.seeds import Stream, generator
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
    """

    mutations: Mapping[Mutation, float]
    cull_ratio: float
    elite_ratio: float
    tournament_size: int
    num_mutations: int
    inherit_weights: bool

    def next_generation(
        self, population: Population, order: NDArray[np.int64], *, tracker: InnovationTracker, seed: int, next_id: int
    ) -> Population:
        """Return the unevaluated next generation: elites first, then children.

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
            Id of the first child.
        """
        tracker.start_generation()
        size = len(population.members)
        ranked = [population.members[index] for index in order]
        num_elites = fraction_of(size, self.elite_ratio)
        breeding = ranked[: max(size - fraction_of(size, self.cull_ratio), 1)]
        generation = population.generation + 1
        members = [
            Individual(elite.id, elite.parents, elite.born, elite.operators, self.passed_on(elite))
            for elite in ranked[:num_elites]
        ]
        for index in range(num_elites, size):
            rng = generator(seed, Stream.REPRODUCTION, generation, index)
            parent = breeding[tournament(len(breeding), self.tournament_size, rng)]
            genome, operators = mutate(self.passed_on(parent), self.mutations, self.num_mutations, tracker, rng)
            members.append(Individual(next_id + index - num_elites, (parent.id,), generation, operators, genome))
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


def mutate(
    genome: Genome,
    mutations: Mapping[Mutation, float],
    num_mutations: int,
    tracker: InnovationTracker,
    rng: np.random.Generator,
) -> tuple[Genome, tuple[str, ...]]:
    """Return a mutated genome and the names of the operators that changed it.

    An operator is drawn by its probability. One that finds no legal place is put aside and another one is drawn; if
    none is left, the mutation is skipped.

    Parameters
    ----------
    genome
        Left as it is.
    mutations
        Operators with probabilities of any sum.
    num_mutations
        How many are done one after the other.
    tracker, rng
        Innovation numbers and generator of the child.
    """
    applied: list[str] = []
    possible = {mutation: float(p) for mutation, p in mutations.items() if p > 0}
    for _ in range(num_mutations):
        candidates = possible
        while candidates:
            # As `rng.choice` draws, ten times faster.
            drawn = bisect_right(_cumulative(tuple(candidates.values())), rng.random())
            chosen = list(candidates)[drawn]
            mutated = chosen(genome, tracker, rng)
            if mutated is not None:
                genome = mutated
                applied.append(chosen.name)
                break
            candidates = {mutation: p for mutation, p in candidates.items() if mutation is not chosen}
    return genome, tuple(applied)


@lru_cache
def _cumulative(weights: tuple[float, ...]) -> list[float]:
    """Probabilities in proportion to `weights`, each with those before it."""
    p = np.array(weights, np.float64)
    cumulative = np.cumsum(p / p.sum())
    return list((cumulative / cumulative[-1]).tolist())


def initial_population(
    size: int,
    num_inputs: int,
    num_outputs: int,
    *,
    p_enabled: float,
    p_add_node: float,
    add_node: Mutation,
    bias: bool,
    evolved_bias: bool = False,
    output_activation: str,
    max_connections: int | None = None,
    tracker: InnovationTracker,
    seed: int,
) -> Population:
    """Return the unevaluated generation 0.

    Parameters
    ----------
    size
        Number of individuals.
    num_inputs, num_outputs
        Of the task.
    p_enabled
        Probability of every connection from an input to an output.
    p_add_node
        Probability with which `add_node` is applied, tried once for every initial connection (Rieke 2020).
    add_node
        The operator.
    bias, evolved_bias, output_activation, max_connections
        See `Genome.minimal`.
    tracker, seed
        Innovation numbers, and the run's seed.
    """
    tracker.start_generation()
    members = []
    for index in range(size):
        rng = generator(seed, Stream.INITIAL, 0, index)
        genome = Genome.minimal(
            num_inputs,
            num_outputs,
            p_enabled=p_enabled,
            tracker=tracker,
            rng=rng,
            bias=bias,
            evolved_bias=evolved_bias,
            output_activation=output_activation,
            max_connections=max_connections,
        )
        num_nodes = int(rng.binomial(genome.complexity.connections, p_add_node))
        genome, operators = mutate(genome, {add_node: 1.0}, num_nodes, tracker, rng)
        members.append(Individual(index, (), 0, operators, genome))
    return Population(0, tuple(members))
