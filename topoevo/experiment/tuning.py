"""Finding good weights for a network whose topology is fixed: one for all connections, or one for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import ParamsError
from topoevo.experiment.scoring import score_outputs
from topoevo.experiment.shared_data import TaskData
from topoevo.kernels import Batches, Kernel, Loss
from topoevo.learning import LEARNING_RULES
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network
from topoevo.seeds import Stream, generator
from topoevo.tasks.task import Task

#: Weights are drawn, and the shared one is searched for, between -LIMIT and LIMIT (Gaier & Ha 2019, table 1).
LIMIT = 2.0
#: Shared weights of the search, and of the curve.
GRID = np.linspace(-LIMIT, LIMIT, 41).astype(np.float32)
#: Generations between two confirmations.
_CONFIRM_EVERY = 10
#: Epochs that share their minibatches, in another order each; see `topoevo.experiment.training`.
_EPOCHS_A_LAYOUT = 10
#: Samples that are scored at once.
_BATCH_SIZE_EVAL = 1000


def tune_shared_weight(score: Callable[[NDArray[np.float32]], NDArray[np.float64]]) -> float:
    """Return the best of `GRID` for all connections.

    Parameters
    ----------
    score
        How good each of several shared weights is, float32 [num_weights] to float64 [num_weights], NaN for failures.

    Notes
    -----
    The best of many is lucky, so its score is too high: measure it on other episodes or samples.
    """
    scores = score(GRID)
    return float(GRID[np.argmax(np.where(np.isnan(scores), -np.inf, scores))])


# -- environments -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CmaSettings:
    """How long and how widely CMA-ES searches for the weights of a network in an environment.

    Parameters
    ----------
    num_generations, population_size
        Generations, and candidates of each.
    num_trials
        Episodes of every candidate; all of a generation meet the same ones, every generation others.
    sigmas
        Standard deviation of the first generation, and of that of every restart; the generations are shared evenly.
    """

    num_generations: int
    population_size: int
    num_trials: int
    sigmas: tuple[float, ...] = (0.1, 0.1, 0.1)


def tune_by_cma(
    returns: Callable[[NDArray[np.float32], int], NDArray[np.float64]],
    confirm: Callable[[NDArray[np.float32]], float],
    start: NDArray[np.float32],
    settings: CmaSettings,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> NDArray[np.float32]:
    """Return the best weights that an evolution strategy finds, float32 [num_edges].

    Parameters
    ----------
    returns
        Mean return of each candidate in the episodes of one generation: float32 [num_candidates, num_edges] and the
        number of the generation, from 1, to float64 [num_candidates]; NaN for candidates that fail.
    confirm
        Mean return of one set of weights in episodes that are always the same, and that no generation meets.
    start
        Where the search begins, float32 [num_edges].
    settings
        Length and width of the search.
    seed
        Decides the candidates.
    tell
        Told how far it is.

    Raises
    ------
    ParamsError
        If the package cma is not installed.

    Notes
    -----
    What comes back is the best, by `confirm`, of the start and, in every tenth generation, of the middle of the
    distribution and the best candidate; the best candidate of all would be the luckiest in few episodes. A restart
    begins there, with a narrow distribution again.

    References
    ----------
    Hansen 2016, The CMA evolution strategy: a tutorial, arXiv 1604.00772.
    """
    if len(start) == 0 or settings.num_generations == 0:
        return start
    cma = _import_cma()
    rng = generator(seed, Stream.TUNING)
    best, best_return = start, confirm(start)
    parts = np.array_split(np.arange(1, settings.num_generations + 1), len(settings.sigmas))
    for sigma, part in zip(settings.sigmas, parts, strict=True):
        options = {
            "popsize": settings.population_size,
            # A generator of our own instead of numpy's global one.
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,
            "verbose": -9,
        }
        strategy = cma.CMAEvolutionStrategy(best.astype(np.float64), sigma, options)
        for generation in part:
            candidates = strategy.ask()
            found = returns(np.array(candidates, np.float32), generation)
            if np.isnan(found).all():
                break
            strategy.tell(candidates, (-np.where(np.isnan(found), np.nanmin(found), found)).tolist())
            if generation % _CONFIRM_EVERY == 0 or generation == part[-1]:
                for tried in (strategy.mean, candidates[np.nanargmax(found)]):
                    confirmed = confirm(np.array(tried, np.float32))
                    if confirmed > best_return:
                        best, best_return = np.array(tried, np.float32), confirmed
            tell(
                f"tuning weights: generation {generation} of {settings.num_generations}, best of it "
                f"{np.nanmax(found):.1f}, best confirmed {best_return:.1f}"
            )
    return best


def require_cma() -> None:
    """Raise a `ParamsError` if weights cannot be tuned in environments, for want of the package cma."""
    _import_cma()


def _import_cma() -> Any:
    """The package cma."""
    try:
        import cma
    except ImportError:
        raise ParamsError(
            "tuning the weights in an environment needs the package cma, which is not installed: "
            "pip install 'topoevo[rl]'"
        ) from None
    return cma


# -- samples ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GradientSettings:
    """How a network is trained on samples, by the exact gradient (rule ``backprop``).

    Parameters
    ----------
    num_epochs, batch_size
        Length of the training, and samples of a minibatch.
    lr
        Learning rate of Adam, which falls as a cosine.
    """

    num_epochs: int = 30
    batch_size: int = 64
    lr: float = 0.02


def tune_by_gradient(
    task: Task,
    network: Network,
    start: NDArray[np.float32],
    settings: GradientSettings,
    *,
    seed: int,
    index: int,
    kernel: Kernel,
    tell: Callable[[str], None],
) -> NDArray[np.float32]:
    """Return weights that were trained on the training samples, float32 [num_edges].

    Parameters
    ----------
    task, network
        Samples, and what is trained on them.
    start
        Where training starts, float32 [num_edges].
    settings
        Length of the training.
    seed, index
        Address of the order of the samples: `index` numbers several trainings.
    kernel
        Backend.
    tell
        Told how far it is.

    Notes
    -----
    With validation samples the weights of the epoch with the smallest validation loss, or the start if none is smaller;
    without any those of the last epoch. If the loss becomes infinite, those before that epoch. A node with the
    activation step passes no error, so connections that reach the outputs through such nodes alone keep their weights.
    """
    data = TaskData(task, settings.batch_size, _EPOCHS_A_LAYOUT, _BATCH_SIZE_EVAL, seed)
    num_batches = -(-len(task.train) // settings.batch_size)
    learner = LEARNING_RULES["backprop"]().start(
        network,
        start,
        kernel=kernel,
        optimization=make_optimization("adam", lr=settings.lr, lr_schedule="cosine"),
        loss=Loss[task.loss.upper()],
        rng=generator(seed, Stream.TUNING, 0, index),
        num_steps=settings.num_epochs * num_batches,
    )
    validation = None
    if task.validation is not None:
        validation = Batches.lay_out(task.validation.inputs, task.validation.targets, batch_size=_BATCH_SIZE_EVAL)

    def reward() -> float:
        """Of the present weights on the validation samples; without any it grows with every epoch."""
        if task.validation is None or validation is None:
            return float(epoch)
        return score_outputs(task, learner.outputs(validation), task.validation).reward

    num_layouts = -(-settings.num_epochs // _EPOCHS_A_LAYOUT)
    epoch = -1
    best, best_reward = start, reward()
    for epoch in range(settings.num_epochs):
        number, row = divmod(epoch, _EPOCHS_A_LAYOUT)
        if row == 0:
            shared = data.shared(Stream.TUNING, 1 + index * num_layouts + number)
        history = learner.train(shared.batches, shared.epochs[row : row + 1])
        if history.diverged or not np.isfinite(learner.weights).all():
            break
        if (found := reward()) > best_reward:
            best, best_reward = learner.weights.copy(), found
        tell(f"training weights: training {index + 1}, epoch {epoch + 1} of {settings.num_epochs}")
    return best
