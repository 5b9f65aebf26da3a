"""Every registered learning rule keeps the contract of `topoevo.learning.LearningRule`, and learns.

Written on the registry: a rule in a new file is tested without a line here, unless it needs options of its own to learn
as much as the others in the same time.
"""

from __future__ import annotations

import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.kernels import KERNELS, Batches, Kernel, Loss, UpdateRule, load_kernel, obstacle
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.learning.base import Learner
from topoevo.learning.course import Course
from topoevo.learning.initialization import initial_weights
from topoevo.learning.optimizers import make_optimization
from topoevo.learning.pruning import Pruning
from topoevo.network import Network, compile_network

#: Epochs of 120 samples in minibatches of 16, Adam at .03: every rule has to be through by then.
BUDGET = 40
#: Options with which rules learn that take smaller steps by default.
OPTIONS = {"metropolis": {"sigma": 0.02, "num_proposals": 100}}
#: Rules that change nothing.
IDLE = {"none"}


@pytest.fixture(params=list(LEARNING_RULES))
def rule(request: pytest.FixtureRequest) -> LearningRule:
    """Return a rule."""
    return LEARNING_RULES[request.param](**OPTIONS.get(request.param, {}))


@pytest.fixture(params=[name for name in LEARNING_RULES if name not in IDLE])
def learning_rule(request: pytest.FixtureRequest) -> LearningRule:
    """Return a rule that learns."""
    return LEARNING_RULES[request.param](**OPTIONS.get(request.param, {}))


@pytest.fixture(scope="module")
def dense_genome() -> Genome:
    """Return 5 inputs, 12 tanh nodes on random pairs of inputs each, 3 outputs connected to all of them, biases."""
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = minimal_genome(5, 3, p_enabled=1.0, tracker=tracker, rng=rng, bias=True)
    for innovation in genome.connections["innovation"].tolist():
        gene = genome.connections[np.searchsorted(genome.connections["innovation"], innovation)]
        if gene["source"] != genome.bias_id and len(genome.nodes) < 9 + 12:
            genome = genome.split(innovation, tracker=tracker, activation="tanh", bias=True)
    for node in genome.nodes["id"][9:].tolist():
        for source, target in [*((i, node) for i in rng.permutation(5)[:2].tolist()), *((node, o) for o in (6, 7, 8))]:
            genes = genome.connections
            if not ((genes["source"] == source) & (genes["target"] == target)).any():
                genome = genome.connect(source, target, tracker=tracker)
    genome.validate()
    return genome


@pytest.fixture(scope="module")
def dense(dense_genome: Genome) -> Network:
    """Return the network of that genome."""
    return compile_network(dense_genome)


def start(
    rule: LearningRule, network: Network, kernel: Kernel, *, seed: int = 0, loss: Loss = Loss.CROSS_ENTROPY
) -> Learner:
    """Return a learner with weights and random numbers of its own, and Adam if the rule has an optimizer."""
    rng = np.random.default_rng(seed)
    weights = initial_weights(network, "he", rng)
    optimization = make_optimization("adam", lr=0.03)
    return rule.start(network, weights, kernel=kernel, optimization=optimization, loss=loss, rng=rng)


def epochs(batches: Batches, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(batches.num_batches) for _ in range(count)], np.int32)


def test_name_and_options(rule: LearningRule) -> None:
    assert LEARNING_RULES[rule.name] is type(rule)
    assert type(rule).__dataclass_params__.frozen
    assert rule.loop in Kernel.LOOPS
    for field in dataclasses.fields(rule):
        assert field.metadata["help"]
        assert field.default is not dataclasses.MISSING


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_classes(learning_rule: LearningRule, dense: Network, classification, compiled, seed: int) -> None:
    inputs, labels = classification(3, num_samples=180)
    batches = Batches.lay_out(inputs[:120], labels[:120], batch_size=16)
    fresh = Batches.lay_out(inputs[120:], labels[120:], batch_size=60)
    learner = start(learning_rule, dense, compiled, seed=seed)
    history = learner.train(batches, epochs(batches, BUDGET))
    assert not history.diverged
    assert history.mean("last_epoch")[1] >= 0.97
    assert history.mean("last_epoch")[0] < 0.5 * history.mean("first_ten_batches")[0]
    assert np.mean(learner.outputs(fresh).argmax(axis=0) == labels[120:]) >= 0.95


