"""Files that anyone may have written: a correct value or a `TopoevoError`, nothing executed, memory bounded."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topoevo.cli import main
from topoevo.errors import CheckpointError, NetworkFileError, ParamsError, TaskError, TopoevoError
from topoevo.experiment.params import load_params
from topoevo.foreign_files import MAX_DEPTH, parse_json, read_arrays, shown
from topoevo.reporting.network_file import network_json, read_network
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.idx import parse_idx
from topoevo.trained_network import load_network

from .conftest import REPOSITORY, everything_below, user_environment


def _benchmark(name):
    """A program of the folder benchmarks, as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Its siblings import it by this name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


readers = _benchmark("foreign_readers")
fuzzing = _benchmark("fuzz_readers")
#: Whose files have checksums: a damaged one is never accepted as something else.
SEALED = ("cache", "checkpoint", "training_checkpoint", "population", "journal")


@pytest.fixture
def real(tmp_path):
    """Return ``real(name)``: a reader, where its file goes, and its real files."""

    def make(name):
        reader = readers.READERS[name]
        for folder in ("real", "file"):
            (tmp_path / folder).mkdir()
        path = tmp_path / "file" / reader.path
        path.parent.mkdir(parents=True, exist_ok=True)
        return reader, path, reader.make(tmp_path / "real")

    return make


def _break(real, name, *, count, seed):
    """Read `count` broken files of a reader."""
    reader, path, contents = real(name)
    rng = random.Random(seed)
    for _ in range(count):
        content = fuzzing.broken(rng.choice(contents), contents, rng)
        path.write_bytes(content)
        readers.check(reader, path)


@pytest.mark.parametrize("name", readers.READERS)
def test_real_files_are_accepted(real, name):
    reader, path, contents = real(name)
    accepted = []
    for content in contents:
        path.write_bytes(content)
        accepted.append(readers.check(reader, path))
    assert accepted[0] or name == "params"


