"""Samples in the layout that kernels read, and what everyone in a generation is compared on."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution import Evaluation
from topoevo.experiment.params import Params
from topoevo.experiment.records import TaskScore
from topoevo.experiment.scoring import score_outputs
from topoevo.genome import Genome
from topoevo.kernels import Batches, Kernel
from topoevo.network import Network, compile_network
from topoevo.seeds import Stream, generator
from topoevo.tasks.task import Samples, Task

#: Samples that are scored or probed at once.
_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class SharedData:
    """What everyone in a generation is compared on.

    Samples are laid out as minibatches where they are used: to another process go the samples, which stay the same in
    all generations and are sent once, and their order.

    Parameters
    ----------
    samples
        Those that are learned from.
    order
        Which sample comes where, int32 [num_samples].
    batch_size
        Samples a minibatch.
    epochs
        Order of the minibatches in every epoch, int32 [num_epochs, num_batches].
    epochs_by_size
        The same for networks of each of several sizes, ascending; nothing if it is the same for all.
    probe
        Training samples that networks are looked at with after learning, int32 [num_probed].
    held_out
        Samples that are never learned from; None if there are none.
    num_parts
        Parts of the order, each an epoch's samples: a sample and its distorted copies are as many as there are parts.
    """

    samples: Samples
    order: NDArray[np.int32]
    batch_size: int
    epochs: NDArray[np.int32]
    probe: NDArray[np.int32]
    held_out: Samples | None = None
    num_parts: int = 1
    epochs_by_size: tuple[NDArray[np.int32], ...] = ()

    def epochs_of(self, place: int) -> NDArray[np.int32]:
        """Return the order of the minibatches for networks of one size, int32 [num_epochs, num_batches].

        Parameters
        ----------
        place
            Of the size among all, or any number where all have the same.
        """
        return self.epochs_by_size[place] if self.epochs_by_size else self.epochs

    @property
    def num_steps(self) -> tuple[int, ...]:
        """Steps of a whole training of networks of each size; one number where all have the same."""
        return tuple(one.size for one in self.epochs_by_size or (self.epochs,))

    @cached_property
    def batches(self) -> Batches:
        """The samples as minibatches."""
        samples = self.samples
        return Batches.lay_out(
            samples.inputs, samples.targets, batch_size=self.batch_size, order=self.order, num_parts=self.num_parts
        )

    @cached_property
    def probed(self) -> Batches:
        """The probed training samples."""
        return Batches.lay_out(self.samples.inputs, self.samples.targets, batch_size=_AT_ONCE, order=self.probe)

    @cached_property
    def held_out_batches(self) -> Batches:
        """The samples that are never learned from."""
        assert self.held_out is not None
        return Batches.lay_out(self.held_out.inputs, self.held_out.targets, batch_size=_AT_ONCE)

    def prepare(self) -> None:
        """Lay the samples out."""
        self.batches, self.probed  # noqa: B018 - cached
        if self.held_out is not None:
            self.held_out_batches  # noqa: B018 - cached

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedData, tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, eq=False)
class TaskData:
    """The samples of a task in the layout that kernels read; lives in the parent process.

    Parameters
    ----------
    task
        The samples.
    batch_size, num_epochs
        Of training; with several sizes of networks the epochs of the smallest ones.
    batch_size_eval
        Samples that are scored at once.
    seed
        The run's seed.
    shuffle
        Whether samples come in another order in every generation, and minibatches in every epoch.
    num_samples
        Training samples drawn for each generation; None stands for all.
    initial_epochs
        Of training in generation 0; None stands for `num_epochs`.
    rewards_held_out
        Whether the samples held out make rewards.
    ends_with_all
        Whether the final training has the samples held out, too.
    epochs_by_size
        Of networks of each of several sizes, ascending, in a generation after the first; nothing if all have the same.
    """

    task: Task
    batch_size: int
    num_epochs: int
    batch_size_eval: int
    seed: int
    shuffle: bool = True
    num_samples: int | None = None
    initial_epochs: int | None = None
    rewards_held_out: bool = False
    ends_with_all: bool = False
    epochs_by_size: tuple[int, ...] = ()
    _laid_out: dict[str, Batches] = field(default_factory=dict, init=False)

    @staticmethod
    def from_params(params: Params, task: Task) -> TaskData:
        """Return the data that the settings describe."""
        return TaskData(
            task,
            params.batch_size,
            params.epochs_of_children,
            params.batch_size_eval,
            params.seed,
            params.shuffle,
            params.num_samples,
            params.initial_epochs if params.initial_epochs is not None else params.num_epochs,
            params.rewards_held_out,
            params.final_samples == "all",
            tuple(map(params.epochs_for, params.front_connections or ())),
        )

    def shared(self, stream: Stream, generation: int, *, num_epochs: int | None = None) -> SharedData:
        """Return the minibatches of one generation, drawn at the address (stream, generation).

        Which samples make a minibatch changes from generation to generation; their order from epoch to epoch. Distorted
        copies make no epoch longer: each epoch has its part of them.

        Parameters
        ----------
        stream
            ``SHARED`` for a generation, ``CONFIRMATION`` for a champion candidate.
        generation
            Number of the generation.
        num_epochs
            Of the final training, over all training samples, and those held out if they belong to it; None stands for
            the epochs and samples that the settings have for a generation.
        """
        rng = generator(self.seed, stream, generation)
        samples = self.task.learned if num_epochs is None or not self.ends_with_all else self._all_but_test
        num_parts = 1 + self.task.num_copies
        in_part = len(samples) // num_parts
        order = np.arange(len(samples), dtype=np.int32)
        num_samples = None
        by_size: tuple[int, ...] = ()
        if num_epochs is None:
            num_epochs, num_samples, by_size = self.num_epochs, self.num_samples, self.epochs_by_size
            if generation == 0 and self.initial_epochs is not None:
                num_epochs, by_size = self.initial_epochs, ()
        if self.shuffle:
            order = rng.permutation(order)
        elif num_samples is not None:
            # Those copies come first that the generation before has not come to.
            order = np.roll(order, -in_part * (generation % num_parts))
        if num_samples is not None:
            order, num_parts = order[:num_samples], 1
        num_batches = -(-(len(order) // num_parts) // self.batch_size)
        epochs = np.tile(np.arange(num_batches, dtype=np.int32), (num_epochs, 1))
        if self.shuffle:
            epochs = rng.permuted(epochs, axis=1)

        def first(number: int) -> NDArray[np.int32]:
            """So many epochs, each with its part of the samples; without shuffling they go on where the last ended."""
            before = 0 if self.shuffle else generation * number % num_parts
            parts = np.arange(before, before + number, dtype=np.int32) % num_parts
            return np.add(epochs[:number], (parts * num_batches)[:, None], dtype=np.int32)

        held_out = self.task.validation if self.rewards_held_out else None
        found = tuple(first(number) for number in by_size) if set(by_size) - {num_epochs} else ()
        return SharedData(samples, order, self.batch_size, first(num_epochs), self._probe, held_out, num_parts, found)

    @cached_property
    def _all_but_test(self) -> Samples:
        """What is learned from, and what is held out as often as each of these has versions."""
        learned, validation = self.task.learned, self.task.validation
        if validation is None:
            return learned
        number = len(self.task.train)
        versions = [slice(start, start + number) for start in range(0, len(learned), number)]
        return Samples(
            np.concatenate([part for rows in versions for part in (learned.inputs[rows], validation.inputs)]),
            np.concatenate([part for rows in versions for part in (learned.targets[rows], validation.targets)]),
        )

    @cached_property
    def _probe(self) -> NDArray[np.int32]:
        """As many of those learned from as there are held out, and at least those that are probed at once."""
        size = max(_AT_ONCE, 0 if self.task.validation is None else len(self.task.validation))
        order = generator(self.seed, Stream.PROBE).permutation(len(self.task.learned))
        return order[:size].astype(np.int32)

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
