"""Small real files of every format that is read from outside."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from topoevo.evolution import Evaluation, Individual, Population
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.journal import Journal, Place, path_of
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Champion, TaskScore
from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.reporting.event_files import load_tensorboardx
from topoevo.reporting.files import COLUMNS
from topoevo.reporting.kept_population import write_population
from topoevo.reporting.network_facts import facts_of_individual
from topoevo.reporting.network_file import network_json
from topoevo.reporting.out_file import out_text
from topoevo.seeds import Stream
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.cache import cached_array


def make_genome(num_inputs: int = 3, num_outputs: int = 2) -> Genome:
    """Return a small genome with hidden nodes, disabled genes, unset and odd weights."""
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = minimal_genome(num_inputs, num_outputs, p_enabled=1.0, tracker=tracker, rng=rng, bias=True)
    for innovation in (0, 3):
        genome = genome.split(innovation, tracker=tracker, activation="tanh", bias=True)
    weights = rng.normal(size=len(genome.connections)).astype(np.float32)
    weights[:4] = [0.1, -0.0, 1e-45, np.nan]
    return genome.with_weights(weights)


CACHED = np.arange(12, dtype=np.float32).reshape(4, 3)


JOURNALED = Evaluation(-0.5, -0.25, 0.8, np.arange(3, dtype=np.float32), 0.1)


ARRAYS: dict[str, Any] = {
    "X": np.random.default_rng(2).normal(size=(20, 3)),
    "y": np.array(["a", "bb"] * 10),
}


def _table(rows: int = 24) -> str:
    """A small table of two classes."""
    numbers = np.random.default_rng(1).normal(size=(rows, 3)).round(3)
    lines = [",".join([*map(str, row), "ab"[index % 2]]) for index, row in enumerate(numbers.tolist())]
    return "\n".join(["x,y,z,kind", *lines]) + "\n"


def make_individual() -> Individual:
    """An individual that was evaluated."""
    genome = make_genome()
    return Individual(7, (3, 4), 2, ("add_node",), genome, Evaluation(-0.5, -0.5, 0.8, None, 0.1))


def make_checkpoint(generation: int = 4) -> Checkpoint:
    """A checkpoint of a population of three."""
    individual = make_individual()
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


def make_training_checkpoint() -> TrainingCheckpoint:
    """A checkpoint of a training."""
    memory = {"weights": np.arange(5, dtype=np.float32), "steps": np.int64(3), "rate": 0.5, "state": {"a": [1, 2]}}
    return TrainingCheckpoint(make_genome(), memory, 2, 0.5, "0123456789abcdef", {"settings": {}, "data": {}})


def written_file(checkpoint: Checkpoint | TrainingCheckpoint, folder: Path) -> bytes:
    """The file of a checkpoint."""
    checkpoint.write(folder / "checkpoint")
    return next((folder / "checkpoint").glob("*.npz")).read_bytes()


def entries_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """Entries of an archive, and its JSON."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, arrays.pop("meta").tobytes()


def npy(array: Any) -> bytes:
    """An array as numpy writes it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def array_of_cache(path: Path) -> Any:
    """The array that the cache gives, of which the file at the path is a part."""
    before = os.environ.get("TOPOEVO_CACHE")
    os.environ["TOPOEVO_CACHE"] = str(path.parent.parent)
    try:
        return cached_array(path.stem, CACHED.shape, lambda: CACHED.copy())
    finally:
        os.environ.pop("TOPOEVO_CACHE")
        os.environ |= {} if before is None else {"TOPOEVO_CACHE": before}


def network_files(folder: Path) -> list[bytes]:
    """Network files of a table, of an environment, without facts, and with feedback weights."""
    from topoevo.experiment.learning_facts import feedback_of

    (folder / "t.csv").write_text(_table())
    individual = make_individual()
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


def failure_files(folder: Path) -> list[bytes]:
    """A network file of a failed individual."""
    facts = {
        "provenance": {"individual": 7, "generation": 3},
        "failure": {"reason": "ValueError: no", "seed": 0, "stream": "LEARNING", "generation": 3, "index": 1},
        "traceback": ["Traceback", "ValueError: no"],
        "settings": {"seed": 0},
    }
    return [network_json(make_genome(), facts=facts).encode()]


def out_files(folder: Path) -> list[bytes]:
    """A published-style file, and one by hand."""
    genome = make_genome().with_weights(np.ones(len(make_genome().connections), np.float32))
    return [out_text(genome).encode(), b"0,0,0.5,1\n0,0,1,1\n0,0,nan,5\n"]


def parameter_files(folder: Path) -> list[bytes]:
    """The shipped parameter files, and all settings."""
    shipped = Path(__file__).resolve().parents[1] / "params"
    texts = [path.read_bytes() for path in sorted(shipped.glob("*/*.yaml"))]
    return [*texts, load_params(None, {}).to_yaml().encode()]


def csv_files(folder: Path) -> list[bytes]:
    """Classes, a regression with other separators, cells in quotes."""
    regression = _table().replace("a\n", "1.5\n").replace("b\n", "-2e3\n").replace(",", ";")
    quoted = 'x,"y ""1""","z\n2",kind\n' + "".join(f'{i},"{i * 2}",-1e-3,"{"ab"[i % 2]}, or"\r\n' for i in range(20))
    return [_table().encode(), regression.encode(), quoted.encode(), b"\xef\xbb\xbf" + _table().encode()]


