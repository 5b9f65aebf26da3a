"""Fully connected layered genomes: where a user gives the architecture instead of evolving it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from topoevo.activations import ACTIVATIONS
from topoevo.genome.genes import BIAS, CONNECTION_DTYPE, HIDDEN, NODE_DTYPE, OUTPUT, UNSET
from topoevo.genome.genome import Genome


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
        Numbers of nodes, at least 1. Ids are those of `Genome.minimal`; hidden nodes follow, layer by layer.
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
