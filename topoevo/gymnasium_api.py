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

from topoevo.tasks.environments.environment import SIMULATIONS


class SimulationEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """A simulation, step by step, in plain Python.

    Actions are the number of one of the actions, or values in -1 … 1. The info has the simulation's measures. It can be
    rendered to pictures if the simulation has a method ``draw(state)`` that returns one, uint8 [height, width, 3].

    Parameters
    ----------
    simulation
        Its name.
    render_mode
        ``rgb_array`` or None.
    **options
        Values of the `option` fields of the simulation.
    """

    def __init__(self, simulation: str, render_mode: str | None = None, **options: Any) -> None:
        self.simulation = SIMULATIONS[simulation](**options)
        self._draw = getattr(self.simulation, "draw", None)
        self.metadata = {"render_modes": ["rgb_array"] if self._draw else [], "render_fps": 30}
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"{simulation} has no render mode {render_mode!r} (known: {self.metadata['render_modes']})")
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

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; from the same seed as in `topoevo.rollouts.roll_out` it begins in the same state."""
        super().reset(seed=seed)
        self.state = self.simulation.initial_state(self.np_random)
        return self._observed(self.state), dict(self.simulation.measure(self.state))

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Act; see `gymnasium.Env.step`."""
        if self.state is None:
            raise gymnasium.error.ResetNeeded("reset the environment before the first step")
        discrete = self.simulation.actions.kind == "discrete"
        values = np.array([action] if discrete else np.clip(action, -1.0, 1.0), np.float64)
        reward, ended = self._code.step(self._constants, self.state, values)
        return self._observed(self.state), float(reward), bool(ended), False, dict(self.simulation.measure(self.state))

    def render(self) -> Any:
        """Return a picture, uint8 [height, width, 3], or None without a render mode."""
        return self._draw(self.state) if self._draw and self.render_mode else None

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
