"""Evaluations that survive the process: bit for bit, whatever becomes of the end of the file."""

from __future__ import annotations

import dataclasses
import math
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topoevo.evolution import Evaluation
from topoevo.experiment import journal as journal_module
from topoevo.experiment.journal import Journal, Place, delete_journals, path_of
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.genome.dense import dense_genome
from topoevo.seeds import Stream
from topoevo.variation import Evidence

GENERATION = 7


def genomes_of(number):
    tracker = InnovationTracker()
    return [
        minimal_genome(3, 2, p_enabled=0.6, tracker=tracker, rng=np.random.default_rng(seed)) for seed in range(number)
    ]


GENOMES = genomes_of(4)


def opened(folder, said=None, *, genomes=GENOMES, generation=GENERATION):
    return Journal(folder, generation, genomes, say=[].append if said is None else said.append)


def an_evaluation(index, **changes):
    weights = np.random.default_rng(index).normal(size=len(GENOMES[index].connections)).astype(np.float32)
    return dataclasses.replace(Evaluation(-0.1 * index, 1 / 3, 0.7, weights, 1e-7), **changes)


def bits(evaluation):
    """Every field of an evaluation as bytes; a field that a journal forgets would be missing here, too."""
    found = []
    for field in dataclasses.fields(evaluation):
        value = getattr(evaluation, field.name)
        found.append(
            struct.pack("<d", value) if isinstance(value, float)
            else value.tobytes() if isinstance(value, np.ndarray)
            else value
        )  # fmt: skip
    return found


def write(folder, evaluations, **options):
    journal = opened(folder, **options)
    for index, evaluation in evaluations.items():
        journal.add(Place(Stream.LEARNING, index), GENOMES[index], evaluation, seconds=10.0 + index)
    journal.save(now=True)
    journal.close()


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(0, 2**64 - 1).map(
    lambda number: struct.unpack("<d", struct.pack("<Q", number))[0]
)


@settings(max_examples=60, deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS | st.none(), NUMBERS, st.text(max_size=60) | st.none(), st.binary(max_size=64))
def test_every_bit_comes_back(tmp_path_factory, reward, best, accuracy, seconds, failure, content):
    folder = tmp_path_factory.mktemp("journal")
    size = len(GENOMES[0].connections)
    weights = np.frombuffer(content.ljust(4 * size, b"\xff")[: 4 * size], "<f4") if content else None
    evaluation = Evaluation(reward, best, accuracy, weights, seconds, failure)
    said = []
    write(folder, {0: evaluation}, said=said)
    (found,) = opened(folder, said).known_members(GENOMES).values()
    assert bits(found) == bits(evaluation) and not said
    assert found.weights is None or found.weights.dtype == np.float32


def test_evaluations_of_confirmations_are_found_by_their_address(tmp_path):
    journal = opened(tmp_path)
    place = Place(Stream.CONFIRMATION, 2, num_epochs=20)
    journal.add(place, GENOMES[1], an_evaluation(1), seconds=3.0)
    journal.save(now=True)
    again = opened(tmp_path)
    assert bits(again.known(place, GENOMES[1])) == bits(an_evaluation(1))
    assert again.seconds == 3.0
    assert again.known(Place(Stream.CONFIRMATION, 2), GENOMES[1]) is None
    assert again.known(Place(Stream.CONFIRMATION, 2, num_epochs=21), GENOMES[1]) is None
    assert again.known(place, GENOMES[2]) is None, "another genome"
    assert again.known_members(GENOMES) == {}


def test_evidence_of_a_large_network_comes_back(tmp_path):
    genome = dense_genome(256, (64,), 10, bias=True)
    rng, size = np.random.default_rng(0), len(genome.connections)
    evidence = Evidence(
        innovation=genome.connections["innovation"],
        saliency=rng.random(size),
        strain=rng.random(size),
        node=genome.nodes["id"],
        mean=rng.normal(size=len(genome.nodes)),
        deviation=rng.random(len(genome.nodes)),
        absent=rng.integers(2**31, size=(4 * size, 2)),
        slope=rng.normal(size=4 * size),
        similar=[(300, 301)],
        correlation=[-0.5],
    )
    weights = rng.normal(size=size).astype(np.float32)
    removed = rng.random(size) < 0.5
    before = Evaluation(-0.1, -0.1, None, weights, 1e-7, removed=removed, evidence=evidence, num_saved=3)
    journal = opened(tmp_path, genomes=[genome])
    journal.add(Place(Stream.LEARNING, 0), genome, before, seconds=1.0)
    journal.save(now=True)
    journal.close()
    after = opened(tmp_path, genomes=[genome]).known_members([genome])[0]
    assert bits(dataclasses.replace(after, evidence=None)) == bits(dataclasses.replace(before, evidence=None))
    assert bits(after.evidence) == bits(before.evidence)


