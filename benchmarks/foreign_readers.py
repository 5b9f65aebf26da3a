"""Every reader of files from outside, with real files of its format and a check of what it returns.

A reader may return a correct value or raise `TopoevoError`; anything else is a finding. Used by `fuzz_readers.py` and
by the tests.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from topoevo.activations import ACTIVATIONS
from topoevo.commands.control import _check_finished
from topoevo.errors import TopoevoError
from topoevo.evolution import Evaluation, Individual, Population
from topoevo.experiment.archive import _checksum_of
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.journal import Journal, Place, _hash, path_of
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Champion, TaskScore
from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.genome import Genome, InnovationTracker
from topoevo.reporting.event_files import forget_events, load_tensorboardx, read_events
from topoevo.reporting.failures import read_failure
from topoevo.reporting.files import COLUMNS
from topoevo.reporting.kept_population import KeptPopulation, write_population
from topoevo.reporting.network_facts import facts_of_individual
from topoevo.reporting.network_file import network_json, read_network, write_network
from topoevo.reporting.out_file import out_text, read_out
from topoevo.reporting.run_directory import RunDirectory
from topoevo.reporting.tables import keep_lines, keep_rows
from topoevo.seeds import Stream
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.cache import cached_array
from topoevo.tasks.csv_file import read_inputs
from topoevo.tasks.idx import parse_idx, read_content
from topoevo.trained_network import TrainedNetwork


@dataclasses.dataclass(frozen=True)
class Reader:
    """One reader.

    Parameters
    ----------
    name
        For people.
    path
        Where the file lies in a folder of its own.
    make
        Writes real files into an empty folder and returns their contents.
    read
        Reads the file at a path and asserts that what comes back is correct.
    """

    name: str
    path: str
    make: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]


# -- what files are made of -------------------------------------------------------------------------------------


def make_genome(num_inputs: int = 3, num_outputs: int = 2) -> Genome:
    """Return a small genome with hidden nodes, disabled genes, unset and odd weights."""
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = Genome.minimal(num_inputs, num_outputs, p_enabled=1.0, tracker=tracker, rng=rng, bias=True)
    for innovation in (0, 3):
        genome = genome.split(innovation, tracker=tracker, activation="tanh", bias=True)
    weights = rng.normal(size=len(genome.connections)).astype(np.float32)
    weights[:4] = [0.1, -0.0, 1e-45, np.nan]
    return genome.with_weights(weights)


def _table(rows: int = 24) -> str:
    """A small table of two classes."""
    numbers = np.random.default_rng(1).normal(size=(rows, 3)).round(3)
    lines = [",".join([*map(str, row), "ab"[index % 2]]) for index, row in enumerate(numbers.tolist())]
    return "\n".join(["x,y,z,kind", *lines]) + "\n"


def _individual() -> Individual:
    """An individual that was evaluated."""
    genome = make_genome()
    return Individual(7, (3, 4), 2, ("add_node",), genome, Evaluation(-0.5, -0.5, 0.8, None, 0.1))


def _network_texts(folder: Path) -> list[bytes]:
    """Network files of a table, of an environment, without facts, and with feedback weights."""
    from topoevo.experiment.learning_facts import feedback_of

    (folder / "t.csv").write_text(_table())
    individual = _individual()
    texts = [network_json(individual.genome, facts={})]
    for rule in ("backprop", "feedback_alignment", "direct_feedback_alignment"):
        params = load_params(None, {"dataset": str(folder / "t.csv"), "learning_rule": rule})
        task = load_task(DataSettings(params.dataset))
        facts = facts_of_individual(individual, params, task, generation=3)
        # The path differs from run to run, the corpus must not.
        facts["data_settings"]["dataset"] = "t.csv"
        texts.append(network_json(individual.genome, facts=facts, feedback=feedback_of(individual.genome, params)))
    facts = {
        "environment_settings": {"env_name": "Snake", "take_argmax_action": None, "options": {"board_size": 6}},
        "shared_weights": [-1.0, 0.5],
        "provenance": {"generation": None},
    }
    texts.append(network_json(individual.genome, facts=facts))
    return [text.encode() for text in texts]


def _failure_texts(folder: Path) -> list[bytes]:
    """A network file of a failed individual."""
    facts = {
        "provenance": {"individual": 7, "generation": 3},
        "failure": {"reason": "ValueError: no", "seed": 0, "stream": "LEARNING", "generation": 3, "index": 1},
        "traceback": ["Traceback", "ValueError: no"],
        "settings": {"seed": 0},
    }
    return [network_json(make_genome(), facts=facts).encode()]


def _checkpoint(generation: int = 4) -> Checkpoint:
    """A checkpoint of a population of three."""
    individual = _individual()
    newcomers = [Individual(8 + index, (7,), generation, (), individual.genome) for index in range(3)]
    champion = Champion(individual, 3, TaskScore(-0.5, 0.8), None, TaskScore(-0.6, 0.75))
    return Checkpoint(
        Population(generation, tuple(newcomers)),
        InnovationTracker(100, 200),
        champion,
        frozenset(["0123456789abcdef"]),
        30,
        1.5,
        "0123456789abcdef",
        {"settings": {"seed": 0, "lr": 0.1}, "data": {"dataset": "digits"}},
    )


def _training_checkpoint() -> TrainingCheckpoint:
    """A checkpoint of a training."""
    memory = {"weights": np.arange(5, dtype=np.float32), "steps": np.int64(3), "rate": 0.5, "state": {"a": [1, 2]}}
    return TrainingCheckpoint(make_genome(), memory, 2, 0.5, "0123456789abcdef", {"settings": {}, "data": {}})


def _written(checkpoint: Checkpoint | TrainingCheckpoint, folder: Path) -> bytes:
    """The file of a checkpoint."""
    checkpoint.write(folder / "checkpoint")
    return next((folder / "checkpoint").glob("*.npz")).read_bytes()


def _metas(path: Path) -> tuple[dict[str, Any], bytes]:
    """Entries of an archive, and its JSON."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, arrays.pop("meta").tobytes()


