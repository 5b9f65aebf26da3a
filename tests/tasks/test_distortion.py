"""Distorted copies: as strong as they are said to be, the same in every run, and of training images alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from topoevo.errors import TaskError
from topoevo.tasks import DATASETS, DataSettings, load_task
from topoevo.tasks.base import AUGMENTATION
from topoevo.tasks.distortion import VERSION, distorted
from topoevo.tasks.mnist import Mnist


def places(size: int, strength: float, number: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Return from where pixels are read: distorted images whose grey values are their rows, or their columns."""
    rows, columns = np.mgrid[:size, :size].astype(float)
    return tuple(
        distorted(np.broadcast_to(ramp, (number, size, size)), strength, copy=3) - ramp for ramp in (rows, columns)
    )


@pytest.mark.parametrize(("size", "strength"), [(28, 0.1), (28, 1.0), (56, 0.5)])
def test_pixels_are_moved_as_far_as_is_said(size, strength):
    vertical, horizontal = places(size, strength)
    middle = size // 2
    offsets = [(0, 0), (size // 4, 0), (0, size // 4), (-size // 4, size // 4)]
    if strength == 0.1:
        # Near edges and corners, too, whence nothing is read from outside with such a strength.
        offsets += [(2 - middle, 2 - middle), (0, 2 - middle), (middle - 3, middle - 3)]
    for moved, along in ((vertical, 0), (horizontal, 1)):
        for offset in offsets:
            place = middle + offset[0], middle + offset[1]
            from_center = np.array(place) - (size - 1) / 2
            turned, stretched = from_center[1 - along] * np.deg2rad(6), from_center[along] * 0.06
            shifted, bent = size * 0.4 / 28, size * 0.7 / 28
            expected = strength * np.sqrt(turned**2 + stretched**2 + shifted**2 + bent**2)
            found = moved[:, place[0], place[1]]
            # 1,500 numbers tell their deviation within 1.8 %, and the mean of what is not linear is small.
            assert found.std() == pytest.approx(expected, rel=0.07), (along, offset)
            assert abs(found.mean()) < 0.15 * expected


def test_neighbors_move_together():
    vertical, _ = places(28, 1.0)
    one, near, far = (vertical[:, 14, column] for column in (6, 7, 22))
    assert np.corrcoef(one, near)[0, 1] > 0.95
    # Along a row, what turns moves both ends against each other.
    assert np.corrcoef(one, far)[0, 1] < 0.2


def test_hardly_any_strength_changes_hardly_anything():
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    np.testing.assert_allclose(distorted(images, 1e-9, copy=0), images, atol=1e-4)


def test_a_copy_is_the_same_whoever_else_is_there():
    images = np.random.default_rng(0).random((1300, 8, 8))
    whole = distorted(images, 1.0, copy=0)
    np.testing.assert_array_equal(distorted(images[:1000], 1.0, copy=0), whole[:1000])
    np.testing.assert_array_equal(distorted(images, 1.0, copy=0), whole)
    assert not np.allclose(distorted(images, 1.0, copy=1), whole)
    assert not np.allclose(distorted(images[:1], 1.0, copy=0), distorted(images[-1:], 1.0, copy=0))


def test_only_training_images_have_copies_and_nothing_else_changes():
    flags = {"seed": 4, "validation_ratio": 0.3, "input_scaling": "standardize"}
    plain = load_task(DataSettings("digits", **flags))
    task = load_task(DataSettings("digits", **flags, distorted_copies=2, distortion=1e-9))
    number = len(plain.train)
    assert (plain.num_copies, plain.learned) == (0, plain.train) and plain.augmented is None
    assert (task.num_copies, len(task.learned)) == (2, 3 * number)
    for copy in range(3):
        rows = slice(copy * number, (copy + 1) * number)
        np.testing.assert_allclose(task.learned.inputs[rows], plain.train.inputs, atol=1e-3)
        np.testing.assert_array_equal(task.learned.targets[rows], plain.train.targets)
    for part in ("train", "validation", "test"):
        assert getattr(task, part).inputs.tobytes() == getattr(plain, part).inputs.tobytes()
        assert getattr(task, part).targets.tobytes() == getattr(plain, part).targets.tobytes()
    assert np.shares_memory(task.train.inputs, task.learned.inputs)
    assert task.input_scale.tobytes() == plain.input_scale.tobytes()
    facts = {"distorted_copies": 2, "distortion": 1e-9, "version": VERSION}
    assert task.provenance == {**plain.provenance, AUGMENTATION: facts}
    assert task.description.startswith(f"{number} training (and 2 distorted copies of each), ")
    far = load_task(DataSettings("digits", distorted_copies=1))
    moved = far.learned.inputs[len(far.train) :] - far.train.inputs
    assert 0.06 < np.abs(moved).mean() < 0.2


def test_targets_of_a_regression_belong_to_their_copies(monkeypatch):
    sine = DATASETS["sine"]
    read = sine.read

    def distorting(self, settings, on_progress):
        raw = read(self, settings, on_progress)
        return dataclasses.replace(raw, distort=lambda strength, copy: raw.inputs + 0.001 * (1 + copy))

    monkeypatch.setattr(sine, "read", distorting)
    task = load_task(DataSettings("sine", distorted_copies=2, input_scaling="none"))
    number = len(task.train)
    for copy in range(3):
        rows = slice(copy * number, (copy + 1) * number)
        np.testing.assert_allclose(task.learned.inputs[rows] - task.train.inputs, 0.001 * copy, atol=1e-6)
        np.testing.assert_array_equal(task.learned.targets[rows], task.train.targets)


def test_a_distortion_of_another_shape_is_told(monkeypatch):
    digits = DATASETS["digits"]
    read = digits.read
    monkeypatch.setattr(
        digits,
        "read",
        lambda self, *given: dataclasses.replace(read(self, *given), distort=lambda strength, copy: np.zeros((3, 64))),
    )
    with pytest.raises(TaskError, match=r"distort has made \(3, 64\) of inputs of shape \(1797, 64\)"):
        load_task(DataSettings("digits", distorted_copies=1))


@pytest.mark.parametrize("image_size", [16, 28])
def test_copies_of_files_are_kept(small_files, monkeypatch, image_size):
    monkeypatch.setattr(Mnist, "mirrors", ())
    folder, _ = small_files
    said: list[str] = []

    def load(**changes):
        settings = DataSettings("mnist", data_dir=str(folder), distorted_copies=2, **changes)
        return load_task(settings, said.append, options={"image_size": image_size})

    first = load()
    assert len([text for text in said if text.startswith("distorting 60 images of mnist")]) == 2
    said.clear()
    again = load()
    assert said == [] and again.learned.inputs.tobytes() == first.learned.inputs.tobytes()
    assert first.learned.inputs.shape == (180, image_size**2)
    stronger = load(distortion=2.0)
    assert len(said) == 2
    assert stronger.train.inputs.tobytes() == first.train.inputs.tobytes()
    assert stronger.learned.inputs[60:].tobytes() != first.learned.inputs[60:].tobytes()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (DataSettings("sine", distorted_copies=1), "has no images to distort"),
        (DataSettings("digits", distorted_copies=-1), "must be 0 to 20"),
        (DataSettings("digits", distorted_copies=21), "must be 0 to 20"),
        (DataSettings("digits", distorted_copies=1, distortion=0.0), r"must be in \(0, 10\]"),
        (DataSettings("digits", distortion=float("nan")), r"must be in \(0, 10\]"),
    ],
)
def test_what_makes_no_sense_is_told(settings, words):
    with pytest.raises(TaskError, match=words):
        load_task(settings)
