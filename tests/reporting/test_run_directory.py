"""The run directory is complete, never overwrites what is not a run, and goes on after a resume without duplicates."""

from __future__ import annotations

import csv
import json
import os

import pytest

from topoevo.errors import CheckpointError, ParamsError
from topoevo.experiment.params import load_params
from topoevo.reporting.files import COLUMNS, FilesObserver
from topoevo.reporting.network_file import read_network
from topoevo.reporting.result_file import ResultObserver
from topoevo.reporting.run_directory import RunDirectory


def observers_of(run):
    files = FilesObserver(run)
    return [files, ResultObserver(run, log=files.log)]


def make_params(**changes):
    return load_params(None, {"population_size": 5, "tournament_size": 2, "num_generations": 4, **changes})


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows_of(run):
    with run.metrics.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_finished_run_has_every_file(script, tmp_path):
    params = make_params(out_dir=str(tmp_path / "run"), save_networks_every=2)
    run = RunDirectory.create(params, name="quick")
    outcome = script(observers_of(run), params=params).run(4)

    assert load_params(run.params, {}) == params
    assert {"topoevo", "commit", "packages", "processor", "python"} <= set(json.loads(run.environment.read_text()))
    rows = rows_of(run)
    assert [row["generation"] for row in rows] == ["0", "1", "2", "3"]
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[2]["best_reward"]) == pytest.approx(-1 + 0.4 + 0.02)
    assert rows[0]["champion_test_accuracy"] == "" and rows[0]["population_failures"] == "1"
    assert float(rows[0]["population_reward_mean"]) == pytest.approx(-0.75)

    result = json.loads(run.result.read_text())
    assert result["status"] == "finished" and result["generations"] == 4 and result["evaluations"] == 20
    assert result["seed"] == 0 and result["digest"] == outcome.digest and result["seconds"] == 12.5
    genome = outcome.champion.individual.genome
    assert result["champion"] == {
        "reward": outcome.champion.train.reward,
        "accuracy": outcome.champion.train.accuracy,
        "test_reward": -0.9,
        "test_accuracy": 0.75,
        "connections": genome.complexity.connections,
        "biases": genome.complexity.biases,
        "neurons": len(genome.nodes),
        "layers": int(genome.layers().max()) + 1,
        "generation": 2,
    }
    champion = read_network(run.champion)
    assert champion.genome.digest == genome.digest
    assert champion.facts["scores"]["test"]["accuracy"] == 0.75
    assert run.picture_svg.read_text().count("<svg") == 1
    assert run.picture_png.read_bytes().startswith(b"\x89PNG")
    assert sorted(one.name for one in run.networks.iterdir()) == [
        "generation-000000",
        "generation-000002",
        "generation-000003",
    ]
    snapshot = sorted((run.networks / "generation-000003").iterdir())
    assert [one.name for one in snapshot[::5]] == ["0000-individual-19.json", "population.npz"] and len(snapshot) == 6
    assert read_network(snapshot[0]).facts["scores"]["evaluation"]["reward"] == pytest.approx(-1 + 0.4 + 0.03)
    failures = [json.loads(line) for line in run.failures.read_text().splitlines()]
    assert [one["generation"] for one in failures] == [0, 1, 2, 3]
    assert "not finite" in failures[0]["reason"]
    assert read_network(run.path / failures[0]["file"]).genome.digest == failures[0]["digest"]
    log = run.log.read_text()
    assert "message 3" in log and all(row["digest"] in log for row in rows) and "Finished after 4 generations" in log
    assert not [one for one in run.path.rglob("*") if one.name.startswith(".") and one.name != ".lock"]


def test_a_regression_reports_its_error(script):
    params = make_params(out_dir="run")
    run = RunDirectory.create(params)
    script(observers_of(run), params=params, kind="regression").run(2)
    champion = json.loads(run.result.read_text())["champion"]
    assert champion["accuracy"] is None and champion["rmse"] == 0.3 and champion["test_rmse"] == 0.4
    assert "test error (RMSE)" in run.log.read_text()


def test_a_run_without_champion_ends_with_a_result(script):
    params = make_params(out_dir="run")
    run = RunDirectory.create(params)
    actor = script(observers_of(run), params=params)
    make_record = actor.record
    actor.record = lambda generation: make_record(generation, fail=5)
    actor.run(1, status="failed", reason="all 5 individuals failed")
    result = json.loads(run.result.read_text())
    assert (result["status"], result["champion"]) == ("failed", None)
    assert rows_of(run)[0]["best_reward"] == ""
    assert not run.champion.exists()


def test_resuming_leaves_no_duplicates(script):
    params = make_params(out_dir="run")
    run = RunDirectory.create(params)
    script(observers_of(run), params=params).run(4)
    before = rows_of(run)
    with run.metrics.open("a") as file:
        file.write("4,torn")
    with run.failures.open("a") as file:
        file.write('{"generation": 1')

    longer = make_params(out_dir="run", num_generations=6)
    run.lock.release()
    run = RunDirectory.open("run").locked()
    run.go_on(longer)
    assert load_params(run.params, {}) == longer
    assert len(json.loads(run.environment.read_text())["resumed"]) == 1
    script(observers_of(run), params=longer, first_generation=2).run(6)
    rows = rows_of(run)
    assert [row["generation"] for row in rows] == list("012345")
    assert rows[:4] == before[:4] or [row["digest"] for row in rows[:4]] == [row["digest"] for row in before]
    assert [json.loads(line)["generation"] for line in run.failures.read_text().splitlines()] == [0, 1, 2, 3, 4, 5]
    assert json.loads(run.result.read_text())["generations"] == 6
    assert "resumed at generation 2" in run.log.read_text()


