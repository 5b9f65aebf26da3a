"""Random feedback: whose it is, how large it is, and what it does to errors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import kstest

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.kernels import Loss
from topoevo.learning import LEARNING_RULES
from topoevo.learning.initialization import WEIGHT_INITS
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network, compile_network
from topoevo.seeds import Stream, normals_of_pairs

RULES = ("feedback_alignment", "direct_feedback_alignment")


def feedback(name: str, network: Network, *, seed: int = 0, weight_init: str = "normal", **options) -> Mapping:
    """Feedback weight of every pair of node ids."""
    plasticity = LEARNING_RULES[name](**options).plasticity(network, weight_init=weight_init, feedback_seed=seed)
    ids = network.node_id
    if name == "feedback_alignment":
        return dict(zip(zip(ids[network.source], ids[network.target], strict=True), plasticity.feedback, strict=True))
    outputs = network.num_nodes - network.num_outputs
    return {
        (ids[row], ids[outputs + k]): plasticity.direct[row - network.num_sources, k]
        for row in range(network.num_sources, outputs)
        for k in range(network.num_outputs)
    }


@pytest.fixture(scope="module")
def family(make_operator) -> list[Network]:
    """Return a network and its descendants, each one mutation further."""
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = minimal_genome(5, 3, p_enabled=1.0, tracker=tracker, rng=rng, bias=True)
    networks = []
    for name in ["add_node"] * 6 + ["add_connection"] * 6 + ["add_node", "add_connection", "remove_connection"] * 5:
        genome = make_operator(name, output_connections=True, bias=True)(genome, tracker, rng) or genome
        networks.append(compile_network(genome))
    return networks[5:]


@pytest.mark.parametrize("scale", ["forward", "unit"])
@pytest.mark.parametrize("name", RULES)
def test_a_child_has_the_feedback_of_its_parent(name: str, scale: str, family: list[Network]) -> None:
    parent = feedback(name, family[0], seed=3, scale=scale)
    assert len(parent) == len(set(parent.values()))
    for child in family[1:]:
        inherited = feedback(name, child, seed=3, scale=scale)
        common = parent.keys() & inherited.keys()
        assert len(common) > 5
        assert {pair: parent[pair] for pair in common} == {pair: inherited[pair] for pair in common}
    assert inherited.keys() - parent.keys(), "there are new ones, too"


@pytest.mark.parametrize("name", RULES)
def test_every_seed_has_feedback_of_its_own(name: str, family: list[Network]) -> None:
    one, other = (feedback(name, family[-1], seed=seed) for seed in (0, 1))
    assert one == feedback(name, family[-1], seed=0)
    assert all(one[pair] != other[pair] for pair in one)


@pytest.mark.parametrize("name", RULES)
def test_every_training_has_the_same_feedback(name: str, family: list[Network], compiled) -> None:
    learners = [
        LEARNING_RULES[name]().start(
            family[-1],
            family[-1].weight,
            kernel=compiled,
            optimization=make_optimization("sgd", lr=0.1),
            loss=Loss.CROSS_ENTROPY,
            rng=np.random.default_rng(seed),
            feedback_seed=4,
        )
        for seed in (0, 1)
    ]
    kind = "feedback" if name == "feedback_alignment" else "direct"
    first, second = (getattr(learner.plasticity, kind) for learner in learners)
    assert first.tobytes() == second.tobytes()
    assert len(first) > 0


def test_the_scale_of_feedback_alignment(dense) -> None:
    """Deviation of 5,200 numbers: its relative error is 1 / sqrt(2 n), 1 %."""
    network = dense((50, 100, 2), activation="tanh", weight_std=0.1)
    n = np.count_nonzero(~network.from_bias)
    for weight_init in WEIGHT_INITS:
        plasticity = LEARNING_RULES["feedback_alignment"]().plasticity(
            network, weight_init=weight_init, feedback_seed=1
        )
        forward = WEIGHT_INITS[weight_init](network)
        scaled = plasticity.feedback[~network.from_bias] / forward[~network.from_bias]
        assert scaled.std() == pytest.approx(1, abs=4 / math.sqrt(2 * n))
        assert scaled.mean() == pytest.approx(0, abs=4 / math.sqrt(n))
    hidden = plasticity.feedback[~network.from_bias & ~network.into_output]
    assert weight_init == "he"
    assert hidden.std() == pytest.approx(math.sqrt(2 / 50), rel=0.05)
    unit = LEARNING_RULES["feedback_alignment"](scale="unit").plasticity(network, weight_init="he", feedback_seed=1)
    assert unit.feedback.std() == pytest.approx(1, abs=4 / math.sqrt(2 * network.num_edges))


def test_the_scale_of_direct_feedback(dense) -> None:
    network = dense((2, 400, 9), activation="tanh", weight_std=0.1)
    for scale, expected in (("forward", 1 / 3), ("unit", 1)):
        direct = LEARNING_RULES["direct_feedback_alignment"](scale=scale).plasticity(network).direct
        assert direct.shape == (400, 9)
        assert direct.std() == pytest.approx(expected, rel=4 / math.sqrt(2 * direct.size))
        assert direct.mean() == pytest.approx(0, abs=4 * expected / math.sqrt(direct.size))


@pytest.mark.parametrize("name", RULES)
def test_one_step_by_definition(name: str, evolve_network, make_batches, compiled, reference) -> None:
    """Lillicrap et al. 2016, eq. 4, and Nøkland 2016, eq. 7, node by node and sample by sample."""
    network = evolve_network(8, activations=("tanh", "sigmoid", "relu"), output_activation="tanh", num_mutations=60)
    batches = make_batches(0, network, classes=False, num_samples=6, batch_size=6)
    rule = LEARNING_RULES[name]()
    plasticity = rule.plasticity(network, weight_init="normal", feedback_seed=2)
    inputs, targets = batches.inputs[0].astype(np.float64), batches.targets[0]
    weights = network.weight.astype(np.float64)
    z, x = reference.forward(network, weights, inputs)
    first_output = network.num_nodes - network.num_outputs
    assert first_output - network.num_sources > 5
    products = np.zeros(network.num_edges)
    for sample in range(6):
        error = np.zeros(network.num_nodes)
        for row in reversed(range(network.num_sources, network.num_nodes)):
            if row >= first_output:
                carried = 2 * (x[row, sample] - targets[row - first_output, sample]) / network.num_outputs
            elif name == "feedback_alignment":
                carried = sum(
                    plasticity.feedback[e] * error[network.target[e]]
                    for e in range(network.num_edges)
                    if network.source[e] == row
                )
            else:
                carried = sum(
                    plasticity.direct[row - network.num_sources, k] * error[first_output + k]
                    for k in range(network.num_outputs)
                )
            activation = ACTIVATIONS_BY_CODE[network.activation[row - network.num_sources]]
            error[row] = carried * activation.derivative(z[row - network.num_sources, sample], x[row, sample])
        products += error[network.target] * x[network.source, sample] / 6
    for kernel in (compiled, reference):
        learner = rule.start(
            network, network.weight, kernel=kernel, optimization=make_optimization("sgd", lr=0.5),
            loss=Loss.MEAN_SQUARED_ERROR, rng=np.random.default_rng(0), weight_init="normal", feedback_seed=2,
        )  # fmt: skip
        learner.train(batches, np.zeros((1, 1), np.int32))
        assert learner.weights == pytest.approx(weights - 0.5 * products, abs=1e-5)


def test_numbers_of_pairs_are_normal() -> None:
    """400 x 250 pairs of neighboring ids; tolerances are 4 standard errors."""
    first, second = np.arange(400)[:, None], np.arange(250)
    normals = normals_of_pairs(0, Stream.FEEDBACK, first, second)
    n = normals.size
    assert normals.shape == (400, 250)
    assert normals.mean() == pytest.approx(0, abs=4 / math.sqrt(n))
    assert normals.var() == pytest.approx(1, abs=4 * math.sqrt(2 / n))
    assert np.mean(normals**3) == pytest.approx(0, abs=4 * math.sqrt(15 / n))
    assert np.mean(normals**4) == pytest.approx(3, abs=4 * math.sqrt(96 / n))
    assert kstest(normals.ravel(), "norm").pvalue > 0.001
    assert len(np.unique(normals)) == n
    # Neighbors along rows and columns, pairs the other way round, and other seeds know nothing of each other.
    above = np.triu_indices(250, 1)
    for one, other in (
        (normals[1:], normals[:-1]),
        (normals[:, 1:], normals[:, :-1]),
        (normals[:250][above], normals[:250].T[above]),
        (normals, normals_of_pairs(1, Stream.FEEDBACK, first, second)),
    ):
        correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        assert correlation == pytest.approx(0, abs=4 / math.sqrt(one.size))


def test_the_two_ways_between_two_nodes_differ() -> None:
    first, second = np.triu_indices(300, 1)
    there = normals_of_pairs(0, Stream.FEEDBACK, first, second)
    back = normals_of_pairs(0, Stream.FEEDBACK, second, first)
    assert len(np.unique(np.concatenate([there, back]))) == 300 * 299


def test_a_number_depends_on_its_pair_alone() -> None:
    many = normals_of_pairs(5, Stream.FEEDBACK, np.arange(50), np.arange(50)[::-1])
    one = normals_of_pairs(5, Stream.FEEDBACK, np.array([7]), np.array([42]))
    assert one[0] == many[7]
    far = normals_of_pairs(5, Stream.FEEDBACK, np.array([2**31 - 1]), np.array([0]))
    assert np.isfinite(far).all()
