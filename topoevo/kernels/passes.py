"""The loops of the compiled backend: one function is one loop nest with a name from the theory.

They work on one block of a minibatch at a time, `LANES` samples side by side: a matrix is [row, LANES], and one row of
it fits into vector registers (`topoevo.kernels.lanes`). A node's row holds its activities and then, once nothing needs
these any more, its errors. Products of edges add up over blocks in `sums` [edge, SUMS].
Every function has its twin in `topoevo.kernels.reference`.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, var-annotated, unreachable"

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.compilation import inlined_loop
from topoevo.kernels import elementary
from topoevo.kernels.lanes import (
    LANES,
    SUMS,
    add_product,
    add_products,
    add_scaled,
    add_up,
    aligned_rows,
    at,
    load,
    load_from,
    rectified,
    store,
    times_step,
    zeros,
)
from topoevo.kernels.prefetch import fetch

#: Blocks whose products are computed together.
BLOCKS = 4

LINEAR, RELU = (ACTIVATIONS[name].code for name in ("linear", "relu"))
_ZERO = np.float32(0.0)


# -- activations ------------------------------------------------------------------------------------------------


def _vectorizing(function: Callable[..., Any]) -> Any:
    """`function` compiled with numpy's elementary functions replaced by vectorizing ones."""
    rebound = FunctionType(function.__code__, {**function.__globals__, "np": elementary}, function.__name__)
    return njit(fastmath={"contract"}, error_model="numpy", forceinline=True)(rebound)


def _activate_one_of(table):
    """Loop ``activate(code, weighted_inputs, node, activities, row)`` that knows the given activations."""

    @inlined_loop
    def unknown(code, weighted_inputs, node, activities, row):
        for j in range(LANES):
            activities[row, j] = np.float32(np.nan)

    def also(known, value, otherwise):
        @inlined_loop
        def activate(code, weighted_inputs, node, activities, row):
            if code == known:
                for j in range(LANES):
                    activities[row, j] = value(weighted_inputs[node, j])
            else:
                otherwise(code, weighted_inputs, node, activities, row)

        return activate

    chain = unknown
    for activation in reversed(table):
        chain = also(activation.code, _vectorizing(activation.value), chain)
    return chain


def _apply_slope_of(table):
    """Loop ``apply_slope(code, weighted_inputs, node, activities, row, errors, k)``: row k of errors times dy/dz."""

    @inlined_loop
    def unknown(code, weighted_inputs, node, activities, row, errors, k):
        pass

    def also(known, derivative, otherwise):
        @inlined_loop
        def apply_slope(code, weighted_inputs, node, activities, row, errors, k):
            if code == known:
                for j in range(LANES):
                    errors[k, j] *= derivative(weighted_inputs[node, j], activities[row, j])
            else:
                otherwise(code, weighted_inputs, node, activities, row, errors, k)

        return apply_slope

    chain = unknown
    for activation in reversed(table):
        chain = also(activation.code, _vectorizing(activation.derivative), chain)
    return chain


activate = _activate_one_of(ACTIVATIONS_BY_CODE)
apply_slope = _apply_slope_of(ACTIVATIONS_BY_CODE)


#: Whether the slope of each activation function is not told by the activity alone.
_SLOPE_NEEDS_Z = np.array([not activation.slope_from_activity for activation in ACTIVATIONS_BY_CODE])


@inlined_loop
def rows_of_weighted_inputs(activation):
    """In which row each computed node leaves its weighted input, and the number of rows.

    Row 0 is shared by all nodes whose slope their activity tells. A row of its own costs each of them as much as two
    edges, for writing to what is not in the first cache is slow.
    """
    z_rows, num_rows = np.zeros(len(activation), np.int64), 1
    for node in range(len(activation)):
        if _SLOPE_NEEDS_Z[activation[node]]:
            z_rows[node] = num_rows
            num_rows += 1
    return z_rows, num_rows


# -- blocks of samples ------------------------------------------------------------------------------------------


@inlined_loop
def places_of(activities):
    """Where the activities of each row lie, int64 [row]; `show_inputs` changes those of inputs."""
    places = np.empty(len(activities), np.int64)
    for row in range(len(activities)):
        places[row] = activities.ctypes.data + 4 * LANES * row
    return places


