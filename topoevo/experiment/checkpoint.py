"""The state between two generations as one file, from which a run goes on exactly.

Random numbers are addressed (`topoevo.seeds`), so no generator is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.activations import ACTIVATIONS_BY_CODE, activation_codes
from topoevo.errors import CheckpointError, GenomeError, UnknownNameError
from topoevo.evolution import Individual, Population
from topoevo.evolution.credit import Credit, Standing
from topoevo.evolution.moments import Moments
from topoevo.evolution.racing import Saving
from topoevo.experiment.archive import Entry, read_archive, read_last_state, write_state
from topoevo.experiment.checkpoint_fields import Meta, champion_fields, champion_of, checked, front_fields, front_of
from topoevo.experiment.front import Front
from topoevo.experiment.records import Champion
from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import CONNECTION_DTYPE, NODE_DTYPE

FORMAT = "topoevo-checkpoint"
VERSION = 2
#: How the files of runs with evolution are called.
PREFIX = "generation"
_NOTHING = Moments(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32), 0)


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
    founder
        Genome whose mutated copies newcomers are; None if there are no newcomers, or random ones.
    front
        Best network of each size so far; None where one size is evolved.
    standings
        Mutation operators so far, by name; empty in checkpoints of earlier versions.
    saving
        What racing has saved so far; None if nobody races.
    sample_passes
        Samples that went through networks in learning so far; None if nobody learns from samples, or an earlier version
        has not counted them.
    """

    population: Population
    tracker: InnovationTracker
    champion: Champion | None
    confirmed: frozenset[str]
    num_evaluations: int
    seconds: float
    digest: str
    origin: dict[str, Any]
    founder: Genome | None = None
    front: Front | None = None
    standings: Mapping[str, Standing] = field(default_factory=dict)
    saving: Saving | None = None
    sample_passes: int | None = None

    @property
    def num_done(self) -> int:
        """Finished generations."""
        return self.population.generation

    def write(self, folder: Path, *, kept: int = 2) -> None:
        """Write the checkpoint into `folder`, and delete all but the newest.

        Parameters
        ----------
        folder
            Where; of it at most the last level is made.
        kept
            Checkpoints that stay, this one included.

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
            "has_founder": self.founder is not None,
            "champion": None,
            "standings": {name: asdict(one) for name, one in self.standings.items()},
            "saving": None if self.saving is None else asdict(self.saving),
            "sample_passes": self.sample_passes,
        }
        if self.founder is not None:
            individuals.append(Individual(0, (), 0, (), self.founder))
        if self.champion is not None:
            individuals.append(self.champion.individual)
            meta["champion"] = champion_fields(self.champion)
        if self.front is not None:
            individuals += [one.individual for one in self.front.networks]
            meta["front"] = front_fields(self.front)
        meta["individuals"] = [
            {
                "id": one.id,
                "parents": one.parents,
                "born": one.born,
                "operators": one.operators,
                "founded": one.founded,
                "parent_reward": one.parent_reward,
                "ancestor": one.ancestor,
            }
            for one in individuals
        ]
        entries = gene_tables([one.genome for one in individuals]) | moment_tables(self.population)
        write_state(folder, PREFIX, self.population.generation, entries, meta, kept=kept)

    @staticmethod
    def read(path: Path) -> Checkpoint:
        """Return the checkpoint in a file.

        Raises
        ------
        CheckpointError
            If it is damaged, or something else.
        """
        arrays, content = read_archive(path, FORMAT, VERSION)
        meta = checked(Meta, content)
        genomes = read_genomes(arrays, meta.activations)
        _check_counters(genomes, meta)
        individuals = [
            Individual(
                one.id,
                tuple(one.parents),
                one.born,
                tuple(one.operators),
                genome,
                founded=one.founded,
                parent_reward=one.parent_reward,
                ancestor=one.ancestor,
            )
            for one, genome in zip(meta.individuals, genomes, strict=True)
        ]
        front = None
        if meta.front is not None:
            first = len(individuals) - len(meta.front.networks)
            front = front_of(meta.front, individuals[first:])
            del individuals[first:]
        champion = None if meta.champion is None else champion_of(meta.champion, individuals.pop())
        founder = individuals.pop().genome if meta.has_founder else None
        moments = read_moments(arrays, len(individuals))
        members = (replace(one, moments=own) if own else one for one, own in zip(individuals, moments, strict=True))
        return Checkpoint(
            Population(meta.generation, tuple(members)),
            InnovationTracker(meta.next_node, meta.next_innovation),
            champion,
            frozenset(meta.confirmed),
            meta.num_evaluations,
            meta.seconds,
            meta.digest,
            meta.origin.model_dump(),
            founder,
            front,
            {
                name: Standing(one.probability, Credit(**one.credit.model_dump()), one.quality)
                for name, one in meta.standings.items()
            },
            None if meta.saving is None else Saving(**meta.saving.model_dump()),
            meta.sample_passes,
        )

    @staticmethod
    def read_last(folder: Path, *, on_damaged: Callable[[str], None] | None = None) -> Checkpoint:
        """Return the newest checkpoint in `folder` that is whole.

        Parameters
        ----------
        folder
            Where the run has written them.
        on_damaged
            Is told of every newer one that is not whole.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        return read_last_state(folder, PREFIX, Checkpoint.read, on_damaged)


