"""The loops of the compiled backend: one function is one loop nest with a name from the theory.

Each loop runs over the samples of a minibatch, which are contiguous, and handles several edges at a time so that a
row that stays the same is loaded once. Every function has its twin in `topoevo.kernels.reference`.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.compilation import inlined_loop
from topoevo.kernels import elementary
from topoevo.kernels.base import Loss, Schedule, Shaping, UpdateRule
from topoevo.kernels.prefetch import LINE, prefetch

_SGD, _ADAM, _RMSPROP, _NONE = (
    int(rule) for rule in (UpdateRule.SGD, UpdateRule.ADAM, UpdateRule.RMSPROP, UpdateRule.NONE)
)
_CROSS_ENTROPY, _MEAN_SQUARED_ERROR = int(Loss.CROSS_ENTROPY), int(Loss.MEAN_SQUARED_ERROR)
_CLASS_SQUARED_ERROR = int(Loss.CLASS_SQUARED_ERROR)
_RAW, _STANDARDIZED = int(Shaping.RAW), int(Shaping.STANDARDIZED)
_COSINE = int(Schedule.COSINE)
LINEAR = 0
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


# -- activations ------------------------------------------------------------------------------------------------


def _vectorizing(function: Callable[..., Any]) -> Any:
    """`function` compiled with numpy's elementary functions replaced by vectorizing ones."""
    rebound = FunctionType(function.__code__, {**function.__globals__, "np": elementary}, function.__name__)
    return njit(fastmath={"contract"}, error_model="numpy", forceinline=True)(rebound)


def _activate_one_of(table):
    """Loop ``activate(code, weighted_inputs, node, activities, row, n)`` that knows the given activations."""

    @inlined_loop
    def unknown(code, weighted_inputs, node, activities, row, n):
        for j in range(n):
            activities[row, j] = np.float32(np.nan)

    def also(known, value, otherwise):
        @inlined_loop
        def activate(code, weighted_inputs, node, activities, row, n):
            if code == known:
                for j in range(n):
                    activities[row, j] = value(weighted_inputs[node, j])
            else:
                otherwise(code, weighted_inputs, node, activities, row, n)

        return activate

    chain = unknown
    for activation in reversed(table):
        chain = also(activation.code, _vectorizing(activation.value), chain)
    return chain


def _apply_slope_of(table):
    """Loop ``apply_slope(code, weighted_inputs, node, activities, row, errors, n)``: errors times dy/dz, in place."""

    @inlined_loop
    def unknown(code, weighted_inputs, node, activities, row, errors, n):
        pass

    def also(known, derivative, otherwise):
        @inlined_loop
        def apply_slope(code, weighted_inputs, node, activities, row, errors, n):
            if code == known:
                for j in range(n):
                    errors[row, j] *= derivative(weighted_inputs[node, j], activities[row, j])
            else:
                otherwise(code, weighted_inputs, node, activities, row, errors, n)

        return apply_slope

    chain = unknown
    for activation in reversed(table):
        chain = also(activation.code, _vectorizing(activation.derivative), chain)
    return chain


activate = _activate_one_of(ACTIVATIONS_BY_CODE)
apply_slope = _apply_slope_of(ACTIVATIONS_BY_CODE)


# -- passes over one minibatch ----------------------------------------------------------------------------------


@inlined_loop
def _weighted_input(weighted_inputs, node, activities, source, weights, start, stop, n):
    """z = sum over edges of w x."""
    for j in range(n):
        weighted_inputs[node, j] = _ZERO
    e = start
    while e + 8 <= stop:
        s0, s1, s2, s3 = source[e], source[e + 1], source[e + 2], source[e + 3]
        s4, s5, s6, s7 = source[e + 4], source[e + 5], source[e + 6], source[e + 7]
        w0, w1, w2, w3 = weights[e], weights[e + 1], weights[e + 2], weights[e + 3]
        w4, w5, w6, w7 = weights[e + 4], weights[e + 5], weights[e + 6], weights[e + 7]
        for j in range(n):
            weighted_inputs[node, j] += (
                w0 * activities[s0, j]
                + w1 * activities[s1, j]
                + w2 * activities[s2, j]
                + w3 * activities[s3, j]
                + w4 * activities[s4, j]
                + w5 * activities[s5, j]
                + w6 * activities[s6, j]
                + w7 * activities[s7, j]
            )
        e += 8
    while e + 2 <= stop:
        s0, s1 = source[e], source[e + 1]
        w0, w1 = weights[e], weights[e + 1]
        for j in range(n):
            weighted_inputs[node, j] += w0 * activities[s0, j] + w1 * activities[s1, j]
        e += 2
    if e < stop:
        s0, w0 = source[e], weights[e]
        for j in range(n):
            weighted_inputs[node, j] += w0 * activities[s0, j]


