"""What must be true of whatever a reader returns, and of the message that it refuses a file with."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from foreign_samples import (
    CACHED,
    JOURNALED,
    array_of_cache,
    entries_of,
    make_checkpoint,
    make_genome,
    make_training_checkpoint,
)

from topoevo.activations import ACTIVATIONS
from topoevo.commands.control import _check_finished
from topoevo.errors import TopoevoError
from topoevo.experiment.archive import _checksum_of
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.journal import Journal, Place, _hash
from topoevo.experiment.params import load_params
from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.genome import Genome
from topoevo.reporting.event_files import forget_events, read_events
from topoevo.reporting.files import COLUMNS
from topoevo.reporting.kept_population import KeptPopulation
from topoevo.reporting.network_file import read_network, write_network
from topoevo.reporting.out_file import out_text, read_out
from topoevo.reporting.run_directory import RunDirectory
from topoevo.reporting.tables import keep_lines, keep_rows
from topoevo.seeds import Stream
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.csv_file import read_inputs
from topoevo.tasks.idx import parse_idx, read_content
from topoevo.trained_network import TrainedNetwork


def check_message(error: object) -> None:
    """A message is short, printable, and can be written."""
    text = str(error)
    assert 0 < len(text) < 20_000, f"a message of {len(text)} characters"
    text.encode()
    assert text.replace("\n", "").isprintable() or not any(ord(one) < 32 for one in text.replace("\n", ""))


def _check_genome(genome: Genome) -> None:
    """A genome obeys its rules."""
    genome.validate()
    assert not np.isinf(genome.connections["weight"]).any()
    assert (genome.nodes["activation"] < len(ACTIVATIONS)).all()
    assert genome.layers().max(initial=0) <= len(genome.nodes)


def check_network(path: Path) -> None:
    """A network that is read computes, is written, and is read again as the same."""
    file = read_network(path)
    _check_genome(file.genome)
    assert b"\x1b" not in repr(TrainedNetwork(file)).encode()
    copy = path.with_name("copy.json")
    write_network(copy, file.genome, facts=file.facts, feedback=file.feedback)
    again = read_network(copy)
    assert again.genome.digest == file.genome.digest and again.facts == file.facts
    _use(TrainedNetwork(file))


def _use(network: TrainedNetwork) -> None:
    """All that is done with a network file."""
    complexity = network.file.genome.complexity
    if max(complexity.connections, network.network.num_inputs) > 10_000:
        return
    uses: list[Callable[[], Any]] = [
        lambda: network.predict(np.zeros((2, network.network.num_inputs))),
        lambda: network.predict_proba(np.zeros((2, network.network.num_inputs))),
        lambda: network.start_learning(num_steps=10),
        lambda: network.load_task(data_dir="nowhere"),
        lambda: network.load_environment(),
        lambda: (network.shared_weights, network.is_weight_agnostic),
    ]
    for use in uses:
        try:
            use()
        except TopoevoError as error:
            check_message(error)


def check_out(path: Path) -> None:
    """A genome is written and read again as the same matrix."""
    genome = read_out(path).genome
    _check_genome(genome)
    if len(genome.nodes) < 500:
        copy = path.with_name("copy.out")
        copy.write_text(text := out_text(genome))
        again = read_out(copy, num_inputs=genome.num_inputs, num_outputs=genome.num_outputs).genome
        assert out_text(again) == text


def check_params(path: Path) -> None:
    """Settings are written and read again as the same."""
    refused = None
    for family in ("wlnn", "wann"):
        try:
            params = load_params(path, {}, family=family)
        except TopoevoError as error:
            refused = error
            check_message(error)
            continue
        copy = path.with_name("copy.yaml")
        copy.write_text(params.to_yaml(), "utf-8")
        assert load_params(copy, {}).to_yaml() == params.to_yaml()
    if refused is not None:
        raise refused


def check_table(path: Path) -> None:
    """A table has finite numbers, and classes that exist."""
    settings = DataSettings(str(path))
    task = load_task(settings)
    for samples in (task.train, task.test):
        assert np.isfinite(samples.inputs).all() and samples.inputs.shape[1] == task.num_inputs
        if task.kind == "classification":
            assert samples.targets.min() >= 0 and samples.targets.max() < task.num_outputs
        else:
            assert np.isfinite(samples.targets).all()
    json.dumps([task.provenance, task.input_names, task.output_names], ensure_ascii=False).encode()


def check_csv(path: Path) -> None:
    """A table, as samples and as rows to predict."""
    try:
        rows = read_inputs(path, ["z", "x"])
        assert rows.ndim == 2 and rows.shape[1] == 2 and np.isfinite(rows).all()
    except TopoevoError as error:
        check_message(error)
    check_table(path)


def check_idx(path: Path) -> None:
    """Images of three by two pixels, or labels."""
    content = read_content(path)
    for item_shape in ((3, 2), ()):
        try:
            array = parse_idx(content, path, item_shape=item_shape)
            assert array.dtype == np.uint8 and array.shape[1:] == item_shape and len(array) >= 1
        except TopoevoError as error:
            check_message(error)


def check_cache(path: Path) -> None:
    """Whatever lies in the cache, the array is the right one."""
    assert np.asarray(array_of_cache(path)).tobytes() == CACHED.tobytes()


def check_checkpoint(path: Path) -> None:
    """A checkpoint is the one that was written."""
    found, written = Checkpoint.read(path), make_checkpoint()
    assert [one.genome.digest for one in found.population.members] == [
        one.genome.digest for one in written.population.members
    ]
    assert (found.tracker.next_node, found.tracker.next_innovation) == (100, 200)
    for name in ("num_evaluations", "seconds", "digest", "confirmed", "origin"):
        assert getattr(found, name) == getattr(written, name), name
    assert found.population.generation == written.population.generation
    assert found.champion is not None and written.champion is not None and found.champion.test == written.champion.test


def check_old_checkpoint(path: Path) -> None:
    """A checkpoint without checksums has legal genomes, and can be written again."""
    found = Checkpoint.read(path)
    for one in found.population.members:
        _check_genome(one.genome)
    found.write(path.parent / "again")


def check_training_checkpoint(path: Path) -> None:
    """A checkpoint of a training is the one that was written."""
    found, written = TrainingCheckpoint.read(path), make_training_checkpoint()
    assert found.genome.digest == written.genome.digest
    assert np.asarray(found.memory["weights"]).tobytes() == written.memory["weights"].tobytes()


def check_population(path: Path) -> None:
    """A population is the one that was written."""
    found, written = KeptPopulation.read(path), make_checkpoint()
    assert [one.digest for one in found.genomes] == [one.genome.digest for one in written.population.members]
    assert (found.generation, found.individuals, found.origin) == (4, (8, 9, 10), written.origin)


def repacked(read: Callable[[Path], Any], make: Callable[[Path], bytes]) -> Callable[[Path], None]:
    """Read an archive whose JSON is the file at the path, all checksums being right."""
    arrays: dict[str, Any] = {}

    def check(path: Path) -> None:
        if not arrays:
            make(path.parent)
            arrays.update(entries_of(next((path.parent / "checkpoint").glob("*.npz")))[0])
        content = path.read_bytes()
        try:
            meta = json.loads(content)
            sums = {name: _checksum(array) for name, array in arrays.items()}
            content = json.dumps({**meta, "checksums": sums}).encode()
        except (ValueError, TypeError, RecursionError):
            pass
        archive = io.BytesIO()
        np.savez(archive, **arrays, meta=np.frombuffer(content, np.uint8))
        copy = path.with_name("copy.npz")
        copy.write_bytes(archive.getvalue())
        read(copy).write(path.parent / "again")

    return check


def in_archive(name: str, arrays: Callable[[], dict[str, Any]], read: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Read an archive one entry of which is the file at the path, the archive being whole."""

    def check(path: Path) -> None:
        copy = path.with_name("copy.npz")
        with zipfile.ZipFile(copy, "w") as archive:
            for other, array in arrays().items():
                stream = io.BytesIO()
                np.save(stream, array)
                archive.writestr(f"{other}.npy", path.read_bytes() if other == name else stream.getvalue())
        read(copy)

    return check


