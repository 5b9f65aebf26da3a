"""Which data the settings name, and whether they fit it."""

from __future__ import annotations

import dataclasses
from typing import Any

from topoevo.errors import ParamsError
from topoevo.experiment.params import Params
from topoevo.tasks.base import DataSettings, Progress, find_dataset, load_task
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
    return DataSettings(**settings), params.options_of(find_dataset(params.dataset))


def load_task_of(params: Params, on_progress: Progress | None = None) -> Task:
    """Return the task that the settings name.

    Raises
    ------
    TaskError
        If data is missing, corrupt, or does not fit the settings.
    """
    settings, options = data_settings_of(params)
    return load_task(settings, on_progress, options=options)


def check_task(params: Params, task: Task) -> None:
    """Check that the settings fit the task.

    Raises
    ------
    ParamsError
        If ``num_inputs`` or ``num_outputs`` is given and is not the task's.
    """
    problems = [
        f"{name}: {given} is not allowed, {task.name} has {actual}; leave the setting out"
        for name, given, actual in (
            ("num_inputs", params.num_inputs, task.num_inputs),
            ("num_outputs", params.num_outputs, task.num_outputs),
        )
        if given is not None and given != actual
    ]
    if problems:
        raise ParamsError("\n".join(problems))