def test_runs_without_out_dir_get_new_folders():
    params = make_params(seed=3)
    folders = [RunDirectory.create(params, name="quick").path for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(one.parent.name == "logs" and "-quick-s3" in one.name for one in folders)


def test_an_earlier_run_is_replaced_only_when_asked(tmp_path):
    params = make_params(out_dir="run")
    run = RunDirectory.create(params)
    (run.path / "tensorboard").mkdir()
    (run.path / "tensorboard" / "events").write_text("old")
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=rf"another process is writing to run \(process {os.getpid()} on "):
        RunDirectory.create(make_params(out_dir="run", overwrite_output=True))
    run.lock.release()
    with pytest.raises(ParamsError, match="--overwrite_output"):
        RunDirectory.create(params)
    assert (run.path / "tensorboard" / "events").exists()
    RunDirectory.create(make_params(out_dir="run", overwrite_output=True))
    assert not (run.path / "tensorboard").exists()
    assert (run.path / "notes.txt").read_text() == "mine"


def test_a_folder_of_something_else_is_never_touched(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ParamsError, match="no run has written"):
            RunDirectory.create(make_params(out_dir="home", overwrite_output=overwrite))
    (tmp_path / "home" / "params.yaml").write_text("seed: 1")
    with pytest.raises(ParamsError, match="no run has written"):
        RunDirectory.create(make_params(out_dir="home", overwrite_output=True))
    assert sorted(one.name for one in (tmp_path / "home").iterdir()) == ["params.yaml", "thesis.tex"]


def test_links_in_a_run_are_removed_but_not_followed(tmp_path):
    run = RunDirectory.create(make_params(out_dir="run"))
    run.lock.release()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("x")
    (run.path / "networks").symlink_to(tmp_path / "elsewhere")
    RunDirectory.create(make_params(out_dir="run", overwrite_output=True))
    assert (tmp_path / "elsewhere" / "kept").exists() and not (run.path / "networks").exists()


def test_a_lock_ends_with_what_refers_to_it(tmp_path):
    run = RunDirectory.create(make_params(out_dir="run"))
    with pytest.raises(CheckpointError, match="another process"):
        RunDirectory.open("run").locked()
    del run
    RunDirectory.open("run").locked()


def test_a_folder_with_nothing_but_a_lock_is_empty(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    assert RunDirectory.create(make_params(out_dir="run")).params.exists()


def test_a_folder_whose_lock_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    with pytest.raises(ParamsError, match=r"^out_dir: run cannot be written: Is a directory"):
        RunDirectory.check(make_params(out_dir="run"))


def test_an_empty_folder_is_used_and_a_file_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert RunDirectory.create(make_params(out_dir="empty")).params.exists()
    (tmp_path / "file").write_text("")
    for out_dir in ("file", "file/below"):
        with pytest.raises(ParamsError, match="is a file"):
            RunDirectory.create(make_params(out_dir=out_dir))


def test_an_unwritable_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ParamsError, match="not writable"):
        RunDirectory.check(make_params(out_dir="a/b"))
    assert not (tmp_path / "a").exists()


def test_opening_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        RunDirectory.open("absent")
    (tmp_path / "champion.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"champion.json: is a file; name the folder of its run"):
        RunDirectory.open("champion.json")
    with pytest.raises(CheckpointError, match=r"is not the folder of a run"):
        RunDirectory.open(tmp_path)


def test_a_full_disk_is_told_in_one_sentence(script, monkeypatch):
    params = make_params(out_dir="run")
    run = RunDirectory.create(params)

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("topoevo.reporting.files.write_network", refuse)
    with pytest.raises(CheckpointError, match="No space left"):
        script(observers_of(run), params=params).run(1)


def test_a_picture_that_fails_stops_no_run(script, monkeypatch):
    params = make_params(out_dir="run")
    run = RunDirectory.create(params)
    monkeypatch.setattr("topoevo.reporting.pictures.draw_champion", lambda *_: 1 / 0)
    script(observers_of(run), params=params).run(2)
    assert json.loads(run.result.read_text())["status"] == "finished"
    assert "no picture of the champion: ZeroDivisionError" in run.log.read_text()


def test_a_picture_that_cannot_be_written_is_told_once_and_tried_again(script, monkeypatch):
    params = make_params(out_dir="run")
    run = RunDirectory.create(params)
    warnings, tries = [], []

    def refuse(scene, file):
        tries.append(file.suffix)
        if file.suffix == ".png" and tries.count(".png") < 3:
            raise OSError(28, "No space left on device")
        file.write_text("a picture")

    monkeypatch.setattr("topoevo.reporting.picture_graphviz.is_installed", lambda: False)
    monkeypatch.setattr("topoevo.reporting.picture_matplotlib.draw", refuse)
    monkeypatch.setattr("topoevo.reporting.files._SECONDS_BETWEEN_PICTURES", 0.0)
    monkeypatch.setattr("topoevo.reporting.files._PICTURE_RATIO", 1e9)
    files = FilesObserver(run, warn=warnings.append)
    script([files, ResultObserver(run, log=files.log)], params=params).run(4)
    assert len(warnings) == 1
    assert "champion.png cannot be written: No space left on device; free some space" in warnings[0]
    assert warnings[0] in run.log.read_text()
    assert run.picture_svg.read_text() == run.picture_png.read_text() == "a picture"
    assert tries[:6] == [".svg", ".png"] * 3