@pytest.mark.parametrize("name", readers.READERS)
def test_broken_files(real, name):
    _break(real, name, count=40, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", readers.READERS)
def test_many_broken_files(real, name):
    _break(real, name, count=2000, seed=1)


@pytest.mark.parametrize("name", readers.READERS)
def test_truncated_files(real, name):
    reader, path, contents = real(name)
    content = contents[0]
    for length in sorted({*range(min(len(content), 12)), *range(0, len(content), max(len(content) // 12, 1))}):
        path.write_bytes(content[:length])
        readers.check(reader, path)


@pytest.mark.parametrize("name", SEALED)
def test_no_flipped_bit_is_taken_for_another_value(real, name):
    reader, path, (content, *_) = real(name)
    rng = random.Random(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        # The check compares with what was written.
        readers.check(reader, path)


def test_the_check_of_sealed_files_can_fail(real):
    reader, path, _ = real("checkpoint")
    other = readers._checkpoint()
    other = type(other)(**{**vars(other), "num_evaluations": 31})
    path.write_bytes(readers._written(other, path.parent))
    with pytest.raises(AssertionError, match="num_evaluations"):
        readers.check(reader, path)


def test_the_own_engine_reaches_code_that_real_files_do_not(tmp_path):
    row = fuzzing.with_own_coverage("idx", inputs=150, seed=0, folder=tmp_path, out=tmp_path / "out")
    assert row["inputs"] == 150 and row["edges"] > row["edges_of_real_files"] > 50 and row["findings"] == {}


def test_the_engine_finds_what_a_reader_must_not_do(tmp_path, monkeypatch):
    def careless(path):
        if b"\x00\x00\x08\x03" not in path.read_bytes():
            raise KeyError("magic")

    reader = readers.Reader("idx", "images", readers._idxs, careless)
    monkeypatch.setitem(readers.READERS, "idx", reader)
    row = fuzzing.with_own_coverage("idx", inputs=50, seed=0, folder=tmp_path, out=tmp_path / "out")
    assert list(row["findings"]) == ["KeyError at check"]
    assert b"\x00\x00\x08\x03" not in (tmp_path / "out" / "idx-1").read_bytes()


# -- by hypothesis ----------------------------------------------------------------------------------------------

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers = st.one_of(st.integers(-2, 6), st.sampled_from([2**31 - 1, 2**31, -(2**63), 10**30]))
weights = st.one_of(st.floats(), st.none(), st.integers(-3, 3), st.sampled_from([1e39, 3.4e38, 1e-46, True, "1"]))
nodes = st.fixed_dictionaries(
    {
        "id": numbers,
        "role": st.sampled_from(["input", "bias", "hidden", "output", "output", "input", "Input"]),
        "activation": st.sampled_from(["linear", "linear", "relu", "tanh", "x"]),
    }
)
edges = st.fixed_dictionaries(
    {"source": numbers, "target": numbers, "weight": weights, "innovation": numbers, "enabled": st.booleans()}
)


@few
@given(st.lists(nodes, min_size=2, max_size=6), st.lists(edges, max_size=8))
def test_any_graph_is_a_legal_network_or_refused(tmp_path, nodes, edges):
    import networkx

    document = {
        "directed": True,
        "multigraph": False,
        "graph": {"format": "topoevo-network", "version": 1},
        "nodes": nodes,
        "edges": edges,
    }
    path = tmp_path / "n.json"
    path.write_text(json.dumps(document))
    try:
        genome = read_network(path).genome
    except NetworkFileError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    graph = networkx.DiGraph((edge["source"], edge["target"]) for edge in edges)
    assert networkx.is_directed_acyclic_graph(graph)
    assert sorted(node["id"] for node in nodes) == genome.nodes["id"].tolist()
    assert graph.number_of_edges() == len(edges) == len(genome.connections)


acyclic = st.lists(
    st.tuples(st.integers(0, 4), st.integers(2, 6), weights), max_size=10, unique_by=lambda edge: edge[:2]
)


@few
@given(acyclic)
def test_a_graph_that_networkx_accepts_is_accepted(tmp_path, edges):
    import networkx

    legal = [(s, t, w) for s, t, w in edges if s < t and s != 6 and (w is None or type(w) in (int, float)) and w == w]
    legal = [(s, t, w) for s, t, w in legal if w is None or abs(w) < 3e38]
    roles = ["input", "input", "hidden", "hidden", "hidden", "hidden", "output"]
    document = {
        "directed": True,
        "multigraph": False,
        "graph": {"format": "topoevo-network", "version": 1},
        "nodes": [{"id": number, "role": role, "activation": "linear"} for number, role in enumerate(roles)],
        "edges": [
            {"source": s, "target": t, "weight": None if w is None else float(w), "innovation": number, "enabled": True}
            for number, (s, t, w) in enumerate(legal)
        ],
    }
    path = tmp_path / "n.json"
    path.write_text(json.dumps(document))
    genome = read_network(path).genome
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(7))
    graph.add_edges_from((s, t) for s, t, _ in legal)
    longest = dict.fromkeys(graph, 0)
    for node in networkx.topological_sort(graph):
        for target in graph.successors(node):
            longest[target] = max(longest[target], longest[node] + 1)
    hidden = slice(2, 6)
    assert genome.layers()[hidden].tolist() == [max(longest[node], 1) for node in range(2, 6)]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@few
@given(json_values)
def test_json_reads_back(value):
    text = json.dumps(value)
    try:
        text.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="surrogate"):
            parse_json(text)
        return
    assert parse_json(text) == value


@few
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["a", "b", ",", '"', "\n", "1", "nan", ";", " "]), max_size=60).map("".join)
)
def test_any_text_as_a_table(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text, "utf-8", "replace")
    readers.check(readers.READERS["csv"], path)


@few
@given(st.text(max_size=200) | st.dictionaries(st.sampled_from(["lr", "seed", "dataset", "x"]), json_values).map(str))
def test_any_text_as_parameters(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text, "utf-8", "replace")
    readers.check(readers.READERS["params"], path)


@few
@given(st.binary(max_size=80), st.booleans(), st.sampled_from([b"", b"\0\0\x08\x03", b"\0\0\x08\x01", b"\x1f\x8b"]))
def test_any_bytes_as_images(tmp_path, content, packs, start):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(start + content) if packs else start + content)
    readers.check(readers.READERS["idx"], path)


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
    content = json.loads(network_json(readers.make_genome(), facts={}))
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


def _npy(header, content=b""):
    """An array of numpy with any header."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def _zip(path, entries, **options):
    """An archive of arrays."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return path


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
    path = _zip(tmp_path / "t.npz", {"X": _npy(HEADERS[name], bytes(8)), "y": _npy(HEADERS[name], bytes(8))})
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
    for read in (lambda path: load_task(DataSettings(str(path))), readers.Checkpoint.read):
        with pytest.raises(TopoevoError):
            read(tmp_path / "t.npz")
    assert not (tmp_path / "harm").exists()