@pytest.mark.parametrize("loss", [Loss.MEAN_SQUARED_ERROR, Loss.CLASS_SQUARED_ERROR])
def test_it_learns_numbers(learning_rule: LearningRule, dense: Network, classification, compiled, loss: Loss) -> None:
    rng = np.random.default_rng(0)
    inputs, labels = classification(3)
    if loss is Loss.MEAN_SQUARED_ERROR:
        columns = [inputs[:, 0] - inputs[:, 1], np.tanh(inputs[:, 2]), 0.5 + inputs[:, 3] * 0.3]
        targets = np.stack(columns, 1).astype(np.float32) + 0.01 * rng.standard_normal((120, 3), np.float32)
        variance = targets.var(axis=0).mean()
    else:
        targets, variance = labels, np.eye(3)[labels].var(axis=0).mean()
    batches = Batches.lay_out(inputs, targets, batch_size=16)
    history = start(learning_rule, dense, compiled, loss=loss).train(batches, epochs(batches, BUDGET))
    assert history.mean("last_epoch")[0] < 0.3 * variance


@pytest.mark.parametrize("name", sorted(IDLE))
def test_idle_rules_score_and_change_nothing(name: str, dense: Network, classification, compiled) -> None:
    inputs, labels = classification(3)
    batches = Batches.lay_out(inputs, labels, batch_size=120)
    learner = start(LEARNING_RULES[name](), dense, compiled)
    before = learner.weights.copy()
    history = learner.train(batches, epochs(batches, 2))
    assert learner.weights.tobytes() == before.tobytes()
    assert history.accuracies == pytest.approx(np.mean(learner.outputs(batches).argmax(axis=0) == labels))


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "reference"])
def test_every_backend_agrees_with_the_reference(
    rule: LearningRule, dense: Network, classification, reference, name: str
) -> None:
    reason = obstacle(name)
    if reason is not None:
        pytest.skip(reason)
    inputs, labels = classification(1, num_samples=50)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    learners = [start(rule, dense, kernel) for kernel in (load_kernel(name), reference)]
    histories = [learner.train(batches, epochs(batches, 3)) for learner in learners]
    np.testing.assert_allclose(learners[0].weights, learners[1].weights, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(histories[0].losses, histories[1].losses, rtol=1e-3)
    assert np.array_equal(histories[0].sizes, histories[1].sizes)


def test_the_optimizer_is_used_if_it_is_said_to_be(
    rule: LearningRule, dense: Network, classification, compiled
) -> None:
    """Hidden edges of a Hebbian rule learn without one, so those alone count."""
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    rng = np.random.default_rng(0)
    learner = rule.start(
        dense,
        initial_weights(dense, "he", rng),
        kernel=compiled,
        optimization=make_optimization("none", lr=0.1),
        loss=Loss.CROSS_ENTROPY,
        rng=rng,
    )
    assert learner.optimization.rule is UpdateRule.NONE
    before = learner.weights.copy()
    learner.train(batches, epochs(batches, 2))
    assert (learner.weights != before).any() == (not rule.needs_optimizer and rule.name not in IDLE)


def test_the_same_seed_gives_the_same_bytes_in_any_thread(
    rule: LearningRule, dense: Network, classification, compiled
) -> None:
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)

    def trained(seed: int) -> bytes:
        learner = start(rule, dense, compiled, seed=seed)
        history = learner.train(batches, epochs(batches, 10))
        return learner.weights.tobytes() + history.losses.tobytes() + history.accuracies.tobytes()

    alone = [trained(seed) for seed in range(3)]
    assert len(set(alone)) == 3
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(trained, [0, 1, 2, 2, 1, 0])) == alone + alone[::-1]


