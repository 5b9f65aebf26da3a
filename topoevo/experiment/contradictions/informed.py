"""Of informed search: evidence, pruning, rewards on samples held out, and several sizes at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from topoevo.experiment.contradictions.contradiction import Contradiction
from topoevo.learning import LEARNING_RULES

if TYPE_CHECKING:
    from topoevo.experiment.settings import Settings

#: Network files with more would be larger than their reader accepts.
MAX_CONNECTIONS = 500_000


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


def of_informed_search(settings: Settings) -> Iterator[Contradiction]:
    """Of pruning, of what makes rewards, and of several sizes at once."""
    front = settings.front_connections
    if front is not None and (not front or front[0] < 1 or any(a >= b for a, b in pairwise(front))):
        yield Contradiction(
            ("front_connections",),
            f"front_connections {list(front)} is not allowed, must be one or more whole numbers, at least 1, ascending",
        )
    largest = max(front or [settings.max_connections or 0])
    if settings.pruning != "none" and largest > MAX_CONNECTIONS:
        name = "front_connections" if front else "max_connections"
        yield Contradiction(
            (name, "pruning"),
            f"{name} {list(front) if front else largest} is not allowed with pruning {settings.pruning}, a network may"
            f" have at most {MAX_CONNECTIONS}",
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
            "front_connections needs pruning; must be fisher, magnitude or activity",
        )
    if settings.pruning != "none" and front is None and settings.max_connections is None:
        yield Contradiction(
            ("pruning", "max_connections", "front_connections"),
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
            "initial_networks dense is not allowed with pruning none, which leaves them fully connected; must be"
            " fisher, magnitude or activity",
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
    if settings.final_decay_factors is not None:
        if not all(0.0 <= one < math.inf for one in settings.final_decay_factors) or not settings.final_decay_factors:
            yield Contradiction(
                ("final_decay_factors",),
                f"final_decay_factors {list(settings.final_decay_factors)} is not allowed, must be numbers of at"
                " least 0, like 0.1 0.3 1 3",
            )
        if settings.final_epochs and settings.validation_ratio == 0.0:
            yield Contradiction(
                ("final_decay_factors", "validation_ratio"),
                "final_decay_factors is not allowed with validation_ratio 0, which holds no samples out that could"
                " choose; must be above 0",
            )
    if not settings.train_elites and (settings.reward_data == "training" or not settings.inherit_weights):
        yield Contradiction(
            ("train_elites", "reward_data", "inherit_weights"),
            "train_elites false is not allowed without inherit_weights true and reward_data validation or both: an"
            " elite that is not trained needs weights, and samples that judge them",
        )
