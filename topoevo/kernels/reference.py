"""The backend in plain numpy: what the others are proven equal to.

Every primitive keeps the dtype of the weights, so that the same code checks gradients in double precision.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.kernels.arrays import Floats
from topoevo.kernels.base import Kernel
from topoevo.kernels.batches import Batches, StepScores
from topoevo.kernels.candidates import Perturbations, Proposals
from topoevo.kernels.checks import check_inputs, check_plasticity, check_training
from topoevo.kernels.loss import Loss, mean_scores, target_values
from topoevo.kernels.objectives import Objective, estimate_gradient, walk
from topoevo.kernels.optimization import Optimization, OptimizerState, UpdateRule, averaging_start, learning_rate
from topoevo.kernels.plasticity import Plasticity
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

    def output_errors(
        self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats, *, label_smoothing: float = 0.0
    ) -> Floats:
        """See `Kernel.output_errors`."""
        if loss is Loss.CROSS_ENTROPY:
            exponentials = np.exp(outputs - outputs.max(axis=0))
            errors: Floats = exponentials / exponentials.sum(axis=0)
            errors[targets[0].astype(np.int64), np.arange(outputs.shape[1])] -= 1.0 - label_smoothing
            if label_smoothing:
                errors -= label_smoothing / len(outputs)
            return errors
        difference = outputs - target_values(loss, outputs, targets)
        return (difference * (2.0 / len(outputs))).astype(outputs.dtype)

    def backward(
        self, network: Network, feedback: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.backward`."""
        errors = _errors_of_outputs(network, weighted_inputs, activities, output_errors)
        start, edge = network.outgoing
        for row in range(network.num_nodes - network.num_outputs - 1, network.num_sources - 1, -1):
            edges = edge[start[row] : start[row + 1]]
            slope = _slope(network, row, weighted_inputs, activities)
            errors[row] = slope * (feedback[edges] @ errors[network.target[edges]])
        return errors

    def direct_errors(
        self, network: Network, direct: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.direct_errors`."""
        errors = _errors_of_outputs(network, weighted_inputs, activities, output_errors)
        for row in range(network.num_sources, network.num_nodes - network.num_outputs):
            carried = direct[row - network.num_sources] @ errors[-network.num_outputs :]
            errors[row] = _slope(network, row, weighted_inputs, activities) * carried
        return errors

    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """See `Kernel.edge_products`."""
        products: Floats = np.einsum("es,es->e", errors[network.target], activities[network.source])
        return products

    def hebbian_changes(self, network: Network, weights: Floats, activities: Floats, *, decorrelate: bool) -> Floats:
        """See `Kernel.hebbian_changes`."""
        changes = np.zeros(network.num_edges, weights.dtype)
        start, edge = network.outgoing
        first_output = network.num_nodes - network.num_outputs
        for row in range(network.num_nodes):
            known = np.zeros_like(activities[row])
            for e in edge[start[row] : start[row + 1]]:
                if network.target[e] >= first_output:
                    continue
                y = activities[network.target[e]]
                known = weights[e] * y + (known if decorrelate else 0.0)
                changes[e] = y @ (activities[row] - known)
        return changes

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
        if o.rule is UpdateRule.NONE:
            return
        g, w = gradient[plastic], weights[plastic]
        first, second = state.first[plastic], state.second[plastic]
        if np.isfinite(o.max_grad_norm):
            norm = float(np.sqrt(np.sum(g.astype(np.float64) ** 2)))
            g = g * min(1.0, o.max_grad_norm / norm) if norm > 0 else g
        if o.grad_power != 1.0:
            g = (np.sign(g) * np.abs(g) ** o.grad_power).astype(g.dtype)
        if o.weight_decay and not o.decoupled:
            g = g + o.weight_decay * w
        if o.rule is UpdateRule.SGD:
            first = o.first_decay * first + g
            change = lr * first
        elif o.rule is UpdateRule.ADAM:
            first = o.first_decay * first + (1 - o.first_decay) * g
            second = o.second_decay * second + (1 - o.second_decay) * g**2
            unbiased_first = first / (1 - o.first_decay**state.age)
            unbiased_second = second / (1 - o.second_decay**state.age)
            change = lr * unbiased_first / (np.sqrt(unbiased_second) + o.epsilon)
        elif o.rule is UpdateRule.RMSPROP:
            second = o.second_decay * second + (1 - o.second_decay) * g**2
            first = (o.first_decay * first + g / (np.sqrt(second) + o.epsilon)).astype(g.dtype)
            change = lr * first
        else:
            second = o.second_decay * second + (1 - o.second_decay) * g**2
            step = np.sqrt((first + o.epsilon) / (second + o.epsilon)) * g
            first = o.second_decay * first + (1 - o.second_decay) * step**2
            change = lr * step
        if o.decoupled:
            change = change + min(lr * o.weight_decay, 1.0) * w
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
    ) -> StepScores:
        """See `Kernel.train`."""
        check_training(network, weights, batches, order, loss)
        check_plasticity(network, plasticity)
        losses, accuracies = np.full((2, len(order)), np.nan)
        num_steps = state.num_steps or state.steps + len(order)
        averaged_from = averaging_start(optimization, state, num_steps)
        for step, batch in enumerate(order):
            inputs, targets = _samples(batches, batch)
            weighted_inputs, activities = self.forward(network, weights, inputs)
            outputs = activities[-network.num_outputs :]
            score = mean_scores(loss, outputs, targets)
            if not np.isfinite(score[0]):
                break
            losses[step], accuracies[step] = score
            smoothing = optimization.label_smoothing
            output_errors = self.output_errors(loss, outputs, targets, label_smoothing=smoothing)
            if not plasticity.propagate:
                errors = _errors_of_outputs(network, weighted_inputs, activities, output_errors)
            elif plasticity.direct is not None:
                errors = self.direct_errors(network, plasticity.direct, weighted_inputs, activities, output_errors)
            else:
                feedback = weights if plasticity.feedback is None else plasticity.feedback
                errors = self.backward(network, feedback, weighted_inputs, activities, output_errors)
            gradient = self.edge_products(network, errors, activities) / inputs.shape[1]
            lr = learning_rate(optimization, state.steps, num_steps)
            hebbian = plasticity.hebbian
            if hebbian is not None:
                changes = self.hebbian_changes(network, weights, activities, decorrelate=plasticity.decorrelate)
                weights[hebbian] += plasticity.hebbian_lr * changes[hebbian] / inputs.shape[1]
            self.update(optimization, state, weights, gradient, plasticity.plastic, lr=lr)
            if state.steps > averaged_from:
                state.add_to_average(weights)
        return StepScores(losses, accuracies)

    def train_by_perturbations(
        self,
        network: Network,
        weights: Floats,
        plastic: NDArray[np.bool_],
        perturbations: Perturbations,
        optimization: Optimization,
        state: OptimizerState,
        batches: Batches,
        order: NDArray[np.int32],
        loss: Loss,
        rng: np.random.Generator,
    ) -> StepScores:
        """See `Kernel.train_by_perturbations`."""
        check_training(network, weights, batches, order, loss)
        losses, accuracies = np.full((2, len(order)), np.nan)
        num_steps = state.num_steps or state.steps + len(order)
        averaged_from = averaging_start(optimization, state, num_steps)
        for step, batch in enumerate(order):
            inputs, targets = _samples(batches, batch)
            score = self._score(network, weights, loss, inputs, targets)
            objective = self._objective(network, loss, inputs, targets)
            gradient, found = estimate_gradient(objective, weights, plastic, perturbations, rng)
            if not np.isfinite([*found, score[0]]).all():
                break
            losses[step], accuracies[step] = score
            lr = learning_rate(optimization, state.steps, num_steps)
            self.update(optimization, state, weights, gradient, plastic, lr=lr)
            if state.steps > averaged_from:
                state.add_to_average(weights)
        return StepScores(losses, accuracies)

    def train_by_proposals(
        self,
        network: Network,
        weights: Floats,
        proposals: Proposals,
        state: OptimizerState,
        batches: Batches,
        order: NDArray[np.int32],
        loss: Loss,
        rng: np.random.Generator,
    ) -> StepScores:
        """See `Kernel.train_by_proposals`."""
        check_training(network, weights, batches, order, loss)
        losses, accuracies, acceptances = np.full((3, len(order)), np.nan)
        for step, batch in enumerate(order):
            inputs, targets = _samples(batches, batch)
            score = self._score(network, weights, loss, inputs, targets)
            if not np.isfinite(score[0]):
                break
            losses[step], accuracies[step] = score
            objective = self._objective(network, loss, inputs, targets)
            _, acceptances[step] = walk(objective, weights, score[0], proposals, state, rng)
            state.steps += 1
        return StepScores(losses, accuracies, acceptances)

    def _score(
        self, network: Network, weights: Floats, loss: Loss, inputs: Floats, targets: NDArray[np.int32] | Floats
    ) -> tuple[float, float]:
        """Mean loss and accuracy of given weights."""
        _, activities = self.forward(network, weights, inputs)
        return mean_scores(loss, activities[-network.num_outputs :], targets)

    def _objective(
        self, network: Network, loss: Loss, inputs: Floats, targets: NDArray[np.int32] | Floats
    ) -> Objective:
        """Losses of candidate weights on one minibatch."""
        return lambda candidates: np.array([self._score(network, w, loss, inputs, targets)[0] for w in candidates])

    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """See `Kernel.outputs`."""
        check_inputs(network, batches.inputs.shape[1])
        parts = []
        for inputs, size in zip(batches.inputs, batches.sizes, strict=True):
            _, activities = self.forward(network, weights, inputs[:, :size])
            parts.append(activities[-network.num_outputs :])
        return np.concatenate(parts, axis=1)


def _samples(batches: Batches, batch: int) -> tuple[Floats, NDArray[np.int32] | Floats]:
    """Inputs and targets of one minibatch."""
    size = batches.sizes[batch]
    return batches.inputs[batch][:, :size], batches.targets[batch][:, :size]


def _slope(network: Network, row: int, weighted_inputs: Floats, activities: Floats) -> Floats:
    """Derivative of a node's activity by its weighted input."""
    node = row - network.num_sources
    slope: Floats = ACTIVATIONS_BY_CODE[network.activation[node]].derivative(weighted_inputs[node], activities[row])
    return slope


def _errors_of_outputs(network: Network, weighted_inputs: Floats, activities: Floats, output_errors: Floats) -> Floats:
    """Errors of all nodes where none has travelled yet."""
    errors = np.zeros_like(activities)
    first_output = network.num_nodes - network.num_outputs
    for k, row in enumerate(range(first_output, network.num_nodes)):
        errors[row] = _slope(network, row, weighted_inputs, activities) * output_errors[k]
    return errors


KERNEL = ReferenceKernel()