@inlined_loop
def load_inputs(input_index, inputs, batch, next_batch, n, activities):
    """Activities of the input rows; meanwhile the next minibatch is fetched into the cache."""
    for i in range(len(input_index)):
        k = input_index[i]
        for j in range(0, inputs.shape[2], LINE):
            prefetch(inputs, next_batch, k, j)
        for j in range(n):
            activities[i, j] = inputs[batch, k, j]


@inlined_loop
def forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities):
    """Activities of the computed nodes; the rows of inputs and bias are set by the caller."""
    for node in range(len(activation)):
        _weighted_input(weighted_inputs, node, activities, source, weights, row_start[node], row_start[node + 1], n)
        activate(activation[node], weighted_inputs, node, activities, num_sources + node, n)


@inlined_loop
def products(gradient, errors, activities, row, target, edge, start, stop, n):
    """g = sum over samples of error(target) x(row), for the edges out of one row."""
    k = start
    while k + 4 <= stop:
        e0, e1, e2, e3 = edge[k], edge[k + 1], edge[k + 2], edge[k + 3]
        t0, t1, t2, t3 = target[e0], target[e1], target[e2], target[e3]
        g0 = g1 = g2 = g3 = _ZERO
        for j in range(n):
            x = activities[row, j]
            g0 += errors[t0, j] * x
            g1 += errors[t1, j] * x
            g2 += errors[t2, j] * x
            g3 += errors[t3, j] * x
        gradient[e0], gradient[e1], gradient[e2], gradient[e3] = g0, g1, g2, g3
        k += 4
    while k < stop:
        e0 = edge[k]
        t0 = target[e0]
        g0 = _ZERO
        for j in range(n):
            g0 += errors[t0, j] * activities[row, j]
        gradient[e0] = g0
        k += 1


@inlined_loop
def _errors_and_products(gradient, errors, activities, row, target, edge, feedback, start, stop, n):
    """error(row) = sum over outgoing edges of feedback times error(target), and the products of `_products`."""
    for j in range(n):
        errors[row, j] = _ZERO
    k = start
    while k + 4 <= stop:
        e0, e1, e2, e3 = edge[k], edge[k + 1], edge[k + 2], edge[k + 3]
        t0, t1, t2, t3 = target[e0], target[e1], target[e2], target[e3]
        b0, b1, b2, b3 = feedback[e0], feedback[e1], feedback[e2], feedback[e3]
        g0 = g1 = g2 = g3 = _ZERO
        for j in range(n):
            x = activities[row, j]
            d0, d1, d2, d3 = errors[t0, j], errors[t1, j], errors[t2, j], errors[t3, j]
            errors[row, j] += b0 * d0 + b1 * d1 + b2 * d2 + b3 * d3
            g0 += d0 * x
            g1 += d1 * x
            g2 += d2 * x
            g3 += d3 * x
        gradient[e0], gradient[e1], gradient[e2], gradient[e3] = g0, g1, g2, g3
        k += 4
    while k < stop:
        e0 = edge[k]
        t0, b0 = target[e0], feedback[e0]
        g0 = _ZERO
        for j in range(n):
            d0 = errors[t0, j]
            errors[row, j] += b0 * d0
            g0 += d0 * activities[row, j]
        gradient[e0] = g0
        k += 1


@inlined_loop
def backward_pass(
    num_sources,
    num_outputs,
    activation,
    target,
    out_start,
    edge,
    feedback,
    weighted_inputs,
    activities,
    errors,
    gradient,
    n,
):
    """Errors of hidden nodes from those of the outputs, and the product of every edge."""
    num_nodes = num_sources + len(activation)
    for row in range(num_nodes - num_outputs - 1, num_sources - 1, -1):
        _errors_and_products(
            gradient, errors, activities, row, target, edge, feedback, out_start[row], out_start[row + 1], n
        )
        node = row - num_sources
        if activation[node] != LINEAR:
            apply_slope(activation[node], weighted_inputs, node, activities, row, errors, n)
    for row in range(num_sources):
        products(gradient, errors, activities, row, target, edge, out_start[row], out_start[row + 1], n)


@inlined_loop
def output_products(num_outputs, row_start, source, errors, activities, gradient, n):
    """The products of the edges into outputs alone."""
    num_computed = len(row_start) - 1
    first = len(activities) - num_computed
    for node in range(num_computed - num_outputs, num_computed):
        for e in range(row_start[node], row_start[node + 1]):
            s = source[e]
            g = _ZERO
            for j in range(n):
                g += errors[first + node, j] * activities[s, j]
            gradient[e] = g


