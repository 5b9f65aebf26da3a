"""The backend in numba: whole trainings inside compiled code, without Python's global lock.

The functions here are called from Python and cached on the disk; the loops that they are made of are in
`topoevo.kernels.passes`.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo import activations
from topoevo.compilation import cache_directory, entry_point
from topoevo.errors import KernelError
from topoevo.kernels import elementary, passes
from topoevo.kernels import prefetch as prefetch_module
from topoevo.kernels.base import (
    Batches,
    Floats,
    Kernel,
    Loss,
    Optimization,
    OptimizerState,
    Plasticity,
    StepScores,
    UpdateRule,
)
from topoevo.kernels.reference import ReferenceKernel
from topoevo.kernels.passes import (
    LINEAR,
    apply_slope,
    backward_pass,
    cross_entropy,
    forward_pass,
    load_inputs,
    output_products,
    products,
    squared_error,
    update,
)
from topoevo.network import Network

#: numba sees that this file has changed, but not the others that its functions are made of.
SOURCES = tuple(str(module.__file__) for module in (passes, prefetch_module, elementary, activations))
_CACHE = cache_directory(__file__, *SOURCES)
_CROSS_ENTROPY = int(Loss.CROSS_ENTROPY)
_ONE = np.float32(1.0)


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
        load_inputs(input_index, inputs, batch, order[min(step + 1, len(order) - 1)], n, activities)
        forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities)
        if loss_kind == _CROSS_ENTROPY:
            losses[step], accuracies[step] = cross_entropy(
                activities, first_output, labels[batch, 0], errors, top, total, answer, n
            )
        else:
            losses[step], accuracies[step] = squared_error(activities, first_output, values[batch], errors, n)
        if not np.isfinite(losses[step]):
            losses[step] = np.nan
            accuracies[step] = np.nan
            return step
        for row in range(first_output, num_nodes):
            node = row - num_sources
            if activation[node] != LINEAR:
                apply_slope(activation[node], weighted_inputs, node, activities, row, errors, n)
        if propagate:
            backward_pass(
                num_sources, num_outputs, activation, target, out_start, edge, feedback,
                weighted_inputs, activities, errors, gradient, n,
            )  # fmt: skip
        else:
            output_products(num_outputs, row_start, source, errors, activities, gradient, n)
        mean = _ONE / np.float32(n)
        for e in range(len(gradient)):
            gradient[e] *= mean
        progress = min((steps_before + step) / (num_steps - 1), 1.0) if num_steps > 1 else 0.0
        rate = lr * (1.0 - (1.0 - final_lr_ratio) * progress)
        update(
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
        load_inputs(input_index, inputs, batch, min(batch + 1, len(sizes) - 1), n, activities)
        forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities)
        for k in range(num_outputs):
            for j in range(n):
                outputs[k, done + j] = activities[first_output + k, j]
        done += n


@entry_point(_CACHE)
def _forward(input_index, num_sources, activation, row_start, source, weights, inputs, weighted_inputs, activities):
    """See `Kernel.forward`."""
    n = inputs.shape[2]
    load_inputs(input_index, inputs, 0, 0, n, activities)
    forward_pass(num_sources, activation, row_start, source, weights, n, weighted_inputs, activities)


@entry_point(_CACHE)
def _output_errors(loss_kind, activities, labels, values, errors):
    """See `Kernel.output_errors`."""
    n = activities.shape[1]
    if loss_kind == _CROSS_ENTROPY:
        cross_entropy(
            activities, 0, labels[0], errors, np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.int32), n
        )
    else:
        squared_error(activities, 0, values, errors, n)


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
        apply_slope(activation[row - num_sources], weighted_inputs, row - num_sources, activities, row, errors, n)
    backward_pass(
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
        products(
            gradient, errors, activities, row, target, edge, out_start[row], out_start[row + 1], activities.shape[1]
        )


#: See `Kernel.update`.
_update_once = entry_point(_CACHE)(update.py_func)


class CompiledKernel(ReferenceKernel):
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
    ) -> StepScores:
        """See `Kernel.train`."""
        if (
            plasticity.direct is not None
            or plasticity.hebbian is not None
            or optimization.rule > UpdateRule.ADADELTA
            or np.isfinite(optimization.max_grad_norm)
            or optimization.grad_power != 1
            or loss is Loss.CLASS_SQUARED_ERROR
        ):
            reference = ReferenceKernel()
            return reference.train(network, weights, plasticity, optimization, state, batches, order, loss)
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
        return StepScores(losses, accuracies)

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
    if loss.has_classes and not 0 <= targets.min() <= targets.max() < network.num_outputs:
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
    if loss.has_classes:
        return targets, np.zeros((1,) * targets.ndim, np.float32)
    return np.zeros((1,) * targets.ndim, np.int32), targets


KERNEL = CompiledKernel()
