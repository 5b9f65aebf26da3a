"""What a run announces: generations or epochs, champions, the end. Observers turn it into screens and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import CheckpointError
from topoevo.evolution import Individual, Population
from topoevo.evolution.credit import Credit, Standing
from topoevo.evolution.racing import Saving
from topoevo.seeds import Stream

if TYPE_CHECKING:
    from topoevo.experiment.front import Front
    from topoevo.experiment.params import Params
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task


class Run(Protocol):
    """What observers may ask a run, be it evolution or the training of one network."""

    @property
    def params(self) -> Params:
        """Settings."""

    @property
    def task(self) -> Task | Environment:
        """Samples, or an environment."""

    @property
    def num_done(self) -> int:
        """Generations, or epochs of a training without evolution, that were finished when it began or went on."""

    @property
    def founder(self) -> str:
        """What the first network is, in words; empty if it is a random one."""


@dataclass(frozen=True)
class TaskScore:
    """How good one network is on one set of samples.

    Parameters
    ----------
    reward
        Negative mean loss, in nats (classification) or scaled squared units (regression), or mean return of episodes;
        of a network that is agnostic of its weights the mean over its shared weights.
    accuracy
        Fraction of right answers; None for a regression.
    rmse
        Root mean squared error in the units of the data; None for a classification.
    best_reward
        Reward with the weights that the network carries, where `reward` is a mean over shared weights; else None.
    measures
        What an environment measures besides the return, by name.
    """

    reward: float
    accuracy: float | None
    rmse: float | None = None
    best_reward: float | None = None
    measures: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, eq=False)
class Champion:
    """The best network so far; or the one that was trained.

    Parameters
    ----------
    individual
        Its genome has the weights of the confirming training, on fresh random numbers; of its evaluation where samples
        that are held out have made its reward.
    generation
        In which it was crowned; None without evolution.
    train
        Score on all training samples with these weights.
    validation
        Score on the validation samples, which then decides between champions; None without such samples.
    test
        Score on the test samples, for reporting alone; None until it is tested.
    decay_factor
        Times the weight decay of the settings, in its final training; 1 until then.
    knows_validation
        Whether it has learned from the validation samples in the end; `validation` is the score of its earlier weights.
    """

    individual: Individual
    generation: int | None
    train: TaskScore
    validation: TaskScore | None = None
    test: TaskScore | None = None
    decay_factor: float = 1.0
    knows_validation: bool = False

    @property
    def selection_reward(self) -> float:
        """What champions are compared by."""
        return (self.validation or self.train).reward


@dataclass(frozen=True, eq=False)
class Failure:
    """An evaluation that has failed.

    Parameters
    ----------
    individual
        As it went into the evaluation, which tells why it failed.
    stream, generation, index
        Address of the random numbers of the evaluation.
    """

    individual: Individual
    stream: Stream
    generation: int
    index: int

    @property
    def words(self) -> str:
        """What went wrong, from `topoevo.experiment.failure.failure_of`."""
        evaluation = self.individual.evaluation
        return "" if evaluation is None or evaluation.failure is None else evaluation.failure


@dataclass(frozen=True, eq=False)
class GenerationRecord:
    """One finished generation.

    Parameters
    ----------
    population
        Evaluated individuals.
    order
        Their indices from best to worst, int64 [population_size].
    objectives
        Names of the columns that the generation was ranked on.
    champion
        Best network so far; None if every individual has failed until now.
    crowned
        Whether this generation brought a new champion.
    num_failures
        Failed individuals in this generation.
    num_evaluations
        Evaluations in the whole run so far.
    digest
        Of the population; equal for equal runs.
    seconds
        Duration of ``evaluation``, ``ranking``, ``confirmation``, ``reproduction`` and ``complete`` generation.
    front
        Best network of each size so far; None where one size is evolved.
    credits
        What came of each mutation operator in this generation, by name.
    probabilities
        With which operators make the next generation, by name; empty where these never change.
    saving
        What racing has saved in this generation; None if nobody races.
    before
        The same individuals as they went into their evaluation, with all genes that learning has removed; None if
        nothing was removed.
    sample_passes
        Samples that went through networks in learning so far; see `Outcome`.
    """

    population: Population
    order: NDArray[np.int64]
    objectives: tuple[str, ...]
    champion: Champion | None
    crowned: bool
    num_failures: int
    num_evaluations: int
    digest: str
    seconds: Mapping[str, float]
    front: Front | None = None
    credits: Mapping[str, Credit] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    saving: Saving | None = None
    before: Population | None = None
    sample_passes: int | None = None

    @property
    def generation(self) -> int:
        """Number of the generation, from 0."""
        return self.population.generation

    @cached_property
    def best(self) -> Individual:
        """The individual with the greatest reward, the first of them; stopped ones count only where nobody finished."""
        return max(self.population.members, key=lambda member: member.merit)


@dataclass(frozen=True, eq=False)
class EpochRecord:
    """One finished epoch of a training without evolution.

    Parameters
    ----------
    epoch
        Epochs that are finished, from 1.
    loss
        Mean over the training samples, each scored just before the step that it takes part in; nats, or scaled squared
        units.
    accuracy
        Fraction of right answers among them; None for a regression.
    acceptance
        Fraction of accepted proposals; None where nothing is proposed.
    validation, test
        Scores after the epoch, for reporting alone; no validation score without such samples.
    digest
        Of the genome with its weights; equal for equal trainings.
    seconds
        Duration of ``training``, ``scoring`` and ``complete`` epoch.
    """

    epoch: int
    loss: float
    accuracy: float | None
    acceptance: float | None
    validation: TaskScore | None
    test: TaskScore
    digest: str
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    status
        ``finished``, ``interrupted`` or ``failed``.
    reason
        Why, where it did not finish; else empty.
    generations, evaluations
        Finished in total, those before a resume included; both 0 if one network was trained without evolution.
    seconds
        Wall time in total, that before a resume included.
    digest
        Of the last evaluated population, or of the trained network; empty if there is none.
    champion
        Best network, tested if the run finished, or the trained one; None if there is none.
    epochs
        Finished in total if one network was trained without evolution; else None.
    repeats
        Whether the run would fail again if it went on, since nothing that decides about it can change.
    front
        Best network of each size, tested if the run finished; None where one size is evolved.
    standings
        Mutation operators by name; empty without evolution.
    saving
        What racing has saved in total; None if nobody races.
    sample_passes
        Samples that went forwards and backwards through networks in learning, in total, each counted as often as it
        did: the sizes of the minibatches of all steps that were taken. Under rules that learn from scores alone those
        that went forwards. None if nobody learns from samples, or an earlier version has not counted.
    """

    status: str
    reason: str
    generations: int
    evaluations: int
    seconds: float
    digest: str
    champion: Champion | None
    epochs: int | None = None
    repeats: bool = False
    front: Front | None = None
    standings: Mapping[str, Standing] = field(default_factory=dict)
    saving: Saving | None = None
    sample_passes: int | None = None


