"""Evolution strategy: the weights follow what random perturbations of them say about the loss.

Salimans et al. 2017, algorithm 1, with antithetic pairs and rank shaping as in their section 2.1. Forward passes are
all it needs, so that every activation can be trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import (
    Batches,
    Kernel,
    Optimization,
    OptimizerState,
    Perturbations,
    Plasticity,
    Shaping,
    StepScores,
)
from topoevo.kernels.objectives import Objective, estimate_gradient
from topoevo.kernels.optimization import averaging_start, learning_rate
from topoevo.learning.base import LEARNING_RULES, Learner, LearningRule
from topoevo.network import Network
from topoevo.registry import option


@LEARNING_RULES.register
@dataclass(frozen=True)
class EvolutionStrategy(LearningRule):
    """The optimizer gets an estimate of the gradient."""

    name: ClassVar[str] = "evolution_strategy"
    gives_evidence: ClassVar[bool] = False
    needs_derivatives: ClassVar[bool] = False
    follows_scores: ClassVar[bool] = True
    loop: ClassVar[str] = "train_by_perturbations"
    needs_output_derivatives: ClassVar[bool] = False
    remedy: ClassVar[str] = "a smaller evolution_strategy_sigma or lr"

    num_candidates: int = option(32, "perturbed networks tried on every minibatch", ge=2, le=10**6)
    sigma: float = option(0.02, "standard deviation of the perturbations", gt=0)
    antithetic: bool = option(True, "whether every perturbation is tried in both directions")
    shaping: Literal["centered_ranks", "standardized", "raw"] = option(
        "centered_ranks", "what the losses of perturbed networks are turned into before they are averaged over"
    )

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        return Plasticity(np.ones(network.num_edges, np.bool_), propagate=False)

    @property
    def passes_a_step(self) -> int:
        """See `LearningRule.passes_a_step`; forwards alone: candidates, and the network itself for its score."""
        return self.num_candidates + 1

    @property
    def _perturbations(self) -> Perturbations:
        """The options as backends take them."""
        return Perturbations(self.num_candidates, self.sigma, self.antithetic, Shaping[self.shaping.upper()])

    def train(self, learner: Learner, batches: Batches, order: NDArray[np.int32]) -> StepScores:
        """See `LearningRule.train`."""
        return learner.kernel.train_by_perturbations(
            learner.network,
            learner.weights,
            learner.plasticity.plastic,
            self._perturbations,
            learner.optimization,
            learner.state,
            batches,
            order,
            learner.loss,
            learner.rng,
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
        """See `LearningRule.follow`; a step asks for all candidates at once."""
        weights, state = np.array(weights, np.float32), OptimizerState.zeros(network.num_edges)
        plastic = self.plasticity(network).plastic
        averaged_from = averaging_start(optimization, state, num_steps)
        for step in range(num_steps):
            gradient, _ = estimate_gradient(objective, weights, plastic, self._perturbations, rng)
            lr = learning_rate(optimization, step, num_steps)
            kernel.update(optimization, state, weights, gradient, plastic, lr=lr)
            if step >= averaged_from:
                state.add_to_average(weights)
        return weights if state.average is None else state.average