def test_an_archive_with_a_huge_directory_is_not_listed(tmp_path):
    content = _zip(tmp_path / "one.npz", {"X": b""}).read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    count = 2**21 // (end - start)
    directory = content[start:end] * count
    tail = b"PK\5\6" + bytes(4) + b"\xff\xff" * 2 + len(directory).to_bytes(4, "little") + start.to_bytes(4, "little")
    (tmp_path / "t.npz").write_bytes(content[:start] + directory + tail + b"\0\0")
    with pytest.raises(ValueError, match="directory of more than a megabyte"):
        read_arrays(tmp_path / "t.npz", most_bytes=2**30)


def test_an_archive_that_unpacks_to_more_than_is_read(tmp_path):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3000000,), }"
    path = _zip(tmp_path / "t.npz", {"X": _npy(header, bytes(3_000_000))}, compression=zipfile.ZIP_DEFLATED)
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


# -- run directories --------------------------------------------------------------------------------------------


@pytest.fixture
def refuse(tmp_path, monkeypatch, capsys):
    """Return ``refuse(*words)``: run a command in this process and this folder, and return its message."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        assert main(list(words)) == 2
        return capsys.readouterr().err

    return run


def _write_run(folder, params):
    """The folder of a run."""
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "params.yaml").write_text(params.to_yaml())
    (folder / "environment.json").write_text("{}")
    (folder / "metrics.csv").write_text("generation,digest\n0,0123456789abcdef\n")
    readers._checkpoint().write(folder / "checkpoint")
    return folder


@pytest.mark.parametrize("words", [("resume", "run"), ("verify", "run"), ("replay", "run", "--individual", "8")])
def test_a_run_directory_does_not_decide_which_module_is_imported(tmp_path, monkeypatch, refuse, words):
    module = f"harmful_{words[0]}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{module}.py").write_text("open('harm', 'w').close()\n")
    name = f"{module}:Id-v0"
    _write_run(tmp_path / "run", load_params(None, {"env_name": name, "tournament_size": 2}, family="wann"))
    assert f"--env_name {name}" in refuse(*words) and not (tmp_path / "harm").exists()
    assert "--env_name: CartPole-v1 is not allowed" in refuse(*words, "--env_name", "CartPole-v1")
    assert not (tmp_path / "harm").exists()
    assert "registers no environment" in refuse(*words, "--env_name", name) and (tmp_path / "harm").exists()
    sys.modules.pop(module)


@pytest.mark.parametrize(
    "name", ["metrics.csv", "networks", "checkpoint/generation-000009.npz", "tensorboard", ".lock", "result.json"]
)
def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path, refuse, name):
    run = _write_run(tmp_path / "run", load_params(None, {}))
    (run / name).unlink(missing_ok=True)
    target = tmp_path / "mine"
    if name in ("networks", "tensorboard"):
        target.mkdir()
        (target / "mine.json").write_text("years of work")
    else:
        target.write_text("years of work")
    (run / name).symlink_to(target)
    before = everything_below(tmp_path)
    for command in ("resume", "control"):
        message = refuse(command, "run")
        assert name in message and "link" in message
    assert everything_below(tmp_path) == before


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, refuse):
    run = _write_run(tmp_path / "run", load_params(None, {}))
    (run / "metrics.csv").unlink()
    os.mkfifo(run / "metrics.csv")
    assert "metrics.csv" in refuse("resume", "run")
    os.mkfifo(tmp_path / "n.json")
    assert "is no file" in refuse("evaluate", "n.json")


def test_a_link_within_the_folder_is_fine(tmp_path):
    from topoevo.reporting.run_directory import RunDirectory

    run = _write_run(tmp_path / "run", load_params(None, {}))
    (run / "last.npz").symlink_to(run / "checkpoint" / "generation-000004.npz")
    (tmp_path / "elsewhere").symlink_to(run)
    locked = RunDirectory.open(tmp_path / "elsewhere").locked()
    assert locked.lock is not None
    locked.lock.release()


def test_a_lock_that_is_a_link_is_not_written(tmp_path, refuse):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("years of work")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    params = str(REPOSITORY / "params" / "wlnn" / "digits-quick.yaml")
    assert "link" in refuse("wlnn", params, "--out_dir", "run", "--overwrite_output")
    assert (tmp_path / "mine").read_text() == "years of work"


@pytest.mark.parametrize(
    "change",
    [
        {"reward": "00"},
        {"reward": "zz" * 8},
        {"reward": 1.0},
        {"weights": "AAAA"},
        {"weights": "AA=A"},
        {"weights": [1]},
        {"stream": ["LEARNING"]},
        {"stream": "NOWHERE"},
        {"index": -1},
        {"index": True},
        {"index": 10**30},
        {"failure": 3},
        {"genome": None},
    ],
    ids=str,
)
def test_records_of_a_journal_that_are_none(tmp_path, change):
    genome = readers.make_genome()
    (content,) = readers._journal_lines(tmp_path)
    lines = content.splitlines()
    record = json.loads(lines[1].partition(b" ")[2]) | change
    text = json.dumps(record).encode()
    readers.path_of(tmp_path, 4).write_bytes(lines[0] + b"\n" + readers._hash(text) + b" " + text + b"\n")
    said = []
    journal = readers.Journal(tmp_path, 4, [genome] * 4, say=said.append)
    assert journal.known(readers.Place(readers.Stream.LEARNING, 0), genome) is None
    assert len(said) == 1 or change == {"genome": None}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"status": "finished"}',
        '{"status": ["finished"], "champion": {}}',
        '{"status": "finished", "champion": []}',
        '{"status": "finished", "champion": {"test_accuracy": "high"}}',
        '{"status": "finished", "champion": {}, "generations": "x"}',
        "[" * 100_000,
        "\xff",
    ],
    ids=lambda text: text[:30],
)
def test_results_that_are_none(tmp_path, content):
    from topoevo.reporting.run_directory import RunDirectory
    from topoevo.reporting.run_result import read_result

    (tmp_path / "result.json").write_text(content, "latin1")
    with pytest.raises(CheckpointError, match=r"result\.json"):
        read_result(RunDirectory(tmp_path))


# -- memory -----------------------------------------------------------------------------------------------------

_BOMBS = """
import resource, sys
from pathlib import Path
import numpy as np
from topoevo.errors import TopoevoError
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.reporting.network_file import read_network
from topoevo.reporting.out_file import read_out
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.idx import parse_idx, read_content

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(float(sys.argv[2]) * 2**30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
folder = Path(sys.argv[1])
for name, read in {
    "values.json": read_network,
    "lines.out": read_out,
    "ragged.csv": lambda path: load_task(DataSettings(str(path))),
    "zeros.npz": lambda path: load_task(DataSettings(str(path))),
    "state.npz": Checkpoint.read,
    "images.gz": lambda path: parse_idx(read_content(path), path, item_shape=(28, 28)),
}.items():
    try:
        read(folder / name)
        print("value")
    except TopoevoError as error:
        print(f"{type(error).__name__}: {error}")
"""


def _write_bombs(folder, scale):
    """Files that want many times their size; `scale` is about how many hundred megabytes."""
    (folder / "values.json").write_bytes(b'{"graph":[' + b"[]," * int(9e6) + b"[]]}")
    (folder / "lines.out").write_bytes(b"\n1\n1" * int(5e5 * scale))
    (folder / "ragged.csv").write_bytes(b"a,b\n" + b"1\n" * int(1e5 * scale))
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': (20, {int(6e5 * scale)}), }}"
    target = "{'descr': '<f8', 'fortran_order': False, 'shape': (20,), }"
    entries = {"X": _npy(header, bytes(8 * 20 * int(6e5 * scale))), "y": _npy(target, bytes(160))}
    for name, first in (("zeros", "X"), ("state", "meta")):
        chosen = {first: entries["X"], "y": entries["y"]}
        _zip(folder / f"{name}.npz", chosen, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (1_000_000, 28, 28))
    (folder / "images.gz").write_bytes(gzip.compress(head + bytes(int(1e8 * scale)), 1))


def _explode(folder, *, scale, gigabytes):
    """What every reader says of its bomb, in a process with little memory."""
    _write_bombs(folder, scale)
    done = subprocess.run(
        [sys.executable, "-c", _BOMBS, str(folder), str(gigabytes)],
        capture_output=True,
        encoding="utf-8",
        env=user_environment(),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6 and "value" not in lines, lines
    return lines


def test_bombs_leave_the_reader_alive(tmp_path):
    lines = _explode(tmp_path, scale=0.5, gigabytes=0.5)
    for line, words in zip(
        lines,
        ("more than 8000000 values", "lines; a file", "the header has 2 cells", "columns", "unpacks to", "memory"),
        strict=True,
    ):
        assert words in line, lines


@pytest.mark.slow
def test_large_bombs_leave_the_reader_alive(tmp_path):
    _explode(tmp_path, scale=20, gigabytes=1.5)
