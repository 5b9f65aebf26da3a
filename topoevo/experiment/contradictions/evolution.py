"""Of populations and their reproduction, or of doing without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from topoevo.evolution.islands import fraction_of
from topoevo.experiment.contradictions.contradiction import Contradiction
from topoevo.experiment.contradictions.informed import lack_of_evidence, of_informed_search
from topoevo.variation import MUTATIONS

if TYPE_CHECKING:
    from topoevo.experiment.settings import Settings


def of_evolution(settings: Settings) -> Iterator[Contradiction]:
    """Of populations and their reproduction."""
    yield from of_informed_search(settings)
    yield from _ranges(settings)
    size, place = settings.population_size, ""
    num_islands = len(settings.front_connections or range(settings.num_islands))
    if num_islands > 1:
        asked = "num_islands" if settings.front_connections is None else "front_connections"
        if size % num_islands:
            yield Contradiction(
                (asked, "population_size"),
                f"population_size {size} is not allowed with {num_islands} islands ({asked}), must be a multiple of"
                f" {num_islands}, like {-(-size // num_islands) * num_islands}",
            )
            return
        if settings.num_newcomers:
            yield Contradiction(
                ("num_newcomers", asked),
                f"num_newcomers {settings.num_newcomers} is not allowed with {num_islands} islands ({asked}), both keep"
                " a population from becoming one family; leave one out",
            )
        size //= num_islands
        place = f" on each of {num_islands} islands"
    num_culled, num_elites = fraction_of(size, settings.cull_ratio), fraction_of(size, settings.elite_ratio)
    if size < 2:
        yield Contradiction(
            ("population_size", "num_generations"),
            f"population_size {settings.population_size} is not allowed, must be at least {2 * num_islands} (or"
            " num_generations must be 0: one network is trained without evolution)",
        )
        return
    if settings.tournament_size > size - num_culled:
        yield Contradiction(
            ("tournament_size", "population_size", "cull_ratio"),
            f"tournament_size {settings.tournament_size} is not allowed with population_size"
            f" {settings.population_size} and cull_ratio {settings.cull_ratio:g}, which leave {size - num_culled} to"
            f" breed{place}; must be at most {size - num_culled}",
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
    if settings.num_newcomers and settings.num_newcomers >= size - num_elites:
        yield Contradiction(
            ("num_newcomers", "population_size", "elite_ratio"),
            f"num_newcomers {settings.num_newcomers} is not allowed with population_size {size} and elite_ratio "
            f"{settings.elite_ratio:g}, which leave no place for children; must be below {size - num_elites}",
        )
    probabilities = tuple(f"p_{name}" for name in MUTATIONS)
    if settings.num_mutations_per_generation > 0 and not any(getattr(settings, name) > 0 for name in probabilities):
        yield Contradiction(
            probabilities,
            f"{', '.join(probabilities)} are all 0, at least one must be above 0"
            " (or num_mutations_per_generation must be 0)",
        )
    drawn = [name for name in MUTATIONS if getattr(settings, f"p_{name}") > 0]
    reason = lack_of_evidence(settings) if settings.num_mutations_per_generation > 0 else None
    if reason is not None and drawn and all(MUTATIONS[name].needs_evidence for name in drawn):
        names = [f"p_{name}" for name in drawn]
        yield Contradiction(
            tuple(names),
            f"{', '.join(names)} above 0 alone is not allowed with {reason}; another p_ must be above 0",
        )
    if settings.inherit_optimizer_state and not settings.inherit_weights and not settings.is_weight_agnostic:
        yield Contradiction(
            ("inherit_optimizer_state", "inherit_weights"),
            "inherit_optimizer_state true is not allowed with inherit_weights false, what an optimizer remembers is of"
            " weights that nobody has any more; inherit_weights must be true",
        )
    p_mutate_weights = getattr(settings, "p_mutate_weights", 0.0)
    if p_mutate_weights > 0 and not settings.inherit_weights and not settings.is_weight_agnostic:
        yield Contradiction(
            ("p_mutate_weights", "inherit_weights"),
            f"p_mutate_weights {p_mutate_weights:g} is not allowed with inherit_weights false, where every evaluation"
            " draws new weights",
        )


def _ranges(settings: Settings) -> Iterator[Contradiction]:
    """Of options of operators that are the ends of a range."""
    for name in type(settings).model_fields:
        largest = f"{name.removesuffix('_min')}_max"
        if name.endswith("_min") and hasattr(settings, largest):
            low, high = getattr(settings, name), getattr(settings, largest)
            if low > high:
                yield Contradiction(
                    (name, largest), f"{name} {low:g} is not allowed with {largest} {high:g}, must be at most {high:g}"
                )


def of_training_alone(settings: Settings) -> Iterator[Contradiction]:
    """Of training one network without evolution."""
    if settings.final_epochs:
        yield Contradiction(
            ("final_epochs", "num_generations"),
            f"final_epochs {settings.final_epochs} is not allowed with num_generations 0, there is no evolution that"
            " they could come after; num_epochs is the length of the training",
        )
    if settings.num_samples is not None:
        yield Contradiction(
            ("num_samples", "num_generations"),
            f"num_samples {settings.num_samples} is not allowed with num_generations 0, samples are drawn for"
            " generations; an epoch has all of them",
        )
    if settings.num_trials > 1:
        yield Contradiction(
            ("num_trials", "num_generations"),
            f"num_trials {settings.num_trials} is not allowed with num_generations 0, one network is trained once;"
            " start several runs with other seeds",
        )
