"""Episodes of one network with several policies in several trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.network import Network
from topoevo.rollouts.episodes import Episodes, Recording, RolloutError
from topoevo.tasks.environments.environment import Environment, Simulation
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment


def roll_out(
    environment: Environment,
    network: Network,
    weights: NDArray[np.float32],
    seeds: Sequence[int],
    *,
    kernel_name: str = "numba",
) -> Episodes:
    """Return one episode of every policy from every seed.

    Parameters
    ----------
    environment, network
        They fit together: as many inputs and outputs.
    weights
        One shared weight a policy, float32 [num_policies], or those of all edges, float32 [num_policies, num_edges].
    seeds
        One for each trial, the same for all policies.
    kernel_name
        ``reference`` computes in plain Python, everything else compiled.

    Raises
    ------
    RolloutError
        If an observation, output or reward is not finite, or the environment raises.
    """
    _check(environment, network, weights)
    if not len(seeds):
        raise TaskError("there are no seeds to begin episodes from")
    if not len(weights):
        raise TaskError("there are no weights to act with")
    if isinstance(environment, GymnasiumEnvironment):
        from topoevo.rollouts.gymnasium_rollout import roll_out_gymnasium

        return roll_out_gymnasium(environment, network, weights, seeds, kernel_name=kernel_name)
    assert isinstance(environment, Simulation)
    initial = np.array([environment.initial_state(np.random.default_rng(seed)) for seed in seeds])
    returns, steps, last_states, faulty = _simulated(environment, network, weights, initial, kernel_name)
    if faulty.any():
        policy, trial = np.argwhere(faulty)[0]
        raise RolloutError(
            f"{environment.name}: an observation, an output or a reward is not finite "
            f"(policy {policy}, seed {seeds[trial]}, step {steps[policy, trial]})"
        )
    return Episodes(returns, steps, _measures(environment, last_states))


def record(environment: Environment, network: Network, weights: NDArray[np.float32], seed: int) -> Recording:
    """Return one episode of a simulation, step by step, with the same numbers as in `roll_out`.

    Parameters
    ----------
    weights
        Of one policy, float32 [] or [num_edges].
    """
    one = np.atleast_1d(weights)[None] if weights.ndim else weights[None]
    _check(environment, network, one)
    assert isinstance(environment, Simulation)
    from topoevo.rollouts import compiled

    return compiled.recorded(environment, network, one, environment.initial_state(np.random.default_rng(seed)))


def needs_compilation(environment: Environment) -> bool:
    """Return whether the first episode will have to wait for a compiler."""
    from topoevo.rollouts import compiled

    if isinstance(environment, Simulation):
        return compiled.needs_compilation(environment)
    from topoevo.rollouts.acting import compiled_act

    return not compiled.is_compiled(compiled_act())


def prepare(environment: Environment) -> None:
    """Compile what episodes need, or load it from the cache."""
    from topoevo.rollouts import compiled

    network = _smallest_network(environment.num_inputs, environment.num_outputs)
    if isinstance(environment, Simulation):
        compiled.prepare(environment, network)
    else:
        from topoevo.rollouts.acting import CompiledActor

        actor = CompiledActor(network, environment.actions, np.zeros(1, np.float32))
        actor(np.zeros((1, environment.num_inputs), np.float32))


def _smallest_network(num_inputs: int, num_outputs: int) -> Network:
    """Outputs that hear nothing."""
    return Network(
        num_inputs=num_inputs,
        num_outputs=num_outputs,
        node_id=np.arange(num_outputs, dtype=np.int32),
        input_index=np.zeros(0, np.int32),
        has_bias=False,
        activation=np.zeros(num_outputs, np.int8),
        row_start=np.zeros(num_outputs + 1, np.int32),
        source=np.zeros(0, np.int32),
        weight=np.zeros(0, np.float32),
        gene=np.zeros(0, np.int32),
    )


def _simulated(
    environment: Simulation,
    network: Network,
    weights: NDArray[np.float32],
    initial: NDArray[np.float64],
    kernel_name: str,
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_]]:
    """Returns, steps, last states and faults, each [num_policies, num_trials, ...]."""
    if kernel_name == "reference":
        from topoevo.rollouts import reference

        return reference.simulated(environment, network, weights, initial)
    from topoevo.rollouts import compiled

    return compiled.simulated(environment, network, weights, initial)


def _measures(environment: Simulation, last_states: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """What the environment measures, from the last states [num_policies, num_trials, state_size]."""
    if not environment.measures:
        return {}
    found: list[dict[str, Any]] = [environment.measure(s) for s in last_states.reshape(-1, last_states.shape[-1])]
    shape = last_states.shape[:2]
    return {name: np.array([f[name] for f in found], np.float64).reshape(shape) for name in environment.measures}


def _check(environment: Environment, network: Network, weights: NDArray[np.float32]) -> None:
    """Refuse what does not fit; compiled code does not check its indices."""
    network.check_fits(environment.name, environment.num_inputs, environment.num_outputs)
    if weights.ndim not in (1, 2) or (weights.ndim == 2 and weights.shape[1] != network.num_edges):
        raise TaskError(f"weights of shape {weights.shape} for a network with {network.num_edges} edges")
