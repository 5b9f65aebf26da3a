"""Pruning while a network learns: connections go in stages until so many are left as are wanted.

Gradual pruning with a cubic schedule (Zhu & Gupta 2018, eq. 1), in which each stage removes the connections of lowest
saliency; what is left goes on learning with its weights and the optimizer's memory.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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
    """Leave the most salient connections of a learner's network that are on a path; see `most_salient`.

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
    if np.count_nonzero(~network.from_bias) > num_connections:
        leave(learner, *network.part(most_salient(network, num_connections, saliency)))


def most_salient(network: Network, num_connections: int, saliency: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Return which edges to keep so that a number of them are on a path, bool [num_edges].

    The most salient are taken until so many are on a path from an input to an output. Where the last one brings others
    to life, the least salient that can be missed go; where none can, fewer are kept, and filled up with connections
    between nodes that are on a path.

    Parameters
    ----------
    network
        More than `num_connections` of its edges are not from the bias node, whose edges are all kept.
    num_connections
        Wanted, those from the bias node not counted.
    saliency
        Of each edge, float [num_edges].
    """
    counted = np.flatnonzero(~network.from_bias)
    ranked = counted[np.argsort(-saliency[counted], kind="stable")]

    def alive(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
        kept: NDArray[np.bool_] = network.on_path(keep)[1] & ~network.from_bias
        return kept

    def first(count: int) -> NDArray[np.bool_]:
        keep = np.zeros(network.num_edges, np.bool_)
        keep[ranked[:count]] = True
        return alive(keep | network.from_bias)

    top = first(num_connections)
    if np.count_nonzero(top) == num_connections:
        return top | network.from_bias
    counts = range(num_connections + 1, len(ranked))
    enough = num_connections + 1 + bisect_left(counts, num_connections, key=lambda n: int(np.count_nonzero(first(n))))
    keep = first(enough)
    fewer: list[NDArray[np.bool_]] = [top]
    for edge in ranked[::-1][keep[ranked[::-1]]]:
        if np.count_nonzero(keep) <= num_connections:
            return keep | network.from_bias
        without = keep | network.from_bias
        without[edge] = False
        without = alive(without)
        if np.count_nonzero(without) >= num_connections:
            keep = without
        else:
            fewer.append(without)
    if np.count_nonzero(keep) > num_connections:
        keep = max(fewer, key=np.count_nonzero)
        nodes = network.on_path(keep | network.from_bias)[0]
        nodes[: len(network.input_index)] = nodes[network.num_nodes - network.num_outputs :] = True
        ready = nodes[network.source] & nodes[network.target] & ~keep
        keep[ranked[ready[ranked]][: num_connections - np.count_nonzero(keep)]] = True
    return keep | network.from_bias


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
