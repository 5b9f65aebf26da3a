"""What single learning rules do, and the choice of an optimizer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from topoevo.kernels import Batches, Loss, Schedule, UpdateRule
from topoevo.kernels.optimization import learning_rate
from topoevo.learning import LEARNING_RULES
from topoevo.learning.optimizers import FINAL_RATIO, LR_SCHEDULES, OPTIMIZERS, WITH_MOMENTUM, make_optimization


def train(network, kernel, rule, *, seed: int = 0, optimization=None) -> np.ndarray:
    """Weights after a few epochs on random labels."""
    rng = np.random.default_rng(seed)
    batches = Batches.lay_out(
        rng.normal(size=(50, network.num_inputs)).astype(np.float32),
        rng.integers(0, network.num_outputs, 50).astype(np.int32),
        batch_size=20,
    )
    learner = rule.start(
        network,
        network.weight,
        kernel=kernel,
        optimization=optimization or make_optimization("adam", lr=0.05),
        loss=Loss.CROSS_ENTROPY,
        rng=np.random.default_rng(seed),
    )
    learner.train(batches, np.tile(np.arange(3, dtype=np.int32), (4, 1)))
    return learner.weights


@pytest.fixture
def network(evolve_network):
    """Return a smooth network with hidden edges and output edges."""
    network = evolve_network(3, activations=("tanh", "sigmoid"), num_mutations=40)
    assert 3 < network.into_output.sum() < network.num_edges - 3
    return network


def test_backprop_moves_every_edge(network, compiled) -> None:
    assert (train(network, compiled, LEARNING_RULES["backprop"]()) != network.weight).all()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_last_layer_leaves_hidden_weights_untouched(network, compiled, reference, weight_decay: float) -> None:
    optimization = make_optimization("adamw", lr=0.05, weight_decay=weight_decay)
    for kernel in (compiled, reference):
        weights = train(network, kernel, LEARNING_RULES["last_layer"](), optimization=optimization)
        assert weights[~network.into_output].tobytes() == network.weight[~network.into_output].tobytes()
        assert (weights[network.into_output] != network.weight[network.into_output]).all()


def test_last_layer_is_backprop_of_outputs_alone(network, compiled) -> None:
    last_layer = train(network, compiled, LEARNING_RULES["last_layer"]())
    only_outputs = train(network, compiled, LEARNING_RULES["backprop"](train_only_outputs=True))
    assert last_layer.tobytes() == only_outputs.tobytes()
    one_step = make_optimization("sgd", lr=0.1)
    full = train(network, compiled, LEARNING_RULES["backprop"](), optimization=one_step)
    assert (full != last_layer).any()


def test_optimizers_are_what_their_names_say() -> None:
    assert set(OPTIMIZERS) == {"sgd", "adam", "adamw", "adadelta", "rmsprop", "none"}
    sgd = make_optimization("sgd", lr=0.3, momentum=0.8, weight_decay=0.01)
    assert (sgd.rule, sgd.lr, sgd.first_decay, sgd.weight_decay, sgd.decoupled) == (
        UpdateRule.SGD,
        0.3,
        0.8,
        0.01,
        False,
    )
    adam, adamw = (make_optimization(name, lr=0.01, momentum=0.5, weight_decay=0.1) for name in ("adam", "adamw"))
    for optimization, decoupled in ((adam, False), (adamw, True)):
        assert (optimization.rule, optimization.first_decay, optimization.second_decay, optimization.epsilon) == (
            UpdateRule.ADAM, 0.9, 0.999, 1e-8
        )  # fmt: skip
        assert optimization.decoupled is decoupled
    adadelta = make_optimization("adadelta", lr=1.0)
    assert (adadelta.rule, adadelta.second_decay, adadelta.epsilon) == (UpdateRule.ADADELTA, 0.9, 1e-6)
    rmsprop = make_optimization("rmsprop", lr=0.01, momentum=0.5)
    assert (rmsprop.rule, rmsprop.first_decay, rmsprop.second_decay) == (UpdateRule.RMSPROP, 0.5, 0.99)
    assert make_optimization("none", lr=0.1).rule is UpdateRule.NONE
    with_momentum = {name for name in OPTIMIZERS if make_optimization(name, lr=1.0, momentum=0.3).first_decay == 0.3}
    assert with_momentum == set(WITH_MOMENTUM)


def test_gradients_are_left_alone_unless_asked() -> None:
    plain = make_optimization("sgd", lr=0.1)
    assert (plain.max_grad_norm, plain.grad_power) == (math.inf, 1.0)
    changed = make_optimization("sgd", lr=0.1, max_grad_norm=2.0, grad_power=0.5)
    assert (changed.max_grad_norm, changed.grad_power) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [0.1] * 5),
        ("linear", [0.1, 0.0755, 0.051, 0.0265, 0.002]),
        # (1 + cos(pi t)) / 2 at a quarter, half and three quarters: .853553, .5, .146447.
        ("cosine", [0.1, 0.002 + 0.098 * 0.853553, 0.051, 0.002 + 0.098 * 0.146447, 0.002]),
    ],
)
def test_schedules(name: str, expected: list[float]) -> None:
    assert set(LR_SCHEDULES) == {"constant", "linear", "cosine"}
    assert FINAL_RATIO == 0.02
    for optimizer in OPTIMIZERS:
        optimization = make_optimization(optimizer, lr=0.1, lr_schedule=name)
        rates = [learning_rate(optimization, step, 5) for step in range(7)]
        assert rates == pytest.approx([*expected, expected[-1], expected[-1]], rel=1e-5)
        assert learning_rate(optimization, 0, 1) == 0.1
    assert LR_SCHEDULES["cosine"][0] is Schedule.COSINE


def test_a_training_counts_samples_and_epochs(network, compiled) -> None:
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(50, 5)).astype(np.float32), rng.integers(0, 3, 50).astype(np.int32)
    batches = Batches.lay_out(inputs, labels, batch_size=20)
    learner = LEARNING_RULES["backprop"]().start(
        network, network.weight, kernel=compiled, optimization=make_optimization("sgd", lr=0.0),
        loss=Loss.CROSS_ENTROPY, rng=rng,
    )  # fmt: skip
    history = learner.train(batches, np.array([[2, 0, 1], [1, 2, 0]], np.int32))
    assert history.sizes.tolist() == [10, 20, 20, 20, 10, 20]
    assert history.steps_per_epoch == 3
    # At rate 0 both epochs see the same network: their means over samples are the score of the whole set.
    outputs = learner.outputs(batches).astype(np.float64)
    scores = outputs - np.log(np.exp(outputs).sum(axis=0))
    expected = -scores[labels, np.arange(50)].mean(), np.mean(outputs.argmax(axis=0) == labels)
    for period in ("integral", "last_epoch"):
        assert history.mean(period) == pytest.approx(expected, rel=1e-5)
    assert history.losses[0] == pytest.approx(history.losses[4], rel=1e-6)
