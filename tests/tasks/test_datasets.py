"""From a name to a task: sizes, splits and scaling of the built-in data sets, and wrong settings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from topoevo.errors import TopoevoError, UnknownNameError
from topoevo.tasks import DATASETS, DataSettings, load_task


def test_digits():
    task = load_task(DataSettings("digits"))
    assert (task.num_inputs, task.num_outputs, task.kind, task.loss) == (64, 10, "classification", "cross_entropy")
    assert len(task.train) + len(task.test) == 1797
    assert task.validation is None
    assert task.train.inputs.min() == 0 and task.train.inputs.max() == 1
    counts = np.bincount(task.test.targets) / np.bincount(np.concatenate([task.train.targets, task.test.targets]))
    assert (np.abs(counts - 0.25) < 0.01).all()


def test_sine():
    task = load_task(DataSettings("sine"))
    assert (task.num_inputs, task.num_outputs, task.kind, task.loss) == (1, 1, "regression", "mean_squared_error")
    assert len(task.train) == len(task.test) == 1000
    for samples in (task.train, task.test):
        np.testing.assert_allclose(samples.targets, np.sin(4 * np.pi * samples.inputs.astype(float)), atol=1e-6)
    np.testing.assert_allclose(np.diff(task.test.inputs[:, 0]), 1 / 999, atol=1e-7)
    assert 0.45 < task.train.inputs.mean() < 0.55


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_the_test_set_does_not_depend_on_the_seed_but_the_validation_set_does(name):
    first, second = (load_task(DataSettings(name, seed=seed, validation_ratio=0.2)) for seed in (1, 2))
    again = load_task(DataSettings(name, seed=1, validation_ratio=0.2))
    assert first.test.inputs.tobytes() == second.test.inputs.tobytes()
    assert first.validation.inputs.tobytes() == again.validation.inputs.tobytes()
    assert first.validation.inputs.tobytes() != second.validation.inputs.tobytes()
    whole = load_task(DataSettings(name))
    assert len(first.train) + len(first.validation) == len(whole.train)


def test_parts_share_no_sample():
    task = load_task(DataSettings("digits", validation_ratio=0.2))
    parts = [{row.tobytes() for row in part.inputs} for part in (task.train, task.validation, task.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797  # no two of the images are the same


@pytest.mark.parametrize("scaling", ["center", "standardize"])
def test_scaling_is_fitted_on_the_training_samples_alone(scaling):
    task = load_task(DataSettings("digits", validation_ratio=0.3, input_scaling=scaling))
    np.testing.assert_allclose(task.train.inputs.mean(axis=0, dtype=float), 0, atol=1e-6)
    assert np.abs(task.validation.inputs.mean(axis=0)).max() > 1e-3
    assert np.abs(task.test.inputs.mean(axis=0)).max() > 1e-3
    if scaling == "standardize":
        deviation = task.train.inputs.std(axis=0, dtype=float)
        assert ((np.abs(deviation - 1) < 1e-5) | (deviation == 0)).all()


def test_provenance_is_json_and_counts():
    task = load_task(DataSettings("digits", seed=3, validation_ratio=0.2, input_scaling="center"))
    provenance = json.loads(json.dumps(task.provenance))
    assert provenance["dataset"] == "digits"
    assert provenance["num_train"] == len(task.train)
    assert provenance["num_validation"] == len(task.validation)
    assert provenance["num_test"] == len(task.test)
    assert (provenance["split_seed"], provenance["input_scaling"]) == (3, "center")


def test_every_registered_name_is_found_by_its_class():
    for name, dataset in DATASETS.items():
        assert dataset.is_file or dataset.handles(name)
    assert DATASETS["fashion-mnist"].handles("fashion_mnist")


def test_unknown_name_suggests_the_closest():
    with pytest.raises(UnknownNameError, match=r"'digit'; did you mean 'digits'.*<path>.csv"):
        load_task(DataSettings("digit"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_ratio": 1.0}, "validation_ratio: 1.0"),
        ({"validation_ratio": -0.1}, "validation_ratio"),
        ({"test_ratio": 0.0}, "test_ratio: 0.0"),
        ({"input_scaling": "centre"}, "did you mean 'center'"),
        ({"task_type": "regresion"}, "did you mean 'regression'"),
        ({"task_type": "regression"}, "is a classification"),
        ({"target_column": "y"}, "target_column: only a table"),
        ({"test_file": "x.csv"}, "test_file: only a table"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(TopoevoError, match=message):
        load_task(DataSettings("digits", **changes))
