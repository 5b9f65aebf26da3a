"""Episodes in environments of Gymnasium: a loop in Python with one compiled forward pass of all lanes a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import in_one_line
from topoevo.kernels import load_kernel
from topoevo.network import Network
from topoevo.rollouts.episodes import Episodes, RolloutError
from topoevo.rollouts.reference import action_of
from topoevo.tasks.environments.environment import Actions
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment


class ReferenceActor:
    """Computes the actions of lanes in plain numpy; see `topoevo.rollouts.acting.CompiledActor`."""

    def __init__(self, network: Network, actions: Actions, weights: NDArray[np.float32]) -> None:
        self._network, self._actions, self._kernel = network, actions, load_kernel("reference")
        rows = weights[:, None] if weights.ndim == 1 else weights
        self._weights = np.broadcast_to(rows, (len(weights), network.num_edges)).astype(np.float32)
        self.faults: NDArray[np.bool_] = np.zeros(len(weights), np.bool_)
        self.any_fault = False

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the actions, float64 [num_lanes, num_actions], and keep in ``faults`` where they are of no use."""
        outputs = np.empty((len(inputs), self._network.num_outputs), np.float32)
        for lane, own in enumerate(inputs):
            _, activities = self._kernel.forward(self._network, self._weights[lane], own[:, None])
            outputs[lane] = activities[-self._network.num_outputs :, 0]
        self.faults = np.array([not np.isfinite([*i, *o]).all() for i, o in zip(inputs, outputs, strict=True)])
        self.any_fault = bool(self.faults.any())
        return np.array([action_of(self._actions, own) for own in outputs])


def roll_out_gymnasium(
    environment: GymnasiumEnvironment,
    network: Network,
    weights: NDArray[np.float32],
    seeds: Sequence[int],
    *,
    kernel_name: str = "numba",
) -> Episodes:
    """Return one episode of every policy from every seed; see `topoevo.rollouts.roll_out`.

    An episode is the same whatever was computed before or is computed beside it, as far as the environment forgets
    everything when it is reset.
    """
    from topoevo.rollouts import gymnasium_lanes

    num_trials = len(seeds)
    lane_seeds = [int(seed) for _ in weights for seed in seeds]
    act = _actor(network, environment.actions, np.repeat(weights, num_trials, axis=0), kernel_name)
    returns, steps = np.zeros(len(lane_seeds)), np.full(len(lane_seeds), environment.max_steps, np.int32)
    running, count = np.ones(len(lane_seeds), np.bool_), 0
    try:
        envs: Any = gymnasium_lanes.vector_env(environment, len(lane_seeds))
        observations, _ = envs.reset(seed=lane_seeds)
        for count in range(1, environment.max_steps + 1):
            actions = act(environment.inputs_of(observations))
            if act.any_fault and (act.faults & running).any():
                raise RolloutError(f"{environment.name}: an observation or an output is not finite (step {count})")
            observations, rewards, terminated, truncated, _ = envs.step(environment.gymnasium_actions(actions))
            np.add(returns, rewards, out=returns, where=running)
            ended = terminated | truncated
            if ended.any():
                steps[ended & running] = count
                running &= ~ended
                if not running.any():
                    break
    except RolloutError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # Code of others may raise anything.
        gymnasium_lanes.forget(environment, len(lane_seeds))
        raise RolloutError(f"{environment.name} raised {in_one_line(error)} (step {count})") from error
    if not np.isfinite(returns).all():
        raise RolloutError(f"{environment.name}: a reward is not finite")
    shape = len(weights), num_trials
    return Episodes(returns.reshape(shape), steps.reshape(shape), {})


def _actor(network: Network, actions: Actions, weights: NDArray[np.float32], kernel_name: str) -> Any:
    """What computes the actions: `CompiledActor`, or `ReferenceActor`."""
    if kernel_name == "reference":
        return ReferenceActor(network, actions, weights)
    from topoevo.rollouts.acting import CompiledActor

    return CompiledActor(network, actions, weights)
