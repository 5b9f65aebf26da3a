"""Every reader of files from outside, with real files of its format and a check of what it returns.

A reader may return a correct value or raise `TopoevoError`; anything else is a finding. Used by `fuzz_readers.py` and
by the tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from foreign_checks import (
    check_cache,
    check_checkpoint,
    check_csv,
    check_environment,
    check_events,
    check_failure_lines,
    check_idx,
    check_journal,
    check_journal_records,
    check_message,
    check_metrics,
    check_network,
    check_old_checkpoint,
    check_out,
    check_params,
    check_population,
    check_result,
    check_table,
    check_training_checkpoint,
    in_archive,
    repacked,
)
from foreign_samples import (
    ARRAYS,
    cache_files,
    csv_files,
    environment_files,
    event_files,
    failure_files,
    failure_tables,
    idx_files,
    journal_files,
    make_checkpoint,
    make_training_checkpoint,
    meta_files_of,
    metrics_files,
    network_files,
    npy,
    npz_files,
    old_checkpoint_files,
    old_entries,
    out_files,
    parameter_files,
    population_files,
    result_files,
    written_file,
)

from topoevo.errors import TopoevoError
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.journal import path_of
from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.reporting.failures import read_failure


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
        check_message(error)
        return False
    return True


READERS = {
    one.name: one
    for one in (
        Reader("network", "n.json", network_files, check_network),
        Reader("failure", "f.json", failure_files, read_failure),
        Reader("out", "n.out", out_files, check_out),
        Reader("params", "p.yaml", parameter_files, check_params),
        Reader("csv", "t.csv", csv_files, check_csv),
        Reader("npz", "t.npz", npz_files, check_table),
        *(
            Reader(f"npz_{name}", "entry.npy", make, in_archive(name, lambda: ARRAYS, check_table))
            for name, make in (
                ("X", lambda folder: [npy(ARRAYS["X"]), npy(np.zeros((20, 2, 3), np.uint8))]),
                ("y", lambda folder: [npy(ARRAYS["y"]), npy(np.arange(20.0)), npy(ARRAYS["y"].astype("S2"))]),
            )
        ),
        *(
            Reader(
                f"old_checkpoint_{name}",
                "entry.npy",
                lambda folder, name=name: [npy(old_entries()[name])],  # type: ignore[misc]
                in_archive(name, old_entries, check_old_checkpoint),
            )
            for name in ("nodes", "connections", "num_nodes")
        ),
        Reader("idx", "images", idx_files, check_idx),
        Reader("cache", "prepared/key.npy", cache_files, check_cache),
        Reader("checkpoint", "c/c.npz", lambda folder: [written_file(make_checkpoint(), folder)], check_checkpoint),
        Reader("old_checkpoint", "c/c.npz", old_checkpoint_files, check_old_checkpoint),
        Reader(
            "checkpoint_meta",
            "meta.json",
            meta_files_of(make_checkpoint()),
            repacked(Checkpoint.read, lambda folder: written_file(make_checkpoint(), folder)),
        ),
        Reader(
            "training_checkpoint",
            "c/c.npz",
            lambda folder: [written_file(make_training_checkpoint(), folder)],
            check_training_checkpoint,
        ),
        Reader(
            "training_checkpoint_meta",
            "meta.json",
            meta_files_of(make_training_checkpoint()),
            repacked(TrainingCheckpoint.read, lambda folder: written_file(make_training_checkpoint(), folder)),
        ),
        Reader("population", "population.npz", population_files, check_population),
        Reader("journal", path_of(Path(), 4).name, journal_files, check_journal),
        Reader("journal_records", path_of(Path(), 4).name, journal_files, check_journal_records),
        Reader("metrics", "metrics.csv", metrics_files, check_metrics),
        Reader("failure_lines", "failures.jsonl", failure_tables, check_failure_lines),
        Reader("events", "tensorboard/events.out.tfevents.1", event_files, check_events),
        Reader("result", "result.json", result_files, check_result),
        Reader("environment", "environment.json", environment_files, check_environment),
    )
}
