"""Gradual pruning of fully connected networks, by saliency or magnitude."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frontier_methods.layered import Configuration, Found, LayeredTraining
from frontier_methods.problem import Problem

#: Shares of the steps after which pruning begins and ends, and the most steps between two prunings.
START, STOP, MOST_STEPS = 0.15, 0.7, 50


def fisher(training: LayeredTraining) -> NDArray[np.float32]:
    """Return the saliency w² E[g²] of every gene, float32 [num_genes], E[g²] as Adam averages it.

    Theis et al. 2018, "Faster gaze prediction with dense networks and Fisher pruning": the pruning signal without the
    half.
    """
    # What has diverged is infinitely salient, and loses by its score.
    with np.errstate(over="ignore", invalid="ignore"):
        return training.weights**2 * training.second


def magnitude(training: LayeredTraining) -> NDArray[np.float32]:
    """Return |w| of every gene, float32 [num_genes] (Han et al. 2015)."""
    return np.abs(training.weights)


SALIENCIES = {"fisher": fisher, "magnitude": magnitude}


def prune(
    problem: Problem, configuration: Configuration, num_connections: int, rng: np.random.Generator, *, saliency: str
) -> Found:
    """Train a dense network and prune it on the way, with a cubic schedule.

    Zhu & Gupta 2018, "To prune, or not to prune", eq. 1; then the topology is fixed, and trained to the end without
    weight decay.

    Parameters
    ----------
    problem, configuration
        On what, and how.
    num_connections
        What remains; those from the bias node are counted apart.
    rng
        Generator of this training.
    saliency
        Name of `SALIENCIES`: what goes first.
    """
    training = LayeredTraining(problem, configuration, rng)
    total, steps = training.size, training.num_steps
    start, stop = int(START * steps), int(STOP * steps)
    training.warm_up(steps // 50)
    training.train_until(start)
    num_stages = max(-(-(stop - start) // MOST_STEPS), 60)
    for stage in range(1, num_stages + 1):
        training.train_until(start + (stop - start) * stage // num_stages)
        left = int((total - num_connections) * (1 - stage / num_stages) ** 3)
        training.prune(num_connections + left, SALIENCIES[saliency](training))
    training.release()
    training.train_until(steps)
    return training.found(configuration.words)
