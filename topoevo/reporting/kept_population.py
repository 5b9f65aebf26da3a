"""A population as it went into its evaluation, beside the snapshot that shows what came out of it.

The network files of a snapshot have the weights after learning; a replay needs those before, and the places in the
population, which are part of the address of random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topoevo.errors import CheckpointError
from topoevo.evolution import Population
from topoevo.evolution.moments import Moments
from topoevo.experiment.archive import read_archive, write_archive
from topoevo.experiment.checkpoint import (
    Checkpoint,
    activation_names,
    gene_tables,
    moment_tables,
    read_genomes,
    read_moments,
)
from topoevo.experiment.checkpoint_fields import Checked, Count, Origin, checked
from topoevo.genome import Genome

#: Name of the file in the folder of a snapshot.
POPULATION_NAME = "population.npz"
_FORMAT = "topoevo-population"
#: The first one; archives have checksums from version 2 of a format on.
_VERSION = 2


@dataclass(frozen=True, eq=False)
class KeptPopulation:
    """The genomes of one generation before their evaluation.

    Parameters
    ----------
    generation
        Number of the generation.
    genomes
        By place in the population.
    individuals
        Their ids.
    origin
        From `topoevo.experiment.data.origin_of`.
    moments
        What the learning of each begins with; see `topoevo.evolution.Individual`.
    """

    generation: int
    genomes: tuple[Genome, ...]
    individuals: tuple[int, ...]
    origin: dict[str, Any]
    moments: tuple[Moments | None, ...]

    @staticmethod
    def of_checkpoint(checkpoint: Checkpoint) -> KeptPopulation:
        """Return the generation that a checkpoint goes on with."""
        population = checkpoint.population
        genomes, ids, moments = zip(*((one.genome, one.id, one.moments) for one in population.members), strict=True)
        return KeptPopulation(population.generation, genomes, ids, checkpoint.origin, moments)

    @staticmethod
    def read(path: Path) -> KeptPopulation:
        """Return what `write_population` has written.

        Raises
        ------
        CheckpointError
            If it is damaged, or something else.
        """
        arrays, content = read_archive(path, _FORMAT, _VERSION)
        meta = checked(_Meta, content)
        genomes = read_genomes(arrays, meta.activations)
        if len(genomes) != len(meta.individuals):
            raise CheckpointError(f"has {len(genomes)} genomes of {len(meta.individuals)} individuals")
        moments = tuple(read_moments(arrays, len(genomes)))
        origin = meta.origin.model_dump()
        return KeptPopulation(meta.generation, tuple(genomes), tuple(meta.individuals), origin, moments)


def write_population(path: Path, population: Population, origin: dict[str, Any]) -> None:
    """Write the genomes of a population, not what they have learned.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    population, origin
        The population, and what `topoevo.experiment.data.origin_of` says of the run.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    meta = {
        "format": _FORMAT,
        "version": _VERSION,
        "generation": population.generation,
        "activations": activation_names(),
        "individuals": [one.id for one in population.members],
        "origin": origin,
    }
    write_archive(path, gene_tables([one.genome for one in population.members]) | moment_tables(population), meta)


class _Meta(Checked):
    """All that is not an array."""

    generation: Count
    activations: list[str]
    individuals: list[Count]
    origin: Origin
