"""The ``.out`` files of the published weight-agnostic networks: a genome as a matrix of weights in plain text.

N rows of N + 1 numbers, separated by commas. Row i, column j: weight of the connection from node i to node j; 0 or nan
is no connection. Last column: activation of node i, by its number in `ACTIVATION_NAMES`. The nodes are the bias
(constant 1), the inputs, the hidden nodes and the outputs, in this order (Gaier & Ha 2019, arXiv 1906.04358; format of
google/brain-tokyo-workshop).

A file does not say how many inputs and outputs there are. Inputs are the first nodes after the bias that nobody feeds;
outputs the last nodes that feed nobody. Where the two meet, an unused input and an unconnected output look the same,
and the numbers must be given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS, activation_codes
from topoevo.errors import GenomeError, NetworkFileError
from topoevo.genome import CONNECTION_DTYPE, NODE_DTYPE, Genome, Role
from topoevo.reporting.atomic import write_atomically
from topoevo.reporting.network_file import NetworkFile, read_text

#: Names of the activations that the numbers 1, 2, ... stand for.
ACTIVATION_NAMES = ("linear", "step", "sine", "gaussian", "tanh", "sigmoid", "inverse", "abs", "relu", "cosine")

#: A network with more nodes would not fit into a file that is read.
_MAX_LINES = 20_000
_ENDS_OF_LINES = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def read_out(path: str | Path, *, num_inputs: int | None = None, num_outputs: int | None = None) -> NetworkFile:
    """Read and check an ``.out`` file.

    The genome's nodes are numbered as by `minimal_genome`: inputs, bias, outputs, then hidden nodes in the order of the
    file. Innovation numbers follow the rows of the file.

    Parameters
    ----------
    path
        The file.
    num_inputs, num_outputs
        Inputs (the bias not counted) and outputs of the network; None finds them out.

    Raises
    ------
    NetworkFileError
        If there is no such file, it has another format, or it is no feed-forward network with these inputs and
        outputs; with the line and what is wrong.
    """
    path = Path(path)
    try:
        source, target, weight, numbers = _parsed(read_text(path))
        boundaries = _boundaries(source, target, len(numbers), num_inputs, num_outputs)
        genome = _genome(source, target, weight, numbers, *boundaries)
        genome.validate()
    except (ValueError, GenomeError) as error:
        raise NetworkFileError(f"{path}: {error}") from None
    return NetworkFile(genome, {"provenance": {"file": path.name, "format": "out"}})


def write_out(path: str | Path, genome: Genome) -> None:
    """Write a genome as an ``.out`` file, replacing an earlier one in one step; see `out_text`.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_atomically(Path(path), out_text(genome))


def out_text(genome: Genome) -> str:
    """Return the text of an ``.out`` file.

    Enabled connections are written, with weight 1 where it is unset; one of weight 0 is no connection in this format.
    Without a bias node there is a first row that is connected to nothing.

    Parameters
    ----------
    genome
        Genes to write.
    """
    role = genome.nodes["role"]
    stage = np.select([role == Role.BIAS, role == Role.INPUT, role == Role.HIDDEN], [0, 1, 2], 3)
    order = np.lexsort((np.arange(len(role)), np.where(stage == 2, genome.layers(), 0), stage))
    shift = 0 if genome.bias_id is not None else 1
    place = np.empty(len(role), np.int64)
    place[order] = np.arange(len(role)) + shift
    matrix = np.zeros((len(role) + shift, len(role) + shift))
    enabled = genome.enabled
    weight = genome.connections["weight"][enabled]
    matrix[place[genome.source_row[enabled]], place[genome.target_row[enabled]]] = np.where(
        np.isnan(weight), np.float32(1.0), weight
    )
    number = {ACTIVATIONS[name].code: number for number, name in enumerate(ACTIVATION_NAMES, 1)}
    numbers = [number[ACTIVATIONS["linear"].code]] * shift + [number[int(c)] for c in genome.nodes["activation"][order]]
    rows = zip(matrix.tolist(), numbers, strict=True)
    return "".join(",".join([f"{w:.9g}" for w in row] + [str(number)]) + "\n" for row, number in rows)


