"""Innovation numbers: the same structural change in the same generation gets the same number.

Stanley & Miikkulainen 2002, section 3.2. Only the parent process, where reproduction runs, holds a tracker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """What splitting one connection creates.

    Parameters
    ----------
    node
        Id of the new node.
    incoming, outgoing
        Innovation numbers of the connections source → node and node → target.
    """

    node: int
    incoming: int
    outgoing: int


class InnovationTracker:
    """Hand out node ids and innovation numbers.

    Parameters
    ----------
    next_node, next_innovation
        The first numbers that are free; both counters are all that a checkpoint needs between generations.
    """

    def __init__(self, next_node: int = 0, next_innovation: int = 0) -> None:
        self.next_node = next_node
        self.next_innovation = next_innovation
        self._connections: dict[tuple[int, int], int] = {}
        self._splits: dict[int, list[Split]] = {}
        self._bridges: dict[tuple[tuple[int, ...], int], list[int]] = {}

    def start_generation(self) -> None:
        """Forget which changes were made, so that numbers are shared within a generation only."""
        self._connections.clear()
        self._splits.clear()
        self._bridges.clear()

    def reserve_nodes(self, count: int) -> NDArray[np.int32]:
        """Return `count` fresh node ids, int32 [count]."""
        ids = np.arange(self.next_node, self.next_node + count, dtype=np.int32)
        self.next_node += count
        return ids

    def reserve_connections(self, count: int) -> NDArray[np.int32]:
        """Return `count` fresh innovation numbers, int32 [count], for connections of nodes that nobody else has."""
        numbers = np.arange(self.next_innovation, self.next_innovation + count, dtype=np.int32)
        self.next_innovation += count
        return numbers

    def connection(self, source: int, target: int) -> int:
        """Return the innovation number of the connection `source` → `target`."""
        pair = (source, target)
        if pair not in self._connections:
            self._connections[pair] = self._fresh_innovation()
        return self._connections[pair]

    def split(self, innovation: int, source: int, target: int, taken: NDArray[np.int32]) -> Split:
        """Return the numbers for splitting a connection.

        Parameters
        ----------
        innovation, source, target
            The connection's number and ends.
        taken
            Node ids of the genome, int32 [num_nodes], sorted. A connection that was split, enabled again and split
            once more needs a second node.
        """
        known = self._splits.setdefault(innovation, [])
        for split in known:
            if _is_free(split.node, taken):
                return split
        node, self.next_node = self.next_node, self.next_node + 1
        # Asked for as pairs, so that a half that is removed and added again in this generation keeps its number.
        split = Split(node, self.connection(source, node), self.connection(node, target))
        known.append(split)
        return split

    def bridge(self, sources: tuple[int, ...], target: int, taken: NDArray[np.int32]) -> int:
        """Return the id of a new node between several sources and a target.

        Parameters
        ----------
        sources, target
            Ids of the nodes that it hears, ascending, and of the one that hears it.
        taken
            Node ids of the genome, int32 [num_nodes], sorted. One that has such a node already needs a second one.
        """
        known = self._bridges.setdefault((sources, target), [])
        for node in known:
            if _is_free(node, taken):
                return node
        known.append(int(self.reserve_nodes(1)[0]))
        return known[-1]

    def _fresh_innovation(self) -> int:
        """The next unused innovation number."""
        self.next_innovation += 1
        return self.next_innovation - 1


def _is_free(node: int, taken: NDArray[np.int32]) -> bool:
    """Whether a node id is not among sorted ones."""
    row = int(taken.searchsorted(np.int32(node)))
    return row == len(taken) or bool(taken[row] != node)
