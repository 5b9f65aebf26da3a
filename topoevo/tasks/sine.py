"""Regression of one sine wave on one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.seeds import Stream, generator
from topoevo.tasks.base import DATASETS, TEST_SPLIT_SEED, Dataset, DataSettings, Progress, RawData

NUM_SAMPLES = 1000


@DATASETS.register
@dataclass(frozen=True)
class Sine(Dataset):
    """``y = sin(4 pi x)`` with x uniform on [0, 1): 1,000 training points, tested on an even grid of 1,000 points.

    Training points do not depend on the run's seed. Neither input nor target is scaled unless asked for, so losses
    are in the squared units of the wave.

    References
    ----------
    The task of leothomas/simple_neural_net, ``train_test_network.py``; differs from it in the metric, which is the
    mean squared error on a grid there instead of the sum of absolute errors at 125 random points.
    """

    name: ClassVar[str] = "sine"

    def read(self, settings: DataSettings, on_progress: Progress) -> RawData:
        """Return random training points and the grid."""
        points = generator(TEST_SPLIT_SEED, Stream.SPLIT, 1).uniform(size=(NUM_SAMPLES, 1))
        grid = np.linspace(0.0, 1.0, NUM_SAMPLES).reshape(-1, 1)
        return RawData(
            kind="regression",
            inputs=points,
            targets=_wave(points),
            test_inputs=grid,
            test_targets=_wave(grid),
            input_names=("x",),
            output_names=("y",),
            provenance={"preprocessing": "y = sin(4 pi x), x uniform on [0, 1)"},
        )


def _wave(points: NDArray[Any]) -> NDArray[Any]:
    """Return sin(4 pi x)."""
    return np.asarray(np.sin(4 * np.pi * points))
