"""What a training begins with that inherits the memory of an optimizer."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.kernels import Batches, Loss, OptimizerState, load_kernel
from topoevo.learning import LEARNING_RULES
from topoevo.learning.inheritance import inherit
from topoevo.learning.optimizers import OPTIMIZERS, make_optimization, optimizer_remembers
from topoevo.network import compile_network

NAMES = ["sgd", "adam", "adamw", "adadelta", "rmsprop"]


@pytest.fixture
def start(evolve, reference):
    """Return a learner of a random network."""

    def build(optimizer="adam", *, seed=4, rule="backprop", schedule="constant", num_steps=0, averaging=0.0, **options):
        network = compile_network(evolve(seed, num_mutations=60))
        momentum = 0.9 if optimizer in ("sgd", "rmsprop") else 0.0
        return LEARNING_RULES[rule](**options).start(
            network,
            network.weight,
            kernel=reference,
            optimization=make_optimization(
                optimizer, lr=0.01, momentum=momentum, lr_schedule=schedule, weight_averaging=averaging
            ),
            loss=Loss.CROSS_ENTROPY,
            rng=np.random.default_rng(0),
            num_steps=num_steps,
        )

    return build


@pytest.fixture(params=["reference", "numba", "torch"])
def any_kernel(request):
    if request.param == "torch":
        pytest.importorskip("torch")
    return load_kernel(request.param)


@pytest.fixture
def batches():
    rng = np.random.default_rng(1)
    inputs, labels = rng.normal(size=(40, 5)).astype(np.float32), rng.integers(3, size=40).astype(np.int32)
    return Batches.lay_out(inputs, labels, batch_size=8)


def averages(num_edges, seed=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=num_edges).astype(np.float32), rng.random(num_edges).astype(np.float32)


def test_new_edges_begin_at_zero(start) -> None:
    learner = start()
    first, second = averages(learner.network.num_edges)
    known = np.random.default_rng(3).random(len(first)) < 0.5
    inherit(learner, known, first, second, num_steps=70)
    for found, given in ((learner.state.first, first), (learner.state.second, second)):
        assert found.dtype == np.float32
        assert found[known].tobytes() == given[known].tobytes() and not found[~known].any()
    assert known.any() and not known.all()
    assert (learner.state.num_inherited, learner.state.steps, learner.state.age) == (70, 0, 70)


def test_averages_that_are_not_finite_are_unknown(start) -> None:
    learner = start()
    first, second = averages(learner.network.num_edges)
    first[0], second[1] = np.nan, np.inf
    known = np.ones(len(first), np.bool_)
    inherit(learner, known, first, second, num_steps=5)
    assert np.isfinite(learner.state.first).all() and np.isfinite(learner.state.second).all()
    for found, given in ((learner.state.first, first), (learner.state.second, second)):
        assert found[:2].tolist() == [0, 0] and (found[2:] == given[2:]).all()


@pytest.mark.parametrize("settings", [{"rule": "last_layer"}, {"rule": "hebbian"}, {"train_only_outputs": True}])
def test_edges_that_do_not_learn_remember_nothing(start, settings) -> None:
    learner = start(**settings)
    plastic = learner.plasticity.plastic
    assert 0 < plastic.sum() < len(plastic)
    first, second = averages(len(plastic))
    inherit(learner, np.ones(len(plastic), np.bool_), first, second, num_steps=5)
    assert not learner.state.first[~plastic].any() and not learner.state.second[~plastic].any()
    assert (learner.state.second[plastic] == second[plastic]).all()


def test_nothing_known_is_a_beginning(start) -> None:
    learner = start()
    first, second = averages(learner.network.num_edges)
    inherit(learner, np.zeros(len(first), np.bool_), first, second, num_steps=5)
    assert learner.state.age == 0 and not learner.state.first.any() and not learner.state.second.any()


@pytest.mark.parametrize("optimizer", NAMES)
def test_what_goes_on_is_what_never_paused(start, batches, any_kernel, optimizer) -> None:
    """Two trainings of one pass, the second with the memory of the first, are one of two passes to the bit."""
    order = np.array([[3, 1, 0, 4, 2]], np.int32)
    whole, half = start(optimizer), start(optimizer)
    whole.kernel = half.kernel = any_kernel
    whole.train(batches, np.concatenate([order, order]))
    half.train(batches, order)
    again, forgetful = start(optimizer), start(optimizer)
    for learner in (again, forgetful):
        learner.kernel = any_kernel
        learner.weights = half.weights.copy()
    known = np.ones(half.network.num_edges, np.bool_)
    inherit(again, known, half.state.first, half.state.second, num_steps=half.state.age)
    again.train(batches, order)
    forgetful.train(batches, order)
    assert again.weights.tobytes() == whole.weights.tobytes() != forgetful.weights.tobytes()
    assert again.state.second.tobytes() == whole.state.second.tobytes()
    assert again.state.first.tobytes() == whole.state.first.tobytes()
    assert again.state.age == whole.state.age == 10 and again.state.steps == 5


@pytest.mark.parametrize("rule", ["backprop", "evolution_strategy"])
def test_the_age_of_averages_moves_neither_learning_rates_nor_averaging(start, batches, any_kernel, rule) -> None:
    order = np.array([[3, 1, 0, 4, 2]], np.int32)
    found = []
    for num_inherited in (0, 1000):
        learner = start("sgd", rule=rule, schedule="cosine", num_steps=5, averaging=0.4)
        learner.kernel = any_kernel
        learner.state.num_inherited = num_inherited
        learner.train(batches, order)
        found.append(learner.weights.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("rule", ["backprop", "evolution_strategy"])
def test_adam_is_corrected_by_the_age_of_its_averages(start, batches, any_kernel, rule) -> None:
    """The first step of a new edge among old ones, beside that of a new network: (1 - b1) / sqrt(1 - b2) times."""
    steps = {}
    for age in (0, 500):
        learner = start("adam", rule=rule)
        learner.kernel = any_kernel
        before = learner.weights.copy()
        learner.state.num_inherited = age
        learner.train(batches, np.array([[0]], np.int32))
        steps[age] = learner.weights - before
    # Those whose gradient is large beside epsilon.
    moved = np.abs(steps[0]) > 0.009999
    # What is left of the corrections after 501 steps, besides.
    expected = (0.1 / (1 - 0.9**501)) / np.sqrt(0.001 / (1 - 0.999**501))
    assert moved.sum() > 5
    np.testing.assert_allclose(steps[500][moved] / steps[0][moved], expected, rtol=2e-3)


def test_the_age_survives_a_pause(start) -> None:
    learner, other = start(), start()
    assert "num_inherited" not in learner.memory()
    learner.state.num_inherited = 12
    other.recall(learner.memory())
    assert other.state.num_inherited == 12


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_an_optimizer_remembers_if_the_same_step_differs_after_another(reference, optimizer, momentum) -> None:
    optimization = make_optimization(optimizer, lr=0.1, momentum=momentum)
    moves = []
    for gradients in ([1.0, 1.0], [-3.0, 1.0]):
        state, weights = OptimizerState.zeros(1), np.zeros(1, np.float32)
        for gradient in gradients:
            before = weights.copy()
            reference.update(
                optimization, state, weights, np.full(1, gradient, np.float32), np.ones(1, np.bool_), lr=0.1
            )
        # In double precision, as the weights differ.
        moves.append(float(weights[0]) - float(before[0]))
    assert (abs(moves[0] - moves[1]) > 1e-6) == optimizer_remembers(optimizer, momentum)
