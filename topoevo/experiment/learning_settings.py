"""What several settings together come to, for whoever trains networks by them."""

from __future__ import annotations

from topoevo.experiment.params import Params
from topoevo.kernels import Optimization
from topoevo.learning.optimizers import make_optimization


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


def feedback_seed_of(params: Params) -> int | None:
    """Return the seed of feedback weights: their own, or that of the run; None if every training has new ones."""
    if params.redraw_feedback and params.evolves:
        return None
    return params.seed if params.feedback_seed is None else params.feedback_seed
