"""Let one node do the work of two that say the same (Srinivas & Babu 2015; Mariet & Sra 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.edits import with_connections, without_connections
from topoevo.registry import option
from topoevo.variation.chance import ranked
from topoevo.variation.compensation import as_weights, with_shifted_biases
from topoevo.variation.evidence import Evidence
from topoevo.variation.mutation import MUTATIONS, InformedMutation
from topoevo.variation.prune_node import outgoing_saliency


@MUTATIONS.register
@dataclass(frozen=True)
class MergeNodes(InformedMutation):
    """Remove one of two correlated hidden nodes; the other takes over its outgoing connections.

    The pair has the lowest 1 - |r| times log-normal noise, r being the correlation of its activities. The activity of
    the node b that goes is estimated by least squares from that of the node a that stays,

        y_b ≈ mean_b + s (y_a - mean_a),    s = r deviation_b / deviation_a,

    so a connection b → t of weight w becomes a → t of weight s w, added to that of a → t if there is one, and
    w (mean_b - s mean_a) moves into the bias of t where there is one. The node with the lower sum of outgoing
    saliencies goes, unless a path leads from it to the other one: then the other one does, which closes no cycle.

    Differs from Srinivas & Babu in comparing activities instead of weights, so that nodes of any depth, inputs and
    activation may be merged, and from Mariet & Sra in using one node instead of all that stay for the estimate.

    References
    ----------
    Srinivas & Babu 2015, Data-free parameter pruning for deep neural networks, arXiv:1507.06149, section 3. Mariet &
    Sra 2016, Diversity networks, arXiv:1511.05077 (fusing of pruned neurons).
    """

    name: ClassVar[str] = "merge_nodes"

    noise: float = option(0.5, "deviation of the noise in the order of pairs", gt=0, le=10)

    def _mutate(
        self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        pairs, correlation = evidence.similar_in(genome)
        mean, deviation = evidence.activities_of(genome, unknown=(np.nan, np.nan))
        usable = (np.isfinite(mean) & np.isfinite(deviation) & (deviation > 0))[pairs].all(axis=1)
        pairs, correlation = pairs[usable], correlation[usable].astype(np.float64)
        if len(pairs) == 0:
            return None
        drawn = ranked(1.0 - np.minimum(np.abs(correlation), 1.0), self.noise, rng)[0]
        stays, goes = pairs[drawn][np.argsort(-outgoing_saliency(genome, evidence)[pairs[drawn]], kind="stable")]
        if genome.graph.has_path(int(goes), int(stays)):
            stays, goes = goes, stays
        slope = correlation[drawn] * deviation[goes] / deviation[stays]
        return _merged(genome, stays, goes, slope, mean[goes] - slope * mean[stays], tracker)


def _merged(
    genome: Genome, stays: np.int32, goes: np.int32, slope: float, offset: float, tracker: InnovationTracker
) -> Genome | None:
    """`genome` without a row of nodes, whose activity is estimated as that of another one times slope plus offset."""
    target, weights = genome.target_row, genome.connections["weight"]
    out = np.flatnonzero(genome.enabled & (genome.source_row == goes))
    shift = np.zeros(len(genome.nodes))
    shift[target[out]] = weights[out] * offset
    # By target: what goes from the node that stays, as much as it does already.
    taken_over = np.zeros(len(genome.nodes))
    taken_over[target[out]] = weights[out] * slope
    known = genome.enabled & (genome.source_row == stays)
    changed = weights.copy()
    changed[known] = as_weights(changed[known] + np.nan_to_num(taken_over)[target[known]])
    new = np.setdiff1d(target[out], target[known])
    child = with_connections(
        genome.with_weights(changed),
        np.full(len(new), stays, np.int32),
        new,
        as_weights(taken_over[new]),
        tracker=tracker,
    )
    child = with_shifted_biases(child, shift)
    child = without_connections(child, (child.source_row == goes) | (child.target_row == goes))
    return child if child.complexity.connections else None
