"""An observer that writes the run directory while the run goes on."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from topoevo.disk import cannot_write, sync_folder
from topoevo.errors import CheckpointError
from topoevo.evolution import Individual
from topoevo.experiment.data import origin_of
from topoevo.experiment.learning_facts import feedback_of
from topoevo.experiment.records import Champion, EpochRecord, Failure, GenerationRecord, Observer, Outcome, Run
from topoevo.reporting.failures import FailureFiles
from topoevo.reporting.kept_population import POPULATION_NAME, write_population
from topoevo.reporting.lines import epoch_line, generation_line
from topoevo.reporting.measures import EPOCH_MEASURES, MEASURES, measures_of, measures_of_epoch
from topoevo.reporting.network_facts import facts_of, facts_of_individual
from topoevo.reporting.network_file import write_network
from topoevo.reporting.run_directory import RunDirectory
from topoevo.reporting.tables import keep_rows

#: Columns of ``metrics.csv``; measures are called as in TensorBoard, with ``_`` for ``/``.
COLUMNS = ("generation", *(name.replace("/", "_") for name in MEASURES), "objectives", "crowned", "digest")
#: The same where one network is trained without evolution.
EPOCH_COLUMNS = ("epoch", *(name.replace("/", "_") for name in EPOCH_MEASURES), "digest")

#: Network files of the last population, if the user has not asked for snapshots: the best ones.
KEPT_NETWORKS = 1000
_SECONDS_BETWEEN_PICTURES = 10.0
#: Drawing takes at most this share of the time of evolution.
_PICTURE_RATIO = 0.02
#: Pictures of larger networks take seconds to draw and show nothing; `topoevo draw` makes them all the same.
_MAX_DRAWN_CONNECTIONS = 5000


class FilesObserver(Observer):
    """Write everything in the run directory but TensorBoard's events, the checkpoints and the result.

    Parameters
    ----------
    run
        Directory of this run, made or opened.
    warn
        Is told in one line of what cannot be written although the run goes on.

    Notes
    -----
    After a resume, what was written of generations or epochs that run again is replaced.

    A run ends when a row of its table or, at the end, its champion cannot be written. Without anything else
    it goes on, and tries again with the next one.
    """

    def __init__(self, run: RunDirectory, *, warn: Callable[[str], None] | None = None) -> None:
        self.run = run
        self._warn = warn
        self._warned: set[str] = set()
        self._champion_waits = False
        self._saved: GenerationRecord | None = None
        self._folder_changed = False
        self._watched: Run | None = None
        self._failures: FailureFiles | None = None
        self._record: GenerationRecord | None = None
        self._drawn: Champion | None = None
        self._champion: Champion | None = None
        self._next_picture = time.monotonic() + _SECONDS_BETWEEN_PICTURES

    def on_start(self, run: Run) -> None:
        """Open the tables, and forget in them what will happen again."""
        self._watched = run
        done = run.num_done
        unit, first, columns = "epoch", done + 1, EPOCH_COLUMNS
        if run.params.evolves:
            unit, first, columns = "generation", done, COLUMNS
        with _writing(self.run.path):
            # A result tells of a run that is over.
            self.run.result.unlink(missing_ok=True)
            self.run.delete_controls()
            num_missing = keep_rows(self.run.metrics, columns, range(first - done, first))
            self._failures = FailureFiles(self.run, run.params, run.task, first=first)
        title = f"seed {run.params.seed}, {run.task.name}"
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        self.log(f"{now}  {f'resumed at {unit} {first}' if done else 'started'}: {title}")
        if num_missing:
            self._tell(f"warning: {self.run.metrics} lacks {num_missing} of {done} {unit}s")
        if run.founder:
            self.log(f"the {'first network' if run.params.evolves else 'network'}: {run.founder}")

    def on_message(self, text: str) -> None:
        """Log it."""
        self.log(text)

    def on_failure(self, failure: Failure) -> None:
        """Record the genome and what went wrong."""
        assert self._failures is not None
        with self._trying(self.run.failures):
            self._failures.add(failure)

    def on_champion(self, champion: Champion) -> None:
        """Write its network file."""
        self._champion, self._champion_waits = champion, True
        with self._trying(self.run.champion):
            self._write_champion(champion)

    def on_generation(self, record: GenerationRecord) -> None:
        """Add a row, log a line, and take a snapshot or picture if it is time."""
        assert self._watched is not None
        params = self._watched.params
        self._record = record
        measures = measures_of(record)
        values = ["" if measures[name] is None else measures[name] for name in MEASURES]
        row = [record.generation, *values, "+".join(record.objectives), int(record.crowned), record.digest]
        self._add_row(COLUMNS, row)
        if self._champion is not None and self._champion_waits:
            self.on_champion(self._champion)
        self.log(generation_line(record, params.num_generations))
        every = params.save_networks_every
        # The last one comes before its checkpoint, after which no generation is repeated.
        if record.generation == params.num_generations - 1 or (every and record.generation % every == 0):
            self._save_population(record)
        if time.monotonic() >= self._next_picture:
            self._draw()

    def on_epoch(self, record: EpochRecord) -> None:
        """Add a row, and log a line."""
        assert self._watched is not None
        measures = measures_of_epoch(record)
        values = ["" if measures[name] is None else measures[name] for name in EPOCH_MEASURES]
        self._add_row(EPOCH_COLUMNS, [record.epoch, *values, record.digest])
        self.log(epoch_line(record, self._watched.params.num_epochs))

    def on_checkpoint(self) -> None:
        """Make sure that the folder is the run's own, and that its table is on the disk."""
        self.run.check_place()
        with _writing(self.run.metrics):
            if self.run.metrics.exists():
                with self.run.metrics.open("ab") as file:
                    os.fsync(file.fileno())
            if self._folder_changed:
                sync_folder(self.run.path)
                self._folder_changed = False

    def on_end(self, outcome: Outcome) -> None:
        """Write the champion, its picture, and the last population."""
        assert self._watched is not None
        self.run.check_place()
        if outcome.champion is not None:
            self.on_champion(outcome.champion)
        # A run that was interrupted goes on, and somebody waits for it to end.
        if outcome.status != "interrupted":
            self._draw()
        if self._record is not None and self._saved is not self._record and outcome.status == "failed":
            self._save_population(self._record)
        if outcome.champion is not None and self._champion_waits and outcome.status == "finished":
            # Without a result, the end can be repeated.
            with _writing(self.run.champion):
                self._write_champion(outcome.champion)

    def _write_champion(self, champion: Champion) -> None:
        """Write the network file of the champion."""
        assert self._watched is not None
        genome, params = champion.individual.genome, self._watched.params
        facts = facts_of(champion, params, self._watched.task)
        write_network(self.run.champion, genome, facts=facts, feedback=feedback_of(genome, params), durable=True)
        self._champion_waits = False

    def _add_row(self, columns: Sequence[str], row: Sequence[Any]) -> None:
        """Append a row to the table, and the header before the first one."""
        self.run.check_place()
        with _writing(self.run.metrics):
            is_new = not self.run.metrics.exists()
            self._folder_changed = self._folder_changed or is_new
            with self.run.metrics.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([columns, row] if is_new else [row])

    def _draw(self) -> None:
        """Draw the champion unless that was done; a picture that fails is no reason to stop a run."""
        champion = self._champion
        if champion is None or self._watched is None:
            return
        size = champion.individual.genome.complexity.connections
        if size > _MAX_DRAWN_CONNECTIONS:
            self.log(f"no picture of a network with {size} connections; topoevo draw makes one, slowly")
            self._next_picture = math.inf
            return
        drawn = self._drawn
        if drawn is None or drawn.individual is not champion.individual or drawn.test != champion.test:
            from topoevo.reporting.pictures import draw_champion

            started = time.monotonic()
            try:
                draw_champion(champion, self._watched.task, self.run.picture_svg, self.run.picture_png)
                self._drawn = replace(champion)
            except OSError as error:
                with self._trying(Path(error.filename or self.run.picture_svg)):
                    raise
            except Exception as error:
                self.log(f"no picture of the champion: {type(error).__name__}: {error}")
                self._drawn = replace(champion)
            seconds = time.monotonic() - started
            self._next_picture = time.monotonic() + max(_SECONDS_BETWEEN_PICTURES, seconds / _PICTURE_RATIO)

    def _save_population(self, record: GenerationRecord) -> None:
        """Write network files of a generation, the best first; the name begins with the place in the ranking."""
        assert self._watched is not None
        self._saved = record
        most = None if self._watched.params.save_networks_every else KEPT_NETWORKS
        folder = self.run.networks / f"generation-{record.generation:06d}"
        with self._trying(folder):
            self.run.networks.mkdir(exist_ok=True)
            folder.mkdir(exist_ok=True)
            for old in folder.glob("*.json"):
                old.unlink()
            try:
                origin = origin_of(self._watched.params, self._watched.task)
                write_population(folder / POPULATION_NAME, record.before or record.population, origin)
                for place, index in enumerate(record.order[:most]):
                    individual = record.population.members[int(index)]
                    file = folder / f"{place:04d}-individual-{individual.id}.json"
                    self._write_individual(file, individual, record.generation)
            except OSError:
                # Half a snapshot is of no use, and the checkpoint needs the space.
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def _write_individual(self, path: Path, individual: Individual, generation: int) -> None:
        """Network file of an individual, with the weights it has learned."""
        assert self._watched is not None
        evaluation = individual.evaluation
        if evaluation is not None and evaluation.weights is not None:
            individual = replace(individual, genome=individual.genome.with_weights(evaluation.weights))
        params, task = self._watched.params, self._watched.task
        facts = facts_of_individual(individual, params, task, generation=generation)
        write_network(path, individual.genome, facts=facts, feedback=feedback_of(individual.genome, params))

    def log(self, text: str) -> None:
        """Append a line to the log."""
        with self._trying(self.run.log), self.run.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(text + "\n")

    def _tell(self, text: str) -> None:
        """Tell the user one line, and log it."""
        if self._warn is not None:
            self._warn(text)
        self.log(text)

    @contextlib.contextmanager
    def _trying(self, path: Path) -> Iterator[None]:
        """Go on without what cannot be written, but say so once."""
        try:
            yield
        except OSError as error:
            # Snapshots of all generations are one thing.
            name = path.relative_to(self.run.path).parts[0]
            if name not in self._warned:
                self._warned.add(name)
                self._tell(f"warning: {cannot_write(path, error)}; the run goes on without")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell a full disk or a vanished folder in one sentence."""
    try:
        yield
    except OSError as error:
        # Of a folder, the error names what it is about; of a file that is replaced, its second name.
        name = (error.filename2 or error.filename) if path.is_dir() else None
        raise CheckpointError(cannot_write(Path(name or path), error)) from error
