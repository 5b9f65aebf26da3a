"""Remove the connections that the loss misses least (LeCun, Denker & Solla 1990; Theis et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.edits import without_connections
from topoevo.genome.genes import BIAS
from topoevo.registry import option
from topoevo.variation.chance import log_uniform, ranked
from topoevo.variation.evidence import Evidence
from topoevo.variation.mutation import MUTATIONS, InformedMutation


@MUTATIONS.register
@dataclass(frozen=True)
class PruneConnection(InformedMutation):
    """Remove a share of the connections, those with the lowest saliency times log-normal noise.

    The share is log-uniform between `share_min` and `share_max`, the standard deviation of the noise's logarithm
    between `noise_min` and `noise_max`. Hidden nodes that are left on no path from an input to an output go, too.
    Connections from the bias node stay if that is connected to every node.

    The saliency is that of the evidence, of the kind that `pruning` names; without it, w² E[g²] wherever there are
    gradients: the diagonal of the Fisher information instead of that of the Hessian in Optimal Brain Damage,
    s = h w² / 2. Differs from both papers in the noise.

    References
    ----------
    LeCun, Denker & Solla 1990, Optimal brain damage. Theis, Korshunova, Tejani & Huszár 2018, Faster gaze prediction
    with dense networks and Fisher pruning, arXiv:1801.05787.
    """

    name: ClassVar[str] = "prune_connection"

    share_min: float = option(0.01, "smallest share of its connections that a network loses", gt=0, lt=1)
    share_max: float = option(0.2, "largest share of its connections that a network loses", gt=0, lt=1)
    noise_min: float = option(0.2, "smallest deviation of the noise in the order of saliencies", gt=0, le=10)
    noise_max: float = option(1.5, "largest deviation of the noise in the order of saliencies", gt=0, le=10)
    bias_connections: Literal["all", "evolved"] = option("all", "connections of the bias node")

    def _mutate(
        self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        share = log_uniform(self.share_min, self.share_max, rng)
        noise = log_uniform(self.noise_min, self.noise_max, rng)
        return pruned(genome, evidence, share, rng=rng, noise=noise, spare_bias=self.bias_connections == "all")


def pruned(
    genome: Genome, evidence: Evidence, share: float, *, rng: np.random.Generator, noise: float, spare_bias: bool
) -> Genome | None:
    """Return `genome` without its connections of lowest saliency times noise, or None if none would be left.

    Parameters
    ----------
    genome, evidence
        Network, and what is known of it; connections that it knows nothing of stay.
    share
        Fraction of the connections that go, one at least.
    rng
        Generator.
    noise
        Standard deviation of the noise's logarithm.
    spare_bias
        Whether connections from the bias node stay.
    """
    saliency = evidence.saliency_of(genome, unknown=np.inf)
    may_go = genome.enabled & np.isfinite(saliency)
    if spare_bias:
        may_go &= genome.role[genome.source_row] != BIAS
    rows = np.flatnonzero(may_go)
    order = rows[ranked(saliency[rows], noise, rng)]
    number = min(max(1, round(share * len(rows))), len(rows))
    while number:
        gone = np.zeros(len(genome.connections), np.bool_)
        gone[order[:number]] = True
        child = without_connections(genome, gone)
        if child.complexity.connections:
            return child
        # With the nodes that they keep alive all would go.
        number //= 2
    return None
