"""Swing up a pole on a cart and balance it in the middle of the track."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from topoevo.tasks.environments.environment import SIMULATIONS, Actions, Simulation, SimulationCode


class CartPoleConstants(NamedTuple):
    """What the equations of motion need, in SI units."""

    gravity: float = 9.82
    cart_mass: float = 0.5
    pole_mass: float = 0.5
    pole_length: float = 0.6
    friction: float = 0.1
    max_force: float = 10.0
    time_step: float = 0.01
    track_limit: float = 2.4


def accelerations(
    constants: CartPoleConstants, velocity: float, angle: float, angular_velocity: float, force: float
) -> tuple[float, float]:
    """Return the accelerations of cart and pole.

    A cart of mass M is pushed by the force F and braked by the friction b ẋ; a uniform pole of mass m and length l
    hangs on it, θ = 0 upright, positive against the clock. Lagrange's equations are

        (M + m) ẍ - ½ m l θ̈ cos θ + ½ m l θ̇² sin θ = F - b ẋ,     l θ̈ = 3/2 (ẍ cos θ + g sin θ).

    Parameters
    ----------
    velocity, angle, angular_velocity
        ẋ in m/s, θ in rad, θ̇ in rad/s.
    force
        F in N.

    References
    ----------
    Gal, McAllister & Rasmussen 2016, Improving PILCO with Bayesian neural network dynamics models; Gaier & Ha 2019,
    arXiv 1906.04358.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    push = force - constants.friction * velocity
    centrifugal = constants.pole_mass * constants.pole_length * angular_velocity * angular_velocity * sine
    weight = constants.pole_mass * constants.gravity * sine
    mass = 4.0 * (constants.cart_mass + constants.pole_mass) - 3.0 * constants.pole_mass * cosine * cosine
    acceleration = (4.0 * push - 2.0 * centrifugal + 3.0 * weight * cosine) / mass
    return acceleration, 1.5 * (acceleration * cosine + constants.gravity * sine) / constants.pole_length


def observe(constants: CartPoleConstants, state: NDArray[np.float64], observation: NDArray[np.float32]) -> None:
    """Position, velocity, cosine and sine of the angle, angular velocity."""
    observation[0] = state[0]
    observation[1] = state[1]
    observation[2] = math.cos(state[2])
    observation[3] = math.sin(state[2])
    observation[4] = state[3]


def step(constants: CartPoleConstants, state: NDArray[np.float64], action: NDArray[np.float64]) -> tuple[float, bool]:
    """One step of Euler's method, in which positions follow the velocities before the step.

    The reward, 0 … 1, is that of the position after it: ½ (cos θ + 1) cos(½ π x / limit).
    """
    acceleration, angular_acceleration = accelerations(
        constants, state[1], state[2], state[3], constants.max_force * action[0]
    )
    position = state[0] + constants.time_step * state[1]
    angle = state[2] + constants.time_step * state[3]
    state[0] = position
    state[1] += constants.time_step * acceleration
    state[2] = angle
    state[3] += constants.time_step * angular_acceleration
    reward = 0.5 * (math.cos(angle) + 1.0) * math.cos(0.5 * math.pi * position / constants.track_limit)
    return reward, abs(position) > constants.track_limit


_ACTIONS = Actions("continuous", ("force",), (-10.0,), (10.0,))


@SIMULATIONS.register
@dataclass(frozen=True, eq=False)
class CartPoleSwingUp(Simulation):
    """The environment of weight-agnostic networks (Gaier & Ha 2019): at most 1000 steps of 10 ms, no limit of angle.

    The state is x in m, ẋ, θ in rad, θ̇; it begins at (0, 0, π, 0) with normal noise of deviation 0.2 on all four.
    """

    name: str = "CartPoleSwingUp"
    observation_names: tuple[str, ...] = ("x", "x_dot", "cos_theta", "sin_theta", "theta_dot")
    actions: Actions = _ACTIONS
    max_steps: int = 1000

    @property
    def constants(self) -> CartPoleConstants:
        """See `Simulation.constants`."""
        return CartPoleConstants()

    @staticmethod
    def code() -> SimulationCode:
        """See `Simulation.code`."""
        return SimulationCode(observe, step)

    def initial_state(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """See `Simulation.initial_state`."""
        return np.array([0.0, 0.0, math.pi, 0.0]) + 0.2 * rng.standard_normal(4)
