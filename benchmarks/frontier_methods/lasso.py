"""L1-penalized linear models, refitted without the penalty: small networks without hidden nodes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from frontier_methods.layered import Configuration, Found, LayeredTraining
from frontier_methods.problem import Problem

#: Inverse penalties of logistic regressions, in ratios of the square root of 2, divided by the number of samples.
FIRST_STRENGTH, LAST_STRENGTH = 16.0, 1e6
#: How far a fit goes: largest relative change of a weight, and passes through the samples.
TOLERANCE, MOST_PASSES = 3e-4, 100
#: Rate and decays of the refit; validation samples choose the decay.
RATE, DECAYS = 0.03, (0.0, 0.01, 0.1)


def l1(problem: Problem, budgets: Sequence[int], rng: np.random.Generator) -> Iterator[tuple[int, Found]]:
    """Yield for each budget a linear model with so many weights.

    The penalty falls until as many weights are not zero as are wanted (Tibshirani 1996); of more the largest are taken.
    These are trained further without the penalty, so that it chooses them but does not shrink them (Meinshausen 2007,
    "Relaxed lasso"), with a weight decay that the validation samples choose.

    Parameters
    ----------
    problem
        On what.
    budgets
        Numbers of connections, ascending; a model that has fewer in all keeps all.
    rng
        Generator of the trainings.
    """
    path, passes = _path(problem), 0
    weights = np.zeros((problem.task.num_inputs, problem.task.num_outputs), np.float32)
    for budget in budgets:
        while np.count_nonzero(weights) < budget and (step := next(path, None)) is not None:
            weights, cost = step
            passes += cost
        yield budget, _refitted(problem, _largest(weights, budget), rng, passes)


def _path(problem: Problem) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield weights, float32 [num_inputs, num_outputs], with ever less penalty, and the passes that each has cost."""
    train = problem.task.train
    if problem.task.kind == "regression":
        from sklearn.linear_model import lasso_path

        assert train.targets.shape[1] == 1
        _, coefficients, _ = lasso_path(train.inputs.astype(np.float64), train.targets[:, 0].astype(np.float64))
        for weights in coefficients.T:
            yield weights[:, None].astype(np.float32), len(train)
        return
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # From version 1.8 on of scikit-learn, the ratio alone says that the penalty is that of the lasso.
    old = {"penalty": "elasticnet"} if LogisticRegression().get_params()["penalty"] == "l2" else {}
    model = LogisticRegression(
        l1_ratio=1.0, solver="saga", tol=TOLERANCE, max_iter=MOST_PASSES, warm_start=True, random_state=0, **old
    )
    strength = FIRST_STRENGTH
    while strength <= LAST_STRENGTH:
        model.C = strength / len(train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(train.inputs, train.targets)
        weights = model.coef_.T
        if weights.shape[1] == 1:
            weights = np.concatenate([np.zeros_like(weights), weights], axis=1)
        yield weights.astype(np.float32), int(model.n_iter_[0]) * len(train)
        strength *= np.sqrt(2.0)


def _largest(weights: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The weights with all but the `count` largest made zero."""
    kept = np.argsort(-np.abs(weights).ravel(), kind="stable")[:count]
    found = np.zeros_like(weights)
    found.flat[kept] = weights.flat[kept]
    return found


def _refitted(problem: Problem, weights: NDArray[np.float32], rng: np.random.Generator, passes: int) -> Found:
    """The best of several refits by validation."""
    tried = []
    for decay in DECAYS:
        configuration = Configuration((), RATE, decay)
        training = LayeredTraining(problem, configuration, rng)
        present = ~training.counted
        present[training.counted] = weights.ravel() != 0
        training.leave(present)
        training.weights[training.counted] = weights.ravel()
        training.train_until(training.num_steps)
        tried.append(training.found(configuration.words))
        passes += tried[-1].passes
    best = max(tried, key=lambda found: found.validation.rank)
    return Found(best.genome, best.validation, best.configuration, passes)