def npz_files(folder: Path) -> list[bytes]:
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


def idx_files(folder: Path) -> list[bytes]:
    """Images and labels, as they are and packed."""
    images = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (4, 3, 2)) + bytes(range(24))
    labels = b"\0\0\x08\x01" + (4).to_bytes(4, "big") + bytes(range(4))
    return [images, labels, *(gzip.compress(one, mtime=0) for one in (images, labels))]


def cache_files(folder: Path) -> list[bytes]:
    """What the cache writes."""
    path = folder / "prepared" / "key.npy"
    array_of_cache(path)
    return [path.read_bytes()]


def old_checkpoint_files(folder: Path) -> list[bytes]:
    """An archive of version 1, without checksums."""
    written_file(make_checkpoint(), folder)
    arrays, content = entries_of(next((folder / "checkpoint").glob("*.npz")))
    meta = {name: value for name, value in json.loads(content).items() if name != "checksums"}
    stream = io.BytesIO()
    np.savez(stream, **arrays, meta=np.frombuffer(json.dumps({**meta, "version": 1}).encode(), np.uint8))
    return [stream.getvalue()]


@functools.cache
def old_entries() -> dict[str, Any]:
    """Entries of an archive of version 1."""
    with tempfile.TemporaryDirectory() as folder, np.load(io.BytesIO(old_checkpoint_files(Path(folder))[0])) as archive:
        return {name: archive[name] for name in archive.files}


def meta_files_of(checkpoint: Checkpoint | TrainingCheckpoint) -> Callable[[Path], list[bytes]]:
    """The JSON of a checkpoint."""

    def make(folder: Path) -> list[bytes]:
        written_file(checkpoint, folder)
        return [entries_of(next((folder / "checkpoint").glob("*.npz")))[1]]

    return make


def population_files(folder: Path) -> list[bytes]:
    """The population beside a snapshot."""
    checkpoint = make_checkpoint()
    write_population(folder / "population.npz", checkpoint.population, checkpoint.origin)
    return [(folder / "population.npz").read_bytes()]


def journal_files(folder: Path) -> list[bytes]:
    """A journal of three evaluations."""
    genome = make_genome()
    weights = genome.connections["weight"]
    journal = Journal(folder, 4, [genome] * 4, say=print)
    for index, one in enumerate(
        (
            dataclasses.replace(JOURNALED, weights=weights),
            dataclasses.replace(JOURNALED, weights=None, accuracy=None),
            Evaluation.failed("ValueError: no", 0.2),
        )
    ):
        journal.add(Place(Stream.LEARNING, index), genome, one, seconds=1.0 + index)
    journal.save(now=True)
    journal.close()
    return [path_of(folder, 4).read_bytes()]


def metrics_files(folder: Path) -> list[bytes]:
    """A table of four generations."""
    rows = [",".join([str(number), *["0.5"] * (len(COLUMNS) - 1)]) for number in range(4)]
    return ["\n".join([",".join(COLUMNS), *rows, ""]).encode()]


def failure_tables(folder: Path) -> list[bytes]:
    """Failures of four generations."""
    return ["".join(json.dumps({"generation": n, "reason": "no"}) + "\n" for n in range(4)).encode()]


def event_files(folder: Path) -> list[bytes]:
    """Curves, a text and a picture of four generations."""
    load_tensorboardx()
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder / "events")) as writer:
        writer.add_text("params/all", "seed: 1")
        for step in range(4):
            writer.add_scalar("reward", 0.5, step)
        writer.add_image("picture", np.zeros((3, 2, 2), np.uint8), 3)
    return [path.read_bytes() for path in (folder / "events").iterdir()]


def result_files(folder: Path) -> list[bytes]:
    """Results of runs that have finished, and of one that has not."""
    champion = {"test_accuracy": 0.75, "connections": 5, "generation": 3}
    finished = {"status": "finished", "reason": None, "generations": 4, "seconds": 1.5, "champion": champion}
    return [json.dumps(one, indent=2).encode() for one in (finished, {**finished, "status": "interrupted"})]


def environment_files(folder: Path) -> list[bytes]:
    """What a run says of its machine."""
    return [json.dumps({"python": "3.11", "packages": {"numpy": "2"}, "resumed": [{"python": "3.12"}]}).encode()]
