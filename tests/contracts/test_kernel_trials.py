"""Every backend learns by trials, perturbations and proposals, as the reference does."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.kernels import Loss, Perturbations, Proposals, Shaping
from topoevo.learning.optimizers import OPTIMIZERS, make_optimization

from .trainings import (
    LEARNING_RATES,
    assert_same,
    everywhere,
    make_plasticity,
    palette_id,
    perturbed,
    proposed,
    two_outputs,
)


@pytest.mark.parametrize("shaping", Shaping)
@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("palette", [("tanh",), ("step",), tuple(ACTIVATIONS)], ids=palette_id)
@pytest.mark.parametrize("loss", Loss)
def test_perturbations(
    evolve_network, make_batches, kernel, reference, shaping: Shaping, antithetic: bool, palette, loss: Loss
) -> None:
    network = evolve_network(2, activations=palette, num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=21, batch_size=8)
    run = partial(
        perturbed,
        network=network,
        plastic=make_plasticity("some edges", network).plastic,
        perturbations=Perturbations(8, 0.1, antithetic, shaping),
        optimization=make_optimization("sgd", lr=0.02, momentum=0.5, lr_schedule="linear"),
        batches=batches,
        order=np.array([0, 2, 1, 0], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)
    found = run(kernel)
    assert (found.weights[~run.keywords["plastic"]] == network.weight[~run.keywords["plastic"]]).all()
    assert (found.weights != network.weight).any()


@pytest.mark.parametrize("num_candidates", [2, 3, 40])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_perturbations_with_every_optimizer(
    evolve_network, make_batches, kernel, reference, num_candidates: int, optimizer: str
) -> None:
    network = evolve_network(5, activations=("tanh", "sigmoid"), num_mutations=30, weight_std=0.5)
    batches = make_batches(1, network, classes=True, num_samples=20, batch_size=8)
    run = partial(
        perturbed,
        network=network,
        plastic=everywhere(network),
        perturbations=Perturbations(num_candidates, 0.1, num_candidates % 2 == 0, Shaping.STANDARDIZED),
        optimization=make_optimization(optimizer, lr=LEARNING_RATES[optimizer], weight_decay=0.01, max_grad_norm=2.0),
        batches=batches,
        order=np.array([0, 1, 2, 2], np.int32),
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("shaping", Shaping)
def test_candidates_that_are_all_equal_say_nothing(make_batches, any_kernel, shaping: Shaping) -> None:
    """Outputs that are steps far from 0 do not notice a perturbation."""
    network = two_outputs(30, 30, activation="step")
    batches = make_batches(0, network, classes=True, num_samples=6, batch_size=6)
    batches.inputs[:] = 1.0
    found = perturbed(
        any_kernel,
        network,
        everywhere(network),
        Perturbations(4, 0.1, True, shaping),
        make_optimization("sgd", lr=0.1),
        batches,
        np.zeros(2, np.int32),
    )
    np.testing.assert_allclose(found.weights, network.weight, rtol=1e-6)
    assert found.state.steps == 2


@pytest.mark.parametrize("beta", [math.inf, 200.0, 3.0, 0.0])
@pytest.mark.parametrize("target_acceptance", [0.0, 0.3])
@pytest.mark.parametrize("palette", [("tanh",), ("step",), tuple(ACTIVATIONS)], ids=palette_id)
@pytest.mark.parametrize("loss", Loss)
def test_proposals(
    evolve_network, make_batches, kernel, reference, beta: float, target_acceptance: float, palette, loss: Loss
) -> None:
    network = evolve_network(2, activations=palette, num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=21, batch_size=8)
    some = make_plasticity("some edges", network).plastic
    deviation = np.where(some, np.linspace(0.01, 0.1, network.num_edges), 0.0)
    run = partial(
        proposed,
        network=network,
        proposals=Proposals(deviation, beta, 5, target_acceptance),
        batches=batches,
        order=np.array([0, 2, 1, 0], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)
    found = run(kernel)
    assert (found.weights[~some] == network.weight[~some]).all()
    assert (found.state.scale != 1) == (target_acceptance > 0)
    if beta == 0:
        assert (found.scores.acceptances == 1).all()
    elif math.isinf(beta) and palette == ("tanh",):
        assert 0 < found.scores.acceptances.mean() < 1


@pytest.mark.parametrize("beta", [math.inf, 1.0])
def test_what_does_not_change_the_loss_is_accepted(make_batches, any_kernel, beta: float) -> None:
    network = two_outputs(30, 30, activation="step")
    batches = make_batches(0, network, classes=True, num_samples=6, batch_size=6)
    batches.inputs[:] = 1.0
    found = proposed(any_kernel, network, Proposals(np.full(2, 0.1), beta, 4), batches, np.zeros(2, np.int32))
    assert (found.scores.acceptances == 1).all()
    assert (found.weights != network.weight).all()
