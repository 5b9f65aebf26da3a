"""An observer that tells the user what happens: a progress display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from topoevo.experiment.records import EpochRecord, GenerationRecord, Observer, Outcome, Run
from topoevo.reporting.lines import (
    champion_rows,
    champion_title,
    command_rows,
    count,
    duration,
    end_tables,
    epoch_line,
    file_rows,
    generation_line,
    headline,
    resume_command,
    summary,
)
from topoevo.reporting.run_directory import RunDirectory

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from topoevo.evolution import Individual
    from topoevo.experiment.params import Params

#: On a terminal, which shows progress anyway, a line that would come earlier after the last one is left out;
#: ``run.log`` has them all.
_SECONDS_BETWEEN_LINES = 1.0


class ConsoleObserver(Observer):
    """Print messages, generations or epochs, and the summary.

    Parameters
    ----------
    run
        Directory whose files the summary names; may be set later, since messages come before there is one.
    stream
        Where to print; standard output if None. It gets the progress display if it is a terminal.
    """

    def __init__(self, run: RunDirectory | None = None, *, stream: TextIO | None = None) -> None:
        self.run = run
        self._stream = cast(TextIO, _Unread(sys.stdout if stream is None else stream))
        self._is_terminal = self._stream.isatty()
        self._watched: Run | None = None
        self._last_line = -1e9
        self._left_out: GenerationRecord | None = None
        self._screen: _Screen | None = None

    def on_start(self, run: Run) -> None:
        """Say what is evolved or trained, and start the display."""
        self._watched = run
        params, task = run.params, run.task
        ends = f"{count(task.num_inputs, 'input')}, {count(task.num_outputs, 'output')}"
        self._say(f"{task.name}: {ends}; {task.description}")
        how = f"{params.learning_rule} with seed {params.seed}"
        if params.shared_weights is not None:
            weights = ", ".join(f"{weight:g}" for weight in params.shared_weights)
            how = f"shared weights {weights}, seed {params.seed}"
        if params.evolves:
            length = count(params.num_generations, "generation")
            if run.num_done >= params.num_generations:
                self._say(f"{params.population_size} networks have evolved for {length}, {how}")
            else:
                when = f"from generation {run.num_done} on, {length} in all" if run.num_done else f"for {length}"
                self._say(f"evolving {params.population_size} networks {when}, {how}")
            if run.founder:
                self._say(f"the first is {run.founder}")
        else:
            when = f"for {count(params.num_epochs, 'epoch')}"
            if run.num_done:
                when = f"from epoch {run.num_done + 1} up to epoch {params.num_epochs}"
            self._say(f"training {run.founder}, {when}, {how}")
        if self.run is not None:
            self._print(f"writing to {self.run.shown()}")
        if self._is_terminal:
            self._screen = _Screen(self._stream, run)

    def on_message(self, text: str) -> None:
        """Print it at once."""
        self._say(text)

    def on_evaluation(self, generation: int, done: int, total: int) -> None:
        """Move the display."""
        if self._screen is not None:
            self._screen.show_part(done, total)

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Move the display."""
        if self._screen is not None:
            self._screen.show_part(done, total)

    def on_generation(self, record: GenerationRecord) -> None:
        """Print a line, unless there is a display and the last line is too fresh."""
        assert self._watched is not None
        if self._screen is not None:
            complete = record.seconds.get("complete", 0.0)
            rate = len(record.population.members) / max(complete, 1e-9)
            self._screen.show_done(
                record.generation + 1, complete, _words(record.best), pace=f"{rate:.0f} evaluations/s"
            )
        is_edge = record.generation in (self._watched.num_done, self._watched.params.num_generations - 1)
        if self._screen is None or is_edge or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._print_generation(record)
        else:
            self._left_out = record

    def on_epoch(self, record: EpochRecord) -> None:
        """Print a line."""
        assert self._watched is not None
        if self._screen is not None:
            best = "" if record.test.accuracy is None else f"[green]test accuracy[/] {record.test.accuracy:.4f}"
            self._screen.show_done(record.epoch, record.seconds["complete"], best)
        self._print(epoch_line(record, self._watched.params.num_epochs, max_width=self._max_width))

    def on_end(self, outcome: Outcome) -> None:
        """Print the summary."""
        if self._left_out is not None:
            self._print_generation(self._left_out)
        if self._watched is None:
            return
        if self._screen is None:
            self._print("\n".join(summary(outcome, self.run, self._watched.params)))
        else:
            self._screen.close()
            _print_summary(self._stream, outcome, self.run, self._watched.params)
        self._stream.flush()

    def on_leave(self, outcome: Outcome) -> None:
        """Give the terminal back, and say how to go on."""
        self.close()
        self._print(f"\n{headline(outcome)}")
        if self.run is not None and self._watched is not None:
            self._print(f"to go on: {resume_command(self.run, self._watched.params)}")

    def close(self) -> None:
        """Give the terminal back; to be called if a run ends by an exception."""
        if self._screen is not None:
            self._screen.close()

    def _print_generation(self, record: GenerationRecord) -> None:
        """Print the line of a generation."""
        assert self._watched is not None
        self._last_line, self._left_out = time.monotonic(), None
        self._print(generation_line(record, self._watched.params.num_generations, max_width=self._max_width))

    @property
    def _max_width(self) -> int:
        """Letters that a line may have."""
        return 1000 if self._screen is None else self._screen.width

    def _say(self, text: str) -> None:
        """Print a sentence, on a terminal broken between words."""
        if self._is_terminal:
            width = max(shutil.get_terminal_size().columns, 20)
            text = textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        self._print(text)

    def _print(self, text: str) -> None:
        """Print a line, above what is moving."""
        if self._screen is not None and self._screen.is_open:
            self._screen.print_above(text)
        else:
            print(text, file=self._stream, flush=True)


