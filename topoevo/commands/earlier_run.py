"""The settings and the data of an earlier run, for commands that repeat parts of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from topoevo.commands.loading import check_module, cluster_problems, on_this_machine
from topoevo.errors import ParamsError
from topoevo.experiment.data import check_task, load_task_of
from topoevo.experiment.params import Params, load_params
from topoevo.experiment.yaml_file import resolve_scalar

if TYPE_CHECKING:
    from topoevo.reporting.run_directory import RunDirectory
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task

#: Flags that are settings too, and read and checked as such: none of them changes a result.
_FLAGS = {
    "data_dir": "folder with the data files, if it is not the recorded one",
    "dataset": "path of the table, if it has moved",
    "test_file": "path of the second table, if it has moved",
    "num_workers": "networks evaluated at the same time; -1 uses every core",
    "joblib_backend": "what evaluates them",
    "scheduler_address": "where the scheduler of a cluster listens; never that of the run unless it is given",
}


def add_run_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add flags for settings of the run that may be others now.

    Parameters
    ----------
    parser
        Of the command.
    *names
        Those that the command needs besides the places of the data.
    """
    for name in ("data_dir", "dataset", "test_file", *names):
        parser.add_argument(f"--{name}", help=_FLAGS[name])
    parser.add_argument("--env_name", help="that of the run, once more, where it is of a module that is to be imported")


def load_run(run: RunDirectory, given: argparse.Namespace) -> tuple[Params, Task | Environment]:
    """Return the settings and the task of a run.

    Parameters
    ----------
    run
        Its folder.
    given
        Flags of `add_run_flags`.

    Raises
    ------
    TopoevoError
        If the settings cannot be read, or the data is missing.
    """
    overrides: dict[str, Any] = {
        name: resolve_scalar(value) if name == "num_workers" else value
        for name in _FLAGS
        if (value := getattr(given, name, None)) is not None
    }
    if "joblib_backend" in overrides:
        overrides = {"scheduler_address": None} | overrides
    params = load_params(run.params, overrides).model_copy(update={"resume": None})
    if "scheduler_address" not in overrides:
        params = on_this_machine(params)
    elif problems := cluster_problems(params):
        raise ParamsError("\n".join(problems))
    check_module(params.env_name, given.env_name, run.shown())
    print(f"loading {params.env_name or params.dataset} ...", flush=True)
    task = load_task_of(params, lambda text: print(text, flush=True))
    check_task(params, task)
    return params, task
