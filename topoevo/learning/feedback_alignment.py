"""Feedback alignment: errors travel back along fixed random weights (Lillicrap et al. 2016, eq. 4).

Differs from the paper in belonging to sparse graphs: an edge that carries activity forward carries errors back, with a
weight of its own. That weight is a function of the run's seed and the two nodes' ids, so it is the same in every
training, and a child has those of its parent. The predecessor drew all of them anew for every training (Rieke 2020), as
``redraw_feedback`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from topoevo.kernels import Plasticity
from topoevo.learning.base import LEARNING_RULES, LearningRule
from topoevo.learning.initialization import WEIGHT_INITS
from topoevo.network import Network
from topoevo.registry import option
from topoevo.seeds import Stream, normals_of_pairs


@LEARNING_RULES.register
@dataclass(frozen=True)
class FeedbackAlignment(LearningRule):
    """Errors travel back along the edges, with other weights."""

    name: ClassVar[str] = "feedback_alignment"
    has_feedback: ClassVar[bool] = True

    scale: Literal["forward", "unit"] = option(
        "forward", "standard deviation of feedback weights: that of initial weights, or 1 as in the predecessor"
    )

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        source, target = network.node_id[network.source], network.node_id[network.target]
        feedback = normals_of_pairs(feedback_seed, Stream.FEEDBACK, source, target)
        if self.scale == "forward":
            feedback *= WEIGHT_INITS[weight_init](network)
        return Plasticity(np.ones(network.num_edges, np.bool_), feedback.astype(np.float32))
