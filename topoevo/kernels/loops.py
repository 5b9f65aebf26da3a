"""The loops over minibatches: what of the compiled backend is called from Python and cached on the disk.

Their parts are in `topoevo.kernels.passes`, `scoring` and `updates`. All are merged into the function that is called:
`topoevo.compilation` says why.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

from __future__ import annotations

import numpy as np

from topoevo.compilation import entry_point
from topoevo.kernels.lanes import LANES, aligned_rows, at
from topoevo.kernels.passes import (
    BLOCKS,
    backward_pass,
    blocks_together,
    clear_lanes,
    collect,
    direct_pass,
    forward_pass,
    hebbian_pass,
    output_products,
    places_of,
    products,
    products_of_blocks,
    replace_outputs_by_errors,
    rows_of_weighted_inputs,
    show_inputs,
    store_rows,
    sums_of_edges,
)
from topoevo.kernels.prefetch import fetching, nothing_to_fetch, pieces_of
from topoevo.kernels.scoring import accuracy_of, output_errors, scores, shape_losses
from topoevo.kernels.sources import CACHE
from topoevo.kernels.updates import add_to_average, learning_rate, shape_gradient, update

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@entry_point(CACHE)
def train(
    input_index, num_sources, num_outputs, activation, row_start, source, out_start, edge, out_target,
    weights, plastic, feedback, has_feedback, propagate, direct, hebbian, hebbian_lr, decorrelate,
    rule, lr, final_lr_ratio, schedule, first_decay, second_decay, epsilon, weight_decay, decoupled,
    max_grad_norm, grad_power, label_smoothing,
    steps_before, num_steps, age, first, second, averaged_from, weight_sum,
    inputs, labels, values, sizes, order, loss_kind, losses, accuracies,
):  # fmt: skip
    """Train; see `Kernel.train`. Returns the number of steps taken."""
    num_computed = len(activation)
    num_nodes = num_sources + num_computed
    num_edges = len(weights)
    first_output = num_nodes - num_outputs
    output_edges = np.arange(row_start[num_computed - num_outputs], num_edges)
    rows = np.arange(num_nodes)
    share = 0.5 if propagate else 1.0
    num_together = blocks_together(num_computed, num_edges) if propagate else 1
    activities = aligned_rows(num_together * num_nodes, LANES).reshape(num_together, num_nodes, LANES)
    activities[:] = _ONE
    errors = aligned_rows(num_outputs, LANES)
    places = np.empty((num_together, num_nodes), np.int64)
    for b in range(num_together):
        places[b] = places_of(activities[b])
    pieces = pieces_of(input_index, inputs)
    z_rows, num_z_rows = rows_of_weighted_inputs(activation)
    weighted_inputs = aligned_rows(num_z_rows, LANES)
    sums = sums_of_edges(num_edges if propagate else len(output_edges))
    changes, change = sums_of_edges(len(hebbian)), np.zeros(len(hebbian), np.float32)
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    answer = np.empty(LANES, np.int32)
    gradient = np.zeros(num_edges, np.float32)
    out_weights = np.empty(num_edges, np.float32)
    for step in range(len(order)):
        batch = order[step]
        n = sizes[batch]
        for k in range(num_edges):
            out_weights[k] = at(feedback, at(edge, k)) if has_feedback else at(weights, at(edge, k))
        loss, right = 0.0, 0
        following = order[min(step + 1, len(order) - 1)]
        for group in range(0, n, num_together * LANES):
            stop = min(group + num_together * LANES, n)
            num_blocks = (stop - group + LANES - 1) // LANES
            for b in range(num_blocks):
                y, y_places = activities[b], places[b]
                start = group + b * LANES
                size = min(LANES, n - start)
                show_inputs(input_index, inputs, batch, start, size, y, y_places)
                begin, end = group + share * (start - group), group + share * (start + size - group)
                forward_pass(
                    num_sources, activation, row_start, source, weights, z_rows, weighted_inputs, y, y_places,
                    fetching(pieces, inputs, following, begin / n, end / n, num_computed),
                )  # fmt: skip
                if len(hebbian):
                    clear_lanes(y, 0, size)
                    hebbian_pass(first_output, out_start, out_target, out_weights, y, y_places, decorrelate, changes)
                    y[len(input_index) : num_sources] = _ONE
                block_loss, block_right = scores(
                    loss_kind, y, num_outputs, labels[batch, 0], values[batch], start, size, top, total, answer
                )
                loss += block_loss
                right += block_right
                output_errors(
                    loss_kind, y, num_outputs, labels[batch, 0], values[batch], start, size, top, total,
                    label_smoothing, errors,
                )  # fmt: skip
                replace_outputs_by_errors(num_sources, num_outputs, activation, z_rows, weighted_inputs, y, errors)
                if not propagate:
                    output_products(num_outputs, row_start, source, y, y_places, sums)
                elif len(direct):
                    direct_pass(
                        num_sources, num_outputs, activation, out_start, out_target, direct, rows,
                        z_rows, weighted_inputs, y, errors, sums,
                    )  # fmt: skip
                else:
                    backward_pass(
                        num_sources, num_outputs, activation, out_start, out_target, out_weights, rows,
                        z_rows, weighted_inputs, y, errors, sums,
                    )  # fmt: skip
            if propagate and num_blocks == BLOCKS:
                products_of_blocks(
                    0, num_sources, out_start, out_target, activities, places, sums,
                    fetching(pieces, inputs, following, (group + share * (stop - group)) / n, stop / n, num_sources),
                )  # fmt: skip
            elif propagate:
                for b in range(num_blocks):
                    begin = group + share * (stop - group + b * LANES)
                    end = min(begin + share * LANES, stop)
                    products(
                        0, num_sources, out_start, out_target, activities[b], places[b], sums,
                        fetching(pieces, inputs, following, begin / n, end / n, num_sources),
                    )  # fmt: skip
        loss /= n
        if not np.isfinite(loss):
            return step
        losses[step], accuracies[step] = loss, accuracy_of(loss_kind, right, n)
        if propagate:
            collect(sums, edge, gradient)
        else:
            collect(sums, output_edges, gradient)
        mean = _ONE / np.float32(n)
        for e in range(num_edges):
            gradient[e] *= mean
        if len(hebbian):
            collect(changes, edge, change)
            rate = np.float32(hebbian_lr) * mean
            for e in range(num_edges):
                if hebbian[e]:
                    weights[e] += rate * change[e]
        shape_gradient(max_grad_norm, grad_power, gradient, plastic)
        update(
            rule, learning_rate(lr, final_lr_ratio, schedule, steps_before + step, num_steps), first_decay,
            second_decay, epsilon, weight_decay, decoupled, age + step + 1,
            first, second, weights, gradient, plastic,
        )  # fmt: skip
        add_to_average(steps_before + step, averaged_from, weights, weight_sum)
    return len(order)


@entry_point(CACHE)
def train_by_perturbations(
    input_index, num_sources, num_outputs, activation, row_start, source,
    weights, plastic, num_candidates, sigma, antithetic, shaping,
    rule, lr, final_lr_ratio, schedule, first_decay, second_decay, epsilon, weight_decay, decoupled,
    max_grad_norm, grad_power,
    steps_before, num_steps, age, first, second, averaged_from, weight_sum,
    inputs, labels, values, sizes, order, loss_kind, rng, losses, accuracies,
):  # fmt: skip
    """Train; see `Kernel.train_by_perturbations`. Returns the number of steps taken."""
    activities = aligned_rows(num_sources + len(activation), LANES)
    z_rows, num_z_rows = rows_of_weighted_inputs(activation)
    weighted_inputs = aligned_rows(num_z_rows, LANES)
    activities[:] = _ONE
    places = places_of(activities)
    nothing = nothing_to_fetch()
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    answer = np.empty(LANES, np.int32)
    learned = np.flatnonzero(plastic)
    num_noises = num_candidates // 2 if antithetic else num_candidates
    candidate = weights.copy()
    # The losses of the candidates, antithetic ones after all others, and last that of the network itself.
    found = np.empty(num_candidates + 1, np.float64)
    shaped = np.empty(num_candidates, np.float64)
    gradient = np.zeros(len(weights), np.float32)
    for step in range(len(order)):
        batch = order[step]
        n = sizes[batch]
        noise = rng.standard_normal((num_noises, len(learned)), dtype=np.float32)
        found[:] = 0.0
        right = 0
        for start in range(0, n, LANES):
            size = min(LANES, n - start)
            show_inputs(input_index, inputs, batch, start, size, activities, places)
            for i in range(num_candidates + 1):
                deviation = np.float32(sigma if i < num_noises else -sigma)
                if i == num_candidates:
                    deviation = _ZERO
                for k in range(len(learned)):
                    candidate[learned[k]] = weights[learned[k]] + deviation * noise[i % num_noises, k]
                forward_pass(
                    num_sources,
                    activation,
                    row_start,
                    source,
                    candidate,
                    z_rows,
                    weighted_inputs,
                    activities,
                    places,
                    nothing,
                )
                block_loss, block_right = scores(
                    loss_kind, activities, num_outputs, labels[batch, 0], values[batch], start, size,
                    top, total, answer,
                )  # fmt: skip
                found[i] += block_loss
                if i == num_candidates:
                    right += block_right
        found /= n
        if not np.isfinite(found).all():
            return step
        losses[step], accuracies[step] = found[num_candidates], accuracy_of(loss_kind, right, n)
        shape_losses(shaping, sigma, found[:num_candidates], shaped)
        gradient[:] = _ZERO
        for i in range(num_noises):
            opposite = shaped[num_noises + i] if antithetic else 0.0
            strength = np.float32((shaped[i] - opposite) / num_candidates)
            for k in range(len(learned)):
                gradient[learned[k]] += strength * noise[i, k]
        shape_gradient(max_grad_norm, grad_power, gradient, plastic)
        update(
            rule, learning_rate(lr, final_lr_ratio, schedule, steps_before + step, num_steps), first_decay,
            second_decay, epsilon, weight_decay, decoupled, age + step + 1,
            first, second, weights, gradient, plastic,
        )  # fmt: skip
        add_to_average(steps_before + step, averaged_from, weights, weight_sum)
    return len(order)


@entry_point(CACHE)
def train_by_proposals(
    input_index, num_sources, num_outputs, activation, row_start, source,
    weights, deviation, beta, num_per_step, target_acceptance, gain, scale,
    inputs, labels, values, sizes, order, loss_kind, rng, losses, accuracies, acceptances,
):  # fmt: skip
    """Train; see `Kernel.train_by_proposals`. Returns the number of steps taken and the scale reached."""
    activities = aligned_rows(num_sources + len(activation), LANES)
    z_rows, num_z_rows = rows_of_weighted_inputs(activation)
    weighted_inputs = aligned_rows(num_z_rows, LANES)
    activities[:] = _ONE
    places = places_of(activities)
    nothing = nothing_to_fetch()
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    answer = np.empty(LANES, np.int32)
    candidate = weights.copy()
    for step in range(len(order)):
        batch = order[step]
        n = sizes[batch]
        present = 0.0
        num_accepted = 0
        # The network itself, then the proposals.
        for i in range(num_per_step + 1):
            candidate[:] = weights
            if i > 0:
                noise = rng.standard_normal((len(weights),), dtype=np.float32)
                for e in range(len(weights)):
                    candidate[e] += np.float32(scale * deviation[e] * np.float64(noise[e]))
            proposed, right = 0.0, 0
            for start in range(0, n, LANES):
                size = min(LANES, n - start)
                show_inputs(input_index, inputs, batch, start, size, activities, places)
                forward_pass(
                    num_sources,
                    activation,
                    row_start,
                    source,
                    candidate,
                    z_rows,
                    weighted_inputs,
                    activities,
                    places,
                    nothing,
                )
                block_loss, block_right = scores(
                    loss_kind, activities, num_outputs, labels[batch, 0], values[batch], start, size,
                    top, total, answer,
                )  # fmt: skip
                proposed += block_loss
                right += block_right
            proposed /= n
            if i == 0:
                if not np.isfinite(proposed):
                    return step, scale
                present = proposed
                losses[step], accuracies[step] = proposed, accuracy_of(loss_kind, right, n)
                continue
            accepted = proposed <= present
            if beta < np.inf:
                draw = rng.random()
                # Written so that NaN is refused.
                accepted = accepted or draw < np.exp(-beta * (proposed - present))
            if accepted:
                weights[:] = candidate
                present = proposed
                num_accepted += 1
            if target_acceptance > 0.0:
                scale *= np.exp(gain * ((1.0 if accepted else 0.0) - target_acceptance))
        acceptances[step] = num_accepted / num_per_step
    return len(order), scale


@entry_point(CACHE)
def outputs(input_index, num_sources, num_outputs, activation, row_start, source, weights, inputs, sizes, outputs):
    """Output activities of all minibatches into `outputs` [num_outputs, num_samples]."""
    num_computed = len(activation)
    num_nodes = num_sources + num_computed
    activities = aligned_rows(num_nodes, LANES)
    z_rows, num_z_rows = rows_of_weighted_inputs(activation)
    weighted_inputs = aligned_rows(num_z_rows, LANES)
    activities[:] = _ONE
    places = places_of(activities)
    pieces = pieces_of(input_index, inputs)
    done = 0
    for batch in range(len(sizes)):
        n = sizes[batch]
        for start in range(0, n, LANES):
            size = min(LANES, n - start)
            show_inputs(input_index, inputs, batch, start, size, activities, places)
            following = min(batch + 1, len(sizes) - 1)
            forward_pass(
                num_sources, activation, row_start, source, weights, z_rows, weighted_inputs, activities, places,
                fetching(pieces, inputs, following, start / n, min((start + LANES) / n, 1.0), num_computed),
            )  # fmt: skip
            store_rows(activities, num_nodes - num_outputs, outputs, done + start, size)
        done += n
