"""Archives are whole or refused, whatever happens to their bytes, and are written without copies of what they hold."""

from __future__ import annotations

import errno
import io
import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from topoevo.disk import delete_partial_files, replaced_file
from topoevo.errors import CheckpointError
from topoevo.experiment.archive import read_archive, read_last_state, state_files, write_archive, write_state

META = {"format": "made", "version": 2, "text": "é", "number": 0.1}
RECORD = np.dtype([("id", np.int32), ("weight", np.float32), ("on", np.bool_)])


def records(seed, size):
    rng = np.random.default_rng(seed)
    return np.frombuffer(rng.bytes(size * RECORD.itemsize), np.uint8).copy().view(RECORD)


@pytest.fixture
def entries():
    return {
        "parts": [records(0, 3), records(1, 0), records(2, 5)],
        "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
        "scalar": np.array(0.1),
        "empty": np.zeros((0, 2), np.int64),
    }


def read(path):
    return read_archive(path, "made", 2)


def npz(path, arrays, meta=None):
    """Write an archive as numpy does, with any content."""
    if meta is not None:
        arrays = {**arrays, "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    np.savez(path, **arrays)


def test_what_was_written_is_read(tmp_path, entries):
    write_archive(tmp_path / "a.npz", entries, META)
    arrays, meta = read(tmp_path / "a.npz")
    assert meta == {"text": "é", "number": 0.1}
    assert arrays.keys() == entries.keys()
    assert arrays["parts"].tobytes() == b"".join(part.tobytes() for part in entries["parts"])
    assert arrays["parts"].dtype == RECORD and arrays["parts"].shape == (8,)
    for name in ("matrix", "scalar", "empty"):
        assert arrays[name].tobytes() == entries[name].tobytes()
        assert (arrays[name].shape, arrays[name].dtype) == (entries[name].shape, entries[name].dtype)
    # Numpy reads it, too.
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert (archive["matrix"] == entries["matrix"]).all()
    write_archive(tmp_path / "b.npz", entries, META)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "b.npz"]


def test_large_entries_are_not_copied(tmp_path):
    part, one = records(0, 20_000), np.zeros(4_000_000, np.float32)
    tracemalloc.start()
    write_archive(tmp_path / "a.npz", {"parts": [part] * 200, "one": one}, META)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.npz").stat().st_size > 50_000_000
    assert peak < 6_000_000
    arrays, _ = read(tmp_path / "a.npz")
    assert arrays["parts"][-20_000:].tobytes() == part.tobytes()


def test_every_cut_and_every_flipped_bit_is_noticed(tmp_path, entries):
    path = tmp_path / "a.npz"
    write_archive(path, entries, META)
    whole = path.read_bytes()
    expected = {name: array.tobytes() for name, array in read(path)[0].items()}, read(path)[1]
    refused = 0
    rng = np.random.default_rng(0)
    cuts = [whole[:length] for length in range(0, len(whole), 37)]
    flips = []
    for place in rng.choice(len(whole), 400, replace=False):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        flips.append(bytes(changed))
    for content in cuts + flips:
        path.write_bytes(content)
        try:
            arrays, meta = read(path)
        except CheckpointError:
            refused += 1
        else:
            # Dates and versions of packers in the directory mean nothing.
            assert ({name: array.tobytes() for name, array in arrays.items()}, meta) == expected
    assert refused > 0.8 * len(cuts + flips)


def test_a_checksum_is_compared_where_that_of_the_packer_is_right(tmp_path, entries):
    write_archive(tmp_path / "a.npz", entries, META)
    with np.load(tmp_path / "a.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    changed = {**arrays, "matrix": arrays["matrix"] + 1}
    np.savez(tmp_path / "b.npz", **changed)
    with pytest.raises(CheckpointError, match="'matrix' has another checksum"):
        read(tmp_path / "b.npz")
    # The same bytes in another shape.
    np.savez(tmp_path / "b.npz", **{**arrays, "matrix": arrays["matrix"].reshape(4, 3)})
    with pytest.raises(CheckpointError, match="'matrix' has another checksum"):
        read(tmp_path / "b.npz")
    del arrays["empty"]
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(CheckpointError, match="other entries than it says"):
        read(tmp_path / "b.npz")
    npz(tmp_path / "b.npz", {"x": np.zeros(1)}, META)
    with pytest.raises(CheckpointError, match="other entries than it says"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"format": "other", "version": 1}, "of another version: 'other' '1'"),
        ({"format": "made", "version": 3}, "of another version: 'made' '3'"),
        ({"format": "made", "version": True}, "of another version"),
        ({"version": 1}, "of another version"),
        ([], "no JSON object"),
        (None, "no entry 'meta'"),
    ],
)
def test_another_content_is_refused(tmp_path, meta, expected):
    npz(tmp_path / "a.npz", {"x": np.zeros(1)}, meta)
    with pytest.raises(CheckpointError, match=expected):
        read(tmp_path / "a.npz")


