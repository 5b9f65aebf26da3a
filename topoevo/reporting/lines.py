"""The words of the console and of ``run.log``: one line per generation or epoch, and the summary at the end."""

from __future__ import annotations

import importlib.util
import math
import os
import shlex
import shutil
import sys
from pathlib import Path

from topoevo.experiment.data import resumable_settings
from topoevo.experiment.params import Params
from topoevo.experiment.records import Champion, EpochRecord, GenerationRecord, Outcome, TaskScore
from topoevo.reporting.measures import num_layers
from topoevo.reporting.run_directory import LOGS, RunDirectory
from topoevo.reporting.summary_tables import front_rows, operator_rows
from topoevo.tasks.environments.find import module_of


def generation_line(record: GenerationRecord, num_generations: int, *, max_width: int = 1000) -> str:
    """Return one generation as one line; the columns of all generations are aligned.

    Parameters
    ----------
    record, num_generations
        The generation, and how many there will be.
    max_width
        Where the line would be longer, the least important parts are left out.
    """
    width = len(str(max(num_generations - 1, 0)))
    best = record.best
    accuracy = None if best.evaluation is None else best.evaluation.accuracy
    score = f"reward {best.reward:10.5f}" + ("" if accuracy is None else f"  accuracy {accuracy:.4f}")
    under_best = -math.inf if best.evaluation is None else best.evaluation.best_reward
    rate = len(record.population.members) / max(record.seconds.get("complete", 0.0), 1e-9)
    parts = [
        f"generation {record.generation:{width}d}",
        score,
        *([f"best weight {under_best:10.5f}"] if under_best > best.reward else []),
        f"connections {best.genome.complexity.connections:4d}",
        f"{rate:6.1f} evaluations/s",
        f"digest {record.digest}",
    ]
    if record.num_failures:
        parts.append(f"{record.num_failures} failed")
    if record.crowned:
        parts.append("new champion")
    if record.front is not None and record.front.num_improved:
        parts.append(f"{count(record.front.num_improved, 'size')} better")
    for least in ("digest", "evaluations/s", "best weight"):
        if len("  ".join(parts)) > max_width:
            parts = [part for part in parts if least not in part]
    return "  ".join(parts)


def epoch_line(record: EpochRecord, num_epochs: int, *, max_width: int = 1000) -> str:
    """Return one epoch as one line; the columns of all epochs are aligned.

    Parameters
    ----------
    record, num_epochs
        The epoch, and how many there will be.
    max_width
        Where the line would be longer, words are short and the least important parts are left out.
    """
    width = len(str(num_epochs))
    accuracy = "" if record.accuracy is None else f"  accuracy {record.accuracy:.4f}"
    parts = [f"epoch {record.epoch:{width}d}", f"training loss {record.loss:8.5f}{accuracy}"]
    for name, score in (("validation", record.validation), ("test", record.test)):
        if score is not None:
            parts.append(f"{name} loss {-score.reward:8.5f}  {_short_measure(score)}")
    if record.acceptance is not None:
        parts.append(f"accepted {record.acceptance:.3f}")
    line = "  ".join([*parts, f"{record.seconds['complete']:6.3f} s", f"digest {record.digest}"])
    return line if len(line) <= max_width else _short_epoch_line(record, width, max_width)


def _short_epoch_line(record: EpochRecord, width: int, max_width: int) -> str:
    """One epoch on a narrow screen."""
    parts = [f"epoch {record.epoch:{width}d}", f"loss {record.loss:8.5f}"]
    if record.accuracy is not None:
        parts.append(f"accuracy {record.accuracy:.4f}")
    for name, score in (("val", record.validation), ("test", record.test)):
        if score is not None:
            parts.append(f"{name} {_short_measure(score).removeprefix('accuracy ')}")
    if record.acceptance is not None:
        parts.append(f"accept {record.acceptance:.2f}")
    seconds = f"{record.seconds['complete']:6.3f} s"
    return "  ".join(parts + [seconds] * (len("  ".join([*parts, seconds])) <= max_width))


