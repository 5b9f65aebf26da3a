"""An observer that writes the best network of each size: network files, a table, a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from topoevo.disk import cannot_write
from topoevo.errors import CheckpointError
from topoevo.experiment.front import Front
from topoevo.experiment.learning_facts import feedback_of
from topoevo.experiment.records import Champion, GenerationRecord, Observer, Outcome, Run
from topoevo.reporting.atomic import write_atomically
from topoevo.reporting.network_facts import facts_of
from topoevo.reporting.network_file import write_network
from topoevo.reporting.run_directory import RunDirectory
from topoevo.reporting.summary_tables import front_columns


class FrontObserver(Observer):
    """Write the folder ``front`` of a run that evolves several sizes, when champions are tested and at the end.

    Parameters
    ----------
    run
        Directory of this run, made or opened.
    log
        Gets lines for the log of the run.
    warn
        Is told in one line of what cannot be written although the run goes on.

    Notes
    -----
    A run ends when its networks cannot be written at the end. Before, and without a picture, it goes on.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        log: Callable[[str], None] = lambda text: None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.run = run
        self._log = log
        self._warn = warn
        self._has_warned = False
        self._watched: Run | None = None
        self._written: dict[int, Champion] = {}

    def on_start(self, run: Run) -> None:
        """Remember the settings."""
        self._watched = run

    def on_generation(self, record: GenerationRecord) -> None:
        """Write the networks that are new, if it is time."""
        assert self._watched is not None
        every = self._watched.params.test_every
        if record.front is None or not every or record.generation % every:
            return
        try:
            self._write(record.front, durable=False)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                self._warn(f"warning: {cannot_write(self.run.front, error)}; the run goes on without")

    def on_end(self, outcome: Outcome) -> None:
        """Write everything."""
        front = outcome.front
        if self._watched is None or front is None or not front.champions:
            return
        self.run.check_place()
        self._written.clear()
        try:
            self._write(front, durable=True)
        except OSError as error:
            if outcome.status == "finished":
                # Without a result, the end can be repeated.
                raise CheckpointError(cannot_write(self.run.front, error)) from error
        # A run that was interrupted goes on, and somebody waits for it to end.
        if outcome.status != "interrupted":
            self._draw(front)

    def _write(self, front: Front, *, durable: bool) -> None:
        """Write the network files that have changed, and the table."""
        assert self._watched is not None
        if not front.champions:
            return
        params, task = self._watched.params, self._watched.task
        self.run.check_place()
        self.run.front.mkdir(exist_ok=True)
        for size, champion in front.champions.items():
            if self._written.get(size) is not champion:
                genome = champion.individual.genome
                facts = facts_of(champion, params, task)
                path = self.run.front / f"{size}.json"
                write_network(path, genome, facts=facts, feedback=feedback_of(genome, params), durable=durable)
                self._written[size] = champion
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(front_columns(front))
        write_atomically(self.run.front_table, text.getvalue(), durable=durable)

    def _write_picture(self, path: Path, content: bytes) -> None:
        """Write a file of the picture, or say why not."""
        try:
            write_atomically(path, content)
        except OSError as error:
            self._warn(f"warning: {cannot_write(path, error)}")

    def _draw(self, front: Front) -> None:
        """Draw the front; a picture that fails is no reason to stop a run."""
        assert self._watched is not None
        try:
            from topoevo.reporting.front_picture import picture_of

            params, task = self._watched.params, self._watched.task
            title = f"{task.name}: the best network of each size"
            subtitle = f"{params.num_generations} generations of {params.population_size} networks, seed {params.seed}"
            files = picture_of(front, title=title, subtitle=subtitle)
            for ending, content in files.items():
                self._write_picture(self.run.front / f"front.{ending}", content)
        except Exception as error:
            self._log(f"no picture of the front: {type(error).__name__}: {error}")
