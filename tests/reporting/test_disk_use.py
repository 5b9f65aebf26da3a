"""What a run will write is known within reason before it begins, and told if it is much or too much."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from topoevo.cli import main
from topoevo.evolution.reproduction import initial_population
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import random_networks
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.genome import InnovationTracker
from topoevo.reporting.disk_use import DiskUse, disk_use, disk_use_lines
from topoevo.tasks.base import DataSettings, load_task

Usage = namedtuple("Usage", "total used free")
SMALL = DiskUse(1e6, 2e6, 3e6)
LARGE = DiskUse(1e9, 2e9, 3e9)


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_it_is_an_upper_bound_of_what_a_run_writes_but_not_by_far(tmp_path):
    words = {"population_size": 10, "tournament_size": 2, "num_generations": 6, "num_epochs": 1, "num_workers": 1}
    words |= {"num_samples": 100, "save_networks_every": 2, "p_initial_connection_enabled": 0.3}
    params = load_params(None, words)
    task = load_task(DataSettings(dataset="digits"))
    tracker = InnovationTracker()
    population = initial_population(
        10, random_networks(params, task.num_inputs, task.num_outputs), tracker=tracker, seed=0
    )
    use = disk_use(params, task, [member.genome for member in population.members])
    flags = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    assert main(["wlnn", *flags, "--out_dir", str(tmp_path / "run")]) == 0
    run = tmp_path / "run"
    assert size_of(run / "checkpoint") < use.checkpoints < 4 * size_of(run / "checkpoint")
    assert 0.5 * size_of(run / "networks") < use.networks < 2 * size_of(run / "networks")
    assert size_of(run) < use.complete < 5 * size_of(run)


@pytest.mark.parametrize("name", ["num_generations", "population_size", "keep_checkpoints", "p_add_node"])
def test_it_grows_with_what_it_depends_on(task, genome, name):
    words = {"num_generations": 50, "population_size": 20, "tournament_size": 2, "save_networks_every": 1}
    before = disk_use(load_params(None, words), task, [genome])
    default = load_params(None, words).model_dump()[name]
    after = disk_use(load_params(None, {**words, name: default * 2}), task, [genome])
    assert after.complete > before.complete
    assert (after.networks > before.networks) == (name != "keep_checkpoints")


def test_there_is_room_for_the_journals_of_slow_generations(tmp_path, monkeypatch):
    monkeypatch.setattr("topoevo.experiment.journal.SECONDS_BETWEEN_WRITES", 0.0)
    words = {"population_size": 6, "tournament_size": 2, "num_generations": 9, "num_epochs": 1, "num_workers": 1}
    words |= {"num_samples": 50, "checkpoint_every": 4}
    params = load_params(None, words)
    task = load_task(DataSettings(dataset="digits"))
    largest = 0

    class Scales(Observer):
        def on_generation(self, record):
            nonlocal largest
            largest = max(largest, size_of(tmp_path))

    experiment = Experiment(params, task, observers=[Scales()], checkpoint_folder=tmp_path)
    use = disk_use(params, task, experiment.genomes)
    experiment.run()
    assert len(list(tmp_path.glob("journal-*"))) == 0
    assert largest < use.checkpoints < 4 * largest


def test_without_snapshots_the_number_of_networks_is_bounded(task, genome):
    words = {"num_generations": 50, "tournament_size": 2}
    large, larger = (
        disk_use(load_params(None, {**words, "population_size": size}), task, [genome]) for size in (1000, 50_000)
    )
    assert large.checkpoints * 50 == pytest.approx(larger.checkpoints)
    # What grows is one file with the genes of all.
    assert larger.networks < 8 * large.networks


def test_a_training_needs_room_for_its_checkpoints(task, genome):
    params = load_params(None, {"num_generations": 0, "hidden_layers": [4]})
    use = disk_use(params, task, [genome])
    assert use.networks == 0 and use.checkpoints > 3 * genome.connections.nbytes


@pytest.mark.parametrize(
    ("use", "free", "expected"),
    [
        (SMALL, 1e12, []),
        (
            LARGE,
            1e12,
            [
                "this run may write up to 6.0 GB (checkpoints 1.0 GB, networks 2.0 GB, tables and events 3.0 GB); "
                "1.0 TB are free"
            ],
        ),
        (
            SMALL,
            999,
            [
                "warning: this run may write up to 6.0 MB (checkpoints 1.0 MB, networks 2.0 MB, tables and events "
                "3.0 MB), but 1.0 kB are free in runs; see save_networks_every and keep_checkpoints"
            ],
        ),
    ],
)
def test_only_what_matters_is_told(monkeypatch, tmp_path, use, free, expected):

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2e12, 1e12, free))
    assert disk_use_lines(use, Path("runs")) == expected


def test_a_folder_that_says_nothing_about_its_space_is_no_reason_to_stop(monkeypatch, tmp_path):
    def refuse(folder):
        raise OSError("no such thing")

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    assert disk_use_lines(LARGE, tmp_path) == []
