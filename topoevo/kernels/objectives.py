"""Steps of learning that need nothing but the losses of candidate weights, on samples or in episodes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels.arrays import Floats
from topoevo.kernels.candidates import Perturbations, Proposals, Shaping
from topoevo.kernels.optimization import OptimizerState

#: From candidate weights, float32 [num_candidates, num_edges], to their losses, float64 [num_candidates].
Objective = Callable[[Floats], NDArray[np.float64]]


def estimate_gradient(
    objective: Objective,
    weights: Floats,
    plastic: NDArray[np.bool_],
    perturbations: Perturbations,
    rng: np.random.Generator,
) -> tuple[Floats, NDArray[np.float64]]:
    """Return what an optimizer follows under an evolution strategy, and the losses of the candidates.

    See `Kernel.train_by_perturbations`.

    Parameters
    ----------
    objective
        Losses of candidates.
    weights, plastic
        Float and bool [num_edges].
    perturbations
        How candidates are drawn, and what becomes of their losses.
    rng
        Draws the noise.

    Returns
    -------
    gradient, losses
        Float [num_edges], of use if all losses are finite, and float64 [num_candidates].
    """
    p = perturbations
    num_noises = p.num_candidates // 2 if p.antithetic else p.num_candidates
    noise = np.zeros((num_noises, len(weights)), weights.dtype)
    noise[:, plastic] = rng.standard_normal((num_noises, np.count_nonzero(plastic)), np.float32)
    directions = np.concatenate([noise, -noise]) if p.antithetic else noise
    losses = objective(weights + (p.sigma * directions).astype(weights.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        shaped = shaped_losses(losses, p.shaping, p.sigma).astype(weights.dtype)
        gradient: Floats = shaped @ directions / weights.dtype.type(p.num_candidates)
    return gradient, losses


def walk(
    objective: Objective,
    weights: Floats,
    loss: float,
    proposals: Proposals,
    state: OptimizerState,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Change `weights` in place by the Metropolis proposals of one step; return their loss and the acceptance rate.

    See `Kernel.train_by_proposals`.

    Parameters
    ----------
    objective
        Losses of candidates; it gets one at a time.
    weights
        Float [num_edges].
    loss
        Theirs.
    proposals
        How candidates are drawn and accepted.
    state
        Holds the scale of the proposals, which changes.
    rng
        Draws noise and acceptances.
    """
    num_accepted = 0
    for _ in range(proposals.num_per_step):
        noise = rng.standard_normal(len(weights), np.float32)
        candidate = weights + (state.scale * proposals.deviation * noise).astype(weights.dtype)
        proposed = float(objective(candidate[np.newaxis])[0])
        accepted = _accepts(proposed - loss, proposals.beta, rng)
        if accepted:
            weights[:] = candidate
            loss = proposed
            num_accepted += 1
        if proposals.target_acceptance > 0:
            state.scale *= math.exp(proposals.GAIN * (accepted - proposals.target_acceptance))
    return loss, num_accepted / proposals.num_per_step


def shaped_losses(losses: NDArray[np.float64], shaping: Shaping, sigma: float) -> NDArray[np.float64]:
    """Return what an evolution strategy makes of the losses of its candidates; see `Shaping`.

    Equal losses share their rank; candidates that are all equal say nothing, whatever the shaping.

    Parameters
    ----------
    losses
        float64 [num_candidates].
    shaping, sigma
        See `Perturbations`.
    """
    if shaping is Shaping.RAW:
        return losses / sigma
    if shaping is Shaping.CENTERED_RANKS:
        below = (losses[:, None] > losses).sum(axis=1)
        ties = (losses[:, None] == losses).sum(axis=1) - 1
        ranks: NDArray[np.float64] = (below + 0.5 * ties) / (len(losses) - 1) - 0.5
        return ranks
    deviation = losses.std()
    return (losses - losses.mean()) / deviation if deviation > 0 else np.zeros_like(losses)


def _accepts(increase: float, beta: float, rng: np.random.Generator) -> bool:
    """Whether a Metropolis walk takes a step that increases the loss by so much; never one to a loss that is NaN."""
    if math.isinf(beta):
        return increase <= 0
    return rng.random() < math.exp(min(-beta * increase, 0.0))
