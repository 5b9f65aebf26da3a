"""Of the task, the first network, and what computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from topoevo.experiment import backends
from topoevo.experiment.contradictions.contradiction import Contradiction
from topoevo.kernels import obstacle
from topoevo.learning import LEARNING_RULES
from topoevo.tasks.base import find_dataset

if TYPE_CHECKING:
    from topoevo.experiment.settings import Settings


def of_architecture(settings: Settings) -> Iterator[Contradiction]:
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


def of_task(settings: Settings) -> Iterator[Contradiction]:
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


def of_computation(settings: Settings) -> Iterator[Contradiction]:
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
