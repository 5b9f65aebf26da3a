"""The graph of a genome as contiguous columns, which compiled code reads and which edits hand on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import GenomeError
from topoevo.genome.tables import editable, frozen, inserted

_Columns = tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Graph:
    """Who is connected with whom, all arrays read-only; what is deduced from it is deduced once.

    Parameters
    ----------
    id
        Id of each node, int32 [num_nodes], ascending.
    role
        Role of each node, int8 [num_nodes].
    source, target
        Row of each connection's ends among the nodes, int32 [num_connections]; ``num_nodes`` for an end that does not
        exist.
    enabled
        Whether each connection is enabled, bool [num_connections].
    """

    id: NDArray[np.int32]
    role: NDArray[np.int8]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    enabled: NDArray[np.bool_]

    @staticmethod
    def of(nodes: NDArray[np.void], connections: NDArray[np.void]) -> Graph:
        """Return the graph of two gene tables, `NODE_DTYPE` [num_nodes] and `CONNECTION_DTYPE` [num_connections]."""
        ids, source, target = (
            frozen(column.copy()) for column in (nodes["id"], connections["source"], connections["target"])
        )
        source, target = _compiled().rows_of_ends(ids, source, target)
        role, enabled = frozen(nodes["role"].copy()), frozen(connections["enabled"].copy())
        return Graph(ids, role, frozen(source), frozen(target), enabled)

    @property
    def columns(self) -> _Columns:
        """Role, source, target and enabled: what compiled functions ask for."""
        return self.role, self.source, self.target, self.enabled

    @cached_property
    def active(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Nodes and connections on a path from an input to an output; see `Genome.active`."""
        nodes, connections = _compiled().active(*self.columns)
        return frozen(nodes), frozen(connections)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Active connections that do not start at the bias node, those that do, active hidden nodes, and all layers."""
        return _compiled().sizes(*self.columns)  # type: ignore[no-any-return]

    def row(self, node: int) -> int:
        """Return the row of a node id.

        Raises
        ------
        GenomeError
            If there is no such node.
        """
        row = int(self.id.searchsorted(np.int32(node)))
        if row == len(self.id) or self.id[row] != node:
            raise GenomeError(f"there is no node {node}")
        return row

    def open_pairs(self, *, output_connections: bool) -> OpenPairs:
        """Return the pairs of nodes that a connection may join without closing a cycle.

        A pair with a disabled connection is open. Sources are inputs, the bias node and hidden nodes, targets are
        hidden nodes and, if asked for, outputs.
        """
        return OpenPairs(*_compiled().open_pairs(*self.columns, output_connections))

    def connection(self, source: int, target: int) -> int | None:
        """Return the row of the connection between two rows of nodes, or None."""
        row = int(_compiled().edge_between(source, target, self.source, self.target))
        return None if row < 0 else row

    def connections_between(self, source: NDArray[np.int32], target: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the rows of the connections between many pairs of rows of nodes, -1 where there is none.

        Parameters
        ----------
        source, target
            Rows of nodes, int32 [num_pairs].

        Returns
        -------
        ndarray of int32 [num_pairs]
        """
        pairs, rows = self._by_pair
        if len(rows) == 0:
            return np.full(len(source), -1, np.int32)
        wanted = _pairs(source, target)
        places = np.minimum(pairs.searchsorted(wanted), len(pairs) - 1)
        return np.where(pairs[places] == wanted, rows[places], np.int32(-1))

    @cached_property
    def _by_pair(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Source and target of every connection as one number, ascending, and its row."""
        pairs = _pairs(self.source, self.target)
        rows = np.argsort(pairs, kind="stable")
        return frozen(pairs[rows]), frozen(rows.astype(np.int32))

    def has_path(self, start: int, goal: int) -> bool:
        """Return whether a path leads from a row of nodes to another one, or they are the same."""
        return bool(_compiled().has_path(start, goal, len(self.role), self.source, self.target))

    def joinable(self, source: NDArray[np.int32], target: NDArray[np.int32], *, limit: int) -> NDArray[np.int32]:
        """Return which of several connections may be added together without closing a cycle.

        Parameters
        ----------
        source, target
            Rows of their ends, int32 [num_new], no pair twice: from inputs, the bias node and hidden nodes to hidden
            nodes and outputs. The first one that is legal beside those before it is taken first.
        limit
            How many are taken at most.

        Returns
        -------
        ndarray of int32 [num_taken]
            Their positions, ascending.
        """
        new = [frozen(np.array(rows, np.int32)) for rows in (source, target)]
        taken: NDArray[np.int32] = _compiled().joinable(self.role, self.source, self.target, *new, limit)
        return taken

    def with_enabled(self, row: int, enabled: bool) -> Graph:
        """Return a graph in which a connection is enabled or disabled."""
        column = editable(self.enabled)
        column[row] = enabled
        return self.with_enabled_column(frozen(column))

    def with_enabled_column(self, enabled: NDArray[np.bool_]) -> Graph:
        """Return a graph in which other connections are enabled, bool [num_connections], read-only."""
        return Graph(self.id, self.role, self.source, self.target, enabled)

    def with_node(self, node: int, role: int) -> Graph:
        """Return a graph with one more node, of a new id."""
        place = int(self.id.searchsorted(np.int32(node)))
        source, target = self.source, self.target
        if place < len(self.id):
            source, target = (frozen(rows + (rows >= place).astype(np.int32)) for rows in (source, target))
        ids = inserted(self.id, [place], struct.pack("=i", node))
        roles = inserted(self.role, [place], struct.pack("=b", role))
        return Graph(ids, roles, source, target, self.enabled)

    def with_connections(self, places: Sequence[int], source: Sequence[int], target: Sequence[int]) -> Graph:
        """Return a graph with more connections, enabled.

        Parameters
        ----------
        places
            Row before which each goes, ascending.
        source, target
            Rows of their ends.
        """
        return Graph(
            self.id,
            self.role,
            inserted(self.source, places, struct.pack(f"={len(places)}i", *source)),
            inserted(self.target, places, struct.pack(f"={len(places)}i", *target)),
            inserted(self.enabled, places, b"\1" * len(places)),
        )

    def part(self, nodes: NDArray[np.bool_], connections: NDArray[np.bool_]) -> Graph:
        """Return the graph of some nodes and of some connections between them.

        Parameters
        ----------
        nodes, connections
            Which of them remain, bool [num_nodes] and [num_connections].
        """
        row = (np.cumsum(nodes) - 1).astype(np.int32)
        return Graph(
            frozen(self.id[nodes]),
            frozen(self.role[nodes]),
            frozen(row[self.source[connections]]),
            frozen(row[self.target[connections]]),
            frozen(self.enabled[connections]),
        )


def _pairs(source: NDArray[np.int32], target: NDArray[np.int32]) -> NDArray[np.int64]:
    """One number for each pair of rows."""
    numbers: NDArray[np.int64] = source.astype(np.int64) << 32 | target
    return numbers


class OpenPairs(NamedTuple):
    """Pairs of nodes that a connection may join, numbered by source, then by target.

    Parameters
    ----------
    targets
        Rows of all nodes that a connection may lead to, int32 [num_targets].
    closed
        Bit t of a source's words tells whether it is closed to target t, uint64 [num_nodes, num_words].
    last
        Number of open pairs of this source and those before it, int64 [num_nodes].
    """

    targets: NDArray[np.int32]
    closed: NDArray[np.uint64]
    last: NDArray[np.int64]

    @property
    def num_pairs(self) -> int:
        """How many there are."""
        return int(self.last[-1])

    def pair(self, number: int) -> tuple[int, int]:
        """Return the rows of the source and the target of pair `number`, counted from 0."""
        assert 0 <= number < self.num_pairs
        source, target = _compiled().open_pair(number, *self)
        return int(source), int(target)

    def all_from(self, sources: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return the rows of the sources and the targets of all pairs from some rows of nodes, in their order.

        Parameters
        ----------
        sources
            Rows of nodes, int [num_sources].

        Returns
        -------
        source, target : ndarray of int [num_found]
        """
        bits = np.unpackbits(self.closed[sources].view(np.uint8), axis=1, bitorder="little")[:, : len(self.targets)]
        places, columns = np.nonzero(bits == 0)
        return np.asarray(sources, np.intp)[places], self.targets[columns]


@cache
def _compiled() -> Any:
    """The compiled functions, whose import takes long."""
    from topoevo.genome import compiled_graph

    return compiled_graph