def test_another_genome_at_the_same_place_is_evaluated(tmp_path):
    write(tmp_path, {0: an_evaluation(0), 1: an_evaluation(1)})
    changed = [GENOMES[3], *GENOMES[1:]]
    assert opened(tmp_path, genomes=changed).known_members(changed).keys() == {1}


def test_a_record_whose_weights_do_not_fit_is_passed_over(tmp_path):
    write(tmp_path, {0: an_evaluation(0, weights=np.zeros(99, np.float32)), 1: an_evaluation(1)})
    assert opened(tmp_path).known_members(GENOMES).keys() == {1}


def test_cheap_generations_never_touch_the_disk(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(journal_module.time, "monotonic", lambda: now)
    journal = opened(tmp_path)
    for index in range(3):
        now += 0.3
        journal.add(Place(Stream.LEARNING, index), GENOMES[index], an_evaluation(index), seconds=now)
        journal.save()
    assert list(tmp_path.iterdir()) == []
    now += 0.2
    journal.save()
    assert opened(tmp_path).known_members(GENOMES).keys() == {0, 1, 2}
    before = path_of(tmp_path, GENERATION).stat().st_size
    journal.add(Place(Stream.LEARNING, 3), GENOMES[3], an_evaluation(3), seconds=now)
    journal.save()
    assert path_of(tmp_path, GENERATION).stat().st_size == before, "written again before the time has come"
    now += 1.1
    journal.save()
    assert opened(tmp_path).known_members(GENOMES).keys() == {0, 1, 2, 3}


def test_a_torn_end_is_passed_over_silently_and_written_again(tmp_path):
    evaluations = {index: an_evaluation(index) for index in range(3)}
    write(tmp_path, evaluations)
    path = path_of(tmp_path, GENERATION)
    whole = path.read_bytes()
    ends = [index for index, letter in enumerate(whole) if letter == ord("\n")]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        said = []
        journal = opened(tmp_path, said)
        known = journal.known_members(GENOMES)
        num_whole = sum(end < length for end in ends)
        assert len(known) == max(num_whole - 1, 0) and not said
        for index, evaluation in known.items():
            assert bits(evaluation) == bits(evaluations[index])
        if length % 97 == 0:
            # What a process that goes on adds is read after what was whole.
            journal.add(Place(Stream.LEARNING, 3), GENOMES[3], an_evaluation(3), seconds=1.0)
            journal.save(now=True)
            journal.close()
            assert opened(tmp_path, said).known_members(GENOMES).keys() == {*known, 3} and not said


def test_damage_ends_what_is_read_with_a_warning(tmp_path):
    evaluations = {index: an_evaluation(index) for index in range(3)}
    write(tmp_path, evaluations)
    path = path_of(tmp_path, GENERATION)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(whole) - 1, 150, replace=False):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        said = []
        known = opened(tmp_path, said).known_members(GENOMES)
        line = whole[:position].count(b"\n")
        assert sorted(known) == list(range(line - 1)) if line else known == {}
        for index, evaluation in known.items():
            assert bits(evaluation) == bits(evaluations[index])
        assert len(said) == 1 and str(path) in said[0] and "is damaged" in said[0], position


def forged(**changes):
    record = journal_module._record(Place(Stream.LEARNING, 0), GENOMES[0], an_evaluation(0), 1.0)
    return {**record, **changes}


