"""The state between two generations as one file, from which a run goes on exactly.

Random numbers are addressed (`topoevo.seeds`), so no generator is saved. The file is a numpy archive whose entry
``meta`` is JSON; nothing in it is executed.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
        """Write the checkpoint into `folder` and delete all but the last two.

        The file appears under its name only when it is complete.

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
            "activations": [activation.name for activation in ACTIVATIONS_BY_CODE],
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
        genomes = [one.genome for one in individuals]
        arrays = {
            "nodes": np.concatenate([genome.nodes for genome in genomes]),
            "num_nodes": np.array([len(genome.nodes) for genome in genomes]),
            "connections": np.concatenate([genome.connections for genome in genomes]),
            "num_connections": np.array([len(genome.connections) for genome in genomes]),
            "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8),
        }
        path = folder / f"generation-{self.population.generation:06d}.npz"
        partial = path.with_suffix(".partial")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            for old in _checkpoints(folder)[:-_KEPT]:
                old.unlink()
        except OSError as error:
            raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror or error}") from error

    @staticmethod
    def read_last(folder: Path) -> Checkpoint:
        """Return the newest checkpoint in `folder` that is whole.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        problems = []
        for path in reversed(_checkpoints(folder)):
            try:
                return _read(path)
            except Exception as error:  # A damaged file can fail in any way; the one before it may be whole.
                problems.append(f"{path.name}: {error}")
        if problems:
            raise CheckpointError(f"no checkpoint in {folder} is readable ({'; '.join(problems)})")
        raise CheckpointError(f"there is no checkpoint in {folder}, so the run cannot go on from there")


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files, oldest first."""
    return sorted(folder.glob("generation-*.npz"))


def _score_fields(score: TaskScore | None) -> dict[str, float | None] | None:
    """A score as JSON."""
    return None if score is None else asdict(score)


def _read(path: Path) -> Checkpoint:
    """One file."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in ("nodes", "num_nodes", "connections", "num_connections", "meta")}
    meta = json.loads(arrays["meta"].tobytes())
    if meta["format"] != FORMAT or meta["version"] > VERSION:
        raise CheckpointError(f"written by another version ({meta['format']} {meta['version']})")
    individuals = [
        Individual(one["id"], tuple(one["parents"]), one["born"], tuple(one["operators"]), genome)
        for one, genome in zip(meta["individuals"], _genomes(arrays, meta["activations"]), strict=True)
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


def _genomes(arrays: dict[str, NDArray[Any]], activations: list[str]) -> list[Genome]:
    """Genomes cut from the long tables, with activation codes translated by name."""
    nodes = arrays["nodes"].astype(NODE_DTYPE)
    nodes["activation"] = activation_codes(activations)[nodes["activation"]]
    connections = arrays["connections"].astype(CONNECTION_DTYPE)
    node_parts = np.split(nodes, np.cumsum(arrays["num_nodes"])[:-1])
    connection_parts = np.split(connections, np.cumsum(arrays["num_connections"])[:-1])
    genomes = [Genome(n, c) for n, c in zip(node_parts, connection_parts, strict=True)]
    for genome in genomes:
        genome.validate()
    return genomes
