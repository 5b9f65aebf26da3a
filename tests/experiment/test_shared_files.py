"""Files through which processes share samples: written once, found by all, and gone in the end."""

from __future__ import annotations

import mmap
import tempfile

import numpy as np
import pytest

from topoevo.errors import WorkerError
from topoevo.experiment.data import load_task_of
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import Params
from topoevo.experiment.workers import shared_files
from topoevo.seeds import Stream


@pytest.mark.parametrize("has_room", [True, False])
def test_samples_travel_once_and_leave_nothing_behind(has_room, tmp_path, monkeypatch):
    """Files of all sizes lie in memory if there is room; conditions of later generations refer to the same samples."""
    folders = tmp_path / "memory", tmp_path / "disk"
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(shared_files, "_IN_MEMORY", folders[0])
    monkeypatch.setattr(shared_files, "_LEFT_TO_OTHERS", 0 if has_room else 2**60)
    monkeypatch.setattr(tempfile, "tempdir", str(folders[1]))
    params = Params(dataset="digits", num_samples=50, num_epochs=1)
    _, problem = judging_of(params, load_task_of(params))
    files = shared_files.SharedFiles()
    paths, mapped = {}, set()
    for generation in range(3):
        shared = problem.shared(Stream.SHARED, generation)
        path = files.write("evaluator", shared)
        assert files.write("evaluator", shared) == path
        evaluator, read = shared_files.read(path)
        assert evaluator == "evaluator" and path.parents[1] == folders[0 if has_room else 1]
        np.testing.assert_array_equal(read.order, shared.order)
        np.testing.assert_array_equal(read.samples.inputs, shared.samples.inputs)
        np.testing.assert_array_equal(read.samples.targets, shared.samples.targets)
        memory = read.samples.inputs
        while isinstance(memory, np.ndarray):
            memory = memory.base
        assert isinstance(memory, mmap.mmap) and not read.samples.inputs.flags.writeable
        mapped.add(read.samples)
        paths[generation] = {one for folder in folders for one in folder.rglob("*") if one.is_file()}
        assert len(paths[generation]) == 3
    assert len(set.intersection(*paths.values())) == 2 and len(mapped) == 1
    files.remove()
    assert not [one for folder in folders for one in folder.iterdir()]


def test_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_files, "_IN_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files = shared_files.SharedFiles()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    params = Params(dataset="digits", num_samples=50, num_epochs=1)
    _, problem = judging_of(params, load_task_of(params))
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(WorkerError, match=r"^samples cannot be handed to worker processes: .*No space left on device"):
        files.write("evaluator", problem.shared(Stream.SHARED, 0))
    files.remove()
    assert not list(tmp_path.iterdir())
