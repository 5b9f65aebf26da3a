"""What every simulation in the registry keeps to, and the compiled episodes of each against plain Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from topoevo.genome import Genome
from topoevo.kernels import load_kernel
from topoevo.network import Network, compile_network
from topoevo.rollouts import record, roll_out
from topoevo.rollouts.reference import action_of
from topoevo.tasks.environments.environment import SIMULATIONS, Simulation

WEIGHTS = np.array([-2, -1, -0.5, 0.5, 1, 2], np.float32)


@pytest.fixture(params=list(SIMULATIONS))
def simulation(request: pytest.FixtureRequest) -> Simulation:
    """Each simulation with its defaults."""
    made: Simulation = SIMULATIONS[request.param]()  # type: ignore[call-arg]
    return made


@pytest.fixture(params=range(6))
def network(request: pytest.FixtureRequest, simulation: Simulation, evolve: Callable[..., Genome]) -> Network:
    """Evolved networks with all ten activations."""
    sizes = {"num_inputs": simulation.num_inputs, "num_outputs": simulation.num_outputs}
    return compile_network(evolve(request.param, **sizes, num_mutations=30 + 20 * request.param))


def test_every_step_of_an_episode_is_that_of_plain_python(simulation: Simulation, network: Network) -> None:
    code, constants, kernel = simulation.code(), simulation.constants, load_kernel("reference")
    weights = np.full(network.num_edges, WEIGHTS[3], np.float32)
    recording = record(simulation, network, WEIGHTS[3], seed=5)
    observation, num_equal = np.zeros(simulation.num_inputs, np.float32), 0
    for t, action in enumerate(recording.actions):
        state = recording.states[t].copy()
        code.observe(constants, state, observation)
        outputs = kernel.forward(network, weights, observation[:, None])[1][-network.num_outputs :, 0]
        num_equal += np.abs(action_of(simulation.actions, outputs) - action).max() < 1e-3
        reward, ended = code.step(constants, state, action)
        np.testing.assert_allclose(state, recording.states[t + 1], rtol=1e-12, atol=1e-12)
        assert reward == pytest.approx(recording.rewards[t], abs=1e-12)
        assert ended == (t + 1 == recording.num_steps) or t + 1 == simulation.max_steps
    # A sum on the edge of a step, or two equal outputs, may fall on either side.
    assert num_equal >= 0.98 * recording.num_steps


def test_short_episodes_have_the_returns_of_plain_python(simulation: Simulation, network: Network) -> None:
    short = replace(simulation, max_steps=12)
    for weights in (WEIGHTS[2:4], np.random.default_rng(0).normal(0, 0.5, (2, network.num_edges)).astype(np.float32)):
        compiled = roll_out(short, network, weights, [3, 4])
        plain = roll_out(short, network, weights, [3, 4], kernel_name="reference")
        np.testing.assert_allclose(compiled.returns, plain.returns, rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(compiled.steps, plain.steps)
        assert compiled.measures.keys() == plain.measures.keys() == set(simulation.measures)
        for name in simulation.measures:
            np.testing.assert_array_equal(compiled.measures[name], plain.measures[name])


def test_an_episode_has_the_same_bits_alone_and_among_others(simulation: Simulation, network: Network) -> None:
    own = np.random.default_rng(1).normal(size=(6, network.num_edges)).astype(np.float32)
    seeds = list(range(9))
    for weights in (WEIGHTS, own):
        all_returns = roll_out(simulation, network, weights, seeds).returns
        backwards = roll_out(simulation, network, weights[::-1], seeds[::-1]).returns
        np.testing.assert_array_equal(backwards[::-1, ::-1], all_returns)
        for policy, trial in ((0, 0), (2, 7), (5, 8)):
            alone = roll_out(simulation, network, weights[policy : policy + 1], [seeds[trial]])
            assert alone.returns[0, 0] == all_returns[policy, trial]
            recording = record(simulation, network, weights[policy], seeds[trial])
            assert sum(recording.rewards.tolist()) == alone.returns[0, 0]
            assert recording.num_steps == alone.steps[0, 0] == len(recording.states) - 1


def test_initial_states_are_a_function_of_the_seed(simulation: Simulation) -> None:
    first, second, other = (simulation.initial_state(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float64
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_everything_that_is_observed_is_written_and_finite(simulation: Simulation) -> None:
    observation = np.full(simulation.num_inputs, np.nan, np.float32)
    state = simulation.initial_state(np.random.default_rng(0))
    before = state.copy()
    simulation.code().observe(simulation.constants, state, observation)
    assert np.isfinite(observation).all()
    np.testing.assert_array_equal(state, before)
    assert set(simulation.measure(state)) == set(simulation.measures)
