"""Names of environments: our own, those of Gymnasium, old ids, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from topoevo.errors import TaskError
from topoevo.tasks.environments.environment import SIMULATIONS
from topoevo.tasks.environments.find import find_environment, find_simulation, module_of
from topoevo.tasks.environments.gymnasium_environment import MAX_STEPS


class Stub(gymnasium.Env):
    """An environment with given spaces and a given first observation."""

    def __init__(self, observation_space=None, action_space=None, first=None):
        self.observation_space = observation_space or spaces.Box(-1.0, 1.0, (2,))
        self.action_space = action_space or spaces.Discrete(2)
        self.first = first

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample() * 0 if self.first is None else self.first, {}


@pytest.fixture
def register() -> Iterator[Callable[..., str]]:
    """Return ``register(**arguments)``: the id of a new environment."""
    ids: list[str] = []

    def add(entry_point=Stub, **arguments: object) -> str:
        ids.append(f"Stub{len(ids)}-v0")
        gymnasium.register(ids[-1], entry_point=entry_point, kwargs=arguments)
        return ids[-1]

    yield add
    for name in ids:
        del gymnasium.registry[name]


@pytest.mark.parametrize("name", SIMULATIONS)
def test_names_of_our_own(name):
    for written in (name, name.lower(), f"topoevo/{name}-v0", f"topoevo.gymnasium_api:topoevo/{name}-v0"):
        assert type(find_environment(written)) is find_simulation(written) is SIMULATIONS[name]
    assert find_simulation(f"{name}2") is None


def test_options_of_our_own_are_taken_and_recorded():
    environment = find_environment("snake", options={"board_size": 6})
    assert environment.constants.board_size == 6
    assert environment.provenance == {"environment_id": "Snake", "board_size": 6}
    with pytest.raises(TaskError, match="CartPole-v1 has no options, but was given length"):
        find_environment("CartPole-v1", options={"length": 2})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"board_sise": 6}, r"no option 'board_sise'; did you mean 'board_size'\? \(known: board_size, max_hunger"),
        ({"observation_names": ("a",)}, "no option 'observation_names'"),
        ({"max_steps": 10**9}, "no option 'max_steps'"),
        ({"board_size": 3}, "board_size 3 is not allowed, must be at least 4"),
        ({"board_size": "large"}, "must be a whole number"),
    ],
)
def test_options_that_compiled_code_cannot_live_with_are_refused(options, message):
    with pytest.raises(TaskError, match=message):
        find_environment("Snake", options=options)


def test_a_simulation_checks_its_options_itself():
    with pytest.raises(TaskError, match="Snake: board_size 1 is not allowed"):
        SIMULATIONS["Snake"](board_size=1)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("Snake", ""),
        ("CartPole-v1", ""),
        ("topoevo.gymnasium_api:topoevo/Snake-v0", ""),
        ("package.module:Id-v0", "package.module"),
    ],
)
def test_the_module_that_a_name_imports(name, module):
    assert module_of(name) == module


@pytest.mark.parametrize(
    ("old", "successor", "sizes"),
    [
        ("CartPole-v0", "CartPole-v1", (4, 2, 500)),
        ("BipedalWalker-v2", "BipedalWalker-v3", (24, 4, 1600)),
        ("LunarLander-v2", "LunarLander-v3", (8, 4, 1000)),
        ("Pendulum-v0", "Pendulum-v1", (3, 1, 200)),
        ("Acrobot", "Acrobot-v1", (6, 3, 500)),
    ],
)
def test_old_ids_stand_for_their_successors_with_a_notice(old, successor, sizes):
    notices: list[str] = []
    environment = find_environment(old, on_notice=notices.append)
    assert environment.name == environment.provenance["environment_id"] == successor
    assert (environment.num_inputs, environment.num_outputs, environment.max_steps) == sizes
    assert len(notices) == 1
    assert old in notices[0]
    assert successor in notices[0]
    find_environment(successor, on_notice=notices.append)
    assert len(notices) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "CartPol-v1",
            r"unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'\? \(known: CartPoleSwingUp, Snake",
        ),
        ("Snak", "did you mean 'Snake'"),
        ("CartPole-v7", "unknown environment 'CartPole-v7'; did you mean 'CartPole-v1'"),
        ("Snake-v1", "unknown environment 'Snake-v1'; did you mean 'Snake'"),
        ("", "unknown environment ''"),
        ("no_such_module:Foo-v0", r"module 'no_such_module' cannot be imported \(ModuleNotFoundError: No module"),
        ("CarRacing-v3", r"observation space is Box\(0, 255, \(96, 96, 3\), uint8\), but must be a Box with one dim"),
        ("Blackjack-v1", r"observation space is Tuple\(Discrete\(32\)"),
    ],
)
def test_what_cannot_be_found_or_met_is_told(name, message):
    with pytest.raises(TaskError, match=message):
        find_environment(name)


@pytest.mark.parametrize(
    ("name", "take_argmax_action", "message"),
    [
        ("CartPole-v1", False, r"take_argmax_action: False is not possible in CartPole-v1.*Discrete\(2\).*use True"),
        ("Pendulum-v1", True, r"take_argmax_action: True is not possible in Pendulum-v1.*Box\(-2.0, 2.0.*use False"),
        ("CartPoleSwingUp", True, "whose actions are continuous; use False"),
        ("Snake", False, "whose actions are discrete; use True"),
    ],
)
def test_actions_that_contradict_the_environment_are_refused(name, take_argmax_action, message):
    with pytest.raises(TaskError, match=message):
        find_environment(name, take_argmax_action=take_argmax_action)
    kind = "continuous" if take_argmax_action else "discrete"
    for fitting in (None, not take_argmax_action):
        assert find_environment(name, take_argmax_action=fitting).actions.kind == kind


@pytest.mark.parametrize(
    "arguments",
    [
        {"observation_space": spaces.Dict({"x": spaces.Discrete(2)})},
        {"observation_space": spaces.MultiDiscrete([2, 3])},
        {"observation_space": spaces.MultiBinary(4)},
        {"observation_space": spaces.Box(0.0, 1.0, (2, 2))},
        {"observation_space": spaces.Box(0.0, 1.0, ())},
        {"observation_space": spaces.Discrete(10**9)},
        {"action_space": spaces.MultiDiscrete([2, 3])},
        {"action_space": spaces.MultiBinary(4)},
        {"action_space": spaces.Tuple([spaces.Discrete(2)])},
        {"action_space": spaces.Box(0, 5, (1,), np.int32)},
    ],
    ids=str,
)
def test_spaces_that_a_network_does_not_fit_are_printed(register, arguments):
    (space,) = arguments.values()
    with pytest.raises(TaskError) as caught:
        find_environment(register(**arguments))
    assert str(space) in str(caught.value)


def test_actions_without_bounds_are_kept_between_one_and_minus_one(register):
    low, high = np.array([-np.inf, 0.0, -5.0, 7.0, -np.inf]), np.array([np.inf, np.inf, 3.0, np.inf, -9.0])
    notices: list[str] = []
    name = register(action_space=spaces.Box(low.astype(np.float32), high.astype(np.float32)))
    environment = find_environment(name, on_notice=notices.append)
    assert environment.actions.low == (-1.0, 0.0, -5.0, 7.0, -11.0)
    assert environment.actions.high == (1.0, 1.0, 3.0, 9.0, -9.0)
    assert "without bounds" in notices[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_numbers_of_a_type_are_no_bounds(register, dtype):
    largest = np.finfo(dtype).max
    notices: list[str] = []
    name = register(action_space=spaces.Box(-largest, largest, (1,), dtype))
    environment = find_environment(name, on_notice=notices.append)
    assert (environment.actions.low, environment.actions.high) == ((-1.0,), (1.0,))
    assert "without bounds" in notices[0]


def test_without_a_limit_of_its_own_an_environment_gets_one(register):
    assert find_environment(register()).max_steps == MAX_STEPS


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (np.array([0.0, np.nan], np.float32), "a number that is not finite"),
        (np.zeros(3, np.float32), r"has the shape \(3,\), its observation space is Box"),
        (np.zeros(1, np.float32), r"has the shape \(1,\)"),
    ],
)
def test_the_first_observation_is_looked_at(register, first, message):
    with pytest.raises(TaskError, match=message):
        find_environment(register(first=first))


def test_environments_that_cannot_be_made_are_told(register):
    def needs(size):
        raise AssertionError("never reached")

    def breaks():
        raise RuntimeError("no display\nand more")

    with pytest.raises(TaskError, match=r"cannot be made \(TypeError: .*size.*arguments can be registered under an id"):
        find_environment(register(needs))
    with pytest.raises(TaskError, match=r"cannot be made \(RuntimeError: no display\)$"):
        find_environment(register(breaks))
    with pytest.raises(TaskError, match=r"cannot be begun \(ValueError: .*\)"):
        find_environment(register(first=["text", "and more"]))


def test_a_module_that_registers_is_imported(tmp_path, monkeypatch):
    (tmp_path / "own_environment.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('OwnPendulum-v0', entry_point='gymnasium.envs.classic_control.pendulum:PendulumEnv',\n"
        "                   max_episode_steps=7)\n"
    )
    (tmp_path / "broken_environment.py").write_text("1 / 0\n")
    (tmp_path / "script_environment.py").write_text("raise SystemExit('usage')\n")
    monkeypatch.syspath_prepend(tmp_path)
    environment = find_environment("own_environment:OwnPendulum-v0")
    assert (environment.name, environment.max_steps) == ("own_environment:OwnPendulum-v0", 7)
    with pytest.raises(
        TaskError, match=r"'broken_environment' cannot be imported \(ZeroDivisionError: division by zero"
    ):
        find_environment("broken_environment:Foo-v0")
    with pytest.raises(TaskError, match=r"cannot be imported \(SystemExit: usage\)"):
        find_environment("script_environment:Foo-v0")
    with pytest.raises(TaskError, match="module 'own_environment' registers no environment 'OwnPendlum-v0'; did you"):
        find_environment("own_environment:OwnPendlum-v0")


def test_gymnasium_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    assert find_environment("Snake").name == "Snake"
    with pytest.raises(TaskError, match=r"not installed: pip install 'topoevo\[rl\]'"):
        find_environment("CartPole-v1")


def test_box2d_that_is_missing_is_named(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    with pytest.raises(TaskError, match=r"needs a package that is not installed: pip install 'topoevo\[box2d\]'"):
        find_environment("BipedalWalker-v3")
