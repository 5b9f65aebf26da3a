"""Optimizers: from a gradient to a change of weights.

Each is a table of numbers for `topoevo.kernels.optimization.UpdateRule`, which every backend implements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from topoevo.kernels.optimization import Optimization, Schedule, UpdateRule

#: Learning rate of the last step under a schedule that falls, as a fraction of the first.
FINAL_RATIO = 0.02

#: How the learning rate changes within one training, by name: the course, and the fraction left at the last step.
LR_SCHEDULES: Mapping[str, tuple[Schedule, float]] = MappingProxyType(
    {
        "constant": (Schedule.LINEAR, 1.0),
        "linear": (Schedule.LINEAR, FINAL_RATIO),
        "cosine": (Schedule.COSINE, FINAL_RATIO),
    }
)

#: Optimizers by name; sgd and rmsprop get their momentum from the settings.
OPTIMIZERS: Mapping[str, Optimization] = MappingProxyType(
    {
        "sgd": Optimization(UpdateRule.SGD, 0.0),
        # The constants of Kingma & Ba 2015; decay as an L2 penalty.
        "adam": Optimization(UpdateRule.ADAM, 0.0, first_decay=0.9, second_decay=0.999),
        # Decoupled decay, Loshchilov & Hutter 2019.
        "adamw": Optimization(UpdateRule.ADAM, 0.0, first_decay=0.9, second_decay=0.999, decoupled=True),
        # The constants of torch; Zeiler 2012 has .95.
        "adadelta": Optimization(UpdateRule.ADADELTA, 0.0, second_decay=0.9, epsilon=1e-6),
        # The constants of torch; Tieleman & Hinton 2012 have .9.
        "rmsprop": Optimization(UpdateRule.RMSPROP, 0.0, second_decay=0.99),
        "none": Optimization(UpdateRule.NONE, 0.0),
    }
)
#: Those that have a momentum.
WITH_MOMENTUM = ("sgd", "rmsprop")


def optimizer_remembers(optimizer: str, momentum: float) -> bool:
    """Return whether an optimizer of `OPTIMIZERS` has a memory of earlier steps, with a momentum where it takes one."""
    rule = OPTIMIZERS[optimizer].rule
    return rule is not UpdateRule.NONE and (rule is not UpdateRule.SGD or momentum > 0.0)


def make_optimization(
    optimizer: str,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    lr_schedule: str = "constant",
    max_grad_norm: float | None = None,
    grad_power: float = 1.0,
    label_smoothing: float = 0.0,
    weight_averaging: float = 0.0,
) -> Optimization:
    """Return the update settings of a named optimizer.

    Parameters
    ----------
    optimizer
        Name of `OPTIMIZERS`.
    lr
        Learning rate of the first step.
    momentum
        Of sgd and rmsprop; the others ignore it.
    weight_decay
        Pull to zero, per step.
    lr_schedule
        Name of `LR_SCHEDULES`.
    max_grad_norm, grad_power
        See `Optimization`; None stands for infinity.
    label_smoothing, weight_averaging
        See `Optimization`.
    """
    schedule, final_lr_ratio = LR_SCHEDULES[lr_schedule]
    named = OPTIMIZERS[optimizer]
    return replace(
        named,
        lr=lr,
        final_lr_ratio=final_lr_ratio,
        schedule=schedule,
        first_decay=momentum if optimizer in WITH_MOMENTUM else named.first_decay,
        weight_decay=weight_decay,
        max_grad_norm=math.inf if max_grad_norm is None else max_grad_norm,
        grad_power=grad_power,
        label_smoothing=label_smoothing,
        weight_averaging=weight_averaging,
    )
