"""Weight updates of the compiled backend."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, var-annotated, unreachable"

from __future__ import annotations

import numpy as np

from topoevo.compilation import inlined_loop
from topoevo.kernels.lanes import fused, product
from topoevo.kernels.optimization import Schedule, UpdateRule

_SGD, _ADAM, _RMSPROP, _NONE = (
    int(rule) for rule in (UpdateRule.SGD, UpdateRule.ADAM, UpdateRule.RMSPROP, UpdateRule.NONE)
)
_COSINE = int(Schedule.COSINE)
_ZERO = np.float32(0.0)


@inlined_loop
def learning_rate(lr, final_lr_ratio, schedule, step, num_steps):
    """See `topoevo.kernels.optimization.learning_rate`."""
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
def _moved(weights, e, shrink, change):
    """A weight after decay and change.

    For the last weights, if their number is no multiple of eight, and for all of less than 24, decay is rounded after
    the change instead of before: so it was in the first recorded runs, where the compiler had chosen it.
    """
    w, num = weights[e], len(weights)
    if num < 24 or e >= num - num % 8:
        return fused(-shrink, w, w - change)
    return fused(-shrink, w, w) - change


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
    """One step of an optimizer on the plastic weights; see `topoevo.kernels.optimization.UpdateRule`."""
    lr32, b1, b2 = np.float32(lr), np.float32(first_decay), np.float32(second_decay)
    a1, a2 = np.float32(1.0 - first_decay), np.float32(1.0 - second_decay)
    eps, decay = np.float32(epsilon), np.float32(weight_decay)
    correct1 = np.float32(1.0 / (1.0 - first_decay**step))
    correct2 = np.float32(1.0 / (1.0 - second_decay**step))
    shrink = np.float32(min(lr * weight_decay, 1.0)) if decoupled else _ZERO
    penalty = _ZERO if decoupled else decay
    # One loop for each rule: from a choice within the loop the compiler makes code that computes all of them.
    if rule == _SGD:
        for e in range(len(weights)):
            if plastic[e]:
                first[e] = fused(b1, first[e], fused(penalty, weights[e], gradient[e]))
                weights[e] = _moved(weights, e, shrink, product(lr32, first[e]))
    elif rule == _ADAM:
        rate = lr32 * correct1
        for e in range(len(weights)):
            if plastic[e]:
                g = fused(penalty, weights[e], gradient[e])
                first[e] = fused(b1, first[e], a1 * g)
                second[e] = fused(b2, second[e], a2 * (g * g))
                change = rate * first[e] / (np.sqrt(second[e] * correct2) + eps)
                weights[e] = _moved(weights, e, shrink, change)
    elif rule == _RMSPROP:
        for e in range(len(weights)):
            if plastic[e]:
                g = fused(penalty, weights[e], gradient[e])
                second[e] = fused(b2, second[e], a2 * (g * g))
                first[e] = fused(b1, first[e], g / (np.sqrt(second[e]) + eps))
                weights[e] = _moved(weights, e, shrink, product(lr32, first[e]))
    elif rule != _NONE:
        for e in range(len(weights)):
            if plastic[e]:
                g = fused(penalty, weights[e], gradient[e])
                second[e] = fused(b2, second[e], a2 * (g * g))
                move = np.sqrt((first[e] + eps) / (second[e] + eps)) * g
                first[e] = fused(a2, move * move, b2 * first[e])
                weights[e] = _moved(weights, e, shrink, product(lr32, move))


@inlined_loop
def add_to_average(step, averaged_from, weights, weight_sum):
    """Let the weights after a step count in their average; `weight_sum` is empty where there is none."""
    if step >= averaged_from:
        for e in range(len(weight_sum)):
            weight_sum[e] += np.float64(weights[e])
