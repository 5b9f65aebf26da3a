"""A training that can stop anywhere and go on exactly, here or in another process, with pruning on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels import Batches
from topoevo.learning.base import Learner
from topoevo.learning.history import TrainingHistory
from topoevo.learning.pruning import Pruning, leave, prune


class Course:
    """One training from its first step to its last, in as many parts as one likes.

    Learning rates, pruning and averaging depend on the length of the whole training, so that its parts together have
    the bits of a training without pause.

    Parameters
    ----------
    learner
        Before its first step; with pruning its network and all that belongs to edges grow smaller.
    batches
        The training samples.
    epochs
        Order of the minibatches in every epoch, int32 [num_epochs, num_batches].
    pruning
        What goes when; None keeps all connections.
    """

    def __init__(
        self, learner: Learner, batches: Batches, epochs: NDArray[np.int32], pruning: Pruning | None = None
    ) -> None:
        self.learner = learner
        self._batches, self._order, self._steps_per_epoch = batches, epochs.ravel(), epochs.shape[1]
        # The learning rate falls over all parts together.
        learner.state.num_steps = learner.state.num_steps or len(self._order)
        self._pruning, self._whole = pruning, learner.network
        self._stages: list[tuple[int, int]] = []
        if pruning is not None:
            size = int(np.count_nonzero(~learner.network.from_bias))
            self._stages = pruning.schedule(size, len(self._order))
        self._scores = np.zeros((2, 0))

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return len(self._order)

    @property
    def num_done(self) -> int:
        """Steps that were taken, the one included in which it may have diverged."""
        return self._scores.shape[1]

    @property
    def num_samples(self) -> int:
        """Samples in the minibatches of all steps that were taken, each counted as often as it came."""
        return int(self._batches.sizes[self._order[: self.num_done]].sum())

    @property
    def history(self) -> TrainingHistory:
        """Scores until now; after a divergence those of all steps, NaN where none was taken."""
        scores = self._scores
        if np.isnan(scores[0]).any():
            scores = np.pad(scores, ((0, 0), (0, self.num_steps - self.num_done)), constant_values=np.nan)
        losses, accuracies = scores
        return TrainingHistory(
            losses, accuracies, self._batches.sizes[self._order[: len(losses)]], self._steps_per_epoch
        )

    def advance(self, stop: int) -> None:
        """Train until so many steps of all are taken; a training that has diverged goes no further."""
        if self.history.diverged:
            return
        due = [stage for stage in self._stages if self.num_done < stage[0] <= stop or stage[0] == self.num_done == 0]
        for place, num_connections in [*due, (stop, None)]:
            if place > self.num_done and not self._take(place):
                return
            if num_connections is not None:
                assert self._pruning is not None
                prune(self.learner, num_connections, self._pruning.saliency(self.learner))

    def _take(self, stop: int) -> bool:
        """Whether all steps up to one went well."""
        history = self.learner.train(self._batches, self._order[None, self.num_done : stop])
        num_taken = len(history.losses)
        if history.diverged:
            num_taken = int(np.flatnonzero(np.isnan(history.losses))[0]) + 1
        taken = np.stack([history.losses, history.accuracies])[:, :num_taken]
        self._scores = np.concatenate([self._scores, taken], axis=1)
        return not history.diverged

    def memory(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on, as arrays and JSON values."""
        return {**self.learner.memory(), "gene": self.learner.network.gene, "scores": self._scores}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Become as the course was whose `memory` is given; to be called before the first step.

        Parameters
        ----------
        memory
            Of the same training: same network, weights before it, samples and pruning.
        """
        kept = np.isin(self._whole.gene, memory["gene"])
        if not kept.all():
            leave(self.learner, *self._whole.part(kept))
        self.learner.recall(memory)
        self._scores = np.array(memory["scores"], np.float64)


def train_and_prune(learner: Learner, batches: Batches, epochs: NDArray[np.int32], pruning: Pruning) -> TrainingHistory:
    """Train without pause, and prune the learner's network on the way; see `Course`."""
    course = Course(learner, batches, epochs, pruning)
    course.advance(course.num_steps)
    return course.history
