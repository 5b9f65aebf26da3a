"""Trainings with distorted copies: epochs no longer, every copy in its turn, and only for networks that are large."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.experiment.data import data_settings_of, load_task_of
from topoevo.experiment.founder import make_founder
from topoevo.experiment.params import load_params
from topoevo.experiment.shared_data import TaskData
from topoevo.experiment.training import Training
from topoevo.seeds import Stream

from .informed import Said, params_of


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("copies", "batch_size"), [(0, 64), (1, 64), (2, 50), (5, 1000), (2, 4000), (2, 5000)])
def test_epochs_share_the_copies(copies: int, batch_size: int, shuffle: bool) -> None:
    params = load_params(None, {"distorted_copies": copies, "batch_size": batch_size, "shuffle": shuffle})
    task = load_task_of(params)
    data = TaskData(task, batch_size, 6, 1000, 0, shuffle)
    shared = data.shared(Stream.SHARED, 0)
    assert shared.epochs.shape == (6, data.batches_an_epoch)
    sizes = shared.batches.sizes[shared.epochs]
    assert (sizes.sum(axis=1) == data.samples_an_epoch).all()
    assert abs(data.samples_an_epoch - 1347) <= (batch_size if copies else 0) or batch_size > 1347
    # All minibatches have had their turn when those that are first come again.
    order = shared.epochs.ravel()
    num_batches = len(shared.batches.sizes)
    for start in range(0, len(order) - num_batches + 1, num_batches):
        assert sorted(order[start : start + num_batches]) == list(range(num_batches))
    used = np.concatenate([shared.order[batch * batch_size : (batch + 1) * batch_size] for batch in set(order)])
    assert len(set(used.tolist())) == len(used)
    if copies == 0:
        assert len(used) == 1347
    elif (1 + copies) * 1347 > batch_size:
        # What is left out fills no minibatch.
        assert (1 + copies) * 1347 - len(shared.order) < batch_size


def test_the_final_training_has_copies_and_those_held_out() -> None:
    params = params_of(final_epochs=3, final_samples="all", distorted_copies=2, num_generations=1)
    task = load_task_of(params)
    final = TaskData.from_params(params, task).shared(Stream.CONFIRMATION, 1, num_epochs=3)
    assert len(final.samples) == len(task.train) + len(task.validation)
    assert final.epochs.shape == (3, -(-(task.num_originals + len(task.validation)) // 64))


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
    assert said.outcome.sample_passes == sum(steps) == 7 * 27 * 50


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
    assert len(task.train) == (1 + expected) * task.num_originals