@inlined_loop
def direct_pass(
    num_sources,
    num_outputs,
    activation,
    target,
    out_start,
    edge,
    direct,
    weighted_inputs,
    activities,
    errors,
    gradient,
    n,
):
    """Errors of hidden nodes straight from those of the outputs, and the product of every edge."""
    num_nodes = num_sources + len(activation)
    first_output = num_nodes - num_outputs
    for row in range(num_sources, first_output):
        node = row - num_sources
        for j in range(n):
            errors[row, j] = direct[node, 0] * errors[first_output, j]
        for k in range(1, num_outputs):
            b = direct[node, k]
            for j in range(n):
                errors[row, j] += b * errors[first_output + k, j]
        if activation[node] != LINEAR:
            apply_slope(activation[node], weighted_inputs, node, activities, row, errors, n)
    for row in range(first_output):
        products(gradient, errors, activities, row, target, edge, out_start[row], out_start[row + 1], n)


@inlined_loop
def hebbian_pass(first_output, target, out_start, edge, weights, activities, decorrelate, known, changes, n):
    """Sum over samples of y (x - what is known of x), for the edges into hidden nodes; see `Kernel.hebbian_changes`."""
    for row in range(first_output):
        for j in range(n):
            known[j] = _ZERO
        for k in range(out_start[row], out_start[row + 1]):
            e = edge[k]
            t, w = target[e], weights[e]
            if t >= first_output:
                continue
            c = _ZERO
            if decorrelate:
                for j in range(n):
                    y = activities[t, j]
                    known[j] += w * y
                    c += y * (activities[row, j] - known[j])
            else:
                for j in range(n):
                    y = activities[t, j]
                    c += y * (activities[row, j] - w * y)
            changes[e] = c


# -- losses -----------------------------------------------------------------------------------------------------


@inlined_loop
def _top_of(activities, first, top, n):
    """The largest output of each sample."""
    for j in range(n):
        top[j] = activities[first, j]
    for row in range(first + 1, len(activities)):
        for j in range(n):
            y = activities[row, j]
            # Written so that NaN wins and reaches the loss.
            top[j] = top[j] if y <= top[j] else y


@inlined_loop
def _num_right(activities, first, labels, top, answer, n):
    """How many samples have their largest output, the first of them, in the place of their label."""
    for j in range(n):
        answer[j] = np.int32(len(activities))
    for row in range(len(activities) - 1, first - 1, -1):
        for j in range(n):
            answer[j] = np.int32(row) if activities[row, j] == top[j] else answer[j]
    right = 0
    for j in range(n):
        right += answer[j] == first + labels[j]
    return right


@inlined_loop
def _cross_entropy(activities, first, labels, top, total, n):
    """Mean of -log softmax(y)[label]; total = sum over outputs of exp(y - top)."""
    for j in range(n):
        total[j] = _ZERO
    for row in range(first, len(activities)):
        for j in range(n):
            total[j] += elementary.exp(activities[row, j] - top[j])
    loss = 0.0
    for j in range(n):
        loss += np.float64(elementary.log(total[j]) + (top[j] - activities[first + labels[j], j]))
    return loss / n


@inlined_loop
def _squared_error(activities, first, loss_kind, labels, values, n):
    """Mean over outputs and samples of (y - t)²."""
    num_outputs = len(activities) - first
    loss = 0.0
    for k in range(num_outputs):
        for j in range(n):
            t = np.float32(labels[j] == k) if loss_kind == _CLASS_SQUARED_ERROR else values[k, j]
            difference = activities[first + k, j] - t
            loss += np.float64(difference * difference)
    return loss / (num_outputs * n)


@inlined_loop
def mean_scores(loss_kind, activities, first, labels, values, top, total, answer, n):
    """Mean loss, and the fraction of right answers or NaN."""
    accuracy = np.nan
    if loss_kind != _MEAN_SQUARED_ERROR:
        _top_of(activities, first, top, n)
        accuracy = _num_right(activities, first, labels, top, answer, n) / n
    if loss_kind == _CROSS_ENTROPY:
        return _cross_entropy(activities, first, labels, top, total, n), accuracy
    return _squared_error(activities, first, loss_kind, labels, values, n), accuracy