# -- checks -----------------------------------------------------------------------------------------------------


def _read_network(path: Path) -> None:
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
            _check_message(error)


def _check_genome(genome: Genome) -> None:
    """A genome obeys its rules."""
    genome.validate()
    assert not np.isinf(genome.connections["weight"]).any()
    assert (genome.nodes["activation"] < len(ACTIVATIONS)).all()
    assert genome.layers().max(initial=0) <= len(genome.nodes)


def _read_out(path: Path) -> None:
    """A genome is written and read again as the same matrix."""
    genome = read_out(path).genome
    _check_genome(genome)
    if len(genome.nodes) < 500:
        copy = path.with_name("copy.out")
        copy.write_text(text := out_text(genome))
        again = read_out(copy, num_inputs=genome.num_inputs, num_outputs=genome.num_outputs).genome
        assert out_text(again) == text


def _read_params(path: Path) -> None:
    """Settings are written and read again as the same."""
    refused = None
    for family in ("wlnn", "wann"):
        try:
            params = load_params(path, {}, family=family)
        except TopoevoError as error:
            refused = error
            _check_message(error)
            continue
        copy = path.with_name("copy.yaml")
        copy.write_text(params.to_yaml(), "utf-8")
        assert load_params(copy, {}).to_yaml() == params.to_yaml()
    if refused is not None:
        raise refused


def _read_table(path: Path) -> None:
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


def _read_csv(path: Path) -> None:
    """A table, as samples and as rows to predict."""
    try:
        rows = read_inputs(path, ["z", "x"])
        assert rows.ndim == 2 and rows.shape[1] == 2 and np.isfinite(rows).all()
    except TopoevoError as error:
        _check_message(error)
    _read_table(path)


def _read_idx(path: Path) -> None:
    """Images of three by two pixels, or labels."""
    content = read_content(path)
    for item_shape in ((3, 2), ()):
        try:
            array = parse_idx(content, path, item_shape=item_shape)
            assert array.dtype == np.uint8 and array.shape[1:] == item_shape and len(array) >= 1
        except TopoevoError as error:
            _check_message(error)


