"""The ablation of informed search: every change is legal, has an effect, and differs from the search as it is."""

import argparse
import runpy
import sys
from pathlib import Path

import pytest

from topoevo.evolution.reproduction import initial_population
from topoevo.experiment.founder import random_networks
from topoevo.experiment.idle import find_idle
from topoevo.experiment.params import load_params
from topoevo.genome import InnovationTracker

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# As where Python runs a file of that folder.
sys.path.insert(0, str(BENCHMARKS))
ABLATION = runpy.run_path(str(BENCHMARKS / "ablation.py"))
SEARCHING = runpy.run_path(str(BENCHMARKS / "frontier_methods" / "searching.py"))
GIVEN = argparse.Namespace(max_connections=300, num_generations=24, population_size=24, data_dir=None)


def params_of(change: str):
    flags = {name: one for name, one in ABLATION["settings_of"](change, 0, GIVEN).items() if one is not None}
    return flags, load_params(
        ABLATION["FILE"], {name: tuple(one) if isinstance(one, list) else one for name, one in flags.items()}
    )


@pytest.mark.parametrize("change", ABLATION["CHANGES"])
def test_every_change_is_one(change: str) -> None:
    flags, params = params_of(change)
    assert not {one.settings[0] for one in find_idle(params)}.intersection(flags)
    assert (params == params_of("as it is")[1]) == (change == "as it is")


def test_all_have_the_same_number_of_children_but_those_of_which_it_is_said() -> None:
    found = {change: params_of(change)[1] for change in ABLATION["CHANGES"]}
    children = {change: one.population_size - one.islands.total_elites for change, one in found.items()}
    others = {change for change, number in children.items() if number != children["as it is"]}
    assert others == {"little growth, short training"}


def first_sizes(params) -> list[tuple[int, int]]:
    """Connections and hidden nodes of the first networks for 256 inputs and 10 outputs."""
    networks = random_networks(params, 256, 10)
    members = initial_population(12, networks, tracker=InnovationTracker(), seed=0).members
    return [(one.genome.complexity.connections, one.genome.complexity.hidden) for one in members]


@pytest.mark.parametrize("change", ABLATION["CHANGES"])
def test_all_searches_begin_with_networks_that_have_hidden_nodes(change: str) -> None:
    assert all(hidden > 0 for _, hidden in first_sizes(params_of(change)[1]))


@pytest.mark.parametrize("budget", [100, 300, 1200, 3000])
def test_blind_search_begins_with_hidden_nodes_and_room_to_grow(budget: int) -> None:
    flags = SEARCHING["OVERRIDES"]["blind"] | SEARCHING["first_networks"](2560, budget)
    sizes = first_sizes(load_params(ABLATION["FILE"], {**flags, "max_connections": budget}))
    assert all(hidden > 5 for _, hidden in sizes)
    assert all(0.2 * budget < connections < 0.95 * budget for connections, _ in sizes)


def test_rows_of_other_searches_are_not_mixed(tmp_path, monkeypatch, capsys) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"max_connections": 100, "num_generations": 24, "population_size": 24}\n')
    monkeypatch.setattr(sys, "argv", ["ablation.py", "--out", str(rows)])
    with pytest.raises(SystemExit) as refused:
        ABLATION["main"]()
    assert refused.value.code == 2 and "name another file" in capsys.readouterr().err