@pytest.mark.parametrize(
    "record",
    [
        forged(index=-1),
        forged(index=4),
        forged(index=2**70),
        forged(index=True),
        forged(index=0.0),
        forged(stream="INITIALS"),
        forged(stream="CONFIRMATION", index=16),
        forged(stream="CONFIRMATION", num_epochs=[1]),
        forged(reward="zz"),
        forged(reward=1.0),
        forged(reward="00"),
        forged(weights="***"),
        forged(weights="AAA="),
        forged(weights=[1.0]),
        forged(failure=3),
        forged(run_seconds=journal_module._bits(math.inf)),
        forged(run_seconds=journal_module._bits(math.nan)),
        forged(run_seconds=journal_module._bits(-1.0)),
        forged(genome=["x"]),
        {"stream": "LEARNING"},
        [1, 2],
        "text",
        None,
    ],
    ids=str,
)
def test_records_with_a_right_hash_and_wrong_content_are_refused(tmp_path, record):
    path = path_of(tmp_path, GENERATION)
    head = {"format": journal_module.FORMAT, "version": journal_module.VERSION, "generation": GENERATION}
    path.write_bytes(journal_module._line(head) + journal_module._line(record))
    said = []
    assert opened(tmp_path, said).known_members(GENOMES) == {}
    assert "is damaged" in said[0]


def test_deep_nesting_and_endless_lines_are_refused(tmp_path):
    path = path_of(tmp_path, GENERATION)
    for text in (b"[" * 200_000, b"x" * 3_000_000, b"\xff\xfe" * 1000, b"\0" * 5000):
        path.write_bytes(journal_module._hash(text) + b" " + text + b"\n")
        said = []
        assert opened(tmp_path, said).known_members(GENOMES) == {} and said


def test_a_pipe_is_no_journal(tmp_path):
    os.mkfifo(path_of(tmp_path, GENERATION))
    assert opened(tmp_path).known_members(GENOMES) == {}


def test_the_journal_of_another_version_is_not_called_damaged(tmp_path):
    for version in (journal_module.VERSION - 1, journal_module.VERSION + 1):
        head = {"format": journal_module.FORMAT, "version": version, "generation": GENERATION}
        path_of(tmp_path, GENERATION).write_bytes(journal_module._line(head))
        said = []
        assert opened(tmp_path, said).known_members(GENOMES) == {}
        assert len(said) == 1 and "is of another version" in said[0]


def test_the_journal_of_another_generation_is_refused(tmp_path):
    write(tmp_path, {0: an_evaluation(0)}, generation=GENERATION + 1)
    path_of(tmp_path, GENERATION + 1).rename(path_of(tmp_path, GENERATION))
    said = []
    assert opened(tmp_path, said).known_members(GENOMES) == {}
    assert "not the journal of this generation" in said[0]


def test_a_disk_that_takes_nothing_is_told_once_and_costs_no_evaluation(tmp_path):
    said = []
    journal = opened(tmp_path / "missing" / "checkpoint", said)
    for index in range(2):
        journal.add(Place(Stream.LEARNING, index), GENOMES[index], an_evaluation(index), seconds=0.0)
        journal.save(now=True)
    assert len(said) == 1 and "cannot be kept until the next checkpoint" in said[0]


def test_nothing_is_written_into_another_folder_of_the_same_name(tmp_path):
    folder, said = tmp_path / "checkpoint", []
    folder.mkdir()
    journal = opened(folder, said)
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    journal.add(Place(Stream.LEARNING, 0), GENOMES[0], an_evaluation(0), seconds=0.0)
    journal.save(now=True)
    assert len(said) == 1 and "its folder was deleted, moved or replaced" in said[0]
    assert not list(folder.iterdir())


def test_without_a_folder_nothing_is_kept():
    journal = opened(None)
    journal.add(Place(Stream.LEARNING, 0), GENOMES[0], an_evaluation(0), seconds=0.0)
    journal.save(now=True)
    journal.delete()
    assert journal.known_members(GENOMES) == {}


def test_journals_go_with_their_generation(tmp_path):
    for generation in (3, 4, 12):
        write(tmp_path, {0: an_evaluation(0)}, generation=generation)
    (tmp_path / "journal-x.jsonl").write_text("of somebody else")
    delete_journals(tmp_path, before=4)
    assert {path.name for path in tmp_path.iterdir()} == {
        "journal-000004.jsonl", "journal-000012.jsonl", "journal-x.jsonl",
    }  # fmt: skip
    delete_journals(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"journal-x.jsonl"}


def test_rewards_that_are_not_numbers_keep_their_sign():
    assert math.copysign(1.0, journal_module._number(journal_module._bits(-math.nan))) == -1.0
