"""The genome: an acyclic graph of node and connection genes that no operation changes in place."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.errors import GenomeError
from topoevo.genome.complexity import Complexity
from topoevo.genome.genes import (
    BIAS,
    CONNECTION_DTYPE,
    CONNECTION_LAYOUT,
    HIDDEN,
    INPUT,
    NODE_DTYPE,
    NODE_LAYOUT,
    OUTPUT,
    UNSET,
    Role,
)
from topoevo.genome.graph import Graph
from topoevo.genome.innovation import InnovationTracker
from topoevo.genome.tables import editable, frozen, inserted, kept
from topoevo.genome.topology import longest_path_layers

if TYPE_CHECKING:
    import networkx

_ACTIVATION_NAMES = [activation.name for activation in ACTIVATIONS_BY_CODE]
_LITTLE_ENDIAN = CONNECTION_DTYPE.newbyteorder("<")

_Genes = NDArray[np.void]

#: Innovation number, source, target and weight of a new connection.
_Gene = tuple[int, int, int, Any]


@dataclass(frozen=True, eq=False)
class Genome:
    """Node genes and connection genes of one individual.

    Parameters
    ----------
    nodes
        `NODE_DTYPE` [num_nodes], sorted by id.
    connections
        `CONNECTION_DTYPE` [num_connections], sorted by innovation. Enabled and disabled genes together are acyclic,
        so that any gene may be enabled again.

    Notes
    -----
    The arrays are made read-only. Every edit returns a new genome.
    """

    nodes: _Genes
    connections: _Genes

    def __post_init__(self) -> None:
        for name, dtype in (("nodes", NODE_DTYPE), ("connections", CONNECTION_DTYPE)):
            genes = np.ascontiguousarray(getattr(self, name), dtype)
            # The caller keeps an array of its own.
            object.__setattr__(self, name, frozen(genes.copy()) if genes.flags.writeable else genes)

    # -- what it is ---------------------------------------------------------------------------------------------

    @cached_property
    def graph(self) -> Graph:
        """The same graph as columns that refer to rows instead of ids."""
        return Graph.of(self.nodes, self.connections)

    @property
    def source_row(self) -> NDArray[np.int32]:
        """Row in `nodes` of each connection's source, int32 [num_connections]."""
        return self.graph.source

    @property
    def target_row(self) -> NDArray[np.int32]:
        """Row in `nodes` of each connection's target, int32 [num_connections]."""
        return self.graph.target

    @property
    def role(self) -> NDArray[np.int8]:
        """Role of each node as a contiguous column, int8 [num_nodes]."""
        return self.graph.role

    @property
    def enabled(self) -> NDArray[np.bool_]:
        """Whether each connection is enabled, as a contiguous column, bool [num_connections]."""
        return self.graph.enabled

    @property
    def num_inputs(self) -> int:
        """Number of input nodes, the bias node not counted."""
        return int(np.count_nonzero(self.nodes["role"] == INPUT))

    @property
    def num_outputs(self) -> int:
        """Number of output nodes."""
        return int(np.count_nonzero(self.nodes["role"] == OUTPUT))

    @property
    def bias_id(self) -> int | None:
        """Id of the bias node, or None."""
        rows = np.flatnonzero(self.nodes["role"] == BIAS)
        return int(self.nodes["id"][rows[0]]) if len(rows) else None

    def layers(self) -> NDArray[np.int32]:
        """Return each node's layer over enabled connections, int32 [num_nodes].

        Inputs and bias are in layer 0, a hidden node one after the last of its sources (1 if it has none), and all
        outputs together in the last layer.
        """
        enabled = self.connections["enabled"]
        layer = longest_path_layers(len(self.nodes), self.source_row[enabled], self.target_row[enabled])
        role = self.nodes["role"]
        layer[role == HIDDEN] = np.maximum(layer[role == HIDDEN], 1)
        outputs = role == OUTPUT
        layer[outputs] = max(int(layer[~outputs].max(initial=0)) + 1, 1)
        return layer

    @property
    def active(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which nodes and connections lie on a path from an input to an output.

        Returns
        -------
        nodes : ndarray of bool [num_nodes]
            Outputs always; inputs and the bias node if an active connection starts there.
        connections : ndarray of bool [num_connections]
            Connections from the bias node count if their target is active.
        """
        return self.graph.active

    @property
    def complexity(self) -> Complexity:
        """Size of the active part.

        Raises
        ------
        GenomeError
            If the genome contains a cycle.
        """
        return self._sizes[0]

    @property
    def num_layers(self) -> int:
        """Number of layers, those of inputs and outputs included; see `layers`."""
        return self._sizes[1]

    @cached_property
    def _sizes(self) -> tuple[Complexity, int]:
        """Complexity and number of layers."""
        *complexity, num_layers = self.graph.sizes
        if not num_layers:
            raise GenomeError("the connections form a cycle")
        return Complexity(*complexity), num_layers

    @cached_property
    def digest(self) -> str:
        """Hash of every gene, weights included: 16 hexadecimal digits, equal on every platform."""
        names = ",".join([_ACTIVATION_NAMES[code] for code in self.nodes["activation"].tolist()])
        columns = [self.nodes["id"].astype("<i4").tobytes(), self.nodes["role"].tobytes(), names.encode()]
        content = hashlib.blake2b(b"".join(columns), digest_size=8)
        content.update(self.connections.astype(_LITTLE_ENDIAN, copy=False).tobytes())
        return content.hexdigest()

    def prepare(self) -> None:
        """Compute what is asked of every individual between two generations, and kept: sizes and digest."""
        _ = self._sizes, self.digest

    # -- edits --------------------------------------------------------------------------------------------------

    def split(
        self, innovation: int, *, tracker: InnovationTracker, activation: str = "relu", bias: bool = False
    ) -> Genome:
        """Return a genome with a new hidden node in the middle of a connection, which is disabled.

        The connection into the node gets weight 1, the one out of it the old weight (Stanley & Miikkulainen 2002,
        section 3.1), so that a linear node changes nothing. If the old weight is unset, so are both.

        Parameters
        ----------
        innovation
            Number of an enabled connection.
        tracker
            Source of the new numbers.
        activation
            Name of the new node's activation.
        bias
            Whether the bias node, if there is one, is connected to the new node, with weight 0.

        Raises
        ------
        GenomeError
            If there is no such enabled connection.
        """
        row = self._connection_row(innovation)
        _, source, target, weight, enabled = self.connections[row].item()
        if not enabled:
            raise GenomeError(f"connection {innovation} is disabled and cannot be split")
        new = tracker.split(innovation, source, target, self.graph.id)
        graph = self.graph.with_enabled(row, False).with_node(new.node, HIDDEN)
        middle, source_row, target_row = graph.row(new.node), int(graph.source[row]), int(graph.target[row])
        unset = math.isnan(weight)
        genes = [
            (new.incoming, source_row, middle, UNSET if unset else 1.0),
            (new.outgoing, middle, target_row, weight),
        ]
        bias_id = self.bias_id if bias else None
        if bias_id is not None and bias_id != source:
            from_bias = tracker.connection(bias_id, new.node)
            genes.append((from_bias, graph.row(bias_id), middle, UNSET if unset else 0.0))
        connections = editable(self.connections)
        connections["enabled"][row] = False
        node = NODE_LAYOUT.pack(new.node, HIDDEN, ACTIVATIONS[activation].code)
        return extended(inserted(self.nodes, [middle], node), connections, graph, genes)

    def connect(
        self, source: int, target: int, *, tracker: InnovationTracker, weight: np.float32 | float = UNSET
    ) -> Genome:
        """Return a genome with the connection `source` → `target`, enabled again if it was disabled.

        Raises
        ------
        GenomeError
            If a node is missing, the pair is connected, or the connection would close a cycle, start at an output or
            end at an input.
        """
        source_row, target_row = self.graph.row(source), self.graph.row(target)
        row = self.graph.connection(source_row, target_row)
        if row is not None and self.enabled[row]:
            raise GenomeError(f"nodes {source} and {target} are connected already")
        if row is None:
            source_role, target_role = self.role[source_row], self.role[target_row]
            if source_role == OUTPUT or target_role in (INPUT, BIAS):
                raise GenomeError(
                    f"a connection cannot lead from {Role(source_role).name.lower()} node {source} "
                    f"to {Role(target_role).name.lower()} node {target}"
                )
            if source_role == HIDDEN and self.graph.has_path(target_row, source_row):
                raise GenomeError(f"a connection from node {source} to node {target} would close a cycle")
        return self.joined(source_row, target_row, tracker=tracker, weight=weight)

    def joined(self, source: int, target: int, *, tracker: InnovationTracker, weight: np.float32 | float) -> Genome:
        """Return a genome with a connection of which it is known that it may be there; see `connect`.

        Parameters
        ----------
        source, target
            Rows of its ends: one of the graph's open pairs. Nothing is checked.
        tracker, weight
            See `connect`.
        """
        row = self.graph.connection(source, target)
        if row is not None:
            connections = editable(self.connections)
            connections["enabled"][row] = True
            connections["weight"][row] = weight
            return with_graph(self.nodes, frozen(connections), self.graph.with_enabled(row, True))
        innovation = tracker.connection(int(self.graph.id[source]), int(self.graph.id[target]))
        return extended(self.nodes, self.connections, self.graph, [(innovation, source, target, weight)])

    def without_connection(self, innovation: int) -> Genome:
        """Return a genome without the connection gene `innovation`.

        A hidden node that is left with no gene but one from the bias node goes too, with that gene.
        """
        source, target = self.source_row, self.target_row
        row = self._connection_row(innovation)
        nodes, connections = np.ones(len(self.nodes), np.bool_), np.ones(len(self.connections), np.bool_)
        connections[row] = False
        for end in (source[row], target[row]):
            touching = connections & ((source == end) | (target == end))
            if self.role[end] == HIDDEN and not (touching & (self.role[source] != BIAS)).any():
                nodes[end] = False
                connections &= ~touching
        return self.part(nodes, connections)

    def part(self, nodes: NDArray[np.bool_], connections: NDArray[np.bool_]) -> Genome:
        """Return the genome of some nodes and of some connections between them.

        Parameters
        ----------
        nodes, connections
            Which of them remain, bool [num_nodes] and [num_connections].
        """
        return with_graph(
            kept(self.nodes, nodes), kept(self.connections, connections), self.graph.part(nodes, connections)
        )

    def with_only(self, connections: NDArray[np.bool_]) -> Genome:
        """Return the genome of some of its connections; hidden nodes that none of them touches go, too.

        Parameters
        ----------
        connections
            Which of them remain, bool [num_connections].
        """
        nodes = self.role != HIDDEN
        nodes[self.source_row[connections]] = True
        nodes[self.target_row[connections]] = True
        return self.part(nodes, connections)

    def active_part(self) -> Genome:
        """Return the genome without disabled connections and all else that is on no path from an input to an output.

        Inputs, outputs and the bias node remain.
        """
        nodes, connections = self.active
        return self.part(nodes | (self.role != HIDDEN), connections)

    def with_activation(self, node: int, activation: str) -> Genome:
        """Return a genome whose node `node` has another activation.

        Raises
        ------
        GenomeError
            If there is no such node, or it is an input or the bias node.
        """
        row = self.graph.row(node)
        if self.nodes["role"][row] in (INPUT, BIAS):
            raise GenomeError(f"node {node} is {Role(self.nodes['role'][row]).name.lower()} and stays linear")
        nodes = editable(self.nodes)
        nodes["activation"][row] = ACTIVATIONS[activation].code
        return with_graph(frozen(nodes), self.connections, self.graph)

    def with_weights(self, weights: NDArray[np.float32]) -> Genome:
        """Return a genome with other weights, float32 [num_connections] in the order of the genes.

        Raises
        ------
        GenomeError
            If there is not exactly one weight for every connection gene.
        """
        if np.shape(weights) != (len(self.connections),):
            raise GenomeError(f"there are {np.size(weights)} weights for {len(self.connections)} connections")
        connections = editable(self.connections)
        connections["weight"] = weights
        return with_graph(self.nodes, frozen(connections), self.graph)

    # -- checks and exchange ------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Check every rule that a genome obeys.

        Raises
        ------
        GenomeError
            Naming the first rule that is broken.
        """
        from topoevo.genome.validation import validate

        validate(self)

    def to_networkx(self) -> networkx.DiGraph[Any]:
        """Return the graph as `networkx.DiGraph`.

        Nodes have ``role``, ``activation`` and ``layer``; edges ``weight``, ``innovation`` and ``enabled``.
        """
        from topoevo.genome.exchange import as_networkx

        return as_networkx(self)

    def __reduce__(self) -> tuple[Any, tuple[bytes, bytes]]:
        # Without what cached properties have added, and as plain bytes: a quarter of the time of two structured arrays.
        return _from_bytes, (self.nodes.tobytes(), self.connections.tobytes())

    def __repr__(self) -> str:
        return f"<Genome {self.digest}: {len(self.nodes)} nodes, {len(self.connections)} connections>"

    def _connection_row(self, innovation: int) -> int:
        """Row of an innovation number."""
        row = int(self.connections["innovation"].searchsorted(innovation))
        if row == len(self.connections) or self.connections["innovation"][row] != innovation:
            raise GenomeError(f"there is no connection {innovation}")
        return row


def _from_bytes(nodes: bytes, connections: bytes) -> Genome:
    """The genome of two tables as they lay in memory, on a machine of the same kind."""
    return Genome(np.frombuffer(nodes, NODE_DTYPE), np.frombuffer(connections, CONNECTION_DTYPE))


def extended(nodes: _Genes, connections: _Genes, graph: Graph, genes: list[_Gene]) -> Genome:
    """Return the genome of two tables whose graph is known, with new genes.

    Parameters
    ----------
    nodes, connections, graph
        What there is, read-only.
    genes
        Innovation number, rows of source and target, and weight of each new connection, at least one, in any order.
    """
    genes = sorted(genes)
    source, target = [gene[1] for gene in genes], [gene[2] for gene in genes]
    rows = [CONNECTION_LAYOUT.pack(number, graph.id[s], graph.id[t], weight, True) for number, s, t, weight in genes]
    numbers = connections["innovation"]
    if len(numbers) and numbers[-1] >= genes[0][0]:
        places = numbers.searchsorted([gene[0] for gene in genes]).tolist()
    else:
        places = [len(numbers)] * len(genes)
    graph = graph.with_connections(places, source, target)
    return with_graph(nodes, inserted(connections, places, b"".join(rows)), graph)


def with_graph(nodes: _Genes, connections: _Genes, graph: Graph) -> Genome:
    """Return the genome of two tables whose graph is known, all read-only and of the right types."""
    genome = object.__new__(Genome)
    vars(genome).update(nodes=nodes, connections=connections, graph=graph)
    return genome
