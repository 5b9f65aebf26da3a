"""Children of every size of a front learn for as many epochs as they would alone, raced or not, wherever."""

from __future__ import annotations

import dataclasses
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from topoevo.evolution.islands import Islands
from topoevo.evolution.racing import Racing
from topoevo.experiment.data import load_task_of
from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.idle import epochs_of_sizes
from topoevo.experiment.judging import judging_of
from topoevo.experiment.replaying import evaluated_again
from topoevo.experiment.shared_data import SharedData, TaskData
from topoevo.experiment.workers import Workers
from topoevo.seeds import Stream

from .informed import Said, params_of

SIZES = (30, 45, 60)
#: 12 epochs for 30 connections, 8 for 45, 6 for 60.
UNLIKE = {
    "max_connections": None,
    "front_connections": SIZES,
    "num_epochs": 15,
    "max_connection_epochs": 360,
    "batch_size": 100,
    "population_size": 12,
    "elite_ratio": 0.25,
    "migration_every": 0,
}


def alone(params, size: int):
    """Return the settings of a run for one of the sizes, which has as many individuals as there are in all."""
    return params.model_copy(update={"front_connections": None, "max_connections": size})


def steps(shared: SharedData, place: int) -> list[bytes]:
    """Return the inputs of every minibatch of a training, in its order."""
    return [shared.batches.inputs[batch].tobytes() for batch in shared.epochs_of(place).ravel()]


@pytest.mark.parametrize("copies", [0, 2])
@pytest.mark.parametrize("num_samples", [None, 300])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_size_learns_from_what_it_would_learn_from_alone(shuffle: bool, num_samples: int | None, copies: int) -> None:
    params = params_of(**UNLIKE, shuffle=shuffle, num_samples=num_samples, distorted_copies=copies)
    task = load_task_of(params)
    whole = TaskData.from_params(params, task)
    for generation, expected in ((0, (3, 3, 3)), (1, (12, 8, 6)), (10**9 - 1, (12, 8, 6))):
        shared = whole.shared(Stream.SHARED, generation)
        assert tuple(len(shared.epochs_of(place)) for place in range(3)) == expected
        for place, size in enumerate(SIZES):
            lonely = TaskData.from_params(alone(params, size), task).shared(Stream.SHARED, generation)
            assert steps(shared, place) == steps(lonely, 0)
    final = whole.shared(Stream.CONFIRMATION, 5, num_epochs=4)
    assert [len(final.epochs_of(place)) for place in range(3)] == [4, 4, 4]


@pytest.mark.parametrize(
    "settings", [{"max_connection_epochs": None}, {"front_connections": None, "max_connections": 60}]
)
def test_where_all_sizes_have_the_same_nothing_is_said_of_them(settings) -> None:
    params = params_of(**{**UNLIKE, **settings})
    shared = TaskData.from_params(params, load_task_of(params)).shared(Stream.SHARED, 1)
    assert shared.epochs_by_size == () and shared.num_steps == (shared.epochs.size,)
    assert shared.epochs_of(2) is shared.epochs
    assert epochs_of_sizes(params) == []


def test_the_user_is_told_how_long_each_size_learns() -> None:
    params = params_of(**{**UNLIKE, "front_connections": (20, 24, 60)}, final_epochs=1)
    said = Said()
    Experiment(params, load_task_of(params), observers=[said]).run()
    assert "epochs of children: 15 at 20, 24 connections; 6 at 60 connections" in said.messages


def test_another_process_is_given_the_same() -> None:
    params = params_of(**UNLIKE)
    shared = TaskData.from_params(params, load_task_of(params)).shared(Stream.SHARED, 1)
    other: SharedData = pickle.loads(pickle.dumps(shared))
    assert other.num_steps == shared.num_steps == tuple(epochs * shared.epochs.shape[1] for epochs in (12, 8, 6))
    assert [steps(other, place) for place in range(3)] == [steps(shared, place) for place in range(3)]


@pytest.mark.parametrize("generation", [0, 1])
def test_a_child_has_the_training_it_would_have_alone(generation: int) -> None:
    params = params_of(**UNLIKE)
    task = load_task_of(params)
    evaluator, problem = judging_of(params, task)
    shared = problem.shared(Stream.SHARED, generation)
    genomes = Experiment(params, task).genomes
    for place, size in enumerate(SIZES):
        index = params.islands.members(generation, place)[-1]
        judge, data = judging_of(alone(params, size), task)
        address = {"stream": Stream.LEARNING, "generation": generation, "index": index}
        found = evaluator.evaluate(genomes[index], shared, **address)
        expected = judge.evaluate(genomes[index], data.shared(Stream.SHARED, generation), **address)
        assert found.failure is None and found.reward == expected.reward
        assert found.weights.tobytes() == expected.weights.tobytes()
        assert found.sample_passes == expected.sample_passes


