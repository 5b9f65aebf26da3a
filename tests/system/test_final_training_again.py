"""A run that has finished may repeat its final training alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from topoevo.cli import main

from .conftest import PARAMS

RUN = (
    "wlnn", str(PARAMS / "digits-quick.yaml"), "--population_size", "12", "--num_generations", "2", "--num_epochs", "2",
    "--initial_epochs", "2", "--validation_ratio", "0.2", "--reward_data", "both", "--num_samples", "128",
    "--num_workers", "1", "--out_dir", "run",
)  # fmt: skip
KINDS = {
    "champion": ("--max_connections", "40", "--final_epochs", "2"),
    "champion, all samples": ("--max_connections", "40", "--final_epochs", "2", "--final_samples", "all"),
    "front": ("--front_connections", "30", "60", "--final_epochs", "2", "--final_samples", "all"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def networks() -> dict[str, bytes]:
    """Return the network files that the run has ended with."""
    files = [Path("run/champion.json"), *Path("run").glob("front/*.json")]
    return {str(path): path.read_bytes() for path in files if path.name != "front.json"}


@pytest.mark.parametrize("kind", KINDS)
def test_another_final_training_needs_no_further_generation(capsys, kind):
    assert main([*RUN, *KINDS[kind]]) == 0
    first, metrics = networks(), Path("run/metrics.csv").read_bytes()
    assert main(["resume", "run", "--final_epochs", "5"]) == 0
    assert "12 networks have evolved for 2 generations" in capsys.readouterr().out
    longer = networks()
    assert longer.keys() == first.keys() and len(first) == (3 if kind == "front" else 1)
    # With all samples there are always new weights; with training samples alone they may be worse, and not be taken.
    assert longer != first or kind == "champion"
    assert main(["resume", "run", "--final_epochs", "2"]) == 0
    assert networks() == first and Path("run/metrics.csv").read_bytes() == metrics
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


def test_it_equals_that_of_a_run_which_had_it_from_the_start():
    assert main([*RUN, *KINDS["champion, all samples"]]) == 0
    decays = ("--final_decay_factors", "0.1", "10")
    assert main(["resume", "run", "--final_epochs", "4", *decays]) == 0
    again = networks()
    shutil.rmtree("run")
    assert main([*RUN, *KINDS["champion, all samples"], "--final_epochs", "4", *decays]) == 0
    assert networks() == again


@pytest.mark.parametrize("flags", [(), ("--final_epochs", "2"), ("--num_workers", "2")])
def test_a_run_that_would_do_the_same_again_is_refused(capsys, flags):
    assert main([*RUN, *KINDS["champion"]]) == 0
    before = networks()
    assert main(["resume", "run", *flags]) == 2
    told = capsys.readouterr().err
    assert "run has finished its 2 generations; add --num_generations 4 to go on, or another --final_epochs" in told
    assert networks() == before
