"""The benchmark of small networks: networks have the size that was asked for, and the score that is reported."""

import json
import subprocess
import sys
from pathlib import Path

import networkx
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = (30, 77)
METHODS = ("fisher", "magnitude", "rigl", "random", "l1")
SETTINGS = """
validation_ratio: 0.2
num_generations: 2
population_size: 4
tournament_size: 2
p_add_connection: 1
output_connections: true
bias: true
optimizer: adamw
lr: 0.01
final_epochs: 2
batch_size: 64
"""


def frontier(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the benchmark."""
    command = [sys.executable, ROOT / "benchmarks" / "frontier.py", *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Measurements of the cheap methods on digits with very short trainings."""
    folder = tmp_path_factory.mktemp("frontier")
    (folder / "tiny.yaml").write_text(SETTINGS)
    ended = measure(folder, METHODS)
    assert ended.returncode == 0, ended.stderr
    return folder


def measure(folder: Path, methods, *more: object) -> subprocess.CompletedProcess[str]:
    """Run the benchmark in a folder."""
    words = ["--dataset", "digits", "--budgets", *BUDGETS, "--seeds", 1, "--methods", *methods]
    words += ["--num_epochs", 1, "--num_steps", 60, "--num_configurations", 3]
    words += ["--params", folder / "tiny.yaml", "--out", folder / "rows.jsonl"]
    return frontier(*words, *more)


def rows_of(folder: Path):
    """The measurements."""
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def network_of(folder: Path, row) -> networkx.DiGraph:
    """The network of a measurement, without disabled connections."""
    document = json.loads((folder / "rows.runs" / "networks" / row["network"]).read_text())
    graph = networkx.node_link_graph(document, edges="edges")
    graph.remove_edges_from([(s, t) for s, t, enabled in list(graph.edges(data="enabled")) if not enabled])
    return graph


def test_all_methods_are_measured_at_all_budgets(folder):
    """One line for every method and budget."""
    assert {(row["method"], row["budget"]) for row in rows_of(folder)} == {(m, b) for m in METHODS for b in BUDGETS}


def test_networks_have_the_budget_and_nothing_that_is_dead(folder):
    """Counted on the graph: every connection is on a path, and there are as many as were asked for."""
    for row in rows_of(folder):
        graph = network_of(folder, row)
        roles = networkx.get_node_attributes(graph, "role")
        inputs = {node for node, role in roles.items() if role == "input"}
        fed = inputs.union(*(networkx.descendants(graph, node) for node in inputs))
        outputs = {node for node, role in roles.items() if role == "output"}
        heard = outputs.union(*(networkx.ancestors(graph, node) for node in outputs))
        assert {node for node, role in roles.items() if role == "hidden"} <= fed & heard, row
        counted = [(s, t) for s, t in graph.edges if roles[s] != "bias"]
        assert all(s in fed and t in heard for s, t in counted), row
        assert len(counted) == row["connections"] == row["budget"], row
        assert graph.number_of_edges() - len(counted) == row["biases"], row


def test_what_is_chosen_has_not_seen_the_test(folder):
    """Neither scores of it nor files tell how it would do there."""
    for row in rows_of(folder):
        document = json.loads((folder / "rows.runs" / "networks" / "chosen" / row["network"]).read_text())
        assert document["graph"]["scores"]["validation"]["accuracy"] == pytest.approx(row["validation"])
        assert document["graph"]["scores"]["test"] is None


def test_the_reported_accuracy_is_that_of_the_network(folder):
    """Computed node by node from the file, on a split that scikit-learn makes here."""
    images, labels = load_digits(return_X_y=True)
    _, images, _, labels = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    for row in rows_of(folder):
        graph = network_of(folder, row)
        facts = graph.graph["task"]
        scaled = (images - np.array(facts["input_offset"])) / np.array(facts["input_scale"])
        values = {}
        inputs = iter(scaled.T)
        outputs = []
        for node, role in sorted(graph.nodes(data="role")):
            if role == "input":
                values[node] = next(inputs)
            elif role == "bias":
                values[node] = np.ones(len(images))
            elif role == "output":
                outputs.append(node)
        for node in networkx.topological_sort(graph):
            if node not in values:
                total = sum(
                    (d["weight"] * values[s] for s, _, d in graph.in_edges(node, data=True)), np.zeros(len(images))
                )
                values[node] = np.maximum(total, 0) if graph.nodes[node]["activation"] == "relu" else total
        found = np.argmax([values[node] for node in outputs], axis=0) == labels
        assert row["test"] == pytest.approx(found.mean(), abs=1.5 / len(labels)), row


def test_what_is_measured_is_not_measured_again(folder):
    """Not even if a line was cut off: that one alone."""
    path = folder / "rows.jsonl"
    before = path.read_text()
    path.write_text(before[:-20])
    ended = measure(folder, METHODS)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    now, then = (json.loads(text.splitlines()[-1]) for text in (path.read_text(), before))
    timed = {"seconds", "cpu_seconds", "chosen"}
    assert {name: now[name] for name in now.keys() - timed} == {name: then[name] for name in then.keys() - timed}


def test_measurements_with_other_settings_are_not_mixed(folder):
    """Neither of the file nor of the benchmark."""
    path, settings = folder / "rows.jsonl", folder / "tiny.yaml"
    before = path.read_text()
    path.write_text("".join(before.splitlines(keepends=True)[:-1]))
    settings.write_text(SETTINGS.replace("lr: 0.01", "lr: 0.02"))
    refused = measure(folder, METHODS)
    settings.write_text(SETTINGS)
    longer = measure(folder, METHODS, "--num_steps", 61)
    fewer = measure(folder, METHODS, "--num_configurations", 2)
    path.write_text(before)
    settings.write_text(SETTINGS.replace("lr: 0.01", "lr: 0.02"))
    nothing_left = measure(folder, METHODS)
    settings.write_text(SETTINGS.replace("tournament_size: 2", "tournament_size: 3"))
    other_evolution = measure(folder, METHODS)
    settings.write_text(SETTINGS)
    assert other_evolution.returncode == 0, other_evolution.stderr
    for ended in (refused, longer, fewer, nothing_left):
        assert ended.returncode == 2 and "was measured with other settings" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_file_without_validation_samples_is_refused(tmp_path):
    file = tmp_path / "none.yaml"
    file.write_text(SETTINGS.replace("validation_ratio: 0.2", "validation_ratio: 0"))
    ended = frontier("--dataset", "digits", "--budgets", 30, "--seeds", 1, "--methods", "l1", "--params", file)
    assert ended.returncode == 2 and "validation_ratio is 0" in ended.stderr


@pytest.mark.slow
def test_the_final_stage_alone_is_repeated(folder):
    """The same settings lead to the same networks; others to others, from the same beginning."""
    path, settings = folder / "rows.jsonl", folder / "tiny.yaml"
    lines = path.read_text()
    before = {(row["method"], row["budget"]): row for row in rows_of(folder)}
    timed = {"seconds", "cpu_seconds"}
    for text in (SETTINGS, SETTINGS.replace("final_epochs: 2", "final_epochs: 20")):
        settings.write_text(text)
        ended = measure(folder, ("fisher", "l1"), "--finish_again")
        assert ended.returncode == 0, ended.stderr
        after = {(row["method"], row["budget"]): row for row in rows_of(folder)}
        assert after.keys() == before.keys()
        if text == SETTINGS:
            for key, row in after.items():
                assert {n: row[n] for n in row.keys() - timed} == {n: before[key][n] for n in row.keys() - timed}
    settings.write_text(SETTINGS)
    path.write_text(lines)
    for key, row in before.items():
        two_epochs = row["passes"] - row["chosen"]["passes"]
        more = 9 * two_epochs if key[0] in ("fisher", "l1") else 0
        assert after[key]["passes"] - row["passes"] == more
    assert any(row["train"] > before[key]["train"] for key, row in after.items())
    assert all(row["validation"] == before[key]["validation"] for key, row in after.items())


@pytest.mark.slow
def test_evolved_search_and_its_rival(folder):
    """The search runs as a command; what prunes again and again may use as many passes."""
    ended = measure(folder, ("evolved", "fisher_best_of"), "--picture", folder / "picture.png")
    assert ended.returncode == 0, ended.stderr
    rows = {(row["method"], row["budget"]): row for row in rows_of(folder)}
    for budget in BUDGETS:
        evolved, rival = rows["evolved", budget], rows["fisher_best_of", budget]
        run = json.loads((folder / "rows.runs" / f"digits-evolved-{budget}-s0" / "result.json").read_text())
        assert evolved["test"] == run["champion"]["test_accuracy"]
        assert evolved["connections"] == run["champion"]["connections"] <= budget
        assert rival["passes"] >= evolved["passes"] and not rival["is_capped"]
        assert rival["tried"] >= rows["fisher", budget]["tried"]
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_summary_tells_where_evolution_is_not_best(tmp_path):
    """The means over seeds decide."""
    scores = {("evolved", 10): (0.9, 0.8, 0.85), ("l1", 10): (0.7, 0.98, 0.84)}
    scores |= {("evolved", 20): (0.95, 0.95, 0.95), ("l1", 20): (0.9, 0.9, 0.9)}
    # The same scores, whose means differ in the last digit.
    scores |= {("evolved", 30): (0.3, 0.2, 0.1), ("l1", 30): (0.1, 0.2, 0.3)}
    assert np.mean(scores["l1", 30]) > np.mean(scores["evolved", 30])
    more = {"dataset": "digits", "measure": "accuracy", "connections": 9, "biases": 1, "hidden": 0, "layers": 2}
    more |= {"configuration": "", "tried": 1, "passes": 1000, "seconds": 1.0, "cpu_seconds": None, "is_capped": False}
    rows = [
        {"method": method, "budget": budget, "seed": seed, "test": test, **more}
        for (method, budget), tests in scores.items()
        for seed, test in enumerate(tests)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = frontier("--summarize", path)
    assert shown.returncode == 0, shown.stderr
    assert "| 10 | **0.8500 ± 0.0500** | 0.8400 ± 0.1400 |" in shown.stdout
    assert "No other method is better than evolved at any budget." in shown.stdout
    path.write_text(path.read_text().replace('"test": 0.7', '"test": 0.8'))
    assert "- 10: better is L1 + refit (0.8733 against 0.8500)." in frontier("--summarize", path).stdout


def test_bad_input_is_one_message(tmp_path):
    """Exit code 2."""
    (tmp_path / "rows.jsonl").write_text("no rows\n{}\n")
    for words in (
        ["--params", tmp_path / "nowhere.yaml"],
        ["--summarize", tmp_path / "rows.jsonl"],
        ["--budgets", 0],
    ):
        ended = frontier(*words)
        assert ended.returncode == 2 and "Traceback" not in ended.stderr, ended.stderr