_CACHED = np.arange(12, dtype=np.float32).reshape(4, 3)


def _read_cache(path: Path) -> None:
    """Whatever lies in the cache, the array is the right one."""
    before = os.environ.get("TOPOEVO_CACHE")
    os.environ["TOPOEVO_CACHE"] = str(path.parent.parent)
    try:
        array = cached_array(path.stem, _CACHED.shape, lambda: _CACHED.copy())
    finally:
        os.environ.pop("TOPOEVO_CACHE")
        os.environ |= {} if before is None else {"TOPOEVO_CACHE": before}
    assert np.asarray(array).tobytes() == _CACHED.tobytes()


def _read_checkpoint(path: Path) -> None:
    """A checkpoint is the one that was written."""
    found, written = Checkpoint.read(path), _checkpoint()
    assert [one.genome.digest for one in found.population.members] == [
        one.genome.digest for one in written.population.members
    ]
    assert (found.tracker.next_node, found.tracker.next_innovation) == (100, 200)
    for name in ("num_evaluations", "seconds", "digest", "confirmed", "origin"):
        assert getattr(found, name) == getattr(written, name), name
    assert found.population.generation == written.population.generation
    assert found.champion is not None and written.champion is not None and found.champion.test == written.champion.test


def _read_old_checkpoint(path: Path) -> None:
    """A checkpoint without checksums has legal genomes, and can be written again."""
    found = Checkpoint.read(path)
    for one in found.population.members:
        _check_genome(one.genome)
    found.write(path.parent / "again")


def _read_training_checkpoint(path: Path) -> None:
    """A checkpoint of a training is the one that was written."""
    found, written = TrainingCheckpoint.read(path), _training_checkpoint()
    assert found.genome.digest == written.genome.digest
    assert np.asarray(found.memory["weights"]).tobytes() == written.memory["weights"].tobytes()


def _populations(folder: Path) -> list[bytes]:
    """The population beside a snapshot."""
    checkpoint = _checkpoint()
    write_population(folder / "population.npz", checkpoint.population, checkpoint.origin)
    return [(folder / "population.npz").read_bytes()]


def _read_population(path: Path) -> None:
    """A population is the one that was written."""
    found, written = KeptPopulation.read(path), _checkpoint()
    assert [one.digest for one in found.genomes] == [one.genome.digest for one in written.population.members]
    assert (found.generation, found.individuals, found.origin) == (4, (8, 9, 10), written.origin)


def _repacked(read: Callable[[Path], Any], make: Callable[[Path], bytes]) -> Callable[[Path], None]:
    """Read an archive whose JSON is the file at the path, all checksums being right."""
    arrays: dict[str, Any] = {}

    def check(path: Path) -> None:
        if not arrays:
            make(path.parent)
            arrays.update(_metas(next((path.parent / "checkpoint").glob("*.npz")))[0])
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


def _in_archive(name: str, arrays: Callable[[], dict[str, Any]], read: Callable[[Path], Any]) -> Callable[[Path], None]:
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


@functools.cache
def _old_arrays() -> dict[str, Any]:
    """Entries of an archive of version 1."""
    with tempfile.TemporaryDirectory() as folder, np.load(io.BytesIO(_old_checkpoints(Path(folder))[0])) as archive:
        return {name: archive[name] for name in archive.files}


