"""The genome: an acyclic graph of node and connection genes that no operation changes in place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.errors import GenomeError
from topoevo.genome.genes import BIAS, CONNECTION_DTYPE, HIDDEN, INPUT, NODE_DTYPE, OUTPUT, UNSET, Role
from topoevo.genome.innovation import InnovationTracker
from topoevo.genome.topology import longest_path_layers, reachable

if TYPE_CHECKING:
    import networkx

_Genes = NDArray[np.void]


@dataclass(frozen=True)
class Complexity:
    """Size of the part of a genome that lies on some path from an input to an output.

    Parameters
    ----------
    connections
        Enabled connections whose source is not the bias node.
    biases
        Enabled connections from the bias node.
    hidden
        Hidden nodes.
    """

    connections: int
    biases: int
    hidden: int


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
            if genes.flags.writeable:
                # The caller keeps an array of its own.
                genes = genes.copy()
                genes.flags.writeable = False
            object.__setattr__(self, name, genes)

    @staticmethod
    def minimal(
        num_inputs: int,
        num_outputs: int,
        *,
        p_enabled: float,
        tracker: InnovationTracker,
        rng: np.random.Generator,
        bias: bool = False,
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
            Whether there is a bias node; it is connected to every output.
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
            pairs += [(num_inputs, int(output)) for output in outputs]
        return Genome(nodes, _new_connections([(tracker.connection(s, t), s, t, UNSET) for s, t in pairs]))

    # -- what it is ---------------------------------------------------------------------------------------------

    @cached_property
    def source_row(self) -> NDArray[np.int32]:
        """Row in `nodes` of each connection's source, int32 [num_connections]."""
        return _frozen(np.searchsorted(self.nodes["id"], self.connections["source"]).astype(np.int32))

    @cached_property
    def target_row(self) -> NDArray[np.int32]:
        """Row in `nodes` of each connection's target, int32 [num_connections]."""
        return _frozen(np.searchsorted(self.nodes["id"], self.connections["target"]).astype(np.int32))

    @cached_property
    def role(self) -> NDArray[np.int8]:
        """Role of each node as a contiguous column, int8 [num_nodes]."""
        return _frozen(self.nodes["role"].copy())

    @cached_property
    def enabled(self) -> NDArray[np.bool_]:
        """Whether each connection is enabled, as a contiguous column, bool [num_connections]."""
        return _frozen(self.connections["enabled"].copy())

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

    @cached_property
    def active(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which nodes and connections lie on a path from an input to an output.

        Returns
        -------
        nodes : ndarray of bool [num_nodes]
            Outputs always; inputs and the bias node if an active connection starts there.
        connections : ndarray of bool [num_connections]
            Connections from the bias node count if their target is active.
        """
        from topoevo.genome import compiled_graph

        nodes, connections = compiled_graph.active(self.role, self.source_row, self.target_row, self.enabled)
        return _frozen(nodes), _frozen(connections)

    @cached_property
    def complexity(self) -> Complexity:
        """Size of the active part."""
        nodes, connections = self.active
        role = self.nodes["role"]
        from_bias = role[self.source_row] == BIAS
        return Complexity(
            connections=int(np.count_nonzero(connections & ~from_bias)),
            biases=int(np.count_nonzero(connections & from_bias)),
            hidden=int(np.count_nonzero(nodes & (role == HIDDEN))),
        )

    @cached_property
    def digest(self) -> str:
        """Hash of every gene, weights included: 16 hexadecimal digits, equal on every platform."""
        content = hashlib.blake2b(digest_size=8)
        names = ",".join(ACTIVATIONS_BY_CODE[code].name for code in self.nodes["activation"])
        for column in (self.nodes["id"], self.nodes["role"]):
            content.update(np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<")).tobytes())
        content.update(names.encode())
        content.update(self.connections.astype(CONNECTION_DTYPE.newbyteorder("<")).tobytes())
        return content.hexdigest()

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
        old = self.connections[row]
        if not old["enabled"]:
            raise GenomeError(f"connection {innovation} is disabled and cannot be split")
        new = tracker.split(innovation, int(old["source"]), int(old["target"]), self.nodes["id"])
        unset = bool(np.isnan(old["weight"]))
        genes = [
            (new.incoming, int(old["source"]), new.node, UNSET if unset else np.float32(1)),
            (new.outgoing, new.node, int(old["target"]), old["weight"]),
        ]
        bias_id = self.bias_id
        if bias and bias_id is not None and bias_id != old["source"]:
            genes.append((tracker.connection(bias_id, new.node), bias_id, new.node, UNSET if unset else np.float32(0)))
        node = np.array([(new.node, HIDDEN, ACTIVATIONS[activation].code)], NODE_DTYPE)
        connections = self.connections.copy()
        connections["enabled"][row] = False
        return self._with(_merge(self.nodes, node, "id"), connections, _new_connections(genes))

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
        rows = np.flatnonzero((self.connections["source"] == source) & (self.connections["target"] == target))
        if len(rows):
            if self.connections["enabled"][rows[0]]:
                raise GenomeError(f"nodes {source} and {target} are connected already")
            connections = self.connections.copy()
            connections["enabled"][rows[0]] = True
            connections["weight"][rows[0]] = weight
            return Genome(self.nodes, connections)
        source_row, target_row = self._node_row(source), self._node_row(target)
        role = self.nodes["role"]
        if role[source_row] == OUTPUT or role[target_row] in (INPUT, BIAS):
            raise GenomeError(
                f"a connection cannot lead from {Role(role[source_row]).name.lower()} node {source} "
                f"to {Role(role[target_row]).name.lower()} node {target}"
            )
        start = np.zeros(len(self.nodes), np.bool_)
        start[target_row] = True
        if reachable(start, self.source_row, self.target_row)[source_row]:
            raise GenomeError(f"a connection from node {source} to node {target} would close a cycle")
        gene = _new_connections([(tracker.connection(source, target), source, target, weight)])
        return self._with(self.nodes, self.connections, gene)

    def without_connection(self, innovation: int) -> Genome:
        """Return a genome without the connection gene `innovation`.

        A hidden node that is left with no gene but one from the bias node goes too, with that gene.
        """
        row = self._connection_row(innovation)
        connections = np.delete(self.connections, row)
        lost = []
        bias_id = self.bias_id
        for end in (self.connections["source"][row], self.connections["target"][row]):
            is_hidden = self.nodes["role"][self._node_row(int(end))] == HIDDEN
            touches = (connections["source"] == end) | (connections["target"] == end)
            if is_hidden and not (touches & (connections["source"] != bias_id)).any():
                lost.append(end)
                connections = connections[~touches]
        nodes = self.nodes[~np.isin(self.nodes["id"], lost)] if lost else self.nodes
        return Genome(nodes, connections)

    def with_activation(self, node: int, activation: str) -> Genome:
        """Return a genome whose node `node` has another activation.

        Raises
        ------
        GenomeError
            If there is no such node, or it is an input or the bias node.
        """
        row = self._node_row(node)
        if self.nodes["role"][row] in (INPUT, BIAS):
            raise GenomeError(f"node {node} is {Role(self.nodes['role'][row]).name.lower()} and stays linear")
        nodes = self.nodes.copy()
        nodes["activation"][row] = ACTIVATIONS[activation].code
        return Genome(nodes, self.connections)

    def with_weights(self, weights: NDArray[np.float32]) -> Genome:
        """Return a genome with other weights, float32 [num_connections] in the order of the genes.

        Raises
        ------
        GenomeError
            If there is not exactly one weight for every connection gene.
        """
        if np.shape(weights) != (len(self.connections),):
            raise GenomeError(f"there are {np.size(weights)} weights for {len(self.connections)} connections")
        connections = self.connections.copy()
        connections["weight"] = weights
        return Genome(self.nodes, connections)

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
        import networkx

        graph: networkx.DiGraph[Any] = networkx.DiGraph()
        for gene, layer in zip(self.nodes, self.layers(), strict=True):
            graph.add_node(
                int(gene["id"]),
                role=Role(gene["role"]).name.lower(),
                activation=ACTIVATIONS_BY_CODE[gene["activation"]].name,
                layer=int(layer),
            )
        for gene in self.connections:
            graph.add_edge(
                int(gene["source"]),
                int(gene["target"]),
                weight=float(gene["weight"]),
                innovation=int(gene["innovation"]),
                enabled=bool(gene["enabled"]),
            )
        return graph

    def __reduce__(self) -> tuple[type[Genome], tuple[_Genes, _Genes]]:
        # Without what cached properties have added: less to send to a worker.
        return Genome, (self.nodes, self.connections)

    def __repr__(self) -> str:
        return f"<Genome {self.digest}: {len(self.nodes)} nodes, {len(self.connections)} connections>"

    def _with(self, nodes: _Genes, connections: _Genes, new: _Genes) -> Genome:
        """A genome with these nodes, and with the connections of this one, perhaps disabled, and new ones."""
        genome = Genome(nodes, _merge(connections, new, "innovation"))
        num_nodes = len(self.nodes)
        if (
            len(self.connections)
            and self.connections["innovation"][-1] < new["innovation"][0]
            and (len(nodes) == num_nodes or nodes["id"][num_nodes - 1] == self.nodes["id"][-1])
        ):
            # What was added stands last, so that rows found before are still right.
            ids = nodes["id"]
            for end in ("source", "target"):
                rows = np.searchsorted(ids, new[end]).astype(np.int32)
                vars(genome)[f"{end}_row"] = _frozen(np.concatenate([getattr(self, f"{end}_row"), rows]))
        return genome

    def _node_row(self, node: int) -> int:
        """Row of a node id."""
        row = int(np.searchsorted(self.nodes["id"], node))
        if row == len(self.nodes) or self.nodes["id"][row] != node:
            raise GenomeError(f"there is no node {node}")
        return row

    def _connection_row(self, innovation: int) -> int:
        """Row of an innovation number."""
        row = int(np.searchsorted(self.connections["innovation"], innovation))
        if row == len(self.connections) or self.connections["innovation"][row] != innovation:
            raise GenomeError(f"there is no connection {innovation}")
        return row


_Array = TypeVar("_Array", bound=NDArray[Any])


def _frozen(array: _Array) -> _Array:
    """The array, read-only: it is handed out again and again."""
    array.flags.writeable = False
    return array


def _new_connections(genes: list[tuple[int, int, int, Any]]) -> _Genes:
    """Enabled connection genes from (innovation, source, target, weight), sorted."""
    return np.array(sorted((i, s, t, w, True) for i, s, t, w in genes), CONNECTION_DTYPE)


def _merge(genes: _Genes, new: _Genes, key: str) -> _Genes:
    """Both tables as one, sorted by `key`."""
    merged = np.concatenate([genes, new])
    if len(genes) and genes[key][-1] < new[key][0]:
        return _frozen(merged)
    return _frozen(merged[np.argsort(merged[key], kind="stable")])
