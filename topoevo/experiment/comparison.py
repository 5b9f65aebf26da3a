"""A champion beside networks that nothing has selected, as figures: see `topoevo.experiment.controls`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.experiment.records import TaskScore


@dataclass(frozen=True)
class TrainedControl:
    """One network after its training: a control, or the champion once more.

    Parameters
    ----------
    is_champion
        Whether this is the champion's topology.
    number
        Of the control or training, from 0.
    address
        Of the random numbers of its training: stream, generation and index (`topoevo.seeds`).
    genome_address
        Of those that the genome is made with; None for the champion.
    connections, biases, hidden
        See `topoevo.genome.Complexity`.
    neurons
        All nodes of the graph.
    layers
        Layers of the graph, those of inputs and outputs included.
    in_place
        Fraction of the champion's connections that a shuffled network still has; None for other networks.
    train, test
        Scores after training; None if it failed.
    failure
        What went wrong, or None.
    """

    is_champion: bool
    number: int
    address: tuple[int, int, int]
    genome_address: tuple[int, int, int] | None
    connections: int
    biases: int
    hidden: int
    neurons: int
    layers: int
    in_place: float | None
    train: TaskScore | None
    test: TaskScore | None
    failure: str | None


@dataclass(frozen=True)
class Spread:
    """Statistics of the test scores of several networks.

    Parameters
    ----------
    mean, std, min, max
        Of those that could be trained; `std` is that of the values themselves (divided by their number).
    count
        How many those are.
    """

    mean: float
    std: float
    min: float
    max: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """A champion's topology beside its controls, all trained alike.

    Parameters
    ----------
    kind
        Name of `CONTROLS`.
    measure
        ``accuracy``, or ``rmse`` for a regression.
    num_epochs
        Of every training.
    connections
        Of the champion.
    recorded
        The champion's test score in the run, with weights that evolution may have handed on.
    networks
        Controls and trainings of the champion.
    """

    kind: str
    measure: str
    num_epochs: int
    connections: int
    recorded: float | None
    networks: tuple[TrainedControl, ...]

    @property
    def champions(self) -> tuple[TrainedControl, ...]:
        """The trainings of the champion."""
        return tuple(one for one in self.networks if one.is_champion)

    @property
    def controls(self) -> tuple[TrainedControl, ...]:
        """The controls."""
        return tuple(one for one in self.networks if not one.is_champion)

    def test_scores(self, networks: tuple[TrainedControl, ...]) -> NDArray[np.float64]:
        """Return accuracy or error on the test samples, float64 [num_networks], of those that did not fail."""
        return np.array([getattr(one.test, self.measure) for one in networks if one.test is not None], np.float64)

    def spread(self, networks: tuple[TrainedControl, ...]) -> Spread | None:
        """Return statistics of test scores, or None if every training failed."""
        scores = self.test_scores(networks)
        if not len(scores):
            return None
        return Spread(float(scores.mean()), float(scores.std()), float(scores.min()), float(scores.max()), len(scores))

    @property
    def gains(self) -> tuple[float, float] | None:
        """How much better the champion's mean is than the controls' mean, and than the best control."""
        champion, controls = self.spread(self.champions), self.spread(self.controls)
        if champion is None or controls is None:
            return None
        if self.measure == "rmse":
            return controls.mean - champion.mean, controls.min - champion.mean
        return champion.mean - controls.mean, champion.mean - controls.max

    @property
    def num_beaten(self) -> int:
        """Controls that are worse than the champion's mean; those that failed are."""
        champion = self.spread(self.champions)
        if champion is None:
            return 0
        scores = self.test_scores(self.controls)
        better = scores <= champion.mean if self.measure == "rmse" else scores >= champion.mean
        return len(self.controls) - int(np.count_nonzero(better))
