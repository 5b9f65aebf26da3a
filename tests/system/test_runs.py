"""Whole runs: shipped parameter files, repeatability, interruption, and what they leave behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from topoevo.cli import main

from . import oracle
from .conftest import BLIND, PARAMS, REPOSITORY, TINY, Programs, read_json, read_metrics, user_environment

ALL = " ".join(oracle.ACTIVATIONS).split()
#: Four generations with every activation; all comparisons below are with this run.
BASE = (BLIND, *TINY, "--checkpoint_every", "1", "--num_mutations_per_generation", "8")
BASE += ("--p_change_activation", "0.3", "--p_add_node", "0.4", "--activations", *ALL)
RULES = ("backprop", "feedback_alignment", "hebbian", "last_layer")
IMAGES = {f"mnist-{rule}{which}": "mnist" for rule in RULES for which in ("", "-best")}
IMAGES["fashion-mnist-backprop"] = "fashion-mnist"
IMAGES["mnist-smallest"] = "mnist"
#: Files whose networks learn, or evolve, their weights in an environment.
ACTING = {
    "cartpole-evolution_strategy", "cartpole-swingup-evolution_strategy", "cartpole-swingup-neuroevolution",
    "snake-neuroevolution",
}  # fmt: skip


def base_run(shared_run):
    return shared_run("base", *BASE, "--num_generations", 4)


def test_every_shipped_file_is_run_here():
    assert {path.stem for path in PARAMS.glob("*.yaml")} == {
        "digits-quick", "digits-backprop", "sine-backprop", "table", "table-smallest", *IMAGES, *ACTING,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["digits-quick", "digits-backprop", "sine-backprop"])
def test_a_shipped_file_runs(programs, name):
    done = programs.wlnn(PARAMS / f"{name}.yaml", *TINY, "--num_generations", 2)
    (run,) = (programs.folder / "logs").iterdir()
    assert run.name.endswith(f"-{name}-s0")
    result = read_json(run / "result.json")
    assert (result["status"], result["generations"]) == ("finished", 2)
    assert result["digest"] == done.digests[-1] and len(done.digests) == 2
    assert done.err == ""
    missing = {"params.yaml", "environment.json", "run.log", "metrics.csv", "champion.json", "champion.svg"}
    missing |= {"champion.png", "tensorboard", "networks", "checkpoint"}
    assert missing <= {path.name for path in run.iterdir()}
    assert (run / "champion.png").read_bytes().startswith(b"\x89PNG") and "<svg" in (run / "champion.svg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ACTING))
def test_a_shipped_file_for_an_environment_runs(tmp_path, name):
    if name == "cartpole-evolution_strategy":
        pytest.importorskip("gymnasium")
    few = ("--num_generations", "2", "--num_test_trials", "2", "--num_confirmation_trials", "2", "--out_dir")
    tiny = TINY if name.endswith("evolution_strategy") else TINY[:-2]
    assert main(["wlnn", str(PARAMS / f"{name}.yaml"), *tiny, *few, str(tmp_path / "run")]) == 0
    result = read_json(tmp_path / "run" / "result.json")
    assert result["status"] == "finished" and result["champion"]["test_reward"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((PARAMS.parent / "wann").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_file_for_weight_agnostic_networks_runs(tmp_path, path):
    words = ["--num_generations", "2", "--population_size", "8", "--tournament_size", "2", "--num_workers", "1"]
    if "env_name" in path.read_text():
        words += ["--num_trials", "1", "--num_test_trials", "2", "--num_confirmation_trials", "2"]
        if "topoevo[rl" in path.read_text():
            pytest.importorskip("gymnasium")
        if "box2d" in path.read_text():
            pytest.importorskip("Box2D")
    elif "dataset: mnist" in path.read_text():
        data = REPOSITORY.parent / "shared" / "data" / "mnist"
        if not data.is_dir():
            pytest.skip(f"the files of mnist are not in {data}")
        words += ["--data_dir", str(data)]
    if path.stem == "snake-published":
        words += ["--cull_ratio", "0.2"]
    if "num_newcomers" in path.read_text():
        words += ["--num_newcomers", "2"]
    assert main(["wann", str(path), *words, "--out_dir", str(tmp_path / "run")]) == 0
    result = read_json(tmp_path / "run" / "result.json")
    assert result["status"] == "finished" and result["champion"]["test_best_reward"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
def test_a_shipped_file_for_images_runs(programs, name):
    from topoevo.tasks.base import DataSettings, load_task

    data = REPOSITORY.parent / "shared" / "data" / IMAGES[name]
    if not data.is_dir():
        pytest.skip(f"the files of {IMAGES[name]} are not in {data}")
    programs.wlnn(PARAMS / f"{name}.yaml", *TINY, "--num_generations", 2, "--data_dir", data, "--out_dir", "run")
    recorded = read_json(programs.folder / "run" / "result.json")["champion"]["test_accuracy"]
    task = load_task(DataSettings(dataset=IMAGES[name], data_dir=str(data), input_scaling="none"))
    graph = oracle.load(programs.folder / "run" / "champion.json")
    assert oracle.accuracy(graph, task.test.inputs, task.test.targets) == pytest.approx(recorded, abs=1e-6)
    assert recorded > 0.2


def test_the_champion_scores_as_recorded_without_topoevo(shared_run):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    run, _ = base_run(shared_run)
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    train, test, train_labels, test_labels = parts
    graph, result = oracle.load(run / "champion.json"), read_json(run / "result.json")["champion"]
    used = {graph.nodes[node]["activation"] for node in graph}
    assert len(used) > 4, "the run should have drawn most activations"
    assert oracle.accuracy(graph, test, test_labels) == pytest.approx(result["test_accuracy"], abs=1e-6)
    assert oracle.accuracy(graph, train, train_labels) == pytest.approx(result["accuracy"], abs=1e-6)
    logits = oracle.outputs(graph, test)
    shifted = logits - logits.max(axis=1, keepdims=True)
    rewards = shifted[np.arange(len(test)), test_labels] - np.log(np.exp(shifted).sum(axis=1))
    assert rewards.mean() == pytest.approx(result["test_reward"], abs=1e-5)
    assert result["test_accuracy"] > 0.3
    assert (graph.graph["complexity"]["connections"], graph.graph["complexity"]["biases"]) == (
        result["connections"], result["biases"],
    ) == oracle.complexity(graph)  # fmt: skip


def test_a_pruned_champion_scores_as_recorded_without_topoevo(shared_run, programs):
    """Of a run that prunes, holds samples out, and trains with these in the end."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    words = (
        *TINY,
        "--num_generations",
        2,
        "--validation_ratio",
        "0.1",
        "--reward_data",
        "both",
        "--train_elites",
        "false",
    )
    words += ("--final_epochs", 3, "--final_samples", "all")
    run, done = shared_run("informed", PARAMS / "digits-quick.yaml", *words)
    images, labels = load_digits(return_X_y=True)
    _, test, _, test_labels = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    graph, result = oracle.load(run / "champion.json"), read_json(run / "result.json")["champion"]
    assert oracle.accuracy(graph, test, test_labels) == pytest.approx(result["test_accuracy"], abs=1e-6)
    assert result["test_accuracy"] > 0.8
    assert (result["connections"], result["biases"]) == oracle.complexity(graph)
    assert result["connections"] <= 160
    assert "more epochs with the validation samples, too" in done.out and "earlier validation accuracy" in done.out
    assert result["knows_validation"] and graph.graph["knows_validation"]
    assert "earlier validation accuracy" in (run / "champion.svg").read_text()
    evaluated = programs.topoevo("evaluate", run)
    assert "has learned from the validation samples" in evaluated.out


