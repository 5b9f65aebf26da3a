"""What several settings together come to, for whoever trains networks by them."""

from __future__ import annotations

import math

from topoevo.experiment.params import Params
from topoevo.kernels import Optimization
from topoevo.learning import LEARNING_RULES
from topoevo.learning.optimizers import make_optimization

#: Number of connections at which ``weight_decay`` holds as it is, where it depends on that number.
_DECAY_UNIT = 1000
#: Decay above which there is a warning: it keeps weights below about a tenth.
_MUCH_DECAY = 10.0


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


def decay_ratio_of(params: Params, num_samples: int) -> float:
    """Return the factor of the weight decay that the number of training samples makes, above 0 and at most 1.

    Parameters
    ----------
    params
        With ``weight_decay_samples``.
    num_samples
        Training samples, without those of the validation and without distorted copies.

    Notes
    -----
    The square was found by trial (benchmarks/INFORMED_SEARCH.md, Tables). An L2 penalty that stands for a prior falls
    in inverse proportion to the number of samples beside the mean of their losses (Bishop 2006, Pattern recognition and
    machine learning, eq. 1.67); a decoupled decay is no such penalty, and Loshchilov & Hutter 2019 (appendix B.1) let
    it fall with the square root of the number of samples times that of epochs.
    """
    limit = params.weight_decay_samples
    return 1.0 if limit is None else (min(limit, num_samples) / num_samples) ** 2


def decay_of(decay: float, *, ratio: float, power: float, num_connections: int) -> float:
    """Return the weight decay of a training, in the middle of what it may draw.

    Parameters
    ----------
    decay
        That of the settings.
    ratio
        See `decay_ratio_of`.
    power, num_connections
        The decay is in proportion to this power of the number of connections that the training leads to, of which
        1000 have it as it is.
    """
    return ratio * decay * math.pow(num_connections / _DECAY_UNIT, power)


def excessive_decay(params: Params, *, num_samples: int, num_connections: int | None) -> list[str]:
    """Return a warning of a weight decay with which networks learn little; usually none.

    The steps of Adam are about as long as the learning rate, so that a decoupled decay λ lets weights grow to about
    1 / λ, whatever the learning rate is.

    Parameters
    ----------
    params
        Settings of a run.
    num_samples
        See `decay_ratio_of`.
    num_connections
        Of the largest networks; None if that is not known.
    """
    follows = not params.is_weight_agnostic and LEARNING_RULES[params.learning_rule].follows_gradient
    power = params.weight_decay_scaling
    if not follows or not optimization_of(params).decoupled or (num_connections is None and power):
        return []
    ratio, size = decay_ratio_of(params, num_samples), num_connections or _DECAY_UNIT
    decay = decay_of(params.weight_decay, ratio=ratio, power=power, num_connections=size)
    if decay <= _MUCH_DECAY:
        return []
    whose = f", that of networks with {size} connections," if power else ""
    return [
        f"warning: a weight decay of {decay:.3g}{whose} hardly lets a weight grow above {1.0 / decay:.2g}; "
        "if they learn too little, try a smaller weight_decay"
    ]


def feedback_seed_of(params: Params) -> int | None:
    """Return the seed of feedback weights: their own, or that of the run; None if every training has new ones."""
    if params.redraw_feedback and params.evolves:
        return None
    return params.seed if params.feedback_seed is None else params.feedback_seed
