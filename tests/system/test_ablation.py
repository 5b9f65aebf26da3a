"""The ablation of informed search: every change is legal, has an effect, and differs from the search as it is."""

import argparse
import runpy
from pathlib import Path

import pytest

from topoevo.experiment.idle import find_idle
from topoevo.experiment.params import load_params

ABLATION = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks" / "ablation.py"))
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
