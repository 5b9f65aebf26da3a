"""Who is better than whom: non-dominated sorting, crowding and tournaments.

All objectives are maximized. Ties are broken by index, so that the result is a function of its arguments alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto_ranks(objectives: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the front of every individual, 0 being the non-dominated one (Deb et al. 2002, section III-A).

    One point dominates another if it is nowhere worse and somewhere better; equal points share a front.
    O(n log n) for one and two objectives, O(m n²) for m > 2.

    Parameters
    ----------
    objectives
        float64 [num_individuals, num_objectives]; infinities are allowed.

    Returns
    -------
    ndarray of int64 [num_individuals]

    Raises
    ------
    ValueError
        If an objective is NaN.
    """
    _refuse_nan(objectives)
    if objectives.shape[1] == 1:
        return np.unique(-objectives[:, 0], return_inverse=True)[1].astype(np.int64)
    if objectives.shape[1] == 2:
        return _ranks_of_two(objectives)
    return _ranks_of_many(objectives)


def _refuse_nan(objectives: NDArray[np.float64]) -> None:
    """Raise if a value cannot be compared."""
    if np.isnan(objectives).any():
        raise ValueError("an objective is NaN; give failed individuals -inf")


def _ranks_of_two(objectives: NDArray[np.float64]) -> NDArray[np.int64]:
    """Fronts for two objectives: sweep by the first, search the fronts' best second by bisection (Jensen 2003)."""
    ranks = np.zeros(len(objectives), np.int64)
    # In order of falling first objective, a front dominates a point iff its highest point so far does, and if a front
    # dominates a point, all fronts before it do.
    tops: list[tuple[float, float]] = []
    for index in np.lexsort((-objectives[:, 1], -objectives[:, 0])):
        first, second = float(objectives[index, 0]), float(objectives[index, 1])
        low, high = 0, len(tops)
        while low < high:
            middle = (low + high) // 2
            top_first, top_second = tops[middle]
            if top_second > second or (top_second == second and top_first > first):
                low = middle + 1
            else:
                high = middle
        if low == len(tops):
            tops.append((first, second))
        else:
            tops[low] = (first, second)
        ranks[index] = low
    return ranks


def _ranks_of_many(objectives: NDArray[np.float64]) -> NDArray[np.int64]:
    """Fronts by definition: peel off what nothing left dominates."""
    no_worse = (objectives[:, None, :] >= objectives[None, :, :]).all(axis=2)
    better = (objectives[:, None, :] > objectives[None, :, :]).any(axis=2)
    dominates: NDArray[np.bool_] = np.logical_and(no_worse, better)
    num_dominators = dominates.sum(axis=0)
    ranks = np.full(len(objectives), -1, np.int64)
    front = np.flatnonzero(num_dominators == 0)
    rank = 0
    while len(front):
        ranks[front] = rank
        num_dominators -= dominates[front].sum(axis=0)
        rank += 1
        front = np.flatnonzero((num_dominators == 0) & (ranks < 0))
    return ranks


def crowding_distances(
    objectives: NDArray[np.float64], ranks: NDArray[np.int64], *, scaling: str = "nsga2"
) -> NDArray[np.float64]:
    """Return how alone each individual is on its front (Deb et al. 2002, section III-B).

    The sum over objectives of the distance between the two neighbors, scaled; the ends of a front are infinitely alone.
    An objective with the same value all over a front adds nothing.

    Parameters
    ----------
    objectives
        float64 [num_individuals, num_objectives].
    ranks
        Fronts, int64 [num_individuals].
    scaling
        ``nsga2`` divides by the front's range. ``wann`` multiplies by ``|1 / max - min|`` instead, a slip in the code
        released with Gaier & Ha 2019, by which gaps in large rewards count far more than gaps in the number of
        connections.

    Returns
    -------
    ndarray of float64 [num_individuals]
    """
    distances = np.zeros(len(objectives))
    for column in objectives.T:
        order = np.lexsort((column, ranks))
        values = column[order]
        is_end = np.diff(ranks[order], prepend=-1) != 0
        first = np.flatnonzero(is_end)
        size = np.diff(first, append=len(order))
        is_end[first + size - 1] = True
        inner = np.flatnonzero(~is_end)
        finite = np.isfinite(values)
        lowest = np.minimum.reduceat(np.where(finite, values, np.inf), first)
        highest = np.maximum.reduceat(np.where(finite, values, -np.inf), first)
        extent = np.repeat(highest - lowest, size)
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = extent if scaling == "nsga2" else np.repeat(1.0 / np.abs(1.0 / highest - lowest), size)
            gaps = (values[inner + 1] - values[inner - 1]) / unit[inner]
        added = np.where(is_end, np.inf, 0.0)
        added[inner] = np.where(np.isnan(gaps), 0.0, gaps)
        distances[order] += np.where(extent > 0.0, added, 0.0)
    return distances


def ranking(objectives: NDArray[np.float64], *, crowding: str = "nsga2") -> NDArray[np.int64]:
    """Return the individuals from best to worst, int64 [num_individuals].

    By front, within a front by falling crowding distance, then by index. A single objective is simply sorted.

    Parameters
    ----------
    objectives
        float64 [num_individuals, num_objectives].
    crowding
        See `crowding_distances`.

    Raises
    ------
    ValueError
        If an objective is NaN.
    """
    _refuse_nan(objectives)
    if objectives.shape[1] == 1:
        return np.argsort(-objectives[:, 0], kind="stable")
    ranks = pareto_ranks(objectives)
    return np.lexsort((-crowding_distances(objectives, ranks, scaling=crowding), ranks))


def tournament(num_candidates: int, size: int, rng: np.random.Generator) -> int:
    """Return the place of the winner among candidates that are sorted from best to worst.

    Parameters
    ----------
    num_candidates
        Length of the sorted list.
    size
        Different candidates that are drawn; all of them if there are fewer.
    rng
        Generator.
    """
    drawn: list[int] = rng.choice(num_candidates, min(size, num_candidates), replace=False).tolist()
    return min(drawn)
