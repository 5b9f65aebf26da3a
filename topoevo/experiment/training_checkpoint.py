"""The state between two epochs of a training without evolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topoevo.experiment.checkpoint import (
    activation_names,
    gene_tables,
    json_array,
    read_archive,
    read_genomes,
    read_last_archive,
    write_archive,
)
from topoevo.genome import Genome

_FORMAT = "topoevo-training"
_VERSION = 1
_PREFIX = "epoch"
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

    def write(self, folder: Path) -> None:
        """Write the checkpoint into `folder`.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        arrays = {name: value for name, value in self.memory.items() if isinstance(value, (np.ndarray, np.generic))}
        meta = {
            "format": _FORMAT,
            "version": _VERSION,
            "activations": activation_names(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "digest": self.digest,
            "origin": self.origin,
            "memory": {name: value for name, value in self.memory.items() if name not in arrays},
        }
        entries = {_MEMORY + name: np.asarray(value) for name, value in arrays.items()}
        write_archive(folder, _PREFIX, self.epoch, {**gene_tables([self.genome]), **entries, "meta": json_array(meta)})

    @staticmethod
    def read_last(folder: Path) -> TrainingCheckpoint:
        """Return the newest checkpoint in `folder` that is whole.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        return read_last_archive(folder, _PREFIX, _read)


def _read(path: Path) -> TrainingCheckpoint:
    """One file."""
    arrays, meta = read_archive(path, _FORMAT, _VERSION)
    (genome,) = read_genomes(arrays, meta["activations"])
    learned = {name.removeprefix(_MEMORY): value for name, value in arrays.items() if name.startswith(_MEMORY)}
    return TrainingCheckpoint(
        genome, {**learned, **meta["memory"]}, meta["epoch"], meta["seconds"], meta["digest"], meta["origin"]
    )
