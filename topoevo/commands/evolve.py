"""Starting and resuming runs of evolution, or of training without it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topoevo.commands.loading import check_module, check_scheduler, cluster_problems
from topoevo.commands.signals import exit_code, stopped_by_signals
from topoevo.errors import CheckpointError, ParamsError, TopoevoError, did_you_mean
from topoevo.experiment.data import (
    check_origin,
    check_task,
    load_task_of,
    origin_of,
    resumable_settings,
)
from topoevo.experiment.flags import FlagParser, add_flags, parse_flags
from topoevo.experiment.idle import find_idle, idle_with_targets
from topoevo.experiment.params import Params, load_params
from topoevo.foreign_files import plain
from topoevo.tasks.task import Task

if TYPE_CHECKING:
    from topoevo.experiment.checkpoint import Checkpoint
    from topoevo.experiment.experiment import Experiment
    from topoevo.experiment.founder import Founder
    from topoevo.experiment.records import Observer
    from topoevo.experiment.training import Training
    from topoevo.experiment.training_checkpoint import TrainingCheckpoint
    from topoevo.reporting import ConsoleObserver, RunDirectory
    from topoevo.tasks.base import Progress
    from topoevo.tasks.environments.environment import Environment

_DESCRIPTIONS = {
    "wlnn": "Evolve network topologies by mutation; train the weights of every network with a learning rule. "
    "With --num_generations 0 there is no evolution: one network is trained.",
    "wann": "Evolve network topologies that work with one shared weight, without training.",
}
_EXIT_CODES = {"finished": 0, "failed": 1}


def evolve(words: list[str], prog: str, *, family: str) -> int:
    """Run one experiment from its parameter file and flags.

    Parameters
    ----------
    words
        Arguments.
    prog
        Name of the program, for help.
    family
        ``wlnn`` or ``wann``.
    """
    parser = FlagParser(description=_DESCRIPTIONS[family], prog=prog)
    parser.add_argument("params_file", nargs="?", help="YAML file with settings; see the folder params for examples")
    add_flags(parser, family=family)
    namespace, overrides = parse_flags(parser, words, family=family)
    if "resume" in overrides:
        return _resume(namespace.params_file, overrides, family)
    if namespace.params_file is None and not overrides:
        raise ParamsError(
            f"there is nothing to do without a parameter file: try {prog} params/{family}/digits-quick.yaml, "
            f"or {prog} --help for the settings"
        )
    problems: list[str] = []
    params: Params | None
    try:
        params = load_params(namespace.params_file, overrides, family=family)
    except ParamsError as error:
        problems, params = [str(error)], error.usable
    if params is not None:
        problems += [f"--{one.message}" for one in find_idle(params) if one.settings[0] in overrides]
    if params is None or problems:
        raise ParamsError("\n".join([*problems, *([] if params is None else _problems_outside(params))]))
    if params.resume is not None:
        raise ParamsError(f"{namespace.params_file}: resume is given as a flag: {prog} --resume {params.resume}")
    name = Path(namespace.params_file).stem if namespace.params_file else family
    return _run_new(params, name)


def resume_command(words: list[str], prog: str) -> int:
    """``topoevo resume RUN [--num_generations N ...]``."""
    if words and not words[0].startswith("-"):
        return evolve([*words[1:], "--resume", words[0]], prog, family="wlnn")
    if words and words[0] in ("-h", "--help"):
        print(f"usage: {prog} RUN [--<setting> <value> ...]\n\nGo on with the run in the folder RUN.")
        print(f"\nSettings that may change: {', '.join(resumable_settings(Params()))}.")
        print("Without evolution: num_epochs instead of num_generations, if lr_schedule is constant and")
        print("weight_averaging is 0. A run that has finished goes on with more of them, or repeats its final training")
        print("alone, with another final_epochs or final_decay_factors.")
        return 0
    raise ParamsError("which run? Give its folder: topoevo resume logs/<run> [--num_generations N | --num_epochs N]")


def _run_new(params: Params, name: str) -> int:
    """A run from generation 0, or from the first epoch, in a folder of its own."""
    from topoevo.reporting import ConsoleObserver, RunDirectory, make_observers

    console = ConsoleObserver()
    console.on_message(f"loading {params.env_name or params.dataset} ...")
    problems: list[str] = []
    try:
        RunDirectory.check(params)
    except ParamsError as error:
        problems.append(str(error))
    problems += cluster_problems(params)
    params, task, founder = _prepared(params, problems, console.on_message)
    if problems or task is None:
        raise ParamsError("\n".join(problems))
    directory = RunDirectory.create(params, name=name)
    observers = make_observers(directory, console)
    return _run(_made(params, task, founder, observers, directory), console)


def _prepared(
    params: Params, problems: list[str], on_progress: Progress | None = None
) -> tuple[Params, Task | Environment | None, Founder | None]:
    """Settings, samples, and the first network if the settings name one; what goes wrong is added to the problems."""
    from topoevo.experiment.founder import make_founder
    from topoevo.experiment.learning_facts import adopt_feedback
    from topoevo.trained_network import load_network

    task, network, founder = None, None, None
    num_before = len(problems)
    try:
        if params.network is not None:
            network = load_network(Path(params.network).expanduser()).file
    except TopoevoError as error:
        problems.append(f"network: {error}")
    try:
        task = load_task_of(params, on_progress)
        check_task(params, task)
        if on_progress is not None and isinstance(task, Task):
            for words in idle_with_targets(params, task):
                on_progress(words)
        if len(problems) == num_before:
            founder = make_founder(params, task, None if network is None else network.genome)
    except TopoevoError as error:
        problems.append(str(error))
    learns = params.inherit_weights and not params.is_weight_agnostic
    if network is not None and learns and len(problems) == num_before:
        params, words = adopt_feedback(params, network.genome, network.facts, network.feedback)
        if words and on_progress is not None:
            on_progress(words)
    return params, task, founder


def _problems_outside(params: Params) -> list[str]:
    """What else is wrong, in folders and data, beside settings that are; nothing is downloaded to find out."""
    from topoevo.reporting import RunDirectory
    from topoevo.tasks.base import find_dataset

    problems: list[str] = []
    try:
        RunDirectory.check(params)
    except ParamsError as error:
        problems.append(str(error))
    problems += cluster_problems(params)
    if params.env_name is not None or params.data_dir is not None or find_dataset(params.dataset).is_file:
        _prepared(params, problems)
    return problems


def _resume(params_file: str | None, overrides: dict[str, Any], family: str) -> int:
    """A run from its last checkpoint on."""
    from topoevo.reporting import ConsoleObserver, RunDirectory, make_observers

    folder = Path(str(overrides["resume"])).expanduser()
    directory = RunDirectory.open(folder).locked()
    cluster = {name: overrides[name] for name in ("joblib_backend", "scheduler_address") if name in overrides}
    if "joblib_backend" in cluster:
        overrides = {"scheduler_address": None} | overrides
    before = load_params(params_file or directory.params, {"resume": overrides["resume"]}, family=family)
    check_scheduler(before.scheduler_address, bool(cluster), directory.shown())
    check_module(before.env_name, overrides.pop("env_name", None), directory.shown())
    _check_resumable(before, [name for name in overrides if name != "resume"])
    params = load_params(params_file or directory.params, overrides, family=family)
    params = params.model_copy(update={"resume": None})
    problems = [f"--{one.message}" for one in find_idle(params) if one.settings[0] in overrides]
    if problems := [*problems, *cluster_problems(params)]:
        raise ParamsError("\n".join(problems))
    notices: list[str] = []
    checkpoint = _last_checkpoint(before, directory, notices)
    _check_length(before, params, directory, 0 if checkpoint is None else checkpoint.num_done)
    if directory.has_controls and params.control == "none":
        again = f"topoevo control {shlex.quote(directory.shown())}"
        notices.append(f"the comparison with controls is deleted, as its network may be replaced; repeat it: {again}")
    console = ConsoleObserver()
    console.on_message(f"loading {params.env_name or params.dataset} ...")
    founder = None
    if checkpoint is None:
        wrong: list[str] = []
        params, task, founder = _prepared(params, wrong, console.on_message)
        if wrong or task is None:
            raise ParamsError("\n".join(wrong))
    else:
        task = load_task_of(params, console.on_message)
        check_origin(checkpoint.origin, origin_of(params, task))
    directory.go_on(params)
    observers = make_observers(directory, console)
    for notice in notices:
        _tell(observers, notice)
    return _run(_made(params, task, founder, observers, directory, checkpoint), console)


def _check_length(before: Params, params: Params, directory: RunDirectory, num_done: int) -> None:
    """Refuse to go on where nothing is left to do, or less is asked for than was done."""
    length = "num_generations" if before.evolves else "num_epochs"
    unit = length.removeprefix("num_").removesuffix("s" if num_done == 1 else "")
    asked = getattr(params, length)
    if asked < num_done:
        raise CheckpointError(f"{length} {asked} is not allowed, must be at least {num_done}, what is done already")
    # A run that was killed after its last checkpoint has no result yet.
    if asked > num_done or directory.status != "finished" or _ends_anew(before, params):
        return
    advice = f"; add --{length} {2 * num_done} to go on" if length in resumable_settings(before) else ""
    if before.evolves and before.learns_from_samples:
        advice += f", or another --final_epochs than {before.final_epochs} for another final training alone"
    raise CheckpointError(f"{directory.path} has finished its {num_done} {unit}{advice}")


def _ends_anew(before: Params, params: Params) -> bool:
    """Whether the final training is another one, so that a run that has finished has something to do."""
    if not before.evolves or before.final_epochs != params.final_epochs:
        return before.evolves
    factors = [set(one.final_decay_factors or (1.0,)) for one in (before, params)]
    return params.final_epochs > 0 and factors[0] != factors[1]


def _last_checkpoint(
    params: Params, directory: RunDirectory, notices: list[str]
) -> Checkpoint | TrainingCheckpoint | None:
    """Where a run goes on; None if it has no checkpoint yet. What the user should know is added to the notices."""
    from topoevo.experiment.checkpoint import Checkpoint
    from topoevo.experiment.training_checkpoint import TrainingCheckpoint

    if not any(directory.checkpoint.glob("*.npz")) and not directory.metrics.exists():
        notices.append("the run was stopped before its first checkpoint: beginning anew")
        return None
    kind: type[Checkpoint] | type[TrainingCheckpoint] = Checkpoint if params.evolves else TrainingCheckpoint
    try:
        last = kind.read_last(directory.checkpoint, on_damaged=notices.append)
    except CheckpointError as error:
        family = "wann" if params.is_weight_agnostic else "wlnn"
        again = f"topoevo {family} {shlex.quote(str(directory.params))} --out_dir ANOTHER_FOLDER"
        raise CheckpointError(f"{error}; to repeat it from its beginning: {again}") from error
    if last.num_done == 0:
        unit = "generation" if params.evolves else "epoch"
        notices.append(f"the run was stopped before the end of its first {unit}")
    return last


def _made(
    params: Params,
    task: Task | Environment,
    founder: Founder | None,
    observers: Sequence[Observer],
    directory: RunDirectory,
    checkpoint: Checkpoint | TrainingCheckpoint | None = None,
) -> Experiment | Training:
    """Evolution, or a training without it."""
    from topoevo.experiment.experiment import Experiment
    from topoevo.experiment.training import Training
    from topoevo.experiment.training_checkpoint import TrainingCheckpoint

    folder = directory.checkpoint
    if isinstance(task, Task) and not params.evolves:
        assert checkpoint is None or isinstance(checkpoint, TrainingCheckpoint)
        return Training(
            params, task, founder=founder, observers=observers, checkpoint=checkpoint, checkpoint_folder=folder
        )
    assert not isinstance(checkpoint, TrainingCheckpoint)
    return Experiment(
        params, task, founder=founder, observers=observers, checkpoint=checkpoint, checkpoint_folder=folder
    )


def _check_resumable(before: Params, changed: list[str]) -> None:
    """Refuse to go on with settings that make another experiment of the run."""
    allowed, known = resumable_settings(before), Params.model_fields
    problems = []
    for name in changed:
        if name == "num_epochs" and not before.evolves and name not in allowed:
            why = f"lr_schedule {before.lr_schedule}, since the learning rate of every step depends on it"
            if before.lr_schedule == "constant":
                why = f"weight_averaging {before.weight_averaging:g}, since what is averaged depends on it"
            problems.append(f"--num_epochs: cannot change when a run goes on with {why}")
        elif name not in known:
            problems.append(f"--{plain(name)}: there is no such setting{did_you_mean(name, known)}")
        elif name not in allowed:
            problems.append(
                f"--{name}: cannot change when a run goes on; start a new run, or change only {', '.join(allowed)}"
            )
    if problems:
        raise ParamsError("\n".join(problems))


def _tell(observers: Iterable[Observer], line: str) -> None:
    """Tell all observers one line before the run begins."""
    for observer in observers:
        observer.on_message(line)


def _run(experiment: Experiment | Training, console: ConsoleObserver) -> int:
    """Run to the end, give the folder back, and return the exit code."""
    from topoevo.reporting.disk_use import disk_use, disk_use_lines

    try:
        if console.run is not None:
            use = disk_use(experiment.params, experiment.task, experiment.genomes, num_done=experiment.num_done)
            for line in disk_use_lines(use, console.run.path):
                _tell(experiment.observers, line)
        return _ran(experiment, console)
    finally:
        # Another command in this process may want the folder before all that refers to it is collected.
        if console.run is not None and console.run.lock is not None:
            console.run.lock.release()


def _ran(experiment: Experiment | Training, console: ConsoleObserver) -> int:
    """Run to the end and return the exit code."""
    with stopped_by_signals(experiment.stop, say=console.on_message, leave=experiment.leave):
        try:
            outcome = experiment.run()
        except CheckpointError as error:
            raise CheckpointError(f"{error}{_how_to_go_on(console.run, experiment.params)}") from error
        finally:
            console.close()
    if outcome.status == "interrupted":
        return exit_code(outcome.reason)
    task = experiment.task
    if outcome.status == "finished" and experiment.params.control != "none" and isinstance(task, Task):
        from topoevo.commands.control import compare

        assert console.run is not None
        return compare(console.run, experiment.params, task)
    return _EXIT_CODES[outcome.status]


def _how_to_go_on(run: RunDirectory | None, params: Params) -> str:
    """What to do when a run has ended because of its folder, as the end of a sentence."""
    from topoevo.reporting.lines import resume_command

    if run is None:
        return ""
    if run.lock is not None and not run.lock.holds_its_folder:
        return "; if it was moved, topoevo resume goes on with it under its new name"
    return f", then go on: {resume_command(run, params)}"
