"""The report of a network: its scores on samples, or what it does in an environment, under several kinds of weights."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topoevo.commands.loading import load_named
from topoevo.commands.parser import NETWORK_HELP, Parser
from topoevo.errors import CheckpointError, NetworkFileError, ParamsError
from topoevo.experiment.report import AGNOSTIC_CONDITIONS, CONDITIONS, Report
from topoevo.experiment.tuning import GradientSettings, require_cma
from topoevo.reporting.atomic import finite, write_atomically
from topoevo.reporting.lines import count
from topoevo.reporting.report import report_json, report_lines
from topoevo.reporting.run_directory import RunDirectory
from topoevo.tasks.base import AUGMENTATION
from topoevo.tasks.environments.environment import Environment
from topoevo.trained_network import TrainedNetwork

if TYPE_CHECKING:
    from topoevo.tasks.task import Task

_DESCRIPTION = (
    "Score a network on its training, validation and test samples, or in its environment. A weight-agnostic network is "
    "measured with random, shared and tuned weights too, and the curve of its reward over the shared weight is drawn."
)
#: Lengths of what is done, each at least 1: help, and to whom they belong.
_LENGTHS = {
    "num_trials": "episodes that a set of weights is measured in (default 100)",
    "num_trials_each": "episodes for each of many sets of weights: random ones, search and curve (default: num_trials "
    "in CartPoleSwingUp and Snake, 10 in others)",
    "num_draws": "random weights that are drawn (default 100)",
    "num_generations": "generations of CMA-ES, which tunes weights in environments (default 300, or 100 in others)",
    "population_size": "its candidates (default 32, or 16 in others)",
    "num_tuning_trials": "episodes of each candidate (default 16, or 4 in others)",
    "num_epochs": "epochs of a training, which tunes weights on samples (default 30)",
    "num_trainings": "trainings, in other orders of the samples (default 5)",
}
_OF_EPISODES = ("num_trials", "num_trials_each", "num_generations", "population_size", "num_tuning_trials")
_OF_SAMPLES = ("num_epochs", "num_trainings")
#: Name of the curve's picture, and what TensorBoard calls it.
_PICTURE, _TAG = "shared_weight_curve", "champion/shared_weight_curve"
#: Progress is told of what takes longer, and then as often.
_SECONDS_BETWEEN_LINES = 2.0


def evaluate_command(words: list[str], prog: str) -> int:
    """``topoevo evaluate``: the report of a network."""
    given = _parser(prog).parse_args(words)
    _check(given)
    path = Path(given.network).expanduser()
    network, task = load_with_task(given)
    conditions = _conditions(given, network, task)
    _check_plot(given, conditions)
    if isinstance(task, Environment) and "tuned_weights" in conditions:
        require_cma()
    if conditions:
        network.judge(task).prepare(say)
    complexity = network.file.genome.complexity
    facts: dict[str, Any] = {
        "network": str(given.network),
        "environment" if isinstance(task, Environment) else "task": task.name,
        "weight_agnostic": network.is_weight_agnostic,
        "connections": complexity.connections,
        "biases": complexity.biases,
    }
    sizes = f"{count(complexity.connections, 'connection')}, {count(complexity.biases, 'bias', 'biases')}"
    lines = [f"{given.network}: {sizes}, {_named(task)}"]
    if not isinstance(task, Environment):
        rows = _scores(network, task)
        facts["scores"] = rows
        lines += _score_lines(rows, task)
        if network.file.facts.get("knows_validation") is True and "validation" in rows:
            lines.append("the network has learned from the validation samples, too; what is recorded was before that")
    if conditions:
        report = network.report(
            task,
            conditions=conditions,
            num_draws=given.num_draws or 100,
            seed=given.seed,
            tell=Ticker(),
            **_lengths(given, task),
        )
        facts |= report_json(report)
        lines += [*([""] if len(lines) > 1 else []), *report_lines(report)]
        files = _write_picture(given, path, network, task, report)
        facts["files"] = [str(file) for file in files]
        lines += [""] * bool(files) + [str(file) for file in files]
    print(json.dumps(finite(facts), indent=2) if given.json else "\n".join(lines))
    return 0


def _parser(prog: str) -> Parser:
    """The words of the command."""
    parser = Parser(prog=prog, description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("network", help=f"{NETWORK_HELP}, or published .out file")
    add_task_flags(parser)
    parser.add_argument(
        "--conditions",
        nargs="+",
        choices=tuple(CONDITIONS),
        metavar="CONDITION",
        help=f"kinds of weights: {', '.join(CONDITIONS)}; default all that apply",
    )
    parser.add_argument("--no_tuning", action="store_true", help="leave out tuned weights, which take longest")
    for name, words in _LENGTHS.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=words)
    parser.add_argument(
        "--sigmas",
        nargs="+",
        type=float,
        metavar="S",
        help="deviations that CMA-ES starts with, one for each restart (default .1 .1 .1)",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides all that is random (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON, with everything that was found")
    parser.add_argument(
        "--plot", metavar="FILE", help="picture of the curve to write, .svg or .png (default: both, beside the network)"
    )
    parser.add_argument("--no_plot", action="store_true", help="write no picture")
    return parser


def add_task_flags(parser: Parser) -> None:
    """Add what a network is measured on, if it is not what the file says."""
    parser.add_argument("--env_name", help="environment, if it is not the recorded one")
    parser.add_argument("--dataset", help="data set or path of the table, if it is not the recorded one")
    parser.add_argument("--data_dir", help="folder with the data files, if it is not the recorded one")
    for ends in ("inputs", "outputs"):
        parser.add_argument(
            f"--num_{ends}", type=int, metavar="N", help=f"number of {ends}, where an .out file leaves it open"
        )


def load_with_task(given: Namespace) -> tuple[TrainedNetwork, Task | Environment]:
    """Return the network and what it is measured on.

    Parameters
    ----------
    given
        ``network`` and what `add_task_flags` adds.

    Raises
    ------
    TopoevoError
        If one of them cannot be loaded, or they do not fit.
    """
    if given.env_name is not None and (given.dataset is not None or given.data_dir is not None):
        raise ParamsError("--env_name and --dataset: an environment or a data set, not both")
    network = load_named(
        given.network, env_name=given.env_name, num_inputs=given.num_inputs, num_outputs=given.num_outputs
    )
    changes = {name: value for name in ("data_dir", "dataset") if (value := getattr(given, name)) is not None}
    recorded = network.file.facts
    if (
        given.env_name is None
        and not changes
        and "environment_settings" not in recorded
        and "data_settings" not in recorded
    ):
        raise NetworkFileError(
            f"{given.network}: does not say what the network was made for: give --env_name or --dataset"
        )
    if given.env_name is not None or (not changes and "environment_settings" in recorded):
        return network, network.load_environment(given.env_name, on_progress=say)
    settings = recorded.get("data_settings")
    before = settings.get("dataset") if isinstance(settings, dict) else None
    say(f"loading {changes.get('dataset', before)} ...")
    # Scores are those of the samples themselves; making copies would take long for nothing.
    task = network.load_task(on_progress=say, **changes, distorted_copies=0)
    recorded_task = recorded.get("task")
    if isinstance(recorded_task, dict) and task.provenance != _without_copies(recorded_task.get("data")):
        say("warning: the data has changed since the network was trained; recorded scores do not compare")
    return network, task


def _without_copies(provenance: object) -> object:
    """What a network file says of its data, less what belongs to distorted copies alone."""
    if not isinstance(provenance, dict):
        return provenance
    return {name: value for name, value in provenance.items() if name != AUGMENTATION}


def say(text: str) -> None:
    """Print progress to the error stream, so that the output can be piped."""
    print(text, file=sys.stderr, flush=True)


class Ticker:
    """Prints progress, but only of what takes long."""

    def __init__(self, show: Callable[[str], None] = say) -> None:
        self._show, self._last = show, time.monotonic()

    def __call__(self, text: str) -> None:
        """Print a line, unless the last one is too fresh."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._show(text)


