"""From a genome to its evaluation: develop, draw weights, learn, score. This is what a worker does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution import Evaluation
from topoevo.experiment.failure import GuardedEvaluator
from topoevo.experiment.params import Params
from topoevo.experiment.preparation import prepare_compiled
from topoevo.experiment.records import TaskScore
from topoevo.experiment.scoring import score_outputs
from topoevo.genome import Genome
from topoevo.kernels import Batches, Kernel, Loss, Optimization, load_kernel
from topoevo.learning import LEARNING_RULES, Learner, LearningRule, TrainingHistory
from topoevo.learning.initialization import initial_weights
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network, compile_network
from topoevo.seeds import Stream, generator
from topoevo.tasks.task import Samples, Task

#: What is said of a training whose weights or losses are not finite any more.
DIVERGED = "the loss became infinite or undefined"


@dataclass(frozen=True, eq=False)
class SharedData:
    """What everyone in a generation is compared on.

    Samples are laid out as minibatches where they are used: to another process go the samples, which stay the same in
    all generations and are sent once, and their order.

    Parameters
    ----------
    samples
        The training samples.
    order
        Which sample comes where, int32 [num_samples].
    batch_size
        Samples a minibatch.
    epochs
        Order of the minibatches in every epoch, int32 [num_epochs, num_batches].
    """

    samples: Samples
    order: NDArray[np.int32]
    batch_size: int
    epochs: NDArray[np.int32]

    @cached_property
    def batches(self) -> Batches:
        """The samples as minibatches."""
        return Batches.lay_out(self.samples.inputs, self.samples.targets, batch_size=self.batch_size, order=self.order)

    def prepare(self) -> None:
        """Lay the samples out."""
        self.batches  # noqa: B018 - cached

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedData, (self.samples, self.order, self.batch_size, self.epochs)


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

    @staticmethod
    def from_params(params: Params, task: Task) -> DatasetEvaluator:
        """Return the evaluator that the settings describe."""
        return DatasetEvaluator.with_loss(params, Loss[task.loss.upper()])

    @staticmethod
    def with_loss(params: Params, loss: Loss) -> DatasetEvaluator:
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
        started = time.perf_counter()
        network = compile_network(genome)
        rng = generator(self.seed, stream, generation, index)
        losses, accuracies, trained = [], [], []
        for _ in range(self.num_trials):
            learner, history = self._train(network, shared, rng)
            loss, accuracy = history.mean(self.evaluation_period)
            if history.diverged or not np.isfinite(learner.weights).all() or not math.isfinite(loss):
                return Evaluation.failed(DIVERGED, time.perf_counter() - started)
            losses.append(loss)
            accuracies.append(accuracy)
            trained.append(learner.weights)
        reward = -float(np.mean(losses))
        accuracy = float(np.mean(accuracies))
        return Evaluation(
            reward,
            reward,
            None if math.isnan(accuracy) else accuracy,
            learned_weights(genome, network, trained[int(np.argmin(losses))]),
            time.perf_counter() - started,
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
            optimization=self.optimization,
            loss=self.loss,
            rng=rng,
            weight_init=self.weight_init,
            feedback_seed=int(rng.integers(2**63)) if self.feedback_seed is None else self.feedback_seed,
            num_steps=num_steps,
        )

    def _train(self, network: Network, shared: SharedData, rng: np.random.Generator) -> tuple[Learner, TrainingHistory]:
        """One training."""
        learner = self.start(network, rng, shared.epochs.size)
        return learner, learner.train(shared.batches, shared.epochs)


def optimization_of(params: Params) -> Optimization:
    """Return the weight update that the settings describe."""
    return make_optimization(
        params.optimizer,
        lr=params.lr,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        lr_schedule=params.lr_schedule,
        max_grad_norm=params.max_grad_norm,
        grad_power=params.grad_power,
    )


def feedback_seed_of(params: Params) -> int | None:
    """Return the seed of feedback weights: their own, or that of the run; None if every training has new ones."""
    if params.redraw_feedback and params.evolves:
        return None
    return params.seed if params.feedback_seed is None else params.feedback_seed


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


@dataclass(frozen=True, eq=False)
class TaskData:
    """The samples of a task in the layout that kernels read; lives in the parent process.

    Parameters
    ----------
    task
        The samples.
    batch_size, num_epochs
        Of training.
    batch_size_eval
        Samples that are scored at once.
    seed
        The run's seed.
    shuffle
        Whether samples come in another order in every generation, and minibatches in every epoch.
    num_samples
        Training samples drawn for each generation; None stands for all.
    """

    task: Task
    batch_size: int
    num_epochs: int
    batch_size_eval: int
    seed: int
    shuffle: bool = True
    num_samples: int | None = None
    _laid_out: dict[str, Batches] = field(default_factory=dict, init=False)

    @staticmethod
    def from_params(params: Params, task: Task) -> TaskData:
        """Return the data that the settings describe."""
        return TaskData(
            task,
            params.batch_size,
            params.num_epochs,
            params.batch_size_eval,
            params.seed,
            params.shuffle,
            params.num_samples,
        )

    def shared(self, stream: Stream, generation: int, *, num_epochs: int | None = None) -> SharedData:
        """Return the minibatches of one generation, drawn at the address (stream, generation).

        Which samples make a minibatch changes from generation to generation; their order from epoch to epoch.

        Parameters
        ----------
        stream
            ``SHARED`` for a generation, ``CONFIRMATION`` for a champion candidate.
        generation
            Number of the generation.
        num_epochs
            Epochs over all training samples; None stands for the epochs and samples that the settings have for a
            generation.
        """
        rng = generator(self.seed, stream, generation)
        order = np.arange(len(self.task.train), dtype=np.int32)
        if self.shuffle:
            order = rng.permutation(order)
        if num_epochs is None:
            order, num_epochs = order[: self.num_samples], self.num_epochs
        num_batches = -(-len(order) // self.batch_size)
        epochs = np.tile(np.arange(num_batches, dtype=np.int32), (num_epochs, 1))
        if self.shuffle:
            epochs = rng.permuted(epochs, axis=1)
        return SharedData(self.task.train, order, self.batch_size, epochs)

    def confirmed(self, genome: Genome, evaluation: Evaluation, kernel: Kernel) -> TaskScore:
        """Return the score on the training samples with the weights that the confirming training has led to."""
        return self.score("train", genome, kernel)

    def score(self, part: str, genome: Genome, kernel: Kernel) -> TaskScore:
        """Return how good a genome with given weights is.

        Parameters
        ----------
        part
            ``train``, ``validation`` or ``test``.
        genome
            All active connections have weights.
        kernel
            Backend.
        """
        network = compile_network(genome)
        return self.score_network(part, network, network.weight, kernel)

    def score_network(self, part: str, network: Network, weights: NDArray[np.float32], kernel: Kernel) -> TaskScore:
        """Return how good a network is.

        Parameters
        ----------
        part, kernel
            See `score`.
        network, weights
            The network and the weight of each edge, float32 [num_edges].
        """
        samples: Samples = getattr(self.task, part)
        if part not in self._laid_out:
            self._laid_out[part] = Batches.lay_out(samples.inputs, samples.targets, batch_size=self.batch_size_eval)
        outputs = kernel.outputs(network, weights, self._laid_out[part])
        return score_outputs(self.task, outputs, samples)

    @property
    def has_validation(self) -> bool:
        """Whether samples are held out for choosing champions."""
        return self.task.validation is not None
