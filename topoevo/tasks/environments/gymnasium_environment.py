"""Environments of Gymnasium, as far as a network can observe them and act in them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.tasks.environments.environment import Actions, Environment

if TYPE_CHECKING:
    import gymnasium

#: Steps after which an episode ends where the environment has no limit of its own.
MAX_STEPS = 10_000

#: The most values of one observation that have an input each.
_MAX_VALUES = 10_000

#: Bounds from here on are none; some environments write the largest number of their type for infinity.
_HUGE = 1e30


@dataclass(frozen=True, eq=False)
class GymnasiumEnvironment(Environment):
    """An environment of Gymnasium: numbers are observed, and one of some actions is taken or a box is acted in.

    Parameters
    ----------
    environment_id
        What ``gymnasium.make`` is given, ``Id`` or ``module:Id``.
    num_values
        Where one value out of a finite set is observed, the size of that set: every value has an input of its own,
        which is 1 or 0. 0 where numbers are observed.
    first_value
        The least of these values.
    first_action
        The number of the first of discrete actions.
    action_shape
        Shape of continuous actions.
    notices
        What users should know about how their words were taken.
    """

    environment_id: str = ""
    num_values: int = 0
    first_value: int = 0
    first_action: int = 0
    action_shape: tuple[int, ...] = ()
    notices: tuple[str, ...] = field(default=())

    def make(self, **arguments: Any) -> gymnasium.Env[Any, Any]:
        """Return a new environment."""
        import gymnasium

        return gymnasium.make(self.environment_id, disable_env_checker=True, **arguments)

    def inputs_of(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return a network's inputs, float32 [num_lanes, num_inputs], for what is observed in each lane."""
        if not self.num_values:
            return np.ascontiguousarray(observations, np.float32)
        values = np.arange(self.first_value, self.first_value + self.num_values)
        return np.asarray(observations[:, None] == values, np.float32)

    def gymnasium_actions(self, actions: NDArray[np.float64]) -> NDArray[Any]:
        """Return actions in terms of Gymnasium, int64 [num_lanes] or float32 [num_lanes, *action_shape].

        Parameters
        ----------
        actions
            Index of the action, float64 [num_lanes, 1], or values in -1 … 1, float64 [num_lanes, num_outputs].
        """
        if self.actions.kind == "discrete":
            return np.asarray(actions[:, 0], np.int64) + self.first_action
        low, high = np.array(self.actions.low), np.array(self.actions.high)
        # Symmetric about the middle, so that bounds of -1 and 1 leave the values as they are.
        scaled = np.clip(0.5 * (low + high) + 0.5 * (high - low) * actions, low, high)
        return np.asarray(scaled, np.float32).reshape(-1, *self.action_shape)


def describe(
    environment_id: str,
    environment: gymnasium.Env[Any, Any],
    *,
    take_argmax_action: bool | None,
    notices: tuple[str, ...] = (),
) -> GymnasiumEnvironment:
    """Return what a network has to do with an environment.

    Parameters
    ----------
    environment_id
        What it was made from.
    environment
        A sample of it.
    take_argmax_action
        Whether one of several actions is taken; None: as the environment wants it.
    notices
        What is to be told besides what is found here.

    Raises
    ------
    TaskError
        If a network cannot observe it or cannot act in it.
    """
    import gymnasium

    num_inputs, num_values, first_value = _observations(environment_id, environment.observation_space)
    actions, first_action, shape, notice = _actions(environment_id, environment.action_space, take_argmax_action)
    limit = environment.spec.max_episode_steps if environment.spec else None
    return GymnasiumEnvironment(
        name=environment_id,
        observation_names=tuple(f"observation_{i}" for i in range(num_inputs)),
        actions=actions,
        max_steps=limit or MAX_STEPS,
        provenance={"gymnasium": gymnasium.__version__, "environment_id": environment_id},
        environment_id=environment_id,
        num_values=num_values,
        first_value=first_value,
        first_action=first_action,
        action_shape=shape,
        notices=(*notices, *notice),
    )


def _observations(name: str, space: Any) -> tuple[int, int, int]:
    """Number of inputs, number of discrete values, and the least of these."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        if space.n > _MAX_VALUES:
            raise TaskError(
                f"env_name: a network cannot observe {name}: each of the values of its observation space {space} would "
                f"have an input, and {_MAX_VALUES:,} are possible"
            )
        return int(space.n), int(space.n), int(space.start)
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.shape[0] > 0:
        return int(space.shape[0]), 0, 0
    raise TaskError(
        f"env_name: a network cannot observe {name}: its observation space is {space}, "
        "but must be a Box with one dimension, or Discrete"
    )


def _actions(
    name: str, space: Any, take_argmax_action: bool | None
) -> tuple[Actions, int, tuple[int, ...], tuple[str, ...]]:
    """What a network's outputs do, the first of discrete actions, the shape of continuous ones, and notices."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        if take_argmax_action is False:
            raise TaskError(
                f"take_argmax_action: False is not possible in {name}, where one of several actions is taken "
                f"(action space {space}); use True or leave it out"
            )
        return Actions("discrete", _names(int(space.n))), int(space.start), (), ()
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and math.prod(space.shape) > 0:
        if take_argmax_action:
            raise TaskError(
                f"take_argmax_action: True is not possible in {name}, where actions are numbers "
                f"(action space {space}); use False or leave it out"
            )
        limits = np.array([space.low.ravel(), space.high.ravel()], np.float64)
        low, high = _bounds(*limits)
        actions = Actions("continuous", _names(len(low)), tuple(low.tolist()), tuple(high.tolist()))
        notice = (f"{name}: actions without bounds are kept in -1 … 1 ({space})",)
        return actions, 0, space.shape, () if (np.abs(limits) < _HUGE).all() else notice
    raise TaskError(
        f"env_name: a network cannot act in {name}: its action space is {space}, but must be Discrete or a Box of "
        "floating point numbers"
    )


def _bounds(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds that are infinite or huge, replaced: by -1 and 1, or by 2 from the other where nothing is left between."""
    lowest = np.where(np.abs(low) < _HUGE, low, np.where(high > -1.0, -1.0, high - 2.0))
    return lowest, np.where(np.abs(high) < _HUGE, high, np.where(lowest < 1.0, 1.0, lowest + 2.0))


def _names(num_actions: int) -> tuple[str, ...]:
    """Gymnasium has no names for actions."""
    return tuple(f"action_{i}" for i in range(num_actions))