def _check(given: Namespace) -> None:
    """Refuse numbers that mean nothing."""
    problems = [
        f"--{name}: {value} is not allowed, must be at least 1"
        for name in _LENGTHS
        if (value := getattr(given, name)) is not None and value < 1
    ]
    if any(not 0 < sigma < float("inf") for sigma in given.sigmas or ()):
        problems.append("--sigmas: must be above 0")
    if given.population_size == 1:
        problems.append("--population_size: 1 is not allowed, must be at least 2")
    if given.seed < 0:
        problems.append(f"--seed: {given.seed} is not allowed, must be at least 0")
    if given.plot is not None and Path(given.plot).suffix not in (".svg", ".png"):
        problems.append(f"--plot: {given.plot!r} must end in .svg or .png")
    if problems:
        raise ParamsError("\n".join(problems))


def _conditions(given: Namespace, network: TrainedNetwork, task: Task | Environment) -> tuple[str, ...]:
    """The conditions that are asked for, in the order of reports."""
    if given.conditions is not None:
        chosen = tuple(given.conditions)
    elif network.is_weight_agnostic:
        chosen = AGNOSTIC_CONDITIONS
    else:
        chosen = ("own_weights",) if isinstance(task, Environment) else ()
    episodes = (*_OF_EPISODES, "sigmas")
    other, kind = (_OF_SAMPLES, "samples") if isinstance(task, Environment) else (episodes, "episodes")
    problems = [
        f"--{name}: has no effect, {task.name} has no {kind}" for name in other if getattr(given, name) is not None
    ]
    if (
        given.conditions is not None
        and "ensemble" in chosen
        and (isinstance(task, Environment) or task.kind != "classification")
    ):
        problems.append(f"--conditions: no ensemble in {task.name}, which has no classes to vote for")
    if problems:
        raise ParamsError("\n".join(problems))
    return tuple(name for name in CONDITIONS if name in chosen and not (given.no_tuning and name == "tuned_weights"))