class Observer:
    """Somebody who is told what happens; all methods are called in the parent process, in order.

    Derive from this class and override what is of interest.
    """

    def on_start(self, run: Run) -> None:
        """Hear that a run begins or goes on."""

    def on_message(self, text: str) -> None:
        """Hear something that takes time or needs attention, in one line."""

    def on_evaluation(self, generation: int, done: int, total: int) -> None:
        """Hear that one more individual of a generation is evaluated."""

    def on_failure(self, failure: Failure) -> None:
        """Hear that an individual could not be evaluated."""

    def on_champion(self, champion: Champion) -> None:
        """Hear that there is a new champion, or that the champion was tested."""

    def on_generation(self, record: GenerationRecord) -> None:
        """Hear that a generation is finished."""

    def on_checkpoint(self) -> None:
        """Hear that the state is about to be saved: what was announced until now has to be on the disk before.

        Raises
        ------
        CheckpointError
            If it is not, or the folder is not the run's any more; then nothing is saved.
        """

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Hear that so many minibatches of an epoch are done, in a training without evolution."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Hear that an epoch of a training without evolution is finished."""

    def on_end(self, outcome: Outcome) -> None:
        """Hear that the run is over, whatever the reason."""

    def on_leave(self, outcome: Outcome) -> None:
        """Hear that the program ends within a second, although the run may be in the middle of something.

        Called in another thread than all the others; `on_end` may come before, at the same time, or never.
        """


def announce_end(observers: Iterable[Observer], outcome: Outcome) -> CheckpointError | None:
    """Tell all observers that a run is over, and return the first problem with its files, which keeps nobody silent.

    Those that are told after a problem hear that the run has failed, so that the end can be repeated.
    """
    first = None
    for observer in observers:
        try:
            observer.on_end(outcome)
        except CheckpointError as problem:
            first = first or problem
            if outcome.status == "finished":
                outcome = replace(outcome, status="failed", reason=str(problem))
    return first
