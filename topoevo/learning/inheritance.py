"""A training that begins with what the optimizer of an earlier one remembered.

Kingma & Ba 2015, algorithm 1: both averages of Adam begin at zero, and are divided by 1 - β^t for it. Those of
connections that were there before go on, and t with them, so that a training of the same network is continued to the
bit. Connections that are new among them begin at zero, as grown ones do in the code of Evci et al. 2020 (RigL), and
share t: their average of squares counts as one of t steps while it has seen k, so that their steps are longer than
those of all others by (1 - β₁^k) / sqrt(1 - β₂^k), 3 at first, 6.5 after ten steps, 1.3 after a thousand.

An average of squares at the mean of those of the connections into the same node would make steps of equal length. It
was tried: networks that are trained for one to four epochs a generation learned less with it than without inheritance,
and most with the longer steps (benchmarks/INFORMED_SEARCH.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from topoevo.learning.base import Learner

Floats = NDArray[np.float32]


def inherit(learner: Learner, known: NDArray[np.bool_], first: Floats, second: Floats, *, num_steps: int) -> None:
    """Let a learner begin with the averages of an earlier training; those of other edges begin at zero.

    Parameters
    ----------
    learner
        Before its first step; its state is replaced.
    known
        Which edges the averages belong to, bool [num_edges]. Edges that do not learn have none, and averages that are
        not finite count as unknown.
    first, second
        The averages, float32 [num_edges]; of no meaning where they are not known.
    num_steps
        Steps that they are made of.
    """
    own = known & learner.plasticity.plastic & np.isfinite(first) & np.isfinite(second)
    if own.any():
        nothing = np.float32(0.0)
        learner.state = replace(
            learner.state,
            first=np.where(own, first, nothing),
            second=np.where(own, second, nothing),
            num_inherited=num_steps,
        )
