"""Networks without edges, trainings without steps, and losses that are not finite, on every backend."""

from __future__ import annotations

import math

import numpy as np
import pytest

from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.kernels import Kernel, Loss, Perturbations, Plasticity, Proposals, Shaping
from topoevo.learning.optimizers import make_optimization
from topoevo.network import compile_network

from .trainings import everywhere, loops, perturbed, proposed, trained, two_outputs


@pytest.mark.parametrize("loop", Kernel.LOOPS)
def test_a_network_without_edges(any_kernel, make_batches, loop: str) -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(3, 2, p_enabled=0.0, tracker=tracker, rng=np.random.default_rng(0))
    network = compile_network(genome.split(0, tracker=tracker).without_connection(2))
    assert network.num_edges == 0
    batches = make_batches(0, network, classes=True, num_samples=5, batch_size=2)
    found = loops(network)[loop](any_kernel, network, batches, np.arange(3, dtype=np.int32))
    assert found.scores.losses == pytest.approx(np.log(2))
    assert np.array_equal(any_kernel.outputs(network, network.weight, batches), np.zeros((2, 5), np.float32))


@pytest.mark.parametrize("loop", Kernel.LOOPS)
def test_no_steps_is_no_change(evolve_network, make_batches, any_kernel, loop: str) -> None:
    network = evolve_network(0)
    batches = make_batches(0, network, classes=True, num_samples=5, batch_size=2)
    found = loops(network)[loop](any_kernel, network, batches, np.zeros(0, np.int32))
    assert found.weights.tobytes() == network.weight.tobytes()
    assert (len(found.scores.losses), found.state.steps) == (0, 0)


@pytest.mark.parametrize("loop", Kernel.LOOPS)
@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(
    "weights", [(np.nan, 1), (1, np.nan), (np.inf, 1), (1, -np.inf), (np.inf, np.inf), (3e38, -3e38)], ids=str
)
def test_training_stops_at_the_first_loss_that_is_not_finite(
    any_kernel, loop: str, loss: Loss, weights: tuple[float, float], make_batches
) -> None:
    network = two_outputs(*weights)
    plain = two_outputs(1, 1)
    batches = make_batches(0, plain, classes=loss.has_classes, num_samples=4, batch_size=4)
    batches.inputs[:] = 10.0
    if loss.has_classes:
        batches.targets[:] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        found = loops(network)[loop](any_kernel, network, batches, np.zeros(3, np.int32), loss)
    assert np.isnan(found.scores.losses).all()
    assert np.isnan(found.scores.accuracies).all()
    assert found.weights.tobytes() == network.weight.tobytes(), "no step on a loss that is not finite"
    assert found.state.steps == 0


def test_no_step_on_candidates_whose_losses_are_not_finite(any_kernel, make_batches) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=False, num_samples=4, batch_size=4)
    perturbations = Perturbations(4, 1e30, True, Shaping.CENTERED_RANKS)
    with np.errstate(over="ignore", invalid="ignore"):
        found = perturbed(
            any_kernel,
            network,
            everywhere(network),
            perturbations,
            make_optimization("sgd", lr=0.1),
            batches,
            np.zeros(3, np.int32),
            Loss.MEAN_SQUARED_ERROR,
        )
    assert np.isnan(found.scores.losses).all()
    assert found.weights.tolist() == [1, 1]
    assert found.state.steps == 0


@pytest.mark.parametrize("beta", [math.inf, 1.0, 0.0])
def test_no_walk_to_a_loss_that_is_not_a_number(any_kernel, make_batches, beta: float) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=True, num_samples=4, batch_size=4)
    batches.inputs[:] = 1e9
    proposals = Proposals(np.full(2, 3e38), beta, 4)
    with np.errstate(over="ignore", invalid="ignore"):
        found = proposed(any_kernel, network, proposals, batches, np.zeros(2, np.int32))
    assert (found.scores.acceptances == 0).all()
    assert found.weights.tolist() == [1, 1]
    assert found.state.steps == 2


def test_losses_before_a_divergence_are_kept(any_kernel, make_batches) -> None:
    network = two_outputs(1, 1)
    batches = make_batches(0, network, classes=False, num_samples=4, batch_size=4)
    batches.inputs[:] = 1e4
    plasticity, sgd = Plasticity(everywhere(network)), make_optimization("sgd", lr=1e3)
    with np.errstate(over="ignore", invalid="ignore"):
        _, scores, state = trained(
            any_kernel, network, plasticity, sgd, batches, np.zeros(20, np.int32), Loss.MEAN_SQUARED_ERROR
        )
    finite = np.isfinite(scores.losses)
    assert 1 <= finite.sum() < 20
    assert finite[: finite.sum()].all()
    assert np.isnan(scores.losses[finite.sum() :]).all()
    assert state.steps == finite.sum()
