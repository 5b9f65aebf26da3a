"""All contradictions in a set of settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.experiment.contradictions.contradiction import Contradiction
from topoevo.experiment.contradictions.evolution import of_evolution, of_training_alone
from topoevo.experiment.contradictions.learning import of_learning, of_shared_weights
from topoevo.experiment.contradictions.surroundings import of_architecture, of_computation, of_task

if TYPE_CHECKING:
    from topoevo.experiment.settings import Settings


def find_contradictions(settings: Settings) -> list[Contradiction]:
    """Return everything in a set of legal values that does not go together.

    Parameters
    ----------
    settings
        Values, each legal by itself.
    """
    evolution = of_evolution(settings) if settings.evolves else of_training_alone(settings)
    weights = of_shared_weights(settings) if settings.is_weight_agnostic else of_learning(settings)
    parts = (weights, of_architecture(settings), of_task(settings), of_computation(settings))
    return [*evolution, *(found for part in parts for found in part)]


def find_source_contradictions(path: Path | None, overrides: Mapping[str, object]) -> list[Contradiction]:
    """Return what does not go together in the way settings were given, whatever their values.

    A resumed run keeps the settings and the folder that it has.

    Parameters
    ----------
    path
        The parameter file.
    overrides
        Settings given as flags.
    """
    resume = overrides.get("resume")
    if not isinstance(resume, str):
        return []
    found = []
    if path is not None and path.resolve().parent != Path(resume).resolve():
        found.append(
            Contradiction(
                ("resume",),
                f"a resumed run has its own parameter file: leave out {str(path)!r} or --resume",
            )
        )
    for name in ("out_dir", "overwrite_output"):
        if overrides.get(name):
            found.append(
                Contradiction((name,), f"a resumed run writes into its own folder: leave out --{name} or --resume")
            )
    return found