def test_an_archive_of_the_first_version_needs_no_checksums(tmp_path):
    npz(tmp_path / "a.npz", {"x": np.arange(3)}, {"format": "made", "version": 1, "more": [1]})
    arrays, meta = read(tmp_path / "a.npz")
    assert meta == {"more": [1]} and arrays["x"].tolist() == [0, 1, 2]


def test_nothing_larger_than_the_file_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        content = io.BytesIO()
        np.save(content, np.zeros(10_000_000, np.uint8))
        archive.writestr("bomb.npy", content.getvalue())
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="unpacks to"):
        read(tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_deep_json_is_refused(tmp_path):
    text = b'{"format": "made", "version": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    np.savez(tmp_path / "a.npz", meta=np.frombuffer(text, np.uint8))
    with pytest.raises(CheckpointError):
        read(tmp_path / "a.npz")


def write_number(folder, number, *, kept=2):
    write_state(folder, "state", number, {"x": np.array([number])}, META, kept=kept)


def numbers(folder):
    return [int(path.stem.partition("-")[2]) for path in state_files(folder, "state")]


def read_number(path):
    return int(read(path)[0]["x"][0])


@pytest.mark.parametrize("kept", [2, 3, 5])
def test_the_newest_are_kept(tmp_path, kept):
    for number in (1, 2, 3, 10, 999_999, 1_000_000):
        write_number(tmp_path / "s", number, kept=kept)
    assert numbers(tmp_path / "s") == [1, 2, 3, 10, 999_999, 1_000_000][-kept:]
    assert read_last_state(tmp_path / "s", "state", read_number) == 1_000_000


def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(tmp_path):
    for number in (1, 2, 3):
        write_number(tmp_path, number, kept=3)
    for number in (2, 3):
        path = tmp_path / f"state-{number:06d}.npz"
        path.write_bytes(path.read_bytes()[:-30])
    told = []
    assert read_last_state(tmp_path, "state", read_number, told.append) == 1
    assert [line.split(":")[1] for line in told] == [
        f" the checkpoint state-{number:06d}.npz" for number in (3, 2)
    ] and all(line.startswith("warning: ") and line.endswith("; going on from state-000001.npz") for line in told)
    # The run goes on with other numbers, and what is damaged does not stand in for its newest state.
    write_number(tmp_path, 2, kept=2)
    assert numbers(tmp_path) == [1, 2]
    for number in (1, 2):
        (tmp_path / f"state-{number:06d}.npz").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is readable"):
        read_last_state(tmp_path, "state", read_number)


def test_a_folder_that_has_gone_is_not_made_anew(tmp_path):
    with pytest.raises(CheckpointError, match="its folder was deleted or moved"):
        write_number(tmp_path / "run" / "checkpoint", 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_state_that_cannot_be_written_leaves_the_earlier_ones(tmp_path, monkeypatch, call):
    write_number(tmp_path, 1)
    write_number(tmp_path, 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "open":
        monkeypatch.setattr("zipfile.ZipFile.open", refuse)
    else:
        monkeypatch.setattr(os, call, refuse)
    with pytest.raises(CheckpointError, match="No space left on device; free some space"):
        write_number(tmp_path, 3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_half_written_files_of_dead_processes_go(tmp_path):
    dead = 2**22 + 1  # No process has a number as high.
    ours = [
        f".champion.json.{dead}.part",
        f".champion.{dead}.svg",
        f".x.{os.getpid()}.part",
        "generation-000003.partial",
    ]
    others = [f".x.{os.getppid()}.part", "notes.part", ".notes.part", "champion.svg", "x.123.part", "my.partial"]
    for name in ours + others:
        (tmp_path / name).write_text("")
    delete_partial_files([tmp_path, tmp_path / "absent"])
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_file_is_replaced_or_left_alone(tmp_path):
    path = tmp_path / "file"
    with replaced_file(path, durable=True) as file:
        file.write(b"old")
    with pytest.raises(KeyboardInterrupt), replaced_file(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]
