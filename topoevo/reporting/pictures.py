"""Pictures of networks: layers from left to right, nodes colored by activation, edges by the sign of their weight."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.errors import NetworkFileError
from topoevo.experiment.records import Champion
from topoevo.genome import Genome
from topoevo.reporting import picture_graphviz, picture_matplotlib
from topoevo.reporting.lines import count
from topoevo.reporting.network_file import NetworkFile
from topoevo.reporting.picture_scene import Scene, make_scene

if TYPE_CHECKING:
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task


def draw_champion(champion: Champion, task: Task | Environment, *files: Path) -> None:
    """Draw a champion with its scores and the names of its inputs and outputs; see `draw_network`."""
    scores = []
    validation = "earlier validation" if champion.knows_validation else "validation"
    for name, score in (("test", champion.test), (validation, champion.validation), ("training", champion.train)):
        if score is not None and score.accuracy is not None:
            scores.append(f"{name} accuracy {score.accuracy:.4f}")
        elif score is not None and score.rmse is not None:
            scores.append(f"{name} RMSE {score.rmse:.4g}")
        elif score is not None:
            scores.append(f"{name} reward {score.reward:.4g}")
    words = _sizes(champion.individual.genome)
    if champion.train.best_reward is not None and len(weights := champion.individual.genome.connections["weight"]):
        words.append(f"shared weight {weights[0]:g}")
    words += [] if champion.generation is None else [f"generation {champion.generation}"]
    draw_network(
        champion.individual.genome,
        *files,
        title=task.name,
        subtitle="  ·  ".join([*scores, *words]),
        input_names=task.input_names,
        output_names=task.output_names,
    )


def draw_network_file(network: NetworkFile, *files: Path) -> None:
    """Draw the network of a file with what the file says about it; see `draw_network`.

    Raises
    ------
    NetworkFileError
        If a picture cannot be written.
    """
    facts = network.facts
    title, names = "", {}
    if "task" in facts:
        title = network.task.name
        names = {"input_names": network.task.input_names, "output_names": network.task.output_names}
    scores = facts.get("scores")
    words = []
    for part, score in scores.items() if isinstance(scores, dict) else ():
        if isinstance(score, dict) and isinstance(accuracy := score.get("accuracy"), float):
            words.append(f"{part} accuracy {accuracy:.4f}")
        elif isinstance(score, dict) and isinstance(rmse := score.get("rmse"), float):
            words.append(f"{part} RMSE {rmse:.4g}")
        elif isinstance(score, dict) and isinstance(reward := score.get("reward"), float):
            words.append(f"{part} reward {reward:.4g}")
    words += _sizes(network.genome)
    try:
        draw_network(network.genome, *files, title=title, subtitle="  ·  ".join(words), **names)
    except OSError as error:
        name = error.filename or ", ".join(map(str, files))
        raise NetworkFileError(f"{name}: cannot be written: {error.strerror or error}") from error


def _sizes(genome: Genome) -> list[str]:
    """How large a network is."""
    return [count(genome.complexity.connections, "connection"), count(genome.complexity.hidden, "hidden node")]


def draw_network(
    genome: Genome,
    *files: Path,
    title: str = "",
    subtitle: str = "",
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
) -> None:
    """Draw the part of a genome that computes something, and replace each file in one step.

    Parameters
    ----------
    genome
        What to draw. Inputs that nothing reads are left out; a bias is a dark ring round its node.
    *files
        Files to write, ending in ``.svg`` or ``.png``; their folders must exist.
    title, subtitle
        Lines above the network.
    input_names, output_names
        Of all input and output nodes; names of inputs are shown where there are few of them.

    Raises
    ------
    OSError
        If a file cannot be written; the others are.

    Notes
    -----
    Drawn by graphviz where its program ``dot`` is installed, else by matplotlib; the layout is the same.
    """
    scene = make_scene(genome, title=title, subtitle=subtitle, input_names=input_names, output_names=output_names)
    failed: OSError | None = None
    for path in files:
        try:
            _draw_file(scene, path)
        except OSError as error:
            # Of the file that is meant, not of the one beside it that becomes it; and the others are drawn.
            failed = failed or OSError(error.errno, error.strerror or str(error), str(path))
    if failed is not None:
        raise failed


def _draw_file(scene: Scene, path: Path) -> None:
    """Draw a file, and put it in its place when it is whole."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        try:
            if not picture_graphviz.is_installed():
                raise FileNotFoundError("dot")
            picture_graphviz.draw(scene, part)
        except (OSError, subprocess.SubprocessError):
            picture_matplotlib.draw(scene, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
