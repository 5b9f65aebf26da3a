"""The Metropolis rule against theory: Whitelam, Selin, Park & Tamblyn 2021, and statistical mechanics.

Let a proposal be eps ~ N(0, sigma_i^2) and z = beta |sigma * gradient|. Where the loss is straight over one proposal,
its increase is normal with mean 0 and deviation z / beta, and integrating over it gives

    acceptance     1/2 + 1/2 erfcx(z / sqrt 2)                  -> 1/2                                    for beta -> oo
    mean step_i    -beta sigma_i^2 1/2 erfcx(z / sqrt 2) g_i    -> -sigma_i^2 g_i / (sqrt(2 pi) |sigma * g|)
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import erfcx

from topoevo.kernels import Batches, Kernel, Loss, OptimizerState, Proposals
from topoevo.learning import LEARNING_RULES
from topoevo.learning.base import Learner
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network

SIGMA = 1e-4
#: Proposals between returns to the fixed point: by then the walk is 1e-3 away and its gradient as good as the same.
BLOCK = 20


def start(
    network: Network, kernel: Kernel, *, seed: int = 0, loss: Loss = Loss.MEAN_SQUARED_ERROR, **options
) -> Learner:
    return LEARNING_RULES["metropolis"](**options).start(
        network,
        network.weight,
        kernel=kernel,
        optimization=make_optimization("none", lr=1.0),
        loss=loss,
        rng=np.random.default_rng(seed),
    )


def steps(count: int) -> np.ndarray:
    """Epochs of a single minibatch."""
    return np.zeros((count, 1), np.int32)


@pytest.fixture(scope="module")
def regression() -> Batches:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(8, 3)).astype(np.float32)
    return Batches.lay_out(inputs, np.sin(2 * inputs[:, :1]) + 1, batch_size=8)


@pytest.fixture(scope="module")
def network(dense) -> Network:
    """Return 3-2-1 tanh nodes with biases: 11 weights, fan-in 3 and 2."""
    return dense((3, 2, 1))


def gradient(network: Network, batches: Batches, reference: Kernel) -> np.ndarray:
    """Gradient of the squared error at the network's own weights, in double precision."""
    weights, inputs = network.weight.astype(np.float64), batches.inputs[0].astype(np.float64)
    weighted_inputs, activities = reference.forward(network, weights, inputs)
    output_errors = reference.output_errors(
        Loss.MEAN_SQUARED_ERROR, activities[-network.num_outputs :], batches.targets[0]
    )
    errors = reference.backward(network, weights, weighted_inputs, activities, output_errors)
    return reference.edge_products(network, errors, activities) / inputs.shape[1]


def draws(num_proposals: int, num_edges: int, beta: float, seed: int) -> np.ndarray:
    """Noise of every proposal as `Kernel.train_by_proposals` promises it, float32 [num_proposals, num_edges]."""
    rng, noise = np.random.default_rng(seed), np.empty((num_proposals, num_edges), np.float32)
    for row in noise:
        rng.standard_normal(out=row, dtype=np.float32)
        if not math.isinf(beta):
            rng.random()
    return noise


