"""What a backend computes, and the data that it computes on.

Samples lie side by side: every matrix is [node, sample], so that one node's activities over a minibatch are one
contiguous run of numbers.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import KernelError
from topoevo.network import Network

Floats = NDArray[np.float32]


class Loss(IntEnum):
    """What is minimized, averaged over samples."""

    CROSS_ENTROPY = 0  #: -log softmax of the right class, in nats
    MEAN_SQUARED_ERROR = 1  #: squared error averaged over outputs
    CLASS_SQUARED_ERROR = 2  #: the same with 1 for the right class and 0 for the others as targets

    @property
    def has_classes(self) -> bool:
        """Whether targets are class indices."""
        return self is not Loss.MEAN_SQUARED_ERROR


class UpdateRule(IntEnum):
    """How a gradient becomes a change of weights."""

    SGD = 0  #: with momentum as in Sutskever et al. 2013, eq. 1-2 (heavy ball, learning rate outside)
    #: Kingma & Ba 2015, algorithm 1. Decoupled decay as in Loshchilov & Hutter 2019, algorithm 2 (AdamW); differs from
    #: the paper in being multiplied by the learning rate, as torch does.
    ADAM = 1
    ADADELTA = 2  #: Zeiler 2012, algorithm 1
    RMSPROP = 3  #: Tieleman & Hinton 2012, lecture 6.5, with momentum on the scaled gradient as torch has it
    NONE = 4  #: no change


class Schedule(IntEnum):
    """How the learning rate gets from its first to its last value."""

    LINEAR = 0  #: in equal steps
    COSINE = 1  #: half a period of a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts)


class Shaping(IntEnum):
    """What an evolution strategy makes of the losses of its candidates before it weights their perturbations."""

    RAW = 0  #: losses divided by sigma: the estimate of the gradient itself
    STANDARDIZED = 1  #: minus their mean, divided by their standard deviation
    CENTERED_RANKS = 2  #: ranks, scaled to -1/2 … 1/2 (Salimans et al. 2017, section 2.1)


@dataclass(frozen=True)
class Optimization:
    """Settings of the weight update.

    Parameters
    ----------
    rule
        The update.
    lr
        Learning rate of the first step.
    final_lr_ratio
        Learning rate of the last step as a fraction of the first.
    schedule
        How it changes in between.
    first_decay, second_decay
        Adam: decay of the first and second moment. Sgd and rmsprop: `first_decay` is the momentum. Adadelta and
        rmsprop: `second_decay` is the decay of their averages.
    epsilon
        Added to denominators.
    weight_decay
        Strength of the pull to zero, per step.
    decoupled
        Whether the decay acts on the weights times `lr` (AdamW) instead of on the gradient (L2 penalty).
    max_grad_norm
        Euclidean norm that a gradient over the plastic edges is scaled down to where it is longer (Pascanu et al.
        2013, algorithm 1); infinity leaves it.
    grad_power
        Every component g becomes sign(g) |g|^grad_power, after clipping (Baiesi 2019); 1 leaves it, 0 keeps the sign
        alone.
    label_smoothing
        Share ε of the target probability of a cross entropy that is spread evenly over the K classes: the errors that
        are followed are softmax - (1 - ε) onehot - ε / K (Szegedy et al. 2016, section 7), while losses are reported
        without. Loops that follow losses instead of errors know nothing of it.
    weight_averaging
        Share of the steps, at the end of a training, after each of which the weights count in `OptimizerState.average`
        (Polyak & Juditsky 1992; Izmailov et al. 2018); 0 averages nothing. Steps themselves do not notice.
    """

    rule: UpdateRule
    lr: float
    final_lr_ratio: float = 1.0
    schedule: Schedule = Schedule.LINEAR
    first_decay: float = 0.0
    second_decay: float = 0.0
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    max_grad_norm: float = math.inf
    grad_power: float = 1.0
    label_smoothing: float = 0.0
    weight_averaging: float = 0.0


@dataclass
class OptimizerState:
    """What the update remembers between steps.

    Parameters
    ----------
    first, second
        Two running averages per edge, float32 [num_edges].
    steps
        Steps taken so far.
    num_steps
        Steps of the whole training, over which the learning rate changes, however many calls they are spread over; 0
        stands for those of the present call.
    scale
        Factor that the acceptance rate of Metropolis proposals has led to.
    weight_sum, num_summed
        Sum of the weights after each of the last `num_summed` steps, float64 [num_edges]; None before
        the first of them.
    """

    first: Floats
    second: Floats
    steps: int = 0
    num_steps: int = 0
    scale: float = 1.0
    weight_sum: NDArray[np.float64] | None = None
    num_summed: int = 0

    @staticmethod
    def zeros(num_edges: int, num_steps: int = 0) -> OptimizerState:
        """Return the state before the first step."""
        return OptimizerState(np.zeros(num_edges, np.float32), np.zeros(num_edges, np.float32), num_steps=num_steps)

    @property
    def average(self) -> Floats | None:
        """Uniform average of the weights that were added, float32 [num_edges]; None if there were none."""
        return None if self.weight_sum is None else (self.weight_sum / self.num_summed).astype(np.float32)

    def add_to_average(self, weights: Floats) -> None:
        """Let weights, float [num_edges], count in the average."""
        if self.weight_sum is None:
            self.weight_sum = np.zeros(len(weights))
        self.weight_sum += weights
        self.num_summed += 1

    def restart_average(self) -> None:
        """Forget the weights that were added, as is due where the network changes."""
        self.weight_sum, self.num_summed = None, 0


@dataclass(frozen=True, eq=False)
class Plasticity:
    """Which edges learn from what, and how errors travel back: all that the compiled loop knows of a rule.

    Parameters
    ----------
    plastic
        Whether each edge follows the product of its target's error and its source's activity by way of the
        optimizer, bool [num_edges].
    feedback
        Weight with which each edge carries errors back, float32 [num_edges]; None stands for the weights themselves,
        which makes the product the gradient.
    propagate
        Whether errors reach hidden nodes at all.
    direct
        Weights with which the errors of the outputs reach every hidden node directly, without passing the nodes in
        between, float32 [num_hidden, num_outputs]; None sends errors along the edges.
    hebbian
        Whether each edge follows activities alone, bool [num_edges]; None stands for no edge.
    hebbian_lr
        Learning rate of those edges, which no optimizer touches.
    decorrelate
        Whether the nodes that share a source see what the nodes before them leave unexplained (Sanger) instead of the
        whole (Oja).
    """

    plastic: NDArray[np.bool_]
    feedback: Floats | None = None
    propagate: bool = True
    direct: Floats | None = None
    hebbian: NDArray[np.bool_] | None = None
    hebbian_lr: float = 0.0
    decorrelate: bool = False

    def __post_init__(self) -> None:
        if self.feedback is not None and self.hebbian is not None:
            raise KernelError("edges with feedback weights and Hebbian edges do not go together")


@dataclass(frozen=True)
class Perturbations:
    """How an evolution strategy looks around.

    Parameters
    ----------
    num_candidates
        Perturbed networks a step, at least 2.
    sigma
        Standard deviation of the perturbation of every weight.
    antithetic
        Whether every perturbation is tried in both directions; `num_candidates` is even then.
    shaping
        What becomes of the losses.
    """

    num_candidates: int
    sigma: float
    antithetic: bool
    shaping: Shaping

    def __post_init__(self) -> None:
        if self.num_candidates < 2 or (self.antithetic and self.num_candidates % 2):
            even = " and even, since every perturbation is tried in both directions" if self.antithetic else ""
            raise KernelError(f"num_candidates is {self.num_candidates}, must be at least 2{even}")


@dataclass(frozen=True, eq=False)
class Proposals:
    """How a Metropolis walk moves.

    Parameters
    ----------
    deviation
        Standard deviation of the proposed change of each weight, float64 [num_edges]; 0 keeps an edge as it is.
    beta
        Inverse temperature; infinity accepts what does not increase the loss.
    num_per_step
        Proposals a minibatch, at least 1.
    target_acceptance
        Acceptance rate that all deviations are scaled towards; 0 leaves them.
    """

    deviation: NDArray[np.float64]
    beta: float
    num_per_step: int
    target_acceptance: float = 0.0

    #: Share of the difference from the target that changes the logarithm of the scale after every proposal
    #: (Andrieu & Thoms 2008, algorithm 4, with a constant gain).
    GAIN: ClassVar[float] = 0.05


@dataclass(frozen=True, eq=False)
class Batches:
    """Samples cut into minibatches, each one contiguous.

    Parameters
    ----------
    inputs
        float32 [num_batches, num_inputs, batch_size]; what lies beyond a batch's size is zero.
    targets
        Class indices int32 [num_batches, 1, batch_size], or values float32 [num_batches, num_outputs, batch_size].
    sizes
        Samples in each minibatch, int32 [num_batches]; only the last one may be smaller.
    """

    inputs: Floats
    targets: NDArray[np.int32] | Floats
    sizes: NDArray[np.int32]

    @staticmethod
    def lay_out(
        inputs: Floats,
        targets: NDArray[np.int32] | Floats,
        *,
        batch_size: int,
        order: NDArray[np.integer[Any]] | None = None,
    ) -> Batches:
        """Return samples as minibatches; the last one is smaller if they do not divide evenly.

        Parameters
        ----------
        inputs
            float32 [num_samples, num_inputs].
        targets
            int32 [num_samples] or float32 [num_samples, num_outputs].
        batch_size
            Samples a minibatch, at least 1.
        order
            Which sample comes where, int [num_samples]; None keeps the order.
        """
        num_samples = len(inputs) if order is None else len(order)
        batch_size = min(batch_size, num_samples)
        starts = range(0, num_samples, batch_size)
        columns = targets[:, None] if targets.ndim == 1 else targets
        laid_inputs = _aligned_zeros((len(starts), inputs.shape[1], batch_size))
        laid_targets: NDArray[Any] = np.zeros((len(starts), columns.shape[1], batch_size), columns.dtype)
        sizes = np.full(len(starts), batch_size, np.int32)
        for batch, start in enumerate(starts):
            rows = slice(start, start + batch_size) if order is None else order[start : start + batch_size]
            size = min(batch_size, num_samples - start)
            laid_inputs[batch, :, :size] = inputs[rows].T
            laid_targets[batch, :, :size] = columns[rows].T
            sizes[batch] = size
        return Batches(laid_inputs, laid_targets, sizes)

    @property
    def num_batches(self) -> int:
        """Number of minibatches."""
        return len(self.sizes)

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return int(self.sizes.sum())


def _aligned_zeros(shape: tuple[int, ...]) -> Floats:
    """Zeros that begin with a line of the cache, from where compiled loops read rows in one go."""
    numbers = np.zeros(math.prod(shape) + 16, np.float32)
    first = -numbers.ctypes.data % 64 // 4
    return numbers[first : first + math.prod(shape)].reshape(shape)


class StepScores(NamedTuple):
    """Scores of each step, of its minibatch before the step.

    Parameters
    ----------
    losses, accuracies
        Means over the minibatch, float64 [num_steps]. Accuracy is NaN for regression. Training stops at the first
        loss that is not finite; the steps from there on are NaN.
    acceptances
        Fraction of accepted proposals, float64 [num_steps]; None where nothing is proposed.
    """

    losses: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    acceptances: NDArray[np.float64] | None = None


class Kernel(ABC):
    """The numerical primitives; a backend implements all of them.

    Shapes: ``weights`` and other edge arrays [num_edges]; ``activities``, ``errors`` [num_nodes, num_samples];
    ``weighted_inputs`` [num_computed, num_samples].
    """

    name: ClassVar[str]

    #: The loops over minibatches; a learning rule names the one that it uses.
    LOOPS: ClassVar[tuple[str, ...]] = ("train", "train_by_perturbations", "train_by_proposals")
    #: The loops over samples that change no weight; prepared like those of `LOOPS`.
    SCORING_LOOPS: ClassVar[tuple[str, ...]] = ("shared_weight_scores",)

    def needs_compilation(self, loop: str = "train") -> bool:
        """Return whether the first training will have to wait for a compiler.

        Parameters
        ----------
        loop
            One of `LOOPS` or `SCORING_LOOPS`.
        """
        return False

    def prepare(self, loop: str = "train") -> None:  # noqa: B027 - a backend may have nothing to prepare
        """Do once, in the calling process, what the first training would otherwise wait for.

        Parameters
        ----------
        loop
            One of `LOOPS` or `SCORING_LOOPS`.
        """

    @abstractmethod
    def forward(self, network: Network, weights: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """Return weighted inputs and activities.

        Parameters
        ----------
        network, weights
            The network and the weight of each edge.
        inputs
            float32 [num_inputs, num_samples], all inputs of the task.
        """

    @abstractmethod
    def output_errors(
        self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats, *, label_smoothing: float = 0.0
    ) -> Floats:
        """Return each sample's derivative of its loss by each output activity.

        Parameters
        ----------
        loss
            What is minimized.
        outputs
            [num_outputs, num_samples].
        targets
            int32 [1, num_samples] or float32 [num_outputs, num_samples].
        label_smoothing
            See `Optimization`; a squared error knows nothing of it.
        """

    @abstractmethod
    def backward(
        self, network: Network, feedback: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """Return the errors of all nodes: derivatives of the loss by weighted inputs if `feedback` is the weights.

        A node's error is its slope times the sum, over its outgoing edges, of feedback weight times error; an output's
        is its slope times `output_errors`. Rows of inputs and bias are zero.
        """

    @abstractmethod
    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """Return, for each edge, the sum over samples of its target's error times its source's activity."""

    @abstractmethod
    def direct_errors(
        self, network: Network, direct: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """Return the errors of all nodes where hidden ones get those of the outputs directly.

        An output's error is as in `backward`; a hidden node's is its slope times the sum, over outputs, of `direct`
        [num_hidden, num_outputs] times the output's error.
        """

    @abstractmethod
    def hebbian_changes(self, network: Network, weights: Floats, activities: Floats, *, decorrelate: bool) -> Floats:
        """Return, for each edge j → i into a hidden node, the sum over samples of y_i (x_j - r_ij); 0 for the others.

        r_ij is what is known of the source's activity: w_ij y_i (Oja 1982, eq. 3), or if `decorrelate` the sum of
        w_kj y_k over the hidden nodes k ≤ i with an edge from j, in the order of rows (Sanger 1989, eq. 6).
        """

    @abstractmethod
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
        """Change the plastic `weights` in place by one step and count it in `state`."""

    @abstractmethod
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
        """Change `weights` in place by one step a minibatch.

        Where `optimization` has `weight_averaging`, `state` averages the weights besides; to take the average for
        them is left to the caller, when the training is over.

        Parameters
        ----------
        order
            Minibatch of each step, int32 [num_steps].
        """

    @abstractmethod
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
        """Change `weights` in place by one step of an evolution strategy a minibatch.

        With the losses L of the candidates w + σ n (and w - σ n), shaped to A, the optimizer follows the mean over
        candidates of A n, which for raw losses estimates the gradient (Salimans et al. 2017, algorithm 1).

        Parameters
        ----------
        rng
            For each step the noise n of the plastic edges is ``rng.standard_normal((num_noises, num_plastic),
            np.float32)``, one row a candidate or antithetic pair.
        """

    @abstractmethod
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
        """Change `weights` in place by Metropolis proposals on every minibatch in turn.

        A proposal that changes the loss of the minibatch by d is accepted with probability min(1, exp(-beta d))
        (Metropolis et al. 1953).

        Parameters
        ----------
        rng
            For each proposal the noise of the edges is ``rng.standard_normal(num_edges, np.float32)``; for a finite
            beta ``rng.random()`` follows.
        """

    @abstractmethod
    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """Return the output activities for all samples, float32 [num_outputs, num_samples]."""

    def shared_weight_outputs(self, network: Network, shared_weights: Floats, batches: Batches) -> Floats:
        """Return the output activities under each of several weights that all edges share.

        Parameters
        ----------
        shared_weights
            float32 [num_weights].

        Returns
        -------
        float32 [num_weights, num_outputs, num_samples]
        """
        outputs = np.empty((len(shared_weights), network.num_outputs, batches.num_samples), np.float32)
        for one, weight in zip(outputs, shared_weights, strict=True):
            one[:] = self.outputs(network, np.full(network.num_edges, weight, np.float32), batches)
        return outputs

    def shared_weight_scores(
        self, network: Network, shared_weights: Floats, batches: Batches, loss: Loss
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean loss and accuracy under each of several weights that all edges share.

        Parameters
        ----------
        shared_weights
            float32 [num_weights].
        batches
            The samples; the means are over all of them, however they are cut.

        Returns
        -------
        losses, accuracies : ndarray of float64 [num_weights]
            Cross entropies by way of log-softmax. A loss that is not finite is returned as it is, and the accuracy
            beside it means nothing. Accuracy is NaN for regression.
        """
        parts = [targets[:, :size] for targets, size in zip(batches.targets, batches.sizes, strict=True)]
        targets = np.concatenate(parts, axis=1)
        outputs = self.shared_weight_outputs(network, shared_weights, batches)
        found = np.array([mean_scores(loss, one, targets) for one in outputs]).reshape(-1, 2)
        return found[:, 0], found[:, 1]


