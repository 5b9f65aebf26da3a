"""Handwritten digits of 8x8 pixels, which come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from topoevo.tasks.base import DATASETS, Dataset, DataSettings, Progress, RawData
from topoevo.tasks.distortion import distorted


@DATASETS.register
@dataclass(frozen=True)
class Digits(Dataset):
    """1,797 images of 64 pixels from 0 to 16, ten classes; inputs are divided by 16.

    References
    ----------
    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
    (the test part, as scikit-learn ships it).
    """

    name: ClassVar[str] = "digits"

    def read(self, settings: DataSettings, on_progress: Progress) -> RawData:
        """Return all images; a fixed share becomes the test set."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return RawData(
            kind="classification",
            inputs=images.astype(np.float32),
            targets=labels,
            input_names=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
            output_names=tuple(str(digit) for digit in range(10)),
            unit=16.0,
            provenance={"preprocessing": "8x8 pixels from 0 to 16, divided by 16 unless standardized"},
            distort=lambda strength, copy: distorted(images.reshape(-1, 8, 8), strength, copy=copy).reshape(-1, 64),
        )
