"""Genomes without hidden nodes: what evolution begins with."""

from __future__ import annotations

import numpy as np

from topoevo.activations import ACTIVATIONS
from topoevo.genome.genes import BIAS, CONNECTION_DTYPE, INPUT, NODE_DTYPE, OUTPUT, UNSET
from topoevo.genome.genome import Genome
from topoevo.genome.innovation import InnovationTracker


def minimal_genome(
    num_inputs: int,
    num_outputs: int,
    *,
    p_enabled: float,
    tracker: InnovationTracker,
    rng: np.random.Generator,
    bias: bool = False,
    evolved_bias: bool = False,
    output_activation: str = "linear",
    max_connections: int | None = None,
) -> Genome:
    """Return a genome without hidden nodes.

    Parameters
    ----------
    num_inputs, num_outputs
        Numbers of nodes, at least 1. Inputs get the ids 0 …, then the bias node if any, then the outputs.
    p_enabled
        Probability of each connection from an input to an output. At least one connection is drawn.
    tracker
        Source of innovation numbers; every genome of generation 0 must use the same one.
    rng
        Generator of this genome.
    bias
        Whether there is a bias node.
    evolved_bias
        Whether the bias node is connected like an input, with probability `p_enabled`, instead of to every output.
    output_activation
        Name of the outputs' activation.
    max_connections
        If more are drawn, this many of them are kept at random; those from the bias node do not count.
    """
    inputs = np.arange(num_inputs, dtype=np.int32)
    outputs = num_inputs + int(bias) + np.arange(num_outputs, dtype=np.int32)
    num_nodes = num_inputs + int(bias) + num_outputs
    if tracker.next_node < num_nodes:
        tracker.reserve_nodes(num_nodes - tracker.next_node)
    nodes = np.zeros(num_nodes, NODE_DTYPE)
    nodes["id"] = np.arange(num_nodes)
    nodes["role"] = INPUT
    nodes["activation"] = ACTIVATIONS["linear"].code
    if bias:
        nodes["role"][num_inputs] = BIAS
    nodes["role"][outputs] = OUTPUT
    nodes["activation"][outputs] = ACTIVATIONS[output_activation].code

    drawn = rng.random((num_inputs, num_outputs)) < p_enabled
    if not drawn.any():
        drawn.flat[rng.integers(drawn.size)] = True
    if max_connections is not None and np.count_nonzero(drawn) > max_connections:
        kept = rng.choice(np.flatnonzero(drawn), max_connections, replace=False)
        drawn[:] = False
        drawn.flat[kept] = True
    input_rows, output_rows = np.nonzero(drawn)
    pairs = [(int(inputs[i]), int(outputs[o])) for i, o in zip(input_rows, output_rows, strict=True)]
    if bias:
        fed = outputs[rng.random(num_outputs) < p_enabled] if evolved_bias else outputs
        pairs += [(num_inputs, int(output)) for output in fed]
    genes = sorted((tracker.connection(s, t), s, t, UNSET, True) for s, t in pairs)
    return Genome(nodes, np.array(genes, CONNECTION_DTYPE))
