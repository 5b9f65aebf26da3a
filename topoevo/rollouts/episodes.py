"""What comes back from environments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class RolloutError(Exception):
    """An episode cannot be finished: a number is not finite, or the environment raises."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """Results of one network with several policies, that is sets of weights, in several trials.

    Parameters
    ----------
    returns
        Sum of the rewards of each episode, float64 [num_policies, num_trials].
    steps
        Steps until its end, int32 [num_policies, num_trials].
    measures
        What else the environment measures, by name, each float64 [num_policies, num_trials].
    """

    returns: NDArray[np.float64]
    steps: NDArray[np.int32]
    measures: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Recording:
    """One episode, step by step.

    Parameters
    ----------
    states
        Before the first step and after each one, float64 [num_steps + 1, state_size].
    actions
        As the simulation is given them, float64 [num_steps, num_actions].
    rewards
        Of each step, float64 [num_steps].
    """

    states: NDArray[np.float64]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64]

    @property
    def num_steps(self) -> int:
        """Steps until the end."""
        return len(self.rewards)
