"""Runs on a cluster, as a user starts them and goes on with them."""

from __future__ import annotations

import socket

import pytest
import yaml

from topoevo.cli import main
from topoevo.reporting.run_directory import RunDirectory

from .conftest import BLIND, read_json, read_metrics

TINY = (
    BLIND, "--population_size", "8", "--tournament_size", "2", "--num_epochs", "1",
    "--num_samples", "64",
)  # fmt: skip


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *words, expect=0):
    capsys.readouterr()
    assert main([*map(str, words)]) == expect
    return capsys.readouterr()


@pytest.fixture
def nobody():
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


def test_a_wrong_address_is_told_before_there_is_a_run_directory(capsys, tmp_path, nobody):
    pytest.importorskip("distributed", reason="needs the extra dask")
    words = ("wlnn", *TINY, "--out_dir", "run", "--scheduler_address", nobody)
    assert (
        f"nobody answers at scheduler_address '{nobody}'"
        in run(capsys, *words, "--joblib_backend", "dask", expect=2).err
    )
    message = run(capsys, *words, "--joblib_backend", "loky", expect=2).err
    assert f"--scheduler_address '{nobody}' is not allowed with joblib_backend loky" in message
    assert not list(tmp_path.iterdir())


def test_nobody_is_connected_to_because_a_run_directory_says_so(capsys, tmp_path, nobody):
    run(capsys, "wlnn", *TINY, "--num_generations", "2", "--out_dir", "run")
    file = RunDirectory.open(tmp_path / "run").params
    settings = yaml.safe_load(file.read_text()) | {"joblib_backend": "dask", "scheduler_address": nobody}
    file.write_text(yaml.safe_dump(settings))
    longer = ("resume", "run", "--num_generations", "3")
    assert (
        f"name it yourself with --scheduler_address {nobody}, or go on here with --joblib_backend threading"
        in run(capsys, *longer, expect=2).err
    )
    # What only looks at a run computes here.
    assert "2 repeated generations are the same" in run(capsys, "verify", "run", "--generations", "1").out
    assert "Finished after 3 generations" in run(capsys, *longer, "--joblib_backend", "threading").out
    assert len(read_metrics(tmp_path / "run" / "metrics.csv")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_cluster_of_this_machine_leaves_the_files_that_threads_leave(capsys, tmp_path, backend):
    pytest.importorskip(backend, reason=f"needs the extra {backend}")
    for folder, words in (("threads", ()), ("cluster", ("--joblib_backend", backend, "--num_workers", "2"))):
        run(capsys, "wlnn", *TINY, "--num_generations", "3", "--out_dir", folder, *words)
    threads, cluster = (tmp_path / folder for folder in ("threads", "cluster"))
    assert read_metrics(threads / "metrics.csv") == read_metrics(cluster / "metrics.csv")
    assert read_json(threads / "result.json")["digest"] == read_json(cluster / "result.json")["digest"]
    assert "are the same" in run(capsys, "verify", "cluster").out


@pytest.mark.slow
def test_processes_of_ray_that_end_cost_nobody_else_anything(evolve, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    from topoevo.experiment.workers import Workers

    from ..experiment.test_cluster import Nothing, Obeying, expected

    genomes = [evolve(seed, num_mutations=seed % 7) for seed in range(12)]
    evaluator = Obeying(tmp_path, {3: "kill", 7: "once kill"}, seconds=0.02)
    with Workers(2, "ray") as workers:
        found = workers.evaluate(evaluator, genomes, Nothing(), generation=4)
    assert str(found[3].failure).startswith("its worker ended")
    others = [index for index in range(12) if index != 3]
    assert [found[index].reward for index in others] == [expected(12)[index] for index in others]
