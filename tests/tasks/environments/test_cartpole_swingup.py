"""The physics of the cart and its pole, from independent formulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from topoevo.tasks.environments.cartpole_swingup import CartPoleConstants, CartPoleSwingUp, accelerations, observe, step

STATES = np.random.default_rng(0).normal(size=(20, 4)) * [0.8, 2.0, 3.0, 6.0]


def lagrange(c: CartPoleConstants, state: NDArray[np.float64], force: float) -> NDArray[np.float64]:
    """Both accelerations as the solution of Lagrange's equations, whose mass matrix is that of T = ½ q̇ᵀ A q̇."""
    _, velocity, angle, turning = state
    m, length = c.pole_mass, c.pole_length
    coupling = -0.5 * m * length * math.cos(angle)
    mass_matrix = np.array([[c.cart_mass + m, coupling], [coupling, m * length**2 / 3]])
    forces = [
        force - c.friction * velocity - 0.5 * m * length * turning**2 * math.sin(angle),
        0.5 * m * c.gravity * length * math.sin(angle),
    ]
    return np.linalg.solve(mass_matrix, forces)


def energy(c: CartPoleConstants, state: NDArray[np.float64]) -> float:
    """Of the cart, and of every piece of the pole, summed up."""
    _, velocity, angle, turning = state
    pieces = (np.arange(1000) + 0.5) / 1000 * c.pole_length
    vx, vy = velocity - pieces * turning * math.cos(angle), -pieces * turning * math.sin(angle)
    of_pieces = 0.5 * (vx**2 + vy**2) + c.gravity * pieces * math.cos(angle)
    return float(0.5 * c.cart_mass * velocity**2 + c.pole_mass * of_pieces.mean())


@pytest.mark.parametrize("state", STATES)
def test_accelerations_solve_the_equations_of_motion(state: NDArray[np.float64]) -> None:
    c = CartPoleConstants()
    assert accelerations(c, *state[1:], 7.0) == pytest.approx(lagrange(c, state, 7.0), rel=1e-10)


def test_energy_changes_by_the_error_of_eulers_method_alone() -> None:
    drifts = []
    for time_step in (1e-3, 5e-4):
        c = CartPoleConstants(friction=0.0, time_step=time_step)
        state = np.array([0.1, -0.4, 2.0, 1.0])
        before = energy(c, state)
        for _ in range(round(1.0 / time_step)):
            step(c, state, np.zeros(1))
        drifts.append(abs(energy(c, state) - before))
    assert drifts[0] < 0.05
    assert drifts[0] / drifts[1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("state", STATES)
def test_positions_follow_the_velocities_before_the_step(state: NDArray[np.float64]) -> None:
    c, moved = CartPoleConstants(), state.copy()
    reward, ended = step(c, moved, np.array([-0.3]))
    np.testing.assert_allclose(moved[[0, 2]], state[[0, 2]] + 0.01 * state[[1, 3]], rtol=1e-14)
    np.testing.assert_allclose(moved[[1, 3]], state[[1, 3]] + 0.01 * lagrange(c, state, -3.0), rtol=1e-10)
    assert reward == pytest.approx((math.cos(moved[2]) + 1) / 2 * math.cos(moved[0] * math.pi / 4.8), rel=1e-14)
    assert ended == (abs(moved[0]) > 2.4)


def test_reward_is_greatest_upright_in_the_middle_and_nothing_when_hanging() -> None:
    c = CartPoleConstants()
    assert step(c, np.zeros(4), np.zeros(1))[0] == 1.0
    assert step(c, np.array([0.0, 0.0, math.pi, 0.0]), np.zeros(1))[0] == pytest.approx(0.0, abs=1e-15)
    assert step(c, np.array([2.4, 0.0, 0.0, 0.0]), np.zeros(1)) == (pytest.approx(0.0, abs=1e-15), False)
    assert step(c, np.array([-2.41, 0.0, 0.0, 0.0]), np.zeros(1))[1]


def test_observes_the_angle_by_cosine_and_sine() -> None:
    observation = np.zeros(5, np.float32)
    observe(CartPoleConstants(), np.array([1.0, 2.0, math.pi / 3, 4.0]), observation)
    np.testing.assert_allclose(observation, [1.0, 2.0, 0.5, math.sqrt(0.75), 4.0], rtol=1e-6)


def test_begins_hanging_with_noise_of_a_fifth() -> None:
    rng, environment = np.random.default_rng(1), CartPoleSwingUp()
    states = np.array([environment.initial_state(rng) for _ in range(4000)])
    np.testing.assert_allclose(states.mean(axis=0), [0, 0, math.pi, 0], atol=0.015)
    np.testing.assert_allclose(states.std(axis=0), 0.2, atol=0.01)
