"""Hebbian learning: hidden edges follow the activities at their two ends, edges into outputs the gradient.

Oja 1982, eq. 3, averaged over a minibatch: dw_ij = η (<y_i x_j> - <y_i²> w_ij), whose fixed point is the first
principal component of a node's inputs. All nodes with the same inputs find the same one. In the rule of Sanger 1989,
eq. 6, each also subtracts what those before it explain, so that they find the first, second, third, ...; differs from
the paper in belonging to sparse graphs: of the nodes before it, those count that share the source in question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from topoevo.kernels import Plasticity
from topoevo.learning.base import LEARNING_RULES, LearningRule
from topoevo.network import Network
from topoevo.registry import option


@LEARNING_RULES.register
@dataclass(frozen=True)
class Hebbian(LearningRule):
    """No error passes an output; hidden edges learn without one."""

    name: ClassVar[str] = "hebbian"
    needs_optimizer: ClassVar[bool] = False
    needs_derivatives: ClassVar[bool] = False
    remedy: ClassVar[str] = "a smaller hebbian_rate or lr"

    variant: Literal["oja", "sanger"] = option(
        "oja", "whether nodes with the same inputs learn the same or decorrelate"
    )
    rate: float = option(0.01, "learning rate of hidden connections, which no optimizer touches", ge=0, le=1)

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        return Plasticity(
            network.into_output,
            propagate=False,
            hebbian=~network.into_output,
            hebbian_lr=self.rate,
            decorrelate=self.variant == "sanger",
        )
