"""Fully connected layered genomes: where a user gives the architecture instead of evolving it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from topoevo.activations import ACTIVATIONS
from topoevo.genome.genes import BIAS, CONNECTION_DTYPE, HIDDEN, NODE_DTYPE, OUTPUT, UNSET
from topoevo.genome.genome import Genome
from topoevo.genome.innovation import InnovationTracker


def dense_genome(
    num_inputs: int,
    hidden_layers: Sequence[int],
    num_outputs: int,
    *,
    activation: str = "relu",
    output_activation: str = "linear",
    bias: bool = False,
) -> Genome:
    """Return a genome in which every node of a layer is connected to every node of the next, with unset weights.

    Parameters
    ----------
    num_inputs, num_outputs
        Numbers of nodes, at least 1. Ids are those of `minimal_genome`; hidden nodes follow, layer by layer.
    hidden_layers
        Nodes of each hidden layer, at least 1; none connects inputs and outputs directly.
    activation, output_activation
        Names of the activations of hidden and output nodes.
    bias
        Whether there is a bias node; it is connected to every hidden and output node.
    """
    first_output = num_inputs + int(bias)
    first_hidden = first_output + num_outputs
    nodes = np.zeros(first_hidden + sum(hidden_layers), NODE_DTYPE)
    nodes["id"] = np.arange(len(nodes))
    nodes["activation"] = ACTIVATIONS["linear"].code
    if bias:
        nodes["role"][num_inputs] = BIAS
    nodes["role"][first_output:first_hidden] = OUTPUT
    nodes["activation"][first_output:first_hidden] = ACTIVATIONS[output_activation].code
    nodes["role"][first_hidden:] = HIDDEN
    nodes["activation"][first_hidden:] = ACTIVATIONS[activation].code

    hidden = np.split(nodes["id"][first_hidden:], np.cumsum(hidden_layers, dtype=int)[:-1]) if hidden_layers else []
    layers = [nodes["id"][:num_inputs], *hidden, nodes["id"][first_output:first_hidden]]
    pairs = [np.stack(np.meshgrid(sources, targets, indexing="ij"), -1) for sources, targets in pairwise(layers)]
    if bias:
        targets = nodes["id"][first_output:]
        pairs.append(np.stack([np.full_like(targets, num_inputs), targets], -1))
    ends = np.concatenate([pair.reshape(-1, 2) for pair in pairs])
    connections = np.zeros(len(ends), CONNECTION_DTYPE)
    connections["innovation"] = np.arange(len(ends))
    connections["source"], connections["target"] = ends.T
    connections["weight"] = UNSET
    connections["enabled"] = True
    return Genome(nodes, connections)


def layered_genome(
    num_inputs: int,
    hidden_layers: Sequence[int],
    num_outputs: int,
    *,
    p_direct: float,
    activations: Sequence[str],
    tracker: InnovationTracker,
    rng: np.random.Generator,
    output_activation: str = "linear",
    bias: bool = False,
) -> Genome:
    """Return a fully connected layered genome of hidden nodes that nobody else has, with random activations.

    Parameters
    ----------
    num_inputs, hidden_layers, num_outputs, output_activation, bias
        See `dense_genome`; there is at least one hidden layer.
    p_direct
        Probability of each connection from an input straight to an output.
    activations
        Names that the activation of each hidden node is drawn from.
    tracker, rng
        Innovation numbers, and the generator of this genome.
    """
    dense = dense_genome(num_inputs, hidden_layers, num_outputs, output_activation=output_activation, bias=bias)
    first_hidden = len(dense.nodes) - sum(hidden_layers)
    if tracker.next_node < first_hidden:
        tracker.reserve_nodes(first_hidden - tracker.next_node)
    nodes = dense.nodes.copy()
    ids = np.concatenate([nodes["id"][:first_hidden], tracker.reserve_nodes(sum(hidden_layers))])
    codes = np.array([ACTIVATIONS[name].code for name in activations], np.int8)
    nodes["id"] = ids
    nodes["activation"][first_hidden:] = codes[rng.integers(len(codes), size=sum(hidden_layers))]
    inputs, outputs = np.nonzero(rng.random((num_inputs, num_outputs)) < p_direct)
    direct = np.zeros(len(inputs), CONNECTION_DTYPE)
    direct["source"], direct["target"] = inputs, num_inputs + int(bias) + outputs
    direct["weight"], direct["enabled"] = UNSET, True
    connections = np.concatenate([dense.connections, direct])
    is_own = (connections["source"] >= first_hidden) | (connections["target"] >= first_hidden)
    connections["innovation"][is_own] = tracker.reserve_connections(int(np.count_nonzero(is_own)))
    for row in np.flatnonzero(~is_own):
        connections["innovation"][row] = tracker.connection(*connections[["source", "target"]][row].item())
    connections["source"], connections["target"] = ids[connections["source"]], ids[connections["target"]]
    return Genome(nodes, connections[np.argsort(connections["innovation"])])
