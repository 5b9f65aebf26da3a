"""Episodes of our own simulations in plain Python: what the compiled ones are proven equal to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import load_kernel
from topoevo.network import Network
from topoevo.tasks.environments.environment import Actions, Simulation


def simulated(
    environment: Simulation, network: Network, weights: NDArray[np.float32], initial: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_]]:
    """See `topoevo.rollouts.compiled.simulated`."""
    shape = (len(weights), len(initial))
    returns, steps, faulty = np.zeros(shape), np.zeros(shape, np.int32), np.zeros(shape, np.bool_)
    last_states = np.tile(initial, (shape[0], 1, 1))
    for policy in range(shape[0]):
        own = np.broadcast_to(weights[policy], network.num_edges).astype(np.float32)
        for trial in range(shape[1]):
            state = last_states[policy, trial]
            returns[policy, trial], steps[policy, trial] = _episode(environment, network, own, state)
            faulty[policy, trial] = not np.isfinite(returns[policy, trial])
    return returns, steps, last_states, faulty


def _episode(
    environment: Simulation, network: Network, weights: NDArray[np.float32], state: NDArray[np.float64]
) -> tuple[float, int]:
    """Return and steps of an episode that changes `state`; NaN where it cannot be finished."""
    kernel, code, constants = load_kernel("reference"), environment.code(), environment.constants
    observation, total = np.zeros(environment.num_inputs, np.float32), 0.0
    for count in range(1, environment.max_steps + 1):
        code.observe(constants, state, observation)
        _, activities = kernel.forward(network, weights, observation[:, None])
        outputs = activities[-network.num_outputs :, 0]
        if not np.isfinite([*observation, *outputs]).all():
            return float("nan"), count
        reward, ended = code.step(constants, state, action_of(environment.actions, outputs))
        total += reward
        if ended:
            break
    return total, count


def action_of(actions: Actions, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a network's outputs, float32 [num_outputs], do; see `SimulationCode.step`."""
    if actions.kind == "discrete":
        return np.array([np.argmax(outputs)], np.float64)
    return np.clip(outputs.astype(np.float64), -1.0, 1.0)
