"""Several mutations of one genome, drawn by their probabilities."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.variation import Evidence, InformedMutation, Mutation


def mutate(
    genome: Genome,
    mutations: Mapping[Mutation, float],
    num_mutations: int,
    tracker: InnovationTracker,
    rng: np.random.Generator,
    evidence: Evidence | None = None,
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
    evidence
        What learning saw of `genome`; without it, operators that are led by it find no legal place.
    """
    applied: list[str] = []
    # A list, since looking an operator up in a dictionary means to hash all its options.
    possible = [(mutation, float(p)) for mutation, p in mutations.items() if p > 0]
    for _ in range(num_mutations):
        candidates = possible
        while candidates:
            # As `rng.choice` draws, ten times faster.
            drawn = bisect_right(_cumulative(tuple([p for _, p in candidates])), rng.random())
            chosen, _ = candidates[drawn]
            if isinstance(chosen, InformedMutation):
                mutated = chosen(genome, tracker, rng, evidence)
            else:
                mutated = chosen(genome, tracker, rng)
            if mutated is not None:
                genome = mutated
                applied.append(chosen.name)
                break
            candidates = [one for one in candidates if one[0] is not chosen]
    return genome, tuple(applied)


@lru_cache
def _cumulative(weights: tuple[float, ...]) -> list[float]:
    """Probabilities in proportion to `weights`, each with those before it."""
    p = np.array(weights, np.float64)
    cumulative = np.cumsum(p / p.sum())
    return list((cumulative / cumulative[-1]).tolist())
