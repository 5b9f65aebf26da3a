"""What a backend computes, and the data that it computes on.

Samples lie side by side: every matrix is [node, sample], so that one node's activities over a minibatch are one
contiguous run of numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.network import Network

Floats = NDArray[np.float32]


class Loss(IntEnum):
    """What is minimized, averaged over samples."""

    CROSS_ENTROPY = 0  #: -log softmax of the right class, in nats
    MEAN_SQUARED_ERROR = 1  #: squared error averaged over outputs


class UpdateRule(IntEnum):
    """How a gradient becomes a change of weights."""

    SGD = 0  #: with momentum as in Sutskever et al. 2013, eq. 1-2 (heavy ball, learning rate outside)
    #: Kingma & Ba 2015, algorithm 1. Decoupled decay as in Loshchilov & Hutter 2019, algorithm 2 (AdamW); differs from
    #: the paper in being multiplied by the learning rate, as torch does.
    ADAM = 1
    ADADELTA = 2  #: Zeiler 2012, algorithm 1


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
        Learning rate of the last step as a fraction of the first; in between it changes linearly.
    first_decay, second_decay
        Adam: decay of the first and second moment. Sgd: `first_decay` is the momentum. Adadelta: `second_decay` is the
        decay of both averages.
    epsilon
        Added to denominators.
    weight_decay
        Strength of the pull to zero, per step.
    decoupled
        Whether the decay acts on the weights times `lr` (AdamW) instead of on the gradient (L2 penalty).
    """

    rule: UpdateRule
    lr: float
    final_lr_ratio: float = 1.0
    first_decay: float = 0.0
    second_decay: float = 0.0
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False


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
    """

    first: Floats
    second: Floats
    steps: int = 0
    num_steps: int = 0

    @staticmethod
    def zeros(num_edges: int, num_steps: int = 0) -> OptimizerState:
        """Return the state before the first step."""
        return OptimizerState(np.zeros(num_edges, np.float32), np.zeros(num_edges, np.float32), num_steps=num_steps)


@dataclass(frozen=True, eq=False)
class Plasticity:
    """Which edges learn, and along which weights errors travel back: all that the compiled loop knows of a rule.

    Parameters
    ----------
    plastic
        Whether each edge follows the product of its target's error and its source's activity, bool [num_edges].
    feedback
        Weight with which each edge carries errors back, float32 [num_edges]; None stands for the weights themselves,
        which makes the product the gradient.
    propagate
        Whether errors reach hidden nodes at all.
    """

    plastic: NDArray[np.bool_]
    feedback: Floats | None = None
    propagate: bool = True


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
        laid_inputs = np.zeros((len(starts), inputs.shape[1], batch_size), np.float32)
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


class Kernel(ABC):
    """The numerical primitives; a backend implements all of them.

    Shapes: ``weights`` and other edge arrays [num_edges]; ``activities``, ``errors`` [num_nodes, num_samples];
    ``weighted_inputs`` [num_computed, num_samples].
    """

    name: ClassVar[str]

    def needs_compilation(self) -> bool:
        """Return whether the first training will have to wait for a compiler."""
        return False

    def prepare(self) -> None:  # noqa: B027 - a backend may have nothing to prepare
        """Do once, in the calling process, what the first training would otherwise wait for."""

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
    def output_errors(self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats) -> Floats:
        """Return each sample's derivative of its loss by each output activity.

        Parameters
        ----------
        loss
            What is minimized.
        outputs
            [num_outputs, num_samples].
        targets
            int32 [1, num_samples] or float32 [num_outputs, num_samples].
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
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Change `weights` in place by one step a minibatch.

        Parameters
        ----------
        order
            Minibatch of each step, int32 [num_steps].

        Returns
        -------
        losses, accuracies : ndarray of float64 [num_steps]
            Mean over the minibatch, before its step. Accuracy is NaN for regression. Training stops at the first loss
            that is not finite; the steps from there on are NaN.
        """

    @abstractmethod
    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """Return the output activities for all samples, float32 [num_outputs, num_samples]."""


def learning_rate(optimization: Optimization, step: int, num_steps: int) -> float:
    """Return the learning rate of one of `num_steps` steps, the first being number 0; beyond the last it stays."""
    progress = min(step / (num_steps - 1), 1.0) if num_steps > 1 else 0.0
    return optimization.lr * (1.0 - (1.0 - optimization.final_lr_ratio) * progress)
