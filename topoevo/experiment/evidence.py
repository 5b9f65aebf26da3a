"""What learning saw in a network, gathered on a probe batch: saliencies, activities, and the best absent connections.

Errors are those of the learning rule: along its feedback weights where it has some, none in hidden nodes that get
none.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from topoevo.genome import Genome
from topoevo.genome.genes import HIDDEN, INPUT, OUTPUT
from topoevo.kernels import Kernel, UpdateRule
from topoevo.learning import Learner
from topoevo.network import Network
from topoevo.variation import Evidence

Floats = NDArray[np.float32]

#: Absent connections that are kept, for every connection of the network, and at least. Of small networks these are
#: nearly all, so that even growth to several times the size has a choice.
ABSENT_PER_CONNECTION, LEAST_ABSENT = 4, 8192
#: Similar pairs of hidden nodes that are kept, and hidden nodes among which they are looked for.
_NUM_SIMILAR, _MOST_COMPARED = 16, 128
_WITH_SECOND_MOMENT = (UpdateRule.ADAM, UpdateRule.ADADELTA, UpdateRule.RMSPROP)
#: What saliency is by where nothing else is asked for.
FISHER = "fisher"


class Probe:
    """A network under a batch of samples: activities, and the errors that its learning rule sends to its nodes.

    Nothing is computed before it is asked for: an optimizer that knows the saliencies needs no pass.

    Parameters
    ----------
    learner
        Network, weights, rule.
    inputs
        float32 [num_inputs, num_samples].
    targets
        int32 [1, num_samples] or float32 [num_outputs, num_samples].
    """

    def __init__(self, learner: Learner, inputs: Floats, targets: NDArray[np.int32] | Floats) -> None:
        self.learner, self.inputs, self._targets = learner, inputs, targets

    @property
    def activities(self) -> Floats:
        """Activities of all nodes, float32 [num_nodes, num_samples]."""
        return self._forward[1]

    @cached_property
    def errors(self) -> Floats:
        """Errors of all nodes, float32 [num_nodes, num_samples]."""
        learner, (weighted_inputs, activities) = self.learner, self._forward
        network, kernel, plasticity = learner.network, learner.kernel, learner.plasticity
        output_errors = kernel.output_errors(learner.loss, activities[-network.num_outputs :], self._targets)
        if plasticity.direct is not None:
            errors = kernel.direct_errors(network, plasticity.direct, weighted_inputs, activities, output_errors)
        else:
            feedback = learner.weights if plasticity.feedback is None else plasticity.feedback
            errors = kernel.backward(network, feedback, weighted_inputs, activities, output_errors)
        if not plasticity.propagate:
            errors[: -network.num_outputs] = 0.0
        return errors

    @cached_property
    def _forward(self) -> tuple[Floats, Floats]:
        """Weighted inputs and activities."""
        return self.learner.kernel.forward(self.learner.network, self.learner.weights, self.inputs)

    def strain(self) -> Floats:
        """Return the mean size of error times activity, float32 [num_edges]: how hard samples pull at each edge."""
        return self._mean_products(np.abs(self.errors), np.abs(self.activities))

    def saliency(self, kind: str = FISHER) -> Floats:
        """Return how much the loss would rise without each edge, float32 [num_edges], in a unit of its own.

        Parameters
        ----------
        kind
            ``fisher``: w² E[g²] (LeCun, Denker & Solla 1990, eq. 5, with the Hessian's diagonal taken as the mean
            square of the gradient, as in the pruning signal of Theis et al. 2018); where the optimizer keeps that mean
            over minibatches, its own. Not if it has inherited some: those of new edges begin at zero, and would be too
            small beside them; nor if it is of gradients that a penalty, clipping or a power has changed. An edge that
            follows no error shares in the saliency of what its target feeds, in proportion to w² E[x²] (importance
            propagated back as by Yu et al. 2018, eq. 9). ``magnitude``: |w| (Han et al. 2015). ``activity``:
            |w| sqrt(E[x²]), x being the activity of the source (Sun et al. 2023, eq. 1, who compare the edges into a
            node with each other; here all are).
        """
        learner, network = self.learner, self.learner.network
        if kind == "magnitude":
            return np.abs(learner.weights)
        squares = np.square(learner.weights)
        if kind == "activity":
            return np.sqrt(squares * self._mean_products(None, np.square(self.activities)))
        if self._averages_gradients:
            found: Floats = squares * learner.state.second
        else:
            found = squares * self._mean_products(np.square(self.errors), np.square(self.activities))
        frozen = ~learner.plasticity.plastic
        if frozen.any():
            _propagate(network, found, frozen, squares * self._mean_products(None, np.square(self.activities)))
        return found

    @property
    def _averages_gradients(self) -> bool:
        """Whether the optimizer remembers E[g²] of the loss's own gradient for all edges alike."""
        state, optimization = self.learner.state, self.learner.optimization
        is_plain = optimization.weight_decay == 0.0 or optimization.decoupled
        is_plain &= math.isinf(optimization.max_grad_norm) and optimization.grad_power == 1.0
        return bool(state.steps and not state.num_inherited and optimization.rule in _WITH_SECOND_MOMENT and is_plain)

    def _mean_products(self, of_targets: Floats | None, of_sources: Floats) -> Floats:
        """Mean over samples of a number of each edge's target, or 1, times one of its source."""
        network, kernel = self.learner.network, self.learner.kernel
        left = np.ones_like(of_sources) if of_targets is None else of_targets
        means: Floats = kernel.edge_products(network, left, of_sources) / np.float32(self.inputs.shape[1])
        return means


