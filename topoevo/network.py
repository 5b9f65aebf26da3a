"""The phenotype: a genome's active part in the order and layout in which it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import GenomeError, TaskError
from topoevo.genome import Genome
from topoevo.genome.genes import BIAS, HIDDEN, INPUT, OUTPUT
from topoevo.genome.topology import longest_path_layers


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in topological order with the incoming edges of each in compressed sparse rows.

    Rows 0 … num_sources - 1 are the inputs that are used, then the bias node if it is used; the computed nodes follow,
    first hidden nodes in topological order, then every output in the order of the task.

    Parameters
    ----------
    num_inputs
        Inputs of the task, used or not.
    num_outputs
        Outputs of the task, all of them rows of the network.
    node_id
        Gene behind each row, int32 [num_nodes].
    input_index
        Which input of the task each input row shows, int32 [num_used_inputs].
    has_bias
        Whether row ``len(input_index)`` is the bias node, constant 1.
    activation
        Activation code of each computed node, int8 [num_computed].
    row_start
        The edges of computed node c are ``row_start[c]`` … ``row_start[c + 1] - 1``, int32 [num_computed + 1].
    source
        Row of each edge's source, int32 [num_edges]; ascending within a target.
    weight
        Weight of each edge, float32 [num_edges]; NaN where learning has to draw it.
    gene
        Row of the edge's connection gene in its genome, int32 [num_edges].
    """

    num_inputs: int
    num_outputs: int
    node_id: NDArray[np.int32]
    input_index: NDArray[np.int32]
    has_bias: bool
    activation: NDArray[np.int8]
    row_start: NDArray[np.int32]
    source: NDArray[np.int32]
    weight: NDArray[np.float32]
    gene: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, np.ndarray) and value.flags.writeable:
                # The caller keeps an array of its own.
                object.__setattr__(self, name, _frozen(value.copy()))

    def check_fits(self, task: str, num_inputs: int, num_outputs: int) -> None:
        """Check that the network can be used on a task.

        Parameters
        ----------
        task
            Its name, for the message.
        num_inputs, num_outputs
            What it wants.

        Raises
        ------
        TaskError
            If the network has other numbers of inputs or outputs.
        """
        if (self.num_inputs, self.num_outputs) != (num_inputs, num_outputs):
            raise TaskError(
                f"the network has {self.num_inputs} inputs and {self.num_outputs} outputs, but {task} needs "
                f"{num_inputs} and {num_outputs}"
            )

    @property
    def num_nodes(self) -> int:
        """Rows in total."""
        return len(self.node_id)

    @property
    def num_sources(self) -> int:
        """Rows that are given, not computed: used inputs and the bias node."""
        return len(self.input_index) + int(self.has_bias)

    @property
    def num_edges(self) -> int:
        """Edges, those from the bias node included."""
        return len(self.source)

    @cached_property
    def target(self) -> NDArray[np.int32]:
        """Row of each edge's target, int32 [num_edges]."""
        counts = np.diff(self.row_start)
        return _frozen(np.repeat(np.arange(self.num_sources, self.num_nodes, dtype=np.int32), counts))

    @cached_property
    def from_bias(self) -> NDArray[np.bool_]:
        """Whether each edge starts at the bias node, bool [num_edges]."""
        return _frozen(np.equal(self.source, len(self.input_index)) & self.has_bias)

    @cached_property
    def into_output(self) -> NDArray[np.bool_]:
        """Whether each edge ends at an output, bool [num_edges]."""
        return self.target >= self.num_nodes - self.num_outputs

    @cached_property
    def outgoing(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Edges by source.

        Returns
        -------
        start : ndarray of int32 [num_nodes + 1]
            The edges out of row r are ``edge[start[r]]`` … ``edge[start[r + 1] - 1]``.
        edge : ndarray of int32 [num_edges]
        """
        edge = np.argsort(self.source, kind="stable").astype(np.int32)
        start = np.searchsorted(self.source[edge], np.arange(self.num_nodes + 1)).astype(np.int32)
        return _frozen(start), _frozen(edge)

    @cached_property
    def fan_in(self) -> NDArray[np.int32]:
        """Number of edges into each edge's target, the bias not counted, int32 [num_edges]."""
        first = self.num_sources
        counts = np.bincount(self.target[~self.from_bias] - first, minlength=self.num_nodes - first)
        return _frozen(counts[self.target - first].astype(np.int32))

    @cached_property
    def layer(self) -> NDArray[np.int32]:
        """Longest path from an input or the bias node to each row, int32 [num_nodes]; outputs share the last layer."""
        layer = longest_path_layers(self.num_nodes, self.source, self.target)
        layer[-self.num_outputs :] = layer.max(initial=1)
        return _frozen(layer)

    def on_path(self, keep: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which nodes, bool [num_nodes], and edges, bool [num_edges], lie on a path without some edges.

        Parameters
        ----------
        keep
            Which edges stay, bool [num_edges].
        """
        from topoevo.genome import compiled_graph

        role = np.full(self.num_nodes, HIDDEN, np.int8)
        role[: len(self.input_index)] = INPUT
        role[len(self.input_index) : self.num_sources] = BIAS
        role[self.num_nodes - self.num_outputs :] = OUTPUT
        nodes, kept = compiled_graph.active(_frozen(role), self.source, self.target, _frozen(keep.copy()))
        return nodes, kept

    def part(self, keep: NDArray[np.bool_]) -> tuple[Network, NDArray[np.bool_]]:
        """Return the network without some edges, and which edges it still has.

        Nodes that are left on no path from an input to an output go, with all their edges.

        Parameters
        ----------
        keep
            Which edges stay if their nodes do, bool [num_edges].

        Returns
        -------
        network : Network
        kept : ndarray of bool [num_edges]
            Edges of this network that the other one has, in the same order.
        """
        nodes, kept = self.on_path(keep)
        row = (np.cumsum(nodes) - 1).astype(np.int32)
        counts = np.bincount(self.target[kept] - self.num_sources, minlength=self.num_nodes - self.num_sources)
        computed = nodes[self.num_sources :]
        part = Network(
            num_inputs=self.num_inputs,
            num_outputs=self.num_outputs,
            node_id=self.node_id[nodes],
            input_index=self.input_index[nodes[: len(self.input_index)]],
            has_bias=self.has_bias and bool(nodes[len(self.input_index)]),
            activation=self.activation[computed],
            row_start=np.concatenate([[0], np.cumsum(counts[computed])]).astype(np.int32),
            source=row[self.source[kept]],
            weight=self.weight[kept],
            gene=self.gene[kept],
        )
        return part, kept


_Array = TypeVar("_Array", bound=NDArray[Any])


def _frozen(array: _Array) -> _Array:
    """The array, read-only."""
    array.flags.writeable = False
    return array


def compile_network(genome: Genome) -> Network:
    """Return the network that `genome` develops into.

    Disabled connections, and nodes on no path from an input to an output, are left out. Outputs always remain.

    Raises
    ------
    GenomeError
        If the genome contains a cycle.
    """
    role = genome.nodes["role"]
    active_nodes, active_connections = genome.active
    genes = np.flatnonzero(active_connections).astype(np.int32)
    source, target = genome.source_row[genes], genome.target_row[genes]
    layer = longest_path_layers(len(role), source, target)

    # Sorting by stage keeps inputs first and outputs last; within hidden nodes the layer is a topological order.
    stage = np.select([role == INPUT, role == BIAS, role == HIDDEN], [0, 1, 2], 3)
    nodes = np.flatnonzero(active_nodes)
    nodes = nodes[np.lexsort((nodes, np.where(stage == 2, layer, 0)[nodes], stage[nodes]))]
    row = np.full(len(role), -1, np.int32)
    row[nodes] = np.arange(len(nodes), dtype=np.int32)

    inputs = np.flatnonzero(role == INPUT)
    used = nodes[role[nodes] == INPUT]
    has_bias = bool((role[nodes] == BIAS).any())
    num_sources = len(used) + int(has_bias)
    order = np.lexsort((row[source], row[target]))
    genes, source, target = genes[order], row[source[order]], row[target[order]]
    if (target < num_sources).any():
        raise GenomeError("a connection ends at an input or bias node")
    return Network(
        num_inputs=len(inputs),
        num_outputs=int(np.count_nonzero(role == OUTPUT)),
        node_id=genome.nodes["id"][nodes],
        input_index=np.searchsorted(inputs, used).astype(np.int32),
        has_bias=has_bias,
        activation=np.ascontiguousarray(genome.nodes["activation"][nodes[num_sources:]]),
        row_start=np.searchsorted(target, np.arange(num_sources, len(nodes) + 1)).astype(np.int32),
        source=source,
        weight=np.ascontiguousarray(genome.connections["weight"][genes]),
        gene=genes,
    )
