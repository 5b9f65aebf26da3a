"""A small experiment made by hand, and records of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from topoevo.evolution import Evaluation, Individual, Population
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Champion, Failure, GenerationRecord, Outcome, TaskScore
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.seeds import Stream
from topoevo.tasks.task import Samples, Task


def make_genome(seed=0, *, num_inputs=6, num_outputs=3, bias=True, num_splits=4, p_enabled=0.5):
    rng = np.random.default_rng(seed)
    tracker = InnovationTracker()
    genome = minimal_genome(num_inputs, num_outputs, p_enabled=p_enabled, tracker=tracker, rng=rng, bias=bias)
    for name in ("relu", "tanh", "sine", "gaussian", "abs", "sigmoid")[:num_splits]:
        enabled = genome.connections[genome.connections["enabled"]]
        genome = genome.split(int(rng.choice(enabled["innovation"])), tracker=tracker, activation=name, bias=bias)
    return genome.with_weights(rng.normal(size=len(genome.connections)).astype(np.float32))


@pytest.fixture
def genome():
    return make_genome()


def make_task(kind="classification"):
    rng = np.random.default_rng(1)
    regression = kind == "regression"

    def samples(n):
        targets = rng.normal(size=(n, 3)).astype(np.float32) if regression else rng.integers(3, size=n).astype(np.int32)
        return Samples(rng.normal(size=(n, 6)).astype(np.float32), targets)

    return Task(
        name="made",
        kind=kind,
        loss="mean_squared_error" if regression else "cross_entropy",
        train=samples(20),
        validation=None,
        test=samples(10),
        input_names=tuple("abcdef"),
        output_names=("cat", "dog", "émeu"),
        input_offset=rng.normal(size=6).astype(np.float32),
        input_scale=rng.uniform(0.1, 3, size=6).astype(np.float32),
        target_offset=np.arange(3, dtype=np.float32) if regression else np.zeros(0, np.float32),
        target_scale=np.float32([0.1, 2, 3]) if regression else np.zeros(0, np.float32),
        provenance={"source": "made by hand", "num_train": 20},
    )


@dataclass
class Script:
    """Announces generations to observers as an experiment does."""

    params: object
    task: Task
    observers: list
    first_generation: int = 0
    size: int = 5
    champion: Champion | None = None

    def record(self, generation, *, fail=1):
        members = []
        for index in range(self.size):
            genome = make_genome(generation * 100 + index)
            accuracy = None if self.task.kind == "regression" else 0.5 + 0.01 * index + 0.001 * generation
            rewards = -1.0 + 0.1 * index + 0.01 * generation
            if index < fail:
                evaluation = Evaluation.failed("Traceback ...\nFloatingPointError: the loss is not finite", 0.01)
            else:
                evaluation = Evaluation(rewards, rewards, accuracy, genome.connections["weight"], 0.01)
            number = generation * self.size + index
            members.append(Individual(number, (1, 2), generation, ("add_node",), genome, evaluation))
        population = Population(generation, tuple(members))
        crowned = fail < self.size and generation % 2 == 0
        if crowned:
            best = max(members, key=lambda member: member.reward)
            rmse = 0.3 if self.task.kind == "regression" else None
            self.champion = Champion(best, generation, TaskScore(best.reward, best.evaluation.accuracy, rmse))
        return GenerationRecord(
            population=population,
            order=np.arange(self.size)[::-1].copy(),
            objectives=("reward",),
            champion=self.champion,
            crowned=crowned,
            num_failures=fail,
            num_evaluations=(generation + 1) * self.size,
            digest=population.digest,
            seconds={"evaluation": 0.5, "ranking": 0.01, "confirmation": 0.1, "reproduction": 0.02, "complete": 0.63},
        )

    def run(self, last, *, status="finished", reason=""):
        experiment = SimpleNamespace(params=self.params, task=self.task, num_done=self.first_generation, founder="")
        for observer in self.observers:
            observer.on_start(experiment)
        record = None
        for generation in range(self.first_generation, last):
            record = self.record(generation)
            for observer in self.observers:
                observer.on_message(f"message {generation}")
                for done in range(self.size):
                    observer.on_evaluation(generation, done + 1, self.size)
                observer.on_failure(Failure(record.population.members[0], Stream.LEARNING, generation, 0))
                if record.crowned:
                    observer.on_champion(record.champion)
                observer.on_generation(record)
        if self.champion is not None:
            accuracy = None if self.task.kind == "regression" else 0.75
            rmse = 0.4 if self.task.kind == "regression" else None
            self.champion = replace(self.champion, test=TaskScore(-0.9, accuracy, rmse))
        digest = record.digest if record else ""
        outcome = Outcome(status, reason, last, last * self.size, 12.5, digest, self.champion)
        for observer in self.observers:
            if self.champion is not None:
                observer.on_champion(self.champion)
            observer.on_end(outcome)
        return outcome


@pytest.fixture
def params():
    return load_params(None, {"num_generations": 4, "population_size": 5, "tournament_size": 2})


@pytest.fixture
def script(params):
    return lambda observers, **options: Script(
        options.pop("params", params), make_task(options.pop("kind", "classification")), list(observers), **options
    )


@pytest.fixture
def task():
    return make_task()


@pytest.fixture
def regression_task():
    return make_task("regression")


@pytest.fixture
def genome_of():
    return make_genome
