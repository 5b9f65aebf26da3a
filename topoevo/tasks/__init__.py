"""What networks are trained and scored on: one data set or file format per module."""

from topoevo.tasks.base import DATASETS, Dataset, DataSettings, Samples, Score, Task, load_task

__all__ = ["DATASETS", "DataSettings", "Dataset", "Samples", "Score", "Task", "load_task"]
