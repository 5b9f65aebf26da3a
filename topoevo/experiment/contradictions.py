"""Settings that are legal one by one and make no sense together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.evolution.reproduction import fraction_of
from topoevo.learning import LEARNING_RULES
from topoevo.learning.optimizers import WITH_MOMENTUM
from topoevo.tasks.base import find_dataset
from topoevo.variation import MUTATIONS

if TYPE_CHECKING:
    from topoevo.experiment.settings import Settings


@dataclass(frozen=True)
class Contradiction:
    """Values that do not go together.

    Parameters
    ----------
    settings
        Names of all that are involved; the first that the user gave is cited.
    message
        One sentence, with the values.
    """

    settings: tuple[str, ...]
    message: str


def find_contradictions(settings: Settings) -> list[Contradiction]:
    """Return everything in a set of legal values that does not go together.

    Parameters
    ----------
    settings
        Values, each legal by itself.
    """
    return [*_evolution(settings), *_training(settings), *_task(settings), *_computation(settings)]


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


def _evolution(settings: Settings) -> Iterator[Contradiction]:
    size = settings.population_size
    num_culled, num_elites = fraction_of(size, settings.cull_ratio), fraction_of(size, settings.elite_ratio)
    if settings.tournament_size > size - num_culled:
        yield Contradiction(
            ("tournament_size", "population_size", "cull_ratio"),
            f"tournament_size {settings.tournament_size} is not allowed with population_size {size} and cull_ratio "
            f"{settings.cull_ratio:g}, which leave {size - num_culled} networks to breed; must be at most"
            f" {size - num_culled}",
        )
    if num_elites > size - num_culled:
        yield Contradiction(
            ("elite_ratio", "cull_ratio"),
            f"elite_ratio {settings.elite_ratio:g} and cull_ratio {settings.cull_ratio:g} are not allowed together,"
            " their sum must be at most 1: a network cannot be passed on and left out",
        )
    elif num_elites == size:
        yield Contradiction(
            ("elite_ratio",),
            f"elite_ratio {settings.elite_ratio:g} is not allowed with num_generations {settings.num_generations},"
            " it leaves no place for children; must be below 1",
        )
    probabilities = tuple(f"p_{name}" for name in MUTATIONS)
    if settings.num_mutations_per_generation > 0 and not any(getattr(settings, name) > 0 for name in probabilities):
        yield Contradiction(
            probabilities,
            f"{', '.join(probabilities)} are all 0, at least one must be above 0"
            " (or num_mutations_per_generation must be 0)",
        )


def _training(settings: Settings) -> Iterator[Contradiction]:
    rule = LEARNING_RULES[settings.learning_rule]
    if settings.optimizer == "none" and rule.needs_optimizer:
        yield Contradiction(
            ("optimizer", "learning_rule"),
            f"optimizer none is not allowed with learning_rule {settings.learning_rule}, which follows a gradient",
        )
    if settings.momentum > 0 and settings.optimizer not in WITH_MOMENTUM:
        yield Contradiction(
            ("momentum", "optimizer"),
            f"momentum {settings.momentum:g} is not allowed with optimizer {settings.optimizer}, must be 0"
            f" (only {' and '.join(WITH_MOMENTUM)} have momentum)",
        )


def _task(settings: Settings) -> Iterator[Contradiction]:
    if settings.env_name is not None:
        yield Contradiction(
            ("env_name",), f"env_name {settings.env_name!r} is not allowed, environments are not available yet"
        )
        if "dataset" in settings.model_fields_set:
            yield Contradiction(
                ("dataset", "env_name"),
                f"dataset {settings.dataset!r} and env_name {settings.env_name!r} are not allowed together",
            )
    if not find_dataset(settings.dataset).is_file:
        for name in ("target_column", "test_file"):
            value = getattr(settings, name)
            if value is not None:
                yield Contradiction(
                    (name, "dataset"),
                    f"{name} {value!r} is not allowed with dataset {settings.dataset!r},"
                    " only a .csv or .npz table has one",
                )


def _computation(settings: Settings) -> Iterator[Contradiction]:
    if settings.num_workers == 0:
        yield Contradiction(("num_workers",), "num_workers 0 is not allowed, must be at least 1, or -1 for every core")
    if settings.use_cuda:
        yield Contradiction(("use_cuda",), "use_cuda true is not allowed, CUDA is not available yet")
    if settings.use_torch:
        yield Contradiction(("use_torch",), "use_torch true is not allowed, PyTorch is not available yet")
