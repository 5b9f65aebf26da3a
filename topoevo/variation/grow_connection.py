"""Add the connections that the loss asks for most (Evci et al. 2020; Dai, Yin & Jha 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.edits import with_connections
from topoevo.genome.genes import BIAS, HIDDEN, INPUT
from topoevo.registry import option
from topoevo.variation.chance import log_uniform, ranked
from topoevo.variation.evidence import AbsentConnections, Evidence
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

    With `criterion` "random" all absent connections between nodes that take part are alike, as where SET grows: that
    is what gradients are compared with.

    References
    ----------
    Evci, Gale, Menick, Castro & Elsen 2020, Rigging the lottery, arXiv:1911.11134, section 3 (grow criterion; new
    connections start at zero). Dai, Yin & Jha 2019, NeST, arXiv:1711.02017, section 3.2 (gradient-based growth).
    Mocanu et al. 2018, arXiv:1707.04780 (SET: random growth).
    """

    name: ClassVar[str] = "grow_connection"
    preserves_function: ClassVar[bool] = True

    growth_min: float = option(0.02, "smallest share of its connections that a network grows by", gt=0, le=10)
    growth_max: float = option(0.4, "largest share of its connections that a network grows by", gt=0, le=10)
    noise_min: float = option(0.2, "smallest deviation of the noise in the order of gradients", gt=0, le=10)
    noise_max: float = option(1.5, "largest deviation of the noise in the order of gradients", gt=0, le=10)
    criterion: Literal["gradient", "random"] = option(
        "gradient", "which connections are added: those with the largest gradients, or any"
    )
    weight: Literal["zero", "estimate"] = option(
        "zero", "weight of a new connection: zero, or a small one against its gradient (criterion random: zero)"
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
        by_gradient = self.criterion == "gradient"
        return grown(
            genome,
            evidence.absent_from(genome, output_connections=self.output_connections)
            if by_gradient
            else absent_connections(genome, output_connections=self.output_connections),
            number,
            tracker=tracker,
            rng=rng,
            noise=log_uniform(self.noise_min, self.noise_max, rng),
            estimate=by_gradient and self.weight == "estimate",
        )


def num_connections(genome: Genome) -> int:
    """Return the number of enabled connections that do not start at the bias node."""
    return int(np.count_nonzero(genome.enabled & (genome.role[genome.source_row] != BIAS)))


def absent_connections(genome: Genome, *, output_connections: bool) -> AbsentConnections:
    """Return all absent connections from inputs and hidden nodes between nodes that take part, each with a slope of 1.

    Parameters
    ----------
    genome
        Network.
    output_connections
        Whether connections may end at an output.
    """
    graph = genome.graph
    takes_part = graph.active[0] | (graph.role != HIDDEN)
    sources = np.flatnonzero((graph.role == INPUT) | (takes_part & (graph.role == HIDDEN)))
    source, target = graph.open_pairs(output_connections=output_connections).all_from(sources)
    legal = takes_part[target]
    ones = np.ones(int(np.count_nonzero(legal)), np.float32)
    return AbsentConnections(source[legal].astype(np.int32), target[legal], ones)


def grown(
    genome: Genome,
    absent: AbsentConnections,
    number: int,
    *,
    tracker: InnovationTracker,
    rng: np.random.Generator,
    noise: float,
    estimate: bool = False,
) -> Genome | None:
    """Return `genome` with the absent connections of the largest |gradient| times noise, or None if there is none.

    Parameters
    ----------
    genome, absent
        Network, and what may be added.
    number
        How many are added, or as many as close no cycle.
    tracker, rng
        Innovation numbers and generator.
    noise
        Standard deviation of the noise's logarithm.
    estimate
        Whether they start against their gradient instead of at zero.
    """
    source, target, slope = absent
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