def test_the_parameter_file_of_a_run_repeats_it(shared_run, programs):
    run, first = base_run(shared_run)
    again = programs.wlnn(run / "params.yaml", "--out_dir", "again")
    assert again.digests == first.digests and len(first.digests) == len(set(first.digests)) == 4
    assert (programs.folder / "again" / "champion.json").read_bytes() == (run / "champion.json").read_bytes()
    assert read_metrics(programs.folder / "again" / "metrics.csv") == read_metrics(run / "metrics.csv")


@pytest.mark.slow
def test_another_seed_is_another_run(shared_run, programs):
    done = programs.wlnn(*BASE, "--num_generations", 1, "--seed", 1)
    assert done.digests[0] != base_run(shared_run)[1].digests[0]


WORKERS = {
    "one": ("--num_workers", 1),
    "processes": ("--num_workers", 2, "--joblib_backend", "loky"),
}


@pytest.mark.parametrize(
    ("inherit", "workers"),
    [
        ("true", "one"),
        ("true", "processes"),
        ("false", "one"),
        pytest.param("false", "processes", marks=pytest.mark.slow),
    ],
)
def test_the_number_of_workers_changes_nothing(shared_run, programs, inherit, workers):
    """The runs to compare with have two threads."""
    words = (*BASE, "--num_generations", 4, "--inherit_weights", inherit)
    run, expected = base_run(shared_run) if inherit == "true" else shared_run("no-inheritance", *words)
    done = programs.wlnn(*words, *WORKERS[workers], "--out_dir", "r")
    assert done.digests == expected.digests and len(done.digests) == 4
    assert read_metrics(programs.folder / "r" / "metrics.csv") == read_metrics(run / "metrics.csv")
    assert read_json(programs.folder / "r" / "champion.json") == read_json(run / "champion.json")