def _check_counters(genomes: Sequence[Genome], meta: Meta) -> None:
    """Raise unless there is a genome for everybody, all for one task, and new ids and numbers will be new."""
    num_alive = len(meta.individuals) - (meta.champion is not None) - meta.has_founder
    num_alive -= 0 if meta.front is None else len(meta.front.networks)
    if len(genomes) != len(meta.individuals) or num_alive < 1:
        raise CheckpointError(f"has {len(genomes)} genomes of {len(meta.individuals)} individuals")
    if len({(genome.num_inputs, genome.num_outputs) for genome in genomes}) > 1:
        raise CheckpointError("has genomes for several tasks")
    last_node = max(int(genome.nodes["id"].max(initial=-1)) for genome in genomes)
    last_innovation = max(int(genome.connections["innovation"].max(initial=-1)) for genome in genomes)
    if last_node >= meta.next_node or last_innovation >= meta.next_innovation:
        raise CheckpointError("has genes that are newer than its counters")


# -- genes --------------------------------------------------------------------------------------------------------


def gene_tables(genomes: Sequence[Genome]) -> dict[str, Entry]:
    """Return the genes of several genomes as entries of an archive."""
    return {
        "nodes": [genome.nodes for genome in genomes],
        "num_nodes": np.array([len(genome.nodes) for genome in genomes]),
        "connections": [genome.connections for genome in genomes],
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

    Raises
    ------
    CheckpointError
        If they are no genes, or not those of legal genomes.
    """
    nodes, connections = _rows(arrays, "nodes", NODE_DTYPE), _rows(arrays, "connections", CONNECTION_DTYPE)
    codes = nodes["activation"]
    if (codes < 0).any() or (codes >= len(activations)).any():
        raise CheckpointError("has a node with an unknown activation")
    try:
        nodes["activation"] = activation_codes(activations)[codes]
        genomes = [
            # Copies, as the tables of all together would stay in memory as long as any of them.
            Genome(own_nodes.copy(), own_connections.copy())
            for own_nodes, own_connections in zip(
                _split(nodes, arrays, "num_nodes"), _split(connections, arrays, "num_connections"), strict=True
            )
        ]
        for genome in genomes:
            genome.validate()
    except (GenomeError, UnknownNameError, ValueError) as error:
        raise CheckpointError(f"has a genome that is not legal: {error}") from None
    return genomes


def moment_tables(population: Population) -> dict[str, Entry]:
    """Return what the learning of individuals begins with as entries of an archive; no entry if that is nothing."""
    moments = [one.moments or _NOTHING for one in population.members]
    if all(one is _NOTHING for one in moments):
        return {}
    return {
        "moment_innovation": [one.innovation for one in moments],
        "moment_first": [one.first for one in moments],
        "moment_second": [one.second for one in moments],
        "moment_steps": np.array([one.steps for one in moments], np.int64),
        "num_moments": np.array([len(one.innovation) for one in moments]),
    }


def read_moments(arrays: Mapping[str, NDArray[Any]], size: int) -> list[Moments | None]:
    """Return what `moment_tables` has put together, for so many individuals.

    Parameters
    ----------
    arrays, size
        Entries of the archive, and individuals in it.

    Raises
    ------
    CheckpointError
        If it is not that of as many.
    """
    if "num_moments" not in arrays:
        return [None] * size
    dtypes = {"innovation": np.int32, "first": np.float32, "second": np.float32}
    tables = [_rows(arrays, f"moment_{name}", np.dtype(dtype)) for name, dtype in dtypes.items()]
    columns = [[part.copy() for part in _split(table, arrays, "num_moments")] for table in tables]
    steps = _rows(arrays, "moment_steps", np.dtype(np.int64))
    if len(steps) != size or len(columns[0]) != size or (steps < 0).any() or (steps > 2**62).any():
        raise CheckpointError("has other numbers of moments than individuals")
    moments = [Moments(*one) for one in zip(*columns, steps.tolist(), strict=True)]
    if any((np.diff(one.innovation) <= 0).any() for one in moments):
        raise CheckpointError("has moments that are not in the order of genes")
    return [one if len(one.innovation) else None for one in moments]


def _rows(arrays: Mapping[str, NDArray[Any]], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A table of genes."""
    table = arrays.get(name)
    if table is None or table.dtype != dtype or table.ndim != 1:
        raise CheckpointError(f"has no table {name!r}, or one with other columns")
    return table


def _split(table: NDArray[Any], arrays: Mapping[str, NDArray[Any]], name: str) -> list[NDArray[Any]]:
    """The rows of each genome."""
    counts = arrays.get(name)
    if counts is None or counts.dtype.kind not in "iu" or counts.ndim != 1 or (counts < 0).any():
        raise CheckpointError(f"has no numbers {name!r}")
    # Python's numbers, which have no largest one.
    if sum(counts.tolist()) != len(table):
        raise CheckpointError(f"has {len(table)} genes, not as many as {name!r} says")
    return np.split(table, np.cumsum(counts.astype(np.int64))[:-1])
