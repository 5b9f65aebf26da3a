"""Episodes: their bookkeeping on a simulation whose returns are known, errors, and a published champion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from topoevo.activations import activation_codes
from topoevo.errors import TaskError
from topoevo.genome import Genome
from topoevo.network import Network, compile_network
from topoevo.rollouts import RolloutError, needs_compilation, prepare, record, roll_out
from topoevo.tasks.environments.cartpole_swingup import CartPoleSwingUp
from topoevo.tasks.environments.environment import Actions, Simulation, SimulationCode

SWING = Path(__file__).resolve().parents[3] / "shared" / "data" / "wann" / "swing.out"
LENGTH, PASSED, CHOSEN, FAULT = range(4)


class CountingConstants(NamedTuple):
    bonus: float


def show(constants: CountingConstants, state: NDArray[np.float64], observation: NDArray[np.float32]) -> None:
    observation[0] = state[PASSED]
    observation[1] = np.nan if state[FAULT] == 1.0 and state[PASSED] == 3.0 else state[LENGTH]


def count(constants: CountingConstants, state: NDArray[np.float64], action: NDArray[np.float64]) -> tuple[float, bool]:
    state[PASSED] += 1.0
    state[CHOSEN] += action[0]
    return np.nan if state[FAULT] == 2.0 and state[PASSED] == 3.0 else constants.bonus, state[PASSED] == state[LENGTH]


@dataclass(frozen=True, eq=False)
class Counting(Simulation):
    """Ends after a number of steps that is drawn at the start."""

    name: str = "Counting"
    observation_names: tuple[str, ...] = ("passed", "length")
    actions: Actions = Actions("discrete", ("none", "one", "two"))  # noqa: RUF009 - immutable
    max_steps: int = 60
    fault: float = 0.0

    measures: ClassVar[tuple[str, ...]] = ("chosen",)

    @property
    def constants(self) -> CountingConstants:
        return CountingConstants(2.0)

    @staticmethod
    def code() -> SimulationCode:
        return SimulationCode(show, count)

    def initial_state(self, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.array([rng.integers(1, 90), 0.0, 0.0, self.fault])

    def measure(self, state: NDArray[np.float64]) -> dict[str, float]:
        return {"chosen": float(state[CHOSEN])}


def line(num_inputs: int, edges: list[list[int]], *, activations: list[str] | None = None) -> Network:
    """A network whose computed nodes hear the given rows, all of them outputs."""
    start = np.cumsum([0, *(len(heard) for heard in edges)]).astype(np.int32)
    num_edges = int(start[-1])
    return Network(
        num_inputs=num_inputs,
        num_outputs=len(edges),
        node_id=np.arange(num_inputs + len(edges), dtype=np.int32),
        input_index=np.arange(num_inputs, dtype=np.int32),
        has_bias=False,
        activation=activation_codes(activations or ["linear"] * len(edges)),
        row_start=start,
        source=np.array([row for heard in edges for row in heard], np.int32),
        weight=np.ones(num_edges, np.float32),
        gene=np.arange(num_edges, dtype=np.int32),
    )


def swing() -> Network:
    """The published champion, read by the description beside it."""
    if not SWING.exists():
        pytest.skip(f"{SWING.name} is not there")
    names = ["linear", "step", "sine", "gaussian", "tanh", "sigmoid", "inverse", "abs", "relu", "cosine"]
    table = np.genfromtxt(SWING, delimiter=",")
    present, codes = np.nan_to_num(table[:, :-1]) != 0, table[:, -1].astype(int)
    # The file has the bias first; a network has it after the inputs.
    order = [*range(1, 6), 0, *range(6, len(table))]
    present = present[np.ix_(order, order)]
    heard = [np.flatnonzero(present[:, row]) for row in range(6, len(order))]
    return Network(
        num_inputs=5,
        num_outputs=1,
        node_id=np.array(order, np.int32),
        input_index=np.arange(5, dtype=np.int32),
        has_bias=True,
        activation=activation_codes([names[codes[row] - 1] for row in order[6:]]),
        row_start=np.cumsum([0, *map(len, heard)]).astype(np.int32),
        source=np.concatenate(heard).astype(np.int32),
        weight=np.ones(int(present.sum()), np.float32),
        gene=np.arange(int(present.sum()), dtype=np.int32),
    )


#: The third output is -passed, the second passed, the first 0 (with a positive weight).
CHOOSING = line(2, [[], [0], [0]], activations=["linear", "linear", "inverse"])


@pytest.mark.parametrize("kernel_name", ["numba", "reference"])
@pytest.mark.parametrize("num_trials", [1, 5, 31, 32, 33, 77])
def test_every_episode_counts_until_its_own_end(kernel_name: str, num_trials: int) -> None:
    environment, weights = Counting(), np.array([1.0, -1.0, 0.0], np.float32)
    episodes = roll_out(environment, CHOOSING, weights, range(num_trials), kernel_name=kernel_name)
    lengths = [environment.initial_state(np.random.default_rng(seed))[LENGTH] for seed in range(num_trials)]
    expected = np.minimum(lengths, environment.max_steps)
    np.testing.assert_array_equal(episodes.steps, [expected] * 3)
    np.testing.assert_array_equal(episodes.returns, [2 * expected] * 3)
    # Nothing has passed before the first step, when all outputs are equal and the first one is taken.
    np.testing.assert_array_equal(episodes.measures["chosen"], [expected - 1, 2 * (expected - 1), 0 * expected])


@pytest.mark.parametrize("kernel_name", ["numba", "reference"])
@pytest.mark.parametrize("fault", [1.0, 2.0])
def test_what_is_not_finite_is_an_error_that_says_where(kernel_name: str, fault: float) -> None:
    environment = Counting(fault=fault)
    seeds = [s for s in range(40) if environment.initial_state(np.random.default_rng(s))[LENGTH] > 10]
    with pytest.raises(RolloutError, match=f"not finite .*policy 0, seed {seeds[0]}, step"):
        roll_out(environment, CHOOSING, np.ones(2, np.float32), seeds, kernel_name=kernel_name)


@pytest.mark.parametrize("kernel_name", ["numba", "reference"])
def test_outputs_that_are_not_finite_are_an_error(kernel_name: str) -> None:
    network = line(5, [[0]])
    for weight in (np.nan, np.inf):
        with pytest.raises(RolloutError, match="policy 1, seed 7, step 1"):
            roll_out(CartPoleSwingUp(), network, np.array([1.0, weight], np.float32), [7], kernel_name=kernel_name)


def test_large_outputs_are_clipped() -> None:
    network = line(5, [[2]])
    recording = record(CartPoleSwingUp(), network, np.float32(1e6), seed=0)
    assert set(np.abs(recording.actions[:20, 0])) == {1.0}


def test_a_shared_weight_is_that_weight_on_every_edge(evolve: Callable[..., Genome]) -> None:
    network, environment = compile_network(evolve(3, num_outputs=1)), CartPoleSwingUp(max_steps=15)
    shared = np.array([-1.5, 0.3, 0.9], np.float32)
    own = np.repeat(shared[:, None], network.num_edges, axis=1)
    np.testing.assert_allclose(
        roll_out(environment, network, shared, [1, 2]).returns, roll_out(environment, network, own, [1, 2]).returns,
        rtol=1e-4,
    )  # fmt: skip


def test_policies_meet_the_same_trials() -> None:
    environment, network = CartPoleSwingUp(), line(5, [[]])
    returns = roll_out(environment, network, np.array([-2.0, 1.0], np.float32), [1, 2, 3]).returns
    np.testing.assert_array_equal(returns[0], returns[1])
    assert len(set(returns[0])) == 3


def test_what_does_not_fit_is_refused() -> None:
    one = np.ones(1, np.float32)
    with pytest.raises(TaskError, match="CartPoleSwingUp needs 5 and 1"):
        roll_out(CartPoleSwingUp(), line(4, [[0]]), one, [0])
    with pytest.raises(TaskError, match="weights of shape"):
        roll_out(CartPoleSwingUp(), line(5, [[0]]), np.ones((1, 2), np.float32), [0])
    for nothing in (np.zeros(0, np.float32), np.zeros((0, 1), np.float32)):
        with pytest.raises(TaskError, match="no weights"):
            roll_out(CartPoleSwingUp(), line(5, [[0]]), nothing, [0])
    with pytest.raises(TaskError, match="no seeds"):
        roll_out(CartPoleSwingUp(), line(5, [[0]]), one, [])


def test_nothing_is_left_to_compile_after_preparing() -> None:
    prepare(CartPoleSwingUp())
    assert not needs_compilation(CartPoleSwingUp())


def test_the_published_champion_has_its_published_returns() -> None:
    network, environment, seeds = swing(), CartPoleSwingUp(), range(100)
    assert (network.num_edges, network.num_nodes) == (52, 29)
    weights = np.array([-2, -1, -0.5, 0.5, 1, 2], np.float32)
    returns = roll_out(environment, network, weights, seeds).returns.mean(axis=1)
    assert returns == pytest.approx([528, 685, 521, 521, 701, 687], abs=15)
    assert returns.mean() == pytest.approx(607, abs=15)
    grid = np.linspace(-2, 2, 201, dtype=np.float32)
    over_weights = roll_out(environment, network, grid, seeds[:20]).returns.mean(axis=1)
    assert over_weights.mean() == pytest.approx(522, abs=25)
    assert roll_out(environment, network, grid[::5], seeds).returns.mean(axis=1).max() == pytest.approx(710, abs=15)
    # Where the weight is nearly 0, nothing moves.
    assert np.abs(over_weights[90:111]).max() < 0.05 * 710
