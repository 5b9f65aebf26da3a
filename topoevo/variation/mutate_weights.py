"""Change weights at random (Stanley & Miikkulainen 2002, section 4.1): evolution instead of learning, or beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import UNSET
from topoevo.registry import option
from topoevo.variation.mutation import MUTATIONS, Mutation


@MUTATIONS.register
@dataclass(frozen=True)
class MutateWeights(Mutation):
    """Change the weights of enabled connections, each with a probability, and one of them at least.

    A changed weight gets a normal number added or, now and then, is unset, so that it is drawn anew by ``weight_init``
    at the next evaluation. Weights that are unset already will be drawn there, too, and stay unset. Differs from the
    paper in adding normal numbers, not uniform ones, and by default in changing three weights of ten instead of all
    and replacing none instead of a tenth.
    """

    name: ClassVar[str] = "mutate_weights"

    sigma: float = option(0.5, "standard deviation of the change of a weight", gt=0)
    p_change: float = option(0.3, "probability of each weight to be changed", gt=0, le=1)
    p_replace: float = option(0.0, "probability of a changed weight to be drawn anew by weight_init", ge=0, le=1)

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        """Return `genome` with other weights, or None if no enabled connection has one."""
        weights = genome.connections["weight"].copy()
        rows = np.flatnonzero(genome.enabled & ~np.isnan(weights))
        if len(rows) == 0:
            return None
        changed = rows[rng.random(len(rows)) < self.p_change]
        if len(changed) == 0:
            changed = rows[rng.integers(len(rows), size=1)]
        moved = weights[changed] + self.sigma * rng.standard_normal(len(changed))
        weights[changed] = np.where(rng.random(len(changed)) < self.p_replace, UNSET, moved)
        return genome.with_weights(weights)
