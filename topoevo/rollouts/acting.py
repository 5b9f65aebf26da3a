"""The actions of many policies of one network, given what each of them observes."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo import activations
from topoevo.compilation import cache_directory, entry_point
from topoevo.kernels import elementary
from topoevo.network import Network
from topoevo.rollouts import lane_passes, plain_functions
from topoevo.rollouts.lane_passes import LANES, check_finite, choose_actions, lane_pass
from topoevo.tasks.environments.environment import Actions


def _act(
    input_index, num_sources, num_outputs, activation, row_start, source, shared, weights, discrete, inputs,
    observations, rows, lane_actions, faults, actions,
):  # fmt: skip
    """Write the actions of all lanes, float64 [num_lanes, num_actions]; return whether any is of no use.

    Parameters
    ----------
    weights
        float32 [num_blocks, 1 or num_edges, LANES].
    inputs
        float32 [num_lanes, num_inputs].
    observations, rows, lane_actions
        Room for one block.
    faults
        Not 0 where an input or output of a lane is not finite, float32 [num_blocks, LANES].
    """
    num_lanes, any_fault = len(inputs), False
    for block in range(len(weights)):
        first = block * LANES
        for j in range(LANES):
            # What is left of the last block repeats its first lane.
            lane = first + j if first + j < num_lanes else first
            for i in range(inputs.shape[1]):
                observations[i, j] = inputs[lane, i]
            faults[block, j] = 0.0
        for i in range(len(input_index)):
            for j in range(LANES):
                rows[i, j] = observations[input_index[i], j]
        lane_pass(num_sources, activation, row_start, source, shared, weights[block], rows)
        outputs = rows[len(rows) - num_outputs :]
        choose_actions(discrete, outputs, lane_actions)
        check_finite(observations, faults[block])
        check_finite(outputs, faults[block])
        for j in range(min(LANES, num_lanes - first)):
            for k in range(len(lane_actions)):
                actions[first + j, k] = lane_actions[k, j]
        for j in range(LANES):
            any_fault |= faults[block, j] != 0.0
    return any_fault


@lru_cache(maxsize=1)
def compiled_act() -> Any:
    """Return the compiled function, cached in a folder that changes with every file it is made of."""
    files = (str(module.__file__) for module in (activations, elementary, lane_passes, plain_functions))
    return entry_point(cache_directory(__file__, *files))(_act)


class CompiledActor:
    """Computes the actions of lanes, each of which has a policy.

    Parameters
    ----------
    network
        The network of all policies.
    actions
        What its outputs do.
    weights
        float32 [num_lanes] or [num_lanes, num_edges].
    """

    def __init__(self, network: Network, actions: Actions, weights: NDArray[np.float32]) -> None:
        num_lanes, num_blocks = len(weights), -(-len(weights) // LANES)
        rows = weights[:, None] if weights.ndim == 1 else weights
        blocks = np.zeros((num_blocks, rows.shape[1], LANES), np.float32)
        for lane, row in enumerate(rows):
            blocks[lane // LANES, :, lane % LANES] = row
        discrete = actions.kind == "discrete"
        num_actions = 1 if discrete else network.num_outputs
        self._network = (
            network.input_index, network.num_sources, network.num_outputs, network.activation, network.row_start,
            network.source, weights.ndim == 1, blocks, discrete,
        )  # fmt: skip
        self._room = (
            np.zeros((network.num_inputs, LANES), np.float32),
            np.ones((network.num_nodes, LANES), np.float32),
            np.zeros((num_actions, LANES)),
        )
        self._faults = np.zeros((num_blocks, LANES), np.float32)
        self._actions = np.zeros((num_lanes, num_actions))
        self._function = compiled_act()
        self.any_fault = False

    @property
    def faults(self) -> NDArray[np.bool_]:
        """Whether each lane's last inputs or outputs were not finite, bool [num_lanes]."""
        return np.not_equal(self._faults.reshape(-1)[: len(self._actions)], 0.0)

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the actions, float64 [num_lanes, num_actions], which the next call overwrites.

        Parameters
        ----------
        inputs
            What each lane observes, float32 [num_lanes, num_inputs], contiguous.
        """
        self.any_fault = self._function(*self._network, inputs, *self._room, self._faults, self._actions)
        return self._actions
