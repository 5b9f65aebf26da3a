"""From settings to what judges networks: learning or shared weights, samples or an environment."""

from __future__ import annotations

from typing import Any

from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.params import Params
from topoevo.experiment.problem import Evaluator, Problem
from topoevo.experiment.shared_data import TaskData
from topoevo.experiment.weight_agnostic import AgnosticEvaluator, AgnosticTaskData
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Task


def judging_of(params: Params, task: Task | Environment) -> tuple[Evaluator[Any], Problem]:
    """Return what evaluates genomes, and what hands out conditions and scores champions.

    Parameters
    ----------
    params, task
        Settings, and what they name.
    """
    if isinstance(task, Environment):
        from topoevo.experiment.episodes import AgnosticEpisodesEvaluator, EpisodesProblem
        from topoevo.experiment.learning_episodes import LearningEpisodesEvaluator

        judge = AgnosticEpisodesEvaluator if params.is_weight_agnostic else LearningEpisodesEvaluator
        return judge.from_params(params, task), EpisodesProblem.from_params(params, task)
    if params.is_weight_agnostic:
        return AgnosticEvaluator.from_params(params, task), AgnosticTaskData.from_params(params, task)
    return DatasetEvaluator.from_params(params, task), TaskData.from_params(params, task)
