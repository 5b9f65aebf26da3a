"""Network files read back bit for bit, load with networkx, and are refused with one sentence when they are wrong."""

from __future__ import annotations

import json
import struct

import networkx
import numpy as np
import pytest

from topoevo.errors import NetworkFileError
from topoevo.evolution import Evaluation, Individual
from topoevo.experiment.records import Champion, TaskScore
from topoevo.reporting.network_facts import facts_of, facts_of_individual
from topoevo.reporting.network_file import network_json, read_network, write_network


@pytest.fixture
def champion(genome):
    evaluation = Evaluation(-0.5, -0.5, 0.8, genome.connections["weight"], 0.1)
    individual = Individual(7, (3,), 2, ("add_node", "add_connection"), genome, evaluation)
    return Champion(individual, 2, TaskScore(-0.5, 0.8), None, TaskScore(-0.6, 0.75))


def test_reads_back_bit_for_bit(tmp_path, genome):
    bits = np.random.default_rng(0).integers(0, 2**32, size=300_000, dtype=np.uint64).astype(np.uint32)
    weights = bits.view(np.float32)
    weights = weights[np.isfinite(weights)]
    odd = np.float32([0.0, -0.0, 1e-45, -1.4e-45, 3.4028235e38, 1 / 3, 0.1, 16777216, np.nan])
    weights = np.concatenate([odd, weights])
    count = len(genome.connections)
    for start in range(0, 40 * count, count):
        one = genome.with_weights(weights[start : start + count])
        write_network(tmp_path / "n.json", one, facts={})
        back = read_network(tmp_path / "n.json").genome
        assert back.connections["weight"].tobytes().hex() == one.connections["weight"].tobytes().hex()
        assert back.nodes.tobytes() == one.nodes.tobytes()
        assert back.digest == one.digest


def test_every_float32_is_written_as_a_number_that_is_the_same_float32():
    from topoevo.reporting.network_file import decimals

    bits = np.random.default_rng(0).integers(0, 2**32, size=200_000, dtype=np.uint64).astype(np.uint32)
    weights = bits.view(np.float32)
    weights = weights[np.isfinite(weights)]
    text = json.loads(json.dumps(decimals(weights)))
    back = struct.pack(f"<{len(text)}f", *text)
    assert back == weights.astype("<f4").tobytes()
    assert decimals(np.float32([0.1])) == [0.1]


def test_networkx_reads_it(tmp_path, genome, champion, params, task):
    write_network(tmp_path / "n.json", genome, facts=facts_of(champion, params, task))
    graph = networkx.node_link_graph(json.loads((tmp_path / "n.json").read_text()), edges="edges")
    expected = genome.to_networkx()
    assert dict(graph.nodes(data=True)) == dict(expected.nodes(data=True))
    for source, target, attributes in expected.edges(data=True):
        found = dict(graph.edges[source, target])
        assert np.float32(found.pop("weight")) == np.float32(attributes.pop("weight"))
        assert found == attributes
    assert graph.number_of_edges() == expected.number_of_edges()
    assert graph.graph["format"] == "topoevo-network" and graph.graph["version"] == 1
    assert graph.graph["scores"]["test"]["accuracy"] == 0.75


def test_facts_say_all_that_raw_data_need(tmp_path, genome, champion, params, task):
    write_network(tmp_path / "n.json", genome, facts=facts_of(champion, params, task))
    file = read_network(tmp_path / "n.json")
    raw = np.random.default_rng(5).normal(size=(50, 6)) * 7
    assert file.transform(raw).tobytes() == task.transform(raw).tobytes()
    assert file.task.output_names == ["cat", "dog", "émeu"]
    assert file.facts["provenance"]["operators"] == ["add_node", "add_connection"]
    assert file.facts["learning"]["lr"] == params.lr
    assert file.facts["complexity"]["neurons"] == len(genome.nodes)
    outputs = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(file.to_target_units(outputs), outputs.T)


def test_outputs_of_a_regression_return_to_target_units(tmp_path, genome, champion, params, regression_task):
    write_network(tmp_path / "n.json", genome, facts=facts_of(champion, params, regression_task))
    back = read_network(tmp_path / "n.json").to_target_units([[10.0], [1.0], [0.0]])
    np.testing.assert_allclose(back, [[1.0, 3.0, 2.0]])


def test_scores_that_are_not_finite_become_null(tmp_path, genome, params, task):
    failed = Individual(1, (), 0, (), genome, Evaluation.failed("boom", 0.1))
    write_network(tmp_path / "n.json", genome, facts=facts_of_individual(failed, params, task, generation=3))
    assert "Infinity" not in (tmp_path / "n.json").read_text()
    facts = read_network(tmp_path / "n.json").facts
    assert facts["scores"]["evaluation"]["reward"] is None
    assert facts["provenance"]["generation"] == 3


def test_a_later_writer_may_add_keys(tmp_path, genome):
    content = json.loads(network_json(genome, facts={"remark": [1, 2]}))
    content["nodes"][0]["x"] = 0.5
    (tmp_path / "n.json").write_text(json.dumps(content))
    assert read_network(tmp_path / "n.json").facts == {"remark": [1, 2]}


