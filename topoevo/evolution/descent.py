"""Generation 0 where the first network is given."""

from __future__ import annotations

from collections.abc import Mapping

from topoevo.evolution.mutating import mutate
from topoevo.evolution.population import Individual, Population
from topoevo.genome import Genome, InnovationTracker
from topoevo.seeds import Stream, generator
from topoevo.variation import Mutation


def population_of(
    founder: Genome, size: int, *, mutations: Mapping[Mutation, float], tracker: InnovationTracker, seed: int
) -> Population:
    """Return the unevaluated generation 0: the founder as it is, then copies of it that are mutated once.

    Parameters
    ----------
    founder
        Genome of individual 0.
    size
        Number of individuals.
    mutations
        Operators with probabilities of any sum.
    tracker, seed
        Innovation numbers, from `tracker_after`, and the run's seed.
    """
    tracker.start_generation()
    members = [Individual(0, (), 0, (), founder)]
    for index in range(1, size):
        rng = generator(seed, Stream.INITIAL, 0, index)
        genome, operators = mutate(founder, mutations, 1, tracker, rng)
        members.append(Individual(index, (), 0, operators, genome))
    return Population(0, tuple(members))


def tracker_after(genome: Genome) -> InnovationTracker:
    """Return a tracker whose numbers follow those of a genome."""
    return InnovationTracker(int(genome.nodes["id"][-1]) + 1, int(genome.connections["innovation"].max(initial=-1)) + 1)
