"""Comparing a run's champion with control networks."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topoevo.commands.loading import on_this_machine
from topoevo.commands.parser import Parser
from topoevo.commands.signals import exit_code, stopped_by_signals
from topoevo.errors import CheckpointError, ParamsError
from topoevo.experiment.data import check_task, load_samples_of
from topoevo.experiment.params import Params, load_params
from topoevo.experiment.yaml_file import resolve_scalar
from topoevo.foreign_files import plain
from topoevo.reporting.run_directory import RunDirectory

if TYPE_CHECKING:
    from topoevo.reporting.run_result import RunResult
    from topoevo.tasks.task import Task

#: Flags that are settings too, and read and checked as such.
_SETTINGS = ("num_controls", "num_epochs", "num_workers", "data_dir", "dataset")
_KINDS = (
    "networks to compare with: randomly mutated, or the champion with its connections shuffled, nodes keeping their "
    "numbers of connections or their layers alone; default that of the run, or random"
)


def control_command(words: list[str], prog: str) -> int:
    """``topoevo control``: train the champion of a finished run beside networks that nothing has selected."""
    from topoevo.reporting.controls import WORDS

    parser = Parser(
        prog=prog,
        allow_abbrev=False,
        description="Train the topology of a run's champion, and networks of its size that nothing has selected, "
        "all from new weights by the run's rule; compare their test scores.",
    )
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("--kind", choices=tuple(WORDS), help=_KINDS)
    parser.add_argument("--num_controls", metavar="N", help="number of networks; default that of the run")
    parser.add_argument("--num_epochs", metavar="E", help="epochs of every training; default those of the champion")
    parser.add_argument("--num_workers", metavar="N", help="networks trained at the same time; -1 uses every core")
    parser.add_argument("--data_dir", help="folder with the data files, if it is not the recorded one")
    parser.add_argument("--dataset", help="path of the table, if it has moved")
    given = parser.parse_args(words)
    run = RunDirectory.open(Path(given.run).expanduser()).locked()
    overrides: dict[str, Any] = {name: value for name in _SETTINGS if (value := getattr(given, name)) is not None}
    for name in ("num_controls", "num_epochs", "num_workers"):
        if name in overrides:
            overrides[name] = resolve_scalar(overrides[name])
    params = on_this_machine(load_params(run.params, overrides))
    if params.is_weight_agnostic or params.env_name is not None:
        raise ParamsError(
            f"{run.shown()}: its networks were not trained on samples, there is nothing to compare; topoevo evaluate "
            "says what its champion does under random, shared and tuned weights"
        )
    kind = given.kind or ("random" if params.control == "none" else params.control)
    params = params.model_copy(update={"control": kind})
    _check_finished(run)
    print(f"loading {params.dataset} ...", flush=True)
    task = load_samples_of(params, lambda text: print(text, flush=True))
    check_task(params, task)
    return compare(run, params, task, num_epochs=params.num_epochs if given.num_epochs else None)


def compare(run: RunDirectory, params: Params, task: Task, *, num_epochs: int | None = None) -> int:
    """Compare the champion of a finished run with controls, write and print the outcome, and return the exit code.

    Parameters
    ----------
    run
        Its folder.
    params
        Its settings; ``control`` is not ``none``.
    task
        Its samples.
    num_epochs
        Of every training; None for those of the champion.

    Raises
    ------
    TopoevoError
        If there is no champion, the data has changed, or a file cannot be written.
    """
    from topoevo.experiment.controls import ControlExperiment
    from topoevo.experiment.interruption import Interrupted
    from topoevo.reporting.controls import WORDS, ControlsConsole, comparison_lines, write_comparison
    from topoevo.reporting.lines import count
    from topoevo.reporting.network_file import read_network

    result = _check_finished(run)
    champion = read_network(run.champion)
    if task.provenance != champion.facts.get("task", {}).get("data"):
        raise ParamsError(f"the data has changed since the run in {run.shown()}: scores would not compare")
    measure = "test_accuracy" if task.kind == "classification" else "test_rmse"
    experiment = ControlExperiment(
        params, task, champion.genome, recorded=getattr(result.champion, measure), num_epochs=num_epochs
    )
    console = ControlsConsole()
    console.say(
        f"\ncomparing the champion ({champion.genome.complexity.connections} connections) with {params.num_controls} "
        f"{WORDS[params.control]} networks, {count(experiment.num_epochs, 'epoch')} each, {params.learning_rule}"
    )
    with stopped_by_signals(experiment.stop, say=console.say):
        try:
            with closing(console):
                comparison = experiment.run(on_message=console.say, on_progress=console.on_progress)
        except Interrupted as interruption:
            again = f"topoevo control {shlex.quote(run.shown())} --kind {params.control}"
            console.say(f"\nInterrupted: nothing was written. To begin again: {again}")
            return exit_code(str(interruption))
        files = write_comparison(run, comparison, params, task_name=task.name, step=result.generations)
    for line in comparison_lines(comparison, params):
        console.say(line)
    console.say("\nFiles")
    for path in files:
        console.say(f"  {Path(run.shown()) / path.name}")
    return 0


def _check_finished(run: RunDirectory) -> RunResult:
    """The result of a run, which must be over and have a champion."""
    from topoevo.reporting.run_result import read_result

    result = read_result(run)
    if result is None:
        raise CheckpointError(f"{run.shown()}: the run is not finished: {_how_to_go_on(run)}")
    if result.status == "failed":
        raise CheckpointError(f"{run.shown()}: the run has failed: {plain(result.reason or 'run.log says why')}")
    if result.status != "finished":
        raise CheckpointError(f"{run.shown()}: the run is not finished but {result.status}: {_how_to_go_on(run)}")
    if result.champion is None or not run.champion.exists():
        raise CheckpointError(f"{run.shown()}: the run has no champion to compare")
    return result


def _how_to_go_on(run: RunDirectory) -> str:
    """What to do with a run that is not finished."""
    if any(run.checkpoint.glob("*.npz")):
        return f"topoevo resume {shlex.quote(run.shown())} goes on with it"
    return "it has ended before its first checkpoint and has to be started anew"
