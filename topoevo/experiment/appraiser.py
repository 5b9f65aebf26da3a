"""Evaluations of a run: made by workers, kept in a journal until their generation is done, and counted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from topoevo.evolution import Evaluation, Population
from topoevo.evolution.moments import Moments
from topoevo.evolution.racing import Saving
from topoevo.experiment.championship import CONFIRMING
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.episodes import EpisodesProblem
from topoevo.experiment.evaluators import DIVERGED
from topoevo.experiment.finishing import best_factors
from topoevo.experiment.interruption import StopRequest
from topoevo.experiment.journal import Journal, Place
from topoevo.experiment.params import Params
from topoevo.experiment.problem import Evaluator, Leg, Problem
from topoevo.experiment.race import Race, racing_of, saving_of
from topoevo.experiment.records import Failure, Observer, TaskScore
from topoevo.experiment.shared_data import TaskData
from topoevo.experiment.testing import score_in_workers
from topoevo.experiment.weight_agnostic import UNDEFINED
from topoevo.experiment.workers import Workers
from topoevo.genome import Genome
from topoevo.kernels import load_kernel
from topoevo.learning import LEARNING_RULES
from topoevo.seeds import Stream
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment
from topoevo.tasks.task import Task


class Appraiser:
    """Has individuals evaluated and champions scored.

    Parameters
    ----------
    params
        Settings.
    task
        Samples, or an environment.
    evaluator, problem
        What a worker does, and what all of a generation are compared on.
    observers
        Who is told of evaluations and failures.
    stop
        Asked while workers compute.
    checkpoint
        Where the run goes on; None stands for its beginning.
    folder
        Where journals are written; None writes none.

    Attributes
    ----------
    num_evaluations
        Individuals of all generations so far, and candidates for champion.
    sample_passes
        Samples that went through networks in learning so far; None where that is not counted.
    saving
        What racing has saved so far; None without racing.
    journal
        Of the generation under way.
    """

    def __init__(
        self,
        params: Params,
        task: Task | Environment,
        evaluator: Evaluator[Any],
        problem: Problem,
        *,
        observers: Sequence[Observer],
        stop: StopRequest,
        checkpoint: Checkpoint | None,
        folder: Path | None,
    ) -> None:
        self.num_evaluations = 0
        self.sample_passes = 0 if params.learns_from_samples else None
        self._racing = racing_of(params)
        self.saving = None if self._racing is None else Saving()
        self._started = time.perf_counter()
        if checkpoint is not None:
            self.num_evaluations = checkpoint.num_evaluations
            self.saving, self.sample_passes = checkpoint.saving, checkpoint.sample_passes
            self._started -= checkpoint.seconds
        self._params, self._task = params, task
        self._evaluator, self._problem = evaluator, problem
        self._observers, self._stop, self._folder = observers, stop, folder
        self._is_prepared = False
        self.open_journal(0 if checkpoint is None else checkpoint.population.generation, ())

    @property
    def seconds(self) -> float:
        """Duration of the run until now."""
        return time.perf_counter() - self._started

    def prepare(self) -> None:
        """Compile what is needed, once in this process, before several workers ask for it."""
        if not self._is_prepared:
            self._evaluator.prepare(self.say)
            self._is_prepared = True

    def open_journal(self, generation: int, genomes: Sequence[Genome]) -> None:
        """Go on with the journal of a generation, or of the end of a run; the time that it has seen counts.

        Parameters
        ----------
        generation
            The one that is not done yet.
        genomes
            Those that are evaluated.
        """
        self.journal = Journal(self._folder, generation, genomes, say=self.say)
        if self.journal.seconds:
            self._started = min(self._started, time.perf_counter() - self.journal.seconds)

    def evaluate(self, population: Population, workers: Workers) -> tuple[Population, Saving | None]:
        """Return a population with evaluations, and what racing has saved in it.

        Parameters
        ----------
        population
            Not evaluated.
        workers
            Pool that evaluates.
        """
        generation, total = population.generation, len(population.members)
        genomes = [member.genome for member in population.members]
        shared = self._problem.shared(Stream.SHARED, generation)
        self.open_journal(generation, genomes)
        known = self.journal.known_members(genomes)
        if known:
            self.say(f"{len(known)} of {total} evaluations of generation {generation} are done already")
        done = len(known)

        def on_result(index: int, evaluation: Evaluation) -> None:
            nonlocal done
            done += 1
            self.journal.add(Place(Stream.LEARNING, index), genomes[index], evaluation, seconds=self.seconds)
            # While workers compute the others; they all wait between two generations.
            genomes[index].prepare()
            for observer in self._observers:
                observer.on_evaluation(generation, done, total)

        try:
            evaluate = partial(
                workers.evaluate, self._evaluator, genomes, shared, generation=generation, on_wait=self._on_wait
            )
            legs = {
                index: Leg(shared.epochs.size, moments=member.moments)
                for index, member in enumerate(population.members)
                if member.moments is not None
            }
            if self._racing is None:
                evaluations = evaluate(known=known, legs=legs, on_result=on_result)
            else:
                race = Race(self._racing, generation, shared.num_steps, legs)
                evaluations = race.run(evaluate, known, on_result)
        finally:
            self.journal.save(now=bool(self._stop.reason))
        self.num_evaluations += total
        self._count_passes(evaluations)
        saving = None
        if self.saving is not None:
            saving = saving_of(self._params, generation, evaluations, num_steps=shared.num_steps)
            self.saving += saving
        members = tuple(
            member.evaluated(evaluation) for member, evaluation in zip(population.members, evaluations, strict=True)
        )
        for index, member in enumerate(members):
            if member.evaluation is not None and member.evaluation.failure:
                self.announce_failure(Failure(member, Stream.LEARNING, population.generation, index))
        return Population(population.generation, members), saving

    def _count_passes(self, evaluations: Iterable[Evaluation]) -> None:
        """Add the samples that evaluations have learned from to those of the run."""
        if self.sample_passes is not None:
            self.sample_passes += sum(one.sample_passes for one in evaluations)

    def confirm(
        self,
        workers: Workers,
        genome: Genome,
        shared: Any,
        *,
        generation: int,
        index: int,
        num_epochs: int = 0,
        moments: Moments | None = None,
        decay_factor: float = 1.0,
    ) -> Evaluation:
        """Return the evaluation of a candidate; see `topoevo.experiment.championship.Confirm` and `decay_factors`."""
        place = Place(Stream.CONFIRMATION, index, num_epochs, decay_factor)
        evaluation = self.journal.known(place, genome)
        if evaluation is None:
            evaluation = workers.evaluate_one(
                self._evaluator,
                genome,
                shared,
                stream=Stream.CONFIRMATION,
                generation=generation,
                index=index,
                leg=None
                if moments is None and decay_factor == 1.0
                else Leg(shared.epochs.size, moments=moments, decay_factor=decay_factor),
                on_wait=self._on_wait,
            )
            self.journal.add(place, genome, evaluation, seconds=self.seconds)
            self.journal.save(now=bool(self._stop.reason))
        self.num_evaluations += index == CONFIRMING
        self._count_passes([evaluation])
        return evaluation

    def decay_factors(self, genomes: Sequence[Genome], workers: Workers) -> list[float]:
        """Return the factor of the weight decay that each network has in its final training.

        Parameters
        ----------
        genomes
            The champion, and the networks of a front.
        workers
            Pool that trains.
        """
        params, data = self._params, self._problem
        factors = list(dict.fromkeys(params.final_decay_factors or (1.0,)))
        has_decay = params.weight_decay > 0.0 and LEARNING_RULES[params.learning_rule].follows_gradient
        if len(factors) == 1 or not has_decay or not isinstance(data, TaskData):
            return [factors[0] if has_decay else 1.0] * len(genomes)
        self.say(f"trying {len(factors)} weight decays for {more_epochs(params.final_epochs)} ...")
        generation, num_epochs = params.num_generations, params.final_epochs
        shared = replace(data, ends_with_all=False).shared(Stream.CONFIRMATION, generation, num_epochs=num_epochs)
        legs = [
            Leg(shared.epochs.size, decay_factor=factor, index=index)
            for factor in factors
            for index in range(len(genomes))
        ]
        evaluations = workers.evaluate(
            self._evaluator,
            [*genomes] * len(factors),
            shared,
            stream=Stream.FRONT,
            generation=generation,
            legs=dict(enumerate(legs)),
            on_wait=self._on_wait,
        )
        self._count_passes(evaluations)
        tried = {
            factor: evaluations[number * len(genomes) : (number + 1) * len(genomes)]
            for number, factor in enumerate(factors)
        }
        kernel = load_kernel(params.kernel_name)
        found = best_factors(genomes, tried, lambda genome: data.score("validation", genome, kernel).reward)
        names = ["champion", *(f"{genome.complexity.connections} connections" for genome in genomes[1:])]
        words = ["as it is, since all trials failed" if one is None else f"times {one:g}" for one in found]
        self.say(f"weight_decay: {', '.join(f'{name} {word}' for name, word in zip(names, words, strict=True))}")
        return [1.0 if one is None else one for one in found]

    def train_to_the_end(
        self, genomes: Sequence[Genome], workers: Workers, decay_factors: Sequence[float]
    ) -> list[Evaluation]:
        """Return evaluations of the networks of a front after their final training.

        Parameters
        ----------
        genomes
            One for each size.
        workers
            Pool that trains.
        decay_factors
            Of each genome; see `decay_factors`.
        """
        num_sizes = len(self._params.front_connections or ())
        what = "network of 1 size" if num_sizes == 1 else f"networks of {num_sizes} sizes"
        self.say(f"training the best {what} as long ...")
        generation, num_epochs = self._params.num_generations, self._params.final_epochs
        places = [Place(Stream.FRONT, index, num_epochs, factor) for index, factor in enumerate(decay_factors)]
        found = [self.journal.known(*pair) for pair in zip(places, genomes, strict=True)]
        shared = self._problem.shared(Stream.CONFIRMATION, generation, num_epochs=num_epochs)
        known = {index: one for index, one in enumerate(found) if one is not None}

        def on_result(index: int, evaluation: Evaluation) -> None:
            self.journal.add(places[index], genomes[index], evaluation, seconds=self.seconds)

        try:
            evaluations = workers.evaluate(
                self._evaluator,
                genomes,
                shared,
                stream=Stream.FRONT,
                generation=generation,
                known=known,
                legs={
                    index: Leg(shared.epochs.size, decay_factor=factor) for index, factor in enumerate(decay_factors)
                },
                on_result=on_result,
                on_wait=self._on_wait,
            )
        finally:
            self.journal.save(now=bool(self._stop.reason))
        self._count_passes(evaluations)
        return evaluations

    def score(self, workers: Workers, part: str, genome: Genome) -> TaskScore:
        """Return the score of a champion; code of others runs in workers, which it may end.

        Parameters
        ----------
        workers
            For such code.
        part
            ``train``, ``validation`` or ``test``.
        genome
            With weights.
        """
        if isinstance(self._task, GymnasiumEnvironment) and isinstance(self._problem, EpisodesProblem):
            return score_in_workers(self._problem, part, genome, workers, on_wait=self._on_wait, say=self.say)
        return self._problem.score(part, genome, load_kernel(self._params.kernel_name))

    def why_all_failed(self, population: Population) -> str:
        """Return the most frequent reason of a generation's failures, and what may help."""
        reasons = [member.evaluation.failure or "" for member in population.members if member.evaluation]
        last_lines = [reason.strip().splitlines()[-1] for reason in reasons if reason.strip()]
        reason = max(set(last_lines), key=last_lines.count)
        advice = f"; try {self._evaluator.remedy}" if reason in (DIVERGED, UNDEFINED) else ""
        return f"all {len(reasons)} individuals failed: {reason}{advice}"

    def _on_wait(self) -> None:
        """Save what is finished, and see whether the run was asked to stop."""
        self.journal.save(now=bool(self._stop.reason))
        self._stop.check()

    def announce_failure(self, failure: Failure) -> None:
        """Tell all observers about an evaluation that has failed."""
        for observer in self._observers:
            observer.on_failure(failure)

    def say(self, text: str) -> None:
        """Tell all observers one line."""
        for observer in self._observers:
            observer.on_message(text)


def more_epochs(number: int) -> str:
    """Return so many more epochs, in words."""
    return "one more epoch" if number == 1 else f"{number} more epochs"
