"""Small runs that are led by evidence, for the tests beside."""

from __future__ import annotations

from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.experiment.workers import Workers
from topoevo.seeds import Stream

SMALL = {
    "num_generations": 3,
    "population_size": 6,
    "tournament_size": 2,
    "cull_ratio": 0.5,
    "elite_ratio": 0.34,
    "p_add_connection": 0,
    "p_add_node": 0,
    "p_grow_connection": 1,
    "max_connections": 60,
    "initial_networks": "dense",
    "initial_hidden_nodes": (4, 8),
    "p_initial_connection_enabled": 0.2,
    "output_connections": True,
    "inherit_weights": True,
    "optimizer": "adamw",
    "batch_size": 64,
    "initial_epochs": 3,
    "num_epochs": 2,
    "pruning": "fisher",
    "validation_ratio": 0.2,
    "reward_data": "both",
    "train_elites": False,
    "weight_init": "he",
    "bias": True,
    "test_every": 0,
}


class Said(Observer):
    """Keep what is said, and how it ends."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, text) -> None:
        self.messages.append(text)

    def on_end(self, outcome) -> None:
        self.outcome = outcome


def params_of(**settings):
    return load_params(None, {**SMALL, **settings})


def populations(params, num_generations=3):
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params, lambda line: None) as workers:
        return [experiment.step(workers).population for _ in range(num_generations)], experiment


def evaluated(params, generation=0):
    """Return members of generation 0 with evaluations, and what made them."""
    task = load_task_of(params)
    evaluator, problem = judging_of(params, task)
    experiment = Experiment(params, task)
    shared = problem.shared(Stream.SHARED, generation)
    found = [
        evaluator.evaluate(genome, shared, stream=Stream.LEARNING, generation=generation, index=index)
        for index, genome in enumerate(experiment.genomes)
    ]
    return experiment.genomes, found, problem, task, evaluator, shared
