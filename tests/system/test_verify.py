"""Verifying runs: the same bytes again, from the seed and from checkpoints, and what is said where they differ."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from topoevo.cli import main
from topoevo.reporting.folder_lock import FolderLock

from .conftest import everything_below

SINE = ("--dataset", "sine", "--num_samples", "64", "--batch_size", "16")
EVOLUTION = (*SINE, "--population_size", "8", "--tournament_size", "2", "--num_epochs", "1")
RUNS = {
    "trained": ("wlnn", *EVOLUTION, "--inherit_weights", "true"),
    "founded": ("wlnn", *EVOLUTION, "--hidden_layers", "3", "--p_change_activation", "1", "--activations", "tanh",
                "sine"),
    "agnostic": ("wann", *SINE, "--population_size", "8", "--tournament_size", "2"),
    "acting": ("wlnn", "--env_name", "CartPoleSwingUp", "--learning_rule", "none", "--p_mutate_weights", "1",
               "--inherit_weights", "true", "--num_trials", "1", "--num_confirmation_trials", "1",
               "--num_test_trials", "1", "--population_size", "8", "--tournament_size", "2"),
}  # fmt: skip
TRAINING = ("wlnn", "--dataset", "sine", "--num_generations", "0", "--hidden_layers", "3")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def start(*words, generations=4):
    length = () if "--num_generations" in words else ("--num_generations", str(generations))
    assert main([*map(str, words), *length, "--out_dir", "run"]) == 0


def verify(capsys, *words, expect=0, run="run"):
    capsys.readouterr()
    assert main(["verify", run, *map(str, words)]) == expect
    done = capsys.readouterr()
    rows = [line.split() for line in done.out.splitlines() if line.endswith(("  same", "  differs"))]
    return done, rows


def change(row, column, value):
    """Change one cell of the table of the run."""
    path = Path("run/metrics.csv")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[row + 1][rows[0].index(column)] = value
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_repeated_from_its_seed_and_its_checkpoints(capsys, name):
    start(*RUNS[name])
    before = everything_below(Path("run"))
    done, rows = verify(capsys, "--generations", 2, "--num_workers", 2)
    assert [(row[0], row[1]) for row in rows] == [("0", "the"), ("1", "the"), ("3", "generation-000003.npz")]
    assert all(row[-3] == row[-2] for row in rows) and len({row[-3] for row in rows}) == 3
    assert "all 3 repeated generations are the same to the last bit" in done.out
    assert everything_below(Path("run")) == before
    assert [row[0] for row in verify(capsys, "--all")[1]] == ["0", "1", "2", "3", "3"]


def test_a_training_is_repeated_by_epochs(capsys):
    start(*TRAINING, "--num_epochs", 4)
    _, rows = verify(capsys, "--epochs", 2)
    assert [(row[0], row[1]) for row in rows] == [("1", "the"), ("2", "the"), ("4", "epoch-000003.npz")]
    change(1, "digest", "0" * 16)
    done, rows = verify(capsys, expect=1)
    assert "epoch 2 is the first that differs" in done.out and [row[-1] for row in rows] == ["same", "differs", "same"]


def test_a_run_that_went_on_with_other_settings_is_verified(capsys):
    start(*RUNS["trained"], generations=2)
    words = ["--num_generations", "4", "--num_workers", "2", "--test_every", "1", "--batch_size_eval", "7"]
    assert main(["resume", "run", *words, "--checkpoint_every", "2"]) == 0
    _, rows = verify(capsys, "--all")
    assert [row[0] for row in rows[:4]] == ["0", "1", "2", "3"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_any_workers_compute_the_same(capsys, workers, backend):
    start(*RUNS["trained"])
    verify(capsys, "--all", "--num_workers", workers, "--joblib_backend", backend)


def test_what_differs_is_named(capsys):
    start(*RUNS["trained"])
    change(1, "digest", "0" * 16)
    environment = json.loads(Path("run/environment.json").read_text())
    environment["packages"]["numpy"] = "1.0"
    environment["processor"] = "an abacus"
    Path("run/environment.json").write_text(json.dumps(environment))
    done, rows = verify(capsys, "--all", expect=1)
    # What follows from the seed would differ as well: it is not computed.
    assert [(row[0], row[-1]) for row in rows] == [("0", "same"), ("1", "differs"), ("3", "same")]
    assert "generation 1 is the first that differs" in done.out
    assert f"numpy: 1.0 when the run began, {np.__version__} now" in done.out
    assert "processor: an abacus when the run began" in done.out and "scipy" not in done.out


@pytest.mark.parametrize("words", [("wlnn", *EVOLUTION), TRAINING])
def test_a_row_that_is_missing_accuses_nobody(capsys, words):
    start(*words, *(() if words != TRAINING else ("--num_epochs", "4")))
    unit, first = ("generation", 0) if words != TRAINING else ("epoch", 1)
    change(1, unit, "torn")
    done, rows = verify(capsys, "--generations", 3)
    assert [row[0] for row in rows[:2]] == [str(first), str(first + 2)]
    assert {row[-1] for row in rows} == {"same"}
    assert f"warning: there is no record of {unit} {first + 1}, so it is repeated without being compared" in done.out
    change(0, unit, "torn")
    done, rows = verify(capsys, "--generations", 3)
    assert f"no record of {unit}s {first}, {first + 1}, so they are repeated" in done.out
    assert rows[0][0] == str(first + 2)
    change(0, unit, str(first))
    # A row that was changed is found behind the gap, too.
    change(2, "digest", "0" * 16)
    done, rows = verify(capsys, "--generations", 4, expect=1)
    assert [(row[0], row[-1]) for row in rows[:2]] == [(str(first), "same"), (str(first + 2), "differs")]
    assert f"{unit} {first + 2} is the first that differs" in done.out


def test_settings_that_were_changed_are_told(capsys):
    start(*RUNS["trained"])
    params = Path("run/params.yaml")
    assert "lr: 0.01\n" in params.read_text()
    params.write_text(params.read_text().replace("lr: 0.01\n", "lr: 0.02\n"))
    done, rows = verify(capsys, expect=2)
    assert [(row[0], row[-1]) for row in rows] == [("0", "differs")]
    assert "lr: is 0.02 now, but the run began with 0.01" in done.err


def test_a_run_that_is_under_way_is_verified(capsys):
    start(*RUNS["trained"])
    with Path("run/metrics.csv").open("a") as file:
        file.write("4,torn")
    lock = FolderLock(Path("run"))
    assert [row[0] for row in verify(capsys, "--generations", 1)[1]] == ["0", "3"]
    lock.release()


def test_a_damaged_checkpoint_is_passed_over(capsys):
    start(*RUNS["trained"])
    path = Path("run/checkpoint/generation-000003.npz")
    path.write_bytes(path.read_bytes()[:1000])
    done, rows = verify(capsys, "--generations", 1)
    assert "warning: the checkpoint generation-000003.npz" in done.out and [row[0] for row in rows] == ["0"]


def test_a_first_network_that_is_gone_leaves_the_checkpoints(capsys):
    start(*RUNS["trained"], generations=1)
    shutil.move("run", "first")
    start(*RUNS["trained"], "--network", "first")
    assert [row[0] for row in verify(capsys, "--generations", 2)[1]] == ["0", "1", "3"]
    shutil.rmtree("first")
    done, rows = verify(capsys)
    assert "checkpoints alone are compared" in done.out and [row[0] for row in rows] == ["3"]


def test_what_cannot_be_verified_is_told(capsys):
    done, _ = verify(capsys, expect=2, run="nowhere")
    assert "no such folder" in done.err
    start(*RUNS["trained"])
    shutil.rmtree("run/checkpoint")
    done, _ = verify(capsys, "--generations", 0, expect=2)
    assert "nothing in metrics.csv" in done.err
    assert "must be at least 0" in verify(capsys, "--generations", -1, expect=2)[0].err
    Path("run/metrics.csv").write_bytes(b"\x00\xff,,\n")
    assert "is no table of a run" in verify(capsys, expect=2)[0].err
    Path("run/metrics.csv").unlink()
    assert "no generation or epoch is finished yet" in verify(capsys, expect=2)[0].err
