"""Workers change nothing in a run, and are gone when the program is, however it ends."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from topoevo import cli
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import Params
from topoevo.experiment.workers import Workers, threads

RUNS: dict[str, dict[str, Any]] = {
    "samples": {"dataset": "digits", "num_samples": 300, "num_epochs": 1, "inherit_weights": True},
    "agnostic": {"dataset": "digits", "num_samples": 300, "shared_weights": (-1.0, 0.5, 2.0)},
    "simulation": {"env_name": "CartPoleSwingUp", "shared_weights": (-1.0, 0.5), "num_trials": 1},
    "gymnasium": {"env_name": "CartPole-v1", "shared_weights": (-1.0, 0.5), "num_trials": 1},
}


def digests(**settings: Any) -> list[str]:
    """Of three generations of a small run."""
    params = Params(population_size=12, tournament_size=3, num_generations=3, **settings)
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params) as workers:
        return [experiment.step(workers).digest for _ in range(3)]


@pytest.mark.parametrize("name", RUNS)
def test_threads_change_nothing(name):
    if name == "gymnasium":
        pytest.importorskip("gymnasium")
    found = {tuple(digests(**RUNS[name], num_workers=number)) for number in (1, 2, 5)}
    assert len(found) == 1 and len(set(*found)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_processes_change_nothing(name):
    if name == "gymnasium":
        pytest.importorskip("gymnasium")
    found = {tuple(digests(**RUNS[name], num_workers=n, joblib_backend="loky")) for n in (1, 2, 5)}
    assert found == {tuple(digests(**RUNS[name]))}


def test_a_program_that_is_killed_leaves_no_workers_and_no_files(tmp_path):
    """The workers are evaluating when their parent dies by SIGKILL."""
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys, time
            import numpy as np
            from topoevo.genome import InnovationTracker, minimal_genome
            from topoevo.experiment.workers import Workers

            class Shared:
                def prepare(self): pass

            class Sleeping:
                remedy = ""
                def prepare(self, say): print(os.getpid(), flush=True)
                def evaluate(self, genome, shared, **address): time.sleep(600)

            rng = np.random.default_rng(0)
            genome = minimal_genome(2, 1, p_enabled=1.0, tracker=InnovationTracker(), rng=rng)
            with Workers(2, "loky") as workers:
                workers.evaluate(Sleeping(), [genome] * 4, Shared(), generation=0)
            """
        )
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while time.monotonic() < until and (
        any(Path(f"/proc/{pid}").exists() for pid in pids) or list(tmp_path.glob("topoevo-*"))
    ):
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.glob("topoevo-*"))


def test_the_program_leaves_hanging_threads_behind(monkeypatch):
    registered: list[tuple[Any, ...]] = []
    monkeypatch.setattr(atexit, "register", lambda *call: registered.append(call))
    for number in (0, 1):
        monkeypatch.setattr(threads, "num_hanging", lambda number=number: number)
        assert cli.main(["--nonsense"]) == 2
    assert [call[1:] for call in registered] == [(2,)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_run_ends_although_evaluations_hang(backend, tmp_path):
    """In a program of its own, whose processes are all told to hang at one genome."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import sys
            if not any("resource_tracker" in word for word in sys.orig_argv):
                from topoevo.experiment.evaluators import DatasetEvaluator
                attempt = DatasetEvaluator.attempt

                def hanging(self, genome, shared, *, stream, generation, index):
                    while index == 3 and generation == 0:
                        pass
                    return attempt(self, genome, shared, stream=stream, generation=generation, index=index)

                DatasetEvaluator.attempt = hanging
            """
        )
    )
    root = str(Path(cli.__file__).parents[1])
    words = "wlnn --dataset digits --population_size 6 --tournament_size 2 --num_generations 2 --num_epochs 1"
    more = f"--num_samples 200 --evaluation_timeout 3 --joblib_backend {backend} --out_dir run"
    done = subprocess.run(
        [sys.executable, "-m", "topoevo", *words.split(), *more.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), root))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["generations"]) == ("finished", 2)
    assert "1 failed" in done.stdout
