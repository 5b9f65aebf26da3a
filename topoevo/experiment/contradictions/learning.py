"""Of learning rules, optimizers and what they are applied to, or of weights that are shared."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from topoevo.activations import ACTIVATIONS
from topoevo.experiment.contradictions.contradiction import Contradiction
from topoevo.learning import LEARNING_RULES
from topoevo.learning.optimizers import WITH_MOMENTUM

if TYPE_CHECKING:
    from topoevo.experiment.settings import Settings
    from topoevo.learning import LearningRule

#: Sums of inputs times a weight that is larger soon leave the range of single precision.
_MAX_SHARED_WEIGHT = 1e6


def of_learning(settings: Settings) -> Iterator[Contradiction]:
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
            " be magnitude, activity or none",
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


def of_shared_weights(settings: Settings) -> Iterator[Contradiction]:
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
