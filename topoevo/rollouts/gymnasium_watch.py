"""One episode in an environment of Gymnasium that draws itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError, in_one_line
from topoevo.network import Network
from topoevo.rollouts.episodes import RolloutError
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment

#: Steps in a second where an environment does not say.
STEPS_PER_SECOND = 30.0


@dataclass(frozen=True)
class WatchedStep:
    """An environment after some steps.

    Parameters
    ----------
    num_steps
        Steps until now.
    total
        Sum of the rewards until now.
    is_over
        Whether the episode has ended.
    render
        Returns a picture, uint8 [height, width, 3], or None where the environment has a window of its own; to be called
        before the next step.
    """

    num_steps: int
    total: float
    is_over: bool
    render: Callable[[], NDArray[np.uint8] | None]


def render_modes(environment: GymnasiumEnvironment) -> tuple[tuple[str, ...], float]:
    """Return the ways in which an environment can draw itself, and its steps in a second."""
    sample = environment.make()
    try:
        metadata = sample.metadata
        return tuple(metadata.get("render_modes") or ()), float(metadata.get("render_fps") or STEPS_PER_SECOND)
    finally:
        sample.close()


def watch(
    environment: GymnasiumEnvironment,
    network: Network,
    weights: NDArray[np.float32],
    seed: int,
    *,
    render_mode: str | None,
    speed: float = 1.0,
) -> Iterator[WatchedStep]:
    """Yield the beginning of an episode and each of its steps, with the same numbers as in `roll_out`.

    Parameters
    ----------
    environment, network
        They fit together.
    weights
        Of one policy, float32 [] or [num_edges].
    seed
        Of the episode.
    render_mode
        ``human``, ``rgb_array`` or None, as Gymnasium has it.
    speed
        How many times faster than it is an environment is in its own window.

    Raises
    ------
    TaskError
        If a package that draws is missing, or there is no screen.
    RolloutError
        If an observation or reward is not finite, or the environment raises.
    """
    from topoevo.rollouts.acting import CompiledActor

    act = CompiledActor(network, environment.actions, np.atleast_1d(weights)[None] if weights.ndim else weights[None])
    env = _made(environment, render_mode, speed)
    try:
        observation, _ = _drawn(environment, lambda: env.reset(seed=seed))
        total, is_over = 0.0, False

        def render() -> Any:
            return _drawn(environment, env.render) if render_mode == "rgb_array" else None

        yield WatchedStep(0, total, is_over, render)
        for step in range(1, environment.max_steps + 1):
            actions = act(environment.inputs_of(np.asarray(observation)[None]))
            if act.faults.any():
                raise RolloutError(f"{environment.name}: an observation or an output is not finite (step {step})")
            try:
                observation, reward, terminated, truncated, _ = env.step(environment.gymnasium_actions(actions)[0])
            except (Exception, SystemExit) as error:
                raise RolloutError(f"{environment.name} raised {in_one_line(error)} (step {step})") from error
            total += float(reward)
            if not np.isfinite(total):
                raise RolloutError(f"{environment.name}: a reward is not finite (step {step})")
            is_over = bool(terminated or truncated) or step == environment.max_steps
            yield WatchedStep(step, total, is_over, render)
            if is_over:
                return
    finally:
        env.close()


def _made(environment: GymnasiumEnvironment, render_mode: str | None, speed: float) -> Any:
    """A new environment that draws itself."""
    try:
        env = environment.make(render_mode=render_mode)
    except Exception as error:
        raise TaskError(f"{environment.name} cannot be drawn ({in_one_line(error)})") from error
    metadata = getattr(env.unwrapped, "metadata", {})
    if render_mode == "human" and metadata.get("render_fps"):
        # A copy of its own: the class has it, too.
        env.unwrapped.metadata = {**metadata, "render_fps": max(round(metadata["render_fps"] * speed), 1)}
    return env


def _drawn(environment: GymnasiumEnvironment, draw: Callable[[], Any]) -> Any:
    """What `draw` returns, or an error that says what is missing."""
    import gymnasium

    try:
        return draw()
    except gymnasium.error.DependencyNotInstalled as error:
        advice = ": pip install 'gymnasium[classic-control]'" if "pygame" in str(error) else ""
        raise TaskError(
            f"drawing {environment.name} needs a package that is not installed{advice} ({error})"
        ) from error
    except Exception as error:
        raise TaskError(f"{environment.name} cannot be drawn ({in_one_line(error)})") from error
