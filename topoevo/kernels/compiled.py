"""The backend in numba: whole trainings inside compiled code, without Python's global lock.

What is compiled is in `topoevo.kernels.loops` and `topoevo.kernels.primitives`. Every array and number goes there in
the one type that was compiled for: another type would be compiled for again, for seconds.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import loops, primitives
from topoevo.kernels import shared_weights as shared_weight_loops
from topoevo.kernels.arrays import Floats
from topoevo.kernels.base import Kernel
from topoevo.kernels.batches import Batches, StepScores
from topoevo.kernels.candidates import Perturbations, Proposals, Shaping
from topoevo.kernels.checks import (
    check_edges,
    check_inputs,
    check_plasticity,
    check_shapes,
    check_state,
    check_targets,
    check_training,
)
from topoevo.kernels.loss import Loss
from topoevo.kernels.optimization import Optimization, OptimizerState, UpdateRule, averaging_start
from topoevo.kernels.plasticity import Plasticity
from topoevo.network import Network

#: What stands for weights that a rule does not have.
_NO_FEEDBACK = np.zeros(0, np.float32)
_NO_DIRECT = np.zeros((0, 1), np.float32)
_NO_EDGES = np.zeros(0, np.bool_)


class CompiledKernel(Kernel):
    """The default backend."""

    name: ClassVar[str] = "numba"

    def needs_compilation(self, loop: str = "train") -> bool:
        """See `Kernel.needs_compilation`."""
        module = shared_weight_loops if loop in self.SCORING_LOOPS else loops
        compiled = getattr(module, loop)
        if compiled.signatures:
            return False
        # numba has a folder for each place that a source file lies in.
        python = f"py{sys.version_info.major}{sys.version_info.minor}"
        module_name = module.__name__.rpartition(".")[2]
        return not any(Path(compiled.stats.cache_path).glob(f"{module_name}.{loop}-*.{python}*.nbc"))

    def prepare(self, loop: str = "train") -> None:
        """Compile what training by a loop and scoring need, or load it from the cache."""
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
        learning = (OptimizerState.zeros(1), batches, np.zeros(1, np.int32), Loss.CROSS_ENTROPY)
        plastic, optimization = np.ones(1, np.bool_), Optimization(UpdateRule.SGD, 0.0)
        rng = np.random.default_rng(0)
        if loop in self.SCORING_LOOPS:
            self.shared_weight_scores(network, weights, batches, Loss.CROSS_ENTROPY)
            self.shared_weight_outputs(network, weights, batches)
            return
        if loop == "train":
            self.train(network, weights, Plasticity(plastic), optimization, *learning)
        elif loop == "train_by_perturbations":
            perturbations = Perturbations(2, 1.0, antithetic=True, shaping=Shaping.RAW)
            self.train_by_perturbations(network, weights, plastic, perturbations, optimization, *learning, rng)
        else:
            self.train_by_proposals(network, weights, Proposals(np.zeros(1), 1.0, 1), *learning, rng)
        self.outputs(network, weights, batches)

    def forward(self, network: Network, weights: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """See `Kernel.forward`."""
        check_edges(network, weights=weights)
        check_inputs(network, len(inputs))
        n = inputs.shape[1]
        activities = np.ones((network.num_nodes, n), np.float32)
        weighted_inputs = np.empty((network.num_nodes - network.num_sources, n), np.float32)
        read = _frozen(weights, inputs[None])
        primitives.forward(*_incoming(network), *read, weighted_inputs, activities)
        return weighted_inputs, activities

    def output_errors(
        self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats, *, label_smoothing: float = 0.0
    ) -> Floats:
        """See `Kernel.output_errors`."""
        check_targets(len(outputs), loss, targets)
        errors = np.empty_like(outputs)
        primitives.output_errors(
            int(loss), *_frozen(outputs, *_labels_and_values(loss, targets)), float(label_smoothing), errors
        )
        return errors

    def backward(
        self, network: Network, feedback: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.backward`."""
        check_edges(network, feedback=feedback)
        return self._errors(network, feedback, _NO_DIRECT, weighted_inputs, activities, output_errors)

    def direct_errors(
        self, network: Network, direct: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.direct_errors`."""
        num_hidden = network.num_nodes - network.num_sources - network.num_outputs
        check_shapes({"direct": (direct, (num_hidden, network.num_outputs))})
        return self._errors(network, _NO_FEEDBACK, direct, weighted_inputs, activities, output_errors)

    def _errors(
        self,
        network: Network,
        feedback: Floats,
        direct: Floats,
        weighted_inputs: Floats,
        activities: Floats,
        output_errors: Floats,
    ) -> Floats:
        """Errors of all nodes, along the edges or, if there are `direct` weights, along those."""
        n, num_computed = activities.shape[-1], network.num_nodes - network.num_sources
        check_shapes(
            {
                "weighted_inputs": (weighted_inputs, (num_computed, n)),
                "activities": (activities, (network.num_nodes, n)),
                "output_errors": (output_errors, (network.num_outputs, n)),
            }
        )
        errors = np.zeros_like(activities)
        errors[-network.num_outputs :] = output_errors
        primitives.backward(
            network.num_sources, network.num_outputs, *_frozen(network.activation), *_outgoing(network),
            *_frozen(feedback, direct, weighted_inputs, activities), errors,
        )  # fmt: skip
        return errors

    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """See `Kernel.edge_products`."""
        shape = (network.num_nodes, activities.shape[-1])
        check_shapes({"errors": (errors, shape), "activities": (activities, shape)})
        gradient = np.zeros(network.num_edges, np.float32)
        primitives.edge_products(*_outgoing(network), *_frozen(errors, activities), gradient)
        return gradient

    def hebbian_changes(self, network: Network, weights: Floats, activities: Floats, *, decorrelate: bool) -> Floats:
        """See `Kernel.hebbian_changes`."""
        check_edges(network, weights=weights)
        check_shapes({"activities": (activities, (network.num_nodes, activities.shape[-1]))})
        changes = np.zeros(network.num_edges, np.float32)
        first_output = network.num_nodes - network.num_outputs
        primitives.hebbian_changes(
            first_output, *_outgoing(network), *_frozen(weights, activities), decorrelate, changes
        )
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
        check_shapes({name: (array, weights.shape) for name, array in (("gradient", gradient), ("plastic", plastic))})
        state.steps += 1
        o = optimization
        primitives.update(
            int(o.rule), float(lr), float(o.first_decay), float(o.second_decay), float(o.epsilon),
            float(o.weight_decay), o.decoupled, float(o.max_grad_norm), float(o.grad_power), state.age,
            state.first, state.second, weights, gradient.astype(np.float32), *_frozen(plastic),
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
        check_training(network, weights, batches, order, loss)
        check_plasticity(network, plasticity)
        check_state(network, state)
        losses, accuracies = np.full((2, len(order)), np.nan)
        p = plasticity
        with _contiguous(weights) as own, _averaged(optimization, state, order, len(weights)) as averaged:
            state.steps += loops.train(
                *_incoming(network), *_outgoing(network),
                own, *_frozen(p.plastic, _NO_FEEDBACK if p.feedback is None else p.feedback), p.feedback is not None,
                p.propagate,
                *_frozen(
                    _NO_DIRECT if p.direct is None else p.direct, _NO_EDGES if p.hebbian is None else p.hebbian
                ),
                float(p.hebbian_lr), p.decorrelate,
                *_scalars(optimization), float(optimization.label_smoothing), *_state(state, order), *averaged,
                *_samples(batches, loss, order), int(loss), losses, accuracies,
            )  # fmt: skip
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
        check_edges(network, plastic=plastic)
        check_state(network, state)
        losses, accuracies = np.full((2, len(order)), np.nan)
        p = perturbations
        with _contiguous(weights) as own, _averaged(optimization, state, order, len(weights)) as averaged:
            state.steps += loops.train_by_perturbations(
                *_incoming(network),
                own, *_frozen(plastic), p.num_candidates, float(p.sigma), p.antithetic, int(p.shaping),
                *_scalars(optimization), *_state(state, order), *averaged,
                *_samples(batches, loss, order), int(loss), rng, losses, accuracies,
            )  # fmt: skip
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
        check_edges(network, deviation=proposals.deviation)
        losses, accuracies, acceptances = np.full((3, len(order)), np.nan)
        p = proposals
        with _contiguous(weights) as own:
            num_steps, state.scale = loops.train_by_proposals(
                *_incoming(network),
                own, *_frozen(p.deviation), float(p.beta), p.num_per_step, float(p.target_acceptance), p.GAIN,
                float(state.scale),
                *_samples(batches, loss, order), int(loss), rng, losses, accuracies, acceptances,
            )  # fmt: skip
        state.steps += num_steps
        return StepScores(losses, accuracies, acceptances)

    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """See `Kernel.outputs`."""
        check_edges(network, weights=weights)
        check_inputs(network, batches.inputs.shape[1])
        outputs = np.empty((network.num_outputs, batches.num_samples), np.float32)
        loops.outputs(*_incoming(network), *_frozen(weights, batches.inputs, batches.sizes), outputs)
        return outputs

    def shared_weight_outputs(self, network: Network, shared_weights: Floats, batches: Batches) -> Floats:
        """See `Kernel.shared_weight_outputs`."""
        check_inputs(network, batches.inputs.shape[1])
        weights = np.asarray(shared_weights, np.float32)
        outputs = np.empty((len(weights), network.num_outputs, batches.num_samples), np.float32)
        shared_weight_loops.shared_weight_outputs(
            *_incoming(network), *_frozen(weights, batches.inputs, batches.sizes), outputs
        )
        return outputs

    def shared_weight_scores(
        self, network: Network, shared_weights: Floats, batches: Batches, loss: Loss
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Kernel.shared_weight_scores`."""
        check_inputs(network, batches.inputs.shape[1])
        check_targets(network.num_outputs, loss, batches.targets)
        weights = np.asarray(shared_weights, np.float32)
        losses, accuracies = np.empty((2, len(weights)))
        shared_weight_loops.shared_weight_scores(
            *_incoming(network),
            *_frozen(weights, batches.inputs, *_labels_and_values(loss, batches.targets), batches.sizes),
            int(loss), losses, accuracies,
        )  # fmt: skip
        return losses, accuracies


def _frozen(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """Read-only views: to numba, data that may not be written has another type and would be compiled for again."""
    views = []
    for array in arrays:
        view = np.ascontiguousarray(array).view(np.ndarray)
        view.flags.writeable = False
        views.append(view)
    return views


@contextmanager
def _contiguous(weights: Floats) -> Iterator[Floats]:
    """The weights, or a contiguous copy that is written back."""
    own = np.ascontiguousarray(weights)
    yield own
    if own is not weights:
        weights[...] = own


def _incoming(network: Network) -> tuple[Any, ...]:
    """What a forward pass needs."""
    input_index, activation, row_start, source = _frozen(
        network.input_index, network.activation, network.row_start, network.source
    )
    return input_index, network.num_sources, network.num_outputs, activation, row_start, source


def _outgoing(network: Network) -> list[NDArray[Any]]:
    """What a backward pass needs: edges by source, and the target of each of them."""
    start, edge = network.outgoing
    return _frozen(start, edge, network.target[edge])


def _scalars(optimization: Optimization) -> tuple[Any, ...]:
    """Settings of the weight update, each in the one type that was compiled for."""
    o = optimization
    numbers = (o.first_decay, o.second_decay, o.epsilon, o.weight_decay)
    return (
        int(o.rule), float(o.lr), float(o.final_lr_ratio), int(o.schedule), *(float(x) for x in numbers),
        bool(o.decoupled), float(o.max_grad_norm), float(o.grad_power),
    )  # fmt: skip


@contextmanager
def _averaged(
    optimization: Optimization, state: OptimizerState, order: NDArray[np.int32], num_edges: int
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The first step whose weights are averaged, and what their sum is added to; afterwards the state has it."""
    before = state.steps
    start = averaging_start(optimization, state, state.num_steps or before + len(order))
    if start >= before + len(order):
        yield start, np.zeros(0)
        return
    weight_sum = np.zeros(num_edges) if state.weight_sum is None else state.weight_sum
    yield start, weight_sum
    num_added = state.steps - max(start, before)
    if num_added > 0:
        state.weight_sum, state.num_summed = weight_sum, state.num_summed + num_added


def _state(state: OptimizerState, order: NDArray[np.int32]) -> tuple[Any, ...]:
    """Steps before this call, steps of the whole training, and the running averages with their age."""
    return state.steps, state.num_steps or state.steps + len(order), state.age, state.first, state.second


def _samples(batches: Batches, loss: Loss, order: NDArray[np.int32]) -> list[NDArray[Any]]:
    """Inputs, class indices, values, sizes, and which minibatch is whose turn."""
    labels, values = _labels_and_values(loss, batches.targets)
    return _frozen(batches.inputs, labels, values, batches.sizes, order.astype(np.int32, copy=False))


def _labels_and_values(loss: Loss, targets: NDArray[np.int32] | Floats) -> tuple[Any, Any]:
    """Targets as (class indices, values), an empty array in the place of what the loss does not use."""
    if loss.has_classes:
        return targets.astype(np.int32, copy=False), np.zeros((len(targets),) + (1,) * (targets.ndim - 1), np.float32)
    return np.zeros((len(targets),) + (1,) * (targets.ndim - 1), np.int32), targets


KERNEL = CompiledKernel()