def observe(
    network: Network, kernel: Kernel, batches: Batches, deviation: np.ndarray, beta: float, num_proposals: int
) -> tuple[np.ndarray, float]:
    """Mean step of proposals from the network's own weights, and the fraction accepted.

    The mean over accepted proposals is taken as minus that over rejected ones, which is the same but for the mean of
    all, zero in theory, and has less noise where few are rejected. The steps themselves are checked on the way.
    """
    rng, state = np.random.default_rng(0), OptimizerState.zeros(network.num_edges)
    proposals = Proposals(deviation, beta, num_per_step=1)
    order = np.zeros(BLOCK, np.int32)
    blocks, ends = [], []
    for _ in range(num_proposals // BLOCK):
        weights = network.weight.copy()
        scores = kernel.train_by_proposals(
            network, weights, proposals, state, batches, order, Loss.MEAN_SQUARED_ERROR, rng
        )
        blocks.append(scores.acceptances)
        ends.append(weights)
    accepted = np.concatenate(blocks)
    assert set(np.unique(accepted)) <= {0.0, 1.0}
    noise = draws(len(accepted), network.num_edges, beta, 0) * deviation
    taken = (noise * accepted[:, None]).reshape(-1, BLOCK, network.num_edges).sum(axis=1)
    # Single precision rounds every step to 2^-24 of a weight; none is above 2.
    np.testing.assert_allclose(ends - network.weight, taken, rtol=0, atol=BLOCK * 2 * 2.0**-24)
    return -(noise * (1 - accepted)[:, None]).mean(axis=0), float(accepted.mean())


def assert_drift(observed: np.ndarray, expected: np.ndarray) -> None:
    """Cosine at least .99, lengths equal within 5 %."""
    lengths = np.linalg.norm(observed), np.linalg.norm(expected)
    assert observed @ expected / np.prod(lengths) >= 0.99
    assert lengths[0] == pytest.approx(lengths[1], rel=0.05)


# With r the fraction rejected and s the length of the mean step over sigma, the noise of n proposals relative to it is
# about sqrt(2 r / n) / s along the step and sqrt(10 r / n) / s across: for z = .03 (r = .012, s = .015, n = 4e5) 1.7 %
# and 3.7 %, which leaves the cosine at .9993; for z >= .3 (s >= .12, n = 1e5) below 1.2 % and 2.6 %. Acceptance: at
# most .5 / sqrt(1e5) = .0016.
@pytest.mark.parametrize(("z", "num_proposals"), [(0.03, 4e5), (0.3, 1e5), (1.0, 1e5), (3.0, 1e5), (math.inf, 1e5)])
def test_the_mean_step_follows_the_gradient(
    z: float, num_proposals: float, network: Network, regression: Batches, compiled, reference
) -> None:
    slope = gradient(network, regression, reference)
    length = np.linalg.norm(slope)
    deviation = np.full(network.num_edges, SIGMA)
    beta = z / (SIGMA * length)
    mean, acceptance = observe(network, compiled, regression, deviation, beta, int(num_proposals))
    if math.isinf(z):
        expected = -SIGMA / math.sqrt(2 * math.pi) * slope / length
    else:
        expected = -beta * SIGMA**2 * 0.5 * erfcx(z / math.sqrt(2)) * slope
    assert_drift(mean, expected)
    assert acceptance == pytest.approx(0.5 + 0.5 * (0 if math.isinf(z) else erfcx(z / math.sqrt(2))), rel=0.01)


@pytest.mark.parametrize("z", [1.0, math.inf])
def test_every_weight_has_a_deviation_of_its_own(
    z: float, network: Network, regression: Batches, compiled, reference
) -> None:
    slope = gradient(network, regression, reference)
    deviation = (
        SIGMA * np.geomspace(0.2, 2.0, network.num_edges)[np.random.default_rng(0).permutation(network.num_edges)]
    )
    deviation[3] = 0
    length = np.linalg.norm(deviation * slope)
    beta = z / length
    mean, acceptance = observe(network, compiled, regression, deviation, beta, 100_000)
    share = math.sqrt(2 / math.pi) / length if math.isinf(z) else beta * erfcx(z / math.sqrt(2))
    expected = -0.5 * deviation**2 * share * slope
    assert -slope @ expected < 0.95 * np.linalg.norm(slope) * np.linalg.norm(expected), "not the plain direction"
    assert_drift(mean, expected)
    assert mean[3] == 0
    assert acceptance == pytest.approx(0.5 + 0.5 * (0 if math.isinf(z) else erfcx(z / math.sqrt(2))), rel=0.01)


def test_a_walk_of_a_linear_network_visits_what_boltzmann_says(dense, compiled) -> None:
    """The loss above its minimum is a sum of d squares: its mean is d / (2 beta), its variance d / (2 beta^2)."""
    network = dense((3, 1), bias=False)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(16, 3)).astype(np.float32)
    targets = rng.normal(size=(16, 1)).astype(np.float32)
    least = np.linalg.lstsq(inputs.astype(np.float64), targets, rcond=None)[1][0] / len(inputs)
    batches = Batches.lay_out(inputs, targets, batch_size=16)
    beta = 4.0
    learner = start(network, compiled, sigma=0.4, beta=beta, num_proposals=4)
    losses = learner.train(batches, steps(40_000)).losses[1000:]
    parts = (losses - least).reshape(100, -1).mean(axis=1)
    error = parts.std(ddof=1) / math.sqrt(len(parts))
    expected = 3 / (2 * beta)
    assert error < 0.02 * expected
    assert parts.mean() == pytest.approx(expected, abs=4 * error)
    assert losses.var() == pytest.approx(3 / (2 * beta**2), rel=0.15)
    assert losses.min() >= least - 1e-6


def test_at_zero_temperature_no_loss_is_above_the_one_before(network: Network, regression: Batches, compiled) -> None:
    cold = start(network, compiled, sigma=0.1, num_proposals=3).train(regression, steps(300)).losses
    assert (np.diff(cold) <= 0).all()
    assert cold[-1] < 0.5 * cold[0]
    warm = start(network, compiled, sigma=0.1, num_proposals=3, beta=30.0).train(regression, steps(300)).losses
    assert (np.diff(warm) > 0).sum() > 30, "a finite temperature does climb"


