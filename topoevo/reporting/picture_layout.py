"""Where nodes lie in a picture: layers from left to right, neighbors at similar heights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.genome import Genome, Role

#: Nodes in a column; larger layers are staggered over several columns.
_MAX_ROWS = 56
_ROW = 13.0
_MIN_HEIGHT, _MAX_HEIGHT = 240.0, 760.0
_STAGGER = 13.0
_SWEEPS = 24


@dataclass(frozen=True, eq=False)
class Layout:
    """Positions in points of 1/72 inch; x grows to the right and y upwards.

    Parameters
    ----------
    rows
        Rows in ``genome.nodes`` of the nodes that are shown: all on a path from an input to an output, and all
        outputs, but not the bias node; int64 [num_shown].
    position
        Centers, float64 [num_shown, 2].
    radius
        Float64 [num_shown].
    edges
        Indices of source and target among the shown nodes, int64 [num_edges, 2].
    weight
        Of the same edges, float32 [num_edges]; 0 where none was given.
    has_bias
        Which nodes have a bias, bool [num_shown].
    """

    rows: NDArray[np.int64]
    position: NDArray[np.float64]
    radius: NDArray[np.float64]
    edges: NDArray[np.int64]
    weight: NDArray[np.float32]
    has_bias: NDArray[np.bool_]


def lay_out(genome: Genome) -> Layout:
    """Return the layout of a genome's active part.

    Nodes of a layer are ordered by the mean height of their neighbors, in several sweeps (Sugiyama, Tagawa & Toda
    1981, section III). Differs from the paper: an edge over several layers counts with its ends alone, which keeps a
    thousand edges fast. Outputs keep their order.
    """
    active_nodes, active_connections = genome.active
    role = genome.nodes["role"]
    rows = np.flatnonzero(active_nodes & (role != Role.BIAS))
    place = np.full(len(genome.nodes), -1)
    place[rows] = np.arange(len(rows))
    from_bias = role[genome.source_row] == Role.BIAS
    drawn = active_connections & ~from_bias
    edges = np.stack([place[genome.source_row[drawn]], place[genome.target_row[drawn]]], axis=1).astype(np.int64)
    has_bias = np.zeros(len(rows), np.bool_)
    has_bias[place[genome.target_row[active_connections & from_bias]]] = True

    layers, column = np.unique(genome.layers()[rows], return_inverse=True)
    members = [np.flatnonzero(column == one) for one in range(len(layers))]
    largest = max(len(one) for one in members)
    height = float(np.clip(largest * _ROW, _MIN_HEIGHT, _MAX_HEIGHT))
    is_output = role[rows] == Role.OUTPUT
    y = _heights(members, edges, is_output, height)
    x = _columns(members, column, y)
    gaps = np.array([_gap(len(one), height) for one in members])
    limit = np.where(is_output, 11.0, np.where(role[rows] == Role.INPUT, 6.0, 8.0))
    staggered = np.array([_num_staggered(len(one)) > 1 for one in members])[column]
    radius = np.clip(0.42 * gaps[column], 3.2, np.where(staggered, np.minimum(limit, 0.4 * _STAGGER), limit))
    weight = np.nan_to_num(genome.connections["weight"][drawn])
    return Layout(rows, np.stack([x, y], axis=1), radius, edges, weight, has_bias)


def _num_staggered(count: int) -> int:
    """Columns that a layer is staggered over."""
    return -(-count // _MAX_ROWS)


def _gap(count: int, height: float) -> float:
    """Distance between two nodes in one column of a layer."""
    return min(_num_staggered(count) * height / max(count, 1), 40.0)


def _even(count: int, height: float) -> NDArray[np.float64]:
    """Heights of a layer in even steps from top to bottom, around the middle."""
    step = min(height / max(count, 1), 64.0)
    return np.asarray((np.arange(count)[::-1] - (count - 1) / 2) * step, np.float64)


def _heights(
    members: list[NDArray[np.int64]], edges: NDArray[np.int64], is_output: NDArray[np.bool_], height: float
) -> NDArray[np.float64]:
    """Height of every node, around 0."""
    y: NDArray[np.float64] = np.zeros(len(is_output))
    for nodes in members:
        y[nodes] = _even(len(nodes), height)
    if len(edges) == 0:
        return y
    degree = np.bincount(edges.ravel(), minlength=len(y))
    connected = degree > 0
    for sweep in range(_SWEEPS):
        for nodes in members if sweep % 2 else members[::-1]:
            if is_output[nodes].any():
                continue
            total = np.bincount(edges[:, 0], y[edges[:, 1]], len(y)) + np.bincount(edges[:, 1], y[edges[:, 0]], len(y))
            wanted = np.where(connected, total / np.maximum(degree, 1), y)[nodes]
            order = nodes[np.argsort(-wanted, kind="stable")]
            even = _even(len(nodes), height)
            # Between the even step, which uses all room, and the height of the neighbors, which makes short edges.
            blend = 0.5 * even + 0.5 * np.sort(wanted)[::-1] if len(nodes) <= _MAX_ROWS else even
            y[order] = _apart(blend, 0.9 * min(_gap(len(nodes), height) / _num_staggered(len(nodes)), 20.0))
    return y


def _apart(wanted: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Falling heights with at least `gap` between them, near the wanted ones: pushed down, then up, then averaged."""
    steps = gap * np.arange(len(wanted))
    down = np.minimum.accumulate(wanted + steps) - steps
    up = np.maximum.accumulate((wanted + steps)[::-1])[::-1] - steps
    return np.asarray((down + up) / 2, np.float64)


def _columns(
    members: list[NDArray[np.int64]], column: NDArray[np.int64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of every node from the left."""
    count = len(members)
    gap = float(np.clip(900.0 / max(count - 1, 1), 44.0, 230.0))
    x = np.zeros(len(column))
    left = 0.0
    for nodes in members:
        staggered = _num_staggered(len(nodes))
        order = nodes[np.argsort(-y[nodes], kind="stable")]
        x[order] = left + _STAGGER * (np.arange(len(nodes)) % staggered)
        left += gap + _STAGGER * (staggered - 1)
    return x