@pytest.mark.parametrize("weight_averaging", [0.0, 0.6])
@pytest.mark.parametrize("name", KERNELS)
def test_a_learner_that_was_saved_goes_on_as_one_that_was_not(
    rule: LearningRule, dense_genome: Genome, classification, name: str, weight_averaging: float, tmp_path
) -> None:
    reason = obstacle(name)
    if reason is not None:
        pytest.skip(reason)
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    order = epochs(batches, 4)
    if rule.name == "metropolis":
        rule = dataclasses.replace(rule, num_proposals=5, target_acceptance=0.4)
    optimization = make_optimization("adam", lr=0.03, lr_schedule="linear", weight_averaging=weight_averaging)

    def begin(genome: Genome, seed: int) -> Learner:
        network, rng = compile_network(genome), np.random.default_rng(seed)
        return rule.start(
            network, initial_weights(network, "he", rng), kernel=load_kernel(name), optimization=optimization,
            loss=Loss.CROSS_ENTROPY, rng=rng, num_steps=order.size,
        )  # fmt: skip

    never_saved = begin(dense_genome, 0)
    never_saved.train(batches, order[:3])
    before = never_saved.weights.copy()
    assert (never_saved.state.average is not None) == (weight_averaging > 0 and rule.loop != "train_by_proposals")
    TrainingCheckpoint(dense_genome, never_saved.memory(), 3, 0.0, "", {"settings": {}, "data": {}}).write(tmp_path)
    checkpoint = TrainingCheckpoint.read_last(tmp_path)
    loaded = begin(checkpoint.genome, 1)
    assert loaded.weights.tobytes() != before.tobytes()
    loaded.recall(checkpoint.memory)
    histories = [learner.train(batches, order[3:]) for learner in (never_saved, loaded)]
    assert loaded.weights.tobytes() == never_saved.weights.tobytes()
    assert (loaded.weights != before).any() == (rule.name not in IDLE)
    assert histories[0].losses.tobytes() == histories[1].losses.tobytes()
    for key, value in never_saved.memory().items():
        assert np.array_equal(loaded.memory()[key], value), key


