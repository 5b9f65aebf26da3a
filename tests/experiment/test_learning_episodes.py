"""Networks that learn in environments: rewards and champions, same bytes for any workers and across a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from topoevo.experiment import learning_episodes
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.idle import find_idle
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.learning import LEARNING_RULES
from topoevo.network import compile_network
from topoevo.rollouts import RolloutError, roll_out
from topoevo.seeds import Stream

ROOT = Path(__file__).resolve().parents[2]
SWING_UP = {
    "env_name": "CartPoleSwingUp",
    "num_generations": 3,
    "population_size": 8,
    "tournament_size": 3,
    "elite_ratio": 0.25,
    "p_initial_connection_enabled": 0.5,
    "num_trials": 2,
    "num_confirmation_trials": 3,
    "num_test_trials": 4,
    "num_epochs": 2,
    "inherit_weights": True,
    "weight_init": "he",
    "test_every": 0,
}
RULES = {
    "evolution_strategy": {"learning_rule": "evolution_strategy", "evolution_strategy_num_candidates": 4, "lr": 0.1},
    "metropolis": {"learning_rule": "metropolis", "metropolis_num_proposals": 2, "metropolis_sigma": 0.2},
    "none": {"learning_rule": "none", "p_mutate_weights": 1.0},
}


class Listener(Observer):
    """Keep what is announced."""

    def __init__(self):
        self.records, self.champions, self.failures, self.outcome = [], [], [], None

    def on_generation(self, record):
        self.records.append(record)

    def on_champion(self, champion):
        self.champions.append(champion)

    def on_failure(self, failure):
        self.failures.append(failure.individual)

    def on_end(self, outcome):
        self.outcome = outcome

    @property
    def digests(self):
        return [record.digest for record in self.records]


def run(rule, *, checkpoint=None, folder=None, **changes):
    listener = Listener()
    params = load_params(None, {**SWING_UP, **RULES[rule], **changes})
    task = load_task_of(params)
    Experiment(params, task, observers=[listener], checkpoint=checkpoint, checkpoint_folder=folder).run()
    return listener


@pytest.fixture(scope="module")
def runs():
    return {rule: run(rule) for rule in RULES}


def episodes_of(rule, stream, generation):
    params = load_params(None, {**SWING_UP, **RULES[rule]})
    task = load_task_of(params)
    return task, judging_of(params, task)[1].shared(stream, generation)


def mean_return(task, genome, weights, seeds):
    network = compile_network(genome.with_weights(weights))
    return roll_out(task, network, network.weight[np.newaxis], seeds.tolist()).returns.mean()


@pytest.mark.parametrize("rule", RULES)
def test_workers_change_nothing(rule, runs):
    threads = run(rule, num_workers=2)
    assert runs[rule].digests == threads.digests
    assert len(set(threads.digests)) == 3
    assert runs[rule].outcome.champion.test == threads.outcome.champion.test


def test_processes_change_nothing(runs):
    processes = run("evolution_strategy", num_workers=2, joblib_backend="loky")
    assert runs["evolution_strategy"].digests == processes.digests


@pytest.mark.parametrize("rule", RULES)
def test_a_resumed_run_equals_the_uninterrupted_one(rule, tmp_path, runs):
    first = run(rule, folder=tmp_path, num_generations=2)
    second = run(rule, checkpoint=Checkpoint.read_last(tmp_path), folder=tmp_path)
    assert first.digests + second.digests == runs[rule].digests
    ours, theirs = second.outcome.champion, runs[rule].outcome.champion
    assert (ours.train, ours.test) == (theirs.train, theirs.test)
    assert ours.individual.genome.digest == theirs.individual.genome.digest


@pytest.mark.parametrize("rule", RULES)
def test_a_reward_is_that_of_the_learned_weights_on_the_episodes_of_the_generation(rule, runs):
    for record in runs[rule].records:
        task, shared = episodes_of(rule, Stream.SHARED, record.generation)
        assert len(shared.seeds) == 2 and shared.unseen is None
        for member in record.population.members:
            found = member.evaluation
            assert found.reward == found.best_reward == mean_return(task, member.genome, found.weights, shared.seeds)


@pytest.mark.parametrize("rule", RULES)
def test_a_champion_learns_where_its_generation_does_and_is_judged_elsewhere(rule, runs):
    champion = runs[rule].outcome.champion
    task, shared = episodes_of(rule, Stream.CONFIRMATION, champion.generation)
    _, met = episodes_of(rule, Stream.SHARED, champion.generation)
    assert shared.seeds.tolist() == met.seeds.tolist()
    assert len(shared.unseen) == 3 and not set(shared.unseen.tolist()) & set(met.seeds.tolist())
    _, other = episodes_of(rule, Stream.CONFIRMATION, champion.generation + 1)
    assert other.unseen.tolist() == shared.unseen.tolist()
    genome = champion.individual.genome
    assert champion.train.reward == mean_return(task, genome, genome.connections["weight"], shared.unseen)
    assert champion.train.best_reward is None and champion.test.best_reward is None


@pytest.mark.parametrize("rule", RULES)
def test_learned_weights_are_passed_on_and_improved(rule, runs):
    """A child or elite starts from what its parent has learned; a rule that learns nothing leaves it at that."""
    first, second = (record.population.members for record in runs[rule].records[:2])
    by_id = {member.id: member for member in first}
    elites = [member for member in second if member.born == 0]
    assert len(elites) == 2
    for elite in elites:
        learned = by_id[elite.id].evaluation.weights
        assert elite.genome.connections["weight"].tobytes() == learned.tobytes()
        assert (elite.evaluation.weights.tobytes() == learned.tobytes()) == (rule == "none")


def test_weights_that_evolve_are_drawn_once_and_then_kept(runs):
    """Also in a champion: with others it would be another network."""
    for record in runs["none"].records:
        for member in record.population.members:
            before, after = member.genome.connections["weight"], member.evaluation.weights
            network = compile_network(member.genome)
            kept = ~np.isnan(before)
            assert before[kept].tobytes() == after[kept].tobytes()
            assert not np.isnan(after[network.gene]).any()
    champion = runs["none"].outcome.champion.individual
    assert champion.genome.connections["weight"].tobytes() == champion.evaluation.weights.tobytes()
    mutated = [m for r in runs["none"].records[1:] for m in r.population.members if "mutate_weights" in m.operators]
    assert mutated


def test_weights_that_evolve_on_samples_are_kept_too():
    listener = Listener()
    params = load_params(None, {
        **RULES["none"], "inherit_weights": True, "num_generations": 2, "population_size": 6, "tournament_size": 2,
        "num_epochs": 1,
    })  # fmt: skip
    Experiment(params, load_task_of(params), observers=[listener]).run()
    champion = listener.outcome.champion.individual
    assert champion.genome.connections["weight"].tobytes() == champion.evaluation.weights.tobytes()
    assert champion.evaluation.reward == pytest.approx(listener.outcome.champion.train.reward, rel=1e-5)


@pytest.mark.parametrize("file", sorted((ROOT / "params" / "wlnn").glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_files_for_environments_say_nothing_without_effect(file):
    params = load_params(file, {})
    if params.env_name is not None:
        assert find_idle(params) == []
        assert LEARNING_RULES[params.learning_rule].changes_weights or params.p_mutate_weights > 0


def test_without_inheritance_topologies_are_judged_with_new_weights():
    listener = run("none", inherit_weights=False, p_mutate_weights=0.0)
    champion = listener.outcome.champion.individual
    assert champion.genome.connections["weight"].tobytes() != champion.evaluation.weights.tobytes()


def test_learning_raises_returns():
    """Selection apart: the same networks with the same initial weights, on the same episodes."""
    settings = {"bias": True, "output_activation": "tanh", "p_initial_connection_enabled": 1.0, "num_epochs": 15}
    candidates = {"evolution_strategy_num_candidates": 16, "evolution_strategy_sigma": 0.2}
    before, after = (
        run("evolution_strategy", num_generations=1, lr=lr, **candidates, **settings) for lr in (1e-9, 0.2)
    )
    rewards = [[m.evaluation.reward for m in listener.records[0].population.members] for listener in (before, after)]
    assert np.mean(rewards[1]) > np.mean(rewards[0]) + 50


def test_an_environment_that_fails_costs_one_individual(monkeypatch):
    def sometimes(environment, network, weights, seeds, *, kernel_name):
        if network.num_edges % 2:
            raise RolloutError("nothing to see")
        return roll_out(environment, network, weights, seeds, kernel_name=kernel_name)

    monkeypatch.setattr(learning_episodes, "roll_out", sometimes)
    listener = run("metropolis")
    assert listener.outcome.status == "finished"
    assert listener.failures
    assert all(compile_network(member.genome).num_edges % 2 for member in listener.failures)
    assert {member.evaluation.failure for member in listener.failures} == {"nothing to see"}


def test_weights_that_become_infinite_cost_one_individual(monkeypatch):
    follow = LEARNING_RULES["none"].follow

    def explode(self, objective, network, weights, **settings):
        weights = follow(self, objective, network, weights, **settings)
        weights[0] = np.inf if network.num_edges % 2 else weights[0]
        return weights

    monkeypatch.setattr(LEARNING_RULES["none"], "follow", explode)
    listener = run("none")
    assert listener.outcome.status == "finished"
    assert listener.failures
