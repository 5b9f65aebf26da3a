"""Judging networks by what they have learned to do in an environment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution import Evaluation
from topoevo.experiment.episodes import Trials, prepare_rollouts
from topoevo.experiment.evaluators import DIVERGED, learned_weights
from topoevo.experiment.failure import GuardedEvaluator
from topoevo.experiment.learning_settings import optimization_of
from topoevo.experiment.params import Params
from topoevo.genome import Genome
from topoevo.kernels import Kernel, Optimization, OptimizerState, load_kernel
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.learning.initialization import initial_weights
from topoevo.network import Network, compile_network
from topoevo.rollouts import roll_out
from topoevo.seeds import Stream, generator
from topoevo.tasks.environments.environment import Environment


@dataclass(frozen=True, eq=False)
class LearningEpisodesEvaluator(GuardedEvaluator):
    """Let networks learn from their returns, by a rule that needs nothing else.

    All steps of a training are on the episodes of the generation, and so is the reward, which is that of the weights in
    the end. In a confirmation the reward is of episodes that learning has not met.

    Parameters
    ----------
    environment
        Where they act.
    rule, optimization
        The learning rule and its weight update.
    num_steps
        Steps of a training, each of which tries the candidates or proposals of the rule once.
    weight_init
        How unset weights are drawn.
    seed
        The run's seed.
    kernel_name
        Backend.
    """

    environment: Environment
    rule: LearningRule
    optimization: Optimization
    num_steps: int
    weight_init: str
    seed: int
    kernel_name: str

    @staticmethod
    def from_params(params: Params, environment: Environment) -> LearningEpisodesEvaluator:
        """Return the evaluator that the settings describe."""
        rule = LEARNING_RULES[params.learning_rule]
        return LearningEpisodesEvaluator(
            environment,
            rule(**params.options_of(rule)),
            optimization_of(params),
            params.num_epochs,
            params.weight_init,
            params.seed,
            params.kernel_name,
        )

    @property
    def kernel(self) -> Kernel:
        """The backend."""
        return load_kernel(self.kernel_name)

    @property
    def remedy(self) -> str:
        """What may help where all trainings fail."""
        return self.rule.remedy

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the episodes, and the weight update if there is one."""
        prepare_rollouts(self.environment, self.kernel, say)
        if self.rule.needs_optimizer:
            one, plastic = np.zeros(1, np.float32), np.ones(1, np.bool_)
            self.kernel.update(self.optimization, OptimizerState.zeros(1), one, one.copy(), plastic, lr=0.0)

    def attempt(self, genome: Genome, shared: Trials, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """Return the mean return after learning, and the weights that it was reached with.

        Parameters
        ----------
        genome
            What is developed and trained. Weights that it has are where learning starts; others are drawn.
        shared
            The episodes.
        stream, generation, index
            Address of the random numbers of this training.
        """
        started = time.perf_counter()
        network = compile_network(genome)
        weights, reward = self._train(network, shared, generator(self.seed, stream, generation, index))
        if not np.isfinite(weights).all():
            return Evaluation.failed(DIVERGED, time.perf_counter() - started)
        learned = learned_weights(genome, network, weights)
        return Evaluation(reward, reward, None, learned, time.perf_counter() - started)

    def _train(self, network: Network, shared: Trials, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
        """Weights after learning, and their mean return."""
        with np.errstate(over="ignore", invalid="ignore"):
            weights = self.rule.follow(
                lambda candidates: -self._returns(network, candidates, shared.seeds),
                network,
                initial_weights(network, self.weight_init, rng),
                kernel=self.kernel,
                optimization=self.optimization,
                rng=rng,
                num_steps=self.num_steps,
            )
        unseen = shared.seeds if shared.unseen is None else shared.unseen
        return weights, float(self._returns(network, weights[np.newaxis], unseen)[0])

    def _returns(
        self, network: Network, candidates: NDArray[np.float32], seeds: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Mean return of each candidate, float64 [num_candidates]."""
        episodes = roll_out(self.environment, network, candidates, seeds.tolist(), kernel_name=self.kernel_name)
        means: NDArray[np.float64] = episodes.returns.mean(axis=1)
        return means
