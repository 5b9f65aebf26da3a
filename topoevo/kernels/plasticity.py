"""Which weights learn, from which products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import KernelError
from topoevo.kernels.arrays import Floats


@dataclass(frozen=True, eq=False)
class Plasticity:
    """Which edges learn from what, and how errors travel back: all that the compiled loop knows of a rule.

    Parameters
    ----------
    plastic
        Whether each edge follows the product of its target's error and its source's activity by way of the
        optimizer, bool [num_edges].
    feedback
        Weight with which each edge carries errors back, float32 [num_edges]; None stands for the weights themselves,
        which makes the product the gradient.
    propagate
        Whether errors reach hidden nodes at all.
    direct
        Weights with which the errors of the outputs reach every hidden node directly, without passing the nodes in
        between, float32 [num_hidden, num_outputs]; None sends errors along the edges.
    hebbian
        Whether each edge follows activities alone, bool [num_edges]; None stands for no edge.
    hebbian_lr
        Learning rate of those edges, which no optimizer touches.
    decorrelate
        Whether the nodes that share a source see what the nodes before them leave unexplained (Sanger) instead of the
        whole (Oja).
    """

    plastic: NDArray[np.bool_]
    feedback: Floats | None = None
    propagate: bool = True
    direct: Floats | None = None
    hebbian: NDArray[np.bool_] | None = None
    hebbian_lr: float = 0.0
    decorrelate: bool = False

    def __post_init__(self) -> None:
        if self.feedback is not None and self.hebbian is not None:
            raise KernelError("edges with feedback weights and Hebbian edges do not go together")
