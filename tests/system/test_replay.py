"""Repeating single evaluations: failures of user code, divergence, and everybody that a run keeps."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from topoevo.cli import main
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.journal import Journal, Place
from topoevo.experiment.params import load_params
from topoevo.experiment.replaying import evaluated_again
from topoevo.reporting.failures import failure_files, read_failure
from topoevo.reporting.network_file import read_network
from topoevo.seeds import Stream

from .conftest import everything_below, read_json, read_metrics

#: Raises where a network says more than a little on the second step, so that some individuals fail and others do not.
MOODY = """
import gymnasium
import numpy as np


class Moody(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    limit = 0.7

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.np_random.uniform(0.5, 1.0, 2).astype(np.float32), {}

    def step(self, action):
        self.count += 1
        self._answer(float(action[0]))
        return np.full(2, 0.5, np.float32), float(action[0]), self.count == 3, False, {}

    def _answer(self, action):
        if self.count == 2 and action > self.limit:
            raise ValueError(f"too much: {action:.1f}")


gymnasium.register("Moody-v0", Moody, max_episode_steps=5)
"""
TINY = ("--population_size", "8", "--tournament_size", "2", "--num_generations", "3", "--out_dir", "run")
DATA = ("wlnn", "--dataset", "sine", "--num_epochs", "1", "--num_samples", "64", "--batch_size", "16")
DIVERGING = (*DATA, *TINY, "--optimizer", "sgd", "--lr", "1e9", "--p_initial_connection_enabled", "1", "--bias", "true")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def moody_run(tmp_path_factory):
    """Return the module of an environment that raises, and a run of which some individuals fail."""
    pytest.importorskip("gymnasium")
    folder = tmp_path_factory.mktemp("moody")
    (folder / "moody_for_replay.py").write_text(MOODY)
    words = ["wann", "--env_name", "moody_for_replay:Moody-v0", "--num_trials", "1", "--num_confirmation_trials", "1"]
    words += ["--num_test_trials", "1", "--shared_weights", "0.5", "1.0", "--p_initial_connection_enabled", "0.5"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        assert main([*words, *TINY]) == 0
        yield sys.modules["moody_for_replay"], folder / "run"
        import gymnasium

        gymnasium.registry.pop("Moody-v0")
        del sys.modules["moody_for_replay"]


@pytest.fixture
def moody(moody_run, in_empty_folder):
    """Return the module of the environment; the run is in the working directory."""
    module, run = moody_run
    shutil.copytree(run, "run")
    return module


def replay(capsys, *words, expect=0):
    capsys.readouterr()
    assert main(["replay", "run", *map(str, words)]) == expect
    return capsys.readouterr()


def test_an_exception_of_an_environment_is_recorded_and_repeated(moody, capsys, monkeypatch):
    files = failure_files(Path("run/failures"))
    lines = [json.loads(line) for line in Path("run/failures.jsonl").read_text().splitlines()]
    rows = sum(int(row["population_failures"]) for row in read_metrics(Path("run/metrics.csv")))
    assert len([line for line in lines if line["stream"] == "LEARNING"]) == rows
    assert 0 < rows < 24 and files and all(path.is_file() for path, _, _ in files)
    path, generation, individual = files[0]
    line = next(one for one in lines if one["file"] == path.relative_to("run").as_posix())
    assert (line["generation"], line["individual"]) == (generation, individual)
    failure = read_failure(path)
    assert failure.network.genome.digest == line["digest"] and failure.reason == line["reason"]
    assert "ValueError: too much" in failure.reason
    graph = read_json(path)["graph"]
    assert graph["failure"] == {
        "reason": line["reason"], "seed": 0, "stream": line["stream"], "generation": generation, "index": line["index"],
    }  # fmt: skip
    assert any("in _answer" in text for text in graph["traceback"]) and any("in step" in t for t in graph["traceback"])
    assert graph["traceback"][-1] == line["reason"]
    assert graph["settings"]["population_size"] == 8 and "num_epochs" not in graph["settings"]
    assert main(["draw", str(path), "--out", "failed.svg"]) == 0

    before = everything_below(Path("run"))
    done = replay(capsys, "--individual", individual, "--generation", generation)
    assert "reproduced" in done.out and "in _answer" in done.out and f"failed: {line['reason']}" in done.out
    assert everything_below(Path("run")) == before
    monkeypatch.setattr(moody.Moody, "limit", 10.0)
    done = replay(capsys, "--individual", individual, "--generation", generation, expect=1)
    assert "differs: it failed" in done.out and "succeeded now" in done.out


def test_the_debugger_begins_where_the_exception_was_raised(moody, capsys, monkeypatch):
    import pdb

    seen = []

    def look(traceback):
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        seen.append((traceback.tb_frame.f_code.co_name, traceback.tb_frame.f_locals["action"]))

    monkeypatch.setattr(pdb, "post_mortem", look)
    _, generation, individual = failure_files(Path("run/failures"))[0]
    done = replay(capsys, "--individual", individual, "--generation", generation, "--pdb")
    assert seen and seen[0][0] == "_answer" and seen[0][1] > 0.7
    assert "reproduced" in done.out


def test_a_divergence_is_repeated_from_its_file(capsys):
    assert main(DIVERGING) in (0, 1)
    path, generation, individual = failure_files(Path("run/failures"))[0]
    assert read_json(path)["graph"]["traceback"] == ["the loss became infinite or undefined"]
    assert np.isnan(read_network(path).genome.connections["weight"]).any()
    done = replay(capsys, "--individual", individual, "--generation", generation)
    assert "reproduced" in done.out and "failed: the loss became infinite or undefined" in done.out


RUNS = {
    "trained": (*DATA, "--inherit_weights", "true", "--learning_rule", "feedback_alignment"),
    "pruned": (*DATA, "--inherit_weights", "true", "--pruning", "fisher", "--max_connections", "20",
               "--initial_networks", "dense"),
    "raced": (*DATA, "--inherit_weights", "true", "--racing", "2"),
    "agnostic": ("wann", "--dataset", "sine"),
    "acting": ("wlnn", "--env_name", "CartPoleSwingUp", "--learning_rule", "none", "--p_mutate_weights", "1",
               "--inherit_weights", "true", "--num_trials", "1", "--num_confirmation_trials", "1",
               "--num_test_trials", "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_everybody_in_a_snapshot_is_repeated(capsys, name):
    assert main([*RUNS[name], *TINY, "--save_networks_every", "2"]) == 0
    for generation in (0, 2):
        for path in Path(f"run/networks/generation-{generation:06d}").glob("*.json"):
            individual = path.stem.rpartition("-")[2]
            done = replay(capsys, "--individual", individual, "--generation", generation)
            reward = read_json(path)["graph"]["scores"]["evaluation"]["reward"]
            assert f"recorded: reward {reward!r}" in done.out and "reproduced" in done.out


def test_what_cannot_be_repeated_is_told_with_what_can(capsys):
    assert main([*RUNS["trained"], *TINY]) == 0
    done = replay(capsys, "--individual", 999, expect=2)
    assert "individual 999 cannot be repeated" in done.err and " of generation 2; " in done.err
    done = replay(capsys, "--individual", 1, "--generation", 77, expect=2)
    assert "individual 1 of generation 77 cannot be repeated" in done.err
    listed = replay(capsys).out.splitlines()
    assert [line.partition(" of ")[2] for line in listed[1:]] == ["generation 2", "generation 3"]
    # Of the generation that comes next nothing is recorded yet.
    newest = listed[-1].partition(" of ")[0].rpartition("-")[2]
    assert "nothing was recorded" in replay(capsys, "--individual", newest).out


def test_a_generation_under_way_is_compared_with_its_journal(capsys):
    assert main([*RUNS["trained"], *TINY]) == 0
    population = Checkpoint.read(Path("run/checkpoint/generation-000003.npz")).population
    params = load_params("run/params.yaml", {})
    for place, error in ((2, 0.0), (4, 1e-9)):
        evaluation = evaluated_again(
            population.members[place].genome, params, load_task_of(params), stream=Stream.LEARNING, generation=3,
            index=place, say=print,
        )  # fmt: skip
        journal = Journal(Path("run/checkpoint"), 3, [one.genome for one in population.members], say=print)
        changed = dataclasses.replace(evaluation, reward=evaluation.reward + error)
        journal.add(Place(Stream.LEARNING, place), population.members[place].genome, changed, seconds=1.0)
        journal.save(now=True)
        journal.close()
    own, other = population.members[2].id, population.members[4].id
    assert "reproduced" in replay(capsys, "--individual", own, "--generation", 3).out
    assert "differs: reward" in replay(capsys, "--individual", other, "--generation", 3, expect=1).out


def test_data_that_has_changed_is_refused(capsys):
    table = Path("table.csv")
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'x' if a > b else 'y'}" for a, b in rng.normal(size=(40, 2))]
    table.write_text("\n".join(["a,b,c", *rows]) + "\n")
    assert main(["wlnn", "--dataset", "table.csv", "--num_epochs", "1", *TINY]) == 0
    individual = next(Path("run/networks/generation-000002").glob("0000-*.json")).stem.rpartition("-")[2]
    Path("elsewhere").mkdir()
    moved = table.rename("elsewhere/table.csv")
    assert "table.csv" in replay(capsys, "--individual", individual, expect=2).err
    assert "reproduced" in replay(capsys, "--individual", individual, "--dataset", moved).out
    moved.write_text("\n".join(["a,b,c", *rows[1:]]) + "\n")
    done = replay(capsys, "--individual", individual, "--dataset", moved, expect=2)
    assert "the data has changed" in done.err


def test_a_file_that_was_tampered_with_is_refused(capsys):
    assert main(DIVERGING) in (0, 1)
    path, generation, individual = failure_files(Path("run/failures"))[0]
    text = path.read_text()
    for before, after, words in (
        ('"index": ', '"index": -1', "does not say how"),
        ('"stream": "LEARNING"', '"stream": "SLEEPING"', "does not say how"),
        ('"stream": "LEARNING"', '"stream": "TEST"', "does not say how"),
        ('"reason": "', '"reason": 1, "other": "', "does not say how"),
        ('"data": {', '"data": {"more": 1, ', "the data has changed"),
        (f'"individual": {individual},', f'"individual": {individual + 1000},', "not of what its name says"),
        ('"format"', '"farmat"', "network file"),
    ):
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))
        done = replay(capsys, "--individual", individual, "--generation", generation, expect=2)
        assert words in done.err, (before, done.err)


def test_a_training_without_evolution_has_nobody_to_repeat(capsys):
    assert main([*DATA[:-4], "--num_generations", "0", "--hidden_layers", "2", "--out_dir", "run"]) == 0
    assert "topoevo verify" in replay(capsys, "--individual", 0, expect=2).err
