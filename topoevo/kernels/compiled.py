"""The backend in numba: whole trainings inside compiled code, without Python's global lock.

Each loop runs over the samples of a minibatch, which are contiguous, and handles several edges at a time so that a
row that stays the same is loaded once. Every function has its twin in `topoevo.kernels.reference`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from topoevo import activations
from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.compilation import cache_directory, entry_point, inlined_loop, loop
from topoevo.errors import KernelError
from topoevo.kernels import elementary
from topoevo.kernels import prefetch as prefetch_module
from topoevo.kernels.base import (
    Batches,
    Floats,
    Kernel,
    Loss,
    Optimization,
    OptimizerState,
    Plasticity,
    UpdateRule,
)
from topoevo.kernels.prefetch import LINE, prefetch
from topoevo.network import Network

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

_CACHE = cache_directory(__file__, prefetch_module.__file__, elementary.__file__, activations.__file__)
_CROSS_ENTROPY = int(Loss.CROSS_ENTROPY)
_SGD, _ADAM = int(UpdateRule.SGD), int(UpdateRule.ADAM)
_LINEAR = 0
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


_activate = _activate_one_of(ACTIVATIONS_BY_CODE)
_apply_slope = _apply_slope_of(ACTIVATIONS_BY_CODE)


# -- passes over one minibatch ----------------------------------------------------------------------------------


@loop
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


@loop
def _load_inputs(input_index, inputs, batch, next_batch, n, activities):
    """Activities of the input rows; meanwhile the next minibatch is fetched into the cache."""
    for i in range(len(input_index)):
        k = input_index[i]
        for j in range(0, inputs.shape[2], LINE):
            prefetch(inputs, next_batch, k, j)
        for j in range(n):
            activities[i, j] = inputs[batch, k, j]


@loop
def _forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities):
    """Activities of the computed nodes; the rows of inputs and bias are set by the caller."""
    for node in range(len(activation)):
        _weighted_input(weighted_inputs, node, activities, source, weights, row_start[node], row_start[node + 1], n)
        _activate(activation[node], weighted_inputs, node, activities, num_sources + node, n)


@loop
def _products(gradient, errors, activities, row, target, edge, start, stop, n):
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


@loop
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


@loop
def _backward_pass(
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
        if activation[node] != _LINEAR:
            _apply_slope(activation[node], weighted_inputs, node, activities, row, errors, n)
    for row in range(num_sources):
        _products(gradient, errors, activities, row, target, edge, out_start[row], out_start[row + 1], n)


@loop
def _output_products(num_outputs, row_start, source, errors, activities, gradient, n):
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


@loop
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


@loop
def _cross_entropy(activities, first, labels, errors, top, total, answer, n):
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


@loop
def _squared_error(activities, first, targets, errors, n):
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


@loop
def _update(
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


# -- entry points -----------------------------------------------------------------------------------------------


@entry_point(_CACHE)
def _train(
    input_index, num_sources, num_outputs, activation, row_start, source, target, out_start, edge,
    weights, plastic, feedback, propagate,
    rule, lr, final_lr_ratio, first_decay, second_decay, epsilon, weight_decay, decoupled,
    steps_before, num_steps, first, second,
    inputs, labels, values, sizes, order, loss_kind, losses, accuracies,
):  # fmt: skip
    """Train; see `Kernel.train`. Returns the number of steps taken."""
    batch_size = inputs.shape[2]
    num_computed = len(activation)
    num_nodes = num_sources + num_computed
    first_output = num_nodes - num_outputs
    activities = np.ones((num_nodes, batch_size), np.float32)
    weighted_inputs = np.empty((num_computed, batch_size), np.float32)
    errors = np.zeros((num_nodes, batch_size), np.float32)
    top = np.empty(batch_size, np.float32)
    total = np.empty(batch_size, np.float32)
    answer = np.empty(batch_size, np.int32)
    gradient = np.zeros(len(weights), np.float32)
    for step in range(len(order)):
        batch = order[step]
        n = sizes[batch]
        _load_inputs(input_index, inputs, batch, order[min(step + 1, len(order) - 1)], n, activities)
        _forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities)
        if loss_kind == _CROSS_ENTROPY:
            losses[step], accuracies[step] = _cross_entropy(
                activities, first_output, labels[batch, 0], errors, top, total, answer, n
            )
        else:
            losses[step], accuracies[step] = _squared_error(activities, first_output, values[batch], errors, n)
        if not np.isfinite(losses[step]):
            losses[step] = np.nan
            accuracies[step] = np.nan
            return step
        for row in range(first_output, num_nodes):
            node = row - num_sources
            if activation[node] != _LINEAR:
                _apply_slope(activation[node], weighted_inputs, node, activities, row, errors, n)
        if propagate:
            _backward_pass(
                num_sources, num_outputs, activation, target, out_start, edge, feedback,
                weighted_inputs, activities, errors, gradient, n,
            )  # fmt: skip
        else:
            _output_products(num_outputs, row_start, source, errors, activities, gradient, n)
        mean = _ONE / np.float32(n)
        for e in range(len(gradient)):
            gradient[e] *= mean
        progress = min((steps_before + step) / (num_steps - 1), 1.0) if num_steps > 1 else 0.0
        rate = lr * (1.0 - (1.0 - final_lr_ratio) * progress)
        _update(
            rule, rate, first_decay, second_decay, epsilon, weight_decay, decoupled, steps_before + step + 1,
            first, second, weights, gradient, plastic,
        )  # fmt: skip
    return len(order)


@entry_point(_CACHE)
def _outputs(input_index, num_sources, num_outputs, activation, row_start, source, weights, inputs, sizes, outputs):
    """Output activities of all minibatches into `outputs` [num_outputs, num_samples]."""
    batch_size = inputs.shape[2]
    num_computed = len(activation)
    activities = np.ones((num_sources + num_computed, batch_size), np.float32)
    weighted_inputs = np.empty((num_computed, batch_size), np.float32)
    first_output = num_sources + num_computed - num_outputs
    done = 0
    for batch in range(len(sizes)):
        n = sizes[batch]
        _load_inputs(input_index, inputs, batch, min(batch + 1, len(sizes) - 1), n, activities)
        _forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities)
        for k in range(num_outputs):
            for j in range(n):
                outputs[k, done + j] = activities[first_output + k, j]
        done += n


@entry_point(_CACHE)
def _forward(input_index, num_sources, activation, row_start, source, weights, inputs, weighted_inputs, activities):
    """See `Kernel.forward`."""
    n = inputs.shape[2]
    _load_inputs(input_index, inputs, 0, 0, n, activities)
    _forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities)


@entry_point(_CACHE)
def _output_errors(loss_kind, activities, labels, values, errors):
    """See `Kernel.output_errors`."""
    n = activities.shape[1]
    if loss_kind == _CROSS_ENTROPY:
        _cross_entropy(
            activities, 0, labels[0], errors, np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.int32), n
        )
    else:
        _squared_error(activities, 0, values, errors, n)


@entry_point(_CACHE)
def _backward(
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
):
    """See `Kernel.backward`; `errors` holds the output errors before, `gradient` the products after."""
    n = activities.shape[1]
    for row in range(len(activities) - num_outputs, len(activities)):
        _apply_slope(activation[row - num_sources], weighted_inputs, row - num_sources, activities, row, errors, n)
    _backward_pass(
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
    )


@entry_point(_CACHE)
def _edge_products(target, out_start, edge, errors, activities, gradient):
    """See `Kernel.edge_products`."""
    for row in range(len(activities)):
        _products(
            gradient, errors, activities, row, target, edge, out_start[row], out_start[row + 1], activities.shape[1]
        )


@entry_point(_CACHE)
def _update_once(
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
    """See `Kernel.update`."""
    _update(
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
    )


class CompiledKernel(Kernel):
    """The default backend."""

    name: ClassVar[str] = "numba"

    def needs_compilation(self) -> bool:
        """Return whether the first training will have to wait for the compiler."""
        python = f"py{sys.version_info.major}{sys.version_info.minor}"
        return not _train.signatures and not any(_CACHE.rglob(f"compiled._train-*.{python}*.nbc"))

    def prepare(self) -> None:
        """Compile what training and scoring need, or load it from the cache."""
        one_edge = np.zeros(1, np.int32)
        weights = np.zeros(1, np.float32)
        network = Network(
            num_inputs=1,
            num_outputs=1,
            node_id=np.arange(2, dtype=np.int32),
            input_index=one_edge,
            has_bias=False,
            activation=np.zeros(1, np.int8),
            row_start=np.arange(2, dtype=np.int32),
            source=one_edge,
            weight=weights.copy(),
            gene=one_edge,
        )
        batches = Batches.lay_out(np.zeros((1, 1), np.float32), np.zeros(1, np.int32), batch_size=1)
        self.train(
            network, weights, Plasticity(np.ones(1, np.bool_)), Optimization(UpdateRule.SGD, 0.0),
            OptimizerState.zeros(1), batches, np.zeros(1, np.int32), Loss.CROSS_ENTROPY,
        )  # fmt: skip
        self.outputs(network, weights, batches)

    def forward(self, network: Network, weights: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """See `Kernel.forward`."""
        n = inputs.shape[1]
        activities = np.ones((network.num_nodes, n), np.float32)
        weighted_inputs = np.empty((network.num_nodes - network.num_sources, n), np.float32)
        read = _frozen(weights, inputs[None])
        _forward(*_incoming(network), *read, weighted_inputs, activities)
        return weighted_inputs, activities

    def output_errors(self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> Floats:
        """See `Kernel.output_errors`."""
        errors = np.empty_like(outputs)
        _output_errors(int(loss), *_frozen(outputs, *_labels_and_values(loss, targets)), errors)
        return errors

    def backward(
        self, network: Network, feedback: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.backward`."""
        errors = np.zeros_like(activities)
        errors[-network.num_outputs :] = output_errors
        gradient = np.zeros(network.num_edges, np.float32)
        _backward(
            network.num_sources, network.num_outputs, network.activation, *_outgoing(network),
            *_frozen(feedback, weighted_inputs, activities), errors, gradient,
        )  # fmt: skip
        return errors

    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """See `Kernel.edge_products`."""
        gradient = np.zeros(network.num_edges, np.float32)
        _edge_products(*_outgoing(network), *_frozen(errors, activities), gradient)
        return gradient

    def update(
        self,
        optimization: Optimization,
        state: OptimizerState,
        weights: Floats,
        gradient: Floats,
        plastic: NDArray[np.bool_],
        *,
        lr: float,
    ) -> None:
        """See `Kernel.update`."""
        state.steps += 1
        o = optimization
        _update_once(
            int(o.rule), float(lr), float(o.first_decay), float(o.second_decay), float(o.epsilon),
            float(o.weight_decay), o.decoupled, state.steps, state.first, state.second,
            weights, *_frozen(gradient, plastic),
        )  # fmt: skip

    def train(
        self,
        network: Network,
        weights: Floats,
        plasticity: Plasticity,
        optimization: Optimization,
        state: OptimizerState,
        batches: Batches,
        order: NDArray[np.int32],
        loss: Loss,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Kernel.train`."""
        if not weights.flags.c_contiguous:
            own = np.ascontiguousarray(weights)
            scores = self.train(network, own, plasticity, optimization, state, batches, order, loss)
            weights[...] = own
            return scores
        _check(network, batches, loss)
        losses = np.full(len(order), np.nan)
        accuracies = np.full(len(order), np.nan)
        o = optimization
        input_index, num_sources, activation, row_start, source = _incoming(network)
        state.steps += _train(
            input_index, num_sources, network.num_outputs, activation, row_start, source,
            *_outgoing(network),
            weights, *_frozen(plasticity.plastic, weights if plasticity.feedback is None else plasticity.feedback),
            plasticity.propagate,
            int(o.rule), float(o.lr), float(o.final_lr_ratio), float(o.first_decay), float(o.second_decay),
            float(o.epsilon), float(o.weight_decay), o.decoupled,
            state.steps, state.num_steps or state.steps + len(order), state.first, state.second,
            *_frozen(batches.inputs, *_labels_and_values(loss, batches.targets), batches.sizes, order), int(loss),
            losses, accuracies,
        )  # fmt: skip
        return losses, accuracies

    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """See `Kernel.outputs`."""
        outputs = np.empty((network.num_outputs, batches.num_samples), np.float32)
        input_index, num_sources, activation, row_start, source = _incoming(network)
        read = _frozen(weights, batches.inputs, batches.sizes)
        _outputs(input_index, num_sources, network.num_outputs, activation, row_start, source, *read, outputs)
        return outputs


def _check(network: Network, batches: Batches, loss: Loss) -> None:
    """Compiled code does not check its indices."""
    num_inputs, targets = batches.inputs.shape[1], batches.targets
    if num_inputs != network.num_inputs:
        raise KernelError(f"the samples have {num_inputs} inputs, the network has {network.num_inputs}")
    if loss is Loss.CROSS_ENTROPY and not 0 <= targets.min() <= targets.max() < network.num_outputs:
        raise KernelError(
            f"class indices go from {targets.min()} to {targets.max()}, the network has {network.num_outputs} outputs"
        )
    if loss is Loss.MEAN_SQUARED_ERROR and targets.shape[1] != network.num_outputs:
        raise KernelError(f"the samples have {targets.shape[1]} targets, the network has {network.num_outputs} outputs")


def _frozen(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """Read-only views: to numba, data that may not be written has another type and would be compiled for again."""
    views = []
    for array in arrays:
        view = np.ascontiguousarray(array).view(np.ndarray)
        view.flags.writeable = False
        views.append(view)
    return views


def _incoming(network: Network) -> tuple[Any, ...]:
    """What a forward pass needs."""
    input_index, activation, row_start, source = _frozen(
        network.input_index, network.activation, network.row_start, network.source
    )
    return input_index, network.num_sources, activation, row_start, source


def _outgoing(network: Network) -> list[NDArray[Any]]:
    """What a backward pass needs: targets of edges, and edges by source."""
    return _frozen(network.target, *network.outgoing)


def _labels_and_values(loss: Loss, targets: NDArray[np.int32] | Floats) -> tuple[Any, Any]:
    """Targets as (class indices, values), an empty array in the place of what the loss does not use."""
    if loss is Loss.CROSS_ENTROPY:
        return targets, np.zeros((1,) * targets.ndim, np.float32)
    return np.zeros((1,) * targets.ndim, np.int32), targets


KERNEL = CompiledKernel()
