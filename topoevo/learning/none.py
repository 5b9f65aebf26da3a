"""No learning: networks are compared with the weights that they were drawn or inherited with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import Kernel, Optimization, Plasticity
from topoevo.kernels.objectives import Objective
from topoevo.learning.base import LEARNING_RULES, LearningRule
from topoevo.network import Network


@LEARNING_RULES.register
@dataclass(frozen=True)
class NoLearning(LearningRule):
    """Minibatches are scored, and nothing follows from it."""

    name: ClassVar[str] = "none"
    gives_evidence: ClassVar[bool] = False
    needs_optimizer: ClassVar[bool] = False
    follows_gradient: ClassVar[bool] = False
    needs_derivatives: ClassVar[bool] = False
    follows_scores: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = False
    needs_output_derivatives: ClassVar[bool] = False
    remedy: ClassVar[str] = "another weight_init or input_scaling"

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        return Plasticity(np.zeros(network.num_edges, np.bool_), propagate=False)

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
        """See `LearningRule.follow`."""
        return np.array(weights, np.float32)
