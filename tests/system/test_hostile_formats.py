"""What a file of each format must not do: be deep, huge, endless, steer the terminal, or run code."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from topoevo.errors import NetworkFileError, ParamsError, TaskError, TopoevoError
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.params import load_params
from topoevo.foreign_files import MAX_DEPTH, parse_json, read_arrays, shown
from topoevo.reporting.network_file import network_json, read_network
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.idx import parse_idx
from topoevo.trained_network import load_network

from .hostile import npy, samples, zipped

# -- JSON -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "deeper than"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deeper than"),
        ('{"a": ' * 200 + "1" + "}" * 200, "deeper than"),
        ("9" * 41, "41 digits"),
        ("9" * 5000, "digits"),
        ("1e999", "too large"),
        ("[-1e999]", "too large"),
        ("NaN", "no number of JSON"),
        ("[Infinity]", "no number of JSON"),
        (r'"\ud800"', "surrogate"),
        (r'{"\udfff": 1}', "surrogate"),
        ('{"a": 1, "a": 1}', "'a' appears twice"),
        ("{'a': 1}", "no valid JSON"),
        ("", "no valid JSON"),
        ("\ufeff1", "no valid JSON"),
        ("1 2", "no valid JSON"),
        ('"\n"', "no valid JSON"),
        ("nul", "no valid JSON"),
    ],
    ids=lambda text: shown(text, length=20),
)
def test_what_is_no_json(text, words):
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def test_json_as_the_standard_says():
    text = r'{"a": [1, -0.0, 1e3, null, true, "\ud83d\ude00\u0000"], "\u00e9": {}}'
    assert parse_json(text) == {"a": [1, -0.0, 1000.0, None, True, "😀\0"], "é": {}}
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert parse_json("9" * 40) == int("9" * 40)


def test_json_of_too_many_values_is_not_parsed(monkeypatch):
    monkeypatch.setattr("topoevo.foreign_files.json.loads", None)
    with pytest.raises(ValueError, match="more than 10 values"):
        parse_json("[" + "[]," * 10 + "1]", most_values=10)


# -- networks ---------------------------------------------------------------------------------------------------


def _write_network(path, change):
    """A network file with changed attributes."""
    content = json.loads(network_json(samples.make_genome(), facts={}))
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["task", "environment_settings", "data_settings", "shared_weights"])
def test_null_is_as_good_as_nothing(tmp_path, name):
    path = _write_network(tmp_path / "n.json", lambda content: content["graph"].update({name: None}))
    network = load_network(path)
    assert network.file.facts == {} and "of unknown origin" in repr(network) and not network.is_weight_agnostic


def _task(**changes):
    facts = {
        "name": "t",
        "kind": "classification",
        "loss": "cross_entropy",
        "input_names": ["x", "y", "z"],
        "output_names": ["a", "b"],
        "input_offset": [0.0] * 3,
        "input_scale": [1.0] * 3,
        "target_offset": [],
        "target_scale": [],
    }
    return {"task": {**facts, **changes}}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (_task(name="\x1b[2J"), "control characters"),
        (_task(output_names=["a", "\x07"]), "control characters"),
        (_task(output_names=["a", "b" * 2000]), "1000 characters"),
        (_task(input_scale=[1.0, 1.0, 1e-60]), "contains 0"),
        (_task(input_offset=[0.0, 0.0, 1e39]), "too large"),
        ({"environment_settings": {"env_name": "\x1b]0;x\x07"}}, "control characters"),
        ({"data_settings": {"dataset": 3}}, "data_settings.dataset"),
        ({"data_settings": {"dataset": "digits", "options": [1]}}, "data_settings.options"),
        ({"data_settings": {"dataset": "digits", "seed": -1}}, "data_settings.seed"),
        ({"data_settings": {"dataset": "digits", "validation_ratio": "a"}}, "data_settings.validation_ratio"),
    ],
)
def test_facts_that_would_do_harm(tmp_path, facts, words):
    path = _write_network(tmp_path / "n.json", lambda content: content["graph"].update(facts))
    with pytest.raises(NetworkFileError) as caught:
        read_network(path)
    assert words in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "options", [{"image_size": "abc"}, {"image_size": 10**9}, {"image_size": None}, {"hashes": {}}, {"name": "x"}]
)
def test_options_of_data_sets_are_checked(tmp_path, options):
    facts = {"data_settings": {"dataset": "mnist", "options": options}}
    path = _write_network(tmp_path / "n.json", lambda content: content["graph"].update(facts))
    with pytest.raises(TopoevoError):
        load_network(path).load_task(data_dir=str(tmp_path))


def test_messages_about_hostile_names_are_short_and_plain(tmp_path):
    def change(content):
        content["nodes"][-1]["activation"] = "\x1b[2J" + "a" * 10**6

    with pytest.raises(NetworkFileError) as caught:
        read_network(_write_network(tmp_path / "n.json", change))
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


# -- parameters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["".join(f"lr{number}: 1\n" for number in range(9000)), "seed: 1\n" * 11000, '"\\e[2J' + "x" * 5000 + '": 1\n'],
    ids=["unknown", "twice", "escape"],
)
def test_a_file_full_of_mistakes_is_told_in_a_few_lines(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ParamsError) as caught:
        load_params(tmp_path / "p.yaml", {})
    lines = str(caught.value).splitlines()
    assert len(lines) <= 51 and all(len(line) < 600 and line.isprintable() for line in lines)


# -- tables and images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n" + "1," + "x" * 1001 + "\n", "1001 characters"),
        ("a,\x1b[2J\n1,2\n", "printable"),
        ("a," + "b" * 1001 + "\n1,2\n", "at most 1000"),
        ("a,b\n" + "1,c\x07\n2,d\n" * 10, "printable"),
        ('a,b\n"1' + "\n" * 5_000_000, "no CSV"),
        ("a" * 5_000_000, "is longer than"),
        (",".join(f"c{number}" for number in range(100_001)), "more than 100000 columns"),
    ],
    ids=["long target", "escape", "long name", "class", "open quote", "one line", "columns"],
)
def test_tables_that_would_do_harm(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TaskError, match=words) as caught:
        load_task(DataSettings(str(tmp_path / "t.csv")))
    assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()


def test_the_limits_of_tables(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 50)
    for name, most, words in (
        ("table_part.MOST_ROWS", 49, "more than 49 rows"),
        ("table_part.MOST_CELLS", 99, "more than 99 cells"),
        ("csv_file.MOST_BYTES", 203, "204 bytes"),
        ("csv_file.MOST_BYTES", 203 - 4, "bytes"),
    ):
        with monkeypatch.context() as limits, pytest.raises(TaskError, match=words):
            limits.setattr(f"topoevo.tasks.{name}", most)
            load_task(DataSettings(str(tmp_path / "t.csv")))


HEADERS = {
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "huge": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
    "overflow": "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
    "negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
    "code": "{'descr': __import__('os').system('touch broken'), 'fortran_order': False, 'shape': (1,), }",
    "nested": "(" * 9000,
    "minus": "-" * 9000 + "1",
    "no type": "{'descr': 'nothing', 'fortran_order': False, 'shape': (1,), }",
    "text": "{'descr': '<U99999999', 'fortran_order': False, 'shape': (1,), }",
    "times": "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }",
    "subarray": "{'descr': ('<f8', (2,)), 'fortran_order': False, 'shape': (1,), }",
    "void": "{'descr': '|V8', 'fortran_order': False, 'shape': (1,), }",
    "NUL": "\0",
}


@pytest.mark.parametrize("name", HEADERS)
def test_arrays_that_are_none(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = zipped(tmp_path / "t.npz", {"X": npy(HEADERS[name], bytes(8)), "y": npy(HEADERS[name], bytes(8))})
    with pytest.raises(TaskError, match=r"no \.npz file of plain arrays"):
        load_task(DataSettings(str(path)))
    assert not (tmp_path / "broken").exists()


def test_pickles_are_not_loaded(tmp_path, monkeypatch):
    class Harm:
        def __reduce__(self):
            return open, (str(tmp_path / "harm"), "w")

    stream = io.BytesIO()
    np.savez(stream, X=np.array([Harm()] * 20, object), y=np.arange(20))
    (tmp_path / "t.npz").write_bytes(stream.getvalue())
    assert b"harm" in stream.getvalue()
    for read in (lambda path: load_task(DataSettings(str(path))), Checkpoint.read):
        with pytest.raises(TopoevoError):
            read(tmp_path / "t.npz")
    assert not (tmp_path / "harm").exists()


def test_an_archive_with_a_huge_directory_is_not_listed(tmp_path):
    content = zipped(tmp_path / "one.npz", {"X": b""}).read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    count = 2**21 // (end - start)
    directory = content[start:end] * count
    tail = b"PK\5\6" + bytes(4) + b"\xff\xff" * 2 + len(directory).to_bytes(4, "little") + start.to_bytes(4, "little")
    (tmp_path / "t.npz").write_bytes(content[:start] + directory + tail + b"\0\0")
    with pytest.raises(ValueError, match="directory of more than a megabyte"):
        read_arrays(tmp_path / "t.npz", most_bytes=2**30)


def test_an_archive_that_unpacks_to_more_than_is_read(tmp_path):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3000000,), }"
    path = zipped(tmp_path / "t.npz", {"X": npy(header, bytes(3_000_000))}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="unpacks to 30000"):
        read_arrays(path, most_bytes=2_000_000)
    arrays, names = read_arrays(path, most_bytes=2_000_000, wanted=["y"])
    assert arrays == {} and names == ["X"]
    # A directory that lies about the size gives no more than it says.
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\1\2") + 24
    content[place : place + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_arrays(path, most_bytes=2_000_000)


@pytest.mark.parametrize(
    "units", [[0x110000, 0x41], [0xD800, 0x41], [0xFFFFFFFF, 0x41]], ids=["beyond", "surrogate", "negative"]
)
def test_text_that_is_no_unicode(tmp_path, units):
    names = np.tile(np.array(units, np.uint32), 10).view("<U1")
    np.savez(tmp_path / "t.npz", X=np.random.default_rng(0).normal(size=(20, 2)), y=names)
    with pytest.raises(TaskError, match="no text of Unicode"):
        load_task(DataSettings(str(tmp_path / "t.npz")))


def test_packed_images_are_unpacked_only_as_far_as_they_are_wanted(tmp_path):
    head = b"\0\0\x08\x01" + (10).to_bytes(4, "big")
    bomb = gzip.compress(head + bytes(100_000_000), 1)
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(TaskError, match="more values"):
        parse_idx(bomb, Path("images"), item_shape=())
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_prepared_array_that_was_damaged_is_computed_again(tmp_path, monkeypatch):
    from topoevo.tasks.cache import cached_array

    monkeypatch.setenv("TOPOEVO_CACHE", str(tmp_path))
    right = np.arange(6, dtype=np.float32).reshape(2, 3)
    computed = []

    def array():
        return cached_array("key", (2, 3), lambda: computed.append(1) or right.copy())

    path = tmp_path / "prepared" / "key.npy"
    for expected in (1, 1):
        assert (array() == right).all() and len(computed) == expected
    # Numpy reads the file, too.
    assert (np.load(path) == right).all()
    np.save(path, right + 1)
    assert (array() == right).all() and len(computed) == 2
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert (array() == right).all() and len(computed) == 3
    assert isinstance(array(), np.memmap) and not array().flags.writeable
