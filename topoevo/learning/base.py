"""What every learning rule has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import Batches, Kernel, Loss, Optimization, OptimizerState, Plasticity
from topoevo.learning.history import TrainingHistory
from topoevo.network import Network
from topoevo.registry import Registry, option

#: Every learning rule by name.
LEARNING_RULES: Registry[type[LearningRule]] = Registry("learning rule", "topoevo.learning")


@dataclass
class Learner:
    """A network while it learns: the only thing in the program that changes in place.

    Parameters
    ----------
    network, kernel
        What is trained, and the backend that computes.
    weights
        Current weight of each edge, float32 [num_edges].
    plasticity
        What the rule does to which edge.
    optimization, state
        The weight update and its memory.
    loss
        What is minimized.
    """

    network: Network
    kernel: Kernel
    weights: NDArray[np.float32]
    plasticity: Plasticity
    optimization: Optimization
    state: OptimizerState
    loss: Loss

    def train(self, batches: Batches, epochs: NDArray[np.int32]) -> TrainingHistory:
        """Take one step a minibatch.

        Parameters
        ----------
        batches
            The training samples.
        epochs
            Order of the minibatches in every epoch, int32 [num_epochs, num_batches].
        """
        order = np.ascontiguousarray(epochs.ravel())
        with np.errstate(over="ignore", invalid="ignore"):
            losses, accuracies = self.kernel.train(
                self.network, self.weights, self.plasticity, self.optimization, self.state, batches, order, self.loss
            )
        return TrainingHistory(losses, accuracies, batches.sizes[order], epochs.shape[1])

    def outputs(self, batches: Batches) -> NDArray[np.float32]:
        """Return the outputs for all samples, float32 [num_outputs, num_samples]."""
        return self.kernel.outputs(self.network, self.weights, batches)


@dataclass(frozen=True)
class LearningRule(ABC):
    """A rule that trains the weights of a given network.

    A subclass says in `_plasticity` which edges learn and how errors reach them; the loop over minibatches is the
    kernel's.
    """

    name: ClassVar[str]

    train_only_outputs: bool = option(False, "train only the connections to the outputs, whatever the learning rule")

    @abstractmethod
    def _plasticity(self, network: Network, rng: np.random.Generator) -> Plasticity:
        """Which edges learn, and how errors travel."""

    def plasticity(self, network: Network, rng: np.random.Generator) -> Plasticity:
        """Return which edges learn and along which weights errors travel.

        Parameters
        ----------
        network
            The network to train.
        rng
            Generator for what the rule draws once, such as feedback weights.
        """
        plasticity = self._plasticity(network, rng)
        if self.train_only_outputs:
            return Plasticity(plasticity.plastic & network.into_output, plasticity.feedback, propagate=False)
        return plasticity

    def start(
        self,
        network: Network,
        weights: NDArray[np.float32],
        *,
        kernel: Kernel,
        optimization: Optimization,
        loss: Loss,
        rng: np.random.Generator,
        num_steps: int = 0,
    ) -> Learner:
        """Return a learner that is ready for its first step.

        Parameters
        ----------
        network
            The network to train.
        weights
            Where training starts, float32 [num_edges]; copied.
        kernel, optimization, loss
            Backend, weight update and what is minimized.
        rng
            Generator for what the rule draws once.
        num_steps
            Steps of the whole training, over which the learning rate changes; 0 stands for those of a single call.
        """
        return Learner(
            network,
            kernel,
            np.array(weights, np.float32),
            self.plasticity(network, rng),
            optimization,
            OptimizerState.zeros(network.num_edges, num_steps),
            loss,
        )
