"""Settings that are legal one by one and make no sense together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.activations import ACTIVATIONS
from topoevo.evolution.islands import fraction_of
from topoevo.experiment import backends
from topoevo.kernels import obstacle
from topoevo.learning import LEARNING_RULES
from topoevo.learning.optimizers import WITH_MOMENTUM
from topoevo.tasks.base import find_dataset
from topoevo.variation import MUTATIONS

if TYPE_CHECKING:
    from topoevo.experiment.settings import Settings
    from topoevo.learning import LearningRule


#: Sums of inputs times a weight that is larger soon leave the range of single precision.
_MAX_SHARED_WEIGHT = 1e6


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
    evolution = _evolution(settings) if settings.evolves else _no_evolution(settings)
    weights = _shared_weights(settings) if settings.is_weight_agnostic else _training(settings)
    parts = (weights, _architecture(settings), _task(settings), _computation(settings))
    return [*evolution, *(found for part in parts for found in part)]


def lack_of_evidence(settings: Settings) -> str | None:
    """Return why learning shows operators nothing that they could be led by, in words, or None if it does.

    Parameters
    ----------
    settings
        Values, each legal by itself.
    """
    if settings.is_weight_agnostic:
        return "shared_weights, where nothing is learned"
    if not LEARNING_RULES[settings.learning_rule].gives_evidence:
        return f"learning_rule {settings.learning_rule}, which gives no evidence"
    if settings.env_name is not None:
        return f"env_name {settings.env_name}, whose scores say nothing of single connections"
    return None


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
    """Of populations and their reproduction."""
    yield from _informed(settings)
    yield from _ranges(settings)
    size, place = settings.population_size, ""
    num_islands = len(settings.front_connections or range(settings.num_islands))
    if num_islands > 1:
        asked = "num_islands" if settings.front_connections is None else "front_connections"
        if size % num_islands:
            yield Contradiction(
                (asked, "population_size"),
                f"population_size {size} is not allowed with {num_islands} islands ({asked}), must be a multiple of"
                f" {num_islands}",
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
            ("population_size",),
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
    p_mutate_weights = getattr(settings, "p_mutate_weights", 0.0)
    if p_mutate_weights > 0 and not settings.inherit_weights and not settings.is_weight_agnostic:
        yield Contradiction(
            ("p_mutate_weights", "inherit_weights"),
            f"p_mutate_weights {p_mutate_weights:g} is not allowed with inherit_weights false, where every evaluation"
            " draws new weights",
        )


def _informed(settings: Settings) -> Iterator[Contradiction]:
    """Of pruning, of what makes rewards, and of several sizes at once."""
    front = settings.front_connections
    if front is not None and (not front or front[0] < 1 or any(a >= b for a, b in pairwise(front))):
        yield Contradiction(
            ("front_connections",),
            f"front_connections {list(front)} is not allowed, must be one or more whole numbers, at least 1, ascending",
        )
    for name, nothing in (("max_connections", None), ("num_islands", 1)):
        value = getattr(settings, name)
        if front is not None and value != nothing:
            yield Contradiction(
                (name, "front_connections"),
                f"{name} {value} is not allowed with front_connections, which says what islands there are and how large"
                f" their networks are; leave it out (--{name} {'null' if nothing is None else nothing} beats a file)",
            )
    if front is not None and settings.pruning == "none":
        yield Contradiction(
            ("front_connections", "pruning"),
            "front_connections needs pruning; must be fisher or magnitude",
        )
    if settings.pruning != "none" and front is None and settings.max_connections is None:
        yield Contradiction(
            ("pruning",),
            f"pruning {settings.pruning} is not allowed without max_connections, which says how many connections stay",
        )
    hidden = settings.initial_hidden_nodes
    if hidden is not None and (len(hidden) != 2 or not 1 <= hidden[0] <= hidden[1]):
        yield Contradiction(
            ("initial_hidden_nodes",),
            f"initial_hidden_nodes {list(hidden)} is not allowed, must be two whole numbers, at least 1, ascending",
        )
    is_dense = settings.initial_networks == "dense"
    if is_dense and settings.pruning == "none":
        yield Contradiction(
            ("initial_networks", "pruning"),
            "initial_networks dense is not allowed with pruning none, which leaves them fully connected; must be fisher"
            " or magnitude",
        )
    for name in ("hidden_layers", "network"):
        if is_dense and getattr(settings, name) is not None:
            yield Contradiction(
                ("initial_networks", name),
                f"initial_networks dense and {name} are not allowed together, both say what the first networks are",
            )
    if settings.reward_data != "training" and settings.validation_ratio == 0.0:
        yield Contradiction(
            ("reward_data", "validation_ratio"),
            f"reward_data {settings.reward_data} is not allowed with validation_ratio 0, which holds no samples out;"
            " must be above 0",
        )
    if settings.final_samples == "all" and not (settings.final_epochs and settings.validation_ratio):
        yield Contradiction(
            ("final_samples", "final_epochs", "validation_ratio"),
            f"final_samples all is not allowed with final_epochs {settings.final_epochs} and validation_ratio"
            f" {settings.validation_ratio:g}, both must be above 0",
        )
    if not settings.train_elites and (settings.reward_data == "training" or not settings.inherit_weights):
        yield Contradiction(
            ("train_elites", "reward_data", "inherit_weights"),
            "train_elites false is not allowed without inherit_weights true and reward_data validation or both: an"
            " elite that is not trained needs weights, and samples that judge them",
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


def _no_evolution(settings: Settings) -> Iterator[Contradiction]:
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


def _shared_weights(settings: Settings) -> Iterator[Contradiction]:
    """Of networks that are agnostic of their weights."""
    if not settings.shared_weights:
        yield Contradiction(("shared_weights",), "shared_weights is empty, must have at least one weight (or be null)")
    elif 0.0 in settings.shared_weights:
        yield Contradiction(
            ("shared_weights",),
            f"shared_weights {list(settings.shared_weights)} contains 0, with which a network does not see its inputs",
        )
    elif max(abs(weight) for weight in settings.shared_weights) > _MAX_SHARED_WEIGHT:
        yield Contradiction(
            ("shared_weights",),
            f"shared_weights {list(settings.shared_weights)} is not allowed, each must be between "
            f"-{_MAX_SHARED_WEIGHT:g} and {_MAX_SHARED_WEIGHT:g}",
        )
    for name, nothing in (
        ("final_epochs", 0),
        ("control", "none"),
        ("p_mutate_weights", 0.0),
        ("front_connections", None),
        ("initial_networks", "sparse"),
    ):
        value = getattr(settings, name, nothing)
        if value != nothing:
            shown = list(value) if isinstance(value, tuple) else value
            yield Contradiction(
                (name, "shared_weights"),
                f"{name} {shown} is not allowed with shared_weights, where nothing is trained; leave it out",
            )
    if not settings.evolves:
        yield Contradiction(
            ("num_generations", "shared_weights"),
            "num_generations 0 is not allowed with shared_weights, there would be nothing to do: evaluate a network"
            " with `topoevo evaluate`",
        )


def _training(settings: Settings) -> Iterator[Contradiction]:
    """Of rules, optimizers and what they are applied to."""
    rule = LEARNING_RULES[settings.learning_rule]
    # The activations of a network file are judged when it is read.
    if settings.network is None:
        hidden = _initial_activations(settings) | mutated_activations(settings)
        problem = flatness_problem(rule, hidden, {settings.output_activation}, only_outputs=settings.train_only_outputs)
        if problem is not None:
            yield problem
    if settings.pruning == "fisher" and not rule.gives_evidence:
        yield Contradiction(
            ("pruning", "learning_rule"),
            f"pruning fisher is not allowed with learning_rule {settings.learning_rule}, which sees no gradients; must"
            " be magnitude or none",
        )
    if settings.races and settings.num_trials > 1:
        yield Contradiction(
            ("racing", "num_trials"),
            f"racing {settings.racing} is not allowed with num_trials {settings.num_trials}, a race is decided by one"
            " training each; leave one out",
        )
    candidates = getattr(settings, "evolution_strategy_num_candidates", 0)
    is_antithetic = getattr(settings, "evolution_strategy_antithetic", False)
    if settings.learning_rule == "evolution_strategy" and is_antithetic and candidates % 2:
        yield Contradiction(
            ("evolution_strategy_num_candidates", "evolution_strategy_antithetic"),
            f"evolution_strategy_num_candidates {candidates} is not allowed with evolution_strategy_antithetic true,"
            " which tries every perturbation in both directions; must be even",
        )
    beta, target = (getattr(settings, f"metropolis_{name}", 0.0) for name in ("beta", "target_acceptance"))
    if settings.learning_rule == "metropolis" and beta == math.inf and target >= 0.5:
        yield Contradiction(
            ("metropolis_target_acceptance", "metropolis_beta"),
            f"metropolis_target_acceptance {target:g} is not allowed with metropolis_beta .inf, where small steps are"
            " accepted half of the time and sigma would shrink without end; must be below 0.5",
        )
    if settings.redraw_feedback and settings.evolves and settings.feedback_seed is not None:
        yield Contradiction(
            ("feedback_seed", "redraw_feedback"),
            f"feedback_seed {settings.feedback_seed} is not allowed with redraw_feedback true, which draws feedback"
            " weights anew in every training",
        )
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


def flatness_problem(
    rule: type[LearningRule], hidden: Collection[str], outputs: Collection[str], *, only_outputs: bool
) -> Contradiction | None:
    """Return why a learning rule that follows slopes finds none, if that is so.

    Parameters
    ----------
    rule
        The learning rule.
    hidden
        Names of the activations that hidden nodes can have; empty if there are no hidden nodes.
    outputs
        The same for output nodes.
    only_outputs
        Whether connections to the outputs alone are trained.
    """
    for name, activations, needs_slopes in (
        ("output_activation", outputs, rule.needs_output_derivatives),
        ("activations", hidden, rule.needs_derivatives and not only_outputs),
    ):
        if needs_slopes and activations and all(ACTIVATIONS[one].is_flat for one in activations):
            flat = ", ".join(sorted(activations))
            return Contradiction(
                (name, "learning_rule"),
                f"{name} {flat} is not allowed with learning_rule {rule.name}, which needs slopes where {flat} has"
                " none; evolution_strategy and metropolis do without",
            )
    return None


def mutated_activations(settings: Settings) -> set[str]:
    """Return the names of the activations that mutation can give to hidden nodes."""
    draws = any(getattr(settings, name, 0) > 0 for name in ("p_add_node", "p_change_activation", "p_grow_node"))
    return set(settings.activations) if settings.evolves and settings.num_mutations_per_generation and draws else set()


def _initial_activations(settings: Settings) -> set[str]:
    """Activations of the hidden nodes of generation 0."""
    if settings.hidden_layers is not None:
        return set(settings.activations[:1]) if settings.hidden_layers else set()
    has_hidden = settings.initial_networks == "dense" or settings.p_initial_add_node > 0
    return set(settings.activations) if has_hidden else set()


def _architecture(settings: Settings) -> Iterator[Contradiction]:
    """Of the first network and what it may grow to."""
    if settings.hidden_layers is not None and settings.network is not None:
        yield Contradiction(
            ("hidden_layers", "network"),
            f"hidden_layers {list(settings.hidden_layers)} and network {settings.network!r} are not allowed together,"
            " both say what the first network is",
        )
    if settings.hidden_layers is not None and min(settings.hidden_layers, default=1) < 1:
        yield Contradiction(
            ("hidden_layers",),
            f"hidden_layers {list(settings.hidden_layers)} is not allowed, every layer must have at least 1 node",
        )


def _task(settings: Settings) -> Iterator[Contradiction]:
    """Of the data, or of environments in their place."""
    if settings.env_name is not None:
        yield from _environment(settings)
    if not find_dataset(settings.dataset).is_file:
        for name in ("target_column", "test_file"):
            value = getattr(settings, name)
            if value is not None:
                yield Contradiction(
                    (name, "dataset"),
                    f"{name} {value!r} is not allowed with dataset {settings.dataset!r},"
                    " only a .csv or .npz table has one",
                )


def _environment(settings: Settings) -> Iterator[Contradiction]:
    """Of an environment in place of data."""
    if "dataset" in settings.model_fields_set:
        yield Contradiction(
            ("dataset", "env_name"),
            f"dataset {settings.dataset!r} and env_name {settings.env_name!r} are not allowed together",
        )
    rule = LEARNING_RULES[settings.learning_rule]
    if not settings.is_weight_agnostic and not rule.follows_scores:
        able = [name for name, one in LEARNING_RULES.items() if one.follows_scores]
        yield Contradiction(
            ("learning_rule", "env_name"),
            f"learning_rule {settings.learning_rule} is not allowed with env_name {settings.env_name!r}, an environment"
            f" says how good a network was, not what it should have done; must be one of {', '.join(able)}"
            " (run_wann.py needs no rule)",
        )
    for name, nothing in (
        ("validation_ratio", 0.0),
        ("num_samples", None),
        ("final_epochs", 0),
        ("control", "none"),
        ("pruning", "none"),
        ("reward_data", "training"),
        ("initial_networks", "sparse"),
    ):
        value = getattr(settings, name)
        if value != nothing:
            yield Contradiction(
                (name, "env_name"),
                f"{name} {value} is not allowed with env_name {settings.env_name!r}, which has no samples;"
                " leave it out",
            )
    if not settings.evolves:
        yield Contradiction(
            ("num_generations", "env_name"),
            f"num_generations 0 is not allowed with env_name {settings.env_name!r}; evolve for 1 generation or more",
        )


def _computation(settings: Settings) -> Iterator[Contradiction]:
    """Of backends and workers."""
    if settings.num_workers == 0:
        yield Contradiction(("num_workers",), "num_workers 0 is not allowed, must be at least 1, or -1 for every core")
    backend, address = settings.joblib_backend, settings.scheduler_address
    if address is not None and backend not in backends.CLUSTERS:
        yield Contradiction(
            ("scheduler_address", "joblib_backend"),
            f"scheduler_address {address!r} is not allowed with joblib_backend {backend}, which needs no scheduler;"
            f" must be {' or '.join(backends.CLUSTERS)}",
        )
    asked = next((name for name in ("use_cuda", "use_torch") if getattr(settings, name)), "kernel")
    value = settings.kernel if asked == "kernel" else "true"
    if asked != "kernel" and settings.kernel == "reference":
        yield Contradiction((asked, "kernel"), f"{asked} true is not allowed with kernel reference, which is numpy")
    if asked == "use_torch" and settings.kernel == "torch_cuda":
        yield Contradiction(
            (asked, "kernel"),
            "use_torch true is not allowed with kernel torch_cuda, it would compute on the CPU; leave it out",
        )
    reason = obstacle(settings.kernel_name)
    if reason is not None:
        yield Contradiction((asked,), f"{asked} {value} is not allowed, {reason}")
