"""Starting and resuming runs of evolution."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from topoevo.errors import CheckpointError, ParamsError
from topoevo.experiment.flags import FlagParser, add_flags, parse_flags
from topoevo.experiment.params import Params, load_params

#: Settings that may change when a run goes on: all the others would make another experiment of it.
RESUMABLE = (
    "num_generations",
    "final_epochs",
    "test_every",
    "batch_size_eval",
    "checkpoint_every",
    "save_networks_every",
    "num_workers",
    "joblib_backend",
    "data_dir",
)

_DESCRIPTIONS = {
    "wlnn": "Evolve network topologies by mutation; train the weights of every network with a learning rule.",
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
    params = load_params(namespace.params_file, overrides, family=family)
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
    from topoevo.experiment.experiment import Experiment, load_task_of
    from topoevo.reporting.run_directory import RunDirectory

    observers = _observers(params)
    with _stoppable():
        task = load_task_of(params, observers.console.on_message)
        experiment = Experiment(params, task)
        directory = RunDirectory.create(params, name)
        observers.attach(directory)
        return _run(experiment, directory, observers)


def _resume(params_file: str | None, overrides: dict[str, Any], family: str) -> int:
    """A run from its last checkpoint on."""
    raise NotImplementedError
