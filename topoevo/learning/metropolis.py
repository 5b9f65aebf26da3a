"""Conditioned mutation: random changes of all weights, kept where the loss does not grow too much.

Whitelam, Selin, Park & Tamblyn 2021: with small changes this is gradient descent with noise. On the average a proposal
of deviation σ moves the weights by -βσ²/2 times the gradient where βσ|gradient| is small, and by σ/sqrt(2π) against the
direction of the gradient where β is infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import Batches, Kernel, Optimization, OptimizerState, Plasticity, Proposals, StepScores
from topoevo.kernels.objectives import Objective, walk
from topoevo.learning.base import LEARNING_RULES, Learner, LearningRule
from topoevo.network import Network
from topoevo.registry import option


@LEARNING_RULES.register
@dataclass(frozen=True)
class Metropolis(LearningRule):
    """A walk of one network, without derivatives and without an optimizer."""

    name: ClassVar[str] = "metropolis"
    gives_evidence: ClassVar[bool] = False
    needs_optimizer: ClassVar[bool] = False
    follows_gradient: ClassVar[bool] = False
    needs_derivatives: ClassVar[bool] = False
    follows_scores: ClassVar[bool] = True
    loop: ClassVar[str] = "train_by_proposals"
    needs_output_derivatives: ClassVar[bool] = False
    remedy: ClassVar[str] = "a smaller metropolis_sigma, a larger metropolis_beta, or metropolis_target_acceptance"

    sigma: float = option(0.01, "standard deviation of a proposed change of a weight", gt=0)
    beta: float = option(math.inf, "inverse temperature; .inf keeps only what does not increase the loss", ge=0)
    num_proposals: int = option(10, "proposals tried on every minibatch", ge=1, le=10**6)
    scaling: Literal["none", "fan_in", "layer"] = option(
        "none", "whether sigma is divided by the root of a node's fan-in, biases apart, or of its mean over the layer"
    )
    target_acceptance: float = option(
        0.0, "acceptance rate that sigma is adapted to while learning; 0 keeps sigma", ge=0, lt=1
    )

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        return Plasticity(np.ones(network.num_edges, np.bool_), propagate=False)

    @property
    def passes_a_step(self) -> int:
        """See `LearningRule.passes_a_step`; forwards alone: proposals, and what they are compared with."""
        return self.num_proposals + 1

    def deviations(self, network: Network, plastic: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the standard deviation of the proposed change of each weight, float64 [num_edges]."""
        deviations = np.full(network.num_edges, self.sigma)
        if self.scaling == "fan_in":
            deviations /= np.sqrt(np.maximum(network.fan_in, 1))
        elif self.scaling == "layer":
            layer = network.layer[network.target]
            num_nodes = np.bincount(network.layer[network.num_sources :])
            num_inputs = np.bincount(layer[~network.from_bias], minlength=len(num_nodes))
            deviations /= np.sqrt(np.maximum(num_inputs[layer] / num_nodes[layer], 1))
        return np.where(plastic, deviations, 0.0)

    def _proposals(self, network: Network, plastic: NDArray[np.bool_]) -> Proposals:
        """The options as backends take them."""
        deviations = self.deviations(network, plastic)
        return Proposals(deviations, self.beta, self.num_proposals, self.target_acceptance)

    def train(self, learner: Learner, batches: Batches, order: NDArray[np.int32]) -> StepScores:
        """See `LearningRule.train`."""
        proposals = self._proposals(learner.network, learner.plasticity.plastic)
        return learner.kernel.train_by_proposals(
            learner.network, learner.weights, proposals, learner.state, batches, order, learner.loss, learner.rng
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
        """See `LearningRule.follow`; a step asks for one proposal after the other."""
        weights, state = np.array(weights, np.float32), OptimizerState.zeros(network.num_edges)
        proposals = self._proposals(network, self.plasticity(network).plastic)
        loss = float(objective(weights[np.newaxis])[0])
        for _ in range(num_steps):
            loss, _ = walk(objective, weights, loss, proposals, state, rng)
        return weights
