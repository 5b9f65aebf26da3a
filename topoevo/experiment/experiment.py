"""The loop: evaluate, rank, confirm a champion, reproduce, announce."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from topoevo.errors import CheckpointError
from topoevo.evolution import Evaluation, Individual, Population
from topoevo.evolution.descent import population_of, tracker_after
from topoevo.evolution.newcomers import MutatedCopies, Newcomers
from topoevo.evolution.reproduction import Reproduction, fraction_of, initial_population
from topoevo.evolution.selection import ranking
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import check_origin, check_task, origin_of
from topoevo.experiment.evaluators import DIVERGED
from topoevo.experiment.founder import Founder, random_networks
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import Params
from topoevo.experiment.records import Champion, Failure, GenerationRecord, Observer, Outcome, TaskScore, announce_end
from topoevo.experiment.weight_agnostic import UNDEFINED
from topoevo.experiment.workers import Workers
from topoevo.genome import Genome, InnovationTracker
from topoevo.kernels import Kernel, load_kernel
from topoevo.learning import LEARNING_RULES
from topoevo.seeds import Stream, generator
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment
from topoevo.tasks.task import Task
from topoevo.variation import MUTATIONS

#: Addresses within the stream of confirmations; 0 is that of the minibatches.
_CONFIRMING, _FINAL = 1, 2


class Interrupted(BaseException):
    """The user or the system has asked the run to stop; raised between two evaluations, never inside one.

    Parameters
    ----------
    reason
        What happened, in a few words.
    """


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
        operators = {name: MUTATIONS[name] for name in params.mutation_probabilities()}
        mutations = {name: operator(**params.options_of(operator)) for name, operator in operators.items()}
        probabilities = {mutations[name]: p for name, p in params.mutation_probabilities().items()}
        self._newcomers: Newcomers = (
            random_networks(params, task.num_inputs, task.num_outputs)
            if founder is None
            else MutatedCopies(founder.genome, probabilities)
        )
        self._reproduction = Reproduction(
            mutations=probabilities,
            cull_ratio=params.cull_ratio,
            elite_ratio=params.elite_ratio,
            tournament_size=params.tournament_size,
            num_mutations=params.num_mutations_per_generation,
            inherit_weights=params.inherit_weights,
            newcomers=self._newcomers,
            num_newcomers=params.num_newcomers,
        )
        self._started = time.perf_counter()
        # Once in this process, before several workers ask for it.
        self._evaluator.prepare(self._say)
        self._stop_reason = ""
        self._resumable: Checkpoint | None = None
        self._champion: Champion | None = None
        self._confirmed: frozenset[str] = frozenset()
        self._num_evaluations = 0
        self._digest = ""
        if checkpoint is not None:
            self._tracker = checkpoint.tracker
            self._champion = checkpoint.champion
            self._confirmed = checkpoint.confirmed
            self._num_evaluations = checkpoint.num_evaluations
            self._digest = checkpoint.digest
            self._next = checkpoint.population
            self._started -= checkpoint.seconds
        elif founder is not None:
            self._tracker = tracker_after(founder.genome)
            self._next = population_of(
                founder.genome,
                params.population_size,
                mutations=self._reproduction.mutations,
                tracker=self._tracker,
                seed=params.seed,
            )
        else:
            self._tracker = InnovationTracker()
            self._next = initial_population(
                params.population_size, self._newcomers, tracker=self._tracker, seed=params.seed
            )

    @property
    def kernel(self) -> Kernel:
        """The backend."""
        return load_kernel(self.params.kernel_name)

    @property
    def genomes(self) -> tuple[Genome, ...]:
        """Those of the generation that comes next."""
        return tuple(member.genome for member in self._next.members)

    def stop(self, reason: str) -> None:
        """Ask the run to stop as soon as the evaluations under way are done; safe to call from a signal handler.

        What is finished of the present generation is given up, so that the run goes on exactly where it can.

        Parameters
        ----------
        reason
            What happened, in a few words.
        """
        self._stop_reason = reason

    def step(self, workers: Workers) -> GenerationRecord:
        """Return the record of one more generation.

        Parameters
        ----------
        workers
            Pool that evaluates.
        """
        started = time.perf_counter()
        population = self._evaluate(self._next, workers)
        evaluated = time.perf_counter()
        objectives = self._objectives(population.generation)
        order = ranking(population.objectives(*objectives), crowding=self.params.crowding)
        ranked = time.perf_counter()
        before = self._champion
        self._crown(population)
        confirmed = time.perf_counter()
        self._next = self._reproduction.next_generation(
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
            champion=self._champion,
            crowned=self._champion is not before,
            num_failures=sum(
                member.evaluation is None or bool(member.evaluation.failure) for member in population.members
            ),
            num_evaluations=self._num_evaluations,
            digest=self._digest,
            seconds={
                "evaluation": evaluated - started,
                "ranking": ranked - evaluated,
                "confirmation": confirmed - ranked,
                "reproduction": done - confirmed,
                "complete": done - started,
            },
        )

    def run(self) -> Outcome:
        """Return how the run ended, after all generations that the settings ask for."""
        status, reason, repeats = "finished", "", False
        done = self.num_done
        error: Exception | None = None
        try:
            for observer in self.observers:
                observer.on_start(self)
            with Workers(self.params.num_workers, self.params.joblib_backend) as workers:
                while done < self.params.num_generations:
                    record = self.step(workers)
                    done += 1
                    self._finish_generation(record)
                    self._check_stop()
                    if record.num_failures == len(record.population.members):
                        status, reason, repeats = "failed", self._why_all_failed(record), True
                        break
                else:
                    self._finish_champion()
        except Interrupted as interruption:
            status, reason = "interrupted", str(interruption)
        except CheckpointError as problem:
            status, reason, error = "failed", str(problem), problem
        except Exception as unexpected:  # Told to the observers, so that files say how the run ended; raised below.
            status, reason, error = "failed", f"{type(unexpected).__name__}: {unexpected}", unexpected
        try:
            self._write_checkpoint()
        except CheckpointError as problem:
            if error is None:
                status, reason, error = "failed", str(problem), problem
        outcome = Outcome(
            status,
            reason,
            done,
            self._num_evaluations,
            time.perf_counter() - self._started,
            self._digest,
            self._champion,
            repeats=repeats,
        )
        error = error or announce_end(self.observers, outcome)
        if error is not None:
            raise error
        return outcome

    @property
    def _weights_evolve(self) -> bool:
        """Whether the weights of an individual are its own, like its topology."""
        learns = LEARNING_RULES[self.params.learning_rule].changes_weights
        return self.params.inherit_weights and not learns and not self.params.is_weight_agnostic

    # -- parts of a generation ----------------------------------------------------------------------------------

    @property
    def _num_children(self) -> int:
        """Individuals born in every generation but the first."""
        return self.params.population_size - fraction_of(self.params.population_size, self.params.elite_ratio)

    def _evaluate(self, population: Population, workers: Workers) -> Population:
        """The population with evaluations."""
        shared = self._problem.shared(Stream.SHARED, population.generation)
        total = len(population.members)
        done = 0

        def on_result(index: int, evaluation: Evaluation) -> None:
            nonlocal done
            done += 1
            for observer in self.observers:
                observer.on_evaluation(population.generation, done, total)

        evaluations = workers.evaluate(
            self._evaluator,
            [member.genome for member in population.members],
            shared,
            generation=population.generation,
            on_result=on_result,
            on_wait=self._check_stop,
        )
        self._num_evaluations += total
        members = tuple(
            member.evaluated(evaluation) for member, evaluation in zip(population.members, evaluations, strict=True)
        )
        for index, member in enumerate(members):
            if member.evaluation is not None and member.evaluation.failure:
                self._announce_failure(Failure(member, Stream.LEARNING, population.generation, index))
        return Population(population.generation, members)

    def _objectives(self, generation: int) -> tuple[str, ...]:
        """What a generation is ranked on: complexity counts in a fraction of the generations, age where it can differ.

        With newcomers, the age of a line of descent keeps old lines from crowding out young ones before these have
        been tried (Schmidt & Lipson 2011, Age-fitness Pareto optimization, GPTP VIII).
        """
        youth = ("youth",) if self.params.num_newcomers else ()
        rng = generator(self.params.seed, Stream.RANKING, generation)
        if rng.random() < self.params.p_complexity_objective:
            evolved_bias = self.params.bias and self.params.bias_connections == "evolved"
            return ("reward", "simplicity_with_biases" if evolved_bias else "simplicity", *youth)
        if youth:
            return ("reward", *youth)
        return ("reward", "best_reward") if self.params.is_weight_agnostic else ("reward",)

    def _crown(self, population: Population) -> None:
        """Train the generation's best once more on fresh random numbers; crown it if it is still better.

        Without the second training, the champion would be the luckiest instead of the best. Where weights evolve and
        nothing is learned, the candidate keeps its weights.
        """
        candidate = max(population.members, key=lambda member: member.reward)
        evaluation = candidate.evaluation
        if self._weights_evolve:
            candidate = replace(candidate, genome=self._reproduction.passed_on(candidate))
        # Whoever has left the population does not come back; remembering the others is enough.
        self._confirmed &= {member.genome.digest for member in population.members}
        if evaluation is None or evaluation.failure or candidate.genome.digest in self._confirmed:
            return
        self._confirmed |= {candidate.genome.digest}
        generation = population.generation
        shared = self._problem.shared(Stream.CONFIRMATION, generation)
        again = self._evaluator.evaluate(
            candidate.genome, shared, stream=Stream.CONFIRMATION, generation=generation, index=_CONFIRMING
        )
        self._num_evaluations += 1
        if again.failure or again.weights is None:
            failed = candidate.evaluated(again)
            self._announce_failure(Failure(failed, Stream.CONFIRMATION, generation, _CONFIRMING))
            return
        trained = replace(candidate, genome=candidate.genome.with_weights(again.weights))
        score = self._problem.confirmed(trained.genome, again, self.kernel)
        contender = self._scored(Champion(trained, generation, train=score))
        if self._champion is None or contender.selection_reward > self._champion.selection_reward:
            self._champion = contender
            self._announce_champion()

    def _scored(self, champion: Champion) -> Champion:
        """The champion with its score on the validation samples, if there are any."""
        if not self._problem.has_validation:
            return champion
        return replace(champion, validation=self._score("validation", champion.individual))

    def _score(self, part: str, individual: Individual) -> TaskScore:
        """Score of an individual's weights on one part of the data."""
        return self._problem.score(part, individual.genome, self.kernel)

    def _finish_generation(self, record: GenerationRecord) -> None:
        """Test the champion if it is time, save, announce."""
        generation = record.generation
        if self.params.test_every and generation % self.params.test_every == 0:
            self._test_champion()
            record = replace(record, champion=self._champion)
        for observer in self.observers:
            observer.on_generation(record)
        self._resumable = Checkpoint(
            self._next,
            InnovationTracker(self._tracker.next_node, self._tracker.next_innovation),
            self._champion,
            self._confirmed,
            self._num_evaluations,
            time.perf_counter() - self._started,
            self._digest,
            self._origin,
        )
        every = self.params.checkpoint_every
        if every and (generation + 1) % every == 0:
            self._write_checkpoint()

    def _write_checkpoint(self) -> None:
        """Save the state after the last finished generation, unless that was done."""
        if self._checkpoint_folder is not None and self._resumable is not None:
            for observer in self.observers:
                observer.on_checkpoint()
            self._resumable.write(self._checkpoint_folder, kept=self.params.keep_checkpoints)
            self._resumable = None

    def _check_stop(self) -> None:
        """Raise if the run was asked to stop."""
        if self._stop_reason:
            raise Interrupted(self._stop_reason)

    def _finish_champion(self) -> None:
        """Train the champion to the end, if asked for, and test it."""
        champion = self._champion
        if champion is not None and self.params.final_epochs:
            self._say(f"training the champion for {self.params.final_epochs} more epochs ...")
            generation = max(self.params.num_generations, 1)
            shared = self._problem.shared(Stream.CONFIRMATION, generation, num_epochs=self.params.final_epochs)
            again = self._evaluator.evaluate(
                champion.individual.genome, shared, stream=Stream.CONFIRMATION, generation=generation, index=_FINAL
            )
            if again.weights is not None:
                trained = replace(champion.individual, genome=champion.individual.genome.with_weights(again.weights))
                contender = self._scored(Champion(trained, champion.generation, train=self._score("train", trained)))
                if contender.selection_reward > champion.selection_reward:
                    self._champion = contender
        if champion is not None and champion.test is None and isinstance(self.task, GymnasiumEnvironment):
            # These episodes take long, and nothing else is seen of them.
            self._say(f"testing the champion in {self.params.num_test_trials} episodes with every weight ...")
        self._test_champion()

    def _test_champion(self) -> None:
        """Score the champion on the test samples, unless that was done."""
        if self._champion is None or self._champion.test is not None:
            return
        self._champion = replace(self._champion, test=self._score("test", self._champion.individual))
        self._announce_champion()

    def _announce_champion(self) -> None:
        """Tell all observers about the champion."""
        assert self._champion is not None
        for observer in self.observers:
            observer.on_champion(self._champion)

    def _announce_failure(self, failure: Failure) -> None:
        """Tell all observers about an evaluation that has failed."""
        for observer in self.observers:
            observer.on_failure(failure)

    def _why_all_failed(self, record: GenerationRecord) -> str:
        """The most frequent reason of a generation's failures, and what may help."""
        reasons = [member.evaluation.failure or "" for member in record.population.members if member.evaluation]
        last_lines = [reason.strip().splitlines()[-1] for reason in reasons if reason.strip()]
        reason = max(set(last_lines), key=last_lines.count)
        advice = f"; try {self._evaluator.remedy}" if reason in (DIVERGED, UNDEFINED) else ""
        return f"all {len(reasons)} individuals failed: {reason}{advice}"

    def _say(self, text: str) -> None:
        """Tell all observers one line."""
        for observer in self.observers:
            observer.on_message(text)