def _propagate(network: Network, saliency: Floats, frozen: NDArray[np.bool_], power: Floats) -> None:
    """Replace the saliency of frozen edges by their share in that of the edges out of their targets."""
    start, edge = network.outgoing
    for row in range(network.num_nodes - network.num_outputs - 1, network.num_sources - 1, -1):
        node = row - network.num_sources
        edges = np.arange(network.row_start[node], network.row_start[node + 1])
        edges = edges[frozen[edges]]
        total = power[edges].sum()
        if len(edges) and total > 0.0:
            saliency[edges] = saliency[edge[start[row] : start[row + 1]]].sum() * power[edges] / total


def gather(
    probe: Probe, genome: Genome, *, output_connections: bool, new_nodes: bool = False, saliency: str = FISHER
) -> Evidence:
    """Return what operators may know of a network.

    Parameters
    ----------
    probe
        The network after learning.
    genome
        The genes that it has developed from, those that learning has removed left out.
    output_connections
        Whether new connections may end at an output.
    new_nodes
        Whether new nodes may feed an output. If they alone may, there is room for as many pairs of each kind.
    saliency
        Kind of the saliencies; see `Probe.saliency`.
    """
    network = probe.learner.network
    innovation = genome.connections["innovation"][network.gene]
    order = np.argsort(innovation)
    node, mean, deviation = _activities(probe, genome)
    absent, slope = _absent(probe, genome, output_connections=output_connections, new_nodes=new_nodes)
    similar, correlation = _similar(probe)
    return Evidence(
        innovation=innovation[order],
        saliency=probe.saliency(saliency)[order],
        strain=probe.strain()[order],
        node=node,
        mean=mean,
        deviation=deviation,
        absent=absent,
        slope=slope,
        similar=similar,
        correlation=correlation,
    )


