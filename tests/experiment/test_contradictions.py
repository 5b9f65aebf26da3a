"""Settings that make no sense together: one message each, and none that only follows from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from topoevo.errors import ParamsError
from topoevo.experiment.contradictions import MAX_CONNECTIONS
from topoevo.experiment.founder import random_networks
from topoevo.experiment.params import all_settings, load_params

PARAMS = Path(__file__).resolve().parents[2] / "params" / "wlnn"
SIZES = {"max_connections": None, "num_islands": 1, "front_connections": (100, 200, 300), "population_size": 36}


def problems(file: str | None, values: dict[str, object]) -> list[str]:
    with pytest.raises(ParamsError) as told:
        load_params(None if file is None else PARAMS / file, values)
    return str(told.value).splitlines()


@pytest.mark.parametrize(
    ("file", "given"),
    [
        ("mnist-smallest.yaml", {}),
        ("mnist-smallest.yaml", SIZES),
        ("mnist-smallest.yaml", {"racing": 2, "racing_rungs": 2, "num_islands": 3, "initial_hidden_nodes": (2, 9)}),
        ("table-smallest.yaml", {"pruning": "magnitude"}),
        ("no-evolution/mnist-backprop.yaml", {}),
        (None, {"env_name": "CartPoleSwingUp", "learning_rule": "evolution_strategy"}),
        (None, {"learning_rule": "metropolis", "optimizer": "none"}),
    ],
)
def test_a_value_of_the_wrong_type_is_one_problem(file, given) -> None:
    """What takes its place for the time being is compared with nothing."""
    load_params(None if file is None else PARAMS / file, given)
    for setting in all_settings():
        found = problems(file, {**given, setting.name: {"no": "value"}})
        assert len(found) == 1 and found[0].startswith(f"--{setting.name}: "), found


@pytest.mark.parametrize("file", ["mnist-smallest.yaml", "table-smallest.yaml"])
@pytest.mark.parametrize("value", [0, -5, 1.5, "abc", 10**9, 10**30, float("nan"), True, (3, 4)])
def test_a_size_that_no_network_can_have_is_one_problem(file: str, value: object) -> None:
    (found,) = problems(file, {"max_connections": value})
    assert found.startswith(("--max_connections: ", "--max_connections 1000000000 is not allowed")), found


@pytest.mark.parametrize(
    "sizes",
    [
        (),
        (0,),
        (0, 100),
        (-1, 100),
        (100, 100),
        (300, 100),
        (100, 1.5),
        ("a",),
        (100, MAX_CONNECTIONS + 1),
        (1, 10**30),
    ],
)
def test_sizes_that_no_front_can_have_are_one_problem(sizes: tuple[object, ...]) -> None:
    (found,) = problems("mnist-smallest.yaml", {**SIZES, "front_connections": sizes, "population_size": 36})
    assert found.startswith("--front_connections"), found


@pytest.mark.parametrize("value", [1, 3, MAX_CONNECTIONS])
def test_sizes_below_the_number_of_outputs_and_large_ones_are_legal(value: int) -> None:
    assert load_params(PARAMS / "mnist-smallest.yaml", {"max_connections": value}).max_connections == value
    sizes = load_params(PARAMS / "mnist-smallest.yaml", {**SIZES, "front_connections": (value,)})
    assert sizes.front_connections == (value,)


def test_without_pruning_the_largest_size_is_as_good_as_none() -> None:
    assert load_params(None, {"max_connections": 10**9}).max_connections == 10**9


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(256, 10), (1, 1), (2, 900)])
def test_however_large_the_budget_first_networks_are_not_too_large_to_be_kept(num_inputs, num_outputs) -> None:
    params = load_params(PARAMS / "mnist-smallest.yaml", {"max_connections": MAX_CONNECTIONS})
    networks = random_networks(params, num_inputs, num_outputs)
    smallest, largest = networks.num_hidden
    assert smallest <= largest
    half = largest // 2
    assert 0.9 * MAX_CONNECTIONS < (num_inputs + half) * largest + half * num_outputs <= MAX_CONNECTIONS
    usual = load_params(PARAMS / "mnist-smallest.yaml", {"max_connections": 300})
    assert random_networks(usual, num_inputs, num_outputs).num_hidden == (21, 87)
