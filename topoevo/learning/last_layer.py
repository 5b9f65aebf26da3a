"""Last-layer learning: hidden weights stay as they were drawn, only edges into outputs follow the gradient.

Rieke 2020; the network below the outputs is a random feature map that evolution shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from topoevo.kernels import Plasticity
from topoevo.learning.base import LEARNING_RULES, LearningRule
from topoevo.network import Network


@LEARNING_RULES.register
@dataclass(frozen=True)
class LastLayer(LearningRule):
    """No error passes an output."""

    name: ClassVar[str] = "last_layer"
    needs_derivatives: ClassVar[bool] = False

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        return Plasticity(network.into_output, propagate=False)
