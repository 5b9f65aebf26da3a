"""Broken files of every format: a reader returns a correct value or raises a `TopoevoError`."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topoevo.errors import NetworkFileError
from topoevo.foreign_files import parse_json
from topoevo.reporting.network_file import read_network

from .hostile import breaking, fuzzing, readers, samples

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
    rng = np.random.default_rng(seed)
    for _ in range(count):
        content = breaking.broken(breaking.pick(rng, contents), contents, rng)
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
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        # The check compares with what was written.
        readers.check(reader, path)


def test_the_check_of_sealed_files_can_fail(real):
    reader, path, _ = real("checkpoint")
    other = samples.make_checkpoint()
    other = type(other)(**{**vars(other), "num_evaluations": 31})
    path.write_bytes(samples.written_file(other, path.parent))
    with pytest.raises(AssertionError, match="num_evaluations"):
        readers.check(reader, path)


def test_the_own_engine_reaches_code_that_real_files_do_not(tmp_path):
    row = fuzzing.with_own_coverage("idx", inputs=150, seed=0, folder=tmp_path, out=tmp_path / "out")
    assert row["inputs"] == 150 and row["edges"] > row["edges_of_real_files"] > 50 and row["findings"] == {}


def test_the_engine_finds_what_a_reader_must_not_do(tmp_path, monkeypatch):
    def careless(path):
        if b"\x00\x00\x08\x03" not in path.read_bytes():
            raise KeyError("magic")

    reader = readers.Reader("idx", "images", samples.idx_files, careless)
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
