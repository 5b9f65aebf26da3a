"""Methods of one training each, tried in several configurations, of which the validation samples choose one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from frontier_methods.layered import Configuration, Found
from frontier_methods.problem import IMAGES, Problem
from frontier_methods.pruning import prune
from frontier_methods.rigl import random_topology, rigl

Train = Callable[[Problem, Configuration, int, np.random.Generator], Found]

#: Methods by name.
TRAININGS: dict[str, Train] = {
    "fisher": partial(prune, saliency="fisher"),
    "magnitude": partial(prune, saliency="magnitude"),
    "rigl": rigl,
    "random": random_topology,
}
#: Methods that spread their connections over layers, and how.
_SPREADS = {"rigl": ("global", "erk"), "random": ("erk", "uniform")}


@dataclass(frozen=True)
class Best:
    """The best of several trainings.

    Parameters
    ----------
    found
        The one with the best score on the validation samples.
    num_tried
        Trainings.
    passes
        Samples that went forwards and backwards in all of them.
    is_capped
        Whether time was over before the passes were used up.
    """

    found: Found
    num_tried: int
    passes: int
    is_capped: bool = False


def configurations(method: str, dataset: str) -> list[Configuration]:
    """Return what is tried of one of `TRAININGS` on a data set."""
    if dataset in IMAGES:
        # Dense networks with about 25 to 240 hidden nodes are best for 100 to 3000 connections, by trial.
        hidden: Sequence[tuple[int, ...]] = ((16,), (32,), (64,), (128,), (256,), (64, 32), (128, 64))
        rates, decays = (0.03, 0.1), (0.1, 0.01)
    else:
        hidden = ((16,), (32,), (8,), (16, 8), ())
        rates, decays = (0.01, 0.03, 0.1), (0.1, 1.0)
    spreads = _SPREADS.get(method, ("",))
    return [
        Configuration(widths, rate, decay, spread)
        for widths, rate, decay, spread in product(hidden, rates, decays, spreads)
        if widths or spread == spreads[0]
    ]


def best_configuration(
    problem: Problem, method: str, budget: int, *, num_workers: int, most: int | None = None
) -> Best:
    """Return the best of one training with every configuration.

    Parameters
    ----------
    problem
        On what.
    method
        Name of `TRAININGS`.
    budget
        Number of connections.
    num_workers
        Trainings at the same time; of no influence on the result.
    most
        Of the configurations, the first ones alone; None tries all.
    """
    tried = configurations(method, problem.name)[:most]
    found = _round(problem, method, budget, tried, 0, num_workers=num_workers, deadline=np.inf)
    return _best([one for one in found if one is not None])


def best_of(
    problem: Problem,
    method: str,
    budget: int,
    *,
    passes: int,
    minutes: float,
    num_workers: int,
    most: int | None = None,
) -> Best:
    """Return the best of as many trainings as a number of passes allows.

    Every configuration is tried once; those that were then among the better half go on, each time from other weights,
    with another rate, drawn log-uniformly between half and twice its own, and another decay, between a third of it and
    three times as much.

    Parameters
    ----------
    problem, method, budget, num_workers, most
        See `best_configuration`.
    passes
        Samples that may go forwards and backwards in all trainings; the last ones may exceed it.
    minutes
        After which no training begins.
    """
    deadline = time.monotonic() + 60 * minutes
    tried = configurations(method, problem.name)[:most]
    num_better = -(-len(tried) // 2)
    scored: list[tuple[Configuration, Found]] = []
    spent, number = 0, 0
    while spent < passes and time.monotonic() < deadline:
        if number:
            ranked = sorted(scored, key=lambda one: one[1].validation.rank, reverse=True)
            better = [configuration for configuration, _ in ranked[:num_better]]
            rng = np.random.default_rng([problem.seed, budget, number])
            factors = zip(2.0 ** rng.uniform(-1, 1, num_better), 3.0 ** rng.uniform(-1, 1, num_better), strict=True)
            tried = [
                replace(one, lr=one.lr * faster, weight_decay=one.weight_decay * stronger)
                for one, (faster, stronger) in zip(better, factors, strict=True)
            ]
        found = _round(problem, method, budget, tried, number, num_workers=num_workers, deadline=deadline)
        scored += [(one, result) for one, result in zip(tried, found, strict=True) if result is not None]
        spent = sum(result.passes for _, result in scored)
        number += 1
    return replace(_best([result for _, result in scored]), is_capped=spent < passes)


def _round(
    problem: Problem,
    method: str,
    budget: int,
    tried: Sequence[Configuration],
    number: int,
    *,
    num_workers: int,
    deadline: float,
) -> list[Found | None]:
    """One training with each configuration; None where time was over."""

    def train(index: int) -> Found | None:
        if time.monotonic() >= deadline:
            return None
        rng = np.random.default_rng([problem.seed, budget, list(TRAININGS).index(method), number, index])
        return TRAININGS[method](problem, tried[index], budget, rng)

    problem.prepare()
    with ThreadPoolExecutor(num_workers) as pool:
        return list(pool.map(train, range(len(tried))))


def _best(found: Sequence[Found]) -> Best:
    """The best by validation."""
    return Best(max(found, key=lambda one: one.validation.rank), len(found), sum(one.passes for one in found))