@inlined_loop
def load_inputs(input_index, inputs, batch, first, size, activities):
    """Activities of the input rows.

    Lanes beyond the block's size repeat its first sample, so that they are no harder to compute than a real one.
    """
    for i in range(len(input_index)):
        k = at(input_index, i)
        for j in range(size):
            activities[i, j] = inputs[batch, k, first + j]
        for j in range(size, LANES):
            activities[i, j] = inputs[batch, k, first]


@inlined_loop
def show_inputs(input_index, inputs, batch, first, size, activities, places):
    """Let `places` tell where a block's input rows lie: in the minibatch, or in a copy if the block is not full."""
    own = activities.ctypes.data
    start = inputs.ctypes.data + 4 * (batch * inputs.shape[1] * inputs.shape[2] + first)
    if size < LANES:
        load_inputs(input_index, inputs, batch, first, size, activities)
    for i in range(len(input_index)):
        places[i] = own + 4 * LANES * i if size < LANES else start + 4 * inputs.shape[2] * at(input_index, i)


@inlined_loop
def load_rows(matrix, first, size, rows):
    """Rows of a whole matrix [row, sample] into a block; 0 beyond its size."""
    for row in range(len(rows)):
        for j in range(size):
            rows[row, j] = matrix[row, first + j]
        for j in range(size, LANES):
            rows[row, j] = _ZERO


@inlined_loop
def store_rows(rows, first_row, matrix, first, size):
    """Rows of a block, from `first_row` on, into a whole matrix [row, sample]."""
    for row in range(len(matrix)):
        for j in range(size):
            matrix[row, first + j] = rows[first_row + row, j]


@inlined_loop
def clear_lanes(rows, first_row, size):
    """Zero beyond a block's size, so that those lanes add nothing to products."""
    for row in range(first_row, len(rows)):
        for j in range(size, LANES):
            rows[row, j] = _ZERO