class _Unread:
    """A stream that perhaps nobody reads any more, as behind ``| head`` or when a terminal was closed.

    That is no reason to lose a run, and ``run.log`` has it all.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or do nothing any more."""
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing any more."""
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Have all that is printed go nowhere: what is buffered is written once more when Python ends."""
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - printed to until the program ends
        with suppress(OSError, ValueError):
            os.dup2(nowhere.fileno(), self._stream.fileno())
        self._stream = nowhere


class _Screen:
    """The progress display on the last line of a terminal."""

    def __init__(self, stream: TextIO, run: Run) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.table import Column

        params, first = run.params, run.num_done
        unit, total = ("generation", params.num_generations) if params.evolves else ("epoch", params.num_epochs)
        console = Console(file=stream, highlight=False)
        self.width = console.width
        counted = len(f"{total}/{total}")
        # On a narrow terminal the bar is left out and words are cut, so that the display stays one line.
        columns = [
            TextColumn(f"[bold]{unit}", table_column=Column(no_wrap=True, min_width=len(unit))),
            *([BarColumn(bar_width=24, complete_style="cyan", finished_style="green")] if console.width > 110 else []),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=counted)),
            TextColumn("{task.fields[best]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            TextColumn("[dim]{task.fields[pace]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        ]
        self._progress: Progress = Progress(*columns, console=console, transient=True, refresh_per_second=8)
        self._first, self._total, self._started = first, total, time.monotonic()
        self._task: TaskID = self._progress.add_task("", total=total, completed=first, best="", pace="")
        self._done, self._last = first, time.monotonic()
        self._parts, self._left, self._began = "networks" if params.evolves else "minibatches", "", self._last
        self.is_open = True
        self._progress.start()

    def show_part(self, done: int, total: int) -> None:
        """Show how far the present generation or epoch is."""
        now = time.monotonic()
        if now - self._last > 0.1 or done == total:
            self._last = now
            self._progress.update(self._task, completed=self._done + done / total)
            if now - self._began > _SECONDS_BETWEEN_LINES:  # Numbers that change faster cannot be read.
                self._progress.update(self._task, pace=_listed(self._left, f"{done} of {total} {self._parts}"))

    def show_done(self, done: int, seconds: float, best: str, *, pace: str = "") -> None:
        """Show the best network, the time left and the pace, after another generation or epoch of so many seconds."""
        self._done, self._began = done, time.monotonic()
        if done == self._first + 1:
            # Whatever came before the first evaluation, such as compiling, says nothing about the pace.
            self._started = time.monotonic() - seconds
        left = (time.monotonic() - self._started) / (done - self._first) * (self._total - done)
        self._left = f"{duration(left)} left" if done < self._total else "finishing"
        self._progress.update(self._task, completed=done, best=best, pace=_listed(self._left, pace))

    def print_above(self, text: str) -> None:
        """Print a line that stays."""
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the display."""
        if self.is_open:
            self.is_open = False
            self._progress.stop()


def _listed(*parts: str) -> str:
    """Those that are not empty, with commas between them."""
    return ", ".join(part for part in parts if part)


def _words(best: Individual) -> str:
    """A generation's best in a few words."""
    accuracy = None if best.evaluation is None else best.evaluation.accuracy
    value = f"reward {best.reward:.4f}" + ("" if accuracy is None else f", accuracy {accuracy:.4f}")
    return f"[green]best[/] {value}, {best.genome.complexity.connections} connections"


def _print_summary(stream: TextIO, outcome: Outcome, run: RunDirectory | None, params: Params) -> None:
    """The end of a run in colors; the same words as in the log."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    color = {"finished": "bold green", "interrupted": "bold yellow"}.get(outcome.status, "bold red")
    console.print()
    console.print(Text(headline(outcome), color))
    if outcome.champion is not None:
        console.print(f"\n[bold]{champion_title(outcome)}")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(style="dim")
        table.add_column(justify="right", style="bold")
        for left, right in champion_rows(outcome.champion):
            table.add_row(left, right)
        console.print(table)
    blocks = [(title, pairs, ("dim", "")) for title, pairs in end_tables(outcome, params)]
    if run is not None:
        blocks.append(("Files", file_rows(run, params), ("cyan", "dim")))
        blocks.append(("Next", command_rows(run, params, outcome), ("dim", "cyan")))
    for title, pairs, styles in blocks:
        console.print(f"\n[bold]{title}")
        width = max((len(left) for left, _ in pairs), default=0)
        for left, right in pairs:
            # Never wrapped: paths and commands are there to be copied.
            line = Text("  ").append(f"{left:<{width}}  ", styles[0]).append(right, styles[1])
            console.print(line, soft_wrap=True)
