"""Training without evolution as a user starts it: files, curves, interruption, and what is refused."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from . import oracle
from .conftest import PARAMS, REPOSITORY, everything_below, read_json, read_metrics, user_environment
from .test_runs import steps_by_tag

MLP = PARAMS / "no-evolution" / "digits-mlp.yaml"
RULES = ("backprop", "feedback_alignment", "hebbian", "last_layer", "direct_feedback_alignment", "evolution_strategy")
RULES += ("metropolis", "none")
SMALL = (MLP, "--hidden_layers", 8)
SHORT = (*SMALL, "--validation_ratio", 0.1)


def whole_run(shared_run):
    return shared_run("training", *SHORT, "--num_epochs", 4)


def epochs_of(done):
    return [line.split() for line in done.out.splitlines() if line.startswith("epoch ")]


def test_every_rule_has_a_file():
    assert {path.stem for path in (PARAMS / "no-evolution").glob("*.yaml")} == {
        "digits-mlp",
        *(f"mnist-{rule}" for rule in RULES),
    }


def test_the_console_and_the_files_say_the_same(shared_run):
    run, done = whole_run(shared_run)
    assert done.err == ""
    assert "training a fully connected network with 8 hidden relu nodes, 592 connections and 18 biases" in done.out
    lines, rows = epochs_of(done), read_metrics(run / "metrics.csv")
    assert [line[1] for line in lines] == [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [line[line.index("digest") + 1] for line in lines] == [row["digest"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        said = [float(line[place + 1]) for place, word in enumerate(line) if word == "accuracy"]
        written = [float(row[f"{part}_accuracy"]) for part in ("training", "validation", "test")]
        assert said == pytest.approx(written, abs=1e-4)
    assert float(rows[-1]["test_loss"]) < float(rows[0]["test_loss"])
    result = read_json(run / "result.json")
    assert (result["status"], result["epochs"], result["digest"]) == ("finished", 4, rows[-1]["digest"])
    assert result["champion"]["test_accuracy"] == float(rows[-1]["test_accuracy"]) > 0.8
    assert result["champion"]["generation"] is None
    steps = steps_by_tag(run / "tensorboard")
    for tag in ("training/loss", "training/accuracy", "validation/loss", "test/loss", "test/accuracy"):
        assert steps[tag] == [1, 2, 3, 4], tag
    left = {"params.yaml", "run.log", "champion.json", "champion.svg", "champion.png", "checkpoint", "tensorboard"}
    assert left <= {path.name for path in run.iterdir()}


def test_the_network_scores_as_recorded_without_topoevo(shared_run):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    run, _ = whole_run(shared_run)
    images, labels = load_digits(return_X_y=True)
    _, test, _, test_labels = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    graph = oracle.load(run / "champion.json")
    recorded = read_json(run / "result.json")["champion"]
    assert oracle.accuracy(graph, test, test_labels) == pytest.approx(recorded["test_accuracy"], abs=1e-6)
    assert oracle.complexity(graph) == (recorded["connections"], recorded["biases"]) == (592, 18)


def test_a_longer_training_is_the_one_that_was_never_stopped(shared_run, programs):
    run, _ = whole_run(shared_run)
    programs.wlnn(*SHORT, "--num_epochs", 2, "--out_dir", "r")
    programs.topoevo("resume", "r", "--num_epochs", 4)
    resumed = programs.folder / "r"
    assert read_metrics(resumed / "metrics.csv") == read_metrics(run / "metrics.csv")
    assert (resumed / "champion.json").read_bytes() == (run / "champion.json").read_bytes()
    after, whole = steps_by_tag(resumed / "tensorboard"), steps_by_tag(run / "tensorboard")
    for tag, steps in whole.items():
        if not tag.startswith(("params", "champion/picture", "_hparams_")):
            assert after[tag] == steps, tag
    before = everything_below(programs.folder)
    for words, expected in (
        (("--num_epochs", 4), "has finished its 4 epochs; add --num_epochs 8"),
        (("--num_generations", 4), "--num_generations: cannot change"),
        (("--num_epoch", 4), "--num_epoch: there is no such setting; did you mean 'num_epochs'?"),
    ):
        assert expected in programs.topoevo("resume", "r", *words, expect=2).err
    assert everything_below(programs.folder) == before


def test_without_a_checkpoint_the_way_back_to_the_beginning_is_told(programs):
    programs.wlnn(*SHORT, "--num_epochs", 1, "--out_dir", "r")
    checkpoints = list((programs.folder / "r" / "checkpoint").glob("*.npz"))
    for checkpoint in checkpoints:
        checkpoint.write_bytes(b"not whole")
    again = "to repeat it from its beginning: topoevo wlnn r/params.yaml --out_dir ANOTHER_FOLDER"
    assert again in programs.topoevo("resume", "r", "--num_epochs", 2, expect=2).err
    for checkpoint in checkpoints:
        checkpoint.unlink()
    assert again in programs.topoevo("resume", "r", "--num_epochs", 2, expect=2).err
    programs.topoevo("wlnn", "r/params.yaml", "--out_dir", "another")
    assert (programs.folder / "another" / "champion.json").is_file()


def test_the_length_of_a_falling_learning_rate_cannot_change(programs):
    programs.wlnn(*SMALL, "--num_epochs", 1, "--lr_schedule", "cosine", "--out_dir", "r")
    assert "lr_schedule cosine" in programs.topoevo("resume", "r", "--num_epochs", 2, expect=2).err
    finished = programs.topoevo("resume", "r", expect=2).err
    assert "has finished its 1 epoch" in finished and "epochs" not in finished.split("its 1")[1]


def test_the_length_of_a_training_that_averages_cannot_change(programs):
    programs.wlnn(*SMALL, "--num_epochs", 1, "--weight_averaging", 0.5, "--out_dir", "r")
    assert "weight_averaging 0.5" in programs.topoevo("resume", "r", "--num_epochs", 2, expect=2).err


def test_smoothing_of_labels_that_are_none_is_told(programs):
    words = ("--dataset", "sine", "--num_generations", 0, "--num_epochs", 1, "--out_dir", "r")
    sentence = "label_smoothing 0.1 has no effect with sine, which has no classes"
    assert sentence in programs.wlnn(*words, "--label_smoothing", 0.1).out
    assert sentence not in programs.wlnn(*words, "--overwrite_output").out


def test_a_network_file_is_trained_further(shared_run, programs):
    run, _ = whole_run(shared_run)
    words = (MLP.parent / "mnist-none.yaml", "--network", run, "--dataset", "digits", "--input_scaling", "center")
    words += ("--num_inputs", "null", "--num_outputs", "null", "--validation_ratio", 0.1, "--num_epochs", 1)
    own = programs.wlnn(*words, "--inherit_weights", "--out_dir", "own")
    assert "with its weights, 592 connections and 18 biases" in own.out
    result = read_json(programs.folder / "own" / "result.json")["champion"]
    assert result["test_accuracy"] == read_json(run / "result.json")["champion"]["test_accuracy"]
    new = programs.wlnn(*words, "--out_dir", "new")
    assert "with new weights" in new.out
    edges = [oracle.load(folder / "champion.json").edges(data="weight") for folder in (run, programs.folder / "new")]
    assert [pair[:2] for pair in edges[0]] == [pair[:2] for pair in edges[1]]
    assert not set(np.float32([edge[2] for edge in edges[0]])) & set(np.float32([edge[2] for edge in edges[1]]))


def feedback_in(folder):
    """Feedback weights by the nodes that they join; those of biases are 0, as their first weights."""
    graph = oracle.load(folder / "champion.json")
    return {(source, target): feedback for source, target, feedback in graph.edges(data="feedback") if feedback}


def test_inherited_weights_keep_the_feedback_weights_that_they_have_learned_with(programs):
    words = (*SMALL, "--learning_rule", "feedback_alignment", "--num_epochs", 1)
    further = (*words, "--hidden_layers", "null", "--network", "first", "--inherit_weights", "--seed", 5)
    programs.wlnn(*words, "--seed", 3, "--out_dir", "first")
    first = feedback_in(programs.folder / "first")
    assert len(set(first.values())) == len(first) == 592
    same = programs.wlnn(*further, "--out_dir", "same")
    assert "feedback weights are those of first, feedback_seed 3" in same.out
    assert feedback_in(programs.folder / "same") == first
    programs.topoevo("resume", "same", "--num_epochs", 2)
    assert feedback_in(programs.folder / "same") == first
    other = programs.wlnn(*further, "--feedback_seed", 5, "--out_dir", "other")
    assert "feedback weights are not those of first: feedback_seed 5 instead of 3" in other.out
    assert not set(feedback_in(programs.folder / "other").values()) & set(first.values())


def test_a_file_may_have_settings_that_another_rule_has_no_use_for(programs):
    text = MLP.read_text().replace("optimizer: adam", "optimizer: sgd\nmomentum: 0.9\nlr_schedule: cosine")
    (programs.folder / "p.yaml").write_text(text + "feedback_seed: 1\n")
    words = ("p.yaml", "--hidden_layers", 4, "--num_epochs", 1, "--out_dir", "run")
    programs.wlnn(*words, "--learning_rule", "metropolis")


def test_a_signal_ends_a_training_that_can_go_on(programs):
    words = (*SMALL, "--out_dir", "run", "--checkpoint_every", "1000")
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "run_wlnn.py"), *map(str, words), "--num_epochs", "100000"],
        cwd=programs.folder,
        env=user_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    run = programs.folder / "run"
    result = read_json(run / "result.json")
    done = result["epochs"]
    assert (result["status"], result["reason"]) == ("interrupted", "SIGINT") and done >= 1
    # Fewer epochs than were asked for first, so that the test ends.
    resumed = programs.topoevo("resume", "run", "--num_epochs", done + 2)
    programs.wlnn(*SMALL, "--num_epochs", done + 2, "--out_dir", "whole")
    assert read_metrics(run / "metrics.csv") == read_metrics(programs.folder / "whole" / "metrics.csv")
    assert len(epochs_of(resumed)) == 2


def test_a_run_that_is_being_written_is_left_alone(programs):
    words = (*SMALL, "--out_dir", "run", "--checkpoint_every", "1")
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "run_wlnn.py"), *map(str, words), "--num_epochs", "100000"],
        cwd=programs.folder,
        env=user_environment(),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            # Before the second epoch ends, there is a checkpoint of the first.
            if line.split()[:2] == ["epoch", "2"]:
                break
        # It stands still, so that whatever changes was changed by another process.
        process.send_signal(signal.SIGSTOP)
        before = everything_below(programs.folder)
        for call in (
            lambda: programs.wlnn(*words, "--overwrite_output", expect=2),
            lambda: programs.topoevo("resume", "run", expect=2),
            lambda: programs.topoevo("control", "run", expect=2),
        ):
            error = call().err
            assert re.fullmatch(
                rf"error: another process is writing to run \(process {process.pid} on \S+ since [-\d]+ [:\d]+\); "
                r"wait for it, or choose another --out_dir\n",
                error,
            )
        assert everything_below(programs.folder) == before
    finally:
        process.kill()
        process.communicate(timeout=60)
    # A process that has died holds nothing.
    done = read_metrics(programs.folder / "run" / "metrics.csv")[-1]["epoch"]
    resumed = programs.topoevo("resume", "run", "--num_epochs", int(done) + 2)
    assert f"up to epoch {int(done) + 2}, backprop" in resumed.out


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("--optimizer", "sgd", "--lr", "1e30"), "try a smaller lr, or max_grad_norm"),
        (
            ("--learning_rule", "evolution_strategy", "--evolution_strategy_sigma", "1e30"),
            "try a smaller evolution_strategy_sigma",
        ),
    ],
)
def test_a_failure_that_would_repeat_is_not_gone_on_with(programs, words, remedy):
    done = programs.wlnn(*SMALL, *words, "--num_epochs", 2, "--out_dir", "run", expect=1)
    refused = programs.topoevo("control", "run", expect=2)
    for text in (done.out, refused.err):
        assert "infinite or undefined" in text and remedy in text and " resume " not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--network", "nowhere.json"), ("not allowed together",)),
        (("--hidden_layers", "null", "--network", "nowhere.json"), ("nowhere.json: there is no such file",)),
        (("--hidden_layers", "3", "0"), ("every layer must have at least 1 node",)),
        (("--hidden_layers", "a"), ("--hidden_layers",)),
        (("--hidden_layers", "99999999"), ("must be at most 500000",)),
        (("--activations", "step"), ("activations step", "learning_rule backprop", "evolution_strategy")),
        (
            ("--learning_rule", "metropolis", "--weight_decay", "0.1", "--feedback_seed", "1", "--lr", "0"),
            ("--weight_decay 0.1 has no effect", "--feedback_seed 1 has no effect", "--lr: 0"),
        ),
        (("--num_trials", "2", "--final_epochs", "1"), ("num_trials 2", "final_epochs 1")),
        (("--num_generations", "2", "--population_size", "1"), ("population_size 1", "num_generations must be 0")),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_what_cannot_be_trained_is_refused(programs, words, expected):
    before = everything_below(programs.folder)
    done = programs.wlnn(MLP, *words, expect=2)
    assert everything_below(programs.folder) == before
    assert "Traceback" not in done.err and done.err.count("error:") == 1
    assert all(word in done.err for word in expected), done.err


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_published_file_learns(programs, rule):
    data = REPOSITORY.parent / "shared" / "data" / "mnist"
    if not data.is_dir():
        pytest.skip(f"the files of mnist are not in {data}")
    programs.wlnn(MLP.parent / f"mnist-{rule}.yaml", "--num_epochs", 3, "--data_dir", data, "--out_dir", "run")
    accuracy = read_json(programs.folder / "run" / "result.json")["champion"]["test_accuracy"]
    assert accuracy < 0.2 if rule == "none" else accuracy > 0.85
