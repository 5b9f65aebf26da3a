"""From a genome to its evaluation: develop, draw weights, learn, score. This is what a worker does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution import Evaluation
from topoevo.evolution.islands import Islands
from topoevo.experiment.evidence import FISHER, Probe, gather
from topoevo.experiment.failure import GuardedEvaluator
from topoevo.experiment.inheritance import give_moments, moments_of
from topoevo.experiment.learning_settings import (
    decay_of,
    decay_ratio_of,
    feedback_seed_of,
    limits_of,
    optimization_of,
)
from topoevo.experiment.params import Params
from topoevo.experiment.preparation import prepare_compiled
from topoevo.experiment.problem import Leg
from topoevo.experiment.shared_data import SharedData
from topoevo.genome import Genome
from topoevo.kernels import Batches, Kernel, Loss, Optimization, OptimizerState, Plasticity, UpdateRule, load_kernel
from topoevo.learning import LEARNING_RULES, Learner, LearningRule, TrainingHistory
from topoevo.learning.course import Course
from topoevo.learning.initialization import initial_weights
from topoevo.learning.pruning import Pruning
from topoevo.network import Network, compile_network
from topoevo.seeds import Stream, generator
from topoevo.tasks.task import Task
from topoevo.variation import Evidence

#: What is said of a training whose weights or losses are not finite any more.
DIVERGED = "the loss became infinite or undefined"


@dataclass(frozen=True, eq=False)
class DatasetEvaluator(GuardedEvaluator):
    """Train networks on the training samples of a task.

    Small enough to be sent to another process: samples travel with `SharedData` alone.

    Parameters
    ----------
    rule, optimization
        The learning rule and its weight update.
    kernel_name
        Backend.
    loss
        What is minimized.
    weight_init
        How unset weights are drawn.
    evaluation_period
        Part of the training that makes the reward.
    num_trials
        Trainings that the reward is the mean of; the weights of the best one are returned.
    seed
        The run's seed.
    feedback_seed
        Decides feedback weights; None stands for new ones in every training.
    reward_data
        Samples that make the reward: see the setting.
    initial_lr
        Learning rate in generation 0; None stands for that of `optimization`.
    lr_spread, weight_decay_spread
        Factors up to which the learning rate and the decay of weights are drawn larger or smaller.
    decay_power
        Power of the number of connections that the decay of weights, which is that of 1000 connections, is in
        proportion to; 0 leaves it as it is.
    decay_ratio
        Factor of the decay of weights that the number of training samples makes.
    trains_elites
        Whether those who go on unchanged are trained further.
    islands
        Who they are, and who lives where.
    max_connections
        What pruning leaves on each island, or on all of them; None prunes nothing.
    pruning, pruning_stages, pruning_stop
        See the settings.
    gives_evidence
        Whether operators ask for what learning saw.
    output_connections, new_nodes
        Whether new connections may end at an output, and whether new nodes may feed one.
    hands_on_state
        Whether others begin with what the optimizer remembers in the end.
    """

    rule: LearningRule
    optimization: Optimization
    kernel_name: str
    loss: Loss
    weight_init: str
    evaluation_period: str
    num_trials: int
    seed: int
    feedback_seed: int | None
    reward_data: str = "training"
    initial_lr: float | None = None
    lr_spread: float = 1.0
    weight_decay_spread: float = 1.0
    decay_power: float = 0.0
    decay_ratio: float = 1.0
    trains_elites: bool = True
    islands: Islands | None = None
    max_connections: tuple[int, ...] | None = None
    pruning: str = "none"
    pruning_stages: int = 8
    pruning_stop: float = 0.6
    gives_evidence: bool = False
    output_connections: bool = True
    new_nodes: bool = False
    hands_on_state: bool = False

    @staticmethod
    def from_params(params: Params, task: Task) -> DatasetEvaluator:
        """Return the evaluator that the settings describe."""
        loss = Loss[task.loss.upper()]
        return DatasetEvaluator.with_loss(params, loss, decay_ratio=decay_ratio_of(params, len(task.train)))

    @staticmethod
    def with_loss(params: Params, loss: Loss, *, decay_ratio: float = 1.0) -> DatasetEvaluator:
        """Return the evaluator that the settings describe, for whatever data has such a loss."""
        rule = LEARNING_RULES[params.learning_rule]
        return DatasetEvaluator(
            rule=rule(**params.options_of(rule)),
            optimization=optimization_of(params),
            kernel_name=params.kernel_name,
            loss=loss,
            weight_init=params.weight_init,
            evaluation_period=params.evaluation_period,
            num_trials=params.num_trials,
            seed=params.seed,
            feedback_seed=feedback_seed_of(params),
            reward_data=params.reward_data,
            initial_lr=params.initial_lr,
            lr_spread=params.lr_spread,
            weight_decay_spread=params.weight_decay_spread,
            decay_power=params.weight_decay_scaling,
            decay_ratio=decay_ratio,
            trains_elites=params.train_elites,
            islands=params.islands,
            max_connections=limits_of(params),
            pruning=params.pruning,
            pruning_stages=params.pruning_stages,
            pruning_stop=params.pruning_stop,
            gives_evidence=rule.gives_evidence and params.asks_for_evidence,
            output_connections=params.output_connections,
            new_nodes=getattr(params, "p_grow_node", 0.0) > 0.0,
            hands_on_state=params.hands_on_state,
        )

    @property
    def kernel(self) -> Kernel:
        """The backend."""
        return load_kernel(self.kernel_name)

    @property
    def remedy(self) -> str:
        """What may help where all trainings diverge."""
        return self.rule.remedy

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the loop of the learning rule, and scoring."""
        prepare_compiled(self.kernel, say, loops=(self.rule.loop,))

    def attempt(self, genome: Genome, shared: SharedData, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """Return the mean over trials of training the network.

        Parameters
        ----------
        genome
            What is developed and trained.
        shared
            Samples and their order.
        stream, generation, index
            Address of the random numbers of this evaluation.
        """
        whole = Leg(shared.epochs.size)
        return self.attempt_leg(genome, shared, whole, stream=stream, generation=generation, index=index)

    def attempt_leg(
        self, genome: Genome, shared: SharedData, leg: Leg, *, stream: Stream, generation: int, index: int
    ) -> Evaluation:
        """Return the mean over trials of training the network for a part of the way; for legs there is one trial.

        Parameters
        ----------
        genome, shared, stream, generation, index
            See `attempt`.
        leg
            The part. If it is not the last one, there is no evidence yet, and the memory to go on with.
        """
        started = time.perf_counter()
        network = compile_network(genome)
        rng = generator(self.seed, stream, generation, index if leg.index is None else leg.index)
        place = self._place(network, stream, generation, index)
        epochs = shared.epochs_of(place)
        limit = self._limit(place) if stream is Stream.LEARNING else None
        is_kept = stream is Stream.LEARNING and self._is_kept(network, limit, generation, index)
        is_last = leg.stop >= epochs.size
        memory: dict[str, Any] | None = None
        sample_passes = 0
        learners, losses, accuracies = [], [], []
        for _ in range(self.num_trials):
            learner = self.start(network, rng, epochs.size)
            count = int(np.count_nonzero(~network.from_bias))
            size = count if limit is None else min(limit, count)
            optimization = self._optimization(size, leg.decay_factor)
            if stream is Stream.LEARNING:
                optimization = self._drawn(optimization, generation, rng)
            learner.optimization = optimization
            give_moments(learner, genome, leg.moments)
            course = Course(learner, shared.batches, epochs, self._pruning(limit, shared))
            if leg.memory is not None:
                course.recall(leg.memory)
            if not is_kept:
                course.advance(leg.stop)
            sample_passes += course.num_samples * self.rule.passes_a_step
            loss, accuracy = self._score(learner, shared, None if is_kept else course.history)
            if not np.isfinite(learner.weights).all() or not math.isfinite(loss):
                num_saved = epochs.size - course.num_done
                seconds = time.perf_counter() - started
                return Evaluation.failed(DIVERGED, seconds, num_saved=num_saved, sample_passes=sample_passes)
            memory = None if is_last else course.memory()
            learners.append(learner)
            losses.append(loss)
            accuracies.append(accuracy)
        reward = -float(np.mean(losses))
        accuracy = float(np.mean(accuracies))
        best = learners[int(np.argmin(losses))]
        removed = None
        shows = self.gives_evidence and is_last and stream is Stream.LEARNING
        if best.network is not network:
            removed = np.ones(len(genome.connections), np.bool_)
            removed[best.network.gene] = False
        return Evaluation(
            reward,
            reward,
            None if math.isnan(accuracy) else accuracy,
            learned_weights(genome, best.network, best.weights),
            time.perf_counter() - started,
            removed=removed,
            evidence=self._evidence(genome, best, removed, shared) if shows else None,
            memory=memory,
            sample_passes=sample_passes,
            moments=moments_of(best, genome) if self.hands_on_state and stream is Stream.LEARNING else None,
        )

    def start(self, network: Network, rng: np.random.Generator, num_steps: int) -> Learner:
        """Return a learner before its first step.

        Parameters
        ----------
        network
            What is to be trained.
        rng
            Draws the weights that are unset, and belongs to the learner from then on.
        num_steps
            Steps of the whole training.
        """
        return self.rule.start(
            network,
            initial_weights(network, self.weight_init, rng),
            kernel=self.kernel,
            optimization=self._optimization(int(np.count_nonzero(~network.from_bias))),
            loss=self.loss,
            rng=rng,
            weight_init=self.weight_init,
            feedback_seed=int(rng.integers(2**63)) if self.feedback_seed is None else self.feedback_seed,
            num_steps=num_steps,
        )

    def _optimization(self, num_connections: int, decay_factor: float = 1.0) -> Optimization:
        """The weight update of a training that leads to so many connections."""
        decay = decay_of(
            decay_factor * self.optimization.weight_decay,
            ratio=self.decay_ratio,
            power=self.decay_power,
            num_connections=num_connections,
        )
        return replace(self.optimization, weight_decay=decay)

    def _drawn(self, optimization: Optimization, generation: int, rng: np.random.Generator) -> Optimization:
        """The weight update of one individual of a generation."""
        lr, decay = optimization.lr, optimization.weight_decay
        if generation == 0 and self.initial_lr is not None:
            lr = self.initial_lr
        if self.lr_spread != 1.0:
            lr *= self.lr_spread ** rng.uniform(-1.0, 1.0)
        if self.weight_decay_spread != 1.0:
            decay *= self.weight_decay_spread ** rng.uniform(-1.0, 1.0)
        return replace(optimization, lr=lr, weight_decay=decay)

    def _place(self, network: Network, stream: Stream, generation: int, index: int) -> int:
        """Place of a network's size among all there are: that of its island, or else by its own connections."""
        limits = self.max_connections
        if limits is None or len(limits) == 1 or self.islands is None:
            return 0
        if stream is Stream.LEARNING:
            return self.islands.island(generation, index)
        size = int(np.count_nonzero(~network.from_bias))
        return min(int(np.searchsorted(limits, size)), len(limits) - 1)

    def _limit(self, place: int) -> int | None:
        """How many connections a network of a size has after learning, or None if nothing is pruned."""
        if self.pruning == "none" or self.max_connections is None:
            return None
        return self.max_connections[place]

    def _is_kept(self, network: Network, limit: int | None, generation: int, index: int) -> bool:
        """Whether an individual goes on as it is, not trained; one that has yet to be pruned never does."""
        if self.trains_elites or self.islands is None:
            return False
        is_elite = generation > 0 and index < self.islands.total_elites
        return is_elite and (limit is None or int(np.count_nonzero(~network.from_bias)) <= limit)

    def _pruning(self, limit: int | None, shared: SharedData) -> Pruning | None:
        """How a network comes to have no more connections than `limit`."""
        if limit is None:
            return None
        return Pruning(
            limit,
            partial(_saliency, self.pruning, shared),
            stages_per_halving=self.pruning_stages,
            stop=self.pruning_stop,
        )

    def _score(self, learner: Learner, shared: SharedData, history: TrainingHistory | None) -> tuple[float, float]:
        """Loss and accuracy that the reward is made of; a loss that is not finite if the training has diverged."""
        if history is not None and history.diverged:
            return math.inf, math.nan
        if self.reward_data == "training":
            assert history is not None
            return history.mean(self.evaluation_period)
        assert shared.held_out is not None
        found = [self._mean_scores(learner, shared.held_out_batches)]
        if self.reward_data == "both":
            found.append(self._mean_scores(learner, shared.probed))
        loss, accuracy = np.mean(found, axis=0).tolist()
        return loss, accuracy

    def _mean_scores(self, learner: Learner, batches: Batches) -> tuple[float, float]:
        """Mean loss and accuracy on samples: those of a training in which no weight moves."""
        nothing = np.zeros(learner.network.num_edges, np.bool_)
        order = np.arange(batches.num_batches, dtype=np.int32)
        scores = self.kernel.train(
            learner.network,
            learner.weights,
            Plasticity(nothing, propagate=False),
            Optimization(UpdateRule.NONE, 0.0),
            OptimizerState.zeros(len(nothing)),
            batches,
            order,
            self.loss,
        )
        return TrainingHistory(scores.losses, scores.accuracies, batches.sizes, len(order)).mean("integral")

    def _evidence(
        self, genome: Genome, learner: Learner, removed: NDArray[np.bool_] | None, shared: SharedData
    ) -> Evidence:
        """What operators may know of the trained network."""
        remaining = genome if removed is None else genome.with_only(~removed)
        if removed is not None:
            rows = (np.cumsum(~removed) - 1).astype(np.int32)
            learner = replace(learner, network=replace(learner.network, gene=rows[learner.network.gene]))
        with np.errstate(over="ignore", invalid="ignore"):
            return gather(
                _probe(learner, shared),
                remaining,
                output_connections=self.output_connections,
                new_nodes=self.new_nodes,
                saliency=FISHER if self.pruning == "none" else self.pruning,
            )


def _probe(learner: Learner, shared: SharedData) -> Probe:
    """The learner's network under the first of the probed samples."""
    probed = shared.probed
    size = int(probed.sizes[0])
    return Probe(learner, probed.inputs[0][:, :size], probed.targets[0][:, :size])


def _saliency(kind: str, shared: SharedData, learner: Learner) -> NDArray[np.float32]:
    """How much each edge matters while pruning goes on."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _probe(learner, shared).saliency(kind)


def learned_weights(genome: Genome, network: Network, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a weight for every connection gene, float32 [num_connections]; genes that take no part keep theirs.

    Parameters
    ----------
    genome, network
        Genes, and the network that they have developed into.
    weights
        Weight of each edge, float32 [num_edges].
    """
    genes: NDArray[np.float32] = genome.connections["weight"].copy()
    genes[network.gene] = weights
    return genes