def test_another_minibatch_is_judged_by_its_own_loss(network: Network, compiled) -> None:
    """A walk on a hard minibatch, then an easy one: the loss of the first must not excuse steps on the second."""
    inputs = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    targets = np.repeat([[1000.0], [0.0]], 4, axis=0).astype(np.float32)
    batches = Batches.lay_out(inputs, targets, batch_size=4)
    order = np.tile(np.array([0, 1, 1], np.int32), (50, 1))
    losses = start(network, compiled, sigma=0.3, num_proposals=1).train(batches, order).losses.reshape(50, 3)
    assert (losses[:, 2] <= losses[:, 1]).all()
    assert (losses[:, 2] < losses[:, 1]).any()


@pytest.mark.parametrize("sigma", [1e-4, 3.0])
def test_deviations_are_led_to_the_acceptance_asked_for(
    sigma: float, network: Network, regression: Batches, compiled
) -> None:
    """Each proposal adds gain times (accepted - target) to the logarithm of the scale: so it settles at the target."""
    learner = start(network, compiled, sigma=sigma, num_proposals=5, target_acceptance=0.25, beta=50.0)
    history = learner.train(regression, steps(400))
    log_scale = Proposals.GAIN * 5 * np.cumsum(history.acceptances - 0.25)
    assert math.log(learner.state.scale) == pytest.approx(log_scale[-1], abs=1e-9)
    settled = history.acceptances[200:]
    # Neighbors share the scale, which pulls them back: their mean strays less than 1000 independent proposals would.
    assert settled.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 1000))
    assert (learner.state.scale > 5) if sigma < 1 else (learner.state.scale < 0.5)
    fixed = start(network, compiled, sigma=sigma, num_proposals=5, beta=50.0)
    other = fixed.train(regression, steps(400)).acceptances[200:].mean()
    assert fixed.state.scale == 1
    assert abs(other - 0.25) > 0.1


def test_at_infinite_temperature_everything_is_accepted(network: Network, regression: Batches, compiled) -> None:
    history = start(network, compiled, sigma=0.5, beta=0.0).train(regression, steps(30))
    assert (history.acceptances == 1).all()


@pytest.mark.parametrize("beta", [0.0, 1.0, math.inf])
def test_a_step_to_nowhere_is_never_taken(beta: float, dense, regression: Batches, compiled) -> None:
    network = dense((3, 2, 1), activation="relu")
    learner = start(network, compiled, sigma=1e38, beta=beta)
    history = learner.train(regression, steps(5))
    assert not history.diverged
    assert (history.acceptances == 0).all()
    assert learner.weights.tobytes() == network.weight.tobytes()


def test_scaling(evolve_network) -> None:
    network = evolve_network(4, num_mutations=60)
    layer = {row: int(network.layer[row]) for row in range(network.num_nodes)}
    computed = range(network.num_sources, network.num_nodes)
    inputs = {
        row: sum(1 for e in range(network.num_edges) if network.target[e] == row and not network.from_bias[e])
        for row in computed
    }
    every = np.ones(network.num_edges, np.bool_)
    by_node, by_layer = (
        LEARNING_RULES["metropolis"](sigma=0.3, scaling=scaling).deviations(network, every)
        for scaling in ("fan_in", "layer")
    )
    for e, row in enumerate(network.target):
        assert by_node[e] == pytest.approx(0.3 / math.sqrt(max(inputs[row], 1)))
        others = [inputs[other] for other in computed if layer[other] == layer[row]]
        assert by_layer[e] == pytest.approx(0.3 / math.sqrt(max(np.mean(others), 1)))
    assert len(set(by_node)) > 2
    assert len(set(by_layer)) > 2
    plain = LEARNING_RULES["metropolis"](sigma=0.3).deviations(network, network.into_output)
    assert plain.tolist() == np.where(network.into_output, 0.3, 0.0).tolist()


def test_it_trains_steps(dense, classification, compiled) -> None:
    """Hidden steps have no slope: a rule that follows errors leaves the weights below them as they are."""
    network = dense((5, 8, 3), activation="step")
    inputs, labels = classification(2, num_samples=90)
    batches = Batches.lay_out(inputs, labels, batch_size=90)
    learner = start(network, compiled, loss=Loss.CROSS_ENTROPY, sigma=0.1, num_proposals=20)
    history = learner.train(batches, steps(60))
    hidden = ~network.into_output
    assert (learner.weights[hidden] != network.weight[hidden]).all()
    assert history.accuracies[-1] >= 0.95 > 0.6 > history.accuracies[0]
