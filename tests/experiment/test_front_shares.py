"""Every size of a front learns as it would alone: for as many epochs, and from as many distorted copies."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from topoevo.evolution.islands import Islands
from topoevo.evolution.racing import Racing
from topoevo.experiment.data import load_task_of
from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.judging import judging_of
from topoevo.experiment.replaying import evaluated_again
from topoevo.experiment.shared_data import SharedData, TaskData
from topoevo.experiment.workers import Workers
from topoevo.reporting.network_facts import facts_of
from topoevo.seeds import Stream

from .informed import Said, params_of

SIZES = (30, 45, 60)
#: 12 epochs for 30 connections, 8 for 45, 6 for 60; copies for the largest alone, or for all but the smallest.
UNLIKE = {
    "max_connections": None,
    "front_connections": SIZES,
    "num_epochs": 15,
    "max_connection_epochs": 360,
    "distorted_copies": 2,
    "batch_size": 100,
    "population_size": 12,
    "elite_ratio": 0.25,
    "migration_every": 0,
}


def alone(params, size: int):
    """Return the settings of a run for one of the sizes, which has as many individuals as there are in all."""
    return params.model_copy(update={"front_connections": None, "max_connections": size})


def arrays(batches) -> list[bytes]:
    return [np.ascontiguousarray(one).tobytes() for one in (batches.inputs, batches.targets, batches.sizes)]


@pytest.mark.parametrize("num_samples", [None, 300])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("distorted_from", [0, 45, 60, 61])
def test_a_size_is_given_what_it_would_be_given_alone(distorted_from: int, shuffle: bool, num_samples) -> None:
    params = params_of(**UNLIKE, distorted_from=distorted_from, shuffle=shuffle, num_samples=num_samples)
    whole = TaskData.from_params(params, load_task_of(params))
    for generation in (0, 1, 2):
        shared = whole.shared(Stream.SHARED, generation)
        for place, size in enumerate(SIZES):
            part = shared.share(place)
            lonely = TaskData.from_params(alone(params, size), load_task_of(alone(params, size)))
            expected = lonely.shared(Stream.SHARED, generation)
            assert shared.num_steps[place if len(shared.num_steps) > 1 else 0] == expected.epochs.size
            assert part.epochs.shape == expected.epochs.shape
            for name in ("batches", "probed", "held_out_batches"):
                if shuffle or name != "batches":
                    assert arrays(getattr(part, name)) == arrays(getattr(expected, name)), (name, size)
            if shuffle:
                assert part.epochs.tobytes() == expected.epochs.tobytes()


def test_layouts_are_made_once_for_all_sizes_and_not_at_all_where_nothing_is_computed() -> None:
    params = params_of(**UNLIKE, distorted_from=60)
    shared = TaskData.from_params(params, load_task_of(params)).shared(Stream.SHARED, 1)
    assert shared.num_steps == tuple(epochs * shared.epochs.shape[1] for epochs in (12, 8, 6))
    assert "batches" not in shared.__dict__
    small, middle, large = (shared.share(place) for place in range(3))
    assert small.batches is middle.batches is shared.originals.batches
    assert large.batches is shared.batches and small.held_out_batches is shared.originals.held_out_batches
    assert shared.share(0) is small


@pytest.mark.parametrize(
    "settings",
    [
        {"max_connection_epochs": None, "distorted_from": 0},
        {"max_connection_epochs": None, "distorted_copies": 0},
        {"front_connections": None, "max_connections": 60},
    ],
)
def test_where_all_sizes_have_the_same_nothing_is_shared_out(settings) -> None:
    params = params_of(**{**UNLIKE, **settings})
    shared = TaskData.from_params(params, load_task_of(params)).shared(Stream.SHARED, 1)
    assert shared.shares == () and shared.originals is None
    assert shared.share(2) is shared and shared.num_steps == (shared.epochs.size,)


def test_another_process_is_given_the_same() -> None:
    params = params_of(**UNLIKE, distorted_from=45)
    shared = TaskData.from_params(params, load_task_of(params)).shared(Stream.SHARED, 1)
    other: SharedData = pickle.loads(pickle.dumps(shared))
    assert other.num_steps == shared.num_steps
    for place in range(3):
        one, same = shared.share(place), other.share(place)
        assert one.epochs.tobytes() == same.epochs.tobytes()
        assert arrays(one.batches) == arrays(same.batches) and arrays(one.probed) == arrays(same.probed)


@pytest.mark.parametrize("generation", [0, 1])
def test_a_child_has_the_training_it_would_have_alone(generation: int) -> None:
    params = params_of(**UNLIKE, distorted_from=45)
    evaluator, problem = judging_of(params, load_task_of(params))
    shared = problem.shared(Stream.SHARED, generation)
    genomes = Experiment(params, load_task_of(params)).genomes
    islands = params.islands
    for place, size in enumerate(SIZES):
        index = islands.members(generation, place)[-1]
        lonely = alone(params, size)
        judge, data = judging_of(lonely, load_task_of(lonely))
        address = {"stream": Stream.LEARNING, "generation": generation, "index": index}
        found = evaluator.evaluate(genomes[index], shared, **address)
        expected = judge.evaluate(genomes[index], data.shared(Stream.SHARED, generation), **address)
        assert found.failure is None and found.reward == expected.reward
        assert found.weights.tobytes() == expected.weights.tobytes()
        assert found.sample_passes == expected.sample_passes


def test_the_final_training_goes_by_the_size_of_a_network() -> None:
    params = params_of(**UNLIKE, distorted_from=60, final_epochs=4, final_samples="all")
    task = load_task_of(params)
    evaluator, problem = judging_of(params, task)
    assert isinstance(evaluator, DatasetEvaluator) and isinstance(problem, TaskData)
    final = problem.shared(Stream.CONFIRMATION, 3, num_epochs=4)
    assert [len(final.share(place).epochs) for place in range(3)] == [4, 4, 4]
    assert [final.share(place).num_parts for place in range(3)] == [1, 1, 3]
    assert [len(final.share(place).samples) for place in range(3)] == [1347, 1347, 3 * 1347]
    experiment = Experiment(params, task, observers=[said := Said()])
    experiment.run()
    front = said.outcome.front
    assert list(front.champions) == list(SIZES)
    for size, champion in front.champions.items():
        facts = facts_of(champion, params, task)
        has_copies = size == 60 and champion.individual.genome.complexity.connections > 45
        assert facts["data_settings"]["distorted_copies"] == (2 if has_copies else 0)
        assert ("augmentation" in facts["task"]["data"]) == has_copies


def test_workers_and_races_change_nothing() -> None:
    """Whoever finishes a race has the bits of a run without; the length of a race is that of its island."""
    settings = {**UNLIKE, "distorted_from": 45, "num_generations": 2}
    found = {}
    for name, change in {
        "plain": {},
        "threads": {"num_workers": 2},
        "processes": {"num_workers": 2, "joblib_backend": "loky"},
        "raced": {"racing": 2, "racing_rungs": 2},
    }.items():
        params = params_of(**settings, **change)
        experiment = Experiment(params, load_task_of(params))
        with Workers.from_params(params, lambda line: None) as workers:
            found[name] = [experiment.step(workers) for _ in range(2)]
    plain = found["plain"]
    for name in ("threads", "processes"):
        assert [one.digest for one in found[name]] == [one.digest for one in plain]
        assert [one.population.members[11].evaluation.reward for one in found[name]] == [
            one.population.members[11].evaluation.reward for one in plain
        ]
    raced = found["raced"][0]
    stopped = [place for place, one in enumerate(raced.population.members) if one.evaluation.rung is not None]
    assert [sum(place // 4 == island for place in stopped) for island in range(3)] == [2, 2, 2]
    for one, other in zip(raced.population.members, plain[0].population.members, strict=True):
        if one.evaluation.rung is None:
            assert one.evaluation.weights.tobytes() == other.evaluation.weights.tobytes()
    params = params_of(**settings, racing=2, racing_rungs=2)
    task = load_task_of(params)
    record = found["raced"][1]
    num_steps = TaskData.from_params(params, task).shared(Stream.SHARED, 1).num_steps
    children = range(params.islands.total_elites, 12)
    assert record.saving.num_steps == sum(num_steps[params.islands.island(1, place)] for place in children)
    for place in children:
        member = record.population.members[place]
        if member.evaluation.rung is not None:
            length = num_steps[params.islands.island(1, place)]
            assert member.evaluation.num_saved == length - -(-length // 2)
    # A replay finds the same, of whoever was stopped, too.
    for place, genome in enumerate(Experiment(params, task).genomes):
        evaluation = raced.population.members[place].evaluation
        again = evaluated_again(
            genome, params, task, stream=Stream.LEARNING, generation=0, index=place, rung=evaluation.rung,
            say=lambda line: None,
        )  # fmt: skip
        assert (again.reward, again.rung) == (evaluation.reward, evaluation.rung)


def test_trainings_of_several_lengths_have_as_many_rungs() -> None:
    racing = Racing(2, 3, Islands(2, 4, 1))
    assert racing.rungs((400,)) == [(100,), (200,), (400,)]
    assert racing.rungs((400, 80)) == [(100, 20), (200, 40), (400, 80)]
    assert racing.rungs((400, 2, 1)) == [(100, 1, 1), (200, 1, 1), (400, 2, 1)], "too short for three rungs"
