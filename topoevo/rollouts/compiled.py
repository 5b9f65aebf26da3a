"""Episodes of our own simulations in compiled code, without Python's global lock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.network import Network
from topoevo.rollouts.episodes import Recording
from topoevo.rollouts.simulating import simulate
from topoevo.tasks.environments.environment import Simulation


def simulated(
    environment: Simulation, network: Network, weights: NDArray[np.float32], initial: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_]]:
    """Return returns, steps, last states and whether an episode failed, each [num_policies, num_trials, ...].

    Parameters
    ----------
    weights
        float32 [num_policies] or [num_policies, num_edges].
    initial
        State of each trial, float64 [num_trials, state_size].
    """
    return _run(environment, network, weights, initial, *_trace(0, 0, 0))


def recorded(
    environment: Simulation, network: Network, weights: NDArray[np.float32], initial: NDArray[np.float64]
) -> Recording:
    """Return one episode, from weights float32 [1] or [1, num_edges] and a state float64 [state_size]."""
    discrete = environment.actions.kind == "discrete"
    trace = _trace(environment.max_steps, len(initial), 1 if discrete else environment.num_outputs)
    _, steps, _, _ = _run(environment, network, weights, initial[None], *trace)
    n = int(steps[0, 0])
    states, actions, rewards = trace
    return Recording(states[: n + 1], actions[:n], rewards[:n])


def needs_compilation(environment: Simulation) -> bool:
    """Return whether there is no machine code for this simulation yet."""
    return not is_compiled(simulate(environment))


def is_compiled(function: Any) -> bool:
    """Return whether an entry point is compiled, now or in the cache."""
    if function.signatures:
        return True
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    return any(Path(function.stats.cache_path).glob(f"*.{function.py_func.__name__}-*.{python}*.nbc"))


def prepare(environment: Simulation, network: Network) -> None:
    """Compile for this simulation, or load what was compiled before; any network that fits will do."""
    initial = environment.initial_state(np.random.default_rng(0))
    simulated(environment, network, np.zeros(1, np.float32), initial[None])


def _trace(max_steps: int, state_size: int, num_actions: int) -> tuple[NDArray[np.float64], ...]:
    """Room for a recording; none for no steps."""
    return np.zeros((max_steps + 1, state_size)), np.zeros((max_steps, num_actions)), np.zeros(max_steps)


def _run(
    environment: Simulation,
    network: Network,
    weights: NDArray[np.float32],
    initial: NDArray[np.float64],
    *trace: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_]]:
    """Call the compiled function with everything in the types that it is compiled for."""
    constants: Any = environment.constants
    shape = (len(weights), len(initial))
    num_episodes = shape[0] * shape[1]
    returns, steps = np.zeros(num_episodes), np.zeros(num_episodes, np.int32)
    last_states, faulty = np.zeros((num_episodes, initial.shape[1])), np.zeros(num_episodes, np.bool_)
    rows = weights[:, None] if weights.ndim == 1 else weights
    simulate(environment)(
        constants,
        network.input_index,
        network.num_sources,
        network.activation,
        network.row_start,
        network.source,
        weights.ndim == 1,
        np.array(rows, np.float32, order="C"),
        np.array(initial, np.float64, order="C"),
        network.num_inputs,
        network.num_outputs,
        environment.actions.kind == "discrete",
        environment.max_steps,
        returns,
        steps,
        last_states,
        faulty,
        *trace,
    )
    return returns.reshape(shape), steps.reshape(shape), last_states.reshape(*shape, -1), faulty.reshape(shape)