@inlined_loop
def sums_of_edges(num_edges):
    """Running sums of products, zeros [edge, SUMS]; there are more rows, so that `collect` can take `SUMS` at once."""
    return aligned_rows((num_edges + SUMS - 1) // SUMS * SUMS, SUMS)


@inlined_loop
def collect(sums, edge, gradient):
    """gradient[edge[k]] = what has added up in row k of the sums, which start from zero again."""
    totals = np.empty(len(sums), np.float32)
    for k in range(0, len(sums), SUMS):
        add_up(sums, k, totals)
    for k in range(len(edge)):
        gradient[at(edge, k)] = totals[k]


# -- passes over one block --------------------------------------------------------------------------------------


@inlined_loop
def forward_pass(
    num_sources, activation, row_start, source, weights, z_rows, weighted_inputs, activities, places, to_fetch
):
    """Activities of the computed nodes; the rows of inputs and bias are set by the caller."""
    for node in range(len(activation)):
        fetch(to_fetch, node)
        z = zeros()
        for e in range(at(row_start, node), at(row_start, node + 1)):
            z = add_scaled(z, at(weights, e), load_from(places, at(source, e)))
        code, z_row, row = at(activation, node), at(z_rows, node), num_sources + node
        if z_row > 0 or (code != RELU and code != LINEAR):
            store(weighted_inputs, z_row, z)
        # What the activation is of stays in registers: 10 to 15 % of a training.
        if code == RELU:
            store(activities, row, rectified(z))
        elif code == LINEAR:
            store(activities, row, z)
        else:
            activate(code, weighted_inputs, np.uintp(z_row), activities, np.uintp(row))


@inlined_loop
def _replace_by_error(code, z_row, weighted_inputs, activities, row, error, errors, k):
    """Let a node's error take the place of its activity; row `k` of `errors` is for calculating."""
    if code == RELU:
        store(activities, row, times_step(error, load(activities, row)))
    elif code == LINEAR:
        store(activities, row, error)
    else:
        if z_row == 0:
            store(weighted_inputs, 0, load(activities, row))
        store(errors, k, error)
        apply_slope(code, weighted_inputs, np.uintp(z_row), activities, np.uintp(row), errors, np.uintp(k))
        store(activities, row, load(errors, k))


@inlined_loop
def replace_outputs_by_errors(num_sources, num_outputs, activation, z_rows, weighted_inputs, activities, errors):
    """Let the errors of the outputs, from those of their activities, take the place of these."""
    for k in range(num_outputs):
        row = len(activities) - num_outputs + k
        node = row - num_sources
        _replace_by_error(
            at(activation, node), at(z_rows, node), weighted_inputs, activities, row, load(errors, k), errors, k
        )


@inlined_loop
def products(first_row, stop_row, out_start, out_target, errors, places, sums, to_fetch):
    """g = sum over samples of error(target) x(row), for the edges out of some rows."""
    for row in range(first_row, stop_row):
        fetch(to_fetch, row - first_row)
        x = load_from(places, row)
        for k in range(at(out_start, row), at(out_start, row + 1)):
            add_product(sums, k, load(errors, at(out_target, k)), x)


@inlined_loop
def blocks_together(num_computed, num_edges):
    """How many blocks' products are computed together.

    In a dense network running sums are most of what comes and goes (20 % of a training with 500 hidden nodes); in a
    sparse one it is the rows of nodes, and more blocks of them would leave no room in the second cache.
    """
    return BLOCKS if num_edges > 16 * num_computed else 1


@inlined_loop
def products_of_blocks(first_row, stop_row, out_start, out_target, errors, places, sums, to_fetch):
    """`products` of `BLOCKS` blocks at once, so that running sums come and go once for all of them."""
    first, second, third, fourth = errors[0], errors[1], errors[2], errors[3]
    for row in range(first_row, stop_row):
        fetch(to_fetch, row - first_row)
        x = load_from(places[0], row), load_from(places[1], row), load_from(places[2], row), load_from(places[3], row)
        for k in range(at(out_start, row), at(out_start, row + 1)):
            t = at(out_target, k)
            add_products(sums, k, (load(first, t), load(second, t), load(third, t), load(fourth, t)), x)


@inlined_loop
def backward_pass(
    num_sources, num_outputs, activation, out_start, out_target, out_feedback, rows,
    z_rows, weighted_inputs, activities, errors, sums,
):  # fmt: skip
    """Errors of hidden nodes from those of the outputs, and the products of the edges out of them.

    `rows` is 0, 1, 2, ...: to the compiler, a loop that counts rows down is one where vectors may overlap.
    """
    num_hidden = len(activation) - num_outputs
    for i in range(num_hidden):
        row = at(rows, num_sources + num_hidden - 1 - i)
        x = load(activities, row)
        error = zeros()
        for k in range(at(out_start, row), at(out_start, row + 1)):
            d = load(activities, at(out_target, k))
            error = add_scaled(error, at(out_feedback, k), d)
            add_product(sums, k, d, x)
        node = row - num_sources
        _replace_by_error(at(activation, node), at(z_rows, node), weighted_inputs, activities, row, error, errors, 0)


@inlined_loop
def direct_pass(
    num_sources, num_outputs, activation, out_start, out_target, direct, rows,
    z_rows, weighted_inputs, activities, errors, sums,
):  # fmt: skip
    """Errors of hidden nodes straight from those of the outputs, and the products of the edges out of them.

    `rows` is that of `backward_pass`.
    """
    first_output = len(activities) - num_outputs
    num_hidden = len(activation) - num_outputs
    for i in range(num_hidden):
        row = at(rows, num_sources + num_hidden - 1 - i)
        node = row - num_sources
        x = load(activities, row)
        for k in range(at(out_start, row), at(out_start, row + 1)):
            add_product(sums, k, load(activities, at(out_target, k)), x)
        error = zeros()
        for k in range(num_outputs):
            error = add_scaled(error, direct[node, k], load(activities, first_output + k))
        _replace_by_error(at(activation, node), at(z_rows, node), weighted_inputs, activities, row, error, errors, 0)


@inlined_loop
def output_products(num_outputs, row_start, source, errors, places, sums):
    """The products of the edges into outputs alone; row k of the sums is the k-th of those edges."""
    num_computed = len(row_start) - 1
    first = len(errors) - num_computed
    first_edge = at(row_start, num_computed - num_outputs)
    for node in range(num_computed - num_outputs, num_computed):
        d = load(errors, first + node)
        for e in range(at(row_start, node), at(row_start, node + 1)):
            add_product(sums, e - first_edge, d, load_from(places, at(source, e)))


@inlined_loop
def hebbian_pass(first_output, out_start, out_target, out_weights, activities, places, decorrelate, sums):
    """Sum over samples of y (x - what is known of x), for the edges into hidden nodes; see `Kernel.hebbian_changes`."""
    for row in range(first_output):
        x = load_from(places, row)
        rest = x
        for k in range(at(out_start, row), at(out_start, row + 1)):
            if at(out_target, k) < first_output:
                y = load(activities, at(out_target, k))
                rest = add_scaled(rest if decorrelate else x, -at(out_weights, k), y)
                add_product(sums, k, y, rest)
