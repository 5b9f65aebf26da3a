"""The score of a network's outputs, in the sign and units of reports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topoevo.experiment.records import TaskScore
from topoevo.tasks.task import Samples, Task


def score_outputs(task: Task, outputs: NDArray[np.float32], samples: Samples) -> TaskScore:
    """Return reward, accuracy and error of outputs.

    Parameters
    ----------
    task
        Says what the outputs mean.
    outputs
        float32 [num_outputs, num_samples].
    samples
        The right answers.
    """
    score = task.score(outputs, samples.targets)
    rmse = None
    if task.kind == "regression":
        difference = (outputs.T.astype(np.float64) - samples.targets) * task.target_scale
        rmse = float(np.sqrt(np.mean(difference**2)))
    return TaskScore(-score.loss, score.accuracy, rmse)
