"""The network that a command is given."""

from __future__ import annotations

import sys
from pathlib import Path

from topoevo.errors import NetworkFileError, ParamsError
from topoevo.experiment import backends
from topoevo.experiment.params import Params
from topoevo.tasks.environments.find import find_environment, module_of
from topoevo.trained_network import TrainedNetwork, load_network


def load_named(
    path: str, *, env_name: str | None = None, num_inputs: int | None = None, num_outputs: int | None = None
) -> TrainedNetwork:
    """Return the network of a file, or the champion of a run directory.

    Parameters
    ----------
    path
        As the user gives it.
    env_name
        The environment that the user names. An ``.out`` file that leaves its inputs and outputs open has those of it.
    num_inputs, num_outputs
        For an ``.out`` file; those of the environment if both are None.

    Raises
    ------
    TopoevoError
        If there is no such network, or no such environment.
    """
    file = Path(path).expanduser()
    if file.suffix == ".out" and env_name is not None and num_inputs is None and num_outputs is None:
        environment = find_environment(env_name)
        try:
            return load_network(file, num_inputs=environment.num_inputs, num_outputs=environment.num_outputs)
        except NetworkFileError:
            pass  # Numbers that the file has by itself make the plainer message.
    return load_network(file, num_inputs=num_inputs, num_outputs=num_outputs)


def cluster_problems(params: Params) -> list[str]:
    """Return what keeps the workers that the settings ask for from computing."""
    problem = backends.problem(params.joblib_backend, params.scheduler_address)
    return [] if problem is None else [problem]


def check_scheduler(recorded: str | None, given: bool, run: str) -> None:
    """Check that nobody is connected to because a run directory, which may come from anyone, names it.

    Parameters
    ----------
    recorded
        ``scheduler_address`` of the run.
    given
        Whether the user names a scheduler or a backend.
    run
        The run, as a message names it.

    Raises
    ------
    ParamsError
        If the run has a scheduler and the user has named none.
    """
    if recorded is not None and not given:
        raise ParamsError(
            f"{run}: was computed by the cluster at {recorded!r}; a scheduler is trusted with this machine, so name it"
            f" yourself with --scheduler_address {recorded}, or go on here with --joblib_backend threading"
        )


def on_this_machine(params: Params) -> Params:
    """Return the settings without the scheduler that they name."""
    if params.scheduler_address is None:
        return params
    return params.model_copy(update={"joblib_backend": "threading", "scheduler_address": None})


def check_module(recorded: str | None, given: str | None, run: str) -> None:
    """Check that no module is imported because a run directory, which may come from anyone, names it.

    Parameters
    ----------
    recorded
        ``env_name`` of the run.
    given
        What the user names with ``--env_name``.
    run
        The run, as a message names it.

    Raises
    ------
    ParamsError
        If the environment is ``module:Id`` of a module that is not imported, and the user has not named it.
    """
    if given is not None and given != recorded:
        raise ParamsError(f"--env_name: {given} is not allowed, the run in {run} has {recorded or 'no environment'}")
    if recorded is not None and given is None and (module := module_of(recorded)) and module not in sys.modules:
        raise ParamsError(
            f"{run}: names the environment {recorded!r}, of a module that would be imported; if you trust it, name it "
            f"yourself with --env_name {recorded}"
        )
