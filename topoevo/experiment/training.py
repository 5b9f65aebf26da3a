"""Training without evolution: one network, epoch by epoch."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import CheckpointError
from topoevo.evolution import Individual
from topoevo.evolution.reproduction import initial_population
from topoevo.experiment.data import check_origin, check_task, origin_of
from topoevo.experiment.evaluators import DIVERGED, DatasetEvaluator, learned_weights
from topoevo.experiment.founder import Founder, random_networks
from topoevo.experiment.interruption import Interrupted, StopRequest
from topoevo.experiment.learning_settings import excessive_decay
from topoevo.experiment.params import Params
from topoevo.experiment.preparation import prepare_compiled
from topoevo.experiment.records import Champion, EpochRecord, Observer, Outcome, TaskScore, announce_end
from topoevo.experiment.shared_data import SharedData, TaskData
from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.genome import Genome, InnovationTracker
from topoevo.kernels import Batches
from topoevo.learning import TrainingHistory
from topoevo.network import compile_network
from topoevo.seeds import Stream, generator
from topoevo.tasks.task import Task

#: An epoch is trained in this many portions, to look for signals and to show progress in between.
_PORTIONS_AN_EPOCH = 10
#: Epochs that share their minibatches, in another order each. To lay samples out anew takes longer than to train a
#: small network on them, and once in ten epochs is as good: docs/training.md.
_EPOCHS_A_LAYOUT = 10


class DivergedError(Exception):
    """The loss is not finite any more."""


class Training:
    """One run without evolution, from its settings to a trained network.

    Parameters
    ----------
    params
        Settings; `Params.evolves` is false.
    task
        Samples.
    founder
        The network to train; None stands for the first random one of evolution with the same settings.
    observers
        Who is told what happens.
    checkpoint
        Where to go on; None starts anew.
    checkpoint_folder
        Where checkpoints are written; None writes none.

    Notes
    -----
    Minibatches come in a new order in every epoch, and are made of other samples in every tenth one, with random
    numbers of their own address. The weights of the last epoch are the result: nothing is chosen, so that test scores
    stay honest.
    """

    def __init__(
        self,
        params: Params,
        task: Task,
        *,
        founder: Founder | None = None,
        observers: Iterable[Observer] = (),
        checkpoint: TrainingCheckpoint | None = None,
        checkpoint_folder: Path | None = None,
    ) -> None:
        check_task(params, task)
        self._origin = origin_of(params, task)
        if checkpoint is not None:
            check_origin(checkpoint.origin, self._origin)
        self.params = params
        self.task = task
        self.observers = tuple(observers)
        self.num_done = 0 if checkpoint is None else checkpoint.epoch
        self._checkpoint_folder = checkpoint_folder
        self._started = time.perf_counter() - (0.0 if checkpoint is None else checkpoint.seconds)
        self._stop = StopRequest()
        evaluator = DatasetEvaluator.from_params(params, task)
        self._kernel = evaluator.kernel
        self._data = TaskData(
            task, params.batch_size, _EPOCHS_A_LAYOUT, params.batch_size_eval, params.seed, params.shuffle
        )
        self._layout: tuple[int, SharedData] | None = None
        self._loop, self._is_prepared = evaluator.rule.loop, False
        self._passes_an_epoch = len(task.train) * evaluator.rule.passes_a_step
        if checkpoint is not None:
            founder = Founder.of("the network", checkpoint.genome)
        elif founder is None:
            founder = Founder.of("a random network", _random_genome(params, task))
        self.founder = founder.words
        self._genome = founder.genome
        self._network = compile_network(self._genome)
        num_steps = params.num_epochs * -(-len(task.train) // params.batch_size)
        self._learner = evaluator.start(self._network, generator(params.seed, Stream.LEARNING), num_steps)
        if checkpoint is not None:
            self._learner.recall({**checkpoint.memory, "num_steps": num_steps})
        #: The state after the last finished epoch, and whether it is on the disk; two threads may want to save it.
        self._state = checkpoint or TrainingCheckpoint(
            self._genome, self._learner.memory(), 0, time.perf_counter() - self._started, "", self._origin
        )
        self._is_saved = checkpoint is not None
        self._saving = threading.Lock()

    @property
    def genomes(self) -> tuple[Genome, ...]:
        """That of the one network."""
        return (self._genome,)

    def stop(self, reason: str) -> None:
        """Ask the run to stop soon; safe to call from a signal handler. What is done of the present epoch is given up.

        Parameters
        ----------
        reason
            What happened, in a few words.
        """
        self._stop.reason = reason

    def leave(self, reason: str) -> None:
        """Save the last finished epoch and say that the run was interrupted, while its own thread may be stuck.

        To be called from another thread, before the program ends at once.

        Parameters
        ----------
        reason
            What happened, in a few words.
        """
        with contextlib.suppress(CheckpointError):
            self._write_checkpoint()
        # To score the network takes too long, and its learner may be at work.
        outcome = self._outcome("interrupted", reason, None)
        for observer in self.observers:
            observer.on_leave(outcome)

    def step(self, epoch: int) -> EpochRecord:
        """Return the record of one more epoch.

        Parameters
        ----------
        epoch
            Epochs that are finished.
        """
        self._prepare()
        started = time.perf_counter()
        history = self._train(epoch)
        trained = time.perf_counter()
        validation = self._score("validation") if self._data.has_validation else None
        test = self._score("test")
        scored = time.perf_counter()
        loss, accuracy = history.mean("integral")
        memory = self._learner.memory()
        digest = self._learned(memory["weights"]).digest
        done = time.perf_counter()
        state = TrainingCheckpoint(self._genome, memory, epoch + 1, done - self._started, digest, self._origin)
        with self._saving:
            self._state, self._is_saved = state, False
        return EpochRecord(
            epoch=epoch + 1,
            loss=loss,
            accuracy=None if math.isnan(accuracy) else accuracy,
            acceptance=None if history.acceptances is None else float(np.mean(history.acceptances)),
            validation=validation,
            test=test,
            digest=digest,
            seconds={"training": trained - started, "scoring": scored - trained, "complete": done - started},
        )

    def run(self) -> Outcome:
        """Return how the run ended, after all epochs that the settings ask for."""
        status, reason, repeats = "finished", "", False
        error: Exception | None = None
        try:
            for observer in self.observers:
                observer.on_start(self)
            self._write_checkpoint()
            for words in excessive_decay(
                self.params,
                num_samples=len(self.task.train),
                num_connections=self._genome.complexity.connections,
            ):
                self._say(words)
            self._prepare()
            for epoch in range(self.num_done, self.params.num_epochs):
                record = self.step(epoch)
                for observer in self.observers:
                    observer.on_epoch(record)
                if record.epoch % self.params.checkpoint_every == 0:
                    self._write_checkpoint()
                self._stop.check()
        except Interrupted as interruption:
            status, reason = "interrupted", str(interruption)
        except DivergedError as diverged:
            status, reason, repeats = "failed", str(diverged), True
        except CheckpointError as problem:
            status, reason, error = "failed", str(problem), problem
        except Exception as unexpected:  # Told to the observers, so that files say how the run ended; raised below.
            status, reason, error = "failed", f"{type(unexpected).__name__}: {unexpected}", unexpected
        try:
            self._write_checkpoint()
        except CheckpointError as problem:
            if error is None:
                status, reason, error = "failed", str(problem), problem
        outcome = self._outcome(status, reason, self._champion(), repeats=repeats)
        problem_at_end = announce_end(self.observers, outcome)
        error = error or problem_at_end
        if error is not None:
            raise error
        return outcome

    def _outcome(self, status: str, reason: str, champion: Champion | None, *, repeats: bool = False) -> Outcome:
        """How the run ended: with the last finished epoch."""
        return Outcome(
            status=status,
            reason=reason,
            generations=0,
            evaluations=0,
            seconds=time.perf_counter() - self._started,
            digest=self._state.digest,
            champion=champion,
            epochs=self._state.epoch,
            repeats=repeats,
            sample_passes=self._state.epoch * self._passes_an_epoch,
        )

    def _prepare(self) -> None:
        """Compile what is needed."""
        if not self._is_prepared:
            prepare_compiled(self._kernel, self._say, loops=(self._loop,))
            self._is_prepared = True

    # -- parts of an epoch --------------------------------------------------------------------------------------

    def _train(self, epoch: int) -> TrainingHistory:
        """Let the learner see every sample once, or one of its distorted copies."""
        batches, order = self._minibatches(epoch)
        num_batches = order.shape[1]
        parts = []
        done = 0
        for portion in np.array_split(order, min(_PORTIONS_AN_EPOCH, num_batches), axis=1):
            self._stop.check()
            parts.append(self._learner.train(batches, portion))
            if parts[-1].diverged or not np.isfinite(self._learner.weights).all():
                raise DivergedError(f"{DIVERGED} in epoch {epoch + 1}; try {self._learner.rule.remedy}")
            done += portion.shape[1]
            for observer in self.observers:
                observer.on_step(epoch, done, num_batches)
        return _joined(parts, num_batches)

    def _minibatches(self, epoch: int) -> tuple[Batches, NDArray[np.int32]]:
        """The training samples as minibatches, and their order in one epoch, [1, num_batches]."""
        number, row = divmod(epoch, _EPOCHS_A_LAYOUT)
        if self._layout is None or self._layout[0] != number:
            self._layout = None  # Two at once would take twice the memory.
            self._layout = (number, self._data.shared(Stream.SHARED, number))
        shared = self._layout[1]
        return shared.batches, shared.epochs[row : row + 1]

    def _score(self, part: str) -> TaskScore:
        """Score of the learner's weights on one part of the data."""
        return self._data.score_network(part, self._network, self._learner.weights, self._kernel)

    def _learned(self, weights: NDArray[np.float32]) -> Genome:
        """The genome with the weight of each edge."""
        return self._genome.with_weights(learned_weights(self._genome, self._network, weights))

    def _champion(self) -> Champion | None:
        """The network after the last finished epoch, with its scores."""
        if self._state.epoch == 0:
            return None
        self._learner.recall(self._state.memory)
        individual = Individual(0, (), 0, (), self._learned(self._learner.weights))
        validation = self._score("validation") if self._data.has_validation else None
        return Champion(individual, None, self._score("train"), validation, self._score("test"))

    def _write_checkpoint(self) -> None:
        """Save the state after the last finished epoch, unless that was done."""
        with self._saving:
            if self._checkpoint_folder is None or self._is_saved:
                return
            for observer in self.observers:
                observer.on_checkpoint()
            self._state.write(self._checkpoint_folder, kept=self.params.keep_checkpoints)
            self._is_saved = True

    def _say(self, text: str) -> None:
        """Tell all observers one line."""
        for observer in self.observers:
            observer.on_message(text)


def _random_genome(params: Params, task: Task) -> Genome:
    """The first individual of generation 0, whatever the size of the population."""
    networks = random_networks(params, task.num_inputs, task.num_outputs)
    return initial_population(1, networks, tracker=InnovationTracker(), seed=params.seed).members[0].genome


def _joined(parts: Sequence[TrainingHistory], num_steps: int) -> TrainingHistory:
    """Histories of consecutive portions as one."""
    acceptances = [part.acceptances for part in parts if part.acceptances is not None]
    return TrainingHistory(
        np.concatenate([part.losses for part in parts]),
        np.concatenate([part.accuracies for part in parts]),
        np.concatenate([part.sizes for part in parts]),
        num_steps,
        np.concatenate(acceptances) if acceptances else None,
    )