def test_a_champion_is_confirmed_with_the_epochs_of_its_size() -> None:
    params = params_of(**UNLIKE)
    evaluator, problem = judging_of(params, load_task_of(params))
    assert isinstance(evaluator, DatasetEvaluator)

    def place(num_connections: int) -> int:
        network = SimpleNamespace(from_bias=np.arange(num_connections + 7) >= num_connections)
        return evaluator._place(network, Stream.CONFIRMATION, 1, 0)

    assert [place(number) for number in (1, 30, 31, 45, 46, 60, 61, 500)] == [0, 0, 1, 1, 2, 2, 2, 2]
    shared = problem.shared(Stream.CONFIRMATION, 1)
    genome = Experiment(params, load_task_of(params)).genomes[0]
    pruned = evaluator.evaluate(genome, problem.shared(Stream.SHARED, 0), stream=Stream.LEARNING, generation=0, index=0)
    small = genome.with_weights(pruned.weights).with_only(~pruned.removed)
    assert small.complexity.connections == 30
    found = evaluator.evaluate(small, shared, stream=Stream.CONFIRMATION, generation=1, index=0)
    assert found.sample_passes == 12 * len(problem.task.train)


def generations(params, number: int):
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params, lambda line: None) as workers:
        return [experiment.step(workers) for _ in range(number)]


def test_workers_change_nothing() -> None:
    params = params_of(**UNLIKE)
    plain = generations(params, 3)
    for change in ({"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}):
        found = generations(params.model_copy(update=change), 3)
        assert [one.digest for one in found] == [one.digest for one in plain]
        assert [m.evaluation.reward for m in found[2].population.members] == [
            m.evaluation.reward for m in plain[2].population.members
        ]


def test_a_race_is_as_long_as_the_trainings_of_its_size() -> None:
    """Whoever finishes has the bits of a training without a race; who is stopped, is replayed to the same rung."""
    params = params_of(**{**UNLIKE, "population_size": 24}, racing=2, racing_rungs=3)
    task = load_task_of(params)
    experiment = Experiment(params, task)
    with Workers.from_params(params, lambda line: None) as workers:
        experiment.step(workers)
        genomes = experiment.genomes
        record = experiment.step(workers)
    evaluator, problem = judging_of(params, task)
    shared = problem.shared(Stream.SHARED, 1)
    island = {place: params.islands.island(1, place) for place in range(params.islands.total_elites, 24)}
    assert record.saving.num_steps == sum(shared.num_steps[one] for one in island.values())
    stops = {0: {place: -(-length // 4) for place, length in enumerate(shared.num_steps)}}
    stops[1] = {place: -(-length // 2) for place, length in enumerate(shared.num_steps)}
    rungs = []
    for index, size in island.items():
        found = record.population.members[index].evaluation
        rungs.append(found.rung)
        if found.rung is None:
            address = {"stream": Stream.LEARNING, "generation": 1, "index": index}
            expected = evaluator.evaluate(genomes[index], shared, **address)
            assert found.reward == expected.reward and found.sample_passes == expected.sample_passes
        else:
            assert found.num_saved == shared.num_steps[size] - stops[found.rung][size]
        again = evaluated_again(
            genomes[index],
            params,
            task,
            stream=Stream.LEARNING,
            generation=1,
            index=index,
            rung=found.rung,
            say=lambda line: None,
        )
        assert (again.reward, again.rung) == (found.reward, found.rung)
    assert sorted(map(str, rungs)) == ["0"] * 9 + ["1"] * 6 + ["None"] * 3


def test_a_size_that_is_trained_for_few_steps_is_raced_as_it_would_be_alone() -> None:
    """Three rungs of 3 steps are two: nobody is stopped twice at the same step."""
    settings = {**UNLIKE, "front_connections": (30, 360), "num_epochs": 12, "batch_size": 512, "population_size": 24}
    params = params_of(**settings, racing=3, racing_rungs=3)
    shared = TaskData.from_params(params, load_task_of(params)).shared(Stream.SHARED, 1)
    assert shared.num_steps == (36, 3)
    members = generations(params, 2)[1].population.members
    islands = params.islands
    children = [place for place in islands.members(1, 1) if place >= islands.total_elites]
    assert sum(members[place].evaluation.rung is None for place in children) == len(children) // 3
    assert {members[place].evaluation.rung for place in children} == {None, 0}


def test_trainings_of_several_lengths_have_as_many_rungs() -> None:
    racing = Racing(2, 3, Islands(2, 4, 1))
    assert racing.rungs((400,)) == [(100,), (200,), (400,)]
    assert racing.rungs((400, 80)) == [(100, 20), (200, 40), (400, 80)]
    assert racing.rungs((400, 2, 1)) == [(100, 1, 1), (200, 2, 1), (400, 2, 1)], "too short for three rungs"
    assert dataclasses.replace(racing, rate=3).stops(3) == [1, 3]
