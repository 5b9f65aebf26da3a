"""The folder of the best networks, the tables at the end of a run, and measures of fronts and operators."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import topoevo
from topoevo.errors import CheckpointError
from topoevo.evolution import Individual
from topoevo.evolution.credit import Credit, Standing
from topoevo.experiment.front import Front
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Champion, Outcome, TaskScore
from topoevo.kernels import Batches, load_kernel
from topoevo.network import compile_network
from topoevo.reporting.files import COLUMNS, FilesObserver
from topoevo.reporting.front_files import FrontObserver
from topoevo.reporting.front_picture import picture_of
from topoevo.reporting.lines import end_tables, generation_line, summary
from topoevo.reporting.measures import MEASURES, measures_of
from topoevo.reporting.run_directory import RunDirectory
from topoevo.reporting.tables import keep_rows

SIZES = (10, 20, 30)


def score_of(reward, kind):
    return TaskScore(reward, *((None, 0.5 - reward) if kind == "regression" else (1.0 + reward, None)))


def make_front(genome_of, *, kind="classification", tested=True, sizes=SIZES) -> Front:
    """A front whose network of one size is also the best of the next."""
    champions = {}
    for number, splits in enumerate((1, 5)):
        genome = genome_of(number, num_splits=splits)
        parts = [score_of(-0.3 + 0.1 * number - 0.01 * part, kind) for part in range(3)]
        champions[number] = Champion(Individual(number, (), 2, (), genome), 2, *parts[: 3 if tested else 2])
    return Front(sizes, {sizes[0]: champions[0], **dict.fromkeys(sizes[1:], champions[1])}, 2.0, 2)


@pytest.fixture
def watched(tmp_path):
    """Return ``watched(task, **settings)``: an observer that has heard of a run, and its directory."""

    def build(task, **settings):
        params = load_params(None, {"out_dir": str(tmp_path / "run"), "test_every": 2, **settings})
        run = RunDirectory.create(params)
        lines = []
        observer = FrontObserver(run, log=lines.append, warn=lines.append)
        observer.on_start(SimpleNamespace(params=params, task=task, num_done=0))
        return observer, run, lines

    return build


def ended(front, status="finished"):
    return Outcome(status, "", 3, 30, 1.0, "", None, front=front)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_every_size_is_a_network_that_loads(watched, genome_of, task, regression_task, kind) -> None:
    task = regression_task if kind == "regression" else task
    observer, run, lines = watched(task)
    front = make_front(genome_of, kind=kind)
    observer.on_end(ended(front))
    assert sorted(path.name for path in run.front.iterdir()) == sorted(
        [*(f"{size}.json" for size in SIZES), "front.csv", "front.png", "front.svg"]
    )
    assert lines == []
    raw = task.test.inputs * task.input_scale + task.input_offset
    for size in SIZES:
        champion, loaded = front.champions[size], topoevo.load_network(run.front / f"{size}.json")
        network = compile_network(champion.individual.genome)
        outputs = load_kernel("reference").outputs(
            network, network.weight, Batches.lay_out(task.test.inputs, task.test.targets, batch_size=10)
        )
        if kind == "regression":
            expected = outputs.T * task.target_scale + task.target_offset
            assert np.allclose(loaded.predict(raw), expected, atol=1e-4)
        else:
            names = [task.output_names[index] for index in outputs.argmax(axis=0)]
            assert list(loaded.predict(raw)) == names
        assert loaded.file.facts["scores"]["test"]["reward"] == champion.test.reward


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_table_has_every_size_in_full(watched, genome_of, task, regression_task, kind) -> None:
    observer, run, _ = watched(regression_task if kind == "regression" else task)
    front = make_front(genome_of, kind=kind)
    observer.on_end(ended(front))
    rows = list(csv.DictReader(run.front_table.open()))
    assert [int(row["size"]) for row in rows] == list(SIZES)
    measure = "rmse" if kind == "regression" else "accuracy"
    for row in rows:
        champion = front.champions[int(row["size"])]
        shape = champion.individual.genome.complexity
        assert [int(row[name]) for name in ("connections", "biases", "hidden", "generation")] == [
            shape.connections, shape.biases, shape.hidden, 2
        ]  # fmt: skip
        for part in ("train", "validation", "test"):
            score = getattr(champion, part)
            assert (float(row[f"{part}_loss"]), float(row[f"{part}_{measure}"])) == (
                -score.reward, getattr(score, measure)
            )  # fmt: skip


def test_it_is_written_when_champions_are_tested(watched, genome_of, task, script) -> None:
    observer, run, _ = watched(task)
    record = script([]).record(1)
    front = make_front(genome_of, tested=False)
    observer.on_generation(with_front(record, front))
    assert not run.front.exists()
    observer.on_generation(with_front(script([]).record(2), front))
    assert sorted(path.name for path in run.front.iterdir()) == ["10.json", "20.json", "30.json", "front.csv"]
    assert [row["test_loss"] for row in csv.DictReader(run.front_table.open())] == [""] * 3
    before = (run.front / "20.json").stat().st_ino
    observer.on_generation(with_front(script([]).record(4), front))
    assert (run.front / "20.json").stat().st_ino == before, "nothing has changed"


def test_nothing_is_written_where_one_size_is_evolved(watched, task, script) -> None:
    observer, run, _ = watched(task)
    observer.on_generation(script([]).record(2))
    observer.on_end(ended(None))
    observer.on_end(ended(Front(SIZES)))
    assert not run.front.exists()


@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_what_cannot_be_written_ends_a_finished_run_alone(watched, genome_of, task, script, status) -> None:
    observer, run, lines = watched(task)
    run.front.write_text("in the way")
    for generation in (2, 4):
        observer.on_generation(with_front(script([]).record(generation), make_front(genome_of)))
    assert len(lines) == 1 and "the run goes on without" in lines[0]
    if status == "finished":
        with pytest.raises(CheckpointError, match="front"):
            observer.on_end(ended(make_front(genome_of)))
    else:
        observer.on_end(ended(make_front(genome_of), status))


def test_an_earlier_front_is_replaced_with_its_run(watched, genome_of, task) -> None:
    observer, run, _ = watched(task)
    observer.on_end(ended(make_front(genome_of)))
    params = load_params(None, {"out_dir": str(run.path), "overwrite_output": True})
    run.lock.release()
    assert not RunDirectory.create(params).front.exists()


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("tested", [True, False])
def test_the_picture_is_that_of_the_front(genome_of, kind, tested) -> None:
    front = make_front(genome_of, kind=kind, tested=tested)
    found = picture_of(front, title="made $x$", subtitle="by hand")
    assert found == picture_of(front, title="made $x$", subtitle="by hand")
    svg = found["svg"].decode()
    for champion in front.networks:
        assert f">{champion.individual.genome.complexity.connections}<" in svg
    assert (">test<" in svg) == tested
    assert ">validation<" in svg and ">made $x$<" in svg
    if tested:
        score = front.networks[-1].test
        assert (f">{score.rmse:.3g}<" if kind == "regression" else f">{100 * (1 - score.accuracy):.1f}<") in svg


# -- measures and tables --------------------------------------------------------------------------------------------


def with_front(record, front, **fields):
    return replace(record, front=front, **fields)


def test_measures_of_fronts_and_operators(script, genome_of) -> None:
    front = make_front(genome_of)
    credits = {"add_node": Credit(8, 2, 6.0), "grow_node": Credit()}
    found = measures_of(with_front(script([]).record(2), front, credits=credits, probabilities={"grow_node": 0.4}))
    assert found["front/hypervolume"] == front.hypervolume > 0
    assert {name: value for name, value in found.items() if name.startswith("operators/") and value is not None} == {
        "operators/add_node_children": 8,
        "operators/add_node_improved": 0.25,
        "operators/add_node_rank": 0.75,
        "operators/grow_node_children": 0,
        "operators/grow_node_probability": 0.4,
    }
    assert set(found) == set(MEASURES)


def test_a_line_says_how_many_sizes_are_better(script, genome_of) -> None:
    record = script([]).record(2)
    assert "better" not in generation_line(record, 10)
    assert generation_line(with_front(record, make_front(genome_of)), 10).endswith("2 sizes better")


def test_the_end_shows_the_best_of_each_size_and_what_came_of_mutations(genome_of) -> None:
    standings = {"grow_connection": Standing(0.25, Credit(30, 12, 16.5)), "add_node": Standing(0.75)}
    outcome = Outcome("finished", "", 3, 30, 1.0, "", None, front=make_front(genome_of), standings=standings)
    blind = load_params(None, {})
    assert [title for title, _ in end_tables(outcome, blind)] == ["Best of each size"]
    informed = load_params(None, {"p_grow_connection": 1, "adapt_probabilities": "pursuit"})
    lines = summary(outcome, None, informed)
    assert "  operator         children  improved  rank  probability" in lines
    assert "  grow_connection        30    40.0 %  0.55        0.250" in lines
    assert "  add_node                0         -     -        0.750" in lines
    (header,) = [line for line in lines if "test accuracy" in line]
    rows = lines[lines.index(header) + 1 :][:3]
    assert [row.split()[0] for row in rows] == ["10", "20", "30"]
    assert {len(row) for row in rows} == {len(header)}
    assert rows[0].endswith("0.6800") and "connections" in header


def test_a_table_of_an_earlier_version_goes_on_with_all_columns(script, tmp_path) -> None:
    old = [name for name in COLUMNS if not name.startswith(("front_", "operators_"))]
    params = load_params(None, {"out_dir": str(tmp_path / "run"), "num_generations": 4, "population_size": 5,
                                "tournament_size": 2})  # fmt: skip
    run = RunDirectory.create(params)
    script([FilesObserver(run)], params=params).run(2)
    keep_rows(run.metrics, old, range(2))
    before = list(csv.DictReader(run.metrics.open()))
    assert len(before) == 2 and list(before[0]) == old
    script([FilesObserver(run)], params=params, first_generation=2).run(4)
    rows = list(csv.DictReader(run.metrics.open()))
    assert [list(row) for row in rows] == [list(COLUMNS)] * 4
    assert [{name: row[name] for name in old} for row in rows[:2]] == before
    assert [row["digest"] for row in rows] == [script([]).record(generation).digest for generation in range(4)]


def test_a_picture_that_cannot_be_written_is_told_and_costs_the_other_nothing(watched, genome_of, task, monkeypatch):
    observer, run, lines = watched(task)

    def refuse(path, content, **_):
        if path.name == "front.svg":
            raise OSError(28, "No space left on device")
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    monkeypatch.setattr("topoevo.reporting.front_files.write_atomically", refuse)
    observer.on_end(ended(make_front(genome_of)))
    assert lines == [f"warning: {run.front / 'front.svg'} cannot be written: No space left on device; free some space"]
    assert (run.front / "front.png").is_file() and run.front_table.is_file()