def learning_rate(optimization: Optimization, step: int, num_steps: int) -> float:
    """Return the learning rate of one of `num_steps` steps, the first being number 0; beyond the last it stays."""
    progress = min(step / (num_steps - 1), 1.0) if num_steps > 1 else 0.0
    if optimization.schedule is Schedule.COSINE:
        progress = 0.5 * (1.0 - math.cos(math.pi * progress))
    return optimization.lr * (1.0 - (1.0 - optimization.final_lr_ratio) * progress)


def averaging_start(optimization: Optimization, state: OptimizerState, num_steps: int) -> int:
    """Return the number of the first of `num_steps` steps, number 0 being the first, whose weights are averaged.

    At least one step counts, unless `weight_averaging` is 0, where none ever does. What `state` has averaged before
    that step is of another training, and is forgotten.
    """
    if optimization.weight_averaging == 0:
        return sys.maxsize
    start = num_steps - max(1, round(optimization.weight_averaging * num_steps))
    if state.steps <= start:
        state.restart_average()
    return start


def target_values(loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> Floats:
    """Return what outputs are compared with by a squared error, [num_outputs, num_samples].

    Parameters
    ----------
    loss, outputs, targets
        See `Kernel.output_errors`.
    """
    if loss is Loss.MEAN_SQUARED_ERROR:
        return targets  # type: ignore[return-value]
    values: Floats = (np.arange(len(outputs))[:, None] == targets).astype(outputs.dtype)
    return values


def mean_scores(loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> tuple[float, float]:
    """Return the mean loss, and the fraction of right answers or NaN.

    Parameters
    ----------
    loss, outputs, targets
        See `Kernel.output_errors`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if loss is Loss.CROSS_ENTROPY:
            right = outputs[targets[0].astype(np.int64), np.arange(outputs.shape[1])]
            mean = float(np.mean(_log_sum_exp(outputs) - right, dtype=np.float64))
        else:
            mean = float(np.mean((outputs - target_values(loss, outputs, targets)) ** 2, dtype=np.float64))
    return mean, float(np.mean(outputs.argmax(axis=0) == targets[0])) if loss.has_classes else math.nan


def _log_sum_exp(outputs: Floats) -> Floats:
    """log(sum(exp(outputs))) over outputs, without overflow."""
    top = outputs.max(axis=0)
    result: Floats = top + np.log(np.exp(outputs - top).sum(axis=0))
    return result
