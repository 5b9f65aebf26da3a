"""Questions about directed graphs that every mutation and every evaluation asks, compiled.

Graphs are given as two arrays of edges, the rows of their sources and targets. The tests compare with networkx and with
plain enumeration.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import numpy as np

from topoevo.compilation import cache_directory, entry_point, inlined_loop
from topoevo.genome import genes
from topoevo.genome.genes import BIAS, HIDDEN, INPUT, OUTPUT

_CACHE = cache_directory(__file__, genes.__file__)
_WORD = 64
_ONE = np.uint64(1)


@inlined_loop
def _outgoing(num_nodes, source):
    """Edges by source: those of row r are edge[start[r]] … edge[start[r + 1] - 1]."""
    start = np.zeros(num_nodes + 1, np.int32)
    for e in range(len(source)):
        start[source[e] + 1] += 1
    for row in range(num_nodes):
        start[row + 1] += start[row]
    free = start[:-1].copy()
    edge = np.empty(len(source), np.int32)
    for e in range(len(source)):
        edge[free[source[e]]] = e
        free[source[e]] += 1
    return start, edge


@inlined_loop
def _topological_order(num_nodes, source, target, start, edge):
    """Rows in an order in which every edge leads forward; shorter than the graph if there is a cycle (Kahn 1962)."""
    missing = np.zeros(num_nodes, np.int32)
    for e in range(len(target)):
        missing[target[e]] += 1
    order = np.empty(num_nodes, np.int32)
    found = 0
    for row in range(num_nodes):
        if missing[row] == 0:
            order[found] = row
            found += 1
    done = 0
    while done < found:
        row = order[done]
        done += 1
        for k in range(start[row], start[row + 1]):
            t = target[edge[k]]
            missing[t] -= 1
            if missing[t] == 0:
                order[found] = t
                found += 1
    return order[:found]


@inlined_loop
def _spread(reached, target, start, edge, passes):
    """Mark every row that a path of passable edges leads to from the marked ones."""
    stack = np.flatnonzero(reached).astype(np.int32)
    rows = np.empty(len(reached), np.int32)
    size = len(stack)
    rows[:size] = stack
    while size:
        size -= 1
        row = rows[size]
        for k in range(start[row], start[row + 1]):
            e = edge[k]
            if passes[e] and not reached[target[e]]:
                reached[target[e]] = True
                rows[size] = target[e]
                size += 1


@inlined_loop
def _count_bits(word):
    """Number of ones in 64 bits (Warren, Hacker's Delight, figure 5-2)."""
    word = word - ((word >> _ONE) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@entry_point(_CACHE)
def longest_path_layers(num_nodes, source, target):
    """Edges on the longest path that ends in each row; an empty array if there is a cycle."""
    start, edge = _outgoing(num_nodes, source)
    order = _topological_order(num_nodes, source, target, start, edge)
    if len(order) < num_nodes:
        return np.empty(0, np.int32)
    layer = np.zeros(num_nodes, np.int32)
    for row in order:
        for k in range(start[row], start[row + 1]):
            t = target[edge[k]]
            layer[t] = max(layer[t], layer[row] + 1)
    return layer


@entry_point(_CACHE)
def reachable(starts, source, target):
    """Rows that a path leads to from any of the starts, the starts included."""
    reached = starts.copy()
    start, edge = _outgoing(len(starts), source)
    _spread(reached, target, start, edge, np.ones(len(source), np.bool_))
    return reached


@entry_point(_CACHE)
def active(role, source, target, enabled):
    """Nodes and connections on a path from an input to an output; see `topoevo.genome.Genome.active`."""
    num_nodes = len(role)
    passes = np.empty(len(source), np.bool_)
    for e in range(len(source)):
        passes[e] = enabled[e] and role[source[e]] != BIAS
    forward, backward = role == INPUT, role == OUTPUT
    start, edge = _outgoing(num_nodes, source)
    _spread(forward, target, start, edge, passes)
    start, edge = _outgoing(num_nodes, target)
    _spread(backward, source, start, edge, passes)
    nodes = np.empty(num_nodes, np.bool_)
    through = np.empty(num_nodes, np.bool_)
    for row in range(num_nodes):
        through[row] = forward[row] and backward[row]
        nodes[row] = (through[row] and role[row] == HIDDEN) or role[row] == OUTPUT
    connections = np.empty(len(source), np.bool_)
    computed = nodes.copy()
    for e in range(len(source)):
        s = source[e]
        connections[e] = enabled[e] and computed[target[e]] and (through[s] or role[s] == BIAS)
        if connections[e]:
            nodes[s] = True
    return nodes, connections


@entry_point(_CACHE)
def legal_targets(role, source, target, enabled, output_connections):
    """Which nodes every node may be connected to.

    Returns the rows of all targets, the set of those that are closed to each row as bits, and the number that is open.
    Closed are, for a hidden node, its ancestors, itself, and the targets that it is connected to; for an input or the
    bias node the latter alone. Disabled connections count for ancestry, because they may be enabled again.
    """
    num_nodes = len(role)
    bit = np.full(num_nodes, -1, np.int32)
    num_targets = 0
    for row in range(num_nodes):
        if role[row] == HIDDEN or (output_connections and role[row] == OUTPUT):
            bit[row] = num_targets
            num_targets += 1
    targets = np.empty(num_targets, np.int32)
    closed = np.zeros((num_nodes, (num_targets + _WORD - 1) // _WORD), np.uint64)
    for row in range(num_nodes):
        if bit[row] >= 0:
            targets[bit[row]] = row
    start, edge = _outgoing(num_nodes, source)
    order = _topological_order(num_nodes, source, target, start, edge)
    # In topological order the ancestors of a row are complete when it is reached; its own bit joins them then.
    for row in order:
        if bit[row] >= 0:
            closed[row, bit[row] // _WORD] |= _ONE << np.uint64(bit[row] % _WORD)
        for k in range(start[row], start[row + 1]):
            t = target[edge[k]]
            for word in range(closed.shape[1]):
                closed[t, word] |= closed[row, word]
    for e in range(len(source)):
        t = bit[target[e]]
        if enabled[e] and t >= 0:
            closed[source[e], t // _WORD] |= _ONE << np.uint64(t % _WORD)
    num_open = np.zeros(num_nodes, np.int64)
    for row in range(num_nodes):
        if role[row] != OUTPUT:
            num_open[row] = num_targets
            for word in range(closed.shape[1]):
                num_open[row] -= _count_bits(closed[row, word])
    return targets, closed, num_open


@entry_point(_CACHE)
def nth_open(closed, rank):
    """Position of the bit with number `rank`, counted from 0, among those that are not set in one row."""
    position = 0
    while True:
        if not (closed[position // _WORD] >> np.uint64(position % _WORD)) & _ONE:
            if rank == 0:
                return position
            rank -= 1
        position += 1


def prepare() -> None:
    """Compile everything, or load it from the cache."""
    role = np.array([INPUT, OUTPUT], np.int8)
    source, target, enabled = np.zeros(1, np.int32), np.ones(1, np.int32), np.ones(1, np.bool_)
    for array in (role, source, target, enabled):
        array.flags.writeable = False
    longest_path_layers(2, source, target)
    reachable(role == INPUT, source, target)
    active(role, source, target, enabled)
    _, closed, _ = legal_targets(role, source, target, enabled, True)
    nth_open(closed[0], 0)
