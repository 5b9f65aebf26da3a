"""Runs that are led by evidence: budgets kept, weights and rewards that are what they say, restarts to the byte."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.experiment.data import load_task_of
from topoevo.experiment.evaluators import DIVERGED
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import make_founder
from topoevo.experiment.judging import judging_of
from topoevo.experiment.training import Training
from topoevo.kernels import load_kernel
from topoevo.seeds import Stream

from .informed import Said, evaluated, params_of, populations


def test_everybody_stays_within_the_budget() -> None:
    generations, _ = populations(params_of())
    for population in generations:
        assert {member.genome.complexity.connections for member in population.members} <= set(range(30, 61))
        for member in population.members:
            member.genome.validate()
            assert len(member.evaluation.weights) == len(member.genome.connections)
            assert member.evaluation.removed is None
    assert any("grow_connection" in member.operators for member in generations[-1].members)


@pytest.mark.parametrize("reward_data", ["validation", "both"])
def test_the_reward_is_the_loss_of_the_weights_that_are_passed_on(reward_data: str) -> None:
    genomes, found, problem, task, _, shared = evaluated(params_of(reward_data=reward_data))
    kernel = load_kernel("numba")
    for genome, evaluation in zip(genomes, found, strict=True):
        remaining = genome.with_only(~evaluation.removed).with_weights(evaluation.weights[~evaluation.removed])
        expected = problem.score("validation", remaining, kernel).reward
        if reward_data == "both":
            from topoevo.network import compile_network

            network = compile_network(remaining)
            outputs = kernel.outputs(network, network.weight, shared.probed)
            on_probe = -task.score(outputs, task.train.targets[shared.probe]).loss
            expected = (expected + on_probe) / 2
        assert evaluation.reward == pytest.approx(expected, rel=1e-5)


def test_elites_that_are_not_trained_keep_weights_and_reward() -> None:
    (_, first, second), _ = populations(params_of())
    before = {member.id: member for member in first.members}
    kept = [member for member in second.members if member.id in before]
    assert len(kept) == 2
    for member in kept:
        old = before[member.id]
        assert member.reward == old.reward
        assert member.evaluation.weights.tobytes() == old.evaluation.weights.tobytes()
        assert member.evaluation.evidence is not None


def test_elites_that_are_trained_change() -> None:
    (_, first, second), _ = populations(params_of(train_elites=True))
    before = {member.id: member for member in first.members}
    kept = [member for member in second.members if member.id in before]
    assert kept and all(member.reward != before[member.id].reward for member in kept)


def test_the_champion_has_the_weights_that_were_judged() -> None:
    generations, experiment = populations(params_of(reward_data="validation"))
    champion = experiment._championship.champion
    assert champion.validation.reward == pytest.approx(
        max(member.reward for population in generations for member in population.members), rel=1e-5
    )


def test_learning_rates_are_spread_evenly_on_a_logarithmic_scale(monkeypatch) -> None:
    genomes, _, _, _, evaluator, shared = evaluated(params_of(lr=0.01, lr_spread=10))
    rates = []
    score = type(evaluator)._score
    monkeypatch.setattr(
        type(evaluator),
        "_score",
        lambda self, learner, *rest: rates.append(learner.optimization.lr) or score(self, learner, *rest),
    )
    for index in range(30):
        evaluator.evaluate(genomes[0], shared, stream=Stream.LEARNING, generation=1, index=index + 10)
    evaluator.evaluate(genomes[0], shared, stream=Stream.CONFIRMATION, generation=1, index=1)
    assert rates.pop() == 0.01, "a final training has the rate of the settings"
    assert 0.001 <= min(rates) < 0.004 and 0.025 < max(rates) <= 0.1
    assert abs(np.mean(np.log10(rates)) + 2) < 0.3


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_nearly_infinite_are_nothing_to_warn_of() -> None:
    settings = {"lr": 1e18, "activations": ("tanh",), "p_merge_nodes": 1, "p_grow_node": 1}
    generations, _ = populations(params_of(**settings))
    failures = {member.evaluation.failure for population in generations for member in population.members}
    assert failures <= {None, DIVERGED} and None in failures


@pytest.mark.parametrize("rule", ["feedback_alignment", "direct_feedback_alignment", "hebbian", "last_layer"])
def test_every_rule_with_evidence_grows_and_prunes(rule: str) -> None:
    generations, _ = populations(params_of(learning_rule=rule, p_initial_connection_enabled=0.6))
    members = generations[-1].members
    assert all(20 <= member.genome.complexity.connections <= 60 for member in members)
    assert any("grow_connection" in member.operators for member in members)


def test_several_sizes_at_once() -> None:
    params = params_of(max_connections=None, front_connections=(30, 50), population_size=8, migration_every=1)
    generations, _ = populations(params)
    islands = params.islands
    for population in generations:
        for place, member in enumerate(population.members):
            limit = (30, 50)[islands.island(population.generation, place)]
            assert member.genome.complexity.connections <= limit


def test_number_of_workers_and_processes_change_nothing() -> None:
    digests = set()
    for changes in ({"num_workers": 1}, {"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}):
        generations, _ = populations(params_of(**changes), 2)
        digests.add(generations[-1].digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_connections": None}, "pruning fisher is not allowed without max_connections"),
        ({"validation_ratio": 0}, "reward_data both is not allowed with validation_ratio 0"),
        ({"reward_data": "training"}, "train_elites false is not allowed"),
        ({"inherit_weights": False}, "train_elites false is not allowed"),
        ({"initial_hidden_nodes": (8, 4)}, "initial_hidden_nodes [8, 4] is not allowed"),
        ({"initial_hidden_nodes": (8,)}, "initial_hidden_nodes [8] is not allowed"),
        ({"pruning": "none"}, "initial_networks dense is not allowed with pruning none"),
        ({"hidden_layers": (4,)}, "both say what the first"),
        ({"front_connections": (30, 50)}, "max_connections 60 is not allowed with front_connections"),
        ({"front_connections": (50, 30), "max_connections": None}, "ascending"),
        ({"front_connections": (), "max_connections": None}, "front_connections"),
        ({"num_islands": 4}, "population_size 6 is not allowed with 4 islands"),
        ({"num_islands": 3, "num_newcomers": 1}, "num_newcomers 1 is not allowed with 3 islands"),
        ({"num_islands": 6}, "must be at least 12"),
        ({"learning_rule": "metropolis"}, "pruning fisher is not allowed with learning_rule metropolis"),
        ({"shared_weights": (1.0,), "p_add_node": 1}, "initial_networks dense is not allowed with shared_weights"),
        ({"activations": ("step",)}, "activations step is not allowed with learning_rule backprop"),
        (
            {"activations": ("step",), "initial_networks": "sparse", "p_initial_add_node": 0, "p_grow_node": 1},
            "activations step is not allowed with learning_rule backprop",
        ),
    ],
)
def test_settings_that_make_no_sense_are_told(settings: dict, words: str) -> None:
    with pytest.raises(ParamsError, match=words.replace("[", r"\[").replace("]", r"\]")):
        params_of(**settings)


def test_islands_divide_nothing_without_evolution() -> None:
    for settings in ({"num_islands": 4}, {"max_connections": None, "front_connections": (30, 50, 70, 90)}):
        params = params_of(num_generations=0, **settings)
        assert params.islands.num_islands == 1
        Training(params, load_task_of(params)).step(0)


@pytest.mark.parametrize("kind", [{"p_grow_node": 1, "p_grow_connection": 0}, {}])
def test_new_nodes_feed_outputs_though_new_connections_may_not(kind: dict) -> None:
    settings = {"initial_networks": "sparse", "p_initial_add_node": 0, "output_connections": False, **kind}
    generations, _ = populations(params_of(max_connections=200, **settings), 2)
    fed = [member for member in generations[1].members if member.genome.complexity.hidden]
    assert bool(fed) == bool(kind)
    assert all("grow_node" in member.operators for member in fed)


def test_training_prunes_a_first_network_that_is_larger() -> None:
    larger = {
        "hidden_layers": (20,),
        "initial_networks": "sparse",
        "initial_hidden_nodes": None,
    }
    params = params_of(**larger)
    task = load_task_of(params)
    founder = make_founder(params, task)
    assert founder.genome.complexity.connections == 64 * 20 + 20 * 10
    said = Said()
    Experiment(params, task, founder=founder, observers=[said]).run()
    assert said.outcome.champion.individual.genome.complexity.connections == 60
    with pytest.raises(ParamsError, match="must be at most 60"):
        blind = {"p_grow_connection": 0, "p_add_connection": 1}
        make_founder(params_of(**larger, **blind, shared_weights=(1.0,), train_elites=True), task)
    with pytest.raises(ParamsError, match="must be at most 60"):
        unpruned = params_of(**larger, pruning="none", p_grow_connection=0, p_add_connection=1)
        make_founder(unpruned, task)


@pytest.mark.parametrize(("initial_epochs", "expected"), [(3, [3, 2, 2]), (None, [4, 2, 2])])
def test_only_children_are_shortened(initial_epochs: int | None, expected: list[int]) -> None:
    params = params_of(num_epochs=4, max_connection_epochs=120, initial_epochs=initial_epochs)
    _, problem = judging_of(params, load_task_of(params))
    assert [len(problem.shared(Stream.SHARED, generation).epochs) for generation in range(3)] == expected


@pytest.mark.parametrize("num_islands", [1, 2])
def test_lines_of_descent_are_followed(num_islands: int) -> None:
    generations, _ = populations(params_of(num_islands=num_islands, population_size=8), num_generations=5)
    lines = {member.id: member.id for member in generations[0].members}
    for population in generations:
        for member in population.members:
            lines.setdefault(member.id, lines[member.parents[0]] if member.parents else member.id)
            assert member.line == lines[member.id]
    assert {member.line for member in generations[-1].members} <= set(range(8))
    alive = {line // (8 // num_islands) for line in (member.line for member in generations[-1].members)}
    assert alive == set(range(num_islands))
