"""What a network file says besides genes: task and scaling, learning, scores, descent."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

from topoevo import __version__
from topoevo.experiment.data import environment_settings_of
from topoevo.experiment.learning_facts import learning_facts
from topoevo.experiment.learning_settings import decay_ratio_of
from topoevo.reporting.network_file import decimals

if TYPE_CHECKING:
    from topoevo.evolution import Individual
    from topoevo.experiment.params import Params
    from topoevo.experiment.records import Champion, TaskScore
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task


def facts_of(champion: Champion, params: Params, task: Task | Environment) -> dict[str, Any]:
    """Return what the file of a champion says about it besides its genes, as JSON values."""
    scores = {"train": champion.train, "validation": champion.validation, "test": champion.test}
    return _facts(
        champion.individual,
        params,
        task,
        scores={name: None if score is None else _score(score) for name, score in scores.items()},
        generation=champion.generation,
        decay_factor=champion.decay_factor,
    ) | ({"knows_validation": True} if champion.knows_validation else {})


def facts_of_individual(
    individual: Individual, params: Params, task: Task | Environment, *, generation: int
) -> dict[str, Any]:
    """Return what the file of any individual says about it besides its genes, as JSON values.

    Parameters
    ----------
    generation
        In which it was evaluated.
    """
    scores: dict[str, Any] = {}
    if individual.evaluation is not None:
        scores["evaluation"] = {"reward": individual.evaluation.reward, "accuracy": individual.evaluation.accuracy}
        if individual.evaluation.rung is not None:
            scores["evaluation"]["rung"] = individual.evaluation.rung
    return _facts(individual, params, task, scores=scores, generation=generation)


def _data_settings(params: Params) -> dict[str, Any]:
    """All that decides which samples the network was trained and tested on."""
    from topoevo.experiment.data import data_settings_of

    settings, options = data_settings_of(params)
    return {**dataclasses.asdict(settings), "options": options}


def _score(score: TaskScore) -> dict[str, Any]:
    """A score as JSON."""
    found: dict[str, Any] = {"reward": score.reward, "accuracy": score.accuracy}
    found |= {name: value for name in ("rmse", "best_reward") if (value := getattr(score, name)) is not None}
    return found | dict(score.measures)


def task_facts(params: Params, task: Task | Environment) -> dict[str, Any]:
    """Return the task, and the settings that lead to it again, as JSON values."""
    names = {"input_names": list(task.input_names), "output_names": list(task.output_names)}
    if params.env_name is not None:
        return {
            "task": {
                "name": task.name,
                "kind": "environment",
                "loss": None,
                **names,
                "input_offset": [0.0] * task.num_inputs,
                "input_scale": [1.0] * task.num_inputs,
                "target_offset": [],
                "target_scale": [],
                "data": task.provenance,
            },
            "environment_settings": environment_settings_of(params),
        }
    task = cast("Task", task)
    return {
        "task": {
            "name": task.name,
            "kind": task.kind,
            "loss": task.loss,
            **names,
            "input_offset": decimals(task.input_offset),
            "input_scale": decimals(task.input_scale),
            "target_offset": decimals(task.target_offset),
            "target_scale": decimals(task.target_scale),
            "data": task.provenance,
        },
        "data_settings": _data_settings(params),
    }


def _learning_facts(params: Params, task: Task | Environment, decay_factor: float) -> dict[str, Any]:
    """How the weights came about."""
    if params.shared_weights is not None:
        return {"shared_weights": list(params.shared_weights)}
    if params.env_name is None:
        decay_factor *= decay_ratio_of(params, len(cast("Task", task).train))
    return {"learning": learning_facts(params, decay_factor=decay_factor)}


def _facts(
    individual: Individual,
    params: Params,
    task: Task | Environment,
    *,
    scores: dict[str, Any],
    generation: int | None,
    decay_factor: float = 1.0,
) -> dict[str, Any]:
    """Everything that is known of a network beside its genes, as JSON."""
    genome = individual.genome
    return {
        **task_facts(params, task),
        **_learning_facts(params, task, decay_factor),
        "complexity": {
            "connections": genome.complexity.connections,
            "biases": genome.complexity.biases,
            "neurons": len(genome.nodes),
            "layers": int(genome.layers().max()) + 1,
        },
        "scores": scores,
        "provenance": {
            "program": f"topoevo {__version__}",
            "seed": params.seed,
            "generation": generation,
            "individual": individual.id,
            "parents": list(individual.parents),
            "born": individual.born,
            "operators": list(individual.operators),
            "digest": genome.digest,
        },
    }
