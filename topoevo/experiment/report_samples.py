"""Measuring and tuning the weights of a network on samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.experiment.preparation import prepare_compiled
from topoevo.experiment.report import Values
from topoevo.experiment.scoring import score_outputs
from topoevo.experiment.tuning import GradientSettings, tune_by_gradient
from topoevo.kernels import Batches, Kernel, Loss, load_kernel
from topoevo.network import Network
from topoevo.tasks.task import Samples, Task

#: Samples that are scored at once.
_BATCH_SIZE = 1000


@dataclass(frozen=True, eq=False)
class SamplesJudge:
    """Lets a network answer with given weights.

    Parameters
    ----------
    task, network
        Samples, and who answers; they fit together.
    num_trainings
        Trainings of tuned weights, which differ in the order of the samples.
    gradient
        Length of each training.
    seed
        Decides the orders.
    kernel_name
        Backend.
    tell
        Told how far it is.
    """

    task: Task
    network: Network
    num_trainings: int = 5
    gradient: GradientSettings = field(default_factory=GradientSettings)
    seed: int = 0
    kernel_name: str = "numba"
    tell: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        self.network.check_fits(self.task.name, self.task.num_inputs, self.task.num_outputs)

    @property
    def has_classes(self) -> bool:
        """Whether outputs can vote."""
        return self.task.kind == "classification"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Numbers of samples and trainings, as JSON values."""
        return {
            "num_test_samples": len(self.task.test),
            "num_trainings": self.num_trainings,
            "gradient": asdict(self.gradient),
        }

    @property
    def _kernel(self) -> Kernel:
        """The backend."""
        return load_kernel(self.kernel_name)

    @cached_property
    def _test(self) -> Batches:
        """The test samples, laid out."""
        return Batches.lay_out(self.task.test.inputs, self.task.test.targets, batch_size=_BATCH_SIZE)

    @cached_property
    def _train(self) -> Batches:
        """The training samples, laid out."""
        return Batches.lay_out(self.task.train.inputs, self.task.train.targets, batch_size=_BATCH_SIZE)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile passes and training; see `Judge`."""
        prepare_compiled(self._kernel, say, loops=("shared_weight_scores", "train"))

    def measure(self, weights: NDArray[np.float32]) -> Values:
        """Return what sets of weights reach on the test samples; see `Judge`."""
        if weights.ndim == 1 and self.has_classes:
            losses, accuracies = self._shared(weights, self._test)
            return _columns({"reward": -losses, "accuracy": accuracies})
        each = (
            np.broadcast_to(weights[:, None], (len(weights), self.network.num_edges)) if weights.ndim == 1 else weights
        )
        kernel = self._kernel
        outputs = (kernel.outputs(self.network, np.array(one, np.float32), self._test) for one in each)
        scores = [score_outputs(self.task, one, self.task.test) for one in outputs]
        second = "accuracy" if self.has_classes else "rmse"
        return _columns({name: np.array([getattr(s, name) for s in scores], np.float64) for name in ("reward", second)})

    def survey(self, weights: NDArray[np.float32]) -> Values:
        """Return the same as `measure`."""
        return self.measure(weights)

    def score(self, shared_weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return accuracy on the training samples, then reward; for a regression reward alone. See `Judge`."""
        losses, accuracies = self._shared(shared_weights, self._train)
        losses = np.where(np.isfinite(losses), losses, np.nan)
        if not self.has_classes:
            return -losses
        # Between two accuracies lies at least one sample; squashed rewards lie within.
        return accuracies * len(self.task.train) - losses / (1.0 + losses)

    def tune(self, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the weights of several trainings from `start` on; see `Judge`."""
        trained = [
            tune_by_gradient(
                self.task,
                self.network,
                start,
                self.gradient,
                seed=self.seed,
                index=index,
                kernel=self._kernel,
                tell=self.tell,
            )
            for index in range(self.num_trainings)
        ]
        return np.array(trained, np.float32).reshape(-1, self.network.num_edges)

    def ensembles(self, shared_weights: NDArray[np.float32]) -> Mapping[str, Values]:
        """Return what several shared weights reach together on the test samples; see `Judge`.

        Parameters
        ----------
        shared_weights
            float32 [num_weights].

        Returns
        -------
        dict
            ``vote``: the class that most weights answer with, of equal ones that with the larger mean
            log-probability. ``log_probability``: the class with the largest mean, over weights, of the logarithm of
            its softmax; the reward is that of these means as logits. Weights under which an output is not finite have
            no say in either.
        """
        outputs = self._kernel.shared_weight_outputs(self.network, shared_weights, self._test)
        outputs = outputs[np.isfinite(outputs).all(axis=(1, 2))]
        means = mean_log_probabilities(outputs)
        targets = self.task.test.targets
        vote = float(np.mean(vote_of(outputs, means) == targets))
        together = score_outputs(self.task, means.astype(np.float32), Samples(self.task.test.inputs, targets))
        of_mean = {"accuracy": np.array([together.accuracy], np.float64)}
        if self.task.loss == "cross_entropy":
            of_mean = {"reward": np.array([together.reward]), **of_mean}
        return {"vote": _columns({"accuracy": np.array([vote])}), "log_probability": _columns(of_mean)}

    def _shared(
        self, weights: NDArray[np.float32], batches: Batches
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses and accuracies [num_weights] under shared weights."""
        return self._kernel.shared_weight_scores(self.network, weights, batches, Loss[self.task.loss.upper()])


def mean_log_probabilities(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean over weights of the log-softmax of outputs, float64 [num_outputs, num_samples].

    Parameters
    ----------
    outputs
        Finite logits, float32 [num_weights, num_outputs, num_samples].
    """
    from scipy.special import log_softmax

    means: NDArray[np.float64] = log_softmax(outputs.astype(np.float64), axis=1).sum(axis=0) / max(len(outputs), 1)
    return means


def vote_of(outputs: NDArray[np.float32], means: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the class that most weights answer with, int64 [num_samples]; of equal ones that with the larger mean.

    Parameters
    ----------
    outputs
        Logits, float32 [num_weights, num_outputs, num_samples].
    means
        See `mean_log_probabilities`.
    """
    answers = outputs.argmax(axis=1)
    votes = (answers[:, None, :] == np.arange(outputs.shape[1])[:, None]).sum(axis=0)
    tied = votes == votes.max(axis=0)
    chosen: NDArray[np.int64] = np.where(tied, means, -np.inf).argmax(axis=0)
    return chosen


def _columns(values: dict[str, NDArray[np.float64]]) -> Values:
    """Values of one trial each, [num_weights, 1]; where the reward is not finite, all are NaN."""
    reward = values.get("reward", np.zeros(1))
    return {name: np.where(np.isfinite(reward), one, np.nan)[:, None] for name, one in values.items()}
