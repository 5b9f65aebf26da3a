"""What several settings together come to, for whoever trains networks by them."""

from __future__ import annotations

import math
from dataclasses import replace

from topoevo.experiment.params import Params
from topoevo.kernels import Optimization
from topoevo.learning.optimizers import make_optimization

#: Number of connections at which ``weight_decay`` holds as it is, where it depends on that number.
_DECAY_UNIT = 1000
#: Share of a weight that a step may take away before it is told.
_STRONG = 0.5


def limits_of(params: Params) -> tuple[int, ...] | None:
    """Return how many connections the networks of each island may have, or those of all; None if that is not said."""
    if params.front_connections is not None:
        return params.front_connections
    return None if params.max_connections is None else (params.max_connections,)


def optimization_of(params: Params) -> Optimization:
    """Return the weight update that the settings describe."""
    return make_optimization(
        params.optimizer,
        lr=params.lr,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        lr_schedule=params.lr_schedule,
        max_grad_norm=params.max_grad_norm,
        grad_power=params.grad_power,
        label_smoothing=params.label_smoothing,
        weight_averaging=params.weight_averaging,
    )


def decay_share_of(params: Params, num_samples: int) -> float:
    """Return what is left of the weight decay with so many training samples, from above 0 to 1.

    Parameters
    ----------
    params
        With ``weight_decay_samples``.
    num_samples
        Training samples, distorted copies not counted.

    Notes
    -----
    The prior of the weights stands beside the sum of the samples' losses (Bishop 2006, Pattern recognition and machine
    learning, eq. 1.67), so that beside their mean it counts one part in their number.
    """
    limit = params.weight_decay_samples
    return 1.0 if limit is None else min(1.0, limit / max(num_samples, 1))


def decay_of(params: Params, num_samples: int, num_connections: int) -> float:
    """Return the weight decay in the middle of what a training may draw.

    Parameters
    ----------
    params
        With ``weight_decay``, ``weight_decay_samples`` and ``weight_decay_scaling``.
    num_samples, num_connections
        Training samples without distorted copies, and connections that the training leads to.
    """
    share = decay_share_of(params, num_samples)
    return scaled_decay(share * params.weight_decay, params.weight_decay_scaling, num_connections)


def scaled_decay(decay: float, power: float, num_connections: int) -> float:
    """Return the weight decay of a network, in proportion to a power of its connections; that of 1000 is as given."""
    return decay * math.pow(num_connections / _DECAY_UNIT, power)


def stable(optimization: Optimization) -> Optimization:
    """Return a weight update whose decay never takes more than the whole weight.

    A step of decoupled decay takes lr λ w from a weight w (Loshchilov & Hutter 2019, algorithm 2, line 12): above
    lr λ = 1 it turns weights around, above 2 they grow without end.
    """
    if not optimization.decoupled or optimization.lr * optimization.weight_decay <= 1.0:
        return optimization
    return replace(optimization, weight_decay=1.0 / optimization.lr)


def strong_decay(params: Params, num_samples: int) -> list[str]:
    """Return what to tell a user about a weight decay that leaves hardly anything to learn; usually nothing.

    Parameters
    ----------
    params
        Settings of the run.
    num_samples
        Training samples without distorted copies.
    """
    size = params.largest_size
    if size is None and params.weight_decay_scaling:
        return []
    decay = decay_of(params, num_samples, _DECAY_UNIT if size is None else size)
    if not optimization_of(params).decoupled or params.lr * decay < _STRONG:
        return []
    share = min(params.lr * decay, 1.0)
    where, fewer = (f" at {size} connections", "fewer connections or ") if params.weight_decay_scaling else ("", "")
    return [
        f"the weight decay of {decay:.3g}{where} takes {share:.0%} of every weight at each step, "
        f"at lr {params.lr:g}, so that networks hardly learn: name {fewer}a smaller weight_decay"
    ]


def feedback_seed_of(params: Params) -> int | None:
    """Return the seed of feedback weights: their own, or that of the run; None if every training has new ones."""
    if params.redraw_feedback and params.evolves:
        return None
    return params.seed if params.feedback_seed is None else params.feedback_seed
