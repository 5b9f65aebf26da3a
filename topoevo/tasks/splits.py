"""Which samples are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError


def hold_out(
    num_samples: int, ratio: float, *, rng: np.random.Generator, labels: NDArray[Any] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the samples that stay and of those that are held out.

    With labels, every class gives its share, rounded down, and what is missing then comes from the classes that
    lost most by rounding; so a class with a single sample stays.

    Parameters
    ----------
    num_samples
        Number of samples, at least 2.
    ratio
        Share to hold out, in (0, 1); rounded, but at least one sample stays and one is held out.
    rng
        Draws the samples.
    labels : int [num_samples], optional
        Class indices.

    Returns
    -------
    kept, held : intp [num_kept], intp [num_held]
        Ascending; disjoint and together all indices.

    Raises
    ------
    TaskError
        If there are fewer than two samples.
    """
    if num_samples < 2:
        raise TaskError(f"{num_samples} sample(s) are too few to hold some out")
    num_held = min(max(round(ratio * num_samples), 1), num_samples - 1)
    order = rng.permutation(num_samples)
    if labels is not None:
        shuffled = labels[order]
        by_class = np.argsort(shuffled, kind="stable")
        counts = np.unique(shuffled, return_counts=True)[1]
        # Sample number r of a class of c is held out before sample r' of a class of c' if r / c < r' / c'.
        position = np.concatenate([np.arange(1, count + 1) / count for count in counts])
        order = order[by_class[np.argsort(position, kind="stable")]]
    return np.sort(order[num_held:]), np.sort(order[:num_held])
