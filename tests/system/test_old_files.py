"""Files of earlier versions: run directories and network files that every version reads (tests/fixtures/README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import topoevo
from topoevo.cli import main
from topoevo.reporting.environment import describe_environment

from .conftest import read_json, read_metrics

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
RUNS = ("agnostic", "environment", "evolution", "failures", "training")
OF_EACH = [(version, run) for version in VERSIONS for run in RUNS]
NETWORKS = [(path.parents[1].name, path.name) for path in sorted(FIXTURES.glob("*/networks/*"))]


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Return ``old(version)``: a folder with a copy of all files of a version, which is the working directory then."""

    def copy(version: str) -> Path:
        shutil.copytree(FIXTURES / version, tmp_path / version)
        monkeypatch.chdir(tmp_path / version)
        return tmp_path / version

    return copy


def made_here(run: Path) -> bool:
    """Whether a run was made by this version, with these libraries, on this processor."""
    then, now = read_json(run / "environment.json"), describe_environment()
    return all(then[name] == now[name] for name in ("topoevo", "python", "packages", "processor"))


def test_there_are_files_of_every_kind():
    assert len(NETWORKS) >= 8 and "v1" in VERSIONS
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < 300_000 * len(VERSIONS)


@pytest.mark.parametrize(("version", "name"), OF_EACH)
def test_a_run_goes_on(old, version, name):
    folder = old(version)
    expected = json.loads((folder / "expected.json").read_text())["continued"][name]
    before = read_metrics(folder / name / "metrics.csv")
    is_same = made_here(folder / name)
    last = max(map(int, expected))
    length = ("--num_epochs", str(last)) if name == "training" else ("--num_generations", str(last + 1))
    assert main(["resume", name, *length]) == 0
    after = read_metrics(folder / name / "metrics.csv")
    unit = next(iter(before[0]))
    assert [row[unit] for row in after[len(before) :]] == list(expected)
    known = [column for column in before[0] if column in after[0]]
    assert len(known) > 5
    assert [[row[column] for column in known] for row in after[: len(before)]] == [
        [row[column] for column in known] for row in before
    ]
    assert read_json(folder / name / "result.json")["status"] == "finished"
    if is_same:
        assert {row[unit]: row["digest"] for row in after[len(before) :]} == expected


@pytest.mark.parametrize(("version", "name"), OF_EACH)
def test_a_run_is_verified(old, capsys, version, name):
    folder = old(version)
    code = main(["verify", name, "--generations", "1"])
    out = capsys.readouterr().out
    if made_here(folder / name):
        assert code == 0 and "same to the last bit" in out
    else:
        assert code in (0, 1)


@pytest.mark.parametrize(("version", "name"), OF_EACH)
def test_a_champion_is_evaluated_and_drawn(old, capsys, version, name):
    folder = old(version)
    recorded = read_json(folder / name / "result.json")["champion"]
    agnostic = ["--conditions", "mean_shared_weights", "--no_plot"]
    words = {"agnostic": agnostic, "environment": [*agnostic, "--num_trials", "2"]}.get(name, [])
    assert main(["evaluate", name, "--json", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["connections"] == recorded["connections"]
    if name in ("evolution", "training"):
        assert report["scores"]["test"]["accuracy"] == pytest.approx(recorded["test_accuracy"], abs=1e-6)
    assert main(["draw", name, "--out", "picture.svg"]) == 0
    assert "<svg" in (folder / "picture.svg").read_text()


@pytest.mark.parametrize("name", ["agnostic", "evolution", "training"])
def test_new_rows_are_predicted(old, capsys, name):
    old("v1")
    assert main(["predict", name, "shapes.csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "prediction,p_flat,p_long,p_round" and len(rows) == 91
    assert {row.split(",")[0] for row in rows[1:]} <= {"flat", "long", "round"}


@pytest.mark.parametrize(("version", "name"), NETWORKS)
def test_a_network_computes_what_it_did(old, version, name):
    folder = old(version)
    path = folder / "networks" / name
    sizes = {"num_inputs": 3, "num_outputs": 3} if name.endswith(".out") else {}
    network = topoevo.load_network(path, **sizes)
    if name == "null-weights.json":
        assert np.isnan(network.file.genome.connections["weight"]).any()
        return
    expected = np.array(json.loads((folder / "expected.json").read_text())["outputs"][name])
    num_inputs = network.file.genome.num_inputs
    inputs = np.linspace(-1, 1, 4 * num_inputs, dtype=np.float32).reshape(4, num_inputs)
    np.testing.assert_allclose(network.outputs(inputs).T, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("version", "name"), NETWORKS)
def test_a_network_is_drawn(old, version, name):
    folder = old(version)
    sizes = ["--num_inputs", "3", "--num_outputs", "3"] if name.endswith(".out") else []
    assert main(["draw", f"networks/{name}", *sizes, "--out", "picture.svg"]) == 0
    assert "<svg" in (folder / "picture.svg").read_text()


@pytest.mark.parametrize(("name", "has_edges", "has_nodes"), [
    ("feedback.json", True, False), ("direct-feedback.json", False, True), ("backprop.json", False, False),
])  # fmt: skip
def test_feedback_weights_are_read(name, has_edges, has_nodes):
    feedback = topoevo.load_network(FIXTURES / "v1" / "networks" / name).file.feedback
    if not has_edges and not has_nodes:
        assert feedback is None
        return
    assert (feedback.connections is not None) is has_edges and bool(feedback.nodes) is has_nodes


def test_a_kept_individual_is_evaluated_again(old, capsys):
    folder = old("v1")
    is_same = made_here(folder / "evolution")
    code = main(["replay", "evolution", "--individual", "20", "--generation", "3"])
    out = capsys.readouterr().out
    assert "recorded: reward -0.92025" in out
    assert code == 0 if is_same else code in (0, 1)
