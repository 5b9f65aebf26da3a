"""One step of a network in many lanes, each with inputs and weights of its own."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

from __future__ import annotations

import numpy as np

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.compilation import inlined_loop
from topoevo.kernels import elementary
from topoevo.rollouts.plain_functions import compiled

#: Lanes that are computed together.
LANES = 32
_ZERO = np.float32(0.0)


def _activate_one_of(table):
    """Loop ``activate(code, rows, row)``, in place, that knows the given activations."""

    @inlined_loop
    def unknown(code, rows, row):
        for j in range(LANES):
            rows[row, j] = np.float32(np.nan)

    def also(known, value, otherwise):
        @inlined_loop
        def activate(code, rows, row):
            if code == known:
                for j in range(LANES):
                    rows[row, j] = value(rows[row, j])
            else:
                otherwise(code, rows, row)

        return activate

    chain = unknown
    for activation in reversed(table):
        chain = also(activation.code, compiled(activation.value, np=elementary), chain)
    return chain


activate = _activate_one_of(ACTIVATIONS_BY_CODE)


@inlined_loop
def sum_of_sources(source, start, stop, rows, row):
    """z = sum over edges of x, two edges at a time."""
    for j in range(LANES):
        rows[row, j] = rows[source[start], j] if (stop - start) % 2 else _ZERO
    for e in range(start + (stop - start) % 2, stop, 2):
        first, second = source[e], source[e + 1]
        for j in range(LANES):
            rows[row, j] += rows[first, j] + rows[second, j]


@inlined_loop
def weighted_sum(source, start, stop, weights, rows, row):
    """z = sum over edges of w x."""
    for j in range(LANES):
        rows[row, j] = _ZERO
    for e in range(start, stop):
        k = source[e]
        for j in range(LANES):
            rows[row, j] += weights[e, j] * rows[k, j]


@inlined_loop
def lane_pass(num_sources, activation, row_start, source, shared, weights, rows):
    """Activities of the computed nodes: y = f(sum of w x), or f(w sum of x) with one weight for all edges.

    Edges are added up in the same order in all lanes.

    Parameters
    ----------
    shared
        Whether `weights` has one row for all edges.
    weights
        float32 [1 or num_edges, LANES].
    rows
        Activities, float32 [num_nodes, LANES]; those of inputs and bias are given.
    """
    for node in range(len(activation)):
        row = num_sources + node
        if shared:
            sum_of_sources(source, row_start[node], row_start[node + 1], rows, row)
            for j in range(LANES):
                rows[row, j] *= weights[0, j]
        else:
            weighted_sum(source, row_start[node], row_start[node + 1], weights, rows, row)
        activate(activation[node], rows, row)


@inlined_loop
def choose_actions(discrete, outputs, actions):
    """Index of the largest output, the first of equal ones, or outputs clipped to -1 … 1; never NaN."""
    if discrete:
        for j in range(LANES):
            largest, index = outputs[0, j], 0
            for k in range(1, len(outputs)):
                if outputs[k, j] > largest:
                    largest, index = outputs[k, j], k
            actions[0, j] = index
    else:
        for k in range(len(outputs)):
            for j in range(LANES):
                y = np.float64(outputs[k, j])
                y = y if y > -1.0 else -1.0
                actions[k, j] = y if y < 1.0 else 1.0


@inlined_loop
def check_finite(rows, faults):
    """Lanes with a number that is not finite are no longer 0: 0 x is NaN for infinity and NaN."""
    for i in range(len(rows)):
        for j in range(LANES):
            faults[j] += _ZERO * rows[i, j]
