"""Remove the hidden node that the loss misses least (Mozer & Smolensky 1989; Molchanov et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.edits import without_connections
from topoevo.genome.genes import HIDDEN
from topoevo.registry import option
from topoevo.variation.chance import ranked
from topoevo.variation.compensation import with_shifted_biases
from topoevo.variation.evidence import Evidence
from topoevo.variation.mutation import MUTATIONS, InformedMutation


@MUTATIONS.register
@dataclass(frozen=True)
class PruneNode(InformedMutation):
    """Remove the hidden node whose outgoing connections have the lowest sum of saliencies times log-normal noise.

    Nodes that are left on no path go, too. The mean activity of all these times the weight of an outgoing connection
    moves into the bias of that connection's target, where there is one, so that the mean input of what stays is kept.

    Differs from the papers in the criterion: they take the slope of the loss along a gate on the node (Mozer &
    Smolensky), or |mean of activity · gradient| (Molchanov et al.); the saliency of the evidence needs no sign.

    References
    ----------
    Mozer & Smolensky 1989, Skeletonization. Molchanov, Tyree, Karras, Aila & Kautz 2017, Pruning convolutional neural
    networks for resource efficient inference, arXiv:1611.06440, section 2.2.
    """

    name: ClassVar[str] = "prune_node"

    noise: float = option(0.5, "deviation of the noise in the order of nodes", gt=0, le=10)

    def _mutate(
        self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        mean, _ = evidence.activities_of(genome, unknown=(np.nan, np.nan))
        rows = np.flatnonzero((genome.role == HIDDEN) & genome.active[0] & np.isfinite(mean))
        if len(rows) == 0:
            return None
        row = int(rows[ranked(outgoing_saliency(genome, evidence)[rows], self.noise, rng)[0]])
        child = without_connections(genome, (genome.source_row == row) | (genome.target_row == row))
        if not child.complexity.connections:
            return None
        stays = np.isin(genome.nodes["id"], child.nodes["id"])
        out = genome.enabled & ~stays[genome.source_row]
        lost = (genome.connections["weight"] * mean[genome.source_row])[out]
        # Added up in the order of genes; what is unset or unknown counts as nothing.
        shift = np.bincount(genome.target_row[out], np.nan_to_num(lost), minlength=len(genome.nodes)).astype(np.float64)
        return with_shifted_biases(child, shift[stays])


def outgoing_saliency(genome: Genome, evidence: Evidence) -> NDArray[np.float64]:
    """Return the sum of the saliencies of each node's enabled outgoing connections, float64 [num_nodes].

    One that is not finite, as in a training that has nearly diverged, says nothing; its node counts as indispensable.
    """
    saliency = np.where(genome.enabled, evidence.saliency_of(genome, unknown=0.0), 0.0)
    saliency = np.where(np.isfinite(saliency), saliency, np.inf)
    return np.bincount(genome.source_row, saliency, minlength=len(genome.nodes)).astype(np.float64)
