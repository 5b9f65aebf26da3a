"""Order in a directed graph given as two arrays of edges."""

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
    from topoevo.genome import compiled_graph

    layer: NDArray[np.int32] = compiled_graph.longest_path_layers(num_nodes, _edges(source), _edges(target))
    if len(layer) < num_nodes:
        raise GenomeError("the connections form a cycle")
    return layer


def _edges(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """The rows in the one type that compiled code is made for: contiguous and read-only."""
    view: NDArray[np.int32] = np.ascontiguousarray(rows, np.int32).view()
    view.flags.writeable = False
    return view