def _npy(array: Any) -> bytes:
    """An array as numpy writes it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _checksum(array: np.ndarray[Any, Any]) -> str:
    """What an archive says of an entry."""
    checksum = _checksum_of(array.dtype, array.shape)
    checksum.update(np.ascontiguousarray(array).tobytes())
    return str(checksum.hexdigest())


_JOURNALED = Evaluation(-0.5, -0.25, 0.8, np.arange(3, dtype=np.float32), 0.1)


def _journal_lines(folder: Path) -> list[bytes]:
    """A journal of three evaluations."""
    genome = make_genome()
    weights = genome.connections["weight"]
    journal = Journal(folder, 4, [genome] * 4, say=print)
    for index, one in enumerate(
        (
            dataclasses.replace(_JOURNALED, weights=weights),
            dataclasses.replace(_JOURNALED, weights=None, accuracy=None),
            Evaluation.failed("ValueError: no", 0.2),
        )
    ):
        journal.add(Place(Stream.LEARNING, index), genome, one, seconds=1.0 + index)
    journal.save(now=True)
    journal.close()
    return [path_of(folder, 4).read_bytes()]


def _read_journal(path: Path) -> None:
    """An evaluation of a journal is the one that was written, or is not there."""
    genome = make_genome()
    journal = Journal(path.parent, 4, [genome] * 4, say=_check_message)
    for index in range(4):
        found = journal.known(Place(Stream.LEARNING, index), genome)
        if found is not None:
            assert index < 3 and found.seconds == (0.2 if index == 2 else 0.1)
            assert found.reward == (-np.inf if index == 2 else -0.5) and found.accuracy == (None, 0.8)[index == 0]
            if index == 0:
                assert found.weights is not None
                assert found.weights.tobytes() == genome.connections["weight"].tobytes()
    journal.add(Place(Stream.LEARNING, 3), genome, _JOURNALED, seconds=9.0)
    journal.save(now=True)
    journal.close()


def _read_journal_records(path: Path) -> None:
    """A journal whose hashes are right, whatever its records say."""
    lines = path.read_bytes().splitlines()
    texts = [line.partition(b" ")[2] for line in lines]
    path.write_bytes(b"".join(_hash(text) + b" " + text + b"\n" for text in texts))
    genome = make_genome()
    journal = Journal(path.parent, 4, [genome] * 4, say=_check_message)
    for index in range(4):
        found = journal.known(Place(Stream.LEARNING, index), genome)
        if found is not None:
            assert type(found.reward) is float and isinstance(found.failure, str | None)
            assert found.weights is None or found.weights.shape == (len(genome.connections),)


def _read_metrics(path: Path) -> None:
    """Rows of generations that are done stay, each once and as long as the header."""
    import csv

    missing = keep_rows(path, COLUMNS, range(3))
    rows = list(csv.reader(path.open(encoding="utf-8", newline=""))) if path.exists() else [COLUMNS]
    assert len(rows) - 1 == 3 - missing and {len(row) for row in rows} <= {len(COLUMNS)}


def _read_failure_lines(path: Path) -> None:
    """Lines of generations that are done stay."""
    keep_lines(path, 3)
    for line in path.read_text("utf-8").splitlines():
        assert json.loads(line)["generation"] < 3


def _read_events(path: Path) -> None:
    """Events of steps that are done stay, and are whole."""
    forget_events(path.parent, 3)
    for _, event in read_events(path) if path.exists() else ():
        assert event is not None and (event.step < 3 or event.HasField("file_version"))


def _run(path: Path) -> RunDirectory:
    """The folder of the file as that of a run."""
    (path.parent / "params.yaml").write_text("seed: 1\n")
    (path.parent / "champion.json").write_text("{}")
    return RunDirectory(path.parent)


def _read_result(path: Path) -> None:
    """The result of a finished run has a champion with numbers."""
    result = _check_finished(_run(path))
    assert result.status == "finished" and result.champion is not None


def _read_environment(path: Path) -> None:
    """A run goes on whatever is written of the machine it began on."""
    _run(path).go_on(load_params(None, {}))
    assert len(json.loads(path.read_text("utf-8"))["resumed"]) >= 1


def _check_message(error: object) -> None:
    """A message is short, printable, and can be written."""
    text = str(error)
    assert 0 < len(text) < 20_000, f"a message of {len(text)} characters"
    text.encode()
    assert text.replace("\n", "").isprintable() or not any(ord(one) < 32 for one in text.replace("\n", ""))


def check(reader: Reader, path: Path) -> bool:
    """Read a file, and return whether it was accepted.

    Raises
    ------
    Exception
        If the reader does anything but to return a correct value or to raise a `TopoevoError` with a decent message.
    """
    try:
        reader.read(path)
    except TopoevoError as error:
        _check_message(error)
        return False
    return True


_ARRAYS: dict[str, Any] = {
    "X": np.random.default_rng(2).normal(size=(20, 3)),
    "y": np.array(["a", "bb"] * 10),
}

# -- real files -------------------------------------------------------------------------------------------------


def _outs(folder: Path) -> list[bytes]:
    """A published-style file, and one by hand."""
    genome = make_genome().with_weights(np.ones(len(make_genome().connections), np.float32))
    return [out_text(genome).encode(), b"0,0,0.5,1\n0,0,1,1\n0,0,nan,5\n"]


def _params(folder: Path) -> list[bytes]:
    """The shipped parameter files, and all settings."""
    shipped = Path(__file__).resolve().parents[1] / "params"
    texts = [path.read_bytes() for path in sorted(shipped.glob("*/*.yaml"))]
    return [*texts, load_params(None, {}).to_yaml().encode()]


def _csvs(folder: Path) -> list[bytes]:
    """Classes, a regression with other separators, cells in quotes."""
    regression = _table().replace("a\n", "1.5\n").replace("b\n", "-2e3\n").replace(",", ";")
    quoted = 'x,"y ""1""","z\n2",kind\n' + "".join(f'{i},"{i * 2}",-1e-3,"{"ab"[i % 2]}, or"\r\n' for i in range(20))
    return [_table().encode(), regression.encode(), quoted.encode(), b"\xef\xbb\xbf" + _table().encode()]


