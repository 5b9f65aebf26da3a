"""Which data the settings name, and whether they fit it."""

from __future__ import annotations

import dataclasses
from typing import Any

from topoevo.errors import CheckpointError, ParamsError
from topoevo.experiment.params import Params
from topoevo.tasks.base import DataSettings, Progress, find_dataset, load_task
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Task


def data_settings_of(params: Params) -> tuple[DataSettings, dict[str, Any]]:
    """Return all that decides which samples a network is trained and tested on.

    Returns
    -------
    settings
        What every data set knows.
    options
        Those of this data set.
    """
    settings = {field.name: getattr(params, field.name) for field in dataclasses.fields(DataSettings)}
    settings["distorted_copies"] = params.copies_for_size
    return DataSettings(**settings), params.options_of(find_dataset(params.dataset))


def load_task_of(params: Params, on_progress: Progress | None = None) -> Task | Environment:
    """Return the samples or the environment that the settings name.

    Raises
    ------
    TaskError
        If data is missing, corrupt, or does not fit the settings; if an environment is unknown, not installed, or not
        of a kind that a network can act in.
    """
    if params.env_name is not None:
        return load_environment_of(params, on_progress)
    return load_samples_of(params, on_progress)


def load_environment_of(params: Params, on_progress: Progress | None = None) -> Environment:
    """Return the environment that the settings name.

    Raises
    ------
    TaskError
        See `load_task_of`.
    """
    from topoevo.tasks.environments.find import find_environment

    found = environment_settings_of(params)
    return find_environment(found.pop("env_name"), **found, on_notice=on_progress)


def environment_settings_of(params: Params) -> dict[str, Any]:
    """Return all that decides which environment networks act in: arguments of `find_environment`, as JSON values."""
    from topoevo.tasks.environments.find import find_simulation

    assert params.env_name is not None
    simulation = find_simulation(params.env_name)
    options = {} if simulation is None else params.options_of(simulation)
    return {"env_name": params.env_name, "take_argmax_action": params.take_argmax_action, "options": options}


def load_samples_of(params: Params, on_progress: Progress | None = None) -> Task:
    """Return the samples that the settings name.

    Raises
    ------
    TaskError
        If data is missing, corrupt, or does not fit the settings.
    """
    settings, options = data_settings_of(params)
    task = load_task(settings, on_progress, options=options)
    if task.kind == "classification" and params.loss == "mean_squared_error":
        return dataclasses.replace(task, loss="class_squared_error")
    return task


#: Settings that may change when a run goes on, besides its length.
_RESUMABLE = (
    "batch_size_eval",
    "checkpoint_every",
    "keep_checkpoints",
    "control",
    "num_controls",
    "num_workers",
    "joblib_backend",
    "scheduler_address",
    "evaluation_timeout",
    "data_dir",
    # A table may have moved; that it is still the same is checked by its content.
    "dataset",
    "test_file",
)
#: The same of evolution alone.
_RESUMABLE_EVOLUTION = ("num_generations", "final_epochs", "final_decay_factors", "test_every", "save_networks_every")
#: Of these, what checkpoints of an earlier version hold as if it could not change.
_ONCE_FIXED = ("final_decay_factors",)
#: Settings that have no influence on results.
_OUTPUT = ("out_dir", "overwrite_output", "resume")


def resumable_settings(params: Params) -> tuple[str, ...]:
    """Return the names of the settings that may change when a run goes on.

    All the others would make another experiment of it: without evolution even the number of epochs, where the learning
    rate of every step depends on it, or when averaging begins.

    Parameters
    ----------
    params
        Settings that the run began with.
    """
    if params.evolves:
        return (*_RESUMABLE_EVOLUTION, *_RESUMABLE)
    is_open_ended = params.lr_schedule == "constant" and not params.weight_averaging
    return ("num_epochs", *_RESUMABLE) if is_open_ended else _RESUMABLE


def origin_of(params: Params, task: Task | Environment) -> dict[str, Any]:
    """Return JSON values that are the same for two runs if one may go on where the other stopped.

    Parameters
    ----------
    params, task
        Settings and samples of a run.
    """
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in params.model_dump().items()
        if name not in (*resumable_settings(params), *_OUTPUT)
    }
    return {"settings": settings, "data": task.provenance}


def check_origin(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Check that a run goes on with the settings and data that it began with.

    Parameters
    ----------
    before, now
        From `origin_of`; that of an earlier version may have settings that may change by now.

    Raises
    ------
    CheckpointError
        With a line for every difference.
    """
    problems = [
        f"{name}: is {now['settings'].get(name)!r} now, but the run began with {value!r}; "
        "a run goes on with the settings that it has"
        for name, value in before["settings"].items()
        if name not in _ONCE_FIXED and now["settings"].get(name) != value
    ]
    if before["data"] != now["data"]:
        names = dict.fromkeys([*before["data"], *now["data"]])
        changed = [name for name in names if now["data"].get(name) != before["data"].get(name)]
        problems.append(f"the data has changed since the run began: other {', '.join(changed) or 'data'}")
    if problems:
        raise CheckpointError("\n".join(problems))


def check_task(params: Params, task: Task | Environment) -> None:
    """Check that the settings fit the task.

    Raises
    ------
    ParamsError
        If ``num_inputs`` or ``num_outputs`` is given and is not the task's, there are fewer samples than
        ``num_samples``, or the loss does not fit its targets.
    """
    problems = [
        f"{name}: {given} is not allowed, {task.name} has {actual}; leave the setting out"
        for name, given, actual in (
            ("num_inputs", params.num_inputs, task.num_inputs),
            ("num_outputs", params.num_outputs, task.num_outputs),
        )
        if given is not None and given != actual
    ]
    if isinstance(task, Environment):
        if problems:
            raise ParamsError("\n".join(problems))
        return
    if params.num_samples is not None and params.num_samples > len(task.train):
        problems.append(
            f"num_samples: {params.num_samples} is not allowed, {task.name} has {len(task.train)} training samples;"
            " leave the setting out to use all of them"
        )
    if task.kind == "regression" and params.loss == "cross_entropy":
        problems.append(f"loss: cross_entropy is not allowed, {task.name} has no classes; leave the setting out")
    if problems:
        raise ParamsError("\n".join(problems))
