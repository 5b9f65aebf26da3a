"""The numbers that describe a generation or epoch, under the names they have in TensorBoard and in ``metrics.csv``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from topoevo.evolution import Individual
from topoevo.evolution.credit import operator_names
from topoevo.experiment.records import Champion, EpochRecord, GenerationRecord, TaskScore

#: What came of a mutation operator in a generation, if it is in use: children, the share of them that is better than
#: their parents, and with which probability it is drawn next, where that changes.
_OF_OPERATORS = ("children", "improved", "probability")

#: Every measure of a generation, in the order of the columns; the list never depends on the run.
MEASURES = (
    "best/reward",
    "best/best_reward",
    "best/accuracy",
    "best/connections",
    "champion/reward",
    "champion/best_reward",
    "champion/accuracy",
    "champion/rmse",
    "champion/validation_reward",
    "champion/validation_accuracy",
    "champion/validation_rmse",
    "champion/test_reward",
    "champion/test_best_reward",
    "champion/test_accuracy",
    "champion/test_rmse",
    "champion/connections",
    "population/reward_mean",
    "population/reward_std",
    "population/best_reward_max",
    "population/reward_min",
    "population/accuracy_mean",
    "population/failures",
    "population/evaluations",
    "stats/connections_mean",
    "stats/connections_std",
    "stats/neurons_mean",
    "stats/neurons_std",
    "stats/layers_mean",
    "stats/layers_std",
    "times/evaluation",
    "times/ranking",
    "times/confirmation",
    "times/reproduction",
    "times/complete",
    "front/hypervolume",
    "racing/saved_share",
    *(f"operators/{name}_{part}" for name in operator_names() for part in _OF_OPERATORS),
    *(f"operators/{name}_rank" for name in operator_names()),
    "population/sample_passes",
    "population/lines",
)

#: The same of an epoch, where one network is trained without evolution.
EPOCH_MEASURES = (
    "training/loss",
    "training/accuracy",
    "training/acceptance",
    "validation/loss",
    "validation/accuracy",
    "validation/rmse",
    "test/loss",
    "test/accuracy",
    "test/rmse",
    "times/training",
    "times/scoring",
    "times/complete",
)


@lru_cache(maxsize=1)
def measures_of(record: GenerationRecord) -> dict[str, float | None]:
    """Return every measure of a generation.

    Parameters
    ----------
    record
        A finished generation.

    Returns
    -------
    dict
        A number for every name in `MEASURES`, or None where there is none: accuracy of a regression, the champion
        before there is one. Rewards and accuracies of failed individuals are left out of means; times are seconds.
    """
    members = record.population.members
    best = record.best
    rewards = np.array([member.reward for member in members])
    rewards = rewards[np.isfinite(rewards)]
    best_rewards = [m.evaluation.best_reward for m in members if m.evaluation is not None and not m.has_failed]
    found: dict[str, float | None] = dict.fromkeys(MEASURES)
    found |= {
        "best/reward": best.reward,
        "best/best_reward": None if best.evaluation is None else best.evaluation.best_reward,
        "best/accuracy": None if best.evaluation is None else best.evaluation.accuracy,
        "best/connections": best.genome.complexity.connections,
        "population/reward_mean": _reduced(np.mean, rewards),
        "population/reward_std": _reduced(np.std, rewards),
        "population/best_reward_max": _reduced(np.max, best_rewards),
        "population/reward_min": _reduced(np.min, rewards),
        "population/accuracy_mean": _reduced(np.mean, accuracies(members)),
        "population/failures": record.num_failures,
        "population/evaluations": record.num_evaluations,
        "population/sample_passes": record.sample_passes,
        "population/lines": len({member.line for member in members}),
    }
    if record.saving is not None:
        found["racing/saved_share"] = record.saving.share
    if record.front is not None:
        found["front/hypervolume"] = record.front.hypervolume
    for name, credit in record.credits.items():
        numbers = (credit.children, credit.share, record.probabilities.get(name))
        found |= {f"operators/{name}_{part}": one for part, one in zip(_OF_OPERATORS, numbers, strict=True)}
        found[f"operators/{name}_rank"] = credit.rank
    if record.champion is not None:
        found |= champion_measures(record.champion)
    for name, values in (
        ("connections", [member.genome.complexity.connections for member in members]),
        ("neurons", [len(member.genome.nodes) for member in members]),
        ("layers", [num_layers(member) for member in members]),
    ):
        found[f"stats/{name}_mean"] = _reduced(np.mean, values)
        found[f"stats/{name}_std"] = _reduced(np.std, values)
    found |= {name: record.seconds.get(name.removeprefix("times/")) for name in MEASURES if name.startswith("times/")}
    return {name: None if value is None or not np.isfinite(value) else value for name, value in found.items()}


def measures_of_epoch(record: EpochRecord) -> dict[str, float | None]:
    """Return a number for every name in `EPOCH_MEASURES`, or None where there is none."""
    found: dict[str, float | None] = {
        "training/loss": record.loss,
        "training/accuracy": record.accuracy,
        "training/acceptance": record.acceptance,
        **_score_measures("validation", record.validation),
        **_score_measures("test", record.test),
        **{f"times/{name}": seconds for name, seconds in record.seconds.items()},
    }
    return {name: value if value is not None and np.isfinite(value) else None for name, value in found.items()}


def _score_measures(part: str, score: TaskScore | None) -> dict[str, float | None]:
    """Loss, accuracy and error on one part of the data."""
    return {
        f"{part}/loss": None if score is None else -score.reward,
        f"{part}/accuracy": None if score is None else score.accuracy,
        f"{part}/rmse": None if score is None else score.rmse,
    }


def champion_measures(champion: Champion) -> dict[str, float | None]:
    """Return the measures whose names begin with ``champion/``."""
    found: dict[str, float | None] = {"champion/connections": champion.individual.genome.complexity.connections}
    for prefix, score in (("", champion.train), ("validation_", champion.validation), ("test_", champion.test)):
        for name in ("reward", "best_reward", "accuracy", "rmse"):
            if f"champion/{prefix}{name}" not in MEASURES:
                continue
            found[f"champion/{prefix}{name}"] = None if score is None else getattr(score, name)
    return found


def num_layers(individual: Individual) -> int:
    """Return the number of layers of an individual's graph, those of inputs and outputs included."""
    return individual.genome.num_layers


def accuracies(members: Iterable[Individual]) -> list[float]:
    """Return the accuracies of those individuals that have one."""
    return [m.evaluation.accuracy for m in members if m.evaluation is not None and m.evaluation.accuracy is not None]


def _reduced(function: Callable[[Any], Any], values: Any) -> float | None:
    """A statistic, or None of nothing."""
    return float(function(values)) if len(values) else None
