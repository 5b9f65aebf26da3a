"""What a topology does under weights that nobody has chosen for it, under one that was, and under its own, tuned.

The conditions of Gaier & Ha 2019 (arXiv 1906.04358, table 1 and section 4), for environments and for samples. Whatever
is chosen is chosen on other episodes or samples than it is measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.experiment.tuning import GRID, LIMIT, tune_shared_weight
from topoevo.network import Network
from topoevo.seeds import Stream, generator

#: The weights that networks are searched with where a file names no others.
SHARED_WEIGHTS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)

#: Conditions by name, in the order of a report, and their names on the screen.
CONDITIONS: Mapping[str, str] = {
    "own_weights": "its own weights",
    "random_weights": "random weights",
    "random_shared_weight": "random shared weight",
    "mean_shared_weights": "mean of the shared weights",
    "tuned_shared_weight": "tuned shared weight",
    "ensemble": "ensemble",
    "tuned_weights": "tuned weights",
}
#: Those of a network that is agnostic of its weights.
AGNOSTIC_CONDITIONS = tuple(CONDITIONS)[1:]

#: Values by name, each float64 [num_weights, num_trials] with NaN for failures: ``reward``, and whatever else is
#: measured, such as ``accuracy``, ``rmse`` or ``food``.
Values = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Condition:
    """What a network reaches under one kind of weights.

    Parameters
    ----------
    values
        Of every set of weights in every trial; on samples a single trial.
    shared_weight
        The one that was chosen, if one was.
    weights
        Those that were tuned, float32 [num_weights, num_edges], if any were.
    """

    values: Values
    shared_weight: float | None = None
    weights: NDArray[np.float32] | None = None

    @property
    def num_weights(self) -> int:
        """Sets of weights that were tried."""
        return len(next(iter(self.values.values())))

    @property
    def num_trials(self) -> int:
        """Episodes of each set of weights; 1 on samples."""
        return int(next(iter(self.values.values())).shape[1])

    @property
    def num_failed(self) -> int:
        """Trials in which a number was not finite, or the environment raised; no mean includes them."""
        return int(np.isnan(next(iter(self.values.values()))).sum())

    def mean(self, name: str = "reward") -> float | None:
        """Return the mean over all weights and trials, None if there are none."""
        valid = self._valid(name)
        return float(valid.mean()) if len(valid) else None

    def sd(self, name: str = "reward") -> float | None:
        """Return the standard deviation over all weights and trials (divided by their number); None of fewer than 2."""
        valid = self._valid(name)
        return float(valid.std()) if len(valid) > 1 else None

    def sd_of_weights(self, name: str = "reward") -> float | None:
        """Return the standard deviation, over sets of weights, of their means over trials; None of fewer than 2."""
        if name not in self.values:
            return None
        means = [row[~np.isnan(row)].mean() for row in self.values[name] if not np.isnan(row).all()]
        return float(np.std(means)) if len(means) > 1 else None

    def _valid(self, name: str) -> NDArray[np.float64]:
        """Values that are not NaN."""
        values = self.values.get(name, np.zeros(0))
        return values[~np.isnan(values)]


@dataclass(frozen=True, eq=False)
class Curve:
    """What a network does with one weight on all its connections, from -2 to 2.

    Parameters
    ----------
    shared_weights
        float32 [num_weights].
    values
        Of each of them.
    """

    shared_weights: NDArray[np.float32]
    values: Values


@dataclass(frozen=True, eq=False)
class Report:
    """A network under several conditions.

    Parameters
    ----------
    conditions
        By name of `CONDITIONS`; the ensemble makes two, ``ensemble_vote`` and ``ensemble_log_probability``.
    curve
        None if no condition needs it.
    shared_weights
        Those of the mean and the ensemble.
    facts
        How it was made, as JSON values.
    """

    conditions: Mapping[str, Condition]
    curve: Curve | None
    shared_weights: tuple[float, ...]
    facts: Mapping[str, Any]


class Judge(Protocol):
    """Measures and tunes weights of one network, in an environment or on samples."""

    @property
    def network(self) -> Network:
        """The network."""

    @property
    def has_classes(self) -> bool:
        """Whether outputs are those of a classification, so that they can vote."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Numbers of trials and lengths of searches, as JSON values."""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile what everything else needs; `say` is told if it takes long."""

    def measure(self, weights: NDArray[np.float32]) -> Values:
        """Return what sets of weights reach where nothing has been chosen: in fresh episodes, or on test samples.

        Parameters
        ----------
        weights
            One for all connections, float32 [num_weights], or one for each, float32 [num_weights, num_edges].
        """

    def survey(self, weights: NDArray[np.float32]) -> Values:
        """Return the same as `measure` for many sets of weights, each in as many trials as time allows."""

    def score(self, shared_weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what to choose a shared weight by, float64 [num_weights], on tuning episodes or training samples."""

    def tune(self, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return tuned weights, float32 [num_results, num_edges].

        Parameters
        ----------
        start
            Where to begin, float32 [num_edges].
        """

    def ensembles(self, shared_weights: NDArray[np.float32]) -> Mapping[str, Values]:
        """Return what the network reaches if it answers with several shared weights at once, by way of answering."""


def make_report(
    judge: Judge,
    *,
    shared_weights: Sequence[float] = SHARED_WEIGHTS,
    conditions: Sequence[str] = AGNOSTIC_CONDITIONS,
    num_draws: int = 100,
    seed: int = 0,
    tell: Callable[[str], None] = lambda text: None,
) -> Report:
    """Return what a network does under several conditions.

    Parameters
    ----------
    judge
        The network, and where it is measured.
    shared_weights
        Those of ``mean_shared_weights`` and of the ensemble.
    conditions
        Names of `CONDITIONS`; the ensemble is left out where there are no classes.
    num_draws
        Random weights, from a uniform distribution between -2 and 2.
    seed
        Decides them.
    tell
        Told what is being done.
    """
    size = judge.network.num_edges
    several = np.array(shared_weights, np.float32)
    found: dict[str, Condition] = {}
    best: float | None = None
    if {"tuned_shared_weight", "tuned_weights"} & set(conditions):
        tell("searching for the best shared weight")
        best = tune_shared_weight(judge.score)
    for name in CONDITIONS:
        if name not in conditions or (name == "ensemble" and not judge.has_classes):
            continue
        tell(f"measuring: {CONDITIONS[name]}")
        if name == "own_weights":
            found[name] = Condition(judge.measure(judge.network.weight[np.newaxis]))
        elif name == "random_weights":
            found[name] = Condition(judge.survey(random_weights(seed, num_draws, size)))
        elif name == "random_shared_weight":
            found[name] = Condition(judge.survey(random_shared_weights(seed, num_draws)))
        elif name == "mean_shared_weights":
            found[name] = Condition(judge.measure(several))
        elif name == "tuned_shared_weight":
            assert best is not None
            found[name] = Condition(judge.measure(np.array([best], np.float32)), best)
        elif name == "ensemble":
            found |= {f"ensemble_{way}": Condition(values) for way, values in judge.ensembles(several).items()}
        else:
            assert best is not None
            try:
                tuned = judge.tune(np.full(size, best, np.float32))
            except TaskError as error:
                # The other conditions are of use without this one.
                if len(conditions) == 1:
                    raise
                tell(str(error))
                continue
            found[name] = Condition(judge.measure(tuned), weights=tuned)
    curve = None
    if set(conditions) & set(AGNOSTIC_CONDITIONS):
        tell("measuring: the curve of the shared weight")
        curve = Curve(GRID, judge.survey(GRID))
    return Report(found, curve, tuple(shared_weights), {"seed": seed, "num_draws": num_draws, **judge.facts})


def random_weights(seed: int, num_draws: int, num_edges: int) -> NDArray[np.float32]:
    """Return independent uniform weights between -2 and 2, float32 [num_draws, num_edges].

    Draw i is the same whatever their number.
    """
    draws = [generator(seed, Stream.REPORT, 2, i).uniform(-LIMIT, LIMIT, num_edges) for i in range(num_draws)]
    return np.array(draws, np.float32).reshape(num_draws, num_edges)


def random_shared_weights(seed: int, num_draws: int) -> NDArray[np.float32]:
    """Return uniform weights between -2 and 2, one in each of `num_draws` equal parts of that interval, shuffled.

    Their mean reward has the same expectation as that of independent ones and a much smaller error, since the reward
    changes smoothly with the weight almost everywhere (stratified sampling).
    """
    rng = generator(seed, Stream.REPORT, 3)
    places = (rng.permutation(num_draws) + rng.random(num_draws)) / num_draws
    return (LIMIT * (2.0 * places - 1.0)).astype(np.float32)
