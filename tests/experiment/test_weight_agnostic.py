"""Weight-agnostic networks in the loop: what a reward is, same bytes for any workers and across a restart."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.kernels import Batches, load_kernel
from topoevo.network import compile_network
from topoevo.rollouts import roll_out
from topoevo.seeds import Stream

WEIGHTS = (-2.0, -0.5, 1.0)
DATA = {
    "num_generations": 4,
    "population_size": 12,
    "tournament_size": 3,
    "p_complexity_objective": 0.5,
    "shared_weights": WEIGHTS,
    "batch_size": 200,
    "validation_ratio": 0.1,
}
SWING_UP = {
    "num_generations": 3,
    "population_size": 8,
    "tournament_size": 3,
    "env_name": "CartPoleSwingUp",
    "p_initial_connection_enabled": 0.5,
    "num_trials": 2,
    "num_confirmation_trials": 3,
    "num_test_trials": 4,
}


class Listener(Observer):
    """Keep what is announced."""

    def __init__(self):
        self.records, self.outcome = [], None

    def on_generation(self, record):
        self.records.append(record)

    def on_end(self, outcome):
        self.outcome = outcome

    @property
    def digests(self):
        return [record.digest for record in self.records]


def params_of(settings, **changes):
    return load_params(None, {**settings, **changes}, family="wann")


def run(settings, *, checkpoint=None, folder=None, **changes):
    listener = Listener()
    params = params_of(settings, **changes)
    task = load_task_of(params)
    Experiment(params, task, observers=[listener], checkpoint=checkpoint, checkpoint_folder=folder).run()
    assert listener.outcome.status == "finished"
    return listener


@pytest.fixture(scope="module")
def digits_run():
    return run(DATA)


@pytest.fixture(scope="module")
def swing_up_run():
    return run(SWING_UP)


@pytest.mark.parametrize("settings", [DATA, SWING_UP], ids=["data", "environment"])
@pytest.mark.parametrize("workers", [{"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}])
def test_workers_change_nothing(settings, workers, digits_run, swing_up_run):
    one = digits_run if settings is DATA else swing_up_run
    two = run(settings, **workers)
    assert one.digests == two.digests
    assert one.outcome.champion.test == two.outcome.champion.test


@pytest.mark.parametrize("settings", [DATA, SWING_UP], ids=["data", "environment"])
def test_a_resumed_run_equals_the_uninterrupted_one(settings, tmp_path, digits_run, swing_up_run):
    whole = digits_run if settings is DATA else swing_up_run
    first = run(settings, folder=tmp_path, num_generations=2)
    second = run(settings, checkpoint=Checkpoint.read_last(tmp_path), folder=tmp_path)
    assert first.digests + second.digests == whole.digests
    ours, theirs = second.outcome.champion, whole.outcome.champion
    assert (ours.train, ours.validation, ours.test) == (theirs.train, theirs.validation, theirs.test)
    assert ours.train.best_reward is not None and ours.test.best_reward is not None


def outputs_of(kernel, network, weight, batches):
    """Outputs with one weight on all edges."""
    return kernel.outputs(network, np.full(network.num_edges, weight, np.float32), batches)


def cross_entropy(outputs, labels):
    """Mean of -log softmax by its definition, in float64."""
    values = outputs.astype(np.float64)
    return float(np.mean(np.log(np.exp(values).sum(axis=0)) - values[labels, np.arange(len(labels))]))


def test_a_reward_is_the_mean_over_shared_weights_on_the_samples_of_the_generation(digits_run):
    params = params_of(DATA)
    task = load_task_of(params)
    _, problem = judging_of(params, task)
    kernel = load_kernel("reference")
    for record in digits_run.records[:2]:
        shared = problem.shared(Stream.SHARED, record.generation)
        assert len(shared.order) == 200
        labels = task.train.targets[shared.order]
        for member in record.population.members[:4]:
            network = compile_network(member.genome)
            outputs = [outputs_of(kernel, network, weight, shared.batches) for weight in WEIGHTS]
            rewards = [-cross_entropy(one, labels) for one in outputs]
            best = int(np.argmax(rewards))
            found = member.evaluation
            assert found.reward == pytest.approx(np.mean(rewards), rel=1e-4)
            assert found.best_reward == pytest.approx(rewards[best], rel=1e-4)
            assert found.accuracy == pytest.approx(np.mean(outputs[best].argmax(axis=0) == labels), abs=0.011)
            assert set(found.weights.tolist()) == {WEIGHTS[best]}


def test_a_champion_is_confirmed_on_all_training_samples(digits_run):
    task = load_task_of(params_of(DATA))
    champion = digits_run.outcome.champion
    network = compile_network(champion.individual.genome)
    (carried,) = set(network.weight.tolist())
    kernel = load_kernel("reference")
    for part in ("validation", "test", "train"):
        samples, score = getattr(task, part), getattr(champion, part)
        batches = Batches.lay_out(samples.inputs, samples.targets, batch_size=500)
        rewards = {
            weight: -cross_entropy(outputs_of(kernel, network, weight, batches), samples.targets) for weight in WEIGHTS
        }
        assert score.reward == pytest.approx(np.mean(list(rewards.values())), rel=1e-4)
        assert score.best_reward == pytest.approx(rewards[carried], rel=1e-4)
    assert carried == max(rewards, key=rewards.get)


def test_generations_are_ranked_by_mean_and_best_or_by_mean_and_size(digits_run):
    pairs = {record.objectives for record in run(DATA, num_generations=8).records}
    assert pairs == {("reward", "best_reward"), ("reward", "simplicity_with_biases")}
    assert {r.objectives for r in run(DATA, p_complexity_objective=0.0).records} == {("reward", "best_reward")}
    without_bias = run(DATA, p_complexity_objective=1.0, bias=False)
    assert {record.objectives for record in without_bias.records} == {("reward", "simplicity")}


def test_everyone_meets_the_same_episodes_and_champions_meet_fresh_ones(swing_up_run):
    params = params_of(SWING_UP)
    task = load_task_of(params)
    _, problem = judging_of(params, task)
    seen = [problem.shared(Stream.SHARED, generation).seeds.tolist() for generation in range(3)]
    fresh = problem.shared(Stream.CONFIRMATION, 0).seeds.tolist()
    assert len({tuple(one) for one in seen}) == 3 and not {seed for one in seen for seed in one} & set(fresh)
    assert fresh == problem.shared(Stream.CONFIRMATION, 2).seeds.tolist() and len(fresh) == 3
    for record in swing_up_run.records:
        for member in record.population.members[:3]:
            returns = roll_out(
                task,
                compile_network(member.genome),
                np.array(params.shared_weights, np.float32),
                seen[record.generation],
                kernel_name="reference",
            ).returns.mean(axis=1)
            # Episodes of a thousand steps come apart after rounding; most stay together.
            assert member.evaluation.reward == pytest.approx(returns.mean(), rel=0.2, abs=5)
    champion = swing_up_run.outcome.champion
    network = compile_network(champion.individual.genome)
    returns = roll_out(task, network, np.array(params.shared_weights, np.float32), fresh).returns.mean(axis=1)
    assert champion.train.reward == pytest.approx(returns.mean())
    assert champion.train.best_reward == pytest.approx(returns.max())


def test_a_bias_that_evolves_is_like_an_input():
    record = run(DATA, p_initial_connection_enabled=0.5, num_generations=1).records[0]
    biases = [member.genome.complexity.biases for member in record.population.members]
    # 10 outputs, each fed with probability 1/2.
    assert 2 < np.mean(biases) < 8 and len(set(biases)) > 1
