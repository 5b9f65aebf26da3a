"""A user's own table, from CSV to predictions."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from . import oracle
from .conftest import PARAMS, TINY, read_json

TABLE = (PARAMS / "table.yaml", *TINY, "--num_generations", 2, "--out_dir", "run", "--dataset", "my table.csv")


def write(path, header, rows, separator=","):
    path.write_text("\n".join(separator.join(map(str, row)) for row in [header, *rows]) + "\n", "utf-8")


def predictions(done):
    return list(csv.DictReader(io.StringIO(done.out)))


def test_classification(programs):
    rng = np.random.default_rng(0)
    raw = np.round(rng.normal((5, -300, 0.01), (1, 40, 0.002), (160, 3)), 6)
    names = np.where(raw[:, 1] > -300, "groß", "klein, sehr")
    quoted = [f'"{name}"' for name in names]
    table = programs.folder / "my table.csv"
    write(table, ["größe", "b", "c", "kind"], [[*row, name] for row, name in zip(raw, quoted, strict=True)])
    programs.wlnn(*TABLE, "--lr", "0.1", "--num_epochs", "10")
    graph = oracle.load(programs.folder / "run" / "champion.json")
    assert graph.graph["task"]["output_names"] == ["groß", "klein, sehr"]
    # Columns are found by name, in any order, with strangers between them and without the target.
    new = programs.folder / "new.csv"
    write(new, ["c", "unused", "b", "größe"], [[c, "x", b, a] for a, b, c in raw])
    rows = predictions(programs.topoevo("predict", "run", "new.csv"))
    expected = np.array(["groß", "klein, sehr"])[oracle.outputs(graph, raw).argmax(axis=1)]
    assert [row["prediction"] for row in rows] == expected.tolist()
    assert (expected == names).mean() > 0.8
    for row in rows:
        assert float(row["p_groß"]) + float(row["p_klein, sehr"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("separator", [",", ";"])
def test_regression(programs, separator):
    rng = np.random.default_rng(1)
    raw = np.round(rng.normal((100, -5), (20, 1), (200, 2)), 5)
    price = np.round(1e5 + 300 * raw[:, 0] - 2000 * raw[:, 1], 2)
    rows = [[p, *row] for p, row in zip(price, raw, strict=True)]
    write(programs.folder / "my table.csv", ["price", "a", "b"], rows, separator)
    programs.wlnn(*TABLE, "--target_column", "price", "--num_epochs", "20", "--lr", "0.1")
    champion = read_json(programs.folder / "run" / "result.json")["champion"]
    assert champion["test_accuracy"] is None and champion["test_rmse"] < price.std()
    # The table that the network was trained on can be predicted as it is.
    rows = predictions(programs.topoevo("predict", "run", "my table.csv"))
    graph = oracle.load(programs.folder / "run" / "champion.json")
    task = graph.graph["task"]
    expected = oracle.outputs(graph, raw)[:, 0] * task["target_scale"][0] + task["target_offset"][0]
    np.testing.assert_allclose([float(row["price"]) for row in rows], expected, rtol=1e-5)
    # Neither is a table lost, nor is an overflow an answer.
    before = (programs.folder / "my table.csv").read_bytes()
    refused = programs.topoevo("predict", "run", "my table.csv", "--out", "./my table.csv", expect=2)
    assert "is the table that is read" in refused.err and (programs.folder / "my table.csv").read_bytes() == before
    write(programs.folder / "far.csv", ["a", "b"], [[100, -5], [3e38, -3e38]])
    refused = programs.topoevo("predict", "run", "far.csv", expect=2)
    assert "no finite output for row 2 of 2" in refused.err and not refused.out and "Warning" not in refused.err


@pytest.mark.slow
def test_a_table_that_has_changed_is_told(programs):
    """Scores of other rows are not compared with the recorded ones, and evolution does not go on with them."""
    rng = np.random.default_rng(2)
    rows = [[f"{a:.4f}", "xy"[int(a > 0)]] for a in rng.normal(size=80)]
    table = programs.folder / "my table.csv"
    write(table, ["a", "kind"], rows)
    programs.wlnn(*TABLE)
    write(table, ["a", "kind"], rows[:60])
    evaluated = programs.topoevo("evaluate", "run", expect=None)
    assert evaluated.code == 2 or "changed" in evaluated.out + evaluated.err
    resumed = programs.wlnn("--resume", "run", "--num_generations", 3, expect=None)
    assert resumed.code == 2 or "changed" in resumed.out + resumed.err


@pytest.mark.parametrize("target", ["kind", "price"])
def test_the_smallest_network_that_does_the_job(programs, target):
    rng = np.random.default_rng(2)
    raw = np.round(rng.normal(0, 1, (240, 6)), 5)
    wanted = raw[:, 1] - 2 * raw[:, 4]
    values = np.where(wanted > 0, "up", "down") if target == "kind" else np.round(100 * wanted, 3)
    rows = [[*row, value] for row, value in zip(raw, values, strict=True)]
    write(programs.folder / "my table.csv", [*"abcdef", target], rows)
    done = programs.wlnn(
        PARAMS / "table-smallest.yaml", "--dataset", "my table.csv", "--max_connections", 4, "--num_generations", 3,
        "--population_size", 6, "--num_epochs", 30, "--initial_epochs", 60, "--out_dir", "run",
    )  # fmt: skip
    champion = read_json(programs.folder / "run" / "result.json")["champion"]
    assert champion["connections"] <= 4
    if target == "kind":
        assert champion["test_accuracy"] > 0.9
    else:
        assert champion["test_rmse"] < 0.2 * values.std()
    used = {graph_input for graph_input, _ in oracle.load(programs.folder / "run" / "champion.json").edges}
    assert {1, 4} <= used, "what the target depends on"
    assert done.err == ""


def test_a_network_for_each_of_several_sizes(programs):
    rng = np.random.default_rng(3)
    raw = np.round(rng.normal(0, 1, (200, 5)), 5)
    kinds = np.array(["a", "b", "c"])[np.digitize(raw[:, 0] * raw[:, 1] + raw[:, 2], [-0.5, 0.5])]
    write(programs.folder / "my table.csv", [*"vwxyz", "kind"], [[*r, k] for r, k in zip(raw, kinds, strict=True)])
    programs.wlnn(
        PARAMS / "table-smallest.yaml", "--dataset", "my table.csv", "--max_connections", "null",
        "--front_connections", 6, 20, "--population_size", 12, "--num_generations", 3, "--num_epochs", 10,
        "--initial_epochs", 20, "--out_dir", "run",
    )  # fmt: skip
    for size in (6, 20):
        graph = oracle.load(programs.folder / "run" / "front" / f"{size}.json")
        assert graph.graph["complexity"]["connections"] <= size
    header, *rows = (programs.folder / "run" / "front" / "front.csv").read_text().splitlines()
    assert header.startswith("size,connections,biases") and len(rows) == 2


def clusters(num_rows, kinds="xy"):
    rng = np.random.default_rng(4)
    return [[*np.round(rng.normal(0, 1, 3), 3), kinds[row % len(kinds)]] for row in range(num_rows)]


SMALLEST = (
    PARAMS / "table-smallest.yaml", "--dataset", "my table.csv", "--num_generations", 2, "--population_size", 6,
    "--num_epochs", 3, "--initial_epochs", 3, "--out_dir", "run",
)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "words", "expected"),
    [
        (clusters(5), (), "has 5 row(s), needs at least 10"),
        (clusters(40, "x"), (), "all targets are of one class"),
        ([*clusters(40), ["", "nan", 1, "x"]], (), "2 cell(s) hold no finite number"),
        (clusters(40), ("--max_connections", 0), "--max_connections: 0 is not allowed, must be at least 1"),
        (clusters(40), ("--max_connections", 10**9), "a network may have at most 500000"),
        (clusters(40), ("--initial_hidden_nodes", 9, 9000), "[9, 9000] makes up to 40536000 connections"),
    ],
)
def test_what_no_network_can_be_found_for_is_one_message(programs, rows, words, expected):
    write(programs.folder / "my table.csv", ["a", "b", "c", "kind"], rows)
    done = programs.wlnn(*SMALLEST, *words, expect=2)
    assert expected in done.err and len(done.err.splitlines()) == 1
    assert not (programs.folder / "run").exists()


@pytest.mark.parametrize(
    ("rows", "words", "size"),
    [
        (clusters(11), (), 40),
        ([[1, 1, 1, row[-1]] for row in clusters(40)], (), 40),
        (clusters(40, "abcdef"), ("--max_connections", 1), 1),
    ],
    ids=["11 rows", "constant columns", "fewer connections than outputs"],
)
def test_little_to_go_by_is_no_failure(programs, rows, words, size):
    write(programs.folder / "my table.csv", ["a", "b", "c", "kind"], rows)
    done = programs.wlnn(*SMALLEST, *words)
    assert read_json(programs.folder / "run" / "result.json")["champion"]["connections"] <= size
    assert done.err == ""
