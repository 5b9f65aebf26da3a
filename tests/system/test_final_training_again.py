"""A run that has finished may repeat its final training alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from topoevo.cli import main
from topoevo.reporting import run_directory

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


def everything() -> dict[str, bytes]:
    """Return all files of the run."""
    return {str(path): path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}


def networks(run: str = "run") -> dict[str, bytes]:
    """Return the network files that a run has ended with."""
    files = [Path(run, "champion.json"), *Path(run).glob("front/*.json")]
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


@pytest.mark.parametrize(
    "flags",
    [(), ("--final_epochs", "2"), ("--num_workers", "2"), ("--final_decay_factors", "1", "1")],
)
def test_a_run_that_would_do_the_same_again_is_refused(capsys, flags):
    assert main([*RUN, *KINDS["champion"]]) == 0
    before = everything()
    assert main(["resume", "run", *flags]) == 2
    told = capsys.readouterr().err
    assert "run has finished its 2 generations; add --num_generations 4 to go on, or another --final_epochs" in told
    assert everything() == before


@pytest.mark.parametrize(
    ("start", "flags", "told"),
    [
        ((), ("--final_epochs", "5", "--num_generations", "1"), "num_generations 1 is not allowed, must be at least 2"),
        (("--final_epochs", "0"), ("--final_decay_factors", "0.1"), "--final_decay_factors [0.1] has no effect"),
        ((), ("--final_epochs", "-1"), "final_epochs"),
        ((), ("--final_decay_factors", "nan"), "final_decay_factors"),
    ],
)
def test_what_no_final_training_can_have_is_refused(capsys, start, flags, told):
    assert main([*RUN, *KINDS["champion"], *start]) == 0
    before = everything()
    assert main(["resume", "run", *flags]) == 2
    assert told in capsys.readouterr().err
    assert everything() == before


def test_without_samples_to_learn_from_there_is_none(capsys):
    sizes = {"population_size": 10, "tournament_size": 2, "num_generations": 1, "num_workers": 1}
    trials = {"num_trials": 1, "num_test_trials": 1, "num_confirmation_trials": 1}
    words = [word for name, value in (sizes | trials).items() for word in (f"--{name}", str(value))]
    assert main(["wann", "--env_name", "CartPoleSwingUp", *words, "--out_dir", "run"]) == 0
    assert main(["resume", "run"]) == 2
    assert "final_epochs" not in capsys.readouterr().err
    assert main(["resume", "run", "--final_decay_factors", "0.1", "1"]) == 2


@pytest.mark.parametrize("torn", ["params.yaml", "environment.json"])
def test_an_end_between_new_settings_and_the_training_is_made_up_for(monkeypatch, torn):
    assert main([*RUN, *KINDS["champion, all samples"]]) == 0
    shutil.copytree("run", "undisturbed")
    assert main(["resume", "undisturbed", "--final_epochs", "5"]) == 0

    def write(path, *arguments, **options):
        if path.name == torn:
            raise OSError(28, "No space left on device", str(path))
        return written(path, *arguments, **options)

    name = "write_atomically" if torn == "params.yaml" else "write_json"
    written = getattr(run_directory, name)
    with monkeypatch.context() as patch:
        patch.setattr(run_directory, name, write)
        assert main(["resume", "run", "--final_epochs", "5"]) == 2
    flags = ("--final_epochs", "5") if torn == "params.yaml" else ()
    assert main(["resume", "run", *flags]) == 0
    assert networks() == {path.replace("undisturbed", "run"): one for path, one in networks("undisturbed").items()}


def test_a_comparison_that_is_deleted_is_told(capsys):
    assert main([*RUN, *KINDS["champion"]]) == 0
    assert main(["control", "run", "--num_controls", "2", "--num_workers", "1"]) == 0
    assert Path("run/controls-random.json").exists()
    assert main(["resume", "run", "--final_epochs", "3"]) == 0
    assert "the comparison with controls is deleted" in capsys.readouterr().out
    assert not Path("run/controls-random.json").exists()
