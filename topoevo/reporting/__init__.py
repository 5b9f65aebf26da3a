"""What remains of an experiment: run directory, console, TensorBoard, network files and pictures."""

from __future__ import annotations

from topoevo.experiment.records import Observer
from topoevo.reporting.console import ConsoleObserver
from topoevo.reporting.run_directory import RunDirectory

__all__ = ["ConsoleObserver", "RunDirectory", "make_observers"]


def make_observers(run: RunDirectory, console: ConsoleObserver) -> list[Observer]:
    """Return the observers of a run that has a directory, in the order in which they depend on each other.

    Parameters
    ----------
    run
        Directory of this run, made or opened.
    console
        What has told the user about loading data until now.
    """
    from topoevo.reporting.files import FilesObserver
    from topoevo.reporting.front_files import FrontObserver
    from topoevo.reporting.result_file import ResultObserver
    from topoevo.reporting.tensorboard import TensorBoardObserver

    console.run = run
    files = FilesObserver(run, warn=console.on_message)
    # Where there is a result, nothing else is missing. The console names the files that the others have written.
    return [
        files,
        FrontObserver(run, log=files.log, warn=console.on_message),
        TensorBoardObserver(run.tensorboard, picture=run.picture_png, warn=console.on_message),
        ResultObserver(run, log=files.log),
        console,
    ]
