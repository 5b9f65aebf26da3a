"""Trainings with distorted copies: epochs no longer, every copy in its turn, and only for networks that are large."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.experiment.data import check_task, data_settings_of, load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import make_founder
from topoevo.experiment.idle import find_idle, shared_copies
from topoevo.experiment.params import load_params
from topoevo.experiment.shared_data import TaskData
from topoevo.experiment.training import Training
from topoevo.seeds import Stream

from .informed import Said, params_of


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("generation", [0, 1, 5])
@pytest.mark.parametrize(("copies", "batch_size"), [(0, 64), (1, 64), (2, 50), (5, 1000), (2, 1347), (2, 5000)])
def test_an_epoch_has_its_part_of_the_copies(copies: int, batch_size: int, generation: int, shuffle: bool) -> None:
    params = load_params(None, {"distorted_copies": copies, "batch_size": batch_size, "shuffle": shuffle})
    task = load_task_of(params)
    number, num_epochs = len(task.train), 2 * (1 + copies)
    shared = TaskData(task, batch_size, num_epochs, 1000, 0, shuffle).shared(Stream.SHARED, generation)
    assert shared.epochs.shape == (num_epochs, -(-number // batch_size))
    assert (shared.batches.sizes[shared.epochs].sum(axis=1) == number).all()
    seen = [learned_in(shared, epoch, task.learned.inputs) for epoch in shared.epochs]
    # Each sample and each copy has its turn before any has another.
    for first in (0, 1 + copies):
        together = np.concatenate(seen[first : first + 1 + copies])
        assert sorted(together.tolist()) == list(range(len(task.learned)))


def learned_in(shared, epoch, inputs: np.ndarray) -> list[int]:
    """Return which samples the minibatches of an epoch have, by their place in what is learned from."""
    places = {row.tobytes(): place for place, row in enumerate(inputs)}
    assert len(places) == len(inputs)
    found = []
    for batch in epoch:
        size = shared.batches.sizes[batch]
        found += [places[np.ascontiguousarray(row).tobytes()] for row in shared.batches.inputs[batch][:, :size].T]
    return found


def test_without_shuffling_generations_go_on_where_the_one_before_has_ended() -> None:
    params = load_params(None, {"distorted_copies": 2, "batch_size": 64, "shuffle": False})
    task = load_task_of(params)
    data = TaskData(task, 64, 1, 1000, 0, False)
    number = len(task.train)
    for generation in range(6):
        shared = data.shared(Stream.SHARED, generation)
        version = generation % 3
        assert learned_in(shared, shared.epochs[0], task.learned.inputs) == list(
            range(version * number, (version + 1) * number)
        )


@pytest.mark.parametrize("shuffle", [True, False])
def test_as_many_samples_are_drawn_as_are_asked_for(shuffle: bool) -> None:
    params = load_params(None, {"distorted_copies": 2, "batch_size": 64, "shuffle": shuffle})
    task = load_task_of(params)
    data = TaskData(task, 64, 3, 1000, 0, shuffle, num_samples=500)
    seen = set()
    for generation in range(9):
        shared = data.shared(Stream.SHARED, generation)
        rows = [sorted(learned_in(shared, epoch, task.learned.inputs)) for epoch in shared.epochs]
        assert len(rows[0]) == len(set(rows[0])) == 500 and rows[0] == rows[1] == rows[2]
        seen |= {place // len(task.train) for place in rows[0]}
    assert seen == {0, 1, 2}


def test_more_samples_than_there_are_originals_cannot_be_drawn() -> None:
    params = load_params(None, {"distorted_copies": 2, "num_samples": 1348})
    task = load_task_of(params)
    with pytest.raises(ParamsError, match="digits has 1347 training samples"):
        check_task(params, task)


def test_the_final_training_has_what_was_held_out_as_often_as_the_rest() -> None:
    params = params_of(final_epochs=6, final_samples="all", distorted_copies=2, num_generations=1)
    task = load_task_of(params)
    final = TaskData.from_params(params, task).shared(Stream.CONFIRMATION, 1, num_epochs=6)
    number = len(task.train) + len(task.validation)
    assert (final.batches.sizes[final.epochs].sum(axis=1) == number).all()
    steps = final.epochs.ravel()
    rows = np.concatenate([final.batches.inputs[batch][:, : final.batches.sizes[batch]].T for batch in steps])
    times = Counter(row.tobytes() for row in np.ascontiguousarray(rows))
    assert {times[row.tobytes()] for row in task.validation.inputs} == {6}
    assert {times[row.tobytes()] for row in task.learned.inputs} == {2}
    assert len(rows) == 6 * number


def test_a_training_without_evolution_counts_what_it_has_seen() -> None:
    settings = {"num_generations": 0, "hidden_layers": (8,), "num_epochs": 7, "batch_size": 50, "distorted_copies": 1}
    params = load_params(None, {**settings, "dataset": "digits", "lr": 0.01})
    said, steps = Said(), []
    task = load_task_of(params)
    training = Training(params, task, founder=make_founder(params, task), observers=[said])
    train = training._learner.rule.train

    def counting(learner, batches, order):
        steps.append(int(batches.sizes[order].sum()))
        return train(learner, batches, order)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(training._learner.rule), "train", lambda self, *given: counting(*given))
        training.run()
    assert said.outcome.sample_passes == sum(steps) == 7 * 1347


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"max_connections": 59}, 0),
        ({"max_connections": 60}, 2),
        ({"max_connections": None}, 2),
        ({"max_connections": None, "front_connections": (20, 60)}, 2),
        ({"max_connections": None, "front_connections": (20, 30)}, 0),
    ],
)
def test_small_networks_learn_from_originals_alone(sizes: dict, expected: int) -> None:
    is_pruned = any(sizes.values())
    blind = {} if is_pruned else {"pruning": "none", "initial_networks": "sparse", "initial_hidden_nodes": None}
    params = params_of(distorted_copies=2, distorted_from=60, **blind, **sizes)
    assert data_settings_of(params)[0].distorted_copies == expected
    task = load_task_of(params)
    assert task.num_copies == expected


def test_sizes_that_have_copies_since_larger_ones_do_are_told() -> None:
    flags = {"max_connections": None, "front_connections": (60, 90), "distorted_copies": 2}
    (words,) = shared_copies(params_of(**flags, distorted_from=61))
    assert words.startswith("networks of 60 connections learn from distorted copies")
    assert shared_copies(params_of(**flags)) == []
    assert shared_copies(params_of(**flags, distorted_from=91)) == []
    assert shared_copies(params_of(distorted_copies=2, distorted_from=9)) == []


def test_shared_weights_learn_nothing_and_have_no_copies() -> None:
    params = load_params(None, {"distorted_copies": 2, "tournament_size": 1}, family="wann")
    assert data_settings_of(params)[0].distorted_copies == 0
    assert "distorted_copies" in [one.settings[0] for one in find_idle(params)]


@pytest.mark.parametrize("flags", [{"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}, {"racing": 2}])
def test_runs_with_copies_are_the_same_for_any_number_of_workers(flags: dict) -> None:
    settings = {"distorted_copies": 2, "num_generations": 2, "final_epochs": 2, "final_samples": "all"}
    settings |= {name: value for name, value in flags.items() if name == "racing"}
    task = load_task_of(params_of(**settings))
    outcomes = []
    for workers in ({}, {name: value for name, value in flags.items() if name != "racing"} or {"num_workers": 2}):
        said = Said()
        Experiment(params_of(**settings, **workers), task, observers=[said]).run()
        outcomes.append((said.outcome.digest, said.outcome.sample_passes, said.outcome.champion.test))
    assert outcomes[0] == outcomes[1]
    without, plain = Said(), params_of(**{**settings, "distorted_copies": 0})
    Experiment(plain, load_task_of(plain), observers=[without]).run()
    assert without.outcome.sample_passes == outcomes[0][1] or "racing" in flags
    assert without.outcome.digest != outcomes[0][0]
