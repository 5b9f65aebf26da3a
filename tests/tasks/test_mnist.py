"""MNIST and Fashion-MNIST from files: where they are looked for, what is refused, and what is kept."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from topoevo.errors import TaskError
from topoevo.tasks import DataSettings, load_task
from topoevo.tasks.mnist import FILES, Mnist


@pytest.fixture(autouse=True)
def no_mirrors(monkeypatch):
    monkeypatch.setattr(Mnist, "mirrors", ())


def load(folder, **changes):
    options = {"image_size": changes.pop("image_size")} if "image_size" in changes else None
    said: list[str] = []
    return load_task(DataSettings("mnist", data_dir=str(folder), **changes), said.append, options=options), said


def is_mapped(array) -> bool:
    return isinstance(array, np.memmap) or (isinstance(array, np.ndarray) and is_mapped(array.base))


def test_small_files(small_files):
    folder, arrays = small_files
    task, said = load(folder)
    assert (task.num_inputs, task.num_outputs, len(task.train), len(task.test)) == (256, 10, 60, 20)
    assert task.train.targets.tolist() == arrays[FILES[1]].tolist()
    assert task.provenance["sha256"].keys() == set(FILES)
    assert len(said) == 2
    again, said = load(folder)
    assert said == []  # prepared images come from the cache
    assert again.train.inputs.tobytes() == task.train.inputs.tobytes()


def test_published_size_is_only_divided(small_files):
    folder, arrays = small_files
    task, _ = load(folder, image_size=28)
    np.testing.assert_allclose(task.train.inputs, arrays[FILES[0]].reshape(60, 784) / 255, atol=1e-7)


def test_changed_images_are_prepared_anew(small_files):
    folder, _ = small_files
    before, _ = load(folder)
    other = gzip.decompress((folder / FILES[0]).read_bytes())
    (folder / FILES[0]).write_bytes(other[:-1] + bytes([other[-1] ^ 255]))  # also: unpacked under a packed name
    after, said = load(folder)
    assert len(said) == 1
    assert before.train.inputs[:-1].tobytes() == after.train.inputs[:-1].tobytes()
    assert before.train.inputs[-1].tobytes() != after.train.inputs[-1].tobytes()


@pytest.mark.parametrize("rename", ["{}", "{}.gz"])
@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
def test_places_and_names(small_files, tmp_path, place, rename):
    folder, _ = small_files
    target = tmp_path / "elsewhere" / place
    target.mkdir(parents=True)
    for name in FILES:
        (target / rename.format(name.removesuffix(".gz"))).write_bytes(gzip.decompress((folder / name).read_bytes()))
    assert load(tmp_path / "elsewhere")[0].num_inputs == 256


def test_cache_of_files_is_used_without_data_dir(small_files, cache):
    folder, _ = small_files
    (cache / "mnist").mkdir(parents=True)
    for name in FILES:
        (folder / name).rename(cache / "mnist" / name)
    assert len(load_task(DataSettings("mnist")).train) == 60


def test_validation_samples_leave_the_training_set(small_files):
    task, _ = load(small_files[0], validation_ratio=0.5, input_scaling="center")
    assert (len(task.train), len(task.validation)) == (30, 30)
    assert np.bincount(task.validation.targets).tolist() == [3] * 10


@pytest.mark.parametrize("image_size", [3, 29])
def test_image_size_out_of_range(small_files, image_size):
    with pytest.raises(TaskError, match="image_size"):
        load(small_files[0], image_size=image_size)


def test_no_such_folder(tmp_path):
    with pytest.raises(TaskError, match="data_dir: there is no folder"):
        load(tmp_path / "nowhere")


def test_incomplete_folder_names_what_is_missing(small_files):
    folder, _ = small_files
    (folder / FILES[1]).unlink()
    with pytest.raises(TaskError, match=FILES[1]):
        load(folder)


def test_offline_says_which_files_to_put_where(tmp_path, cache):
    tmp_path.joinpath("empty").mkdir()
    with pytest.raises(TaskError) as caught:
        load(tmp_path / "empty")
    for text in (*FILES, str(cache / "mnist"), "data_dir"):
        assert text in str(caught.value)


def test_truncated_file_is_named(small_files):
    folder, _ = small_files
    (folder / FILES[2]).write_bytes((folder / FILES[2]).read_bytes()[:-100])
    with pytest.raises(TaskError, match=f"{FILES[2]}: is truncated"):
        load(folder)


def test_images_and_labels_must_be_as_many(small_files):
    folder, _ = small_files
    (folder / FILES[1]).write_bytes((folder / FILES[3]).read_bytes())
    with pytest.raises(TaskError, match=r"has 60 images, but .* has 20 labels"):
        load(folder)


def test_label_out_of_range(small_files):
    folder, _ = small_files
    content = gzip.decompress((folder / FILES[3]).read_bytes())
    (folder / FILES[3]).write_bytes(content[:-1] + b"\x0a")
    with pytest.raises(TaskError, match="has label 10, expected 0 to 9"):
        load(folder)


def test_unwritable_cache_is_no_error(small_files, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOPOEVO_CACHE", str(tmp_path / "file"))
    task, said = load(small_files[0])
    assert len(said) == 4 and len(task.train) == 60
    assert len([words for words in said if words.startswith("warning: ")]) == 2


def test_broken_cache_is_replaced(small_files, cache):
    before, _ = load(small_files[0])
    expected = before.train.inputs.tobytes()
    for path in (cache / "prepared").iterdir():
        path.unlink()  # not truncated in place: `before` has it mapped
        path.write_bytes(b"\x93NUMPY broken")
    after, said = load(small_files[0])
    assert len(said) == 2
    assert after.train.inputs.tobytes() == expected
    assert not list((cache / "prepared").glob("*.part"))


def test_real_files(real_data):
    task = load_task(DataSettings("mnist", data_dir=str(real_data / "mnist")))
    assert (len(task.train), len(task.test), task.num_inputs) == (60_000, 10_000, 256)
    assert np.bincount(task.test.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert task.provenance["sha256"] == dict(Mnist.hashes)
    assert is_mapped(task.train.inputs)  # and so shared by all workers
    # Mean of all training pixels as OpenCV 5.0 computes them.
    assert task.train.inputs.mean(dtype=float) == pytest.approx(0.13055500539206352, abs=1e-7)


def test_files_of_the_other_data_set_are_refused(real_data):
    with pytest.raises(TaskError, match="is a file of mnist, not of fashion-mnist"):
        load_task(DataSettings("fashion-mnist", data_dir=str(real_data / "mnist")))
    with pytest.raises(TaskError, match="is a file of fashion-mnist, not of mnist"):
        load_task(DataSettings("mnist", data_dir=str(real_data / "fashion-mnist")))


def test_real_fashion(real_data):
    task = load_task(DataSettings("fashion_mnist", data_dir=str(real_data)))
    assert np.bincount(task.train.targets).tolist() == [6000] * 10
    assert task.output_names[9] == "Ankle boot"
