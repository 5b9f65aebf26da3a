"""The state between two generations or epochs as one file, from which a run goes on exactly.

Random numbers are addressed (`topoevo.seeds`), so no generator is saved. The file is a numpy archive whose entry
``meta`` is JSON; nothing in it is executed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS_BY_CODE, activation_codes
from topoevo.errors import CheckpointError
from topoevo.evolution import Individual, Population
from topoevo.experiment.records import Champion, TaskScore
from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import CONNECTION_DTYPE, NODE_DTYPE

FORMAT = "topoevo-checkpoint"
VERSION = 1
#: How the files of runs with evolution are called.
_PREFIX = "generation"
#: Checkpoints that stay on the disk.
_KEPT = 2


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that the next generation depends on.

    Parameters
    ----------
    population
        The next generation, not evaluated.
    tracker
        Counters of node ids and innovation numbers.
    champion
        Best network so far.
    confirmed
        Digests of the genomes that were champion candidates.
    num_evaluations, seconds
        So far.
    digest
        Of the last evaluated population.
    origin
        JSON values that must be the same when the run goes on: settings, and where the data comes from.
    """

    population: Population
    tracker: InnovationTracker
    champion: Champion | None
    confirmed: frozenset[str]
    num_evaluations: int
    seconds: float
    digest: str
    origin: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write the checkpoint into `folder`; see `write_archive`.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        individuals = list(self.population.members)
        meta: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "generation": self.population.generation,
            "activations": activation_names(),
            "next_node": self.tracker.next_node,
            "next_innovation": self.tracker.next_innovation,
            "num_evaluations": self.num_evaluations,
            "seconds": self.seconds,
            "digest": self.digest,
            "origin": self.origin,
            "confirmed": sorted(self.confirmed),
            "champion": None,
        }
        if self.champion is not None:
            individuals.append(self.champion.individual)
            meta["champion"] = {
                "generation": self.champion.generation,
                **{part: _score_fields(getattr(self.champion, part)) for part in ("train", "validation", "test")},
            }
        meta["individuals"] = [
            {"id": one.id, "parents": one.parents, "born": one.born, "operators": one.operators} for one in individuals
        ]
        arrays = {**gene_tables([one.genome for one in individuals]), "meta": json_array(meta)}
        write_archive(folder, _PREFIX, self.population.generation, arrays)

    @staticmethod
    def read_last(folder: Path) -> Checkpoint:
        """Return the newest checkpoint in `folder` that is whole.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        return read_last_archive(folder, _PREFIX, _read)


def write_archive(folder: Path, prefix: str, number: int, arrays: dict[str, NDArray[Any]]) -> None:
    """Write one state into `folder` and delete all but the last two; the file appears only when it is complete.

    Parameters
    ----------
    folder, prefix, number
        Where, and how the file is called.
    arrays
        Entries of the archive.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    path = folder / f"{prefix}-{number:06d}.npz"
    partial = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        for old in _archives(folder, prefix)[:-_KEPT]:
            old.unlink()
    except OSError as error:
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror or error}") from error


_State = TypeVar("_State")


def read_last_archive(folder: Path, prefix: str, read: Callable[[Path], _State]) -> _State:
    """Return what `read` makes of the newest file that it can read.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    problems = []
    for path in reversed(_archives(folder, prefix)):
        try:
            return read(path)
        except Exception as error:  # A damaged file can fail in any way; the one before it may be whole.
            problems.append(f"{path.name}: {error}")
    if problems:
        raise CheckpointError(f"no checkpoint in {folder} is readable ({'; '.join(problems)})")
    raise CheckpointError(f"there is no checkpoint in {folder}, so the run cannot go on from there")


def _archives(folder: Path, prefix: str) -> list[Path]:
    """Checkpoint files, oldest first."""
    return sorted(folder.glob(f"{prefix}-*.npz"))


def _score_fields(score: TaskScore | None) -> dict[str, float | None] | None:
    """A score as JSON."""
    return None if score is None else asdict(score)


def _read(path: Path) -> Checkpoint:
    """One file."""
    arrays, meta = read_archive(path, FORMAT, VERSION)
    individuals = [
        Individual(one["id"], tuple(one["parents"]), one["born"], tuple(one["operators"]), genome)
        for one, genome in zip(meta["individuals"], read_genomes(arrays, meta["activations"]), strict=True)
    ]
    champion = None
    if meta["champion"] is not None:
        scores = meta["champion"]
        champion = Champion(
            individuals.pop(),
            scores["generation"],
            train=TaskScore(**scores["train"]),
            validation=None if scores["validation"] is None else TaskScore(**scores["validation"]),
            test=None if scores["test"] is None else TaskScore(**scores["test"]),
        )
    return Checkpoint(
        Population(meta["generation"], tuple(individuals)),
        InnovationTracker(meta["next_node"], meta["next_innovation"]),
        champion,
        frozenset(meta["confirmed"]),
        meta["num_evaluations"],
        meta["seconds"],
        meta["digest"],
        meta["origin"],
    )


def json_array(content: Any) -> NDArray[np.uint8]:
    """Return JSON values as an entry of an archive."""
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


def read_archive(path: Path, format: str, version: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the entries of an archive, and its ``meta`` as JSON values.

    Parameters
    ----------
    path
        The file.
    format, version
        What ``meta`` says it is; older versions are read, too.

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(arrays["meta"].tobytes())
    if meta["format"] != format or meta["version"] > version:
        raise CheckpointError(f"written by another version ({meta['format']} {meta['version']})")
    return arrays, meta


def gene_tables(genomes: Sequence[Genome]) -> dict[str, NDArray[Any]]:
    """Return the genes of several genomes as entries of an archive."""
    return {
        "nodes": np.concatenate([genome.nodes for genome in genomes]),
        "num_nodes": np.array([len(genome.nodes) for genome in genomes]),
        "connections": np.concatenate([genome.connections for genome in genomes]),
        "num_connections": np.array([len(genome.connections) for genome in genomes]),
    }


def activation_names() -> list[str]:
    """Return the names of all activations by code; codes may differ when the tables are read, names do not."""
    return [activation.name for activation in ACTIVATIONS_BY_CODE]


def read_genomes(arrays: Mapping[str, NDArray[Any]], activations: list[str]) -> list[Genome]:
    """Return the genomes whose genes `gene_tables` has put together.

    Parameters
    ----------
    arrays
        Entries of the archive.
    activations
        What `activation_names` returned when it was written.
    """
    nodes = arrays["nodes"].astype(NODE_DTYPE)
    nodes["activation"] = activation_codes(activations)[nodes["activation"]]
    connections = arrays["connections"].astype(CONNECTION_DTYPE)
    node_parts = np.split(nodes, np.cumsum(arrays["num_nodes"])[:-1])
    connection_parts = np.split(connections, np.cumsum(arrays["num_connections"])[:-1])
    genomes = [Genome(n, c) for n, c in zip(node_parts, connection_parts, strict=True)]
    for genome in genomes:
        genome.validate()
    return genomes