@inlined_loop
def output_errors(loss_kind, activities, first, labels, values, top, total, errors, n):
    """d loss / d y per sample, after `mean_scores` has left `top` and `total`."""
    if loss_kind == _CROSS_ENTROPY:
        for row in range(first, len(activities)):
            for j in range(n):
                errors[row, j] = elementary.exp(activities[row, j] - top[j]) / total[j]
        for j in range(n):
            errors[first + labels[j], j] -= _ONE
    else:
        num_outputs = len(activities) - first
        scale = np.float32(2.0 / num_outputs)
        for k in range(num_outputs):
            for j in range(n):
                t = np.float32(labels[j] == k) if loss_kind == _CLASS_SQUARED_ERROR else values[k, j]
                errors[first + k, j] = scale * (activities[first + k, j] - t)


@inlined_loop
def shape_losses(shaping, sigma, losses, shaped):
    """What an evolution strategy makes of losses; see `topoevo.kernels.base.Shaping`."""
    num = len(losses)
    if shaping == _RAW:
        for i in range(num):
            shaped[i] = losses[i] / sigma
    elif shaping == _STANDARDIZED:
        mean = 0.0
        for i in range(num):
            mean += losses[i]
        mean /= num
        variance = 0.0
        for i in range(num):
            variance += (losses[i] - mean) ** 2
        deviation = np.sqrt(variance / num)
        for i in range(num):
            shaped[i] = (losses[i] - mean) / deviation if deviation > 0.0 else 0.0
    else:
        for i in range(num):
            rank = 0.0
            for k in range(num):
                rank += 1.0 if losses[i] > losses[k] else 0.5 if losses[i] == losses[k] else 0.0
            shaped[i] = (rank - 0.5) / (num - 1) - 0.5


# -- weight updates ---------------------------------------------------------------------------------------------


@inlined_loop
def learning_rate(lr, final_lr_ratio, schedule, step, num_steps):
    """See `topoevo.kernels.base.learning_rate`."""
    progress = min(step / (num_steps - 1), 1.0) if num_steps > 1 else 0.0
    if schedule == _COSINE:
        progress = 0.5 * (1.0 - np.cos(np.pi * progress))
    return lr * (1.0 - (1.0 - final_lr_ratio) * progress)


@inlined_loop
def shape_gradient(max_grad_norm, grad_power, gradient, plastic):
    """Clip the gradient of the plastic edges to a norm, then raise its components to a power."""
    if max_grad_norm < np.inf:
        square = 0.0
        for e in range(len(gradient)):
            if plastic[e]:
                square += np.float64(gradient[e]) * np.float64(gradient[e])
        if square > max_grad_norm * max_grad_norm:
            factor = np.float32(max_grad_norm / np.sqrt(square))
            for e in range(len(gradient)):
                gradient[e] *= factor
    if grad_power != 1.0:
        for e in range(len(gradient)):
            gradient[e] = np.sign(gradient[e]) * np.abs(gradient[e]) ** np.float32(grad_power)


@inlined_loop
def update(
    rule,
    lr,
    first_decay,
    second_decay,
    epsilon,
    weight_decay,
    decoupled,
    step,
    first,
    second,
    weights,
    gradient,
    plastic,
):
    """One step of an optimizer on the plastic weights; see `topoevo.kernels.base.UpdateRule`."""
    if rule == _NONE:
        return
    lr32, b1, b2 = np.float32(lr), np.float32(first_decay), np.float32(second_decay)
    a1, a2 = np.float32(1.0 - first_decay), np.float32(1.0 - second_decay)
    eps, decay = np.float32(epsilon), np.float32(weight_decay)
    correct1 = np.float32(1.0 / (1.0 - first_decay**step))
    correct2 = np.float32(1.0 / (1.0 - second_decay**step))
    shrink = np.float32(lr * weight_decay) if decoupled else _ZERO
    penalty = _ZERO if decoupled else decay
    for e in range(len(weights)):
        if not plastic[e]:
            continue
        g = gradient[e] + penalty * weights[e]
        if rule == _SGD:
            first[e] = b1 * first[e] + g
            change = lr32 * first[e]
        elif rule == _ADAM:
            first[e] = b1 * first[e] + a1 * g
            second[e] = b2 * second[e] + a2 * g * g
            change = lr32 * (first[e] * correct1) / (np.sqrt(second[e] * correct2) + eps)
        elif rule == _RMSPROP:
            second[e] = b2 * second[e] + a2 * g * g
            first[e] = b1 * first[e] + g / (np.sqrt(second[e]) + eps)
            change = lr32 * first[e]
        else:
            second[e] = b2 * second[e] + a2 * g * g
            move = np.sqrt((first[e] + eps) / (second[e] + eps)) * g
            first[e] = b2 * first[e] + a2 * move * move
            change = lr32 * move
        weights[e] -= change + shrink * weights[e]
