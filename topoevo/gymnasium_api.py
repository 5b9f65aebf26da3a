"""Our own simulations as environments of Gymnasium; importing this module registers them.

.. code-block:: python

    import gymnasium
    import topoevo.gymnasium_api

    environment = gymnasium.make("topoevo/Snake-v0", board_size=8)

``gymnasium.make("topoevo.gymnasium_api:topoevo/Snake-v0")`` does without the import.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from topoevo.reporting.films.drawing import Moment, drawing_of
from topoevo.tasks.environments.environment import SIMULATIONS


class SimulationEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """A simulation, step by step, in plain Python.

    Actions are the number of one of the actions, or values in -1 … 1. The info has the simulation's measures. Rendered
    are the pictures of `topoevo.reporting.films`, uint8 [height, width, 3].

    Parameters
    ----------
    simulation
        Its name.
    render_mode
        ``rgb_array`` or None.
    **options
        Values of the `option` fields of the simulation.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, simulation: str, render_mode: str | None = None, **options: Any) -> None:
        self.simulation = SIMULATIONS[simulation](**options)
        self._drawing = drawing_of(self.simulation)
        self.metadata = {**self.metadata, "render_fps": round(self._drawing.steps_per_second)}
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"{simulation} has no render mode {render_mode!r} (known: {self.metadata['render_modes']})"
            )
        self.render_mode = render_mode
        actions = self.simulation.actions
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.simulation.num_inputs,), np.float32)
        self.action_space = (
            spaces.Discrete(len(actions.names))
            if actions.kind == "discrete"
            else spaces.Box(-1.0, 1.0, (len(actions.names),), np.float32)
        )
        self._code, self._constants = self.simulation.code(), self.simulation.constants
        self.state: NDArray[np.float64] | None = None
        self._states: list[NDArray[np.float64]] = []
        self._done: list[tuple[NDArray[np.float64], float]] = []
        self._is_over = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; from the same seed as in `topoevo.rollouts.roll_out` it begins in the same state."""
        super().reset(seed=seed)
        self.state = self.simulation.initial_state(self.np_random)
        self._states, self._done, self._is_over = [self.state.copy()], [], False
        return self._observed(self.state), dict(self.simulation.measure(self.state))

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Act; see `gymnasium.Env.step`."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded("reset the environment before the first step")
        discrete = self.simulation.actions.kind == "discrete"
        values = np.array([action] if discrete else np.clip(action, -1.0, 1.0), np.float64)
        reward, ended = self._code.step(self._constants, self.state, values)
        if self.render_mode is not None:
            self._states.append(self.state.copy())
            self._done.append((np.atleast_1d(values), float(reward)))
            self._is_over = bool(ended)
        return self._observed(self.state), float(reward), bool(ended), False, dict(self.simulation.measure(self.state))

    def render(self) -> Any:
        """Return a picture, uint8 [height, width, 3], or None without a render mode."""
        if self.render_mode is None:
            return None
        if self.state is None:
            raise gymnasium.error.ResetNeeded("reset the environment before it is rendered")
        actions, rewards = zip(*self._done, strict=True) if self._done else ((), ())
        moment = Moment(
            np.array(self._states), np.array(actions), np.array(rewards), self._is_over, self.simulation.name
        )
        return np.array(self._drawing.picture(moment))

    def _observed(self, state: NDArray[np.float64]) -> NDArray[np.float32]:
        """What is observed, float32 [num_inputs]."""
        observation = np.zeros(self.simulation.num_inputs, np.float32)
        self._code.observe(self._constants, state, observation)
        return observation


for _name, _simulation in SIMULATIONS.items():
    gymnasium.register(
        f"topoevo/{_name}-v0",
        entry_point="topoevo.gymnasium_api:SimulationEnv",
        max_episode_steps=_simulation.max_steps,
        kwargs={"simulation": _name},
    )