def _parsed(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Source, target and weight of every connection in the order of rows, and the activation number of every node."""
    if (found := sum(map(text.count, _ENDS_OF_LINES))) > _MAX_LINES:
        raise ValueError(f"has {found} lines; a file of its size has at most {_MAX_LINES}")
    lines = [(line_number, line) for line_number, line in enumerate(text.splitlines(), 1) if line.strip()]
    sources, targets, weights, numbers = [], [], [], []
    for row, (line_number, line) in enumerate(lines):
        # Counted before they are split: a single line may hold millions.
        if (found := line.count(",") + 1) != len(lines) + 1:
            raise ValueError(
                f"line {line_number} has {found} numbers; a network of {len(lines)} rows needs {len(lines) + 1} in each"
            )
        values = _numbers(line, line_number)
        if values[-1] not in range(1, len(ACTIVATION_NAMES) + 1):
            raise ValueError(
                f"line {line_number} ends with the activation {values[-1]:g}, must be a whole number from 1 to"
                f" {len(ACTIVATION_NAMES)}"
            )
        present = np.flatnonzero((values[:-1] != 0) & ~np.isnan(values[:-1]))
        with np.errstate(over="ignore"):
            single = values[present].astype(np.float32)
        if np.isinf(single).any():
            column = int(present[np.isinf(single)][0])
            raise ValueError(f"line {line_number}, number {column + 1}: the weight {values[column]:g} is too large")
        sources.append(np.full(len(present), row))
        targets.append(present)
        weights.append(single)
        numbers.append(int(values[-1]))
    if len(lines) < 3:
        raise ValueError(f"has {len(lines)} rows; a network has at least a bias, an input and an output")
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(weights), np.array(numbers)


def _numbers(line: str, line_number: int) -> NDArray[np.float64]:
    """The numbers of one line."""
    words = line.split(",")
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        for column, word in enumerate(words, 1):
            try:
                float(word)
            except ValueError:
                raise ValueError(f"line {line_number}, number {column}: {word.strip()[:40]!r} is no number") from None
        raise


def _boundaries(
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    num_nodes: int,
    num_inputs: int | None,
    num_outputs: int | None,
) -> tuple[int, int]:
    """Rows of the first node that is neither bias nor input, and of the first output."""
    fed = np.flatnonzero(np.bincount(target, minlength=num_nodes))
    first_fed = int(fed[0]) if len(fed) else num_nodes
    last_feeding = int(source.max(initial=0))
    if first_fed == 0:
        raise ValueError(f"line {source[target == 0][0] + 1} feeds node 1, which is the bias")
    for name, number in (("num_inputs", num_inputs), ("num_outputs", num_outputs)):
        if number is not None and not 1 <= number <= num_nodes - 2:
            raise ValueError(f"{name} is {number}, must be from 1 to {num_nodes - 2}: there are {num_nodes} nodes")
    first_computed = first_fed if num_inputs is None else num_inputs + 1
    first_output = last_feeding + 1 if num_outputs is None else num_nodes - num_outputs
    if first_computed > first_fed:
        feeder = source[target == first_fed][0]
        raise ValueError(f"num_inputs is {num_inputs}, but line {feeder + 1} feeds node {first_fed + 1}, an input then")
    if first_output <= last_feeding:
        raise ValueError(f"num_outputs is {num_outputs}, but node {last_feeding + 1}, an output then, feeds others")
    if first_computed > first_output and num_inputs is not None and num_outputs is not None:
        raise ValueError(f"there are {num_nodes} nodes, too few for {num_inputs} inputs and {num_outputs} outputs")
    if first_computed > first_output and num_inputs is None and num_outputs is None:
        raise ValueError(
            f"nodes {first_output + 1} to {first_computed} are connected to nothing, and the file does not say whether"
            " they are inputs or outputs: give num_inputs or num_outputs"
        )
    # Of nodes that are connected to nothing, one number says what they are.
    first_computed = first_computed if num_inputs is not None else min(first_computed, first_output)
    first_output = max(first_computed, first_output)
    if first_computed == 1:
        raise ValueError("there are no inputs: others feed every node after the bias")
    if first_output == num_nodes:
        raise ValueError("there are no outputs: the last node feeds others")
    return first_computed, first_output


def _genome(
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    weight: NDArray[np.float32],
    numbers: NDArray[np.int64],
    first_computed: int,
    first_output: int,
) -> Genome:
    """The genes, sorted, not yet validated."""
    num_nodes, num_inputs = len(numbers), first_computed - 1
    num_outputs = num_nodes - first_output
    # Rows of the file in the order of ids.
    row = np.concatenate(
        [np.arange(1, first_computed), [0], np.arange(first_output, num_nodes), np.arange(first_computed, first_output)]
    )
    identity = np.empty(num_nodes, np.int32)
    identity[row] = np.arange(num_nodes)
    nodes = np.zeros(num_nodes, NODE_DTYPE)
    nodes["id"] = np.arange(num_nodes)
    nodes["role"] = np.repeat(
        [Role.INPUT, Role.BIAS, Role.OUTPUT, Role.HIDDEN],
        [num_inputs, 1, num_outputs, num_nodes - 1 - num_inputs - num_outputs],
    )
    nodes["activation"] = activation_codes(ACTIVATION_NAMES)[numbers[row] - 1]
    # Whatever the file says of them, inputs and bias are what they are given.
    nodes["activation"][: num_inputs + 1] = ACTIVATIONS["linear"].code
    connections = np.zeros(len(source), CONNECTION_DTYPE)
    connections["innovation"] = np.arange(len(source))
    connections["source"], connections["target"] = identity[source], identity[target]
    connections["weight"], connections["enabled"] = weight, True
    return Genome(nodes, connections)
