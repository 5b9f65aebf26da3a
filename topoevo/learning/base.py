"""What every learning rule has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import Batches, Kernel, Loss, Optimization, OptimizerState, Plasticity, StepScores
from topoevo.kernels.objectives import Objective
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
    rule
        How it learns.
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
    rng
        For rules that try at random.
    """

    rule: LearningRule
    network: Network
    kernel: Kernel
    weights: NDArray[np.float32]
    plasticity: Plasticity
    optimization: Optimization
    state: OptimizerState
    loss: Loss
    rng: np.random.Generator

    def train(self, batches: Batches, epochs: NDArray[np.int32]) -> TrainingHistory:
        """Take one step a minibatch; after the last one of the whole training, averaged weights are the weights.

        Parameters
        ----------
        batches
            The training samples.
        epochs
            Order of the minibatches in every epoch, int32 [num_epochs, num_batches].
        """
        order = np.ascontiguousarray(epochs.ravel())
        num_steps = self.state.num_steps or self.state.steps + len(order)
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self.rule.train(self, batches, order)
        average = self.state.average
        if average is not None and self.state.steps >= num_steps:
            self.weights[:] = average
            self.state.restart_average()
        return TrainingHistory(
            scores.losses, scores.accuracies, batches.sizes[order], epochs.shape[1], scores.acceptances
        )

    def outputs(self, batches: Batches) -> NDArray[np.float32]:
        """Return the outputs for all samples, float32 [num_outputs, num_samples]."""
        return self.kernel.outputs(self.network, self.weights, batches)

    def memory(self) -> dict[str, Any]:
        """Return all that changes while it learns, as arrays and JSON values; `recall` goes on from there."""
        memory: dict[str, Any] = {
            "weights": self.weights.copy(),
            "first": self.state.first.copy(),
            "second": self.state.second.copy(),
            "steps": self.state.steps,
            "num_steps": self.state.num_steps,
            "scale": self.state.scale,
            "rng": self.rng.bit_generator.state,
        }
        if self.state.weight_sum is not None:
            memory |= {"weight_sum": self.state.weight_sum.copy(), "num_summed": self.state.num_summed}
        if self.state.num_inherited:
            memory["num_inherited"] = self.state.num_inherited
        return memory

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Become as the learner of the same rule and network was whose `memory` is given."""
        self.weights[:] = memory["weights"]
        weight_sum = memory.get("weight_sum")
        self.state = OptimizerState(
            np.array(memory["first"], np.float32),
            np.array(memory["second"], np.float32),
            int(memory["steps"]),
            int(memory["num_steps"]),
            float(memory["scale"]),
            None if weight_sum is None else np.array(weight_sum, np.float64),
            int(memory.get("num_summed", 0)),
            int(memory.get("num_inherited", 0)),
        )
        self.rng.bit_generator.state = memory["rng"]


@dataclass(frozen=True)
class LearningRule(ABC):
    """A rule that trains the weights of a given network.

    A subclass says in `_plasticity` which edges learn and how errors reach them; the loop over minibatches is the
    kernel's. A rule that learns from losses alone overrides `train` and `follow`, too.
    """

    name: ClassVar[str]
    #: Whether an optimizer turns what the rule finds into changes of weights.
    needs_optimizer: ClassVar[bool] = True
    #: Whether the derivatives of activations are used, so that flat ones, as of step, pass no error.
    needs_derivatives: ClassVar[bool] = True
    #: The loop of the backend that `train` calls, one of `Kernel.LOOPS`.
    loop: ClassVar[str] = "train"
    #: The same of the outputs alone, for rules whose errors go no further.
    needs_output_derivatives: ClassVar[bool] = True
    #: Whether anything goes through the optimizer, so that its settings have an effect.
    follows_gradient: ClassVar[bool] = True
    #: Whether errors travel along weights of their own, which a seed decides.
    has_feedback: ClassVar[bool] = False
    #: Whether it needs nothing but a score of the weights, so that it learns in environments, too, by `follow`.
    follows_scores: ClassVar[bool] = False
    #: Whether errors or activities tell of every connection what learning would do with it.
    gives_evidence: ClassVar[bool] = True
    #: Whether weights change at all.
    changes_weights: ClassVar[bool] = True
    #: What may help if the loss becomes infinite, in settings as a user calls them.
    remedy: ClassVar[str] = "a smaller lr, or max_grad_norm"

    train_only_outputs: bool = option(False, "train only the connections to the outputs, whatever the learning rule")

    @property
    def passes_a_step(self) -> int:
        """How often each sample of a minibatch goes through the network in one step; forwards and backwards is once."""
        return 1

    @abstractmethod
    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        """Which edges learn, and how errors travel."""

    def plasticity(self, network: Network, *, weight_init: str = "he", feedback_seed: int = 0) -> Plasticity:
        """Return which edges learn and along which weights errors travel.

        Parameters
        ----------
        network
            The network to train.
        weight_init
            Name of `WEIGHT_INITS`: the scale of the weights.
        feedback_seed
            Decides feedback weights, together with the ids of the nodes that they connect.
        """
        plasticity = self._plasticity(network, weight_init, feedback_seed)
        if not self.train_only_outputs:
            return plasticity
        return Plasticity(plasticity.plastic & network.into_output, propagate=False)

    def start(
        self,
        network: Network,
        weights: NDArray[np.float32],
        *,
        kernel: Kernel,
        optimization: Optimization,
        loss: Loss,
        rng: np.random.Generator,
        weight_init: str = "he",
        feedback_seed: int = 0,
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
            Generator that belongs to the learner from now on.
        weight_init, feedback_seed
            See `plasticity`.
        num_steps
            Steps of the whole training, over which the learning rate changes; 0 stands for those of a single call.
        """
        return Learner(
            self,
            network,
            kernel,
            np.array(weights, np.float32),
            self.plasticity(network, weight_init=weight_init, feedback_seed=feedback_seed),
            optimization,
            OptimizerState.zeros(network.num_edges, num_steps),
            loss,
            rng,
        )

    def train(self, learner: Learner, batches: Batches, order: NDArray[np.int32]) -> StepScores:
        """Take one step with each minibatch of `order`, int32 [num_steps]."""
        return learner.kernel.train(
            learner.network,
            learner.weights,
            learner.plasticity,
            learner.optimization,
            learner.state,
            batches,
            order,
            learner.loss,
        )

    def follow(
        self,
        objective: Objective,
        network: Network,
        weights: NDArray[np.float32],
        *,
        kernel: Kernel,
        optimization: Optimization,
        rng: np.random.Generator,
        num_steps: int,
    ) -> NDArray[np.float32]:
        """Return the weights, float32 [num_edges], that steps down an objective lead to.

        Every rule that `follows_scores` has such steps.

        Parameters
        ----------
        objective
            Loss of every row of candidate weights, for example their mean return with the sign changed. The same in
            all steps.
        network
            The network whose weights they are.
        weights
            Where learning starts, float32 [num_edges]; left as they are.
        kernel, optimization
            Backend and settings of the weight update.
        rng
            For everything that is tried at random.
        num_steps
            Of the whole training, over which the learning rate changes.
        """
        raise NotImplementedError(f"{self.name} needs to know more than scores")