def headline(outcome: Outcome) -> str:
    """Return how a run ended, in one sentence."""
    ending = {"finished": "Finished", "interrupted": "Interrupted", "failed": "Failed"}[outcome.status]
    done = f"{count(outcome.generations, 'generation')}, {count(outcome.evaluations, 'evaluation')}"
    if outcome.epochs is not None:
        done = count(outcome.epochs, "epoch")
    if outcome.saving is not None and outcome.saving.share is not None:
        done += f" (racing saved {100 * outcome.saving.share:.0f} % of the training steps)"
    reason = f": {outcome.reason}" if outcome.reason else ""
    return f"{ending} after {done} and {duration(outcome.seconds)}{reason}"


def champion_title(outcome: Outcome) -> str:
    """Return what a run's network is called."""
    return "Champion" if outcome.epochs is None else "Network"


def champion_rows(champion: Champion) -> list[tuple[str, str]]:
    """Return what a user wants to know of a champion, as pairs of words and value; the most important first.

    Parameters
    ----------
    champion
        Tested, if the run came so far.
    """
    rows = []
    for name, score in (("test", champion.test), ("validation", champion.validation), ("training", champion.train)):
        if score is not None:
            when = "earlier " if champion.knows_validation and name == "validation" else ""
            rows += [(f"{when}{name} {words}", value) for words, value in _values(score)]
    genome = champion.individual.genome
    rows += [
        ("connections", str(genome.complexity.connections)),
        ("biases", str(genome.complexity.biases)),
        ("hidden nodes", str(genome.complexity.hidden)),
        ("layers", str(num_layers(champion.individual))),
    ]
    return rows if champion.generation is None else [*rows, ("found in generation", str(champion.generation))]


def file_rows(run: RunDirectory, params: Params) -> list[tuple[str, str]]:
    """Return the files of a run that exist, as pairs of path and meaning."""
    meanings = (
        (run.champion, "the network: weights, names and scaling of its inputs"),
        (run.picture_svg, "its picture, also as .png"),
        (run.metrics, f"every {'generation' if params.evolves else 'epoch'} in numbers"),
        (run.front_table, "the best network of each size; beside it their files and a picture"),
        (run.networks, "the last population"),
        (run.params, "every setting of this run"),
        (run.result, "how it ended"),
    )
    folder = Path(run.shown())
    return [(str(folder / path.relative_to(run.path)), meaning) for path, meaning in meanings if path.exists()]


def command_rows(run: RunDirectory, params: Params, outcome: Outcome) -> list[tuple[str, str]]:
    """Return what a user may want to type next, as pairs of purpose and command.

    Parameters
    ----------
    run, params, outcome
        Folder and settings of the run, and how it ended.
    """
    folder = run.shown()
    program, tensorboard = _programs()
    resume = resume_command(run, params)
    # All runs under logs/ can be compared in one window.
    curves = str(LOGS) if params.out_dir is None and run.path.parent == LOGS else folder
    rows = [("watch the curves", f"{tensorboard} --logdir {shlex.quote(curves)}")]
    if importlib.util.find_spec("tensorboard") is None:
        rows.insert(0, ("get TensorBoard", f"{shlex.quote(sys.executable)} -m pip install tensorboard"))
    if run.picture_svg.exists():
        opener = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")
        rows.append(("see the network", f"{opener} {shlex.quote(os.path.join(folder, run.picture_svg.name))}"))
    if run.checkpoint.exists():
        if outcome.status == "interrupted":
            rows.append(("go on", resume))
        elif outcome.epochs is None and outcome.generations >= params.num_generations:
            rows.append(("evolve further", f"{resume} --num_generations {2 * params.num_generations}"))
        elif outcome.epochs is None or outcome.epochs < params.num_epochs:
            rows += [] if outcome.repeats else [("go on", resume)]
        elif "num_epochs" in resumable_settings(params):
            rows.append(("train further", f"{resume} --num_epochs {2 * params.num_epochs}"))
    if run.champion.exists():
        acting = _acting(params)
        rows.append(("evaluate it", f"{program} evaluate {shlex.quote(folder)}{acting}"))
        if params.env_name is not None:
            rows.append(("watch it", f"{program} play {shlex.quote(folder)}{acting}"))
        elif params.dataset.endswith((".csv", ".npz")):
            rows.append(("predict new rows", f"{program} predict {shlex.quote(folder)} new.csv"))
        rows.append(("use it in Python", f"import topoevo; network = topoevo.load_network({folder!r})"))
    return rows


