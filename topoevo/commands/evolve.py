"""Starting and resuming runs of evolution."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from topoevo.errors import CheckpointError, ParamsError, TopoevoError
from topoevo.experiment.data import RESUMABLE, check_origin, check_task, load_task_of, origin_of
from topoevo.experiment.flags import FlagParser, add_flags, parse_flags
from topoevo.experiment.params import Params, load_params

if TYPE_CHECKING:
    from topoevo.experiment.experiment import Experiment
    from topoevo.reporting import ConsoleObserver

_DESCRIPTIONS = {
    "wlnn": "Evolve network topologies by mutation; train the weights of every network with a learning rule.",
    "wann": "Evolve network topologies that work with one shared weight, without training.",
}
#: Signals that stop a run: Ctrl-C, the system, a terminal that is closed.
_SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
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
    try:
        params = load_params(namespace.params_file, overrides, family=family)
    except ParamsError as error:
        problems = [str(error)] if error.usable is None else [str(error), *_problems_outside(error.usable)]
        raise ParamsError("\n".join(problems)) from None
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
        print(f"\nSettings that may change: {', '.join(RESUMABLE)}.")
        return 0
    raise ParamsError("which run? Give its folder: topoevo resume logs/<run> [--num_generations N]")


def _run_new(params: Params, name: str) -> int:
    """A run from generation 0, in a folder of its own."""
    from topoevo.experiment.experiment import Experiment
    from topoevo.reporting import ConsoleObserver, RunDirectory, make_observers

    console = ConsoleObserver()
    console.on_message(f"loading {params.dataset} ...")
    problems: list[str] = []
    task = None
    try:
        RunDirectory.check(params)
    except ParamsError as error:
        problems.append(str(error))
    try:
        task = load_task_of(params, console.on_message)
        check_task(params, task)
    except TopoevoError as error:
        problems.append(str(error))
    if problems or task is None:
        raise ParamsError("\n".join(problems))
    directory = RunDirectory.create(params, name=name)
    experiment = Experiment(
        params, task, observers=make_observers(directory, console), checkpoint_folder=directory.checkpoint
    )
    return _run(experiment, console)


def _problems_outside(params: Params) -> list[str]:
    """What else is wrong, in folders and data, beside settings that are; nothing is downloaded to find out."""
    from topoevo.reporting import RunDirectory
    from topoevo.tasks.base import find_dataset

    problems = []
    try:
        RunDirectory.check(params)
    except ParamsError as error:
        problems.append(str(error))
    if params.data_dir is not None or find_dataset(params.dataset).is_file:
        try:
            check_task(params, load_task_of(params))
        except TopoevoError as error:
            problems.append(str(error))
    return problems


def _resume(params_file: str | None, overrides: dict[str, Any], family: str) -> int:
    """A run from its last checkpoint on."""
    from topoevo.experiment.checkpoint import Checkpoint
    from topoevo.experiment.experiment import Experiment
    from topoevo.reporting import ConsoleObserver, RunDirectory, make_observers

    folder = Path(str(overrides["resume"])).expanduser()
    fixed = [name for name in overrides if name not in (*RESUMABLE, "resume")]
    if fixed:
        raise ParamsError(
            "\n".join(
                f"--{name}: cannot change when a run goes on; start a new run, or change only {', '.join(RESUMABLE)}"
                for name in fixed
            )
        )
    earlier = RunDirectory.open(folder)
    params = load_params(params_file or earlier.params, overrides, family=family)
    params = params.model_copy(update={"resume": None})
    checkpoint = Checkpoint.read_last(earlier.checkpoint)
    done = checkpoint.population.generation
    if done >= params.num_generations:
        raise CheckpointError(
            f"{folder} has finished its {done} generations; add --num_generations {2 * max(done, 1)} to go on"
        )
    console = ConsoleObserver()
    console.on_message(f"loading {params.dataset} ...")
    task = load_task_of(params, console.on_message)
    check_origin(checkpoint.origin, origin_of(params, task))
    directory = RunDirectory.open(folder, params)
    experiment = Experiment(
        params,
        task,
        observers=make_observers(directory, console),
        checkpoint=checkpoint,
        checkpoint_folder=directory.checkpoint,
    )
    return _run(experiment, console)


def _run(experiment: Experiment, console: ConsoleObserver) -> int:
    """Run to the end and return the exit code."""
    handlers = {number: signal.signal(number, _stopping(experiment, console)) for number in _SIGNALS}
    try:
        outcome = experiment.run()
    finally:
        console.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if outcome.status == "interrupted":
        return 128 + signal.Signals[outcome.reason]
    return _EXIT_CODES[outcome.status]


def _stopping(experiment: Experiment, console: ConsoleObserver) -> Callable[[int, FrameType | None], None]:
    """A signal handler: the first signal asks the run to stop, a second one leaves at once."""
    asked = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        experiment.stop(signal.Signals(number).name)

    return on_signal
