"""Training without evolution: exact across a restart for every rule, honest scores, and networks that fit."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.experiment import training as training_module
from topoevo.experiment.data import load_task_of
from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import make_founder
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.experiment.scoring import score_outputs
from topoevo.experiment.shared_data import TaskData
from topoevo.experiment.training import Training
from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.genome.dense import dense_genome
from topoevo.kernels import Batches, load_kernel
from topoevo.learning import LEARNING_RULES
from topoevo.network import compile_network
from topoevo.seeds import Stream, generator

SMALL = {
    "num_generations": 0,
    "hidden_layers": (7, 4),
    "activations": ("tanh",),
    "num_epochs": 3,
    "batch_size": 100,
    "validation_ratio": 0.1,
    "weight_init": "he",
    "bias": True,
}
#: What a rule needs to be shown at work in three epochs of twelve steps.
OPTIONS = {
    "evolution_strategy": {"evolution_strategy_num_candidates": 4},
    "metropolis": {"metropolis_target_acceptance": 0.4, "metropolis_num_proposals": 3},
    "hebbian": {"hebbian_variant": "sanger"},
}


class Listener(Observer):
    """Keep what is announced; ask for a stop at one step."""

    def __init__(self, stop_at=None):
        self.records, self.steps, self.training, self.stop_at = [], [], None, stop_at

    def on_start(self, run):
        self.training = run

    def on_step(self, epoch, done, total):
        self.steps.append((epoch, done, total))
        if (epoch, done) == self.stop_at:
            self.training.stop("enough")

    def on_epoch(self, record):
        self.records.append(record)

    @property
    def digests(self):
        return [record.digest for record in self.records]


@pytest.fixture(scope="module")
def task():
    return load_task_of(load_params(None, SMALL))


def run(task, *, folder=None, go_on=False, stop_at=None, **changes):
    params = load_params(None, {**SMALL, **changes})
    listener = Listener(stop_at)
    training = Training(
        params,
        task,
        founder=None if go_on else make_founder(params, task),
        observers=[listener],
        checkpoint=TrainingCheckpoint.read_last(folder) if go_on else None,
        checkpoint_folder=folder,
    )
    return training.run(), listener


def same(outcome, other):
    ours, theirs = outcome.champion, other.champion
    assert (outcome.digest, outcome.epochs) == (other.digest, other.epochs)
    assert (ours.train, ours.validation, ours.test) == (theirs.train, theirs.validation, theirs.test)
    return ours.individual.genome.digest == theirs.individual.genome.digest


@pytest.mark.parametrize("rule", LEARNING_RULES)
def test_a_resumed_training_equals_the_uninterrupted_one(task, tmp_path, rule, monkeypatch):
    monkeypatch.setattr(training_module, "_EPOCHS_A_LAYOUT", 2)
    how = {"learning_rule": rule, "optimizer": "adam", **OPTIONS.get(rule, {})}
    whole, all_epochs = run(task, **how)
    _, first = run(task, folder=tmp_path, num_epochs=1, **how)
    second, rest = run(task, folder=tmp_path, go_on=True, **how)
    assert first.digests + rest.digests == all_epochs.digests
    assert len(set(all_epochs.digests)) == (1 if rule == "none" else 3)
    assert [record.loss for record in first.records + rest.records] == [one.loss for one in all_epochs.records]
    assert same(second, whole)


def test_a_stop_gives_up_the_epoch_and_nothing_else(task, tmp_path):
    how = {"learning_rule": "metropolis", "lr_schedule": "cosine"}
    whole, _ = run(task, **how)
    stopped, listener = run(task, folder=tmp_path, stop_at=(1, 6), checkpoint_every=100, **how)
    assert (stopped.status, stopped.reason, stopped.epochs) == ("interrupted", "enough", 1)
    assert stopped.digest == listener.digests[0] == stopped.champion.individual.genome.digest
    assert same(run(task, folder=tmp_path, go_on=True, **how)[0], whole)


def test_an_average_survives_a_stop(task, tmp_path):
    how = {"weight_averaging": 0.6}
    plain, without = run(task)
    whole, listener = run(task, **how)
    assert listener.digests[:-1] == without.digests[:-1], "steps do not notice"
    assert listener.digests[-1] == whole.digest == whole.champion.individual.genome.digest != plain.digest
    last = listener.records[-1]
    assert (last.validation, last.test) == (whole.champion.validation, whole.champion.test)
    stopped, _ = run(task, folder=tmp_path, stop_at=(2, 6), checkpoint_every=100, **how)
    assert (stopped.status, stopped.epochs) == ("interrupted", 2)
    assert TrainingCheckpoint.read_last(tmp_path).memory["num_summed"] > 0
    assert same(run(task, folder=tmp_path, go_on=True, **how)[0], whole)


def test_a_stop_in_the_first_epoch_leaves_no_network_but_can_go_on(task, tmp_path):
    outcome, _ = run(task, folder=tmp_path, stop_at=(0, 4))
    assert (outcome.status, outcome.epochs, outcome.champion, outcome.digest) == ("interrupted", 0, None, "")
    assert same(run(task, folder=tmp_path, go_on=True)[0], run(task)[0])


def test_it_is_one_learner_that_sees_every_sample_once_an_epoch_in_a_new_order(task, monkeypatch):
    """Here every second epoch has new minibatches; the others have those of the epoch before in another order."""
    monkeypatch.setattr(training_module, "_EPOCHS_A_LAYOUT", 2)
    params = load_params(None, SMALL)
    outcome, listener = run(task)
    network = compile_network(make_founder(params, task).genome)
    evaluator = DatasetEvaluator.from_params(params, task)
    learner = evaluator.start(network, generator(params.seed, Stream.LEARNING), 0)
    orders = []
    for epoch in range(3):
        shared = TaskData(task, params.batch_size, 2, 1000, params.seed).shared(Stream.SHARED, epoch // 2)
        assert sorted(shared.order.tolist()) == list(range(len(task.train)))
        order = shared.epochs[epoch % 2][None]
        assert sorted(order[0].tolist()) == list(range(13))
        orders.append((shared.order.tobytes(), order.tobytes()))
        history = learner.train(shared.batches, order)
        assert listener.records[epoch].loss == history.mean("integral")[0]
        assert listener.records[epoch].accuracy == history.mean("integral")[1]
    assert orders[0][0] == orders[1][0] != orders[2][0] and orders[0][1] != orders[1][1]
    weights = outcome.champion.individual.genome.connections["weight"][network.gene]
    assert weights.tobytes() == learner.weights.tobytes()


def test_scores_are_those_of_the_weights_after_the_epoch(task):
    outcome, listener = run(task)
    genome = outcome.champion.individual.genome
    network = compile_network(genome)
    for part in ("train", "validation", "test"):
        samples = getattr(task, part)
        batches = Batches.lay_out(samples.inputs, samples.targets, batch_size=77)
        outputs = load_kernel("reference").outputs(network, network.weight, batches)
        expected = score_outputs(task, outputs, samples)
        found = getattr(outcome.champion, part)
        assert found.accuracy == expected.accuracy
        assert found.reward == pytest.approx(expected.reward, rel=1e-5)
    last = listener.records[-1]
    assert (last.validation, last.test) == (outcome.champion.validation, outcome.champion.test)
    assert listener.records[0].test.reward < last.test.reward


def test_steps_are_announced_until_the_epoch_is_done(task):
    _, listener = run(task, num_epochs=2)
    for epoch in (0, 1):
        done = [step for number, step, _ in listener.steps if number == epoch]
        assert done == sorted(set(done)) and done[-1] == listener.steps[0][2] == 13


def test_a_loss_that_is_not_finite_ends_the_training_with_the_last_good_weights(task, monkeypatch):
    def spoil(listener, record):
        listener.records.append(record)
        if record.epoch == 2:
            listener.training._learner.weights[3] = np.nan

    monkeypatch.setattr(Listener, "on_epoch", spoil)
    outcome, listener = run(task)
    assert outcome.status == "failed" and "in epoch 3" in outcome.reason and "max_grad_norm" in outcome.reason
    assert (outcome.epochs, len(listener.records)) == (2, 2)
    assert outcome.champion.test == listener.records[1].test
    assert outcome.digest == outcome.champion.individual.genome.digest


def test_without_a_founder_it_is_the_first_network_of_evolution(task):
    how = {"hidden_layers": None, "p_initial_connection_enabled": 0.3, "seed": 5}
    evolution = Experiment(load_params(None, {**SMALL, **how, "num_generations": 1, "final_epochs": 0}), task)
    outcome, _ = run(task, **how)
    expected, found = evolution._next.members[0].genome, outcome.champion.individual.genome
    assert found.nodes.tobytes() == expected.nodes.tobytes()
    for column in ("source", "target", "enabled"):
        assert found.connections[column].tobytes() == expected.connections[column].tobytes()


def test_evolution_begins_with_the_founder_and_its_mutated_copies(task):
    params = load_params(None, {**SMALL, "num_generations": 1, "population_size": 12, "tournament_size": 3})
    founder = make_founder(params, task)
    members = Experiment(params, task, founder=founder)._next.members
    assert members[0].genome.digest == founder.genome.digest and members[0].operators == ()
    highest = founder.genome.connections["innovation"].max()
    for member in members[1:]:
        member.genome.validate()
        assert len(member.operators) == 1
        old = member.genome.connections[member.genome.connections["innovation"] <= highest]
        assert old["source"].tobytes() == founder.genome.connections["source"].tobytes()
        assert len(member.genome.connections) > len(old) or (~old["enabled"]).any()
    assert len({member.genome.digest for member in members}) > 6


def network_of(task, *, hidden=(3,), activation="relu", output="linear", weight=0.5):
    genome = dense_genome(task.num_inputs, hidden, task.num_outputs, activation=activation, output_activation=output)
    return genome.with_weights(np.full(len(genome.connections), weight, np.float32))


def test_weights_of_a_network_file_are_kept_only_if_inherited(task):
    for inherit in (True, False):
        how = {"hidden_layers": None, "network": "a.json", "inherit_weights": inherit, "learning_rule": "none"}
        params = load_params(None, {**SMALL, **how, "optimizer": "none"})
        founder = make_founder(params, task, network_of(task))
        assert bool(np.isnan(founder.genome.connections["weight"]).all()) is not inherit
        assert ("with its weights" in founder.words) is inherit
        outcome = Training(params, task, founder=founder).run()
        kept = outcome.champion.individual.genome.connections["weight"] == np.float32(0.5)
        assert bool(kept.all()) is inherit and bool(kept.any()) is inherit


@pytest.mark.parametrize(
    ("changes", "network", "message"),
    [
        ({}, lambda task: dense_genome(5, [], 10), "a.json has 5 input nodes, digits needs 64"),
        ({}, lambda task: dense_genome(64, [], 3), "a.json has 3 output nodes, digits needs 10"),
        ({}, lambda task: network_of(task, activation="step"), "step is not allowed with learning_rule backprop"),
        ({"learning_rule": "hebbian"}, lambda task: network_of(task, output="step"), "output_activation step is not"),
        ({"num_generations": 3, "max_connections": 9}, network_of, "a.json has 222 connections, max_connections is 9"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(task, changes, network, message):
    params = load_params(None, {**SMALL, "hidden_layers": None, "network": "a.json", **changes})
    with pytest.raises(ParamsError, match=message):
        make_founder(params, task, network(task))


def test_a_network_without_slopes_is_trained_by_rules_that_need_none(task):
    for rule in ("evolution_strategy", "metropolis", "last_layer"):
        params = load_params(None, {**SMALL, "hidden_layers": None, "network": "a.json", "learning_rule": rule})
        assert make_founder(params, task, network_of(task, activation="step")) is not None


def test_only_the_loop_that_is_needed_is_prepared(task, monkeypatch):
    prepared = []
    monkeypatch.setattr(training_module, "prepare_compiled", lambda kernel, say, loops: prepared.append(loops))
    for rule in ("metropolis", "backprop"):
        training = Training(load_params(None, {**SMALL, "learning_rule": rule}), task)
        training.step(0)
        training.step(1)
    assert prepared == [("train_by_proposals",), ("train",)]


@pytest.mark.parametrize("limit", [{}, {"num_generations": 1, "max_connections": 100}])
def test_layers_that_are_too_large_are_refused(task, limit):
    params = load_params(None, {**SMALL, "hidden_layers": (10**6,), **limit})
    with pytest.raises(ParamsError, match=f"74000000 connections .* at most {100 if limit else 500000}"):
        make_founder(params, task)
