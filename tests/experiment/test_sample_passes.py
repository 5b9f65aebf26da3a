"""The samples that a run learns from, counted: against those that went through the networks of the reference."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from topoevo.cli import main
from topoevo.experiment.appraiser import Appraiser
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.kernels.reference import ReferenceKernel
from topoevo.learning import Learner
from topoevo.reporting.measures import measures_of
from topoevo.reporting.result_file import result_of

from .stopping import Stopping

SMALL = {
    "num_generations": 3,
    "population_size": 8,
    "tournament_size": 2,
    "cull_ratio": 0.5,
    "elite_ratio": 0.25,
    "inherit_weights": True,
    "num_samples": 100,
    "batch_size": 32,
    "num_epochs": 3,
    "test_every": 0,
}
PRUNED = {
    "pruning": "fisher",
    "max_connections": 60,
    "initial_networks": "dense",
    "initial_hidden_nodes": (4, 6),
    "validation_ratio": 0.2,
    "reward_data": "both",
    "train_elites": False,
}
CASES = {
    "plain": {},
    "lr that diverges": {"lr": 1e18, "lr_spread": 1000, "optimizer": "sgd", "p_initial_add_node": 1},
    "trials": {"num_trials": 2},
    "elites kept": {
        **PRUNED,
        "initial_epochs": 4,
        "final_epochs": 2,
        "final_samples": "all",
        "weight_decay": 0.1,
        "final_decay_factors": (0, 1),
    },
    "race": {"racing": 2, "racing_rungs": 3},
    "race that diverges": {"racing": 2, "lr": 1e18, "lr_spread": 1000, "optimizer": "sgd", "p_initial_add_node": 1},
    "front": {
        **PRUNED,
        "max_connections": None,
        "front_connections": (30, 60),
        "final_epochs": 1,
        "weight_decay": 0.1,
        "final_decay_factors": (0.1, 1, 3),
        "racing": 2,
    },
    "newcomers": {"num_newcomers": 2, "racing": 2},
    "evolution_strategy": {"learning_rule": "evolution_strategy", "evolution_strategy_num_candidates": 4},
    "metropolis": {"learning_rule": "metropolis", "metropolis_num_proposals": 3},
    "none": {"learning_rule": "none", "num_epochs": 1},
}


def params_of(**settings):
    return load_params(None, {**SMALL, **settings})


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_went_forwards_through_networks_that_learn(name: str, monkeypatch) -> None:
    seen, is_training = 0, False
    forward, train = ReferenceKernel.forward, Learner.train

    def counting(self, network, weights, inputs):
        nonlocal seen
        seen += inputs.shape[1] if is_training else 0
        return forward(self, network, weights, inputs)

    def training(self, *given):
        nonlocal is_training
        is_training = True
        try:
            return train(self, *given)
        finally:
            is_training = False

    monkeypatch.setattr(ReferenceKernel, "forward", counting)
    monkeypatch.setattr(Learner, "train", training)
    params = params_of(**CASES[name], kernel="reference")
    outcome = Experiment(params, load_task_of(params)).run()
    assert outcome.status == "finished"
    assert outcome.sample_passes == seen > 0


def test_it_is_the_sum_over_all_trainings(monkeypatch) -> None:
    """By hand: 8 in generation 0, then 8 of which 2 are elites, 100 samples three times; and confirmations."""
    confirmations = []
    confirm = Appraiser.confirm
    monkeypatch.setattr(
        Appraiser, "confirm", lambda *given, **options: confirmations.append(1) or confirm(*given, **options)
    )
    params = params_of()
    outcome = Experiment(params, load_task_of(params)).run()
    assert confirmations
    assert outcome.sample_passes == (3 * 8 + len(confirmations)) * 300


@pytest.mark.parametrize("settings", [{}, {"racing": 2}, {**PRUNED, "final_epochs": 2}], ids=["plain", "race", "kept"])
@pytest.mark.parametrize("after", [3, 8, 13])
def test_interruptions_count_nothing_twice(settings, after: int, tmp_path) -> None:
    params = params_of(**settings)
    task = load_task_of(params)
    expected = Experiment(params, task).run()
    stopping = Stopping(after)
    broken = Experiment(params, task, observers=[stopping], checkpoint_folder=tmp_path).run()
    assert broken.status == "interrupted" and broken.sample_passes < expected.sample_passes
    said = []

    class Listener(Observer):
        def on_message(self, text):
            said.append(text)

    again = Experiment(
        params, task, observers=[Listener()], checkpoint=Checkpoint.read_last(tmp_path), checkpoint_folder=tmp_path
    )
    outcome = again.run()
    assert (outcome.digest, outcome.sample_passes) == (expected.digest, expected.sample_passes)
    assert after % 8 == 0 or any("are done already" in text for text in said)


@pytest.mark.parametrize("settings", [{"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}])
def test_workers_have_no_say(settings) -> None:
    params = [params_of(racing=2, **one) for one in ({}, settings)]
    alone, together = (Experiment(one, load_task_of(one)).run().sample_passes for one in params)
    assert alone == together > 0


def test_a_checkpoint_that_has_not_counted_leads_to_no_number(tmp_path) -> None:
    params = params_of()
    task = load_task_of(params)
    state = Checkpoint.read_last(_checkpoints_of(params, task, tmp_path))
    assert state.sample_passes > 0
    outcome = Experiment(params, task, checkpoint=dataclasses.replace(state, sample_passes=None)).run()
    assert outcome.sample_passes is None
    assert "sample_passes" not in result_of(outcome, seed=0)


def _checkpoints_of(params, task, folder):
    Experiment(params, task, observers=[Stopping(9)], checkpoint_folder=folder).run()
    return folder


def test_records_say_how_many_there_are_so_far() -> None:
    class Records(Observer):
        def __init__(self):
            self.found = []

        def on_generation(self, record):
            self.found.append(measures_of(record)["population/sample_passes"])

    records = Records()
    params = params_of()
    outcome = Experiment(params, load_task_of(params), observers=[records]).run()
    assert len(records.found) == 3 and records.found[-1] == outcome.sample_passes
    assert all(later - earlier >= 8 * 300 for earlier, later in zip([0, *records.found], records.found, strict=False))


def test_result_files(tmp_path) -> None:
    flags = [word for name, value in SMALL.items() for word in (f"--{name}", str(value).lower())]
    assert main(["wlnn", *flags, "--out_dir", str(tmp_path / "a")]) == 0
    found = json.loads((tmp_path / "a" / "result.json").read_text())["sample_passes"]
    rows = (tmp_path / "a" / "metrics.csv").read_text().splitlines()
    assert int(float(rows[-1].split(",")[rows[0].split(",").index("population_sample_passes")])) == found

    words = ["--num_generations", "0", "--hidden_layers", "5", "--num_epochs", "3"]
    assert main(["wlnn", *words, "--out_dir", str(tmp_path / "b")]) == 0
    num_samples = len(load_task_of(load_params(None, {})).train)
    assert json.loads((tmp_path / "b" / "result.json").read_text())["sample_passes"] == 3 * num_samples

    words = ["--num_generations", "1", "--population_size", "4", "--tournament_size", "2", "--dataset", "digits"]
    assert main(["wann", *words, "--out_dir", str(tmp_path / "c")]) == 0
    assert "sample_passes" not in json.loads((tmp_path / "c" / "result.json").read_text())


def test_a_training_that_diverges_counts_the_step_in_which_it_does(monkeypatch) -> None:
    from topoevo.experiment.judging import judging_of
    from topoevo.seeds import Stream

    params = params_of(lr=1e18, optimizer="sgd", p_initial_add_node=1, p_initial_connection_enabled=0.5)
    task = load_task_of(params)
    evaluator, problem = judging_of(params, task)
    shared = problem.shared(Stream.SHARED, 0)
    counts = []
    for index, genome in enumerate(Experiment(params, task).genomes):
        found = evaluator.evaluate(genome, shared, stream=Stream.LEARNING, generation=0, index=index)
        num_taken = shared.epochs.size - found.num_saved
        sizes = shared.batches.sizes[shared.epochs.ravel()[:num_taken]]
        assert found.sample_passes == sizes.sum()
        counts.append(found.sample_passes)
    assert np.min(counts) < 300