def test_links_of_an_older_networkx_are_edges(tmp_path, genome):
    content = json.loads(network_json(genome, facts={}))
    content["links"] = content.pop("edges")
    (tmp_path / "n.json").write_text(json.dumps(content))
    assert read_network(tmp_path / "n.json").genome.digest == genome.digest


def _set(*path_and_value):
    *path, value = path_and_value

    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("graph", 3), "no object 'graph'"),
        (_set("graph", "format", "gml"), "graph.format is 'gml'"),
        (_set("graph", "version", 2), "reads versions up to 1"),
        (_set("graph", "version", "1"), "graph.version"),
        (_set("graph", "version", 0), "graph.version"),
        (_set("directed", False), "directed"),
        (_set("nodes", []), "nodes"),
        (_set("nodes", 0, "id", -1), "nodes.0.id"),
        (_set("nodes", 0, "id", 2**31), "nodes.0.id"),
        (_set("nodes", 0, "id", True), "nodes.0.id"),
        (_set("nodes", 0, "id", 1), "unique"),
        (_set("nodes", 0, "role", "god"), "nodes.0.role"),
        (_set("nodes", -1, "activation", "relo"), "did you mean 'relu'"),
        (_set("edges", 0, "weight", "1"), "edges.0.weight"),
        (_set("edges", 0, "weight", 1e39), "infinite"),
        (_set("edges", 0, "source", 999), "does not exist"),
        (_set("edges", 0, "enabled", 1), "edges.0.enabled"),
        (lambda content: content["edges"].append({**content["edges"][0], "innovation": 10**6}), "same source and"),
        (lambda content: content["edges"].append(content["edges"][0]), "unique"),
        (_set("graph", "task", 3), "graph.task"),
        (lambda content: content["graph"]["task"]["input_names"].pop(), "input_offset has 6 numbers, expected 5"),
        (_set("graph", "task", "input_scale", [0.0] * 6), "contains 0"),
        (lambda content: content["graph"]["task"]["output_names"].pop(), "2 output_names for 3 output nodes"),
        (lambda content: content.pop("edges"), "edges"),
        (_set("graph", "environment_settings", ["Snake"]), "graph.environment_settings"),
        (_set("graph", "environment_settings", {"env_name": 3}), "environment_settings.env_name"),
        (
            _set("graph", "environment_settings", {"env_name": "Snake", "options": "abc"}),
            "environment_settings.options",
        ),
        (_set("graph", "shared_weights", "abc"), "graph.shared_weights"),
        (_set("graph", "shared_weights", []), "graph.shared_weights"),
        (_set("graph", "shared_weights", [1.0, None]), "graph.shared_weights.1"),
        (_set("graph", "scores", 3), "graph.scores"),
        (_set("graph", "scores", "test", "accuracy", "high"), "graph.scores.test.accuracy"),
        (_set("graph", "provenance", [1]), "graph.provenance"),
        (_set("graph", "provenance", "generation", "last"), "graph.provenance.generation"),
    ],
)
def test_wrong_files_are_refused(tmp_path, genome, champion, params, task, change, message):
    content = json.loads(network_json(genome, facts=facts_of(champion, params, task)))
    change(content)
    path = tmp_path / "n.json"
    path.write_text(json.dumps(content))
    with pytest.raises(NetworkFileError) as caught:
        read_network(path)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cycle_is_refused(tmp_path, genome):
    content = json.loads(network_json(genome, facts={}))
    hidden = [node["id"] for node in content["nodes"] if node["role"] == "hidden"]
    gene = {"weight": 1.0, "enabled": True}
    content["edges"] = [
        {"source": hidden[0], "target": hidden[1], "innovation": 900, **gene},
        {"source": hidden[1], "target": hidden[0], "innovation": 901, **gene},
    ]
    (tmp_path / "n.json").write_text(json.dumps(content))
    with pytest.raises(NetworkFileError, match="cycle"):
        read_network(tmp_path / "n.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no valid JSON"),
        (b"[]", "no object 'graph'"),
        (b"null", "no object 'graph'"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"graph": NaN}', "NaN is no number of JSON"),
        (b'{"graph": {}, "graph": {}}', "'graph' appears twice"),
        (b"[" * 100_000, "no valid JSON"),
        (b'{"graph": {"format": "topoevo-network", "version": ' + b"9" * 5000 + b"}}", "no valid JSON"),
    ],
)
def test_files_that_are_no_json_object_are_refused(tmp_path, content, message):
    (tmp_path / "n.json").write_bytes(content)
    with pytest.raises(NetworkFileError, match=message):
        read_network(tmp_path / "n.json")


def test_missing_files_folders_and_huge_files_are_refused(tmp_path, monkeypatch, genome):
    with pytest.raises(NetworkFileError, match="no such file"):
        read_network(tmp_path / "absent.json")
    with pytest.raises(NetworkFileError, match="is no file"):
        read_network(tmp_path)
    write_network(tmp_path / "n.json", genome, facts={})
    monkeypatch.setattr("topoevo.reporting.network_file.MAX_BYTES", 10)
    with pytest.raises(NetworkFileError, match="at most 10"):
        read_network(tmp_path / "n.json")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, genome):
    path = tmp_path / "n.json"
    write_network(path, genome, facts={})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_network(path, genome, facts={"bad": object()})
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["n.json"]
