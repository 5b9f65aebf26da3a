"""Champions scored episode by episode in workers, where environments may do what they like."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution import Evaluation
from topoevo.experiment.episodes import EpisodesProblem, Trials, prepare_rollouts
from topoevo.experiment.failure import GuardedEvaluator, reason_of
from topoevo.experiment.records import TaskScore
from topoevo.experiment.workers import Workers
from topoevo.genome import Genome
from topoevo.kernels import load_kernel
from topoevo.network import compile_network
from topoevo.rollouts import roll_out
from topoevo.seeds import Stream
from topoevo.tasks.environments.environment import Environment

#: Episodes that are handed out for every worker before it is looked whether one has failed.
_EPISODES_A_WORKER = 4


@dataclass(frozen=True, eq=False)
class EpisodeEvaluator(GuardedEvaluator):
    """Let a network that has its weights act in one episode.

    Parameters
    ----------
    environment
        Where it acts.
    shared_weights
        Weights that it is tried with besides, float32 [num_weights]; None if it acts with its own alone.
    kernel_name
        Backend.
    """

    environment: Environment
    shared_weights: NDArray[np.float32] | None
    kernel_name: str
    remedy: str = ""

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the pass of a single step."""
        prepare_rollouts(self.environment, load_kernel(self.kernel_name), say)

    def attempt(self, genome: Genome, shared: Trials, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """Return the return of an episode, or its mean over the shared weights and, as the best, that with its own.

        Parameters
        ----------
        genome
            All active connections have weights.
        shared
            The episodes.
        stream, generation
            Of no influence.
        index
            Which of the episodes.
        """
        started = time.perf_counter()
        network, seeds = compile_network(genome), [int(shared.seeds[index])]
        carried = network.weight[np.newaxis]
        own = roll_out(self.environment, network, carried, seeds, kernel_name=self.kernel_name)
        reward = own_return = float(own.returns.mean())
        if self.shared_weights is not None:
            tried = roll_out(self.environment, network, self.shared_weights, seeds, kernel_name=self.kernel_name)
            reward = float(tried.returns.mean())
        return Evaluation(reward, own_return, None, None, time.perf_counter() - started)


def score_in_workers(
    problem: EpisodesProblem,
    part: str,
    genome: Genome,
    workers: Workers,
    *,
    on_wait: Callable[[], None],
    say: Callable[[str], None],
) -> TaskScore:
    """Return the same as `topoevo.experiment.episodes.EpisodesProblem.score`, whatever an episode does to its worker.

    Parameters
    ----------
    problem, part, genome
        Whose score, and of which episodes.
    workers
        Who lets the network act.
    on_wait
        See `topoevo.experiment.workers.Workers.evaluate`.
    say
        Told of an episode that has failed; the score is minus infinity then.
    """
    evaluator = EpisodeEvaluator(problem.task, problem.shared_weights, problem.kernel_name)
    seeds = problem.trials(part).seeds
    found: list[Evaluation] = []
    while len(found) < len(seeds):
        # The first one alone: if it costs its worker, that is no sign that all do.
        size = _EPISODES_A_WORKER * workers.num_workers if found else 1
        episodes = Trials(seeds[len(found) : len(found) + size])
        batch = workers.evaluate(
            evaluator, [genome] * len(episodes.seeds), episodes, stream=Stream.TEST, generation=0, on_wait=on_wait
        )
        for evaluation in batch:
            if evaluation.failure is not None:
                say(f"warning: an episode of the champion's {part} score has failed: {reason_of(evaluation.failure)}")
                return TaskScore(-math.inf, None)
        found += batch
    reward = float(np.mean([evaluation.reward for evaluation in found]))
    if problem.shared_weights is None:
        return TaskScore(reward, None)
    return TaskScore(reward, None, best_reward=float(np.mean([evaluation.best_reward for evaluation in found])))
