"""Backpropagation: every edge follows the exact gradient (Rumelhart, Hinton & Williams 1986)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.kernels import Plasticity
from topoevo.learning.base import LEARNING_RULES, LearningRule
from topoevo.network import Network


@LEARNING_RULES.register
@dataclass(frozen=True)
class Backprop(LearningRule):
    """Errors travel back along the weights themselves."""

    name: ClassVar[str] = "backprop"

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        return Plasticity(np.ones(network.num_edges, np.bool_))