def steps_by_tag(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    found = {tag: [event.step for event in events.Scalars(tag)] for tag in tags["scalars"]}
    found |= {tag: [event.step for event in events.Histograms(tag)] for tag in tags["histograms"]}
    found |= {tag: [event.step for event in events.Images(tag)] for tag in tags["images"]}
    return found | {tag: [event.step for event in events.Tensors(tag)] for tag in tags["tensors"]}


def test_a_resumed_run_is_the_uninterrupted_one(shared_run, programs):
    run, whole = base_run(shared_run)
    resumed = programs.folder / "resumed"
    first = programs.wlnn(*BASE, "--num_generations", 2, "--out_dir", resumed)
    before = steps_by_tag(resumed / "tensorboard")
    second = programs.wlnn("--resume", resumed, "--num_generations", 4)
    assert first.digests + second.digests == whole.digests
    assert read_metrics(resumed / "metrics.csv") == read_metrics(run / "metrics.csv")
    assert read_json(resumed / "champion.json") == read_json(run / "champion.json")
    result, expected = read_json(resumed / "result.json"), read_json(run / "result.json")
    assert {**result, "seconds": 0} == {**expected, "seconds": 0}
    assert (resumed / "params.yaml").read_text().splitlines()[1:] == [
        line.replace(str(run.name), str(resumed)) if line.startswith("out_dir") else line
        for line in (run / "params.yaml").read_text().splitlines()[1:]
    ]
    after, uninterrupted = steps_by_tag(resumed / "tensorboard"), steps_by_tag(run / "tensorboard")
    assert set(before) == set(after) == set(uninterrupted)
    for tag, steps in uninterrupted.items():
        if not tag.startswith(("params", "champion/picture", "_hparams_")):
            assert after[tag] == steps == sorted(set(steps)), tag
    assert after["best/reward"] == after["times/complete"] == after["population/connections"] == [0, 1, 2, 3]


def test_tensorboard_has_what_the_documentation_says(shared_run):
    run, _ = base_run(shared_run)
    steps = steps_by_tag(run / "tensorboard")
    per_generation = {f"stats/{what}_{how}" for what in ("connections", "neurons", "layers") for how in ("mean", "std")}
    per_generation |= {f"times/{what}" for what in ("evaluation", "ranking", "reproduction", "complete")}
    per_generation |= {"best/reward", "best/accuracy", "population/accuracy", "population/connections"}
    for tag in per_generation:
        assert steps[tag] == [0, 1, 2, 3], tag
    assert {"champion/test_accuracy", "champion/picture", "params/text_summary"} <= set(steps)
    assert [path for path in (run / "tensorboard").iterdir() if path.is_dir()] == [], "hparams made a second run"
    rows = read_metrics(run / "metrics.csv")
    assert [int(row["generation"]) for row in rows] == [0, 1, 2, 3]


def start(programs: Programs, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "run_wlnn.py"), *map(str, words)],
        cwd=programs.folder,
        env=user_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Whoever runs tests in the background of a shell has Ctrl-C switched off, and so would the program.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> tuple[list[str], str]:
    """Send a signal after the first generation; return the digests and the error output."""
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("generation"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return [line.split("digest")[1].split()[0] for line in lines + out.splitlines() if "digest" in line], err


def test_signals_end_a_run_that_can_go_on(programs):
    """Ctrl-C, then SIGTERM in the resumed run; every generation is that of a run which nobody disturbed.

    ``checkpoint_every`` is left as it is in the file: a signal writes a checkpoint whatever it says.
    """
    words = (BLIND, *TINY, "--out_dir", "run")
    process = start(programs, *words, "--num_generations", 500)
    digests, err = interrupt(process, signal.SIGINT)
    run = programs.folder / "run"
    assert process.returncode == 130 and "Traceback" not in err
    result = read_json(run / "result.json")
    assert (result["status"], result["reason"], result["generations"]) == ("interrupted", "SIGINT", len(digests))
    assert oracle.load(run / "champion.json").graph["format"] == "topoevo-network"
    process = start(programs, "--resume", "run")
    more, err = interrupt(process, signal.SIGTERM)
    assert process.returncode == 143 and "Traceback" not in err
    assert read_json(run / "result.json")["status"] == "interrupted"
    digests += more
    last = len(digests) + 1
    digests += programs.wlnn("--resume", "run", "--num_generations", last).digests
    shutil.rmtree(run)
    assert digests == programs.wlnn(*words, "--num_generations", last).digests


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.1, 0.3, 0.6, 1.0, 1.5, 2.0])
def test_a_signal_during_the_start_leaves_no_traceback(programs, delay):
    process = start(programs, BLIND, *TINY, "--num_generations", 500)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err and process.returncode in (130, -signal.SIGINT)
