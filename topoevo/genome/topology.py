"""Order and reachability in a directed graph given as two arrays of edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import GenomeError


def longest_path_layers(num_nodes: int, source: NDArray[np.int32], target: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the number of edges on the longest path that ends in each node.

    Parameters
    ----------
    num_nodes
        Nodes are 0 … num_nodes - 1.
    source, target
        Ends of every edge, int [num_edges].

    Returns
    -------
    ndarray of int32 [num_nodes]

    Raises
    ------
    GenomeError
        If the edges contain a cycle.
    """
    layer = np.zeros(num_nodes, np.int32)
    if len(source) == 0:
        return layer
    for _ in range(num_nodes):
        longer = np.zeros(num_nodes, np.int32)
        np.maximum.at(longer, target, layer[source] + 1)
        if np.array_equal(longer, layer):
            return layer
        layer = longer
    raise GenomeError("the connections form a cycle")


def reachable(starts: NDArray[np.bool_], source: NDArray[np.int32], target: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which nodes a path leads to from any of the starts, the starts included.

    Parameters
    ----------
    starts
        Bool [num_nodes].
    source, target
        Ends of every edge, int [num_edges]. Exchange them to ask which nodes lead *to* the starts.

    Returns
    -------
    ndarray of bool [num_nodes]
    """
    reached: NDArray[np.bool_] = starts.copy()
    while True:
        # Edges that have fired need not be looked at again.
        fires = reached[source]
        reached[target[fires]] = True
        source, target = source[~fires], target[~fires]
        if not fires.any() or len(source) == 0:
            return reached
