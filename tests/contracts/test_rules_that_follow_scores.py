"""Every registered rule that says `follows_scores` steps down any objective, as it does down the loss of a minibatch.

Written on the registry: a rule in a new file is tested without a line here, unless it needs options of its own to learn
as much as the others in the same time.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from topoevo.kernels import Batches, Kernel, Loss
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network

NAMES = [name for name, rule in LEARNING_RULES.items() if rule.follows_scores]
#: Options with which rules learn that take smaller steps by default.
OPTIONS = {"metropolis": {"sigma": 0.05, "num_proposals": 40}}


@pytest.fixture(params=NAMES)
def rule(request: pytest.FixtureRequest) -> LearningRule:
    """Return a rule."""
    return LEARNING_RULES[request.param](**OPTIONS.get(request.param, {}))


@pytest.fixture(params=[name for name in NAMES if LEARNING_RULES[name].changes_weights])
def learning_rule(request: pytest.FixtureRequest) -> LearningRule:
    """Return a rule that learns."""
    return LEARNING_RULES[request.param](**OPTIONS.get(request.param, {}))


@pytest.fixture(scope="module")
def network(evolve_network) -> Network:
    """Return a network with edges into hidden and output nodes."""
    network: Network = evolve_network(4, num_mutations=10)
    assert network.into_output.any() and not network.into_output.all()
    return network


class Bowl:
    """Squared distance from an optimum, and everybody who has asked for it."""

    def __init__(self, network: Network) -> None:
        self.optimum = np.random.default_rng(7).normal(size=network.num_edges)
        self.losses: list[float] = []

    def __call__(self, candidates: np.ndarray) -> np.ndarray:
        assert candidates.dtype == np.float32 and candidates.ndim == 2
        found = ((candidates - self.optimum) ** 2).sum(axis=1)
        self.losses += found.tolist()
        return found


def follow(rule, objective, network: Network, kernel: Kernel, *, seed: int = 0, num_steps: int = 60, **settings):
    return rule.follow(
        objective,
        network,
        network.weight,
        kernel=kernel,
        optimization=make_optimization("adam", lr=0.1, **settings),
        rng=np.random.default_rng(seed),
        num_steps=num_steps,
    )


def test_rules_say_what_they_can(network: Network, reference: Kernel) -> None:
    for name, rule in LEARNING_RULES.items():
        assert rule.follows_scores == (rule.follow is not LearningRule.follow), name
        if not rule.follows_scores:
            with pytest.raises(NotImplementedError, match=f"{name} needs to know more than scores"):
                follow(rule(), Bowl(network), network, reference)


def test_it_comes_close_to_the_optimum(learning_rule: LearningRule, network: Network, compiled: Kernel) -> None:
    bowl = Bowl(network)
    before = bowl(network.weight[np.newaxis])[0]
    found = follow(learning_rule, bowl, network, compiled, num_steps=200)
    assert bowl(found[np.newaxis])[0] < 0.01 * before


def test_a_rule_changes_weights_if_it_says_so(rule: LearningRule, network: Network, compiled: Kernel) -> None:
    before = network.weight.tobytes()
    found = follow(rule, Bowl(network), network, compiled)
    assert network.weight.tobytes() == before
    assert found.dtype == np.float32 and found is not network.weight
    assert (found.tobytes() != before) == rule.changes_weights
    assert follow(rule, Bowl(network), network, compiled, num_steps=0).tobytes() == before


def test_the_same_seed_gives_the_same_bytes(learning_rule: LearningRule, network: Network, compiled: Kernel) -> None:
    one, same, other = (
        follow(learning_rule, Bowl(network), network, compiled, seed=seed).tobytes() for seed in (0, 0, 1)
    )
    assert one == same != other


def test_train_only_outputs_holds(learning_rule: LearningRule, network: Network, compiled: Kernel) -> None:
    only_outputs = dataclasses.replace(learning_rule, train_only_outputs=True)
    changed = follow(only_outputs, Bowl(network), network, compiled) != network.weight
    assert changed[network.into_output].all() and not changed[~network.into_output].any()


@pytest.mark.parametrize(
    "settings",
    [{}, {"lr_schedule": "linear"}, {"lr_schedule": "linear", "weight_averaging": 0.6}],
    ids=["constant", "linear", "averaged"],
)
def test_it_does_with_samples_what_training_does(
    rule: LearningRule, network: Network, classification, reference: Kernel, settings: dict[str, object]
) -> None:
    """The losses of one minibatch are an objective, too: the same bits as by the loop of the reference."""
    inputs, labels = classification(1, num_samples=30)
    batches = Batches.lay_out(inputs, labels, batch_size=30)
    num_steps = 8
    rng = np.random.default_rng(5)
    learner = rule.start(
        network, network.weight, kernel=reference, optimization=make_optimization("adam", lr=0.1, **settings),
        loss=Loss.CROSS_ENTROPY, rng=rng,
    )  # fmt: skip
    learner.train(batches, np.zeros((num_steps, 1), np.int32))

    def losses(candidates: np.ndarray) -> np.ndarray:
        none = LEARNING_RULES["none"]()
        scorers = [
            none.start(
                network, w, kernel=reference, optimization=learner.optimization, loss=Loss.CROSS_ENTROPY, rng=rng
            )
            for w in candidates
        ]
        return np.array([one.train(batches, np.zeros((1, 1), np.int32)).losses[0] for one in scorers])

    found = follow(rule, losses, network, reference, seed=5, num_steps=num_steps, **settings)
    assert found.tobytes() == learner.weights.tobytes()


def test_a_cold_walk_never_climbs(network: Network, compiled: Kernel) -> None:
    """With infinite beta the loss of the weights after every step is the least that was ever proposed."""
    rule = LEARNING_RULES["metropolis"](sigma=0.1, num_proposals=3)
    for num_steps in (1, 5, 40):
        bowl = Bowl(network)
        found = follow(rule, bowl, network, compiled, num_steps=num_steps)
        assert len(bowl.losses) == 1 + 3 * num_steps
        assert Bowl(network)(found[np.newaxis])[0] == min(bowl.losses)


def test_an_evolution_strategy_converges_to_the_optimum_of_a_bowl(network: Network, compiled: Kernel) -> None:
    """On |w - w*|² raw antithetic losses give 2 n nᵀ(w - w*), averaged over pairs: the gradient, whatever sigma.

    So plain descent with a rate r shrinks the distance by 1 - 2r a step.
    """
    rule = LEARNING_RULES["evolution_strategy"](shaping="raw", num_candidates=40_000, sigma=0.3)
    bowl = Bowl(network)
    found = rule.follow(
        bowl,
        network,
        network.weight,
        kernel=compiled,
        optimization=make_optimization("sgd", lr=0.1),
        rng=np.random.default_rng(0),
        num_steps=6,
    )
    ratio = np.dot(found - bowl.optimum, network.weight - bowl.optimum) / np.sum((network.weight - bowl.optimum) ** 2)
    assert ratio == pytest.approx(0.8**6, rel=0.03)
