"""Optimizers: from a gradient to a change of weights.

Each is a table of numbers for `topoevo.kernels.base.UpdateRule`, which every backend implements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from topoevo.kernels.base import Optimization, UpdateRule

#: Learning rate of the last step under ``lr_schedule: linear``, as a fraction of the first.
LINEAR_FINAL_RATIO = 0.02

#: How the learning rate changes within one training, by name: the fraction of it that is left at the last step.
LR_SCHEDULES: Mapping[str, float] = MappingProxyType({"constant": 1.0, "linear": LINEAR_FINAL_RATIO})


def _sgd(lr: float, momentum: float, weight_decay: float, final_lr_ratio: float) -> Optimization:
    """Stochastic gradient descent with heavy-ball momentum."""
    return Optimization(UpdateRule.SGD, lr, final_lr_ratio, first_decay=momentum, weight_decay=weight_decay)


def _adam(lr: float, momentum: float, weight_decay: float, final_lr_ratio: float) -> Optimization:
    """Adam with the constants of Kingma & Ba 2015; decay as an L2 penalty."""
    return Optimization(UpdateRule.ADAM, lr, final_lr_ratio, 0.9, 0.999, 1e-8, weight_decay)


def _adamw(lr: float, momentum: float, weight_decay: float, final_lr_ratio: float) -> Optimization:
    """Adam with decoupled decay (Loshchilov & Hutter 2019)."""
    return Optimization(UpdateRule.ADAM, lr, final_lr_ratio, 0.9, 0.999, 1e-8, weight_decay, decoupled=True)


def _adadelta(lr: float, momentum: float, weight_decay: float, final_lr_ratio: float) -> Optimization:
    """Adadelta with the constants of torch: decay .9, epsilon 1e-6 (Zeiler 2012 has .95)."""
    return Optimization(UpdateRule.ADADELTA, lr, final_lr_ratio, 0.0, 0.9, 1e-6, weight_decay)


#: Optimizers by name.
OPTIMIZERS: Mapping[str, Callable[[float, float, float, float], Optimization]] = MappingProxyType(
    {"sgd": _sgd, "adam": _adam, "adamw": _adamw, "adadelta": _adadelta}
)


def make_optimization(
    optimizer: str, *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0, lr_schedule: str = "constant"
) -> Optimization:
    """Return the update settings of a named optimizer.

    Parameters
    ----------
    optimizer
        Name of `OPTIMIZERS`.
    lr
        Learning rate of the first step.
    momentum
        Of sgd; the others ignore it.
    weight_decay
        Pull to zero, per step.
    lr_schedule
        Name of `LR_SCHEDULES`.
    """
    return OPTIMIZERS[optimizer](lr, momentum, weight_decay, LR_SCHEDULES[lr_schedule])
