"""Add a hidden node where the loss asks for one (Dai, Yin & Jha 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS
from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.edits import with_connections, with_hidden_node
from topoevo.genome.genes import BIAS
from topoevo.registry import option
from topoevo.variation.compensation import as_weights, with_shifted_biases
from topoevo.variation.evidence import Evidence
from topoevo.variation.grow_connection import num_connections
from topoevo.variation.mutation import MUTATIONS, InformedMutation

#: Deviation that an activity is taken to have at least: a source that hardly ever says anything gets no huge weight.
_SMALLEST_DEVIATION = 0.01


@MUTATIONS.register
@dataclass(frozen=True)
class GrowNode(InformedMutation):
    """Add a hidden node, by one of two kinds of evidence.

    "bridge": between a target t and the `fan_in` sources s with the largest |bridging gradient|, G_st = mean of error
    of t · activity of s; the target is the one with the largest sum of their squares, each G times log-normal noise.
    Incoming weights are those of steepest descent, in proportion to -G_st and such that the input of the node has
    deviation 1 if its sources are independent, and mean 0 if the bias node is connected to it. The outgoing weight is
    zero: the network computes what it did, and learns what the node is good for.

    "split": the connection is drawn in proportion to its strain, the mean |error of the target · activity of the
    source|, and split as `add_node` does: weight 1 into the node, the old weight out of it. What the node says to an
    input of 0 is taken from the bias of the target, if there is one. This kind changes what the network computes.

    Differs from NeST in one node with few sources instead of a mask of the largest gradients, in the outgoing weight,
    and in the noise.

    References
    ----------
    Dai, Yin & Jha 2019, NeST: a neural network synthesis tool based on a grow-and-prune paradigm, arXiv:1711.02017,
    section 3.2 (algorithm for neuron growth with bridging gradients). Stanley & Miikkulainen 2002, section 3.1.
    """

    name: ClassVar[str] = "grow_node"
    preserves_function: ClassVar[bool] = True

    kind: Literal["bridge", "split"] = option(
        "bridge", "whether a new node bridges an absent connection, or splits one that samples pull at"
    )
    fan_in: int = option(3, "number of sources of a node that bridges", ge=1, le=10**6)
    noise: float = option(0.5, "deviation of the noise in the order of gradients", gt=0, le=10)
    activations: tuple[str, ...] = option(("relu",), "activations that mutation may draw")
    bias: bool = option(False, "whether a bias node is connected to every hidden and output node")
    bias_connections: Literal["all", "evolved"] = option("all", "connections of the bias node")
    max_connections: int | None = option(None, "largest number of connections that mutation may reach")
    pruning: str = option("none", "how training prunes what exceeds max_connections")

    def _mutate(
        self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        activation = self.activations[rng.integers(len(self.activations))]
        if self.kind == "split":
            return self._split(genome, activation, tracker, rng, evidence) if self._room(genome) >= 1 else None
        # One connection more leads to the target.
        fan_in = min(self.fan_in, self._room(genome) - 1)
        return self._bridged(genome, activation, fan_in, tracker, rng, evidence) if fan_in >= 1 else None

    def _room(self, genome: Genome) -> int:
        """How many connections may be added."""
        if self.max_connections is None or self.pruning != "none":
            return self.fan_in + 1
        return self.max_connections - num_connections(genome)

    def _bridged(
        self,
        genome: Genome,
        activation: str,
        fan_in: int,
        tracker: InnovationTracker,
        rng: np.random.Generator,
        evidence: Evidence,
    ) -> Genome | None:
        """A child of the first kind."""
        source, target, slope = _draw_bridge(genome, evidence, fan_in, self.noise, rng)
        if len(source) == 0:
            return None
        mean, deviation = evidence.activities_of(genome, unknown=(0.0, 1.0))
        weight = _descending(slope, deviation[source])
        ids = genome.graph.id
        source_ids, target_id = ids[source].tolist(), int(ids[target])
        node = tracker.bridge(tuple(source_ids), target_id, ids)
        ends = [(s, node, w) for s, w in zip(source_ids, weight.tolist(), strict=True)]
        ends.append((node, target_id, 0.0))
        bias_id = genome.bias_id if self.bias and self.bias_connections == "all" else None
        if bias_id is not None:
            ends.append((bias_id, node, -float(np.cumsum(weight * mean[source])[-1])))
        child = with_hidden_node(genome, node, activation)
        from_ids, to_ids, weights = zip(*ends, strict=True)
        ids = child.graph.id
        return with_connections(
            child,
            ids.searchsorted(np.array(from_ids, np.int32)).astype(np.int32),
            ids.searchsorted(np.array(to_ids, np.int32)).astype(np.int32),
            as_weights(np.array(weights)),
            tracker=tracker,
        )

    def _split(
        self, genome: Genome, activation: str, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
    ) -> Genome | None:
        """A child of the second kind."""
        strain = evidence.strain_of(genome)
        legal = genome.enabled & (genome.role[genome.source_row] != BIAS) & np.isfinite(strain)
        total = np.cumsum(np.where(legal, strain, 0.0))
        if len(total) == 0 or total[-1] <= 0:
            return None
        row = int(total.searchsorted(rng.random() * total[-1], side="right"))
        _, _, target, weight, _ = genome.connections[row].item()
        child = genome.split(
            int(genome.connections["innovation"][row]),
            tracker=tracker,
            activation=activation,
            bias=self.bias and self.bias_connections == "all",
        )
        shift = np.zeros(len(child.nodes))
        shift[child.graph.row(target)] = -weight * float(ACTIVATIONS[activation].value(np.zeros(1))[0])
        return with_shifted_biases(child, shift)


def _draw_bridge(
    genome: Genome, evidence: Evidence, fan_in: int, noise: float, rng: np.random.Generator
) -> tuple[NDArray[np.int32], int, NDArray[np.float32]]:
    """Rows of the sources, ascending, and of the target of a new node, and the slope of each absent connection."""
    source, target, slope = evidence.absent_from(genome, output_connections=True)
    noisy = np.abs(slope) * rng.lognormal(0.0, noise, len(slope))
    legal = np.flatnonzero(genome.role[source] != BIAS)
    order = legal[np.argsort(-noisy[legal], kind="stable")]
    by_target = order[np.argsort(target[order], kind="stable")]
    parts = np.split(by_target, np.flatnonzero(np.diff(target[by_target])) + 1)
    into = {int(target[part[0]]): part for part in parts if len(part)}
    strength = {row: float((noisy[mine[:fan_in]] ** 2).sum()) for row, mine in into.items()}
    for row in sorted(into, key=strength.__getitem__, reverse=True):
        mine = into[row][genome.graph.joinable(source[into[row]], target[into[row]], limit=fan_in)]
        if len(mine):
            mine = mine[np.argsort(source[mine])]
            return source[mine], row, slope[mine]
    return source[:0], 0, slope[:0]


def _descending(slope: NDArray[np.float32], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights against slopes, with which a sum of independent activities has deviation 1."""
    against = -slope.astype(np.float64)
    spread = np.fmax(deviation, _SMALLEST_DEVIATION)
    found: NDArray[np.float64] = against / np.sqrt(np.cumsum((against * spread) ** 2)[-1])
    return found
