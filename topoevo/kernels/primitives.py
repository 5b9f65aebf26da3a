"""The primitives one by one, on whole matrices [row, sample]: for those who look into a network.

Trainings are in `topoevo.kernels.loops`.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

from __future__ import annotations

import numpy as np

from topoevo.compilation import entry_point
from topoevo.kernels import scoring, updates
from topoevo.kernels.lanes import LANES, aligned_rows
from topoevo.kernels.passes import (
    backward_pass,
    collect,
    direct_pass,
    forward_pass,
    hebbian_pass,
    load_inputs,
    load_rows,
    places_of,
    products,
    replace_outputs_by_errors,
    store_rows,
    sums_of_edges,
)
from topoevo.kernels.prefetch import nothing_to_fetch
from topoevo.kernels.scoring import scores
from topoevo.kernels.sources import CACHE
from topoevo.kernels.updates import shape_gradient

_ONE = np.float32(1.0)


@entry_point(CACHE)
def forward(
    input_index, num_sources, num_outputs, activation, row_start, source, weights, inputs,
    all_weighted_inputs, all_activities,
):  # fmt: skip
    """See `Kernel.forward`."""
    num_computed = len(activation)
    activities = aligned_rows(num_sources + num_computed, LANES)
    activities[:] = _ONE
    places, nothing = places_of(activities), nothing_to_fetch()
    # Row 0 is what `backward_pass` takes for a node without a row of its own.
    z_rows, weighted_inputs = np.arange(1, num_computed + 1), aligned_rows(num_computed + 1, LANES)
    n = inputs.shape[2]
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_inputs(input_index, inputs, 0, start, size, activities)
        forward_pass(
            num_sources, activation, row_start, source, weights, z_rows, weighted_inputs, activities, places, nothing
        )
        store_rows(weighted_inputs, 1, all_weighted_inputs, start, size)
        store_rows(activities, 0, all_activities, start, size)


@entry_point(CACHE)
def output_errors(loss_kind, outputs, labels, values, label_smoothing, all_errors):
    """See `Kernel.output_errors`."""
    num_outputs, n = outputs.shape
    rows, errors = aligned_rows(num_outputs, LANES), aligned_rows(num_outputs, LANES)
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    answer = np.empty(LANES, np.int32)
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_rows(outputs, start, size, rows)
        scores(loss_kind, rows, num_outputs, labels[0], values, start, size, top, total, answer)
        scoring.output_errors(
            loss_kind, rows, num_outputs, labels[0], values, start, size, top, total, label_smoothing, errors
        )
        store_rows(errors, 0, all_errors, start, size)


@entry_point(CACHE)
def backward(
    num_sources, num_outputs, activation, out_start, edge, out_target, feedback, direct,
    all_weighted_inputs, all_activities, all_errors,
):  # fmt: skip
    """See `Kernel.backward` and `Kernel.direct_errors`; `all_errors` holds the output errors before."""
    num_nodes, n = all_activities.shape
    activities, errors = aligned_rows(num_nodes, LANES), aligned_rows(num_outputs, LANES)
    z_rows, weighted_inputs = np.arange(1, len(activation) + 1), aligned_rows(len(activation) + 1, LANES)
    sums = sums_of_edges(len(edge))
    rows = np.arange(num_nodes)
    out_feedback = np.zeros(len(edge), np.float32)
    for k in range(len(feedback)):
        out_feedback[k] = feedback[edge[k]]
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_rows(all_activities, start, size, activities)
        load_rows(all_weighted_inputs, start, size, weighted_inputs[1:])
        load_rows(all_errors[num_nodes - num_outputs :], start, size, errors)
        replace_outputs_by_errors(num_sources, num_outputs, activation, z_rows, weighted_inputs, activities, errors)
        if len(direct):
            direct_pass(
                num_sources, num_outputs, activation, out_start, out_target, direct, rows,
                z_rows, weighted_inputs, activities, errors, sums,
            )  # fmt: skip
        else:
            backward_pass(
                num_sources, num_outputs, activation, out_start, out_target, out_feedback, rows,
                z_rows, weighted_inputs, activities, errors, sums,
            )  # fmt: skip
        store_rows(activities, num_sources, all_errors[num_sources:], start, size)


@entry_point(CACHE)
def edge_products(out_start, edge, out_target, all_errors, all_activities, gradient):
    """See `Kernel.edge_products`."""
    num_nodes, n = all_activities.shape
    activities, errors = aligned_rows(num_nodes, LANES), aligned_rows(num_nodes, LANES)
    sums = sums_of_edges(len(edge))
    places, nothing = places_of(activities), nothing_to_fetch()
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_rows(all_activities, start, size, activities)
        load_rows(all_errors, start, size, errors)
        products(0, num_nodes, out_start, out_target, errors, places, sums, nothing)
    collect(sums, edge, gradient)


@entry_point(CACHE)
def hebbian_changes(first_output, out_start, edge, out_target, weights, all_activities, decorrelate, change):
    """See `Kernel.hebbian_changes`."""
    num_nodes, n = all_activities.shape
    activities, sums = aligned_rows(num_nodes, LANES), sums_of_edges(len(edge))
    places = places_of(activities)
    out_weights = weights[edge]
    for start in range(0, n, LANES):
        load_rows(all_activities, start, min(LANES, n - start), activities)
        hebbian_pass(first_output, out_start, out_target, out_weights, activities, places, decorrelate, sums)
    collect(sums, edge, change)


@entry_point(CACHE)
def update(
    rule, lr, first_decay, second_decay, epsilon, weight_decay, decoupled, max_grad_norm, grad_power, step,
    first, second, weights, gradient, plastic,
):  # fmt: skip
    """See `Kernel.update`; `gradient` is changed, too."""
    shape_gradient(max_grad_norm, grad_power, gradient, plastic)
    updates.update(
        rule, lr, first_decay, second_decay, epsilon, weight_decay, decoupled, step,
        first, second, weights, gradient, plastic,
    )  # fmt: skip
