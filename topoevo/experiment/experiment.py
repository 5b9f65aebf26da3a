"""The loop: evaluate, rank, confirm a champion, reproduce, announce."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from topoevo.errors import CheckpointError
from topoevo.evolution import Evaluation
from topoevo.evolution.racing import ranking_by_progress
from topoevo.experiment.appraiser import Appraiser, more_epochs
from topoevo.experiment.archive import state_files
from topoevo.experiment.breeding import Breeding
from topoevo.experiment.championship import Championship
from topoevo.experiment.checkpoint import PREFIX, Checkpoint
from topoevo.experiment.data import check_origin, check_task, origin_of
from topoevo.experiment.evolving import first_generation, objectives_of, reproduction_of
from topoevo.experiment.founder import Founder
from topoevo.experiment.front import Front, FrontKeeper
from topoevo.experiment.idle import epochs_of_sizes, shared_copies, skipped_operators
from topoevo.experiment.interruption import Interrupted, StopRequest
from topoevo.experiment.journal import delete_journals
from topoevo.experiment.judging import judging_of
from topoevo.experiment.learning_settings import excessive_decay
from topoevo.experiment.params import Params
from topoevo.experiment.records import (
    Champion,
    GenerationRecord,
    Observer,
    Outcome,
    announce_end,
)
from topoevo.experiment.workers import Workers
from topoevo.genome import Genome, InnovationTracker
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment
from topoevo.tasks.task import Task


class Experiment:
    """One run of evolution, from its settings to its champion.

    Parameters
    ----------
    params
        Settings.
    task
        Samples, or an environment.
    founder
        Individual 0 of generation 0, whose mutated copies the others are; None stands for random networks.
    observers
        Who is told what happens.
    checkpoint
        Where to go on; None starts anew.
    checkpoint_folder
        Where checkpoints are written; None writes none.
    """

    def __init__(
        self,
        params: Params,
        task: Task | Environment,
        *,
        founder: Founder | None = None,
        observers: Iterable[Observer] = (),
        checkpoint: Checkpoint | None = None,
        checkpoint_folder: Path | None = None,
    ) -> None:
        check_task(params, task)
        self._origin = origin_of(params, task)
        if checkpoint is not None:
            check_origin(checkpoint.origin, self._origin)
        self.params = params
        self.task = task
        self.observers = tuple(observers)
        self.num_done = 0 if checkpoint is None else checkpoint.population.generation
        self.founder = "" if founder is None else founder.words
        self._checkpoint_folder = checkpoint_folder
        self._evaluator, self._problem = judging_of(params, task)
        if checkpoint is not None and checkpoint.founder is not None:
            founder = Founder.of("the first network", checkpoint.founder)
        self._founder = founder
        reproduction = reproduction_of(params, task, founder)
        self._breeding = Breeding(params, reproduction, {} if checkpoint is None else checkpoint.standings)
        self._stop = StopRequest()
        self._appraiser = Appraiser(
            params,
            task,
            self._evaluator,
            self._problem,
            observers=self.observers,
            stop=self._stop,
            checkpoint=checkpoint,
            folder=checkpoint_folder,
        )
        self._digest = "" if checkpoint is None else checkpoint.digest
        self._championship = Championship(
            params,
            self._problem,
            champion=None if checkpoint is None else checkpoint.champion,
            confirmed=frozenset() if checkpoint is None else checkpoint.confirmed,
            passed_on=reproduction.passed_on,
            announce=self._announce_champion,
            announce_failure=self._appraiser.announce_failure,
        )
        front = None if checkpoint is None else checkpoint.front
        self._front_keeper = FrontKeeper.from_params(params, task, self._problem, front)
        if checkpoint is None:
            self._tracker, self._next = first_generation(params, reproduction, founder)
        else:
            self._tracker, self._next = checkpoint.tracker, checkpoint.population
        #: The state after the last finished generation, and whether it is on the disk; two threads may want to save it.
        self._state = self._present_state() if checkpoint is None else checkpoint
        self._is_saved = checkpoint is not None
        self._saving = threading.Lock()

    @property
    def genomes(self) -> tuple[Genome, ...]:
        """Those of the generation that comes next."""
        return tuple(member.genome for member in self._next.members)

    def stop(self, reason: str) -> None:
        """Ask the run to stop soon; safe to call from a signal handler or another thread.

        Evaluations under way get two seconds to finish. They and those that are finished count when the run goes on.

        Parameters
        ----------
        reason
            What happened, in a few words.
        """
        self._stop.reason = reason

    def leave(self, reason: str) -> None:
        """Save the last finished generation and say that the run was interrupted, while its own thread may be stuck.

        To be called from another thread, before the program ends at once.

        Parameters
        ----------
        reason
            What happened, in a few words.
        """
        with contextlib.suppress(CheckpointError):
            self._write_checkpoint()
        outcome = self._outcome("interrupted", reason)
        for observer in self.observers:
            observer.on_leave(outcome)

    def step(self, workers: Workers) -> GenerationRecord:
        """Return the record of one more generation.

        Parameters
        ----------
        workers
            Pool that evaluates.
        """
        self._appraiser.prepare()
        started = time.perf_counter()
        before = self._next
        population, saving = self._appraiser.evaluate(before, workers)
        evaluated = time.perf_counter()
        objectives = objectives_of(self.params, population.generation)
        order = ranking_by_progress(population, population.objectives(*objectives), crowding=self.params.crowding)
        ranked = time.perf_counter()
        reigning = self._championship.champion
        self._championship.hold(population, partial(self._appraiser.confirm, workers))
        if self._front_keeper is not None:
            self._front_keeper.hold(population)
        confirmed = time.perf_counter()
        credits = self._breeding.learn(population)
        self._next = self._breeding.reproduction.next_generation(
            population,
            order,
            tracker=self._tracker,
            seed=self.params.seed,
            next_id=self.params.population_size + self._num_children * population.generation,
        )
        self._digest = population.digest
        done = time.perf_counter()
        return GenerationRecord(
            population=population,
            order=order,
            objectives=objectives,
            champion=self._championship.champion,
            crowned=self._championship.champion is not reigning,
            num_failures=sum(
                member.evaluation is None or bool(member.evaluation.failure) for member in population.members
            ),
            num_evaluations=self._appraiser.num_evaluations,
            digest=self._digest,
            seconds={
                "evaluation": evaluated - started,
                "ranking": ranked - evaluated,
                "confirmation": confirmed - ranked,
                "reproduction": done - confirmed,
                "complete": done - started,
            },
            front=self._front,
            credits=credits,
            probabilities=self._breeding.probabilities,
            saving=saving,
            before=before,
            sample_passes=self._appraiser.sample_passes,
        )

    def run(self) -> Outcome:
        """Return how the run ended, after all generations that the settings ask for."""
        outcome: Outcome | None = None
        error: Exception | None = None
        try:
            for observer in self.observers:
                observer.on_start(self)
            self._write_checkpoint()
            for tell in (skipped_operators, epochs_of_sizes, shared_copies):
                for words in tell(self.params):
                    self._appraiser.say(words)
            if isinstance(self.task, Task):
                count, size = len(self.task.train), self.params.largest_size
                for words in excessive_decay(self.params, num_samples=count, num_connections=size):
                    self._appraiser.say(words)
            self._appraiser.prepare()
            self._stop.check()
            with Workers.from_params(self.params, self._appraiser.say) as workers:
                outcome = self._evolved(workers)
        except Interrupted as interruption:
            outcome = self._outcome("interrupted", str(interruption))
        except CheckpointError as problem:
            outcome, error = self._outcome("failed", str(problem)), problem
        except Exception as unexpected:  # Told to the observers, so that files say how the run ended; raised below.
            outcome, error = self._outcome("failed", f"{type(unexpected).__name__}: {unexpected}"), unexpected
            self._appraiser.journal.save(now=True)
        try:
            self._write_checkpoint()
        except CheckpointError as problem:
            if error is None:
                outcome, error = self._outcome("failed", str(problem)), problem
        problem_at_end = announce_end(self.observers, outcome)
        error = error or problem_at_end
        if error is not None:
            raise error
        if outcome.status == "finished" and self._checkpoint_folder is not None:
            delete_journals(self._checkpoint_folder)
        return outcome

    def _evolved(self, workers: Workers) -> Outcome:
        """How the run ended, unless it was interrupted."""
        while self._next.generation < self.params.num_generations:
            record = self.step(workers)
            if record.num_failures == len(record.population.members):
                for observer in self.observers:
                    observer.on_generation(record)
                # It is the same again when the run goes on, unless something outside it has changed.
                self._appraiser.journal.delete()
                return replace(
                    self._outcome("failed", self._appraiser.why_all_failed(record.population)),
                    generations=record.generation + 1,
                    evaluations=record.num_evaluations,
                    digest=record.digest,
                    repeats=True,
                    sample_passes=record.sample_passes,
                )
            self._finish_generation(record, workers)
            self._stop.check()
        self._finish_champion(workers)
        return replace(
            self._outcome("finished"),
            champion=self._championship.champion,
            front=self._front,
            sample_passes=self._appraiser.sample_passes,
        )

    def _outcome(self, status: str, reason: str = "") -> Outcome:
        """How the run ended: with the last finished generation."""
        return Outcome(
            status,
            reason,
            self._state.population.generation,
            self._state.num_evaluations,
            self._appraiser.seconds,
            self._state.digest,
            self._state.champion,
            front=self._state.front,
            standings=self._state.standings,
            saving=self._state.saving,
            sample_passes=self._state.sample_passes,
        )

    # -- parts of a generation ----------------------------------------------------------------------------------

    @property
    def _num_children(self) -> int:
        """Individuals born in every generation but the first."""
        return self.params.population_size - self.params.islands.total_elites

    @property
    def _front(self) -> Front | None:
        """The best network of each size, if there are several sizes."""
        return None if self._front_keeper is None else self._front_keeper.front

    def _finish_generation(self, record: GenerationRecord, workers: Workers) -> None:
        """Test the champion if it is time, save, announce."""
        generation = record.generation
        if self.params.test_every and generation % self.params.test_every == 0:
            self._championship.test(partial(self._appraiser.score, workers))
            record = replace(record, champion=self._championship.champion)
        for observer in self.observers:
            observer.on_generation(record)
        self._appraiser.journal.close()
        with self._saving:
            self._state, self._is_saved = self._present_state(), False
        if (generation + 1) % self.params.checkpoint_every == 0:
            self._write_checkpoint()

    def _present_state(self) -> Checkpoint:
        """What the next generation depends on."""
        return Checkpoint(
            self._next,
            InnovationTracker(self._tracker.next_node, self._tracker.next_innovation),
            self._championship.champion,
            self._championship.confirmed,
            self._appraiser.num_evaluations,
            self._appraiser.seconds,
            self._digest,
            self._origin,
            self._founder.genome if self._founder is not None and self.params.num_newcomers else None,
            self._front,
            self._breeding.standings,
            self._appraiser.saving,
            self._appraiser.sample_passes,
        )

    def _write_checkpoint(self) -> None:
        """Save the state after the last finished generation, unless that was done."""
        folder = self._checkpoint_folder
        with self._saving:
            if folder is None or self._is_saved:
                return
            for observer in self.observers:
                observer.on_checkpoint()
            self._state.write(folder, kept=self.params.keep_checkpoints)
            self._is_saved = True
        # Where the newest checkpoint is damaged, the one before it leads to a generation that is journaled still.
        for oldest in state_files(folder, PREFIX)[:1]:
            delete_journals(folder, before=int(oldest.stem.removeprefix(f"{PREFIX}-")))

    def _finish_champion(self, workers: Workers) -> None:
        """Train the champion to the end, if asked for, and test it."""
        champion, score = self._championship.champion, partial(self._appraiser.score, workers)
        if champion is not None and self.params.final_epochs:
            # Where checkpoints are rare, as many generations would be lost if the final training were cut off.
            self._write_checkpoint()
            others = () if self._front_keeper is None else self._front_keeper.genomes
            genomes = [champion.individual.genome, *others]
            self._appraiser.open_journal(self._next.generation, genomes)
            factor, *factors = self._appraiser.decay_factors(genomes, workers)
            what = " with the validation samples, too" if self.params.final_samples == "all" else ""
            self._appraiser.say(f"training the champion for {more_epochs(self.params.final_epochs)}{what} ...")
            confirm = partial(self._appraiser.confirm, workers)
            again = self._championship.train_to_the_end(confirm, score, decay_factor=factor)
            self._say_if_failed("the champion", again)
            if self._front_keeper is not None:
                evaluations = self._appraiser.train_to_the_end(others, workers, factors)
                for genome, evaluation in zip(others, evaluations, strict=True):
                    self._say_if_failed(f"the network with {genome.complexity.connections} connections", evaluation)
                with_all = self.params.final_samples == "all"
                self._front_keeper.finish(evaluations, score, decay_factors=factors, with_all=with_all)
            self._appraiser.journal.close()
        if champion is not None and champion.test is None and isinstance(self.task, GymnasiumEnvironment):
            # These episodes take long, and nothing else is seen of them.
            self._appraiser.say(f"testing the champion in {self.params.num_test_trials} episodes with every weight ...")
        self._championship.test(score)
        if self._front_keeper is not None:
            self._front_keeper.test(score)

    def _say_if_failed(self, name: str, evaluation: Evaluation | None) -> None:
        """Tell of a final training that has led to nothing."""
        if evaluation is not None and evaluation.weights is None:
            reason = (evaluation.failure or "").strip().splitlines()[-1:]
            why = "".join(f" ({line})" for line in reason)
            self._appraiser.say(f"warning: the final training of {name} has failed{why}; it keeps the weights it had")

    def _announce_champion(self, champion: Champion) -> None:
        """Tell all observers about the champion."""
        for observer in self.observers:
            observer.on_champion(champion)
