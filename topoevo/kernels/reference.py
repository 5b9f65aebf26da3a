"""The backend in plain numpy: what the others are proven equal to.

Every primitive keeps the dtype of the weights, so that the same code checks gradients in double precision.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.kernels.base import (
    Batches,
    Floats,
    Kernel,
    Loss,
    Optimization,
    OptimizerState,
    Plasticity,
    UpdateRule,
    learning_rate,
)
from topoevo.network import Network


class ReferenceKernel(Kernel):
    """Readable, not fast."""

    name: ClassVar[str] = "reference"

    def forward(self, network: Network, weights: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """See `Kernel.forward`."""
        activities = np.ones((network.num_nodes, inputs.shape[1]), weights.dtype)
        activities[: len(network.input_index)] = inputs[network.input_index]
        weighted_inputs = np.zeros((network.num_nodes - network.num_sources, inputs.shape[1]), weights.dtype)
        for node, code in enumerate(network.activation):
            edges = slice(network.row_start[node], network.row_start[node + 1])
            weighted_inputs[node] = weights[edges] @ activities[network.source[edges]]
            with np.errstate(over="ignore", invalid="ignore"):
                value = ACTIVATIONS_BY_CODE[code].value(weighted_inputs[node])
            activities[network.num_sources + node] = value
        return weighted_inputs, activities

    def output_errors(self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> Floats:
        """See `Kernel.output_errors`."""
        if loss is Loss.MEAN_SQUARED_ERROR:
            difference: Floats = ((outputs - targets) * (2.0 / len(outputs))).astype(outputs.dtype)
            return difference
        exponentials = np.exp(outputs - outputs.max(axis=0))
        errors: Floats = exponentials / exponentials.sum(axis=0)
        errors[targets[0].astype(np.int64), np.arange(outputs.shape[1])] -= 1.0
        return errors

    def backward(
        self, network: Network, feedback: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.backward`."""
        errors = np.zeros_like(activities)
        start, edge = network.outgoing
        first_output = network.num_nodes - network.num_outputs
        for row in range(network.num_nodes - 1, network.num_sources - 1, -1):
            if row >= first_output:
                incoming = output_errors[row - first_output]
            else:
                edges = edge[start[row] : start[row + 1]]
                incoming = feedback[edges] @ errors[network.target[edges]]
            node = row - network.num_sources
            slope = ACTIVATIONS_BY_CODE[network.activation[node]].derivative(weighted_inputs[node], activities[row])
            errors[row] = slope * incoming
        return errors

    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """See `Kernel.edge_products`."""
        products: Floats = np.einsum("es,es->e", errors[network.target], activities[network.source])
        return products

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
        o = optimization
        state.steps += 1
        g, w = gradient[plastic], weights[plastic]
        first, second = state.first[plastic], state.second[plastic]
        if o.weight_decay and not o.decoupled:
            g = g + o.weight_decay * w
        if o.rule is UpdateRule.SGD:
            first = o.first_decay * first + g
            change = lr * first
        elif o.rule is UpdateRule.ADAM:
            first = o.first_decay * first + (1 - o.first_decay) * g
            second = o.second_decay * second + (1 - o.second_decay) * g**2
            unbiased_first = first / (1 - o.first_decay**state.steps)
            unbiased_second = second / (1 - o.second_decay**state.steps)
            change = lr * unbiased_first / (np.sqrt(unbiased_second) + o.epsilon)
        else:
            second = o.second_decay * second + (1 - o.second_decay) * g**2
            step = np.sqrt((first + o.epsilon) / (second + o.epsilon)) * g
            first = o.second_decay * first + (1 - o.second_decay) * step**2
            change = lr * step
        if o.decoupled:
            change = change + lr * o.weight_decay * w
        weights[plastic] = w - change
        state.first[plastic], state.second[plastic] = first, second

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
        losses = np.full(len(order), np.nan)
        accuracies = np.full(len(order), np.nan)
        num_steps = state.num_steps or state.steps + len(order)
        for step, batch in enumerate(order):
            size = batches.sizes[batch]
            targets = batches.targets[batch][:, :size]
            weighted_inputs, activities = self.forward(network, weights, batches.inputs[batch][:, :size])
            outputs = activities[-network.num_outputs :]
            losses[step], accuracies[step] = _mean_scores(loss, outputs, targets)
            if not np.isfinite(losses[step]):
                losses[step] = accuracies[step] = np.nan
                break
            errors = self.output_errors(loss, outputs, targets)
            if plasticity.propagate:
                feedback = weights if plasticity.feedback is None else plasticity.feedback
            else:
                feedback = np.zeros_like(weights)
            all_errors = self.backward(network, feedback, weighted_inputs, activities, errors)
            gradient = self.edge_products(network, all_errors, activities) / size
            lr = learning_rate(optimization, state.steps, num_steps)
            self.update(optimization, state, weights, gradient, plasticity.plastic, lr=lr)
        return losses, accuracies

    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """See `Kernel.outputs`."""
        parts = []
        for inputs, size in zip(batches.inputs, batches.sizes, strict=True):
            _, activities = self.forward(network, weights, inputs[:, :size])
            parts.append(activities[-network.num_outputs :])
        return np.concatenate(parts, axis=1)


def _log_sum_exp(outputs: Floats) -> Floats:
    """log(sum(exp(outputs))) over outputs, without overflow."""
    top = outputs.max(axis=0)
    result: Floats = top + np.log(np.exp(outputs - top).sum(axis=0))
    return result


def _mean_scores(loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> tuple[float, float]:
    """Mean loss, and the fraction of right answers or NaN."""
    if loss is Loss.MEAN_SQUARED_ERROR:
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.mean((outputs - targets) ** 2, dtype=np.float64)), float("nan")
    classes = targets[0].astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        right = outputs[classes, np.arange(len(classes))]
        losses = _log_sum_exp(outputs) - right
    return float(losses.mean(dtype=np.float64)), float(np.mean(outputs.argmax(axis=0) == classes))


KERNEL = ReferenceKernel()
