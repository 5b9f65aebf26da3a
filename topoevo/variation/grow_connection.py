"""Add the connections that the loss asks for most (Evci et al. 2020; Dai, Yin & Jha 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.edits import with_connections
from topoevo.genome.genes import BIAS
from topoevo.registry import option
from topoevo.variation.chance import log_uniform, ranked
from topoevo.variation.evidence import Evidence
from topoevo.variation.mutation import MUTATIONS, InformedMutation

#: Largest estimated weight, as a share of the root mean square of the weights that there are.
_ESTIMATE_SHARE = 0.1


@MUTATIONS.register
@dataclass(frozen=True)
class GrowConnection(InformedMutation):
    """Add a share of the connections at once, those with the largest |gradient| times log-normal noise.

    The share is log-uniform between `growth_min` and `growth_max`; the standard deviation of the noise's logarithm is
    log-uniform between `noise_min` and `noise_max`, so that some children follow the gradients and others hardly do.

    Differs from RigL in the noise, in the random share, in starting at a random time instead of by a schedule, and in
    dropping nothing (that is `rewire_connection`, or what pruning does in training). With `weight` "estimate" a new
    connection starts against its gradient, in proportion to it as in NeST, the largest at a tenth of the root mean
    square of the weights that there are: evidence knows no curvature of absent connections, so there is no Newton step.

    References
    ----------
    Evci, Gale, Menick, Castro & Elsen 2020, Rigging the lottery, arXiv:1911.11134, section 3 (grow criterion; new
    connections start at zero). Dai, Yin & Jha 2019, NeST, arXiv:1711.02017, section 3.2 (gradient-based growth).
    """

    name: ClassVar[str] = "grow_connection"
    preserves_function: ClassVar[bool] = True

    growth_min: float = option(0.02, "smallest share of its connections that a network grows by", gt=0, le=10)
    growth_max: float = option(0.4, "largest share of its connections that a network grows by", gt=0, le=10)
    noise_min: float = option(0.2, "smallest deviation of the noise in the order of gradients", gt=0, le=10)
    noise_max: float = option(1.5, "largest deviation of the noise in the order of gradients", gt=0, le=10)
    weight: Literal["zero", "estimate"] = option(
        "zero", "weight of a new connection: zero, or a small one against its gradient"
    )
    output_connections: bool = option(False, "whether connections may end at an output node")
    max_connections: int | None = option(None, "largest number of connections that mutation may reach")
    pruning: str = option("none", "how training prunes what exceeds max_connections")

    def _mutate(
        self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        size = num_connections(genome)
        number = max(1, round(log_uniform(self.growth_min, self.growth_max, rng) * size))
        if self.max_connections is not None and self.pruning == "none":
            number = min(number, self.max_connections - size)
        return grown(
            genome,
            evidence,
            number,
            tracker=tracker,
            rng=rng,
            noise=log_uniform(self.noise_min, self.noise_max, rng),
            output_connections=self.output_connections,
            estimate=self.weight == "estimate",
        )


def num_connections(genome: Genome) -> int:
    """Return the number of enabled connections that do not start at the bias node."""
    return int(np.count_nonzero(genome.enabled & (genome.role[genome.source_row] != BIAS)))


def grown(
    genome: Genome,
    evidence: Evidence,
    number: int,
    *,
    tracker: InnovationTracker,
    rng: np.random.Generator,
    noise: float,
    output_connections: bool,
    estimate: bool = False,
) -> Genome | None:
    """Return `genome` with the absent connections of the largest |gradient| times noise, or None if there is none.

    Parameters
    ----------
    genome, evidence
        Network, and what is known of it.
    number
        How many are added, or as many as close no cycle.
    tracker, rng
        Innovation numbers and generator.
    noise
        Standard deviation of the noise's logarithm.
    output_connections
        Whether they may end at outputs.
    estimate
        Whether they start against their gradient instead of at zero.
    """
    source, target, slope = evidence.absent_from(genome, output_connections=output_connections)
    order = ranked(np.abs(slope), noise, rng)[::-1]
    chosen = order[genome.graph.joinable(source[order], target[order], limit=max(number, 0))]
    if len(chosen) == 0:
        return None
    weight = _against(slope[chosen], genome) if estimate else np.zeros(len(chosen), np.float32)
    return with_connections(genome, source[chosen], target[chosen], weight, tracker=tracker)


def _against(slope: NDArray[np.float32], genome: Genome) -> NDArray[np.float32]:
    """Weights against their slopes, small beside those of `genome`."""
    weights = genome.connections["weight"][genome.enabled].astype(np.float64)
    known = weights[np.isfinite(weights)]
    # Added up one after the other, the same on every processor.
    typical = np.sqrt(np.cumsum(known * known)[-1] / len(known)) if len(known) else 0.0
    found: NDArray[np.float32] = (-_ESTIMATE_SHARE * typical / np.abs(slope).max() * slope).astype(np.float32)
    return found
