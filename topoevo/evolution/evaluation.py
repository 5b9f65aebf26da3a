"""What one evaluation returns: the only thing that evolution and learning share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution.moments import Moments
from topoevo.variation.evidence import Evidence


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The outcome of evaluating one genome.

    Parameters
    ----------
    reward
        What selection maximizes; for data sets the negative mean loss (nats, or squared units). After a failure
        ``-inf``.
    best_reward
        Reward under the best shared weight, where several are tried; else equal to `reward`.
    accuracy
        Fraction of right answers, or None where the task has none.
    weights
        Weights after learning in the order of the connection genes, float32 [num_connections]; genes that take no part
        keep theirs. None after a failure.
    seconds
        Duration in the worker.
    failure
        What went wrong, or None.
    removed
        Which connection genes learning has removed, bool [num_connections]; None if it removes none. The individual
        goes on without them.
    evidence
        What learning saw, for operators that ask for it; None if nobody does, or the learning rule sees nothing. About
        the network without the genes that were removed.
    rung
        Rung of a race (`topoevo.evolution.racing`) at which learning was stopped, or has failed; None if it came to its
        end.
    num_saved
        Steps of learning that were not taken, since it was stopped or could lead nowhere.
    memory
        What goes on learning needs, where this is not the end of it; nobody but the evaluator looks into it.
    sample_passes
        Samples that went forwards and backwards through the network in learning, each counted as often as it did; under
        rules that learn from scores alone those that went forwards.
    moments
        What the optimizer remembers, for those who inherit it; None if nobody does, or after a failure.
    """

    reward: float
    best_reward: float
    accuracy: float | None
    weights: NDArray[np.float32] | None
    seconds: float
    failure: str | None = None
    removed: NDArray[np.bool_] | None = None
    evidence: Evidence | None = None
    rung: int | None = None
    num_saved: int = 0
    memory: Mapping[str, Any] | None = None
    sample_passes: int = 0
    moments: Moments | None = None

    @staticmethod
    def failed(reason: str, seconds: float, *, num_saved: int = 0, sample_passes: int = 0) -> Evaluation:
        """Return the evaluation of a genome that could not be evaluated.

        Parameters
        ----------
        reason, seconds, num_saved, sample_passes
            What went wrong, after which time, the steps of learning that were not taken therefore, and the samples of
            those that were.
        """
        return Evaluation(
            -math.inf, -math.inf, None, None, seconds, reason, num_saved=num_saved, sample_passes=sample_passes
        )

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # Weights as plain bytes: three times as fast, for everyone in every generation.
        weights = None if self.weights is None else self.weights.astype(np.float32, copy=False).tobytes()
        removed = None if self.removed is None else self.removed.tobytes()
        scores = self.reward, self.best_reward, self.accuracy, self.seconds, self.failure
        counts = self.num_saved, self.memory, self.sample_passes, self.moments
        return _from_bytes, (weights, removed, self.evidence, self.rung, *counts, *scores)


def _from_bytes(
    weights: bytes | None,
    removed: bytes | None,
    evidence: Evidence | None,
    rung: int | None,
    num_saved: int,
    memory: Mapping[str, Any] | None,
    sample_passes: int,
    moments: Moments | None,
    reward: float,
    best_reward: float,
    accuracy: float | None,
    seconds: float,
    failure: str | None,
) -> Evaluation:
    """The evaluation whose arrays lay in memory like this, on a machine of the same kind."""
    array = None if weights is None else np.frombuffer(weights, np.float32)
    mask = None if removed is None else np.frombuffer(removed, np.bool_)
    scores = reward, best_reward, accuracy, array, seconds, failure
    return Evaluation(*scores, mask, evidence, rung, num_saved, memory, sample_passes, moments)
