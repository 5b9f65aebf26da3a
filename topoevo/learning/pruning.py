"""Pruning while a network learns: connections go in stages until so many are left as are wanted.

Gradual pruning with a cubic schedule (Zhu & Gupta 2018, eq. 1), in which each stage removes the connections of lowest
saliency; what is left goes on learning with its weights and the optimizer's memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import Plasticity
from topoevo.learning.base import Learner
from topoevo.network import Network

#: Returns a saliency for each edge of a learner's network, float [num_edges].
Saliency = Callable[[Learner], NDArray[np.float32]]


@dataclass(frozen=True)
class Pruning:
    """When connections go, and how many.

    Parameters
    ----------
    num_connections
        What is left; connections from the bias node neither count nor go by themselves.
    saliency
        How much each connection matters.
    stages_per_halving
        In how many stages half of the connections go.
    start, stop
        Shares of the training between which connections go.
    """

    num_connections: int
    saliency: Saliency
    stages_per_halving: int
    stop: float
    start: float = 0.05

    def schedule(self, num_connections: int, num_steps: int) -> list[tuple[int, int]]:
        """Return after which step how many connections are left, ascending by step.

        Parameters
        ----------
        num_connections
            Before training.
        num_steps
            Of the training.
        """
        excess = num_connections - self.num_connections
        if excess <= 0:
            return []
        halvings = math.log2(num_connections / self.num_connections)
        num_stages = math.ceil(self.stages_per_halving * halvings)
        places = np.linspace(min(self.start, self.stop), self.stop, num_stages + 1)[1:]
        left = (1.0 - np.arange(1, num_stages + 1) / num_stages) ** 3
        stages = {
            int(place * num_steps): self.num_connections + int(excess * share)
            for place, share in zip(places, left, strict=True)
        }
        return sorted(stages.items())


def prune(learner: Learner, num_connections: int, saliency: NDArray[np.float32]) -> None:
    """Leave the most salient connections of a learner's network; nodes that are left on no path go, too.

    Parameters
    ----------
    learner
        Changed in place.
    num_connections
        How many are left at most, those from the bias node not counted.
    saliency
        Of each edge, float [num_edges].
    """
    network = learner.network
    counted = np.flatnonzero(~network.from_bias)
    if len(counted) <= num_connections:
        return
    keep = network.from_bias.copy()
    keep[counted[np.argsort(-saliency[counted], kind="stable")[:num_connections]]] = True
    leave(learner, *network.part(keep))


def leave(learner: Learner, part: Network, kept: NDArray[np.bool_]) -> None:
    """Let a learner go on with a part of its network.

    Parameters
    ----------
    learner
        Changed in place.
    part, kept
        From `topoevo.network.Network.part`.
    """
    hidden = learner.network.node_id[learner.network.num_sources : -learner.network.num_outputs]
    learner.plasticity = _part_of_plasticity(learner.plasticity, kept, np.isin(hidden, part.node_id))
    learner.state = replace(learner.state, first=learner.state.first[kept], second=learner.state.second[kept])
    learner.state.restart_average()
    learner.weights = learner.weights[kept]
    learner.network = part


def _part_of_plasticity(plasticity: Plasticity, edges: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> Plasticity:
    """The same for those edges and hidden nodes that are left; feedback weights stay what they are."""
    return replace(
        plasticity,
        plastic=plasticity.plastic[edges],
        feedback=None if plasticity.feedback is None else plasticity.feedback[edges],
        direct=None if plasticity.direct is None else plasticity.direct[hidden],
        hebbian=None if plasticity.hebbian is None else plasticity.hebbian[edges],
    )
