"""The state between two epochs of a training without evolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topoevo.errors import CheckpointError
from topoevo.experiment.archive import Entry, read_archive, read_last_state, write_state
from topoevo.experiment.checkpoint import activation_names, gene_tables, read_genomes
from topoevo.experiment.checkpoint_fields import Checked, Count, Origin, Seconds, checked
from topoevo.genome import Genome

FORMAT = "topoevo-training"
VERSION = 2
#: How the files of trainings without evolution are called.
PREFIX = "epoch"
#: Marks the entries of an archive that are arrays of a learner's memory.
_MEMORY = "memory."


@dataclass(frozen=True, eq=False)
class TrainingCheckpoint:
    """Everything that the next epoch depends on.

    Parameters
    ----------
    genome
        The network before learning.
    memory
        What `topoevo.learning.Learner.memory` returned: arrays, numbers and JSON values.
    epoch, seconds
        So far.
    digest
        Of the genome with the learner's weights.
    origin
        JSON values that must be the same when the run goes on: settings, and where the data comes from.
    """

    genome: Genome
    memory: Mapping[str, Any]
    epoch: int
    seconds: float
    digest: str
    origin: dict[str, Any]

    @property
    def num_done(self) -> int:
        """Finished epochs."""
        return self.epoch

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
        arrays = {name: value for name, value in self.memory.items() if isinstance(value, (np.ndarray, np.generic))}
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "activations": activation_names(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "digest": self.digest,
            "origin": self.origin,
            "memory": {name: value for name, value in self.memory.items() if name not in arrays},
        }
        entries: dict[str, Entry] = {_MEMORY + name: np.asarray(value) for name, value in arrays.items()}
        write_state(folder, PREFIX, self.epoch, {**gene_tables([self.genome]), **entries}, meta, kept=kept)

    @staticmethod
    def read(path: Path) -> TrainingCheckpoint:
        """Return the checkpoint in a file.

        Raises
        ------
        CheckpointError
            If it is damaged, or something else.
        """
        arrays, content = read_archive(path, FORMAT, VERSION)
        meta = checked(_Meta, content)
        genomes = read_genomes(arrays, meta.activations)
        if len(genomes) != 1:
            raise CheckpointError(f"has {len(genomes)} genomes instead of one")
        learned = {name.removeprefix(_MEMORY): value for name, value in arrays.items() if name.startswith(_MEMORY)}
        return TrainingCheckpoint(
            genomes[0], {**learned, **meta.memory}, meta.epoch, meta.seconds, meta.digest, meta.origin.model_dump()
        )

    @staticmethod
    def read_last(folder: Path, *, on_damaged: Callable[[str], None] | None = None) -> TrainingCheckpoint:
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
        return read_last_state(folder, PREFIX, TrainingCheckpoint.read, on_damaged)


class _Meta(Checked):
    """All that is not an array."""

    epoch: Count
    activations: list[str]
    seconds: Seconds
    digest: str
    origin: Origin
    memory: dict[str, Any]
