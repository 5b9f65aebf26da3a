"""Weights that are tried: perturbations of evolution strategies, and proposals that are accepted or not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import KernelError


class Shaping(IntEnum):
    """What an evolution strategy makes of the losses of its candidates before it weights their perturbations."""

    RAW = 0  #: losses divided by sigma: the estimate of the gradient itself
    STANDARDIZED = 1  #: minus their mean, divided by their standard deviation
    CENTERED_RANKS = 2  #: ranks, scaled to -1/2 … 1/2 (Salimans et al. 2017, section 2.1)


@dataclass(frozen=True)
class Perturbations:
    """How an evolution strategy looks around.

    Parameters
    ----------
    num_candidates
        Perturbed networks a step, at least 2.
    sigma
        Standard deviation of the perturbation of every weight.
    antithetic
        Whether every perturbation is tried in both directions; `num_candidates` is even then.
    shaping
        What becomes of the losses.
    """

    num_candidates: int
    sigma: float
    antithetic: bool
    shaping: Shaping

    def __post_init__(self) -> None:
        if self.num_candidates < 2 or (self.antithetic and self.num_candidates % 2):
            even = " and even, since every perturbation is tried in both directions" if self.antithetic else ""
            raise KernelError(f"num_candidates is {self.num_candidates}, must be at least 2{even}")


@dataclass(frozen=True, eq=False)
class Proposals:
    """How a Metropolis walk moves.

    Parameters
    ----------
    deviation
        Standard deviation of the proposed change of each weight, float64 [num_edges]; 0 keeps an edge as it is.
    beta
        Inverse temperature; infinity accepts what does not increase the loss.
    num_per_step
        Proposals a minibatch, at least 1.
    target_acceptance
        Acceptance rate that all deviations are scaled towards; 0 leaves them.
    """

    deviation: NDArray[np.float64]
    beta: float
    num_per_step: int
    target_acceptance: float = 0.0

    #: Share of the difference from the target that changes the logarithm of the scale after every proposal
    #: (Andrieu & Thoms 2008, algorithm 4, with a constant gain).
    GAIN: ClassVar[float] = 0.05