def resume_command(run: RunDirectory, params: Params) -> str:
    """Return what a user types to go on with a run."""
    return f"{_programs()[0]} resume {shlex.quote(run.shown())}{_acting(params)}"


def _acting(params: Params) -> str:
    """The environment as a flag, if it is of a module: a file alone must not decide which module is imported."""
    if params.env_name is None or not module_of(params.env_name):
        return ""
    return f" --env_name {shlex.quote(params.env_name)}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things, with the noun in the plural where it takes one."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def end_tables(outcome: Outcome, params: Params) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the tables of sizes and operators, as far as there is anything to tell: titles, and pairs of words."""
    tables = []
    if outcome.front is not None:
        tables.append(("Best of each size", front_rows(outcome.front)))
    adapted = params.adapt_probabilities != "none"
    if outcome.standings and (adapted or params.asks_for_evidence):
        title = "Mutations: children better than their parents, and the mean rank (0 to 1) of what children gain"
        tables.append((title, operator_rows(outcome.standings, adapted=adapted)))
    return [(title, rows) for title, rows in tables if rows]


def summary(outcome: Outcome, run: RunDirectory | None, params: Params) -> list[str]:
    """Return the end of a run as plain lines."""
    blocks: list[tuple[str, list[tuple[str, str]]]] = []
    if outcome.champion is not None:
        blocks.append((champion_title(outcome), champion_rows(outcome.champion)))
    blocks += end_tables(outcome, params)
    if run is not None:
        blocks += [
            ("Files", file_rows(run, params)),
            ("Next", command_rows(run, params, outcome)),
        ]
    lines = ["", headline(outcome)]
    for title, rows in blocks:
        width = max((len(left) for left, _ in rows), default=0)
        lines += ["", title, *(f"  {left:<{width}}  {right}" for left, right in rows)]
    return lines


def _short_measure(score: TaskScore) -> str:
    """The measure that a user thinks in, in a column."""
    if score.accuracy is not None:
        return f"accuracy {score.accuracy:.4f}"
    return "" if score.rmse is None else f"RMSE {score.rmse:10.5g}"


def _values(score: TaskScore) -> list[tuple[str, str]]:
    """A score as pairs of what it is called and its digits."""
    under = "" if score.best_reward is None else " with the best shared weight"
    if score.accuracy is not None:
        return [(f"accuracy{under}", f"{score.accuracy:.4f}")]
    if score.rmse is not None:
        return [(f"error (RMSE){under}", f"{score.rmse:.6g}")]
    found = [(f"mean {name}", f"{value:.4g}") for name, value in score.measures.items()]
    if score.best_reward is None:
        return [("reward", f"{score.reward:.6g}"), *found]
    return [
        ("reward, mean over shared weights", f"{score.reward:.6g}"),
        (f"reward{under}", f"{score.best_reward:.6g}"),
        *((f"{name}{under}", value) for name, value in found),
    ]


def _programs() -> tuple[str, str]:
    """How to call topoevo and TensorBoard from here, as the user has called this program."""
    if Path(sys.argv[0]).stem == "topoevo" and shutil.which("topoevo"):
        return "topoevo", "tensorboard"
    python = sys.executable
    if shutil.which("python") == python:
        python = "python"
    elif Path(python).is_relative_to(Path.cwd()):
        # Not resolved: the interpreter of a virtual environment is a link to another one.
        python = str(Path(python).relative_to(Path.cwd()))
    return f"{shlex.quote(python)} -m topoevo", f"{shlex.quote(python)} -m tensorboard.main"
