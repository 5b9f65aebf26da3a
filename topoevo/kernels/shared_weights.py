"""The loops of weight-agnostic networks: all connections have one weight, and several such weights are tried.

A node is act(w Σ y) (Gaier & Ha 2019, arXiv 1906.04358, section 3.1): there are no weights to load, and the sum over
the inputs that a node hears is the same for every w. It is computed once for a block of samples, the rest for each
weight. Blocks are those of `topoevo.kernels.loops`; a sample's result does not depend on the block it is in.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, var-annotated, unreachable"

from __future__ import annotations

import numpy as np

from topoevo.compilation import cache_directory, entry_point, inlined_loop
from topoevo.kernels.lanes import LANES, add_scaled, aligned_rows, load, store, zeros
from topoevo.kernels.passes import activate, load_inputs, store_rows
from topoevo.kernels.scoring import accuracy_of, scores
from topoevo.kernels.sources import SOURCES

_CACHE = cache_directory(*SOURCES, __file__)
_ONE = np.float32(1.0)


@inlined_loop
def first_computed_edges(num_sources, row_start, source):
    """The first edge of each computed node that comes from a computed node, int32 [num_computed]."""
    first = np.empty(len(row_start) - 1, np.int32)
    for node in range(len(first)):
        e = row_start[node]
        while e < row_start[node + 1] and source[e] < num_sources:
            e += 1
        first[node] = e
    return first


@inlined_loop
def given_sums(row_start, first_computed, source, activities, sums):
    """Sum over the inputs and the bias that each node hears."""
    for node in range(len(first_computed)):
        z = zeros()
        for e in range(row_start[node], first_computed[node]):
            z = add_scaled(z, _ONE, load(activities, source[e]))
        store(sums, node, z)


@inlined_loop
def shared_weight_pass(
    weight, num_sources, activation, row_start, first_computed, source, sums, weighted_inputs, activities
):
    """Activities of the computed nodes under one weight, from the `sums` over what is given."""
    for node in range(len(activation)):
        z = load(sums, node)
        for e in range(first_computed[node], row_start[node + 1]):
            z = add_scaled(z, _ONE, load(activities, source[e]))
        store(weighted_inputs, node, add_scaled(zeros(), weight, z))
        activate(activation[node], weighted_inputs, node, activities, num_sources + node)


@entry_point(_CACHE)
def shared_weight_outputs(
    input_index, num_sources, num_outputs, activation, row_start, source, shared_weights, inputs, sizes, outputs
):
    """Output activities under every weight into `outputs` [num_weights, num_outputs, num_samples]."""
    num_computed = len(activation)
    num_nodes = num_sources + num_computed
    activities = aligned_rows(num_nodes, LANES)
    weighted_inputs, sums = aligned_rows(num_computed, LANES), aligned_rows(num_computed, LANES)
    activities[:] = _ONE
    first_computed = first_computed_edges(num_sources, row_start, source)
    done = 0
    for batch in range(len(sizes)):
        n = sizes[batch]
        for start in range(0, n, LANES):
            size = min(LANES, n - start)
            load_inputs(input_index, inputs, batch, start, size, activities)
            given_sums(row_start, first_computed, source, activities, sums)
            for i in range(len(shared_weights)):
                shared_weight_pass(
                    shared_weights[i], num_sources, activation, row_start, first_computed, source, sums,
                    weighted_inputs, activities,
                )  # fmt: skip
                store_rows(activities, num_nodes - num_outputs, outputs[i], done + start, size)
        done += n


@entry_point(_CACHE)
def shared_weight_scores(
    input_index, num_sources, num_outputs, activation, row_start, source, shared_weights,
    inputs, labels, values, sizes, loss_kind, losses, accuracies,
):  # fmt: skip
    """Mean loss and accuracy under every weight into `losses` and `accuracies` [num_weights]."""
    num_computed = len(activation)
    activities = aligned_rows(num_sources + num_computed, LANES)
    weighted_inputs, sums = aligned_rows(num_computed, LANES), aligned_rows(num_computed, LANES)
    activities[:] = _ONE
    first_computed = first_computed_edges(num_sources, row_start, source)
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    answer = np.empty(LANES, np.int32)
    num_right = np.zeros(len(shared_weights), np.int64)
    losses[:] = 0.0
    num_samples = 0
    for batch in range(len(sizes)):
        n = sizes[batch]
        num_samples += n
        for start in range(0, n, LANES):
            size = min(LANES, n - start)
            load_inputs(input_index, inputs, batch, start, size, activities)
            given_sums(row_start, first_computed, source, activities, sums)
            for i in range(len(shared_weights)):
                shared_weight_pass(
                    shared_weights[i], num_sources, activation, row_start, first_computed, source, sums,
                    weighted_inputs, activities,
                )  # fmt: skip
                loss, right = scores(
                    loss_kind, activities, num_outputs, labels[batch, 0], values[batch], start, size,
                    top, total, answer,
                )  # fmt: skip
                losses[i] += loss
                num_right[i] += right
    for i in range(len(shared_weights)):
        losses[i] /= num_samples
        accuracies[i] = accuracy_of(loss_kind, num_right[i], num_samples)