def _npzs(folder: Path) -> list[bytes]:
    """Stored and compressed, with and without test rows, text and numbers."""
    rng = np.random.default_rng(2)
    inputs, names = rng.normal(size=(20, 2, 2)), np.array(["a", "bb"] * 10)
    arrays: list[dict[str, Any]] = [
        {"X": inputs, "y": names},
        {
            "x_train": inputs.astype(np.uint8),
            "y_train": np.arange(20) % 3,
            "x_test": inputs[:4],
            "y_test": np.arange(4) % 3,
        },
        {"X": np.asfortranarray(inputs[:, 0]), "y": rng.normal(size=(20, 2)).astype(np.float32)},
        {"X": inputs, "y": names.astype("S4"), "more": np.zeros(3, bool)},
    ]
    contents = []
    for number, one in enumerate(arrays):
        stream = io.BytesIO()
        (np.savez_compressed if number % 2 else np.savez)(stream, **one)
        contents.append(stream.getvalue())
    return contents


def _idxs(folder: Path) -> list[bytes]:
    """Images and labels, as they are and packed."""
    images = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (4, 3, 2)) + bytes(range(24))
    labels = b"\0\0\x08\x01" + (4).to_bytes(4, "big") + bytes(range(4))
    return [images, labels, *(gzip.compress(one, mtime=0) for one in (images, labels))]


def _cached(folder: Path) -> list[bytes]:
    """What the cache writes."""
    path = folder / "prepared" / "key.npy"
    _read_cache(path)
    return [path.read_bytes()]


def _old_checkpoints(folder: Path) -> list[bytes]:
    """An archive of version 1, without checksums."""
    _written(_checkpoint(), folder)
    arrays, content = _metas(next((folder / "checkpoint").glob("*.npz")))
    meta = {name: value for name, value in json.loads(content).items() if name != "checksums"}
    stream = io.BytesIO()
    np.savez(stream, **arrays, meta=np.frombuffer(json.dumps({**meta, "version": 1}).encode(), np.uint8))
    return [stream.getvalue()]


def _meta_of(checkpoint: Checkpoint | TrainingCheckpoint) -> Callable[[Path], list[bytes]]:
    """The JSON of a checkpoint."""

    def make(folder: Path) -> list[bytes]:
        _written(checkpoint, folder)
        return [_metas(next((folder / "checkpoint").glob("*.npz")))[1]]

    return make


def _metrics(folder: Path) -> list[bytes]:
    """A table of four generations."""
    rows = [",".join([str(number), *["0.5"] * (len(COLUMNS) - 1)]) for number in range(4)]
    return ["\n".join([",".join(COLUMNS), *rows, ""]).encode()]


