"""Which samples are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError


def hold_out(
    num_samples: int, ratio: float, *, seed: int, labels: NDArray[Any] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the samples that stay and of those that are held out.

    The samples are those of ``sklearn.model_selection.train_test_split(test_size=ratio, stratify=labels,
    random_state=seed)``, so that results compare with other programs' on the same split.

    Parameters
    ----------
    num_samples
        Number of samples, at least 2.
    ratio
        Share to hold out, in (0, 1); at least one sample stays and one is held out.
    seed
        Decides which ones.
    labels : int [num_samples], optional
        Class indices. Every class gives its share, unless a class has a single sample or fewer samples than there are
        classes are held out; then classes are ignored.

    Returns
    -------
    kept, held : intp [num_kept], intp [num_held]
        In shuffled order; disjoint and together all indices.

    Raises
    ------
    TaskError
        If there are fewer than two samples.
    """
    if num_samples < 2:
        raise TaskError(f"{num_samples} sample(s) are too few to hold some out by test_ratio or validation_ratio")
    from sklearn.model_selection import train_test_split

    num_held = min(max(int(np.ceil(ratio * num_samples)), 1), num_samples - 1)
    if labels is not None:
        counts = np.unique(labels, return_counts=True)[1]
        if counts.min() < 2 or min(num_held, num_samples - num_held) < len(counts):
            labels = None
    kept, held = train_test_split(np.arange(num_samples), test_size=num_held, stratify=labels, random_state=seed)
    return kept, held
