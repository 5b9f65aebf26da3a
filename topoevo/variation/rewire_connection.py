"""Move connections from where the loss misses them least to where it asks for them most (Evci et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.genome import Genome, InnovationTracker
from topoevo.registry import option
from topoevo.variation.chance import log_uniform
from topoevo.variation.evidence import Evidence
from topoevo.variation.grow_connection import grown, num_connections
from topoevo.variation.mutation import MUTATIONS, InformedMutation
from topoevo.variation.prune_connection import pruned


@MUTATIONS.register
@dataclass(frozen=True)
class RewireConnection(InformedMutation):
    """Remove a share of the connections as `prune_connection` does, and add as many as `grow_connection` does.

    Those that go with nodes that are left on no path count, too. New connections start at zero. Connections from the
    bias node stay.

    Differs from RigL in dropping by the saliency that `pruning` names (magnitude is one of them), in the noise, and in
    a share that is drawn instead of falling with time; SET (Mocanu et al. 2018) is this with blind growth.

    References
    ----------
    Evci, Gale, Menick, Castro & Elsen 2020, Rigging the lottery, arXiv:1911.11134, section 3. Mocanu et al. 2018,
    arXiv:1707.04780.
    """

    name: ClassVar[str] = "rewire_connection"

    share_min: float = option(0.01, "smallest share of its connections that a network has rewired", gt=0, lt=1)
    share_max: float = option(0.2, "largest share of its connections that a network has rewired", gt=0, lt=1)
    noise_min: float = option(0.2, "smallest deviation of the noise in both orders", gt=0, le=10)
    noise_max: float = option(1.5, "largest deviation of the noise in both orders", gt=0, le=10)
    output_connections: bool = option(False, "whether connections may end at an output node")

    def _mutate(
        self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        share = log_uniform(self.share_min, self.share_max, rng)
        noise = log_uniform(self.noise_min, self.noise_max, rng)
        smaller = pruned(genome, evidence, share, rng=rng, noise=noise, spare_bias=True)
        if smaller is None:
            return None
        return grown(
            smaller,
            evidence.absent_from(smaller, output_connections=self.output_connections),
            num_connections(genome) - num_connections(smaller),
            tracker=tracker,
            rng=rng,
            noise=noise,
        )