def _moments(activities: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each row."""
    mean: Floats = activities.mean(axis=1)
    return mean, np.sqrt(np.square(activities - mean[:, None]).mean(axis=1))


def _activities(probe: Probe, genome: Genome) -> tuple[NDArray[np.int32], Floats, Floats]:
    """Ids, ascending, means and deviations of the nodes that take part, and of the inputs that do not."""
    network = probe.learner.network
    unused = np.setdiff1d(np.arange(network.num_inputs), network.input_index)
    inputs = genome.graph.id[genome.graph.role == INPUT]
    node = np.concatenate([network.node_id, inputs[unused]])
    mean, deviation = _moments(np.concatenate([probe.activities, probe.inputs[unused]]))
    order = np.argsort(node)
    return node[order], mean[order], deviation[order]


def _absent(
    probe: Probe, genome: Genome, *, output_connections: bool, new_nodes: bool
) -> tuple[NDArray[np.int32], Floats]:
    """The legal absent connections that learning would change most, and the slope of the loss by each weight."""
    network, graph = probe.learner.network, genome.graph
    pairs = graph.open_pairs(output_connections=output_connections or new_nodes)
    # The bias node is no source: it is connected to everything, or costs nothing to connect.
    takes_part = np.isin(graph.id, network.node_id)
    sources = np.flatnonzero((graph.role == INPUT) | (takes_part & (graph.role == HIDDEN)))
    source, target = pairs.all_from(sources)
    alive = takes_part[target]
    source, target = source[alive], target[alive]
    if not len(source):
        return np.zeros((0, 2), np.int32), np.zeros(0, np.float32)
    activity = np.zeros((len(graph.id), probe.inputs.shape[1]), np.float32)
    error = np.zeros_like(activity)
    row = np.searchsorted(graph.id, network.node_id)
    activity[row], error[row] = probe.activities, probe.errors
    activity[graph.role == INPUT] = probe.inputs
    slope = _pair_means(probe.learner.kernel, source, target, activity, error)
    if probe.learner.plasticity.hebbian is not None:
        _add_hebbian(probe.learner.kernel, slope, source, target, graph.role[target] == HIDDEN, activity)
    num_kept = min(max(ABSENT_PER_CONNECTION * network.num_edges, LEAST_ABSENT), len(slope))
    largest = np.argsort(-np.abs(slope), kind="stable")
    is_first = np.arange(len(largest)) < num_kept
    if new_nodes and not output_connections:
        into_output = graph.role[target[largest]] == OUTPUT
        is_first = np.where(into_output, np.cumsum(into_output), np.cumsum(~into_output)) <= num_kept
    largest = largest[is_first]
    largest = largest[slope[largest] != 0.0]
    ends = np.stack([graph.id[source[largest]], graph.id[target[largest]]], axis=1)
    return ends.astype(np.int32), slope[largest]


def _add_hebbian(
    kernel: Kernel,
    slope: Floats,
    source: NDArray[np.int64],
    target: NDArray[np.int32],
    into_hidden: NDArray[np.bool_],
    activity: Floats,
) -> None:
    """Let the slope of pairs into hidden nodes be minus the mean product of activities, along which weights move there.

    It has another unit than the slope of a loss; the largest of both are made equal.
    """
    if into_hidden.any():
        found = _pair_means(kernel, source[into_hidden], target[into_hidden], activity, activity)
        top, own = np.abs(slope).max(), np.abs(found).max()
        slope[into_hidden] = -found * (top / own if top > 0.0 and own > 0.0 else np.float32(1.0))


def _similar(probe: Probe) -> tuple[NDArray[np.int32], Floats]:
    """Pairs of hidden nodes by the size of the correlation of their activities, and that correlation.

    Of many nodes, those that vary most are compared.
    """
    network = probe.learner.network
    mean, deviation = _moments(probe.activities)
    hidden = np.arange(network.num_sources, network.num_nodes - network.num_outputs)
    hidden = hidden[deviation[hidden] > 1e-6]
    hidden = np.sort(hidden[np.argsort(-deviation[hidden], kind="stable")[:_MOST_COMPARED]])
    first, second = (hidden[rows] for rows in np.triu_indices(len(hidden), 1))
    if not len(first):
        return np.zeros((0, 2), np.int32), np.zeros(0, np.float32)
    standard = np.zeros_like(probe.activities)
    standard[hidden] = (probe.activities[hidden] - mean[hidden, None]) / deviation[hidden, None]
    correlation = _pair_means(probe.learner.kernel, first, second, standard, standard)
    largest = np.argsort(-np.abs(correlation), kind="stable")[:_NUM_SIMILAR]
    ends = np.stack([network.node_id[first[largest]], network.node_id[second[largest]]], axis=1)
    return ends.astype(np.int32), correlation[largest]


def _pair_means(
    kernel: Kernel, first: NDArray[np.integer], second: NDArray[np.integer], left: Floats, right: Floats
) -> Floats:
    """Mean over samples of row `first` of `left` times row `second` of `right`, for each of many pairs of rows.

    The pairs are the edges of a network with two layers, whose products a backend adds up in a fixed order.
    """
    num_rows, num_samples = left.shape
    order = np.lexsort((first, second))
    counts = np.bincount(second, minlength=num_rows)
    rows = np.arange(num_rows, dtype=np.int32)
    edges = np.zeros(len(order), np.int32)
    pairs = Network(
        num_inputs=num_rows,
        num_outputs=num_rows,
        node_id=np.arange(2 * num_rows, dtype=np.int32),
        input_index=rows,
        has_bias=False,
        activation=np.zeros(num_rows, np.int8),
        row_start=np.r_[0, np.cumsum(counts)].astype(np.int32),
        source=first[order].astype(np.int32),
        weight=edges.astype(np.float32),
        gene=edges,
    )
    nothing = np.zeros_like(left)
    sums = kernel.edge_products(pairs, np.concatenate([nothing, right]), np.concatenate([left, nothing]))
    means = np.empty(len(order), np.float32)
    means[order] = sums / np.float32(num_samples)
    return means
