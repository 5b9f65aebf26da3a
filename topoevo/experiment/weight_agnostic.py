"""Judging a network by what it does with one weight on all its connections (Gaier & Ha 2019), on samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution import Evaluation
from topoevo.experiment.failure import GuardedEvaluator
from topoevo.experiment.params import Params
from topoevo.experiment.preparation import prepare_compiled
from topoevo.experiment.records import TaskScore
from topoevo.experiment.shared_data import SharedData, TaskData
from topoevo.genome import Genome
from topoevo.kernels import Batches, Kernel, Loss, load_kernel
from topoevo.network import compile_network
from topoevo.seeds import Stream
from topoevo.tasks.task import Samples, Task

#: What is said of a network that says nothing definite under one of the weights.
UNDEFINED = "an output became infinite or undefined under a shared weight"


@dataclass(frozen=True, eq=False)
class AgnosticEvaluator(GuardedEvaluator):
    """Score networks on samples with several shared weights, without training.

    Parameters
    ----------
    shared_weights
        The weights, float32 [num_weights].
    kernel_name
        Backend.
    loss
        What is averaged over samples.
    """

    shared_weights: NDArray[np.float32]
    kernel_name: str
    loss: Loss
    remedy: str = "activations without linear and relu, whose outputs grow without limit"

    @staticmethod
    def from_params(params: Params, task: Task) -> AgnosticEvaluator:
        """Return the evaluator that the settings describe."""
        return AgnosticEvaluator(shared_weights_of(params), params.kernel_name, Loss[task.loss.upper()])

    @property
    def kernel(self) -> Kernel:
        """The backend."""
        return load_kernel(self.kernel_name)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the pass that all evaluations consist of."""
        prepare_compiled(self.kernel, say, loops=("shared_weight_scores",))

    def attempt(self, genome: Genome, shared: SharedData, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """Return mean and best reward over the shared weights, and the best weight on all connections.

        Parameters
        ----------
        genome
            What is developed and scored.
        shared
            The samples.
        stream, generation, index
            Of no influence: nothing is random here.
        """
        started = time.perf_counter()
        network = compile_network(genome)
        losses, accuracies = self.kernel.shared_weight_scores(network, self.shared_weights, shared.batches, self.loss)
        return agnostic_evaluation(
            genome, self.shared_weights, -losses, accuracies if self.loss.has_classes else None, started
        )


def agnostic_evaluation(
    genome: Genome,
    shared_weights: NDArray[np.float32],
    rewards: NDArray[np.float64],
    accuracies: NDArray[np.float64] | None,
    started: float,
) -> Evaluation:
    """Return the evaluation that rewards under several shared weights make; the best weight is handed on.

    Parameters
    ----------
    genome
        Gets the best weight on all its connections.
    shared_weights, rewards
        float32 and float64 [num_weights].
    accuracies
        float64 [num_weights], or None where there are none.
    started
        `time.perf_counter` at the beginning of the evaluation.
    """
    if not np.isfinite(rewards).all():
        return Evaluation.failed(UNDEFINED, time.perf_counter() - started)
    best = int(np.argmax(rewards))
    return Evaluation(
        float(np.mean(rewards)),
        float(rewards[best]),
        None if accuracies is None else float(accuracies[best]),
        np.full(len(genome.connections), shared_weights[best], np.float32),
        time.perf_counter() - started,
    )


@dataclass(frozen=True, eq=False)
class AgnosticTaskData(TaskData):
    """Samples for networks that do not learn: a minibatch a generation, all training samples for a champion.

    Parameters
    ----------
    shared_weights
        The weights that networks are tried with, float32 [num_weights].
    """

    shared_weights: NDArray[np.float32] = field(kw_only=True)

    @staticmethod
    def from_params(params: Params, task: Task) -> AgnosticTaskData:
        """Return the data that the settings describe."""
        return AgnosticTaskData(
            task,
            params.batch_size,
            1,
            params.batch_size_eval,
            params.seed,
            params.shuffle,
            min(params.num_samples or params.batch_size, len(task.train)),
            shared_weights=shared_weights_of(params),
        )

    def shared(self, stream: Stream, generation: int, *, num_epochs: int | None = None) -> SharedData:
        """Return the samples of a generation, or all of them for a confirmation."""
        if stream is Stream.CONFIRMATION:
            num_epochs = 1
        return super().shared(stream, generation, num_epochs=num_epochs)

    def confirmed(self, genome: Genome, evaluation: Evaluation, kernel: Kernel) -> TaskScore:
        """Return the score on all training samples, which the evaluation was made with."""
        return TaskScore(evaluation.reward, evaluation.accuracy, best_reward=evaluation.best_reward)

    def score(self, part: str, genome: Genome, kernel: Kernel) -> TaskScore:
        """Return mean reward over the shared weights, and reward and accuracy under the weights that `genome` has."""
        network = compile_network(genome)
        samples: Samples = getattr(self.task, part)
        if part not in self._laid_out:
            self._laid_out[part] = Batches.lay_out(samples.inputs, samples.targets, batch_size=self.batch_size_eval)
        loss = Loss[self.task.loss.upper()]
        losses, _ = kernel.shared_weight_scores(network, self.shared_weights, self._laid_out[part], loss)
        carried = self.score_network(part, network, network.weight, kernel)
        return TaskScore(-float(np.mean(losses)), carried.accuracy, carried.rmse, best_reward=carried.reward)


def shared_weights_of(params: Params) -> NDArray[np.float32]:
    """Return the shared weights of the settings, float32 [num_weights]."""
    assert params.shared_weights is not None
    return np.array(params.shared_weights, np.float32)
