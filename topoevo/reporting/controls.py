"""What a comparison with controls leaves behind: a table on the screen, JSON, CSV, a picture, TensorBoard's events."""

from __future__ import annotations

import csv
import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from topoevo.errors import CheckpointError
from topoevo.experiment.records import TaskScore
from topoevo.reporting.atomic import write_atomically, write_json
from topoevo.reporting.event_files import event_writer
from topoevo.reporting.lines import count
from topoevo.reporting.run_directory import RunDirectory

if TYPE_CHECKING:
    from rich.progress import Progress

    from topoevo.experiment.comparison import Comparison, Spread, TrainedControl
    from topoevo.experiment.params import Params

#: What the controls of every kind are, in a few words.
WORDS = {
    "random": "randomly mutated",
    "shuffled": "shuffled",
    "shuffled_by_layer": "shuffled by layer",
}
#: A fraction of connections left in place from which the user is warned.
_MOSTLY = 0.8
_MEASURES = {"accuracy": "accuracy", "rmse": "error (RMSE)"}
_COLUMNS = (
    "network", "number", "connections", "biases", "hidden", "neurons", "layers", "in_place",
    "train_loss", "train_accuracy", "train_rmse", "test_loss", "test_accuracy", "test_rmse", "failure",
)  # fmt: skip


# -- files ------------------------------------------------------------------------------------------------------


def write_comparison(
    run: RunDirectory, comparison: Comparison, params: Params, *, task_name: str, step: int
) -> list[Path]:
    """Write all files of a comparison into the folder of its run, replacing earlier ones of this kind.

    Parameters
    ----------
    run
        Folder.
    comparison, params
        What to write, and the settings that it was made with.
    task_name
        For the picture.
    step
        Number of generations, where TensorBoard shows the scores.

    Returns
    -------
    list of Path
        The files for people to look at, the most telling first.

    Raises
    ------
    CheckpointError
        If a file cannot be written.
    """
    from topoevo.reporting.controls_picture import picture_of

    paths = {ending: run.controls(comparison.kind, ending) for ending in ("svg", "png", "csv", "json")}
    words = f"{WORDS[comparison.kind]} networks with {comparison.connections} connections, {params.learning_rule}"
    pictures = picture_of(comparison, title=f"{task_name}: {words}", subtitle=headline(comparison))
    try:
        for ending, picture in pictures.items():
            write_atomically(paths[ending], picture)
        write_atomically(paths["csv"], table_of(comparison))
        write_json(paths["json"], content_of(comparison, params))
        _write_events(run.tensorboard, comparison, pictures["png"], step)
    except OSError as error:
        raise CheckpointError(f"{error.filename or run.path} cannot be written: {error.strerror or error}") from error
    return [paths["svg"], paths["csv"], paths["json"]]


def content_of(comparison: Comparison, params: Params) -> dict[str, Any]:
    """Return the content of ``controls-<kind>.json``: equal for equal seeds, whatever the number of workers."""
    gains = comparison.gains
    return {
        "kind": comparison.kind,
        "seed": params.seed,
        "dataset": params.dataset,
        "learning_rule": params.learning_rule,
        "optimizer": params.optimizer,
        "lr": params.lr,
        "batch_size": params.batch_size,
        "num_epochs": comparison.num_epochs,
        "num_trials": params.num_trials,
        "measure": f"test_{comparison.measure}",
        "champion": {
            "connections": comparison.connections,
            **_mean_sizes(comparison.champions),
            "recorded": comparison.recorded,
            "retrained": _statistics(comparison.spread(comparison.champions)),
        },
        "controls": {
            "connections": [one.connections for one in comparison.controls],
            **_mean_sizes(comparison.controls),
            "trained": _statistics(comparison.spread(comparison.controls)),
        },
        "gain_over_mean": None if gains is None else gains[0],
        "gain_over_best": None if gains is None else gains[1],
        "num_beaten": comparison.num_beaten,
        "num_controls": len(comparison.controls),
        "networks": [_network(one) for one in comparison.networks],
    }


def table_of(comparison: Comparison) -> str:
    """Return the content of ``controls-<kind>.csv``: a row for every network."""
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for one in comparison.networks:
        row = {"network": _name(one), **asdict(one), **_scores(one)}
        table.writerow({column: "" if row.get(column) is None else row[column] for column in _COLUMNS})
    return text.getvalue()


def _statistics(spread: Spread | None) -> dict[str, Any] | None:
    """Statistics as JSON."""
    return None if spread is None else asdict(spread)


def _mean_sizes(networks: Sequence[TrainedControl]) -> dict[str, float]:
    """What networks with equally many connections may still differ in."""
    return {
        f"mean_{name}": sum(getattr(one, name) for one in networks) / len(networks) for name in ("hidden", "biases")
    }


def _name(one: TrainedControl) -> str:
    """Which of the two kinds of network it is."""
    return "champion" if one.is_champion else "control"