def _failure_lines(folder: Path) -> list[bytes]:
    """Failures of four generations."""
    return ["".join(json.dumps({"generation": n, "reason": "no"}) + "\n" for n in range(4)).encode()]


def _events(folder: Path) -> list[bytes]:
    """Curves, a text and a picture of four generations."""
    load_tensorboardx()
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder / "events")) as writer:
        writer.add_text("params/all", "seed: 1")
        for step in range(4):
            writer.add_scalar("reward", 0.5, step)
        writer.add_image("picture", np.zeros((3, 2, 2), np.uint8), 3)
    return [path.read_bytes() for path in (folder / "events").iterdir()]


def _results(folder: Path) -> list[bytes]:
    """Results of runs that have finished, and of one that has not."""
    champion = {"test_accuracy": 0.75, "connections": 5, "generation": 3}
    finished = {"status": "finished", "reason": None, "generations": 4, "seconds": 1.5, "champion": champion}
    return [json.dumps(one, indent=2).encode() for one in (finished, {**finished, "status": "interrupted"})]


def _environments(folder: Path) -> list[bytes]:
    """What a run says of its machine."""
    return [json.dumps({"python": "3.11", "packages": {"numpy": "2"}, "resumed": [{"python": "3.12"}]}).encode()]


READERS = {
    one.name: one
    for one in (
        Reader("network", "n.json", _network_texts, _read_network),
        Reader("failure", "f.json", _failure_texts, read_failure),
        Reader("out", "n.out", _outs, _read_out),
        Reader("params", "p.yaml", _params, _read_params),
        Reader("csv", "t.csv", _csvs, _read_csv),
        Reader("npz", "t.npz", _npzs, _read_table),
        *(
            Reader(f"npz_{name}", "entry.npy", make, _in_archive(name, lambda: _ARRAYS, _read_table))
            for name, make in (
                ("X", lambda folder: [_npy(_ARRAYS["X"]), _npy(np.zeros((20, 2, 3), np.uint8))]),
                ("y", lambda folder: [_npy(_ARRAYS["y"]), _npy(np.arange(20.0)), _npy(_ARRAYS["y"].astype("S2"))]),
            )
        ),
        *(
            Reader(
                f"old_checkpoint_{name}",
                "entry.npy",
                lambda folder, name=name: [_npy(_old_arrays()[name])],  # type: ignore[misc]
                _in_archive(name, _old_arrays, _read_old_checkpoint),
            )
            for name in ("nodes", "connections", "num_nodes")
        ),
        Reader("idx", "images", _idxs, _read_idx),
        Reader("cache", "prepared/key.npy", _cached, _read_cache),
        Reader("checkpoint", "c/c.npz", lambda folder: [_written(_checkpoint(), folder)], _read_checkpoint),
        Reader("old_checkpoint", "c/c.npz", _old_checkpoints, _read_old_checkpoint),
        Reader(
            "checkpoint_meta",
            "meta.json",
            _meta_of(_checkpoint()),
            _repacked(Checkpoint.read, lambda folder: _written(_checkpoint(), folder)),
        ),
        Reader(
            "training_checkpoint",
            "c/c.npz",
            lambda folder: [_written(_training_checkpoint(), folder)],
            _read_training_checkpoint,
        ),
        Reader(
            "training_checkpoint_meta",
            "meta.json",
            _meta_of(_training_checkpoint()),
            _repacked(TrainingCheckpoint.read, lambda folder: _written(_training_checkpoint(), folder)),
        ),
        Reader("population", "population.npz", _populations, _read_population),
        Reader("journal", path_of(Path(), 4).name, _journal_lines, _read_journal),
        Reader("journal_records", path_of(Path(), 4).name, _journal_lines, _read_journal_records),
        Reader("metrics", "metrics.csv", _metrics, _read_metrics),
        Reader("failure_lines", "failures.jsonl", _failure_lines, _read_failure_lines),
        Reader("events", "tensorboard/events.out.tfevents.1", _events, _read_events),
        Reader("result", "result.json", _results, _read_result),
        Reader("environment", "environment.json", _environments, _read_environment),
    )
}