@pytest.mark.parametrize("name", KERNELS)
def test_a_pause_changes_nothing(rule: LearningRule, dense_genome: Genome, classification, name: str) -> None:
    reason = obstacle(name)
    if reason is not None:
        pytest.skip(reason)
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    order = epochs(batches, 4)
    if rule.name == "metropolis":
        rule = dataclasses.replace(rule, num_proposals=5, target_acceptance=0.4)
    optimization = make_optimization("adamw", lr=0.03, lr_schedule="cosine", weight_averaging=0.5)
    network = compile_network(dense_genome)
    pruning = Pruning(network.num_edges // 2, lambda learner: np.abs(learner.weights), stages_per_halving=5, stop=0.8)

    def begin() -> Course:
        rng = np.random.default_rng(0)
        learner = rule.start(
            network, initial_weights(network, "he", rng), kernel=load_kernel(name), optimization=optimization,
            loss=Loss.CROSS_ENTROPY, rng=rng,
        )  # fmt: skip
        return Course(learner, batches, order, pruning)

    whole = begin()
    whole.advance(order.size)
    stages = [step for step, _ in pruning.schedule(np.count_nonzero(~network.from_bias), order.size)]
    course = begin()
    for stop in (1, stages[1], stages[2] + 1, order.size):
        course.advance(stop)
        assert course.num_done == stop
        memory, course = course.memory(), begin()
        course.recall(pickle.loads(pickle.dumps(memory)))
    assert course.learner.network.gene.tobytes() == whole.learner.network.gene.tobytes()
    assert course.learner.network.num_edges < network.num_edges
    assert course.learner.weights.tobytes() == whole.learner.weights.tobytes()
    assert course.history.losses.tobytes() == whole.history.losses.tobytes()
    assert course.history.mean("last_epoch") == whole.history.mean("last_epoch")


@pytest.mark.parametrize("name", KERNELS)
def test_what_has_diverged_stops_at_once(rule: LearningRule, dense: Network, classification, name: str) -> None:
    if rule.name in IDLE:
        pytest.skip("nothing is learned that could diverge")
    reason = obstacle(name)
    if reason is not None:
        pytest.skip(reason)
    inputs, labels = classification(1)
    inputs = inputs.copy()
    inputs[40] = np.nan
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    order = epochs(batches, 4)
    rng = np.random.default_rng(0)
    learner = rule.start(
        dense, initial_weights(dense, "he", rng), kernel=load_kernel(name),
        optimization=make_optimization("adam", lr=0.03), loss=Loss.CROSS_ENTROPY, rng=rng,
    )  # fmt: skip
    course = Course(learner, batches, order)
    hit = int(np.flatnonzero(order.ravel() == 40 // 16)[0])
    course.advance(hit)
    assert not course.history.diverged
    course.advance(order.size - 1)
    assert course.history.diverged and course.num_done == hit + 1
    before = learner.weights.tobytes()
    course.advance(order.size)
    assert learner.weights.tobytes() == before and np.isnan(course.history.losses[hit:]).all()
    assert len(course.history.losses) == order.size


@pytest.mark.parametrize("known", [True, False], ids=["in three calls", "in one call"])
def test_averaged_weights_are_the_result(
    rule: LearningRule, dense: Network, classification, compiled, known: bool
) -> None:
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    order = epochs(batches, 3)

    def begin(weight_averaging: float, num_steps: int) -> Learner:
        rng = np.random.default_rng(0)
        optimization = make_optimization("adam", lr=0.03, weight_averaging=weight_averaging)
        return rule.start(
            dense, initial_weights(dense, "he", rng), kernel=compiled, optimization=optimization,
            loss=Loss.CROSS_ENTROPY, rng=rng, num_steps=num_steps,
        )  # fmt: skip

    plain, path = begin(0.0, order.size), []
    for one in order.ravel():
        plain.train(batches, np.array([[one]], np.int32))
        path.append(plain.weights.copy())
    learner = begin(0.4, order.size if known else 0)
    for part in order[:, None] if known else [order]:
        assert learner.state.weight_sum is None or learner.weights.tobytes() == path[2 * len(order[0]) - 1].tobytes()
        learner.train(batches, part)
    last = path[-round(0.4 * order.size) :] if rule.follows_gradient else path[-1:]
    assert np.array_equal(learner.weights, np.mean(last, axis=0, dtype=np.float64).astype(np.float32))
    assert (learner.weights != path[-1]).any() == (rule.follows_gradient and rule.name not in IDLE)
    assert learner.state.average is None


def test_learning_touches_nothing_but_the_learner(rule: LearningRule, dense: Network, classification, compiled) -> None:
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    given = initial_weights(dense, "he", np.random.default_rng(0))
    watched = [given, dense.weight, dense.source, dense.activation, batches.inputs, batches.targets, batches.sizes]
    before = [array.tobytes() for array in watched]
    optimization = make_optimization("adam", lr=0.03)
    learner = rule.start(
        dense, given, kernel=compiled, optimization=optimization, loss=Loss.CROSS_ENTROPY, rng=np.random.default_rng(0)
    )
    learner.train(batches, epochs(batches, 2))
    assert [array.tobytes() for array in watched] == before
    assert (learner.weights != given).any() == (rule.name not in IDLE)


def test_train_only_outputs_holds_for_every_rule(
    learning_rule: LearningRule, dense: Network, classification, compiled
) -> None:
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    learner = start(dataclasses.replace(learning_rule, train_only_outputs=True), dense, compiled)
    before = learner.weights.copy()
    learner.train(batches, epochs(batches, 3))
    hidden = ~dense.into_output
    assert hidden.any()
    assert (learner.weights[hidden] == before[hidden]).all()
    assert (learner.weights[~hidden] != before[~hidden]).any()


def test_feedback_and_plasticity_are_functions_of_the_network(rule: LearningRule, dense: Network) -> None:
    one, same = (rule.plasticity(dense, weight_init="he", feedback_seed=3) for _ in range(2))
    other = rule.plasticity(dense, weight_init="he", feedback_seed=4)
    assert one.plastic.tobytes() == same.plastic.tobytes() == other.plastic.tobytes()
    for name in ("feedback", "direct"):
        weights = getattr(one, name)
        if weights is not None:
            assert weights.tobytes() == getattr(same, name).tobytes() != getattr(other, name).tobytes()
            assert weights.dtype == np.float32
    if one.hebbian is not None:
        assert not (one.hebbian & one.plastic).any()


def test_derivatives_are_used_if_they_are_said_to_be(
    evolve_network, classification, rule: LearningRule, compiled
) -> None:
    """Hidden steps stop what follows slopes; the others go on, and linear outputs let everyone learn something."""
    network = evolve_network(3, activations=("step",), num_mutations=40, p_remove=0.0)
    hidden = ~network.into_output
    assert hidden.sum() > 5
    inputs, labels = classification(1)
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    learner = start(rule, network, compiled)
    before = learner.weights.copy()
    learner.train(batches, epochs(batches, 3))
    changed = learner.weights != before
    # Last-layer learning needs no hidden slopes since it leaves hidden weights alone.
    stays = rule.needs_derivatives or rule.name in {*IDLE, "last_layer"}
    assert changed[hidden].any() == (not stays)
    assert changed[~hidden].any() == (rule.name not in IDLE)


def test_a_loss_that_is_not_finite_is_seen(rule: LearningRule, dense: Network, classification, compiled) -> None:
    inputs, labels = classification(1)
    inputs[70] = np.nan
    batches = Batches.lay_out(inputs, labels, batch_size=16)
    learner = start(rule, dense, compiled)
    history = learner.train(batches, epochs(batches, 2))
    assert history.diverged