def _check_plot(given: Namespace, conditions: tuple[str, ...]) -> None:
    """Refuse a picture of nothing, or of a folder that is not there."""
    if given.plot is None:
        return
    if not set(conditions) & set(AGNOSTIC_CONDITIONS):
        raise ParamsError("--plot: there is no curve to draw for a network with weights of its own; see --conditions")
    if not Path(given.plot).expanduser().parent.is_dir():
        raise ParamsError(f"--plot: there is no folder {Path(given.plot).parent}")


def _lengths(given: Namespace, task: Task | Environment) -> dict[str, Any]:
    """What the flags say about lengths, as arguments of `TrainedNetwork.report`."""
    if isinstance(task, Environment):
        lengths = {name: value for name in _OF_EPISODES if (value := getattr(given, name)) is not None}
        return lengths if given.sigmas is None else {**lengths, "sigmas": tuple(given.sigmas)}
    found: dict[str, Any] = {} if given.num_trainings is None else {"num_trainings": given.num_trainings}
    if given.num_epochs is not None:
        found["gradient"] = GradientSettings(num_epochs=given.num_epochs)
    return found


def _named(task: Task | Environment) -> str:
    """What it is measured on, in words."""
    return f"environment {task.name}" if isinstance(task, Environment) else f"task {task.name}"


# -- scores on samples ------------------------------------------------------------------------------------------


def _scores(network: TrainedNetwork, task: Task) -> dict[str, dict[str, Any]]:
    """Scores with the weights that the network has, by part of the samples."""
    recorded = network.file.facts.get("scores", {})
    rows: dict[str, dict[str, Any]] = {}
    for part in ("train", "validation", "test"):
        samples = getattr(task, part)
        if samples is not None:
            score = network.score(task, part)
            rows[part] = {
                "samples": len(samples),
                "reward": score.reward,
                "accuracy": score.accuracy,
                "rmse": score.rmse,
                "recorded": recorded.get(part),
            }
    return rows


def _score_lines(rows: dict[str, dict[str, Any]], task: Task) -> list[str]:
    """The scores as a table."""
    measure = "accuracy" if task.kind == "classification" else "rmse"
    lines = [f"{'':<12}{'samples':>9}{measure:>12}{'loss':>12}{'recorded ' + measure:>20}"]
    for part, row in rows.items():
        before = (row["recorded"] or {}).get(measure)
        was = "-" if before is None else f"{before:.6f}"
        lines.append(f"{part:<12}{row['samples']:>9}{row[measure]:>12.6f}{-row['reward']:>12.6f}{was:>20}")
    return lines


# -- picture ----------------------------------------------------------------------------------------------------


def _write_picture(
    given: Namespace, path: Path, network: TrainedNetwork, task: Task | Environment, report: Report
) -> list[Path]:
    """Draw the curve beside the network, and for TensorBoard if it is that of a run; return the files."""
    if report.curve is None or given.no_plot:
        return []
    from topoevo.reporting.curve_picture import picture_of

    complexity = network.file.genome.complexity
    biases = f", {complexity.biases} bias{'es' * (complexity.biases > 1)}" if complexity.biases else ""
    trials = f"mean ± sd of {next(iter(report.curve.values.values())).shape[1]} episodes each"
    measured = trials if isinstance(task, Environment) else f"{len(task.test)} test samples"
    subtitle = f"{complexity.connections} connections{biases}; {measured}"
    contents = picture_of(report, title=f"One weight for all connections: {task.name}", subtitle=subtitle)
    if given.plot is not None:
        out = Path(given.plot).expanduser()
        targets = {out: contents[out.suffix.removeprefix(".")]}
    else:
        stem = path / _PICTURE if path.is_dir() else path.with_name(f"{path.stem}-{_PICTURE}")
        targets = {stem.with_name(f"{stem.name}.{ending}"): content for ending, content in contents.items()}
    try:
        # Held until everything is written: a run that goes on has another champion soon.
        run = RunDirectory.open(path).locked() if path.is_dir() and given.plot is None else None
        for target, content in targets.items():
            write_atomically(target, content)
        if run is not None and run.tensorboard.is_dir():
            from topoevo.reporting.tensorboard import write_image

            step = network.file.facts.get("provenance", {}).get("generation") or 0
            write_image(run.tensorboard, _TAG, contents["png"], step=step, suffix=f".{_PICTURE}")
    except (OSError, CheckpointError) as error:
        reason = getattr(error, "strerror", None) or error
        say(f"warning: no picture was written ({reason}); --plot FILE writes it elsewhere")
        return []
    return list(targets)
