"""Scores of champions in environments of others, episode by episode in workers."""

from __future__ import annotations

import math
import os
from dataclasses import fields, replace

import pytest

from topoevo.experiment.data import load_task_of
from topoevo.experiment.episodes import EpisodesProblem
from topoevo.experiment.evolving import first_generation, reproduction_of
from topoevo.experiment.params import load_params
from topoevo.experiment.testing import score_in_workers
from topoevo.experiment.workers import Workers
from topoevo.kernels import load_kernel
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment

pytest.importorskip("gymnasium")


def begin(family, **changes):
    """Return a problem, and a genome with weights."""
    learns = {"learning_rule": "none", "inherit_weights": True} if family == "wlnn" else {}
    settings = {"env_name": "CartPole-v1", "population_size": 4, "tournament_size": 2, "num_test_trials": 13}
    params = load_params(None, {**settings, "p_initial_connection_enabled": 1.0, **learns, **changes}, family=family)
    task = load_task_of(params)
    _, population = first_generation(params, reproduction_of(params, task, None), None)
    genome = population.members[1].genome
    return EpisodesProblem.from_params(params, task), genome.with_weights([0.3] * len(genome.connections))


@pytest.mark.parametrize("family", ["wlnn", "wann"])
@pytest.mark.parametrize("part", ["test", "train"])
def test_the_score_is_that_of_all_episodes_at_once(family, part):
    problem, genome = begin(family)
    expected = problem.score(part, genome, load_kernel(problem.kernel_name))
    assert math.isfinite(expected.reward) and expected.reward > 1
    said = []
    with Workers(2, "threading") as workers:
        found = score_in_workers(problem, part, genome, workers, on_wait=lambda: None, say=said.append)
    assert found.reward == pytest.approx(expected.reward, rel=1e-12)
    assert found.best_reward == expected.best_reward
    assert replace(found, reward=0.0, best_reward=None) == replace(expected, reward=0.0, best_reward=None)
    assert not said


class Deadly(GymnasiumEnvironment):
    """Takes along the process in which something is observed."""

    def inputs_of(self, observations):
        os._exit(3)


def test_an_episode_that_ends_its_process_costs_the_score_alone():
    problem, genome = begin("wlnn")
    facts = {field.name: getattr(problem.task, field.name) for field in fields(problem.task) if field.init}
    problem, said = replace(problem, task=Deadly(**facts)), []
    with Workers(1, "loky") as workers:
        found = score_in_workers(problem, "test", genome, workers, on_wait=lambda: None, say=said.append)
    assert found.reward == -math.inf and len(said) == 1 and "exit code 3" in said[0]
