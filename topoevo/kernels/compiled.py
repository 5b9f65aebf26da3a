"""The backend in numba: whole trainings inside compiled code, without Python's global lock.

The functions here are called from Python and cached on the disk; the loops that they are made of are in
`topoevo.kernels.passes`.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo import activations
from topoevo.compilation import cache_directory, entry_point
from topoevo.errors import KernelError
from topoevo.kernels import elementary, lanes, passes
from topoevo.kernels import prefetch as prefetch_module
from topoevo.kernels.base import (
    Batches,
    Floats,
    Kernel,
    Loss,
    Optimization,
    OptimizerState,
    Perturbations,
    Plasticity,
    Proposals,
    Shaping,
    StepScores,
    UpdateRule,
)
from topoevo.kernels.lanes import LANES, SUMS, aligned_rows
from topoevo.kernels.passes import (
    accuracy_of,
    backward_pass,
    clear_lanes,
    collect,
    direct_pass,
    fetch_inputs,
    forward_pass,
    hebbian_pass,
    learning_rate,
    load_inputs,
    load_rows,
    output_errors,
    output_products,
    output_slopes,
    products,
    scores,
    shape_gradient,
    shape_losses,
    store_rows,
    update,
)
from topoevo.network import Network

#: numba sees that this file has changed, but not the others that its functions are made of.
SOURCES = tuple(str(module.__file__) for module in (passes, lanes, prefetch_module, elementary, activations))
_CACHE = cache_directory(__file__, *SOURCES)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
#: What stands for weights that a rule does not have.
_NO_FEEDBACK = np.zeros(0, np.float32)
_NO_DIRECT = np.zeros((0, 1), np.float32)
_NO_EDGES = np.zeros(0, np.bool_)


@entry_point(_CACHE)
def _train(
    input_index, num_sources, num_outputs, activation, row_start, source, out_start, edge, out_target,
    weights, plastic, feedback, has_feedback, propagate, direct, hebbian, hebbian_lr, decorrelate,
    rule, lr, final_lr_ratio, schedule, first_decay, second_decay, epsilon, weight_decay, decoupled,
    max_grad_norm, grad_power,
    steps_before, num_steps, first, second,
    inputs, labels, values, sizes, order, loss_kind, losses, accuracies,
):  # fmt: skip
    """Train; see `Kernel.train`. Returns the number of steps taken."""
    num_computed = len(activation)
    num_nodes = num_sources + num_computed
    num_edges = len(weights)
    first_output = num_nodes - num_outputs
    output_edges = np.arange(row_start[num_computed - num_outputs], num_edges)
    rows = np.arange(num_nodes)
    activities, errors = aligned_rows(num_nodes, LANES), aligned_rows(num_nodes, LANES)
    activities[:] = _ONE
    weighted_inputs = aligned_rows(num_computed, LANES)
    sums = aligned_rows(num_edges if propagate else len(output_edges), SUMS)
    changes, change = aligned_rows(len(hebbian), SUMS), np.zeros(len(hebbian), np.float32)
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    answer = np.empty(LANES, np.int32)
    gradient = np.zeros(num_edges, np.float32)
    out_weights = np.empty(num_edges, np.float32)
    for step in range(len(order)):
        batch = order[step]
        n = sizes[batch]
        for k in range(num_edges):
            out_weights[k] = feedback[edge[k]] if has_feedback else weights[edge[k]]
        loss, right = 0.0, 0
        for start in range(0, n, LANES):
            size = min(LANES, n - start)
            fetch_inputs(input_index, inputs, order[min(step + 1, len(order) - 1)], start)
            load_inputs(input_index, inputs, batch, start, size, activities)
            forward_pass(num_sources, activation, row_start, source, weights, weighted_inputs, activities)
            block_loss, block_right = scores(
                loss_kind, activities, num_outputs, labels[batch, 0], values[batch], start, size, top, total, answer
            )
            loss += block_loss
            right += block_right
            output_errors(
                loss_kind, activities, num_outputs, labels[batch, 0], values[batch], start, size, top, total, errors
            )
            output_slopes(num_sources, num_outputs, activation, weighted_inputs, activities, errors)
            if not propagate:
                output_products(num_outputs, row_start, source, errors, activities, sums)
            elif len(direct):
                direct_pass(
                    num_sources, num_outputs, activation, out_start, out_target, direct,
                    weighted_inputs, activities, errors, sums,
                )  # fmt: skip
            else:
                backward_pass(
                    num_sources, num_outputs, activation, out_start, out_target, out_weights, rows,
                    weighted_inputs, activities, errors, sums,
                )  # fmt: skip
            if len(hebbian):
                clear_lanes(activities, 0, size)
                hebbian_pass(first_output, out_start, out_target, out_weights, activities, decorrelate, changes)
                activities[len(input_index) : num_sources] = _ONE
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
            second_decay, epsilon, weight_decay, decoupled, steps_before + step + 1,
            first, second, weights, gradient, plastic,
        )  # fmt: skip
    return len(order)


@entry_point(_CACHE)
def _train_by_perturbations(
    input_index, num_sources, num_outputs, activation, row_start, source,
    weights, plastic, num_candidates, sigma, antithetic, shaping,
    rule, lr, final_lr_ratio, schedule, first_decay, second_decay, epsilon, weight_decay, decoupled,
    max_grad_norm, grad_power,
    steps_before, num_steps, first, second,
    inputs, labels, values, sizes, order, loss_kind, rng, losses, accuracies,
):  # fmt: skip
    """Train; see `Kernel.train_by_perturbations`. Returns the number of steps taken."""
    num_computed = len(activation)
    activities, weighted_inputs = aligned_rows(num_sources + num_computed, LANES), aligned_rows(num_computed, LANES)
    activities[:] = _ONE
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
            load_inputs(input_index, inputs, batch, start, size, activities)
            for i in range(num_candidates + 1):
                deviation = np.float32(sigma if i < num_noises else -sigma)
                if i == num_candidates:
                    deviation = _ZERO
                for k in range(len(learned)):
                    candidate[learned[k]] = weights[learned[k]] + deviation * noise[i % num_noises, k]
                forward_pass(num_sources, activation, row_start, source, candidate, weighted_inputs, activities)
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
            second_decay, epsilon, weight_decay, decoupled, steps_before + step + 1,
            first, second, weights, gradient, plastic,
        )  # fmt: skip
    return len(order)


@entry_point(_CACHE)
def _train_by_proposals(
    input_index, num_sources, num_outputs, activation, row_start, source,
    weights, deviation, beta, num_per_step, target_acceptance, gain, scale,
    inputs, labels, values, sizes, order, loss_kind, rng, losses, accuracies, acceptances,
):  # fmt: skip
    """Train; see `Kernel.train_by_proposals`. Returns the number of steps taken and the scale reached."""
    num_computed = len(activation)
    activities, weighted_inputs = aligned_rows(num_sources + num_computed, LANES), aligned_rows(num_computed, LANES)
    activities[:] = _ONE
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
                load_inputs(input_index, inputs, batch, start, size, activities)
                forward_pass(num_sources, activation, row_start, source, candidate, weighted_inputs, activities)
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


@entry_point(_CACHE)
def _outputs(input_index, num_sources, num_outputs, activation, row_start, source, weights, inputs, sizes, outputs):
    """Output activities of all minibatches into `outputs` [num_outputs, num_samples]."""
    num_computed = len(activation)
    num_nodes = num_sources + num_computed
    activities, weighted_inputs = aligned_rows(num_nodes, LANES), aligned_rows(num_computed, LANES)
    activities[:] = _ONE
    done = 0
    for batch in range(len(sizes)):
        n = sizes[batch]
        for start in range(0, n, LANES):
            size = min(LANES, n - start)
            fetch_inputs(input_index, inputs, min(batch + 1, len(sizes) - 1), start)
            load_inputs(input_index, inputs, batch, start, size, activities)
            forward_pass(num_sources, activation, row_start, source, weights, weighted_inputs, activities)
            store_rows(activities, num_nodes - num_outputs, outputs, done + start, size)
        done += n


# -- single primitives: blocks of whole matrices ----------------------------------------------------------------


@entry_point(_CACHE)
def _forward(
    input_index, num_sources, num_outputs, activation, row_start, source, weights, inputs,
    all_weighted_inputs, all_activities,
):  # fmt: skip
    """See `Kernel.forward`."""
    num_computed = len(activation)
    activities = aligned_rows(num_sources + num_computed, LANES)
    activities[:] = _ONE
    weighted_inputs = aligned_rows(num_computed, LANES)
    n = inputs.shape[2]
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_inputs(input_index, inputs, 0, start, size, activities)
        forward_pass(num_sources, activation, row_start, source, weights, weighted_inputs, activities)
        store_rows(weighted_inputs, 0, all_weighted_inputs, start, size)
        store_rows(activities, 0, all_activities, start, size)


@entry_point(_CACHE)
def _output_errors(loss_kind, outputs, labels, values, all_errors):
    """See `Kernel.output_errors`."""
    num_outputs, n = outputs.shape
    rows, errors = aligned_rows(num_outputs, LANES), aligned_rows(num_outputs, LANES)
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    answer = np.empty(LANES, np.int32)
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_rows(outputs, start, size, rows)
        scores(loss_kind, rows, num_outputs, labels[0], values, start, size, top, total, answer)
        output_errors(loss_kind, rows, num_outputs, labels[0], values, start, size, top, total, errors)
        store_rows(errors, 0, all_errors, start, size)


@entry_point(_CACHE)
def _backward(
    num_sources, num_outputs, activation, out_start, edge, out_target, feedback, direct,
    all_weighted_inputs, all_activities, all_errors,
):  # fmt: skip
    """See `Kernel.backward` and `Kernel.direct_errors`; `all_errors` holds the output errors before."""
    num_nodes, n = all_activities.shape
    activities, errors = aligned_rows(num_nodes, LANES), aligned_rows(num_nodes, LANES)
    weighted_inputs, sums = aligned_rows(len(activation), LANES), aligned_rows(len(edge), SUMS)
    rows = np.arange(num_nodes)
    out_feedback = np.zeros(len(edge), np.float32)
    for k in range(len(feedback)):
        out_feedback[k] = feedback[edge[k]]
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_rows(all_activities, start, size, activities)
        load_rows(all_weighted_inputs, start, size, weighted_inputs)
        load_rows(all_errors, start, size, errors)
        output_slopes(num_sources, num_outputs, activation, weighted_inputs, activities, errors)
        if len(direct):
            direct_pass(
                num_sources, num_outputs, activation, out_start, out_target, direct,
                weighted_inputs, activities, errors, sums,
            )  # fmt: skip
        else:
            backward_pass(
                num_sources, num_outputs, activation, out_start, out_target, out_feedback, rows,
                weighted_inputs, activities, errors, sums,
            )  # fmt: skip
        store_rows(errors, 0, all_errors, start, size)


@entry_point(_CACHE)
def _edge_products(out_start, edge, out_target, all_errors, all_activities, gradient):
    """See `Kernel.edge_products`."""
    num_nodes, n = all_activities.shape
    activities, errors = aligned_rows(num_nodes, LANES), aligned_rows(num_nodes, LANES)
    sums = aligned_rows(len(edge), SUMS)
    for start in range(0, n, LANES):
        size = min(LANES, n - start)
        load_rows(all_activities, start, size, activities)
        load_rows(all_errors, start, size, errors)
        products(0, num_nodes, out_start, out_target, errors, activities, sums)
    collect(sums, edge, gradient)


@entry_point(_CACHE)
def _hebbian_changes(first_output, out_start, edge, out_target, weights, all_activities, decorrelate, change):
    """See `Kernel.hebbian_changes`."""
    num_nodes, n = all_activities.shape
    activities, sums = aligned_rows(num_nodes, LANES), aligned_rows(len(edge), SUMS)
    out_weights = weights[edge]
    for start in range(0, n, LANES):
        load_rows(all_activities, start, min(LANES, n - start), activities)
        hebbian_pass(first_output, out_start, out_target, out_weights, activities, decorrelate, sums)
    collect(sums, edge, change)


@entry_point(_CACHE)
def _update(
    rule, lr, first_decay, second_decay, epsilon, weight_decay, decoupled, max_grad_norm, grad_power, step,
    first, second, weights, gradient, plastic,
):  # fmt: skip
    """See `Kernel.update`; `gradient` is changed, too."""
    shape_gradient(max_grad_norm, grad_power, gradient, plastic)
    update(
        rule, lr, first_decay, second_decay, epsilon, weight_decay, decoupled, step,
        first, second, weights, gradient, plastic,
    )  # fmt: skip


#: What is compiled for each of `Kernel.LOOPS`.
_LOOPS = {
    "train": _train,
    "train_by_perturbations": _train_by_perturbations,
    "train_by_proposals": _train_by_proposals,
}


class CompiledKernel(Kernel):
    """The default backend."""

    name: ClassVar[str] = "numba"

    def needs_compilation(self, loop: str = "train") -> bool:
        """See `Kernel.needs_compilation`."""
        python = f"py{sys.version_info.major}{sys.version_info.minor}"
        name = _LOOPS[loop].py_func.__name__
        return not _LOOPS[loop].signatures and not any(_CACHE.rglob(f"compiled.{name}-*.{python}*.nbc"))

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
        return self._errors(network, feedback, _NO_DIRECT, weighted_inputs, activities, output_errors)

    def direct_errors(
        self, network: Network, direct: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.direct_errors`."""
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
        errors = np.zeros_like(activities)
        errors[-network.num_outputs :] = output_errors
        _backward(
            network.num_sources, network.num_outputs, *_frozen(network.activation), *_outgoing(network),
            *_frozen(feedback, direct, weighted_inputs, activities), errors,
        )  # fmt: skip
        return errors

    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """See `Kernel.edge_products`."""
        gradient = np.zeros(network.num_edges, np.float32)
        _edge_products(*_outgoing(network), *_frozen(errors, activities), gradient)
        return gradient

    def hebbian_changes(self, network: Network, weights: Floats, activities: Floats, *, decorrelate: bool) -> Floats:
        """See `Kernel.hebbian_changes`."""
        changes = np.zeros(network.num_edges, np.float32)
        first_output = network.num_nodes - network.num_outputs
        _hebbian_changes(first_output, *_outgoing(network), *_frozen(weights, activities), decorrelate, changes)
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
        state.steps += 1
        o = optimization
        _update(
            int(o.rule), float(lr), float(o.first_decay), float(o.second_decay), float(o.epsilon),
            float(o.weight_decay), o.decoupled, float(o.max_grad_norm), float(o.grad_power), state.steps,
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
        _check(network, batches, loss)
        losses, accuracies = np.full((2, len(order)), np.nan)
        p = plasticity
        with _contiguous(weights) as own:
            state.steps += _train(
                *_incoming(network), *_outgoing(network),
                own, *_frozen(p.plastic, _NO_FEEDBACK if p.feedback is None else p.feedback), p.feedback is not None,
                p.propagate,
                *_frozen(
                    _NO_DIRECT if p.direct is None else p.direct, _NO_EDGES if p.hebbian is None else p.hebbian
                ),
                float(p.hebbian_lr), p.decorrelate,
                *_scalars(optimization), *_state(state, order),
                *_samples(batches, loss), *_frozen(order), int(loss), losses, accuracies,
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
        _check(network, batches, loss)
        losses, accuracies = np.full((2, len(order)), np.nan)
        p = perturbations
        with _contiguous(weights) as own:
            state.steps += _train_by_perturbations(
                *_incoming(network),
                own, *_frozen(plastic), p.num_candidates, float(p.sigma), p.antithetic, int(p.shaping),
                *_scalars(optimization), *_state(state, order),
                *_samples(batches, loss), *_frozen(order), int(loss), rng, losses, accuracies,
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
        _check(network, batches, loss)
        losses, accuracies, acceptances = np.full((3, len(order)), np.nan)
        p = proposals
        with _contiguous(weights) as own:
            num_steps, state.scale = _train_by_proposals(
                *_incoming(network),
                own, *_frozen(p.deviation), float(p.beta), p.num_per_step, float(p.target_acceptance), p.GAIN,
                float(state.scale),
                *_samples(batches, loss), *_frozen(order), int(loss), rng, losses, accuracies, acceptances,
            )  # fmt: skip
        state.steps += num_steps
        return StepScores(losses, accuracies, acceptances)

    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """See `Kernel.outputs`."""
        outputs = np.empty((network.num_outputs, batches.num_samples), np.float32)
        _outputs(*_incoming(network), *_frozen(weights, batches.inputs, batches.sizes), outputs)
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


def _state(state: OptimizerState, order: NDArray[np.int32]) -> tuple[Any, ...]:
    """Steps before this call, steps of the whole training, and the running averages."""
    return state.steps, state.num_steps or state.steps + len(order), state.first, state.second


def _samples(batches: Batches, loss: Loss) -> list[NDArray[Any]]:
    """Inputs, class indices, values and sizes."""
    return _frozen(batches.inputs, *_labels_and_values(loss, batches.targets), batches.sizes)


def _labels_and_values(loss: Loss, targets: NDArray[np.int32] | Floats) -> tuple[Any, Any]:
    """Targets as (class indices, values), an empty array in the place of what the loss does not use."""
    if loss.has_classes:
        return targets, np.zeros((len(targets),) + (1,) * (targets.ndim - 1), np.float32)
    return np.zeros((len(targets),) + (1,) * (targets.ndim - 1), np.int32), targets


KERNEL = CompiledKernel()
