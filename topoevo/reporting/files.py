"""An observer that writes the run directory."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from topoevo.errors import CheckpointError
from topoevo.evolution import Individual
from topoevo.experiment.learning_facts import feedback_of
from topoevo.experiment.records import Champion, EpochRecord, GenerationRecord, Observer, Outcome, Run
from topoevo.reporting.atomic import finite, write_atomically, write_json
from topoevo.reporting.lines import epoch_line, generation_line, summary
from topoevo.reporting.measures import EPOCH_MEASURES, MEASURES, measures_of, measures_of_epoch, num_layers
from topoevo.reporting.network_facts import facts_of, facts_of_individual
from topoevo.reporting.network_file import write_network
from topoevo.reporting.run_directory import RunDirectory

#: Columns of ``metrics.csv``; measures are called as in TensorBoard, with ``_`` for ``/``.
COLUMNS = ("generation", *(name.replace("/", "_") for name in MEASURES), "objectives", "crowned", "digest")
#: The same where one network is trained without evolution.
EPOCH_COLUMNS = ("epoch", *(name.replace("/", "_") for name in EPOCH_MEASURES), "digest")

#: Failed genomes that are kept as network files; the others are recorded by their digest.
_KEPT_FAILURES = 100
_SECONDS_BETWEEN_PICTURES = 10.0
#: Drawing takes at most this share of the time of evolution.
_PICTURE_RATIO = 0.02
#: Pictures of larger networks take seconds to draw and show nothing; `topoevo draw` makes them all the same.
_MAX_DRAWN_CONNECTIONS = 5000


class FilesObserver(Observer):
    """Write everything in the run directory but TensorBoard's events and the checkpoints.

    Parameters
    ----------
    run
        Directory of this run, made or opened.

    Notes
    -----
    After a resume, what was written of generations or epochs that run again is replaced.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._watched: Run | None = None
        self._record: GenerationRecord | None = None
        self._drawn: Champion | None = None
        self._champion: Champion | None = None
        self._next_picture = time.monotonic() + _SECONDS_BETWEEN_PICTURES

    def on_start(self, run: Run) -> None:
        """Open the tables, and forget in them what will happen again."""
        self._watched = run
        done = run.num_done
        with _writing(self.run.path):
            # A result tells of a run that is over.
            self.run.result.unlink(missing_ok=True)
            self.run.delete_controls()
            if run.params.evolves:
                unit, first = "generation", done
                _keep_rows(self.run.metrics, COLUMNS, first)
            else:
                unit, first = "epoch", done + 1
                _keep_rows(self.run.metrics, EPOCH_COLUMNS, first)
            _keep_failures(self.run.failures, first)
            title = f"seed {run.params.seed}, {run.task.name}"
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            self._log(f"{now}  {f'resumed at {unit} {first}' if done else 'started'}: {title}")
            if run.founder:
                self._log(f"the {'first network' if run.params.evolves else 'network'}: {run.founder}")

    def on_message(self, text: str) -> None:
        """Log it."""
        self._log(text)

    def on_failure(self, generation: int, individual: Individual) -> None:
        """Record the genome and what went wrong."""
        assert self._watched is not None
        digest = individual.genome.digest
        reason = individual.evaluation.failure if individual.evaluation is not None else None
        with _writing(self.run.failures):
            folder = self.run.networks / "failures"
            file = folder / f"{digest}.json"
            if not file.exists() and (not folder.exists() or sum(1 for _ in folder.iterdir()) < _KEPT_FAILURES):
                folder.mkdir(parents=True, exist_ok=True)
                self._write_individual(file, individual, generation)
            line = {
                "generation": generation,
                "individual": individual.id,
                "parents": individual.parents,
                "operators": individual.operators,
                "digest": digest,
                "file": str(file.relative_to(self.run.path).as_posix()) if file.exists() else None,
                "reason": reason,
            }
            with self.run.failures.open("a", encoding="utf-8") as failures:
                failures.write(json.dumps(finite(line), ensure_ascii=False) + "\n")

    def on_champion(self, champion: Champion) -> None:
        """Write its network file."""
        assert self._watched is not None
        self._champion = champion
        genome, params = champion.individual.genome, self._watched.params
        facts = facts_of(champion, params, self._watched.task)
        with _writing(self.run.champion):
            write_network(self.run.champion, genome, facts=facts, feedback=feedback_of(genome, params))

    def on_generation(self, record: GenerationRecord) -> None:
        """Add a row, log a line, and take a snapshot or picture if it is time."""
        assert self._watched is not None
        params = self._watched.params
        self._record = record
        measures = measures_of(record)
        values = ["" if measures[name] is None else measures[name] for name in MEASURES]
        row = [record.generation, *values, "+".join(record.objectives), int(record.crowned), record.digest]
        self._add_row(COLUMNS, row)
        self._log(generation_line(record, params.num_generations))
        if params.save_networks_every and record.generation % params.save_networks_every == 0:
            self._save_population(record)
        if time.monotonic() >= self._next_picture:
            self._draw()

    def on_epoch(self, record: EpochRecord) -> None:
        """Add a row, and log a line."""
        assert self._watched is not None
        measures = measures_of_epoch(record)
        values = ["" if measures[name] is None else measures[name] for name in EPOCH_MEASURES]
        self._add_row(EPOCH_COLUMNS, [record.epoch, *values, record.digest])
        self._log(epoch_line(record, self._watched.params.num_epochs))

    def on_end(self, outcome: Outcome) -> None:
        """Write the champion, its picture, the last population and the result."""
        assert self._watched is not None
        params = self._watched.params
        if outcome.champion is not None:
            self.on_champion(outcome.champion)
            self._draw()
        if self._record is not None:
            self._save_population(self._record)
        with _writing(self.run.result):
            write_json(self.run.result, result_of(outcome, seed=params.seed))
            self._log("\n".join(summary(outcome, self.run, params)))

    def _add_row(self, columns: Sequence[str], row: Sequence[Any]) -> None:
        """Append a row to the table, and the header before the first one."""
        with _writing(self.run.metrics):
            is_new = not self.run.metrics.exists()
            with self.run.metrics.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([columns, row] if is_new else [row])

    def _draw(self) -> None:
        """Draw the champion unless that was done; a picture that fails is no reason to stop a run."""
        champion = self._champion
        if champion is None or self._watched is None:
            return
        size = champion.individual.genome.complexity.connections
        if size > _MAX_DRAWN_CONNECTIONS:
            self._log(f"no picture of a network with {size} connections; topoevo draw makes one, slowly")
            self._next_picture = math.inf
            return
        drawn = self._drawn
        if drawn is None or drawn.individual is not champion.individual or drawn.test != champion.test:
            from topoevo.reporting.pictures import draw_champion

            started = time.monotonic()
            try:
                draw_champion(champion, self._watched.task, self.run.picture_svg, self.run.picture_png)
            except Exception as error:
                self._log(f"no picture of the champion: {type(error).__name__}: {error}")
            self._drawn = replace(champion)
            seconds = time.monotonic() - started
            self._next_picture = time.monotonic() + max(_SECONDS_BETWEEN_PICTURES, seconds / _PICTURE_RATIO)

    def _save_population(self, record: GenerationRecord) -> None:
        """Write a network file for every individual of a generation; the name begins with the place in the ranking."""
        folder = self.run.networks / f"generation-{record.generation:06d}"
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("*.json"):
                old.unlink()
            for place, index in enumerate(record.order):
                individual = record.population.members[int(index)]
                file = folder / f"{place:04d}-individual-{individual.id}.json"
                self._write_individual(file, individual, record.generation)

    def _write_individual(self, path: Path, individual: Individual, generation: int) -> None:
        """Network file of an individual, with the weights it has learned."""
        assert self._watched is not None
        evaluation = individual.evaluation
        if evaluation is not None and evaluation.weights is not None:
            individual = replace(individual, genome=individual.genome.with_weights(evaluation.weights))
        params, task = self._watched.params, self._watched.task
        facts = facts_of_individual(individual, params, task, generation=generation)
        write_network(path, individual.genome, facts=facts, feedback=feedback_of(individual.genome, params))

    def _log(self, text: str) -> None:
        """Append a line to the log."""
        with _writing(self.run.log), self.run.log.open("a", encoding="utf-8") as log:
            log.write(text + "\n")


