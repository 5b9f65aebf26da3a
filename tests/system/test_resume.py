"""Runs that are killed at any moment, half-written files included, and end as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from topoevo.reporting.event_files import read_events

from .conftest import BLIND, PARAMS, read_json, read_metrics
from .lives import Nursery

TINY = ("--population_size", "10", "--tournament_size", "3", "--num_epochs", "1", "--num_workers", "2")
#: Kinds of runs: what they are started with, how they are disturbed besides, and how the length is called.
KINDS = {
    "samples": (
        (
            "wlnn", BLIND, *TINY, "--num_samples", "64", "--checkpoint_every", "1",
            "--inherit_weights", "--validation_ratio", "0.1", "--p_change_activation", "0.3", "--activations", "relu",
            "tanh", "--num_newcomers", "2", "--final_epochs", "2", "--test_every", "3",
        ),
        {"fail": 4, "journal_at_once": True},
        "--num_generations",
    ),
    "informed": (
        (
            "wlnn", PARAMS / "digits-quick.yaml", *TINY, "--num_samples", "64", "--checkpoint_every", "1",
            "--initial_epochs", "2", "--max_connections", "40", "--validation_ratio", "0.2", "--reward_data", "both",
            "--train_elites", "false", "--final_epochs", "2", "--final_samples", "all",
        ),
        {"journal_at_once": True},
        "--num_generations",
    ),
    "shared weights": (
        (
            "wann", PARAMS.parent / "wann" / "digits-quick.yaml", "--population_size", "10", "--tournament_size", "3",
            "--num_workers", "2", "--checkpoint_every", "2", "--save_networks_every", "2",
        ),
        {},
        "--num_generations",
    ),
    "race": (
        (
            "wlnn", "--dataset", "digits", "--population_size", "10", "--tournament_size", "2", "--num_workers", "2",
            "--num_epochs", "3", "--batch_size", "64", "--racing", "2", "--racing_rungs", "3", "--inherit_weights",
        ),
        {"journal_at_once": True},
        "--num_generations",
    ),
    "environment": (
        (
            "wlnn", "--env_name", "CartPoleSwingUp", "--learning_rule", "none", "--inherit_weights",
            "--population_size", "10", "--tournament_size", "3", "--num_workers", "2", "--num_trials", "1",
            "--num_test_trials", "2", "--num_confirmation_trials", "2",
        ),
        {"journal_at_once": True},
        "--num_generations",
    ),
    "no evolution": (
        (
            "wlnn", PARAMS / "no-evolution" / "digits-mlp.yaml", "--hidden_layers", "6",
            "--validation_ratio", "0.1",
        ),
        {},
        "--num_epochs",
    ),
}  # fmt: skip


def events_of(folder: Path) -> dict[str, list[tuple[int, object]]]:
    """Steps and values of every tag as they lie in the files, but for times, and pictures, which the clock decides."""
    found: dict[str, list[tuple[int, object]]] = {}
    for path in sorted(folder.glob("*.tfevents.*")):
        for _, event in read_events(path):
            assert event is not None, f"{path} is damaged"
            for value in event.summary.value:
                if value.tag.startswith(("times/", "_hparams_", "champion/picture")):
                    continue
                content = value.simple_value if value.HasField("simple_value") else value.SerializeToString()
                found.setdefault(value.tag, []).append((event.step, content))
    return found


def remains(run: Path) -> dict[str, object]:
    """Everything that a run leaves, but for times."""
    result = read_json(run / "result.json")
    assert result.pop("seconds") > 0
    names = {str(path.relative_to(run)) for path in run.rglob("*") if "tensorboard" not in path.parts}
    # Of a run that has died after its end, a journal and what was half-written may be left.
    names = {name for name in names if ".part" not in name and "journal" not in name}
    failures = run / "failures.jsonl"
    failed = [json.loads(line) for line in failures.read_text().splitlines()] if failures.exists() else []
    return {
        "result": result,
        "metrics": read_metrics(run / "metrics.csv"),
        "champion": (run / "champion.json").read_bytes(),
        "failures": failed,
        "events": events_of(run / "tensorboard"),
        "names": sorted(names),
        "params": (run / "params.yaml").read_text(),
    }


def same(run: Path, other: Path) -> None:
    ours, theirs = remains(run), remains(other)
    for name, value in theirs.items():
        assert ours[name] == value, name


def uninterrupted(nursery: Nursery, folder: Path, kind: str, length: int) -> Path:
    words, disturbance, flag = KINDS[kind]
    folder.mkdir()
    nursery.live(
        folder, *words, flag, length, "--out_dir", "run", **{k: v for k, v in disturbance.items() if k == "fail"}
    )
    return folder / "run"


def survive(nursery: Nursery, folder: Path, kind: str, length: int, num_kills: int, seed: int, whole: Path) -> None:
    """Kill a run at random moments, half of them in operations on the disk, go on after each, and compare its end."""
    rng = np.random.default_rng(seed)
    words, disturbance, flag = KINDS[kind]
    folder.mkdir()
    run = folder / "run"
    killed = 0
    for attempt in range(20 * num_kills):
        if has_finished(run):
            # It came to its end before its moment, or died after it: another run that has to die earlier.
            same(run, whole)
            shutil.rmtree(run)
        # What was killed before it had written its settings has to be started once more.
        begun = (run / "params.yaml").exists()
        command = ("resume", "run") if begun else (*words, flag, length, "--out_dir", "run")
        if killed == num_kills:
            nursery.live(folder, *command, **disturbance)
            same(run, whole)
            return
        if attempt % 2:
            life = nursery.start(folder, *command, **disturbance)
            time.sleep(rng.uniform(0.05, 1.2))
            with contextlib.suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGKILL)
        else:
            life = nursery.start(folder, *command, kill_at=int(rng.integers(1, 120)), **disturbance)
        code = life.end()
        assert code in (0, -signal.SIGKILL), f"{life.out}\n{life.err}"
        assert life.err == ""
        killed += code != 0
        if (run / "champion.json").exists():
            read_json(run / "champion.json")
    raise AssertionError("the run ends before it can be killed")


def has_finished(run: Path) -> bool:
    result = run / "result.json"
    return result.exists() and bool(read_json(result)["status"] == "finished")


@pytest.mark.parametrize("kind", KINDS)
def test_kills_leave_no_trace(nursery, tmp_path, kind):
    whole = uninterrupted(nursery, tmp_path / "whole", kind, 5)
    survive(nursery, tmp_path / "killed", kind, 5, 3, len(kind), whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(int(os.environ.get("TOPOEVO_KILL_SEEDS", "1"))))
def test_thirty_kills_leave_no_trace(nursery, tmp_path, kind, seed):
    whole = uninterrupted(nursery, tmp_path / "whole", kind, 25)
    survive(nursery, tmp_path / "killed", kind, 25, 30, seed, whole)