def _checksum(array: np.ndarray[Any, Any]) -> str:
    """What an archive says of an entry."""
    checksum = _checksum_of(array.dtype, array.shape)
    checksum.update(np.ascontiguousarray(array).tobytes())
    return str(checksum.hexdigest())


def check_journal(path: Path) -> None:
    """An evaluation of a journal is the one that was written, or is not there."""
    genome = make_genome()
    journal = Journal(path.parent, 4, [genome] * 4, say=check_message)
    for index in range(4):
        found = journal.known(Place(Stream.LEARNING, index), genome)
        if found is not None:
            assert index < 3 and found.seconds == (0.2 if index == 2 else 0.1)
            assert found.reward == (-np.inf if index == 2 else -0.5) and found.accuracy == (None, 0.8)[index == 0]
            if index == 0:
                assert found.weights is not None
                assert found.weights.tobytes() == genome.connections["weight"].tobytes()
    journal.add(Place(Stream.LEARNING, 3), genome, JOURNALED, seconds=9.0)
    journal.save(now=True)
    journal.close()


def check_journal_records(path: Path) -> None:
    """A journal whose hashes are right, whatever its records say."""
    lines = path.read_bytes().splitlines()
    texts = [line.partition(b" ")[2] for line in lines]
    path.write_bytes(b"".join(_hash(text) + b" " + text + b"\n" for text in texts))
    genome = make_genome()
    journal = Journal(path.parent, 4, [genome] * 4, say=check_message)
    for index in range(4):
        found = journal.known(Place(Stream.LEARNING, index), genome)
        if found is not None:
            assert type(found.reward) is float and isinstance(found.failure, str | None)
            assert found.weights is None or found.weights.shape == (len(genome.connections),)


def check_metrics(path: Path) -> None:
    """Rows of generations that are done stay, each once and as long as the header."""
    import csv

    missing = keep_rows(path, COLUMNS, range(3))
    rows = list(csv.reader(path.open(encoding="utf-8", newline=""))) if path.exists() else [COLUMNS]
    assert len(rows) - 1 == 3 - missing and {len(row) for row in rows} <= {len(COLUMNS)}


def check_failure_lines(path: Path) -> None:
    """Lines of generations that are done stay."""
    keep_lines(path, 3)
    for line in path.read_bytes().split(b"\n")[:-1]:
        assert json.loads(line)["generation"] < 3


def check_events(path: Path) -> None:
    """Events of steps that are done stay, and are whole."""
    forget_events(path.parent, 3)
    for _, event in read_events(path) if path.exists() else ():
        assert event is not None and (event.step < 3 or event.HasField("file_version"))


def _run(path: Path) -> RunDirectory:
    """The folder of the file as that of a run."""
    (path.parent / "params.yaml").write_text("seed: 1\n")
    (path.parent / "champion.json").write_text("{}")
    return RunDirectory(path.parent)


def check_result(path: Path) -> None:
    """The result of a finished run has a champion with numbers."""
    result = _check_finished(_run(path))
    assert result.status == "finished" and result.champion is not None


def check_environment(path: Path) -> None:
    """A run goes on whatever is written of the machine it began on."""
    _run(path).go_on(load_params(None, {}))
    assert len(json.loads(path.read_text("utf-8"))["resumed"]) >= 1
