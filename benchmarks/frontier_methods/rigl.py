"""Networks that are sparse from the start: RigL (Evci et al. 2020, "Rigging the lottery") and random topologies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frontier_methods.layered import Configuration, Found, LayeredTraining, Mask
from frontier_methods.problem import Problem

#: Share of the steps after which the topology is fixed, first share of connections that is replaced (section 3 of the
#: paper), how often some are at most, and the least number of steps between.
STOP, FRACTION, MOST_UPDATES, LEAST_STEPS = 0.75, 0.3, 200, 30


def rigl(problem: Problem, configuration: Configuration, num_connections: int, rng: np.random.Generator) -> Found:
    """Train a sparse network in which the smallest weights make way for the largest absent gradients.

    Algorithm 1 of the paper, in which the replaced share falls like half a cosine. Differs from it in taking the
    gradients on 1,024 samples instead of a minibatch, in dropping what is on no path first, and at the end in making
    such connections up by others, so that all that are counted take part.

    Parameters
    ----------
    problem, configuration
        On what, and how.
    num_connections
        What there is; those from the bias node are counted apart.
    rng
        Generator of this training.
    """
    training = _random_training(problem, configuration, num_connections, rng)
    last = int(STOP * training.num_steps)
    num_updates = max(min(MOST_UPDATES, last // LEAST_STEPS), 1)
    groups = np.zeros_like(training.layer) if configuration.spread == "global" else training.layer
    for update in range(1, num_updates + 1):
        training.train_until(last * update // num_updates)
        share = FRACTION / 2 * (1 + math.cos(math.pi * update / num_updates))
        slopes = training.slopes(rng)
        training.leave(_replaced(training, groups, share, slopes))
    training.fill(num_connections, slopes)
    training.release()
    training.train_until(training.num_steps)
    return training.found(configuration.words)


def random_topology(
    problem: Problem, configuration: Configuration, num_connections: int, rng: np.random.Generator
) -> Found:
    """Train a network whose connections are drawn at random and stay; parameters as of `rigl`."""
    training = _random_training(problem, configuration, num_connections, rng)
    training.train_until(int(STOP * training.num_steps))
    training.release()
    training.train_until(training.num_steps)
    return training.found(configuration.words)


def quotas(shapes: Sequence[tuple[int, int]], num_connections: int, spread: str) -> list[int]:
    """Return the number of connections of each layer.

    Parameters
    ----------
    shapes
        Sources and targets of each.
    num_connections
        Their sum, unless all are full.
    spread
        ``erk``: density in proportion to (sources + targets) / (sources x targets); ``uniform``: the same for all. A
        layer that would be more than full is full, and the others share the rest.
    """
    sizes = np.array([sources * targets for sources, targets in shapes])
    shares = np.array([sources + targets for sources, targets in shapes]) if spread != "uniform" else sizes
    found, is_open = np.zeros(len(sizes)), np.ones(len(sizes), np.bool_)
    while is_open.any():
        left = min(num_connections, sizes.sum()) - found[~is_open].sum()
        wanted = shares * left / shares[is_open].sum()
        full = is_open & (wanted >= sizes)
        if not full.any():
            found[is_open] = np.maximum(np.floor(wanted[is_open]), 1)
            break
        found[full], is_open = sizes[full], is_open & ~full
    found[np.argmax(np.where(found < sizes, found, 0))] += min(num_connections, sizes.sum()) - found.sum()
    return [int(count) for count in found]


def _random_training(
    problem: Problem, configuration: Configuration, num_connections: int, rng: np.random.Generator
) -> LayeredTraining:
    """A network with random connections before its first step, all of them on a path."""
    training = LayeredTraining(problem, configuration, rng)
    present = ~training.counted
    genes = np.flatnonzero(training.counted)
    for layer, count in enumerate(quotas(training.shapes, num_connections, configuration.spread)):
        present[rng.choice(genes[training.layer == layer], count, replace=False)] = True
    training.leave(present)
    training.fill(num_connections, rng.random(len(present)))
    training.draw_weights(rng)
    return training


def _replaced(training: LayeredTraining, groups: NDArray[np.intp], share: float, slopes: NDArray[np.float64]) -> Mask:
    """The present genes after in each group a share of them was dropped, and as many others were grown."""
    present = training.present.copy()
    strength = np.where(training.on_path(present), np.abs(training.weights), -1.0)
    counted = np.flatnonzero(training.counted)
    for group in np.unique(groups):
        genes = counted[groups == group]
        there = genes[present[genes]]
        count = min(round(share * len(there)), len(genes) - len(there))
        present[there[np.argsort(strength[there], kind="stable")[:count]]] = False
        # What was dropped just now may stay with its weight, as in the code of the paper, if its gradient is large.
        absent = genes[~present[genes]]
        present[absent[np.argsort(-slopes[absent], kind="stable")[:count]]] = True
    return present
