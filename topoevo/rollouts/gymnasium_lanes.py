"""Several episodes of an environment of Gymnasium at once.

Importing this module imports gymnasium, so it is imported where it is used.
"""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment

#: Packages whose environments are not the same after `reset` as new ones: Box2D's world remembers in which order bodies
#: and contacts came and went.
_FORGETFUL_ONLY_WHEN_NEW = ("gymnasium.envs.box2d.",)

#: Vector environments of Gymnasium that hold all lanes in ``state`` [variable, lane], as the single ones hold theirs in
#: ``state`` [variable], and nothing else that depends on the seed.
_WITH_STATE = ("gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv",)

#: Vector environments that a thread keeps.
_NUM_KEPT = 4

_kept = threading.local()


class EpisodesVectorEnv(VectorEnv[Any, Any, Any]):
    """Environments side by side, each of which rests after its first end until all are reset.

    Those of Gymnasium go on with a new episode, which costs time and is of no use here.

    Parameters
    ----------
    environment
        What they are.
    num_envs
        How many there are.
    """

    def __init__(self, environment: GymnasiumEnvironment, num_envs: int) -> None:
        self._environment = environment
        self._envs = [environment.make() for _ in range(num_envs)]
        entry = self._envs[0].spec.entry_point if self._envs[0].spec else None
        self._always_new = isinstance(entry, str) and entry.startswith(_FORGETFUL_ONLY_WHEN_NEW)
        self.num_envs = num_envs
        self.metadata = {**self._envs[0].metadata, "autoreset_mode": AutoresetMode.DISABLED}
        self.spec = self._envs[0].spec
        self.single_observation_space = self._envs[0].observation_space
        self.single_action_space = self._envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._observations = np.zeros(self.observation_space.shape or (), self.observation_space.dtype)
        self._shape = self.single_observation_space.shape
        self._rewards = np.zeros(num_envs)
        self._terminations, self._truncations = np.zeros((2, num_envs), np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in every environment; see `gymnasium.vector.VectorEnv.reset`.

        Parameters
        ----------
        seed
            One for each environment, or that of the first one, after which they count up.
        options
            As the environments take them.
        """
        for i, own in enumerate(_seed_of_each(seed, self.num_envs)):
            if self._always_new:
                self._envs[i].close()
                self._envs[i] = self._environment.make()
            observation, _ = self._envs[i].reset(seed=own, options=options)
            self._observe(i, observation)
        for array in (self._rewards, self._terminations, self._truncations):
            array.fill(0)
        return self._observations.copy(), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Act in the environments that do not rest; the others return what they returned last, and a reward of 0."""
        resting = self._terminations | self._truncations
        self._rewards[resting] = 0.0
        for i in np.flatnonzero(~resting).tolist():
            observation, self._rewards[i], self._terminations[i], self._truncations[i], _ = self._envs[i].step(
                actions[i]
            )
            self._observe(i, observation)
        copies = (array.copy() for array in (self._observations, self._rewards, self._terminations, self._truncations))
        return *copies, {}

    def _observe(self, i: int, observation: Any) -> None:
        """Keep what is observed; numpy would repeat a single number."""
        if np.shape(observation) != self._shape:
            raise ValueError(f"an observation has the shape {np.shape(observation)} instead of {self._shape}")
        self._observations[i] = observation

    def close_extras(self, **kwargs: Any) -> None:
        """Close all environments."""
        for env in self._envs:
            env.close()


class StateVectorEnv(VectorEnv[Any, Any, Any]):
    """A vector environment of `_WITH_STATE`, every lane of which begins as a single environment does.

    Those of Gymnasium begin all lanes from one seed. Lanes that have ended go on with a new episode.

    Parameters
    ----------
    environment
        What is in the lanes.
    num_envs
        How many there are.
    """

    def __init__(self, environment: GymnasiumEnvironment, num_envs: int) -> None:
        self._lanes: Any = gymnasium.make_vec(environment.environment_id, num_envs=num_envs)
        self._single: Any = environment.make().unwrapped
        self.num_envs = num_envs
        self.metadata, self.spec = self._lanes.metadata, self._lanes.spec
        self.single_observation_space = self._lanes.single_observation_space
        self.single_action_space = self._lanes.single_action_space
        self.observation_space, self.action_space = self._lanes.observation_space, self._lanes.action_space

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in every lane; see `EpisodesVectorEnv.reset`."""
        observations, infos = self._lanes.reset(seed=0, options=options)
        begun: dict[int | None, tuple[NDArray[Any], NDArray[Any]]] = {}
        for i, own in enumerate(_seed_of_each(seed, self.num_envs)):
            if own is None or own not in begun:
                observation, _ = self._single.reset(seed=own, options=options)
                begun[own] = observation, np.array(self._single.state)
            observations[i], self._lanes.state[:, i] = begun[own]
        return observations, infos

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Act in all lanes."""
        observations, rewards, terminations, truncations, infos = self._lanes.step(actions)
        return observations, rewards, terminations, truncations, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Close all environments."""
        self._lanes.close()
        self._single.close()


def _seed_of_each(seed: int | Sequence[int | None] | None, num_envs: int) -> Sequence[int | None]:
    """One seed for each environment; they count up from a single one."""
    if seed is None:
        return [None] * num_envs
    return [seed + i for i in range(num_envs)] if isinstance(seed, int) else seed


def vector_env(environment: GymnasiumEnvironment, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Return environments side by side, one of those that this thread keeps if there is one.

    Making some environments takes long, and a search asks for the same ones again and again.
    """
    kept: OrderedDict[tuple[str, int], VectorEnv[Any, Any, Any]] = _kept.__dict__.setdefault("envs", OrderedDict())
    key = environment.environment_id, num_envs
    if key not in kept:
        spec = gymnasium.spec(_registered_id(environment))
        # A vector environment knows neither wrappers nor episodes without a limit.
        native = spec.max_episode_steps and not spec.additional_wrappers and spec.vector_entry_point in _WITH_STATE
        kept[key] = (StateVectorEnv if native else EpisodesVectorEnv)(environment, num_envs)
    kept.move_to_end(key)
    while len(kept) > _NUM_KEPT:
        kept.popitem(last=False)[1].close()
    return kept[key]


def forget(environment: GymnasiumEnvironment, num_envs: int) -> None:
    """Keep no longer what `vector_env` returned, after an error in it."""
    kept = _kept.__dict__.get("envs", {})
    kept.pop((environment.environment_id, num_envs), None)


def _registered_id(environment: GymnasiumEnvironment) -> str:
    """The id without its module, which is imported first: another process has not done so yet."""
    module, _, name = environment.environment_id.rpartition(":")
    if module:
        importlib.import_module(module)
    return name