def _scores(one: TrainedControl) -> dict[str, float | None]:
    """Losses, accuracies and errors by name of the column."""
    found: dict[str, float | None] = {}
    for part in ("train", "test"):
        score: TaskScore | None = getattr(one, part)
        found[f"{part}_loss"] = None if score is None else -score.reward
        found[f"{part}_accuracy"] = None if score is None else score.accuracy
        found[f"{part}_rmse"] = None if score is None else score.rmse
    return found


def _network(one: TrainedControl) -> dict[str, Any]:
    """A trained network as JSON."""
    facts = {name: value for name, value in asdict(one).items() if name not in ("is_champion", "train", "test")}
    return {"network": _name(one), **facts, **_scores(one)}


def _write_events(folder: Path, comparison: Comparison, png: bytes, step: int) -> None:
    """Scores and picture for TensorBoard, in place of those of an earlier comparison of this kind."""
    import struct

    suffix = f".controls-{comparison.kind}"
    earlier = list(folder.glob(f"*{suffix}"))
    writer = event_writer(folder, suffix)
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    champion, controls = comparison.spread(comparison.champions), comparison.spread(comparison.controls)
    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    values = [Summary.Value(tag=f"controls_{comparison.kind}/picture", image=image)]
    for name, spread in (("champion", champion), ("controls", controls)):
        for statistic, value in ({} if spread is None else asdict(spread)).items():
            tag = f"controls_{comparison.kind}/{name}_{comparison.measure}_{statistic}"
            values += [Summary.Value(tag=tag, simple_value=value)] if statistic != "count" else []
    writer.write_event(Event(summary=Summary(value=values), step=step, wall_time=time.time()))
    writer.close()
    for path in earlier:
        path.unlink(missing_ok=True)


# -- screen -----------------------------------------------------------------------------------------------------


def comparison_lines(comparison: Comparison, params: Params) -> list[str]:
    """Return the comparison as plain lines.

    Parameters
    ----------
    comparison, params
        What was found, and the settings that it was made with.
    """
    header = f"test {_MEASURES[comparison.measure]}"
    rows: list[tuple[str, ...]] = [("", "mean", "sd", "min", "max", "connections", "hidden", "biases", "")]
    for name, networks, word in (
        ("champion trained anew", comparison.champions, "training"),
        (WORDS[comparison.kind], comparison.controls, "network"),
    ):
        spread = comparison.spread(networks)
        found = () if spread is None else (spread.mean, spread.std, spread.min, spread.max)
        numbers = [_number(value, comparison.measure) for value in found] or ["-"] * 4
        sizes = sorted({one.connections for one in networks})
        size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        means = [f"{mean:.1f}".removesuffix(".0") for mean in _mean_sizes(networks).values()]
        rows.append((name, *numbers, size, *means, count(len(networks), word)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["", f"Champion and controls: {header} after {count(comparison.num_epochs, 'epoch')} from new weights"]
    for name, *cells in rows:
        aligned = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([f"  {name:<{widths[0]}}", *aligned]).rstrip())
    lines += ["", *_verdict(comparison, params)]
    return lines


def headline(comparison: Comparison) -> str:
    """Return the outcome in one sentence, without a full stop."""
    text = f"The champion is better than {comparison.num_beaten} of {len(comparison.controls)} controls"
    if comparison.gains is not None:
        over_mean, over_best = (
            f"{'+' if gain >= 0 else '-'}{_number(abs(gain), comparison.measure)}" for gain in comparison.gains
        )
        text += f"; gain over their mean {over_mean}, over the best {over_best}"
    return text


def _verdict(comparison: Comparison, params: Params) -> list[str]:
    """What follows from the numbers, in sentences."""
    lines = [f"{headline(comparison)}."]
    failures = [one for one in comparison.networks if one.failure is not None]
    if failures:
        lines.append(f"{len(failures)} of {len(comparison.networks)} trainings failed, first: {failures[0].failure}")
    kept = [one.in_place for one in comparison.controls if one.in_place is not None]
    if kept:
        ratio = sum(kept) / len(kept)
        warning = ": these controls are hardly other networks" if ratio > _MOSTLY else ""
        lines.append(f"Shuffling has left {ratio:.0%} of the champion's connections in place{warning}.")
    if comparison.recorded is not None:
        weights = ", with inherited weights" if params.inherit_weights else ""
        lines.append(f"In its run, the champion reached {_number(comparison.recorded, comparison.measure)}{weights}.")
    return lines


def _number(value: float, measure: str) -> str:
    """An accuracy with four decimals; an error, which may be of any size, with as many digits."""
    return f"{value:.4f}" if measure == "accuracy" or 0.01 <= abs(value) < 1000 else f"{value:.4g}"


class ControlsConsole:
    """Show how far the trainings are, on a terminal by a bar.

    Parameters
    ----------
    stream
        Where to print; standard output if None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._progress: Progress | None = None

    def say(self, text: str) -> None:
        """Print a line."""
        try:
            print(text, file=self._stream, flush=True)
        except OSError:
            # Nobody reads any more, as behind `| head`; the files will have it all.
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - printed to until the end

    def on_progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if not self._stream.isatty():
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("[bold]training"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn()
            self._progress = Progress(*columns, console=Console(file=self._stream), transient=True)
            self._progress.add_task("", total=total)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done)

    def close(self) -> None:
        """Give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
