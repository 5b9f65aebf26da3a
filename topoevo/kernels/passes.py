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
from topoevo.kernels.base import UpdateRule
from topoevo.kernels.prefetch import LINE, prefetch

_SGD, _ADAM = int(UpdateRule.SGD), int(UpdateRule.ADAM)
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
def _log_sum_exp(activities, first, top, total, n):
    """top = max over outputs; total = sum over outputs of exp(y - top)."""
    for j in range(n):
        top[j] = activities[first, j]
        total[j] = _ZERO
    for row in range(first + 1, len(activities)):
        for j in range(n):
            y = activities[row, j]
            # Written so that NaN wins and reaches the loss.
            top[j] = top[j] if y <= top[j] else y
    for row in range(first, len(activities)):
        for j in range(n):
            total[j] += elementary.exp(activities[row, j] - top[j])


@inlined_loop
def cross_entropy(activities, first, labels, errors, top, total, answer, n):
    """Mean of -log softmax(y)[label], fraction of right answers, and d loss / d y per sample."""
    _log_sum_exp(activities, first, top, total, n)
    for j in range(n):
        answer[j] = np.int32(len(activities))
    for row in range(len(activities) - 1, first - 1, -1):
        for j in range(n):
            answer[j] = np.int32(row) if activities[row, j] == top[j] else answer[j]
    for row in range(first, len(activities)):
        for j in range(n):
            errors[row, j] = elementary.exp(activities[row, j] - top[j]) / total[j]
    loss = 0.0
    right = 0
    for j in range(n):
        row = first + labels[j]
        errors[row, j] -= _ONE
        loss += np.float64(elementary.log(total[j]) + (top[j] - activities[row, j]))
        if answer[j] == row:
            right += 1
    return loss / n, right / n


@inlined_loop
def squared_error(activities, first, targets, errors, n):
    """Mean over outputs and samples of (y - t)^2, and d loss / d y per sample."""
    num_outputs = len(activities) - first
    scale = np.float32(2.0 / num_outputs)
    loss = 0.0
    for k in range(num_outputs):
        for j in range(n):
            difference = activities[first + k, j] - targets[k, j]
            errors[first + k, j] = scale * difference
            loss += np.float64(difference * difference)
    return loss / (num_outputs * n), np.nan


# -- weight updates ---------------------------------------------------------------------------------------------


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
    """One step of sgd, Adam or Adadelta on the plastic weights; see `topoevo.kernels.base.UpdateRule`."""
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
        else:
            second[e] = b2 * second[e] + a2 * g * g
            move = np.sqrt((first[e] + eps) / (second[e] + eps)) * g
            first[e] = b2 * first[e] + a2 * move * move
            change = lr32 * move
        weights[e] -= change + shrink * weights[e]
