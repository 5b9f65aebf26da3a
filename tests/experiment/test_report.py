"""The report of a champion: published figures, definitions, and what is chosen apart from what is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from topoevo import load_network
from topoevo.errors import TaskError
from topoevo.experiment.report import (
    AGNOSTIC_CONDITIONS,
    Condition,
    make_report,
    random_shared_weights,
    random_weights,
)
from topoevo.experiment.report_episodes import EpisodesJudge
from topoevo.experiment.report_samples import SamplesJudge, mean_log_probabilities, vote_of
from topoevo.experiment.tuning import GRID, CmaSettings, GradientSettings
from topoevo.kernels import Batches, load_kernel
from topoevo.network import compile_network
from topoevo.rollouts import roll_out
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.environments.cartpole_swingup import CartPoleSwingUp

SWING = Path(__file__).resolve().parents[3] / "shared" / "data" / "wann" / "swing.out"
QUICK = [name for name in AGNOSTIC_CONDITIONS if name != "tuned_weights"]


@pytest.fixture(scope="module")
def digits():
    return load_task(DataSettings("digits", validation_ratio=0.2))


@pytest.fixture(scope="module")
def digits_network(evolve):
    genome = evolve(
        4, num_inputs=64, num_outputs=10, num_mutations=80, p_enabled=0.2, activations=("tanh", "gaussian", "abs")
    )
    return compile_network(genome)


@pytest.fixture(scope="module")
def swing_up(evolve):
    """Return a judge of some network."""
    network = compile_network(evolve(3, num_inputs=5, num_outputs=1, output_activation="tanh", p_enabled=1.0))
    return EpisodesJudge.make(
        CartPoleSwingUp(), network, num_trials=6, num_trials_each=2, num_generations=3, population_size=6,
        num_tuning_trials=2, kernel_name="numba",
    )  # fmt: skip


@pytest.mark.skipif(not SWING.exists(), reason="the published champion is not there")
def test_the_published_champion_is_measured_as_published():
    """Six weights 607, random shared 522, best shared 710: an independent implementation, 100 trials a weight."""
    judge = EpisodesJudge.make(CartPoleSwingUp(), load_network(SWING).network, num_trials=100, num_trials_each=25)
    report = make_report(judge, conditions=[name for name in QUICK if name != "random_weights"])
    assert report.conditions["mean_shared_weights"].mean() == pytest.approx(607, abs=15)
    assert report.conditions["random_shared_weight"].mean() == pytest.approx(522, abs=25)
    assert report.conditions["tuned_shared_weight"].mean() == pytest.approx(710, abs=15)
    assert report.conditions["tuned_shared_weight"].shared_weight == pytest.approx(0.8, abs=0.11)
    assert report.conditions["mean_shared_weights"].num_trials == 100


def test_a_seed_decides_everything(swing_up):
    first, again = (make_report(swing_up, num_draws=4) for _ in range(2))
    for name, condition in first.conditions.items():
        np.testing.assert_array_equal(condition.values["reward"], again.conditions[name].values["reward"])
    np.testing.assert_array_equal(first.curve.values["reward"], again.curve.values["reward"])
    other = make_report(swing_up, num_draws=4, seed=1, conditions=["random_weights"]).conditions["random_weights"]
    assert (other.values["reward"] != first.conditions["random_weights"].values["reward"]).any()


def test_random_weights_are_uniform_and_addressed():
    weights = random_weights(3, 50, 40)
    np.testing.assert_array_equal(random_weights(3, 20, 40), weights[:20])
    assert abs(weights).max() <= 2 and weights.mean() == pytest.approx(0, abs=0.1)
    assert weights.std() == pytest.approx(2 / np.sqrt(3), rel=0.05)
    shared = random_shared_weights(3, 100)
    # One in each hundredth of the interval, in another order.
    assert sorted(np.floor((shared + 2) * 25).astype(int)) == list(range(100))
    assert (np.diff(shared) < 0).any()


def test_nothing_is_chosen_on_the_episodes_that_are_reported(swing_up):
    assert not set(swing_up._fresh) & set(swing_up._tuning)
    tried = swing_up.score(GRID)
    best = make_report(swing_up, conditions=["tuned_shared_weight"]).conditions["tuned_shared_weight"]
    assert tried[np.float32(best.shared_weight) == GRID] == tried.max()
    weights = np.array([best.shared_weight], np.float32)
    fresh = roll_out(swing_up.environment, swing_up.network, weights, swing_up._fresh)
    np.testing.assert_array_equal(best.values["reward"], fresh.returns)


def test_a_search_in_an_environment_finds_better_weights(swing_up):
    start = np.full(swing_up.network.num_edges, 0.5, np.float32)
    tuned = replace(swing_up, cma=CmaSettings(20, 8, 2)).tune(start)
    before, after = (
        roll_out(swing_up.environment, swing_up.network, weights, swing_up._tuning).returns.mean()
        for weights in (start[np.newaxis], tuned)
    )
    assert after > before


def test_many_weights_meet_part_of_the_fresh_episodes(swing_up):
    surveyed = swing_up.survey(GRID)["reward"]
    assert surveyed.shape == (41, 2)
    np.testing.assert_array_equal(surveyed, swing_up.measure(GRID)["reward"][:, :2])


def test_weights_that_fail_are_counted_alone(evolve):
    """Outputs that overflow end the episodes of their own weights, not those of others."""
    genome = evolve(3, num_inputs=5, num_outputs=1, activations=("linear",), p_enabled=1.0)
    network = compile_network(genome)
    judge = EpisodesJudge.make(CartPoleSwingUp(), network, num_trials=2)
    weights = np.array([0.5, 3e38, 1.0], np.float32)
    condition = Condition(judge.measure(weights))
    alone = judge.measure(weights[[0, 2]])["reward"]
    assert condition.num_failed == 2
    assert "not finite" in judge.facts["first_failure"]
    np.testing.assert_array_equal(condition.values["reward"][[0, 2]], alone)
    assert condition.mean() == pytest.approx(alone.mean()) and condition.sd() == pytest.approx(alone.std())


def test_spreads_by_definition():
    condition = Condition({"reward": np.array([[1.0, 3.0], [5.0, 7.0]])})
    assert (condition.mean(), condition.sd()) == (4.0, pytest.approx(np.sqrt(5)))
    assert condition.sd_of_weights() == 2.0
    assert Condition({"reward": np.array([[1.0]])}).sd() is None


def test_a_network_that_does_not_fit_is_refused(digits, digits_network):
    with pytest.raises(TaskError, match="64 inputs and 10 outputs, but CartPoleSwingUp"):
        EpisodesJudge.make(CartPoleSwingUp(), digits_network)


# -- samples ----------------------------------------------------------------------------------------------------


def test_shared_weights_on_samples_are_those_of_the_definition(digits, digits_network):
    judge = SamplesJudge(digits, digits_network)
    found = judge.measure(np.array([0.7, -1.5], np.float32))
    each = judge.measure(np.tile(np.array([[0.7], [-1.5]], np.float32), digits_network.num_edges))
    np.testing.assert_allclose(found["reward"], each["reward"], rtol=1e-5)
    np.testing.assert_allclose(found["accuracy"], each["accuracy"], atol=1e-12)


def test_the_best_shared_weight_is_chosen_on_training_samples(digits, digits_network):
    judge = SamplesJudge(digits, digits_network)
    report = make_report(judge, conditions=["tuned_shared_weight"])
    batches = Batches.lay_out(digits.train.inputs, digits.train.targets, batch_size=500)
    right = [
        np.mean(
            load_kernel("reference")
            .outputs(digits_network, np.full(digits_network.num_edges, w, np.float32), batches)
            .argmax(0)
            == digits.train.targets
        )
        for w in GRID
    ]
    chosen = np.float32(report.conditions["tuned_shared_weight"].shared_weight)
    assert right[int(np.flatnonzero(chosen == GRID)[0])] == max(right)


def test_the_ensemble_by_definition(digits, digits_network):
    """Every weight votes with its most probable class; ties go to the larger mean log-probability."""
    weights = np.array([-2, -1, 1, 2], np.float32)
    judge = SamplesJudge(digits, digits_network)
    ensembles = judge.ensembles(weights)
    batches = Batches.lay_out(digits.test.inputs, digits.test.targets, batch_size=100)
    kernel = load_kernel("reference")
    outputs = [
        kernel.outputs(digits_network, np.full(digits_network.num_edges, w, np.float32), batches) for w in weights
    ]
    right_by_vote, right_by_mean, rewards = 0, 0, []
    for sample, target in enumerate(digits.test.targets):
        logits = np.array([one[:, sample] for one in outputs], np.float64)
        logs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).mean(axis=0)
        votes = [list(logits.argmax(axis=1)).count(c) for c in range(10)]
        winner = max(range(10), key=lambda c: (votes[c], logs[c]))
        right_by_vote += winner == target
        right_by_mean += logs.argmax() == target
        rewards.append(logs[target] - np.log(np.exp(logs).sum()))
    assert ensembles["vote"]["accuracy"][0, 0] == pytest.approx(right_by_vote / len(rewards))
    assert ensembles["log_probability"]["accuracy"][0, 0] == pytest.approx(right_by_mean / len(rewards))
    assert ensembles["log_probability"]["reward"][0, 0] == pytest.approx(np.mean(rewards), rel=1e-5)


def test_votes_of_a_worked_example():
    outputs = np.float32([[[3], [2], [0]], [[0], [2], [1]], [[0], [0], [1]]])  # each weight for another class
    means = mean_log_probabilities(outputs)
    assert vote_of(outputs, means).tolist() == [int(means[:, 0].argmax())] == [1]
    assert vote_of(outputs[[0, 0, 1]], mean_log_probabilities(outputs)).tolist() == [0]


def test_a_weight_without_finite_outputs_has_no_say(digits, digits_network):
    judge = SamplesJudge(digits, digits_network)
    alone, beside = (judge.ensembles(np.array(weights, np.float32)) for weights in ([1.0], [1e38, 1.0, 1e38]))
    assert np.isnan(judge.measure(np.array([1e38], np.float32))["accuracy"]).all()
    for way, values in alone.items():
        assert {name: one.tolist() for name, one in values.items()} == {
            name: one.tolist() for name, one in beside[way].items()
        }


def test_training_helps_on_samples_that_it_has_not_seen(digits, digits_network):
    judge = SamplesJudge(digits, digits_network, num_trainings=2, gradient=GradientSettings(num_epochs=12))
    conditions = make_report(judge, conditions=["tuned_shared_weight", "tuned_weights"]).conditions
    tuned = conditions["tuned_weights"]
    assert tuned.num_weights == 2 and tuned.sd("reward") > 0
    assert tuned.mean("accuracy") > conditions["tuned_shared_weight"].mean("accuracy") + 0.05
