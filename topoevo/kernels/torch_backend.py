"""The backend in PyTorch: gradients by automatic differentiation, updates by ``torch.optim``, on the CPU or a GPU.

It shares no arithmetic with the other backends, which makes it an independent witness. Two differences remain: at 0 the
slope of abs is 0 here and -1 there; and since a layer is a dense product, an activity that has overflowed to infinity
spoils the whole layer after it (0 · inf is NaN), not its own targets alone.
"""

from __future__ import annotations

import math
import sys
import threading
from contextlib import ContextDecorator
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from topoevo.kernels.arrays import Floats
from topoevo.kernels.base import Kernel
from topoevo.kernels.batches import Batches, StepScores
from topoevo.kernels.candidates import Perturbations, Proposals, Shaping
from topoevo.kernels.checks import check_inputs, check_plasticity, check_training
from topoevo.kernels.loss import Loss
from topoevo.kernels.optimization import Optimization, OptimizerState, UpdateRule, averaging_start, learning_rate
from topoevo.kernels.plasticity import Plasticity
from topoevo.kernels.torch_circuit import Circuit, mean_scores, sample_losses
from topoevo.network import Network

#: How many activities of perturbed networks are held at once.
_MOST_ACTIVITIES = 2**26


class _OneThread(ContextDecorator):
    """Within it torch computes in the calling thread alone, and afterwards with as many threads as before.

    A worker is one thread, as with the other backends; sums over several threads would depend on their number. Torch
    keeps the number for each thread, and one for threads that are still to come.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_inside = 0
        self._num_threads = 1

    def __enter__(self) -> None:
        with self._lock:
            # Asking sets the calling thread up, which its first product would otherwise do with another number.
            num_threads = torch.get_num_threads()
            if self._num_inside == 0:
                self._num_threads = num_threads
            self._num_inside += 1
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_inside -= 1
            torch.set_num_threads(self._num_threads)


_one_thread = _OneThread()


class TorchKernel(Kernel):
    """One network at a time, its layers and samples side by side."""

    name: ClassVar[str] = "torch"
    device: ClassVar[str] = "cpu"

    def prepare(self, loop: str = "train") -> None:
        """Load what torch itself loads late: the device, and what its optimizers need."""
        torch.optim.SGD([torch.zeros(1, device=self.device)])

    @_one_thread
    def forward(self, network: Network, weights: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """See `Kernel.forward`."""
        circuit = Circuit(network, self.device)
        with torch.no_grad():
            weighted_inputs, activities = circuit.flow(
                self._tensor(weights), self._sources(network, inputs, weights.dtype)
            )
        rows = circuit.position[network.num_sources :] - network.num_sources
        return _array(torch.cat(weighted_inputs)[rows]), _array(activities[circuit.position])

    @_one_thread
    def output_errors(
        self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats, *, label_smoothing: float = 0.0
    ) -> Floats:
        """See `Kernel.output_errors`."""
        computed = self._tensor(outputs).requires_grad_()
        given = self._targets(loss, targets, outputs.dtype)
        total = sample_losses(loss, computed, given, label_smoothing=label_smoothing).sum()
        return _array(torch.autograd.grad(total, computed)[0])

    @_one_thread
    def backward(
        self, network: Network, feedback: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.backward`."""
        circuit, carrying = Circuit(network, self.device), self._tensor(feedback)
        given = self._tensor(weighted_inputs)[circuit.computed - network.num_sources].requires_grad_()
        sources = self._tensor(activities[: network.num_sources])
        # Weights of 0 with feedback beside them: what the nodes compute is given, and errors still find their way.
        _, flowing = circuit.flow(torch.zeros_like(carrying), sources, feedback=carrying, offsets=given)
        (errors,) = torch.autograd.grad(flowing[circuit.outputs], given, self._tensor(output_errors))
        return _array(torch.cat([torch.zeros_like(sources), errors])[circuit.position])

    @_one_thread
    def direct_errors(
        self, network: Network, direct: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """See `Kernel.direct_errors`."""
        circuit = Circuit(network, self.device)
        given = self._tensor(weighted_inputs)[circuit.computed - network.num_sources].requires_grad_()
        sources = self._tensor(activities[: network.num_sources])
        weights = given.new_zeros(network.num_edges)
        _, flowing = circuit.flow(weights, sources, offsets=given, local=True)
        (errors,) = torch.autograd.grad(flowing[circuit.outputs], given, self._tensor(output_errors), retain_graph=True)
        carried = self._tensor(direct) @ errors[circuit.outputs - network.num_sources]
        if len(circuit.hidden):
            errors = errors + torch.autograd.grad(flowing[circuit.hidden], given, carried)[0]
        return _array(torch.cat([torch.zeros_like(sources), errors])[circuit.position])

    @_one_thread
    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """See `Kernel.edge_products`."""
        products = self._tensor(errors) @ self._tensor(activities).T
        return _array(products)[network.target, network.source]

    @_one_thread
    def hebbian_changes(self, network: Network, weights: Floats, activities: Floats, *, decorrelate: bool) -> Floats:
        """See `Kernel.hebbian_changes`."""
        circuit = Circuit(network, self.device)
        changes = circuit.hebbian_changes(self._tensor(weights), self._tensor(activities), decorrelate=decorrelate)
        return _array(changes)

    @_one_thread
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
        changing = self._tensor(weights)
        update = _Update(optimization, state, plastic, changing)
        update.step(self._tensor(gradient), lr)
        update.save()
        weights[...] = _array(changing)

    @_one_thread
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
        circuit, changing, p = Circuit(network, self.device), self._tensor(weights), plasticity
        update = _Update(optimization, state, p.plastic, changing, averaging_start(optimization, state, num_steps))
        feedback, direct, hebbian = (
            None if array is None else self._tensor(array) for array in (p.feedback, p.direct, p.hebbian)
        )
        for step, batch in enumerate(order):
            sources, targets = self._samples(network, weights, batches, batch, loss)
            learned = changing.clone().requires_grad_()
            weighted_inputs, activities = circuit.flow(
                learned, sources, feedback=feedback, local=not p.propagate or direct is not None
            )
            outputs = activities[circuit.outputs]
            score = mean_scores(loss, outputs, targets).tolist()
            if not math.isfinite(score[0]):
                break
            losses[step], accuracies[step] = score
            followed = sample_losses(loss, outputs, targets, label_smoothing=optimization.label_smoothing).mean()
            if p.propagate and direct is not None:
                (errors,) = torch.autograd.grad(followed, weighted_inputs[-1], retain_graph=True)
                carried = direct @ errors[circuit.outputs - (network.num_nodes - len(errors))]
                # Its derivative by an activity is what arrives there.
                followed = followed + (activities[circuit.hidden] * carried).sum()
            (gradient,) = torch.autograd.grad(followed, learned)
            if hebbian is not None:
                rows = activities.detach()[circuit.position]
                changes = circuit.hebbian_changes(changing, rows, decorrelate=p.decorrelate) / sources.shape[1]
                changing += p.hebbian_lr * torch.where(hebbian, changes, 0.0)
            update.step(gradient, learning_rate(optimization, state.steps, num_steps))
        update.save()
        weights[...] = _array(changing)
        return StepScores(losses, accuracies)

    @_one_thread
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
        p = perturbations
        losses, accuracies = np.full((2, len(order)), np.nan)
        num_steps = state.num_steps or state.steps + len(order)
        num_noises = p.num_candidates // 2 if p.antithetic else p.num_candidates
        circuit, changing = Circuit(network, self.device), self._tensor(weights)
        update = _Update(optimization, state, plastic, changing, averaging_start(optimization, state, num_steps))
        for step, batch in enumerate(order):
            sources, targets = self._samples(network, weights, batches, batch, loss)
            noise = np.zeros((num_noises, network.num_edges), weights.dtype)
            noise[:, plastic] = rng.standard_normal((num_noises, np.count_nonzero(plastic)), np.float32)
            directions = self._tensor(np.concatenate([noise, -noise]) if p.antithetic else noise)
            score = circuit.scores(loss, changing, sources, targets).tolist()
            at_once = max(1, _MOST_ACTIVITIES // (network.num_nodes * sources.shape[1]))
            found = torch.cat(
                [
                    circuit.scores(loss, changing + p.sigma * some, sources, targets)[0]
                    for some in directions.split(at_once)
                ]
            )
            if not math.isfinite(score[0]) or not bool(found.isfinite().all()):
                break
            losses[step], accuracies[step] = score
            gradient = _shaped(found, p.shaping, p.sigma).to(directions.dtype) @ directions / p.num_candidates
            update.step(gradient, learning_rate(optimization, state.steps, num_steps))
        update.save()
        weights[...] = _array(changing)
        return StepScores(losses, accuracies)

    @_one_thread
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
        p = proposals
        losses, accuracies, acceptances = np.full((3, len(order)), np.nan)
        circuit, present = Circuit(network, self.device), self._tensor(weights)
        for step, batch in enumerate(order):
            sources, targets = self._samples(network, weights, batches, batch, loss)
            score = circuit.scores(loss, present, sources, targets).tolist()
            if not math.isfinite(score[0]):
                break
            losses[step], accuracies[step] = score
            height, num_accepted = score[0], 0
            for _ in range(p.num_per_step):
                noise = rng.standard_normal(network.num_edges, np.float32)
                proposed = present + self._tensor((state.scale * p.deviation * noise).astype(weights.dtype))
                proposed_height = circuit.scores(loss, proposed, sources, targets)[0].item()
                rise = proposed_height - height
                # A rise that is NaN is refused by both comparisons.
                accepted = rise <= 0 if math.isinf(p.beta) else rng.random() < math.exp(min(-p.beta * rise, 0.0))
                if accepted:
                    present, height, num_accepted = proposed, proposed_height, num_accepted + 1
                if p.target_acceptance > 0:
                    state.scale *= math.exp(p.GAIN * (accepted - p.target_acceptance))
            acceptances[step] = num_accepted / p.num_per_step
            state.steps += 1
        weights[...] = _array(present)
        return StepScores(losses, accuracies, acceptances)

    @_one_thread
    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """See `Kernel.outputs`."""
        check_inputs(network, batches.inputs.shape[1])
        circuit, weighting = Circuit(network, self.device), self._tensor(weights)
        parts = []
        for inputs, size in zip(batches.inputs, batches.sizes, strict=True):
            with torch.no_grad():
                _, activities = circuit.flow(weighting, self._sources(network, inputs[:, :size], weights.dtype))
            parts.append(_array(activities[circuit.outputs]))
        return np.concatenate(parts, axis=1)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """A copy on the device."""
        return torch.from_numpy(np.array(array, order="C")).to(self.device)

    def _sources(self, network: Network, inputs: Floats, dtype: np.dtype[Any]) -> Tensor:
        """Activities of the inputs that are used and of the bias node, [num_sources, num_samples]."""
        sources = np.ones((network.num_sources, inputs.shape[1]), dtype)
        sources[: len(network.input_index)] = inputs[network.input_index]
        return self._tensor(sources)

    def _targets(self, loss: Loss, targets: NDArray[np.int32] | Floats, dtype: np.dtype[Any]) -> Tensor:
        """Targets as torch wants them."""
        return self._tensor(targets.astype(np.int64 if loss.has_classes else dtype))

    def _samples(
        self, network: Network, weights: Floats, batches: Batches, batch: int, loss: Loss
    ) -> tuple[Tensor, Tensor]:
        """Source activities and targets of one minibatch."""
        size = batches.sizes[batch]
        sources = self._sources(network, batches.inputs[batch][:, :size], weights.dtype)
        return sources, self._targets(loss, batches.targets[batch][:, :size], weights.dtype)


#: What torch calls the averages `first` and `second` of `OptimizerState`.
_MEMORY = {
    UpdateRule.SGD: ("momentum_buffer", None),
    UpdateRule.ADAM: ("exp_avg", "exp_avg_sq"),
    UpdateRule.ADADELTA: ("acc_delta", "square_avg"),
    UpdateRule.RMSPROP: ("momentum_buffer", "square_avg"),
    UpdateRule.NONE: (None, None),
}


class _Update:
    """An optimizer of torch at work on the plastic part of `weights`, which it changes in place."""

    def __init__(
        self,
        optimization: Optimization,
        state: OptimizerState,
        plastic: NDArray[np.bool_],
        weights: Tensor,
        averaged_from: int = sys.maxsize,
    ) -> None:
        self._optimization, self._state, self._weights = optimization, state, weights
        self._averaged_from = averaged_from
        self._sum = None if state.weight_sum is None else torch.tensor(state.weight_sum, device=weights.device)
        self._edges = np.flatnonzero(plastic)
        self._places = torch.from_numpy(self._edges).to(weights.device)
        self._learned = weights[self._places]
        self._optimizer = _optimizer(optimization, self._learned)
        if self._optimizer is not None:
            memory: dict[str, Tensor] = {"step": torch.tensor(float(state.age))}
            for name, average in zip(_MEMORY[optimization.rule], (state.first, state.second), strict=True):
                if name is not None:
                    memory[name] = torch.from_numpy(average[self._edges]).to(weights)
            self._optimizer.state[self._learned] = memory

    def step(self, gradient: Tensor, lr: float) -> None:
        """Take one step against `gradient` [num_edges]."""
        self._state.steps += 1
        if self._optimizer is not None:
            self._move(self._optimizer, gradient, lr)
        if self._state.steps > self._averaged_from:
            self._sum = self._weights.double() + (0.0 if self._sum is None else self._sum)
            self._state.num_summed += 1

    def _move(self, optimizer: torch.optim.Optimizer, gradient: Tensor, lr: float) -> None:
        """Change the plastic weights."""
        o = self._optimization
        g = gradient[self._places]
        if math.isfinite(o.max_grad_norm):
            g = g * (o.max_grad_norm / torch.linalg.vector_norm(g)).clamp(max=1.0)
        if o.grad_power != 1.0:
            g = g.sign() * g.abs() ** o.grad_power
        with torch.no_grad():
            self._learned.copy_(self._weights[self._places])
            if o.decoupled:
                self._learned *= 1.0 - min(lr * o.weight_decay, 1.0)
            self._learned.grad = g
            optimizer.param_groups[0]["lr"] = lr
            optimizer.step()
            self._weights[self._places] = self._learned

    def save(self) -> None:
        """Write what is remembered back to where it came from."""
        self._state.weight_sum = None if self._sum is None else _array(self._sum)
        if self._optimizer is None:
            return
        memory = self._optimizer.state[self._learned]
        for name, average in zip(
            _MEMORY[self._optimization.rule], (self._state.first, self._state.second), strict=True
        ):
            if name is not None:
                average[self._edges] = _array(memory[name])


def _optimizer(o: Optimization, learned: Tensor) -> Any:
    """Torch's optimizer for an update rule, or None."""
    decay = 0.0 if o.decoupled else o.weight_decay
    if o.rule is UpdateRule.SGD:
        return torch.optim.SGD([learned], momentum=o.first_decay, weight_decay=decay)
    if o.rule is UpdateRule.ADAM:
        betas = (o.first_decay, o.second_decay)
        return torch.optim.Adam([learned], betas=betas, eps=o.epsilon, weight_decay=decay)
    if o.rule is UpdateRule.ADADELTA:
        return torch.optim.Adadelta([learned], rho=o.second_decay, eps=o.epsilon, weight_decay=decay)
    if o.rule is UpdateRule.RMSPROP:
        return torch.optim.RMSprop(
            [learned], alpha=o.second_decay, eps=o.epsilon, momentum=o.first_decay, weight_decay=decay
        )
    return None


def _shaped(losses: Tensor, shaping: Shaping, sigma: float) -> Tensor:
    """What an evolution strategy makes of the losses of its candidates; see `Shaping`."""
    if shaping is Shaping.RAW:
        return losses / sigma
    if shaping is Shaping.CENTERED_RANKS:
        ascending = losses.sort().values
        below, upto = (torch.searchsorted(ascending, losses, right=right) for right in (False, True))
        return (below + upto - 1) / (2.0 * (len(losses) - 1)) - 0.5
    deviation = losses.std(correction=0)
    return torch.where(deviation > 0, (losses - losses.mean()) / deviation, 0.0)


def _array(tensor: Tensor) -> NDArray[Any]:
    """Numbers back in the host's memory."""
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


KERNEL = TorchKernel()
