"""Episodes in environments of Gymnasium: those of a plain loop, the same bits whatever else is computed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import topoevo.gymnasium_api  # noqa: F401 - registers our own
from topoevo.kernels import load_kernel
from topoevo.rollouts import RolloutError, needs_compilation, prepare, roll_out
from topoevo.rollouts.acting import compiled_act
from topoevo.rollouts.gymnasium_lanes import _NUM_KEPT, EpisodesVectorEnv, StateVectorEnv, _kept, forget, vector_env
from topoevo.tasks.environments.find import find_environment
from topoevo.tasks.environments.gymnasium_environment import describe

WEIGHTS = np.array([-1.5, 0.5, 1.0], np.float32)
#: Of networks whose episodes end at different times.
SEEDS = {"Acrobot-v1": 46}
NAMES = ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "BipedalWalker-v3", "FrozenLake-v1"]


def plain_episode(name: str, network, weight: float, seed: int) -> tuple[float, int]:
    """Return and steps, by the definition of an episode."""
    environment, kernel = gymnasium.make(name), load_kernel("reference")
    weights = np.full(network.num_edges, weight, np.float32)
    observed, actions = environment.observation_space, environment.action_space
    observation, _ = environment.reset(seed=seed)
    total, steps, ended = 0.0, 0, False
    while not ended:
        if isinstance(observed, spaces.Discrete):
            inputs = np.eye(observed.n, dtype=np.float32)[:, [observation]]
        else:
            inputs = observation.astype(np.float32)[:, None]
        outputs = kernel.forward(network, weights, inputs)[1][-network.num_outputs :, 0]
        if isinstance(actions, spaces.Discrete):
            action = int(np.argmax(outputs))
        else:
            # All those of the test have symmetric bounds.
            action = (actions.high * np.clip(outputs, -1, 1)).astype(np.float32)
        observation, reward, terminated, truncated, _ = environment.step(action)
        total, steps, ended = total + float(reward), steps + 1, terminated or truncated
    return total, steps


@pytest.mark.parametrize("name", NAMES)
def test_episodes_are_those_of_a_plain_loop(name, evolve_network):
    environment = find_environment(name)
    network = evolve_network(SEEDS.get(name, 3), num_inputs=environment.num_inputs, num_outputs=environment.num_outputs)
    seeds = [7, 8]
    expected = np.array([[plain_episode(name, network, w, seed) for seed in seeds] for w in WEIGHTS])
    plain = roll_out(environment, network, WEIGHTS, seeds, kernel_name="reference")
    np.testing.assert_array_equal(plain.returns, expected[..., 0])
    np.testing.assert_array_equal(plain.steps, expected[..., 1])
    assert len(np.unique([plain.returns, plain.steps])) > 2
    own = np.repeat(WEIGHTS[:, None], network.num_edges, axis=1)
    each = roll_out(environment, network, own, seeds, kernel_name="reference")
    np.testing.assert_array_equal(each.returns, plain.returns)


@pytest.mark.parametrize("seed", range(2))
def test_compiled_actions_are_those_of_the_reference(seed, evolve_network):
    environment = find_environment("Pendulum-v1")
    smooth = ("linear", "tanh", "gaussian", "sigmoid", "abs", "relu")
    network = evolve_network(seed, num_inputs=3, num_outputs=1, activations=smooth, num_mutations=15)
    weights = np.random.default_rng(seed).normal(size=(34, network.num_edges)).astype(np.float32)
    for policies in (weights[:, 0], weights):
        compiled, plain = (
            roll_out(environment, network, policies, [1], kernel_name=name).returns for name in ("numba", "reference")
        )
        assert np.median(np.abs(compiled - plain)) < 1e-3
        assert np.ptp(plain) > 1.0


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "BipedalWalker-v3"])
def test_an_episode_has_the_same_bits_alone_among_others_again_and_elsewhere(name, evolve_network):
    environment = find_environment(name)
    network = evolve_network(SEEDS.get(name, 5), num_inputs=environment.num_inputs, num_outputs=environment.num_outputs)
    seeds = list(range(6))
    together = roll_out(environment, network, WEIGHTS, seeds)
    again = roll_out(environment, network, WEIGHTS, seeds)
    np.testing.assert_array_equal(together.returns, again.returns)
    np.testing.assert_array_equal(together.steps, again.steps)
    for policy, trial in ((0, 0), (1, 5), (2, 5)):
        alone = roll_out(environment, network, WEIGHTS[[policy]], [seeds[trial]])
        assert alone.returns[0, 0] == together.returns[policy, trial]
    copied = pickle.loads(pickle.dumps(environment))
    with ThreadPoolExecutor(2) as pool:
        parts = [pool.submit(roll_out, copied, network, WEIGHTS, part) for part in (seeds[:3], seeds[3:])]
    np.testing.assert_array_equal(np.hstack([part.result().returns for part in parts]), together.returns)


def test_native_lanes_are_the_single_environments():
    environment, seeds = find_environment("CartPole-v1"), [3, 1, 3, 9, 4]
    lanes, singles = StateVectorEnv(environment, 5), EpisodesVectorEnv(environment, 5)
    rng = np.random.default_rng(0)
    for _ in range(3):
        running = np.ones(5, bool)
        found, expected = lanes.reset(seed=seeds), singles.reset(seed=seeds)
        np.testing.assert_array_equal(found[0], expected[0])
        while running.any():
            actions = rng.integers(0, 2, 5)
            found, expected = lanes.step(actions), singles.step(actions)
            for one, other in zip(found[:4], expected[:4], strict=True):
                np.testing.assert_array_equal(one[running], other[running])
            running &= ~(expected[2] | expected[3])
    assert isinstance(vector_env(environment, 2), StateVectorEnv)
    assert isinstance(vector_env(find_environment("Acrobot-v1"), 2), EpisodesVectorEnv)


@pytest.mark.parametrize("seed", range(6))
def test_a_wrapped_simulation_plays_the_compiled_games(seed, evolve_network):
    sample = gymnasium.make("topoevo/Snake-v0")
    wrapped = describe("topoevo/Snake-v0", sample, take_argmax_action=None)
    network = evolve_network(seed, num_inputs=10, num_outputs=3)
    through, compiled = (
        roll_out(environment, network, WEIGHTS, [1, 2, 3]) for environment in (wrapped, find_environment("Snake"))
    )
    np.testing.assert_array_equal(through.returns, compiled.returns)
    np.testing.assert_array_equal(through.steps, compiled.steps)
    assert len(np.unique(compiled.steps)) > 1


def test_a_wrapped_swing_up_is_the_compiled_one(wire):
    sample = gymnasium.make("topoevo/CartPoleSwingUp-v0")
    wrapped = describe("topoevo/CartPoleSwingUp-v0", sample, take_argmax_action=None)
    # Pushes that follow the angular velocity: the motion stays regular.
    network = wire(5, 1, [(4, 0)], activation="tanh")
    weights = np.array([-0.5, 0.0, 0.2], np.float32)
    through, compiled = (
        roll_out(environment, network, weights, [1, 2])
        for environment in (wrapped, find_environment("CartPoleSwingUp"))
    )
    np.testing.assert_array_equal(through.steps, compiled.steps)
    np.testing.assert_allclose(through.returns, compiled.returns, rtol=1e-6)
    assert np.ptp(compiled.returns) > 1.0


class Counter(gymnasium.Env):
    """Observes (1, steps so far); ends after as many steps as its seed says, and must not be acted in after that."""

    def __init__(self, action_space=None, reward=None, observe=None, fails_at=10**9, error=RuntimeError):
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = action_space or spaces.Discrete(2)
        self.reward, self.observe, self.fails_at, self.error = reward, observe, fails_at, error

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.last, self.count = seed, 0
        return np.array([1.0, 0.0], np.float32), {}

    def step(self, action):
        assert self.count < self.last, "acted after the end"
        assert self.action_space.contains(action), action
        self.count += 1
        if self.count == self.fails_at:
            raise self.error("the floor is gone\nand more")
        observation = self.observe(self.count) if self.observe else [1.0, self.count]
        reward = self.reward(self.count, action) if self.reward else 1.0
        return np.array(observation, np.float32), reward, self.count == self.last, False, {}


@pytest.fixture
def register() -> Iterator[Callable[..., str]]:
    """Return ``register(**arguments)``: the id of a new `Counter`; ``limit`` is its number of steps."""
    ids: list[str] = []

    def add(limit: int | None = None, **arguments: object) -> str:
        ids.append(f"Counter{len(ids)}-v0")
        gymnasium.register(ids[-1], entry_point=Counter, max_episode_steps=limit, kwargs=arguments)
        return ids[-1]

    yield add
    for name in ids:
        for environment_id, num_envs in list(_kept.__dict__.get("envs", {})):
            if environment_id == name:
                _kept.envs.pop((environment_id, num_envs))
        del gymnasium.registry[name]


def test_an_episode_lasts_until_its_first_end_and_trials_are_shared(register, wire):
    environment = find_environment(register(limit=6))
    episodes = roll_out(environment, wire(2, 2, [(0, 0)]), WEIGHTS, [2, 5, 9])
    assert episodes.steps.tolist() == [[2, 5, 6]] * 3
    assert episodes.returns.tolist() == [[2.0, 5.0, 6.0]] * 3
    assert episodes.steps.dtype == np.int32


def test_the_first_of_equal_outputs_and_numbers_that_begin_elsewhere(register, wire):
    name = register(action_space=spaces.Discrete(3, start=-1), reward=lambda count, action: float(action))
    environment = find_environment(name)
    for edges, expected in (([], -1.0), ([(0, 1)], 0.0), ([(0, 2)], 1.0), ([(0, 1), (0, 2)], 0.0)):
        assert roll_out(environment, wire(2, 3, edges), np.ones(1, np.float32), [1]).returns == expected


def test_outputs_are_clipped_and_scaled_to_the_bounds(register, wire):
    space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 10.0], np.float32))
    environment = find_environment(register(action_space=space, reward=lambda count, action: float(action @ [1, 100])))
    network = wire(2, 2, [(0, 0), (0, 1)])
    returns = roll_out(environment, network, np.array([-7, -1, 0, 0.5, 9], np.float32), [1]).returns[:, 0]
    assert returns.tolist() == [-1.0, -1.0, 1.0 + 500.0, 2.0 + 750.0, 3.0 + 1000.0]
    own = roll_out(environment, network, np.array([[0.5, -1.0], [-1.0, 0.5]], np.float32), [1]).returns[:, 0]
    assert own.tolist() == [2.0, -1.0 + 750.0]


def test_actions_of_any_shape(register, wire):
    space = spaces.Box(-1.0, 1.0, (2, 2), np.float32)
    environment = find_environment(register(action_space=space, reward=lambda count, action: float(action[1, 0])))
    returns = roll_out(environment, wire(2, 4, [(0, 2)]), np.array([0.25], np.float32), [1]).returns
    assert returns == 0.25


def test_a_discrete_observation_has_an_input_for_every_value():
    environment = find_environment("FrozenLake-v1")
    inputs = environment.inputs_of(np.array([0, 15]))
    assert inputs.dtype == np.float32
    assert [row.tolist().index(1.0) for row in inputs] == [0, 15]
    assert inputs.sum() == 2.0


@pytest.mark.parametrize("kernel_name", ["numba", "reference"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fails_at": 3}, r"raised RuntimeError: the floor is gone \(step 3\)"),
        ({"observe": lambda count: [1.0, np.nan if count == 2 else 0.0]}, r"observation .*not finite \(step 3\)"),
        ({"observe": lambda count: [np.inf if count == 1 else 1.0, 0.0]}, r"observation .*not finite \(step 2\)"),
        ({"fails_at": 3, "error": SystemExit}, r"raised SystemExit: the floor is gone \(step 3\)"),
        ({"fails_at": 3, "error": GeneratorExit}, r"raised GeneratorExit: the floor is gone \(step 3\)"),
        ({"observe": lambda count: [1.0] * 3}, r"raised ValueError"),
        ({"observe": lambda count: [1.0]}, r"ValueError: an observation has the shape \(1,\) instead of \(2,\)"),
        ({"reward": lambda count, action: np.nan if count == 2 else 1.0}, "a reward is not finite"),
        ({"reward": lambda count, action: -np.inf if count == 2 else 1.0}, "a reward is not finite"),
    ],
)
def test_what_goes_wrong_in_mid_episode_is_an_error_of_the_rollout(register, wire, kernel_name, arguments, message):
    environment, network = find_environment(register(limit=5, **arguments)), wire(2, 2, [(0, 0), (1, 1)])
    for _ in range(2):
        with pytest.raises(RolloutError, match=message):
            roll_out(environment, network, WEIGHTS, [1, 9], kernel_name=kernel_name)
    if "observe" not in arguments or "Value" not in message:
        # What is observed at the end, and in lanes that have ended, is not used.
        assert roll_out(environment, network, WEIGHTS, [1], kernel_name=kernel_name).steps.tolist() == [[1]] * 3


def test_outputs_that_are_not_finite_are_an_error(register, wire):
    environment = find_environment(register(limit=5))
    with pytest.raises(RolloutError, match=r"an output is not finite \(step 1\)"):
        roll_out(environment, wire(2, 2, [(0, 0)]), np.array([1.0, np.inf], np.float32), [9])


def test_a_thread_keeps_few_environments(register):
    environment = find_environment(register(limit=5))
    first = vector_env(environment, 1)
    assert vector_env(environment, 1) is first
    for num_envs in range(2, _NUM_KEPT + 2):
        vector_env(environment, num_envs)
    assert len(_kept.envs) == _NUM_KEPT
    assert first.closed
    assert vector_env(environment, 1) is not first
    kept = vector_env(environment, 1)
    forget(environment, 1)
    assert vector_env(environment, 1) is not kept


def test_one_compilation_is_enough(register, wire):
    prepare(find_environment("Acrobot-v1"))
    assert not needs_compilation(find_environment("Pendulum-v1"))
    prepared = len(compiled_act().signatures)
    discrete = find_environment(register(limit=2))
    continuous = find_environment(register(limit=2, action_space=spaces.Box(-1.0, 1.0, (2,))))
    for environment in (discrete, continuous):
        for weights in (WEIGHTS, np.ones((40, 1), np.float32)):
            roll_out(environment, wire(2, 2, [(0, 0)]), weights, [3, 4])
    assert len(compiled_act().signatures) == prepared == 1
