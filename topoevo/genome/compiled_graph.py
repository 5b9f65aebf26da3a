"""Questions about directed graphs that every mutation and every evaluation asks, compiled.

Graphs are given as two arrays of edges, the rows of their sources and targets. The tests compare with networkx and with
plain enumeration.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from topoevo.compilation import cache_directory, entry_point, inlined_loop
from topoevo.genome import genes
from topoevo.genome.genes import BIAS, HIDDEN, INPUT, OUTPUT

_CACHE = cache_directory(__file__, genes.__file__)
_WORD = 64
_ONE = np.uint64(1)


@inlined_loop
def _successors(num_nodes, source, target, passes):
    """Targets of passable edges by source: those of row r are successor[start[r]] … successor[start[r + 1] - 1]."""
    edge = np.empty(len(source), np.int32)
    num_edges = 0
    for e in range(len(source)):
        edge[num_edges] = e
        num_edges += passes[e]
    start = np.zeros(num_nodes + 1, np.int32)
    for e in edge[:num_edges]:
        start[source[e] + 1] += 1
    for row in range(num_nodes):
        start[row + 1] += start[row]
    free = start[:-1].copy()
    successor = np.empty(num_edges, np.int32)
    for e in edge[:num_edges]:
        successor[free[source[e]]] = target[e]
        free[source[e]] += 1
    return start, successor


@inlined_loop
def _topological_order(start, successor):
    """Rows in an order in which every edge leads forward; shorter than the graph if there is a cycle (Kahn 1962)."""
    num_nodes = len(start) - 1
    missing = np.zeros(num_nodes, np.int32)
    for row in successor:
        missing[row] += 1
    order = np.empty(num_nodes, np.int32)
    found = 0
    for row in range(num_nodes):
        order[found] = row
        found += missing[row] == 0
    done = 0
    while done < found:
        row = order[done]
        done += 1
        for k in range(start[row], start[row + 1]):
            t = successor[k]
            missing[t] -= 1
            if missing[t] == 0:
                order[found] = t
                found += 1
    return order[:found]


@inlined_loop
def _spread(reached, start, successor):
    """Mark every row that a path leads to from the marked ones."""
    rows = np.empty(len(reached), np.int32)
    size = 0
    for row in range(len(reached)):
        if reached[row]:
            rows[size] = row
            size += 1
    while size:
        size -= 1
        row = rows[size]
        for k in range(start[row], start[row + 1]):
            t = successor[k]
            if not reached[t]:
                reached[t] = True
                rows[size] = t
                size += 1


@intrinsic
def _count_bits(typing_context, word):
    """Number of ones in 64 bits: one instruction of the processor."""

    def emit(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit


@inlined_loop
def _slot(number, num_slots):
    """Where the search for a number begins in a hash table of a power of two slots (Knuth 1998, section 6.4)."""
    return ((np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & np.uint64(num_slots - 1)


@inlined_loop
def _rows_of(wanted, ids, slots):
    """Row of every wanted id; as many as there are rows if there is none."""
    rows = np.empty(len(wanted), np.int32)
    for k in range(len(wanted)):
        slot = _slot(wanted[k], len(slots))
        while slots[slot] < len(ids) and ids[slots[slot]] != wanted[k]:
            slot = (slot + _ONE) & np.uint64(len(slots) - 1)
        rows[k] = slots[slot]
    return rows


@entry_point(_CACHE)
def rows_of_ends(ids, source, target):
    """Rows of the nodes that connections start and end at, by way of a hash table with linear probing."""
    num_slots = 2
    while num_slots < 2 * len(ids):
        num_slots *= 2
    slots = np.full(num_slots, len(ids), np.int32)
    for row in range(len(ids)):
        slot = _slot(ids[row], num_slots)
        while slots[slot] < len(ids):
            slot = (slot + _ONE) & np.uint64(num_slots - 1)
        slots[slot] = row
    return _rows_of(source, ids, slots), _rows_of(target, ids, slots)


@inlined_loop
def _close_ancestors(closed, bit, role, source, target):
    """Set, for every hidden row and output, the bits of its hidden ancestors and its own."""
    from_hidden = np.empty(len(source), np.bool_)
    for e in range(len(source)):
        from_hidden[e] = role[source[e]] == HIDDEN
    start, successor = _successors(len(role), source, target, from_hidden)
    # In topological order the ancestors of a row are complete when it is reached; its own bit joins them then.
    for row in _topological_order(start, successor):
        if bit[row] >= 0:
            closed[row, bit[row] // _WORD] |= _ONE << np.uint64(bit[row] % _WORD)
        for k in range(start[row], start[row + 1]):
            for word in range(closed.shape[1]):
                closed[successor[k], word] |= closed[row, word]


@entry_point(_CACHE)
def longest_path_layers(num_nodes, source, target):
    """Edges on the longest path that ends in each row; an empty array if there is a cycle."""
    start, successor = _successors(num_nodes, source, target, np.ones(len(source), np.bool_))
    order = _topological_order(start, successor)
    if len(order) < num_nodes:
        return np.empty(0, np.int32)
    layer = np.zeros(num_nodes, np.int32)
    for row in order:
        for k in range(start[row], start[row + 1]):
            t = successor[k]
            layer[t] = max(layer[t], layer[row] + 1)
    return layer


@entry_point(_CACHE)
def edge_between(start_row, goal_row, source, target):
    """First edge from one row to another one; -1 if there is none."""
    for e in range(len(source)):
        if source[e] == start_row and target[e] == goal_row:
            return e
    return -1


@entry_point(_CACHE)
def has_path(start_row, goal_row, num_nodes, source, target):
    """Whether a path leads from one row to another one, or they are the same."""
    reached = np.zeros(num_nodes, np.bool_)
    reached[start_row] = True
    start, successor = _successors(num_nodes, source, target, np.ones(len(source), np.bool_))
    _spread(reached, start, successor)
    return reached[goal_row]


@entry_point(_CACHE)
def active(role, source, target, enabled):
    """Nodes and connections on a path from an input to an output; see `topoevo.genome.Genome.active`."""
    num_nodes = len(role)
    passes = np.empty(len(source), np.bool_)
    for e in range(len(source)):
        passes[e] = enabled[e] and role[source[e]] != BIAS
    forward, backward = role == INPUT, role == OUTPUT
    start, successor = _successors(num_nodes, source, target, passes)
    _spread(forward, start, successor)
    start, predecessor = _successors(num_nodes, target, source, passes)
    _spread(backward, start, predecessor)
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
def sizes(role, source, target, enabled):
    """Count active connections from elsewhere than the bias node, those from there, active hidden nodes, and layers.

    Layers are those of `topoevo.genome.Genome.layers`, active or not. All is 0 if there is a cycle.
    """
    num_nodes = len(role)
    start, successor = _successors(num_nodes, source, target, enabled)
    order = _topological_order(start, successor)
    if len(order) < num_nodes:
        return 0, 0, 0, 0
    forward, backward, layer = role == INPUT, role == OUTPUT, np.zeros(num_nodes, np.int32)
    for row in order:
        for k in range(start[row], start[row + 1]):
            t = successor[k]
            forward[t] |= forward[row]
            layer[t] = max(layer[t], layer[row] + 1)
    for position in range(num_nodes - 1, -1, -1):
        row = order[position]
        for k in range(start[row], start[row + 1]):
            backward[row] |= backward[successor[k]]
    connections = from_bias = hidden = last = 0
    for row in range(num_nodes):
        is_hidden = role[row] == HIDDEN
        hidden += is_hidden & forward[row] & backward[row]
        last = max(last, max(layer[row], 1) * is_hidden)
        for k in range(start[row], start[row + 1]):
            t = successor[k]
            is_computed = (role[t] == OUTPUT) | ((role[t] == HIDDEN) & forward[t] & backward[t])
            connections += is_computed & forward[row]
            from_bias += is_computed & (role[row] == BIAS)
    return connections, from_bias, hidden, last + 2


@entry_point(_CACHE)
def open_pairs(role, source, target, enabled, output_connections):
    """Count the pairs of nodes that a connection may join.

    Returns the rows of all targets; for each row the set of targets that are closed to it, as bits; and the number of
    targets that are open to this row and those before it. Closed are, for a hidden node, its ancestors, itself, and
    the targets that it is connected to; for an input or the bias node the latter alone; for an output all. Disabled
    connections count for ancestry, because they may be enabled again.
    """
    num_nodes = len(role)
    bit = np.full(num_nodes, -1, np.int32)
    num_targets = 0
    for row in range(num_nodes):
        if role[row] == HIDDEN or (output_connections and role[row] == OUTPUT):
            bit[row] = num_targets
            num_targets += 1
    targets = np.empty(num_targets, np.int32)
    for row in range(num_nodes):
        if bit[row] >= 0:
            targets[bit[row]] = row
    closed = np.zeros((num_nodes, (num_targets + _WORD - 1) // _WORD), np.uint64)
    _close_ancestors(closed, bit, role, source, target)
    for e in range(len(source)):
        t = bit[target[e]]
        if enabled[e] and t >= 0:
            closed[source[e], t // _WORD] |= _ONE << np.uint64(t % _WORD)
    last = np.empty(num_nodes, np.int64)
    count = 0
    for row in range(num_nodes):
        if role[row] != OUTPUT:
            count += num_targets
            for word in range(closed.shape[1]):
                count -= np.int64(_count_bits(closed[row, word]))
        last[row] = count
    return targets, closed, last


@entry_point(_CACHE)
def open_pair(number, targets, closed, last):
    """Rows of one of the pairs that `open_pairs` has counted, by source, then by target."""
    source = np.searchsorted(last, number, side="right")
    rank = number - (last[source - 1] if source > 0 else 0)
    position = 0
    while True:
        if not (closed[source, position // _WORD] >> np.uint64(position % _WORD)) & _ONE:
            if rank == 0:
                return source, targets[position]
            rank -= 1
        position += 1


@entry_point(_CACHE)
def joinable(role, source, target, new_source, new_target, limit):
    """Positions of the first new connections, at most `limit`, that close no cycle with the others and each other.

    Between hidden nodes a new connection s → t closes one if t is among the ancestors of s; otherwise the ancestors of
    s join those of t and of all its descendants. No other connection can close one.
    """
    num_nodes = len(role)
    bit = np.full(num_nodes, -1, np.int32)
    num_hidden = 0
    for row in range(num_nodes):
        if role[row] == HIDDEN:
            bit[row] = num_hidden
            num_hidden += 1
    closed = np.zeros((num_nodes, (num_hidden + _WORD - 1) // _WORD), np.uint64)
    _close_ancestors(closed, bit, role, source, target)
    chosen = np.empty(len(new_source), np.int32)
    count = 0
    for position in range(len(new_source)):
        if count == limit:
            break
        s, t = new_source[position], new_target[position]
        if bit[s] >= 0 and bit[t] >= 0:
            word, place = bit[t] // _WORD, np.uint64(bit[t] % _WORD)
            if (closed[s, word] >> place) & _ONE:
                continue
            for row in range(num_nodes):
                if (closed[row, word] >> place) & _ONE:
                    for k in range(closed.shape[1]):
                        closed[row, k] |= closed[s, k]
        chosen[count] = position
        count += 1
    return chosen[:count]


def prepare() -> None:
    """Compile everything, or load it from the cache."""
    role = np.array([INPUT, OUTPUT], np.int8)
    source, target, disabled = np.zeros(1, np.int32), np.ones(1, np.int32), np.zeros(1, np.bool_)
    for array in (role, source, target, disabled):
        array.flags.writeable = False
    rows_of_ends(source, source, target)
    longest_path_layers(2, source, target)
    edge_between(0, 1, source, target)
    has_path(0, 1, 2, source, target)
    active(role, source, target, disabled)
    sizes(role, source, target, disabled)
    open_pair(0, *open_pairs(role, source, target, disabled, True))
    joinable(role, source, target, source, target, 1)
