"""Judging networks by what they do in an environment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution import Evaluation
from topoevo.experiment.failure import GuardedEvaluator
from topoevo.experiment.params import Params
from topoevo.experiment.preparation import prepare_compiled
from topoevo.experiment.records import TaskScore
from topoevo.experiment.weight_agnostic import agnostic_evaluation, shared_weights_of
from topoevo.genome import Genome
from topoevo.kernels import Kernel, load_kernel
from topoevo.network import compile_network
from topoevo.rollouts import RolloutError, roll_out
from topoevo.seeds import Stream, generator
from topoevo.tasks.environments.environment import Environment


@dataclass(frozen=True, eq=False)
class Trials:
    """The episodes that everyone in a generation is compared on.

    Parameters
    ----------
    seeds
        One for each episode, int64 [num_trials]; all weights and all individuals meet the same ones.
    unseen
        Those of the episodes that are judged by after learning on the others, int64 [num_unseen]; None stands for the
        same.
    """

    seeds: NDArray[np.int64]
    unseen: NDArray[np.int64] | None = None

    def prepare(self) -> None:
        """Do nothing: seeds are all there is."""


@dataclass(frozen=True, eq=False)
class AgnosticEpisodesEvaluator(GuardedEvaluator):
    """Let networks act with several shared weights, without training.

    Parameters
    ----------
    environment
        Where they act.
    shared_weights
        The weights, float32 [num_weights].
    kernel_name
        Backend.
    """

    environment: Environment
    shared_weights: NDArray[np.float32]
    kernel_name: str
    remedy: str = "another output_activation, such as tanh"

    @staticmethod
    def from_params(params: Params, environment: Environment) -> AgnosticEpisodesEvaluator:
        """Return the evaluator that the settings describe."""
        return AgnosticEpisodesEvaluator(environment, shared_weights_of(params), params.kernel_name)

    @property
    def kernel(self) -> Kernel:
        """The backend."""
        return load_kernel(self.kernel_name)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the episodes of a simulation, or the pass of a single step."""
        prepare_rollouts(self.environment, self.kernel, say)

    def attempt(self, genome: Genome, shared: Trials, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """Return mean and best return over the shared weights, and the best weight on all connections.

        Parameters
        ----------
        genome
            What is developed and acts.
        shared
            The episodes.
        stream, generation, index
            Of no influence: the episodes are the same for all.
        """
        started = time.perf_counter()
        episodes = roll_out(
            self.environment,
            compile_network(genome),
            self.shared_weights,
            shared.seeds.tolist(),
            kernel_name=self.kernel_name,
        )
        return agnostic_evaluation(genome, self.shared_weights, episodes.returns.mean(axis=1), None, started)


@dataclass(frozen=True, eq=False)
class EpisodesProblem:
    """The episodes of an environment: those of a generation, those that champions are chosen on, and those of tests.

    Parameters
    ----------
    task
        The environment.
    num_trials, num_confirmation_trials, num_test_trials
        Episodes of each kind.
    seed
        The run's seed.
    kernel_name
        Backend.
    shared_weights
        Weights that networks are tried with, float32 [num_weights]; None lets each act with its own.
    """

    task: Environment
    num_trials: int
    num_confirmation_trials: int
    num_test_trials: int
    seed: int
    kernel_name: str
    shared_weights: NDArray[np.float32] | None = None
    has_validation: bool = False

    @staticmethod
    def from_params(params: Params, environment: Environment) -> EpisodesProblem:
        """Return the problem that the settings describe."""
        return EpisodesProblem(
            environment,
            params.num_trials,
            params.num_confirmation_trials,
            params.num_test_trials,
            params.seed,
            params.kernel_name,
            shared_weights_of(params) if params.is_weight_agnostic else None,
        )

    def shared(self, stream: Stream, generation: int, *, num_epochs: int | None = None) -> Trials:
        """Return the episodes of one generation.

        Those of confirmations are the same in all generations, so that champions are compared on equal terms; evolution
        never meets them, nor does learning: a champion candidate that learns does so on the episodes of its generation.
        """
        if stream is not Stream.CONFIRMATION:
            return self._trials(stream, generation, self.num_trials)
        confirming = self._trials(stream, 0, self.num_confirmation_trials)
        if self.shared_weights is not None:
            return confirming
        return Trials(self._trials(Stream.SHARED, generation, self.num_trials).seeds, unseen=confirming.seeds)

    def confirmed(self, genome: Genome, evaluation: Evaluation, kernel: Kernel) -> TaskScore:
        """Return the score of the evaluation, whose episodes are those of a confirmation."""
        best_reward = None if self.shared_weights is None else evaluation.best_reward
        return TaskScore(evaluation.reward, None, best_reward=best_reward)

    def score(self, part: str, genome: Genome, kernel: Kernel) -> TaskScore:
        """Return the mean return over the test episodes, or over those of a confirmation for the part ``train``.

        It is minus infinity where an episode fails, as some environments do in states that were never met before.
        """
        try:
            return self._score(part, genome)
        except RolloutError:
            return TaskScore(-math.inf, None)

    def trials(self, part: str) -> Trials:
        """Return the episodes of a score: those of a confirmation for the part ``train``, else those of the test."""
        if part == "train":
            return self._trials(Stream.CONFIRMATION, 0, self.num_confirmation_trials)
        return self._trials(Stream.TEST, 0, self.num_test_trials)

    def _score(self, part: str, genome: Genome) -> TaskScore:
        """See `score`."""
        trials = self.trials(part)
        network = compile_network(genome)
        carried = network.weight[np.newaxis]
        own = roll_out(self.task, network, carried, trials.seeds.tolist(), kernel_name=self.kernel_name)
        own_return = float(own.returns.mean())
        measures = {name: float(values.mean()) for name, values in own.measures.items()}
        if self.shared_weights is None:
            return TaskScore(own_return, None, measures=measures)
        tried = roll_out(self.task, network, self.shared_weights, trials.seeds.tolist(), kernel_name=self.kernel_name)
        return TaskScore(float(tried.returns.mean()), None, best_reward=own_return, measures=measures)

    def _trials(self, stream: Stream, generation: int, number: int) -> Trials:
        """So many episodes at an address."""
        return Trials(generator(self.seed, stream, generation).integers(2**31, size=number, dtype=np.int64))


def prepare_rollouts(environment: Environment, kernel: Kernel, say: Callable[[str], None]) -> None:
    """Compile what episodes need, or load it from the cache; `say` is told if it takes long."""
    from topoevo import rollouts

    prepare_compiled(kernel, say, loops=())
    if kernel.name == "numba":
        if rollouts.needs_compilation(environment):
            say(f"compiling the episodes of {environment.name}, once on this machine (10 seconds or more) ...")
        rollouts.prepare(environment)
