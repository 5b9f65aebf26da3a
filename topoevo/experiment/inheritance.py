"""What an optimizer remembers, on its way from a parent's training to that of a child: by gene, not by edge."""

from __future__ import annotations

import numpy as np

from topoevo.evolution.moments import Moments
from topoevo.genome import Genome
from topoevo.learning import Learner
from topoevo.learning.inheritance import inherit


def moments_of(learner: Learner, genome: Genome) -> Moments | None:
    """Return what the optimizer of a learner remembers; None if nothing has been learned.

    Parameters
    ----------
    learner
        Its network, which may have been pruned, has developed from `genome`.
    genome
        The genes, those that learning has removed included.
    """
    edges = np.flatnonzero(learner.plasticity.plastic)
    if not learner.state.age or not len(edges):
        return None
    innovation = genome.connections["innovation"][learner.network.gene[edges]]
    order = np.argsort(innovation)
    edges = edges[order]
    return Moments(innovation[order], learner.state.first[edges], learner.state.second[edges], learner.state.age)


def give_moments(learner: Learner, genome: Genome, moments: Moments | None) -> None:
    """Let a learner begin with what an earlier optimizer remembered of those genes that it has.

    Parameters
    ----------
    learner
        Before its first step, with a network that `genome` has developed into.
    genome, moments
        Its genes, and what is remembered; None is nothing.
    """
    if moments is None:
        return
    places, known = moments.find(genome.connections["innovation"][learner.network.gene])
    if known.any():
        inherit(learner, known, moments.first[places], moments.second[places], num_steps=moments.steps)