def result_of(outcome: Outcome, *, seed: int) -> dict[str, Any]:
    """Return the content of ``result.json``."""
    champion = outcome.champion
    epochs = {} if outcome.epochs is None else {"epochs": outcome.epochs}
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        **epochs,
        "generations": outcome.generations,
        "evaluations": outcome.evaluations,
        "seconds": outcome.seconds,
        "seed": seed,
        "digest": outcome.digest,
        "champion": None if champion is None else _champion_result(champion),
    }


def _champion_result(champion: Champion) -> dict[str, Any]:
    """What ``result.json`` says of the champion."""
    test, genome = champion.test, champion.individual.genome
    found = {
        "reward": champion.train.reward,
        "accuracy": champion.train.accuracy,
        "test_reward": None if test is None else test.reward,
        "test_accuracy": None if test is None else test.accuracy,
        "connections": genome.complexity.connections,
        "biases": genome.complexity.biases,
        "neurons": len(genome.nodes),
        "layers": num_layers(champion.individual),
        "generation": champion.generation,
    }
    if champion.train.best_reward is not None:
        found |= {
            "best_reward": champion.train.best_reward,
            "test_best_reward": None if test is None else test.best_reward,
        }
    if test is not None:
        found |= {f"test_{name}": value for name, value in test.measures.items()}
    if champion.train.rmse is not None:
        found |= {"rmse": champion.train.rmse, "test_rmse": None if test is None else test.rmse}
    return found


def _keep_rows(path: Path, columns: Sequence[str], first: int) -> None:
    """Leave in a table only whole rows of generations or epochs before `first`."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(csv.reader(file))
    kept = [row for row in rows[1:] if len(row) == len(columns) and row[0].isdigit() and int(row[0]) < first]
    if not kept:
        path.unlink()
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *kept])
    write_atomically(path, text.getvalue())


def _keep_failures(path: Path, first: int) -> None:
    """Leave only whole lines of generations before `first`."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8", errors="replace").splitlines(keepends=True):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if json.loads(line)["generation"] < first and line.endswith("\n"):
                kept.append(line)
    write_atomically(path, "".join(kept))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell a full disk or a vanished folder in one sentence."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{error.filename or path} cannot be written: {error.strerror or error}") from error
