"""Failed evaluations in the run directory: how many files are kept, what they say, and what a resume does to them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from topoevo.errors import CheckpointError
from topoevo.evolution import Evaluation, Individual, Population
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Failure
from topoevo.reporting.failures import FailureFiles, failure_files, read_failure, recorded_reason
from topoevo.reporting.kept_population import KeptPopulation, write_population
from topoevo.reporting.replayable import Recorded
from topoevo.reporting.run_directory import RunDirectory
from topoevo.seeds import Stream

PARAMS = {"population_size": 5, "tournament_size": 2, "lr": 0.5, "seed": 7, "metropolis_beta": float("inf")}
ORIGIN = {"settings": {"seed": 7, "beta": float("inf")}, "data": {"source": "made"}}


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(load_params(None, {**PARAMS, "out_dir": str(tmp_path / "run")}))
    yield run
    run.lock.release()


@pytest.fixture
def fail(genome_of):
    """Return ``fail(generation, index, words)``: a failure."""

    def make(generation, index, words, *, stream=Stream.LEARNING, identity=None, weights=None):
        identity = 10 * generation + index if identity is None else identity
        genome = genome_of(identity)
        if weights is not None:
            genome = genome.with_weights(np.full(len(genome.connections), weights, np.float32))
        individual = Individual(identity, (3,), generation, ("add_node",), genome, Evaluation.failed(words, 0.1))
        return Failure(individual, stream, generation, index)

    return make


def files_of(run, task, *, first=0):
    return FailureFiles(run, load_params(run.params, {}), task, first=first)


def lines_of(run):
    return [json.loads(line) for line in run.failures.read_text().splitlines()]


def test_a_file_says_everything(run, task, fail):
    failure = fail(4, 2, "Traceback ...\n  in émeu\nValueError: no", weights=np.nan)
    files_of(run, task).add(failure)
    (line,) = lines_of(run)
    assert line == {
        "generation": 4, "individual": 42, "stream": "LEARNING", "index": 2, "parents": [3],
        "operators": ["add_node"], "digest": failure.individual.genome.digest,
        "file": "failures/generation-000004-individual-42.json", "reason": "ValueError: no",
    }  # fmt: skip
    found = read_failure(run.path / line["file"])
    assert (found.individual, found.stream, found.generation, found.index) == (42, Stream.LEARNING, 4, 2)
    assert found.network.genome.digest == failure.individual.genome.digest
    assert found.network.facts["traceback"] == ["Traceback ...", "  in émeu", "ValueError: no"]
    changed = found.network.facts["settings"]
    assert (changed["lr"], changed["seed"], changed["population_size"]) == (0.5, 7, 5)
    assert "num_epochs" not in changed and "metropolis_beta" not in changed
    assert recorded_reason(run, 4, 42) == "ValueError: no" and recorded_reason(run, 4, 41) is None


def test_weights_that_it_began_with_are_exact(run, task, fail):
    failure = fail(0, 0, "bad")
    files_of(run, task).add(failure)
    read = read_failure(run.path / lines_of(run)[0]["file"]).network.genome.connections
    assert read.tobytes() == failure.individual.genome.connections.tobytes()


def test_a_confirmation_has_a_file_of_its_own(run, task, fail):
    files = files_of(run, task)
    files.add(fail(1, 0, "one"))
    files.add(fail(1, 1, "two", stream=Stream.CONFIRMATION, identity=10))
    names = [path.name for path, _, _ in failure_files(run.failure_files)]
    assert sorted(names) == [
        "generation-000001-individual-10-confirmation.json", "generation-000001-individual-10.json",
    ]  # fmt: skip
    assert read_failure(run.failure_files / names[0]).stream is Stream.CONFIRMATION or "confirmation" in names[1]
    assert recorded_reason(run, 1, 10) == "one"


def test_the_frequent_do_not_crowd_out_the_rare(run, task, fail):
    files = files_of(run, task)
    for index in range(30):
        files.add(fail(0, index, f"ValueError: {index}"))
    files.add(fail(1, 0, "KeyError: 1"))
    for index in range(100):
        files.add(fail(2, index, f"Kind{'x' * index}: no"))
    kept = [line for line in lines_of(run) if line["file"]]
    assert len(lines_of(run)) == 131 and len(kept) == 100 == len(failure_files(run.failure_files))
    assert [line["individual"] for line in kept[:21]] == [*range(20), 10]


def test_what_happens_again_is_forgotten(run, task, fail):
    def first_half(files):
        for generation in range(2):
            for index in range(12):
                files.add(fail(generation, index, "ValueError: x"))

    def second_half(files):
        for generation in range(2, 4):
            for index in range(12):
                files.add(fail(generation, index, "KeyError: x"))

    files = files_of(run, task)
    first_half(files)
    second_half(files)
    whole, names = lines_of(run), [path.name for path, _, _ in failure_files(run.failure_files)]
    with run.failures.open("a") as file:
        file.write('{"generation": 1, "torn')
    (run.failure_files / "mine.json").write_text("{}")
    second_half(files_of(run, task, first=2))
    assert lines_of(run) == whole
    assert [path.name for path, _, _ in failure_files(run.failure_files)] == names
    assert (run.failure_files / "mine.json").exists()
    files_of(run, task, first=0)
    assert lines_of(run) == [] and failure_files(run.failure_files) == []


def test_a_table_of_anything_is_survived(run, task):
    run.failures.write_bytes(b"\xff\n[1]\n{}\n" + b"[" * 10_000 + b"\n" + b'{"generation": "x"}\n{"generation": 1}\n')
    assert recorded_reason(run, 1, 1) is None
    files_of(run, task, first=5)
    assert lines_of(run)[-1] == {"generation": 1}


def test_outcomes_are_compared_to_the_bit():
    weights = np.array([1.0, 0.0, np.nan], np.float32)
    then = Recorded(-1.0, 0.5, weights, None)
    assert then.differences(Recorded(-1.0, 0.5, weights.copy(), None)) == []
    other = Recorded(float(np.nextafter(-1.0, 0.0)), 0.5, np.array([1.0, -0.0, np.nan], np.float32), None)
    assert then.differences(other) == [
        "reward -1.0 then, -0.9999999999999999 now", "1 of 3 weights after learning",
    ]  # fmt: skip
    failed = Recorded(-np.inf, None, None, "ValueError: <Env at 0x7f00aa>")
    assert failed.differences(Recorded(-np.inf, None, None, "ValueError: <Env at 0x7e11bb>")) == []
    assert "failed (KeyError: 1) now" in failed.differences(Recorded(-np.inf, None, None, "KeyError: 1"))[0]
    assert "succeeded now" in failed.differences(then)[0] and "succeeded then" in then.differences(failed)[0]
    assert "\x1b" not in Recorded(-np.inf, None, None, "a \x1b[2J").words


def test_a_population_is_kept_exactly(tmp_path, genome_of):
    genomes = [genome_of(seed, num_splits=seed % 5) for seed in range(6)]
    genomes[1] = genomes[1].with_weights(np.full(len(genomes[1].connections), np.nan, np.float32))
    members = tuple(Individual(100 - place, (), 0, (), genome) for place, genome in enumerate(genomes))
    path = tmp_path / "population.npz"
    write_population(path, Population(3, members), ORIGIN)
    kept = KeptPopulation.read(path)
    assert (kept.generation, kept.individuals, kept.origin) == (3, (100, 99, 98, 97, 96, 95), ORIGIN)
    for ours, theirs in zip(genomes, kept.genomes, strict=True):
        assert ours.nodes.tobytes() == theirs.nodes.tobytes()
        assert ours.connections.tobytes() == theirs.connections.tobytes()
    content, refused = path.read_bytes(), 0
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        try:
            again = KeptPopulation.read(path)
        except CheckpointError:
            refused += 1
            continue
        # What is not content, such as the date of an entry, does not matter.
        assert [genome.digest for genome in again.genomes] == [genome.digest for genome in kept.genomes]
        assert (again.generation, again.individuals, again.origin) == (3, kept.individuals, ORIGIN)
    assert refused > 0.5 * len(content) / 97
