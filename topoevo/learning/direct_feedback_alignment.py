"""Direct feedback alignment: every hidden node hears the errors of the outputs directly (Nøkland 2016, eq. 7).

The weights of that way are fixed and random, a function of the run's seed and the two nodes' ids, so that a child has
those of its parent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from topoevo.kernels import Plasticity
from topoevo.learning.base import LEARNING_RULES, LearningRule
from topoevo.network import Network
from topoevo.registry import option
from topoevo.seeds import Stream, normals_of_pairs


@LEARNING_RULES.register
@dataclass(frozen=True)
class DirectFeedbackAlignment(LearningRule):
    """Errors jump from the outputs to every hidden node."""

    name: ClassVar[str] = "direct_feedback_alignment"
    has_feedback: ClassVar[bool] = True

    scale: Literal["forward", "unit"] = option(
        "forward", "standard deviation of feedback weights: one over the root of the number of outputs, or 1"
    )

    def _plasticity(self, network: Network, weight_init: str, feedback_seed: int) -> Plasticity:
        hidden = network.node_id[network.num_sources : network.num_nodes - network.num_outputs]
        outputs = network.node_id[network.num_nodes - network.num_outputs :]
        direct = normals_of_pairs(feedback_seed, Stream.FEEDBACK, hidden[:, None], outputs)
        if self.scale == "forward":
            direct /= math.sqrt(network.num_outputs)
        return Plasticity(np.ones(network.num_edges, np.bool_), direct=direct.astype(np.float32))
