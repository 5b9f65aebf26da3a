"""What a network file says besides genes: task and scaling, learning, scores, descent."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from topoevo import __version__
from topoevo.experiment.learning_facts import learning_facts
from topoevo.reporting.network_file import decimals

if TYPE_CHECKING:
    from topoevo.evolution import Individual
    from topoevo.experiment.params import Params
    from topoevo.experiment.records import Champion, TaskScore
    from topoevo.tasks.task import Task


def facts_of(champion: Champion, params: Params, task: Task) -> dict[str, Any]:
    """Return what the file of a champion says about it besides its genes, as JSON values."""
    scores = {"train": champion.train, "validation": champion.validation, "test": champion.test}
    return _facts(
        champion.individual,
        params,
        task,
        scores={name: None if score is None else _score(score) for name, score in scores.items()},
        generation=champion.generation,
    )


def facts_of_individual(individual: Individual, params: Params, task: Task, *, generation: int) -> dict[str, Any]:
    """Return what the file of any individual says about it besides its genes, as JSON values.

    Parameters
    ----------
    generation
        In which it was evaluated.
    """
    scores: dict[str, Any] = {}
    if individual.evaluation is not None:
        scores["evaluation"] = {"reward": individual.evaluation.reward, "accuracy": individual.evaluation.accuracy}
    return _facts(individual, params, task, scores=scores, generation=generation)


def _data_settings(params: Params) -> dict[str, Any]:
    """All that decides which samples the network was trained and tested on."""
    from topoevo.experiment.data import data_settings_of

    settings, options = data_settings_of(params)
    return {**dataclasses.asdict(settings), "options": options}


def _score(score: TaskScore) -> dict[str, Any]:
    """A score as JSON."""
    found = {"reward": score.reward, "accuracy": score.accuracy}
    return found if score.rmse is None else found | {"rmse": score.rmse}


def _facts(
    individual: Individual, params: Params, task: Task, *, scores: dict[str, Any], generation: int | None
) -> dict[str, Any]:
    """Everything that is known of a network beside its genes, as JSON."""
    genome = individual.genome
    return {
        "task": {
            "name": task.name,
            "kind": task.kind,
            "loss": task.loss,
            "input_names": list(task.input_names),
            "output_names": list(task.output_names),
            "input_offset": decimals(task.input_offset),
            "input_scale": decimals(task.input_scale),
            "target_offset": decimals(task.target_offset),
            "target_scale": decimals(task.target_scale),
            "data": task.provenance,
        },
        "data_settings": _data_settings(params),
        "learning": learning_facts(params),
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
