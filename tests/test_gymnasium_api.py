"""Our own simulations as environments of Gymnasium."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import topoevo.gymnasium_api
from topoevo.tasks.environments.environment import SIMULATIONS


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity")
def test_gymnasium_finds_nothing_wrong(name):
    check_env(gymnasium.make(f"topoevo/{name}-v0").unwrapped)


@pytest.mark.parametrize("name", SIMULATIONS)
def test_episodes_end_by_the_limit_at_the_latest(name):
    environment = gymnasium.make(f"topoevo/{name}-v0")
    limit = SIMULATIONS[name]().max_steps
    assert environment.spec.max_episode_steps == limit
    own = environment.unwrapped.simulation
    assert (environment.observation_space.shape, own.num_inputs) == ((own.num_inputs,), len(own.observation_names))


def test_a_simulation_is_stepped_by_its_own_functions():
    environment = gymnasium.make("topoevo/CartPoleSwingUp-v0")
    observation, _ = environment.reset(seed=5)
    own = SIMULATIONS["CartPoleSwingUp"]()
    state, expected = own.initial_state(np.random.default_rng(5)), np.zeros(5, np.float32)
    for force in (0.5, -3.0, 1.0):
        own.code().observe(own.constants, state, expected)
        np.testing.assert_array_equal(observation, expected)
        reward, ended = own.code().step(own.constants, state, np.array([max(force, -1.0)]))
        observation, *rest = environment.step(np.array([force], np.float32))
        assert rest == [reward, ended, False, {}]


def test_options_and_measures():
    environment = gymnasium.make("topoevo/Snake-v0", board_size=6)
    observation, info = environment.reset(seed=0)
    assert info == {"food": 0.0}
    assert environment.unwrapped.simulation.board_size == 6
    assert environment.observation_space.contains(observation)
    with pytest.raises(TypeError, match="board_length"):
        gymnasium.make("topoevo/Snake-v0", board_length=6)


def test_a_render_mode_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no render mode 'hologram'"):
        topoevo.gymnasium_api.SimulationEnv("Snake", render_mode="hologram")


@pytest.mark.parametrize("name", SIMULATIONS)
def test_pictures_follow_the_episode(name):
    environment = gymnasium.make(f"topoevo/{name}-v0", render_mode="rgb_array")
    environment.action_space.seed(0)
    environment.reset(seed=0)
    first = environment.render()
    assert first.dtype == np.uint8
    assert first.shape[2:] == (3,)
    environment.step(environment.action_space.sample())
    assert not np.array_equal(environment.render(), first)
    environment.reset(seed=0)
    np.testing.assert_array_equal(environment.render(), first)


def test_the_module_in_the_id_registers():
    code = "import gymnasium; print(gymnasium.make('topoevo.gymnasium_api:topoevo/Snake-v0').reset(seed=1)[0].sum())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) == gymnasium.make("topoevo/Snake-v0").reset(seed=1)[0].sum()
