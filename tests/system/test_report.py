"""``topoevo evaluate`` and ``topoevo train`` as a user calls them, in this process."""

from __future__ import annotations

import gc
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from topoevo import load_network
from topoevo.cli import main
from topoevo.experiment.report import AGNOSTIC_CONDITIONS
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.reporting.out_file import write_out
from topoevo.reporting.report import report_lines
from topoevo.reporting.run_directory import RunDirectory

QUICK = ("--num_trials", "4", "--num_trials_each", "2", "--num_draws", "5")
SEARCH = ("--num_generations", "3", "--population_size", "6", "--num_tuning_trials", "2")
RUN = ("--num_generations", "2", "--population_size", "6", "--tournament_size", "2", "--num_test_trials", "4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run on digits, one in an environment, and a published file."""
    folder = tmp_path_factory.mktemp("report")
    assert main(["wann", "--dataset", "digits", *RUN[:-2], "--out_dir", str(folder / "digits")]) == 0
    swing = ("--env_name", "CartPoleSwingUp", "--p_initial_connection_enabled", "1", "--num_trials", "2")
    assert main(["wann", *swing, *RUN, "--num_confirmation_trials", "3", "--out_dir", str(folder / "swing")]) == 0
    rng = np.random.default_rng(0)
    genome = minimal_genome(5, 1, p_enabled=1.0, tracker=InnovationTracker(), rng=rng, bias=True)
    write_out(folder / "small.out", genome)
    return folder


def reported(capsys, *words):
    """Return what evaluate says in JSON."""
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    """Return the message of an error of the user."""
    capsys.readouterr()
    assert main(list(map(str, words))) == 2
    return capsys.readouterr().err


def test_a_run_gives_its_folder_back_at_once(tmp_path):
    gc.disable()
    try:
        run = ("wann", "--env_name", "Snake", *RUN, "--num_trials", "1", "--num_confirmation_trials", "1")
        assert main([*run, "--out_dir", str(tmp_path / "run")]) == 0
        assert RunDirectory.open(tmp_path / "run").locked().lock is not None
    finally:
        gc.enable()


def test_a_run_in_an_environment(folder, capsys):
    found = reported(capsys, folder / "swing", *QUICK, *SEARCH)
    assert found["environment"] == "CartPoleSwingUp" and found["weight_agnostic"]
    assert set(found["conditions"]) == set(AGNOSTIC_CONDITIONS) - {"ensemble"}
    for name, one in found["conditions"].items():
        sizes = {"random_weights": (5, 2), "random_shared_weight": (5, 2), "mean_shared_weights": (6, 4)}
        assert (one["num_weights"], one["num_trials"]) == sizes.get(name, (1, 4))
        assert one["reward_min"] <= one["reward"] <= one["reward_max"] and one["reward_sd"] >= 0
        assert one["num_failed"] == 0 and "accuracy" not in one
    assert found["curve"]["shared_weight"][0] == -2 and len(found["curve"]["reward"]) == 41
    assert found["conditions"]["tuned_shared_weight"]["shared_weight"] in found["curve"]["shared_weight"]
    again = reported(capsys, folder / "swing", *QUICK, *SEARCH)
    assert again == found


def test_the_curve_is_drawn_beside_the_run_and_for_tensorboard(folder, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        found = reported(capsys, folder / "swing", *QUICK, "--no_tuning")
    run = folder / "swing"
    assert [Path(file) for file in found["files"]] == [run / f"shared_weight_curve.{e}" for e in ("svg", "png")]
    png = (run / "shared_weight_curve.png").read_bytes()
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    images = events.Images("champion/shared_weight_curve")
    assert [image.encoded_image_string for image in images] == [png]
    assert (images[0].width, images[0].height) == struct.unpack(">II", png[16:24])
    svg = (run / "shared_weight_curve.svg").read_text("utf-8")
    mean = found["conditions"]["mean_shared_weights"]["reward"]
    assert f"{mean:.3g}".replace("-", "\N{MINUS SIGN}") + "  mean of 6 weights" in svg


def test_a_run_on_samples(folder, capsys):
    found = reported(capsys, folder / "digits", "--num_draws", 5, "--num_epochs", 2, "--num_trainings", 2)
    conditions = found["conditions"]
    assert set(conditions) == (set(AGNOSTIC_CONDITIONS) - {"ensemble"}) | {"ensemble_vote", "ensemble_log_probability"}
    assert conditions["tuned_weights"]["num_weights"] == 2
    assert all(0 <= one["accuracy"] <= 1 for one in conditions.values())
    assert found["scores"]["test"]["accuracy"] == found["scores"]["test"]["recorded"]["accuracy"]
    # The network carries the best of its shared weights; their mean is recorded as the reward.
    recorded = found["scores"]["test"]["recorded"]["reward"]
    assert conditions["mean_shared_weights"]["reward"] == pytest.approx(recorded, rel=1e-6)


def test_the_table_names_conditions_and_numbers(folder, capsys):
    trained = load_network(folder / "swing")
    report = trained.report(trained.load_environment(), num_trials=3, num_generations=1, population_size=4, num_draws=2)
    lines = report_lines(report)
    assert lines[0].split() == ["return", "sd", "weights", "episodes", "each"]
    row = next(line for line in lines if line.startswith("mean of 6 shared weights"))
    one = report.conditions["mean_shared_weights"]
    assert float(row.split()[5]) == pytest.approx(one.mean(), abs=0.051)
    assert row.split()[-2:] == ["6", "3"]


def test_a_published_file(folder, capsys, tmp_path):
    picture = tmp_path / "curve.png"
    words = (folder / "small.out", "--env_name", "CartPoleSwingUp", *QUICK, "--no_tuning", "--plot", picture)
    assert reported(capsys, *words)["files"] == [str(picture)]
    assert not list(folder.glob("small-*"))
    assert "--env_name or --dataset" in refused(capsys, "evaluate", folder / "small.out")
    both = ("--env_name", "Snake", "--dataset", "digits")
    assert "not both" in refused(capsys, "evaluate", folder / "small.out", *both)
    unfit = refused(capsys, "evaluate", folder / "small.out", "--env_name", "Snake")
    assert "5 inputs and 1 outputs, but Snake" in unfit
    assert "5 inputs and 1 outputs, but digits" in refused(
        capsys, "evaluate", folder / "small.out", "--dataset", "digits"
    )


def test_networks_that_were_not_trained_have_no_controls(folder, capsys):
    for run in ("digits", "swing"):
        assert "topoevo evaluate says" in refused(capsys, "control", folder / run)


def test_a_published_file_has_the_inputs_and_outputs_of_the_environment(capsys, tmp_path):
    # The last input is connected to nothing: by itself, the file does not say that it is one.
    genome = minimal_genome(5, 1, p_enabled=1.0, tracker=InnovationTracker(), rng=np.random.default_rng(0))
    write_out(tmp_path / "open.out", genome.without_connection(int(genome.connections["innovation"][-1])))
    acting = (tmp_path / "open.out", "--env_name", "CartPoleSwingUp")
    found = reported(capsys, *acting, *QUICK, "--no_tuning", "--no_plot")
    assert found["connections"] == 4
    out = tmp_path / "tuned.json"
    assert main([*map(str, ("train", *acting, "--out", out, "--num_generations", 1, "--population_size", 4))]) == 0
    assert load_network(out).file.genome.num_inputs == 5
    assert "unknown environment 'Nowhere'" in refused(
        capsys, "evaluate", tmp_path / "open.out", "--env_name", "Nowhere"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--num_trials", "0"), "--num_trials: 0 is not allowed"),
        (("--num_epochs", "3"), "has no effect"),
        (("--conditions", "ensemble"), "no classes to vote for"),
        (("--conditions", "own_weights", "--plot", "a.png"), "no curve to draw"),
        (("--plot", "a.gif"), "must end in .svg or .png"),
        (("--conditions", "lucky"), "invalid choice"),
    ],
)
def test_what_means_nothing_is_refused(folder, capsys, words, message):
    assert message in refused(capsys, "evaluate", folder / "swing", *words)


def test_weights_are_tuned_in_an_environment_and_the_file_is_used(folder, capsys, tmp_path):
    out = tmp_path / "tuned.json"
    words = ("--num_generations", "4", "--population_size", "6", "--num_trials", "2", "--num_test_trials", "7")
    assert main(["train", str(folder / "swing"), "--out", str(out), *words]) == 0
    trained = load_network(out)
    assert trained.file.genome.complexity == load_network(folder / "swing").file.genome.complexity
    assert not trained.is_weight_agnostic and trained.file.facts["tuning"]["num_generations"] == 4
    own = reported(capsys, out, "--num_trials", 7)["conditions"]
    assert list(own) == ["own_weights"]
    assert own["own_weights"]["reward"] == pytest.approx(trained.file.facts["scores"]["test"]["reward"])
    assert "has no effect" in refused(capsys, "train", folder / "swing", "--out", out, "--lr", "1")


def test_weights_are_tuned_on_samples(folder, capsys, tmp_path):
    out = tmp_path / "tuned.json"
    assert main(["train", str(folder / "digits"), "--out", str(out), "--num_epochs", "8"]) == 0
    before, after = load_network(folder / "digits"), load_network(out)
    assert (after.network.source == before.network.source).all() and (
        after.network.weight != before.network.weight
    ).any()
    found = reported(capsys, out)
    assert "conditions" not in found and not found["weight_agnostic"]
    accuracy = reported(capsys, folder / "digits", "--conditions", "tuned_shared_weight")["conditions"]
    assert found["scores"]["test"]["accuracy"] > accuracy["tuned_shared_weight"]["accuracy"]
    assert "there is no folder" in refused(capsys, "train", folder / "digits", "--out", tmp_path / "no" / "x.json")
