"""A network file says how its network learned: rule, options, trained edges, feedback weights.

What an optimizer remembers and the state of the random numbers are in checkpoints; see
``tests/contracts/test_learning_rules.py`` for a learner that is saved and goes on.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from topoevo import load_network
from topoevo.errors import NetworkFileError
from topoevo.evolution import Individual
from topoevo.experiment.data import load_task_of
from topoevo.experiment.evaluators import DatasetEvaluator, learned_weights
from topoevo.experiment.learning_facts import adopt_feedback, evaluator_of, feedback_of, learning_facts
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Champion, TaskScore
from topoevo.experiment.shared_data import TaskData
from topoevo.genome.dense import dense_genome
from topoevo.learning import LEARNING_RULES
from topoevo.network import compile_network
from topoevo.reporting.network_facts import facts_of
from topoevo.reporting.network_file import read_network, write_network
from topoevo.seeds import Stream

#: Every option away from its default.
OPTIONS = {
    "feedback_alignment": {"feedback_alignment_scale": "unit", "feedback_seed": 7},
    "direct_feedback_alignment": {"direct_feedback_alignment_scale": "unit", "feedback_seed": 7},
    "hebbian": {"hebbian_variant": "sanger", "hebbian_rate": 0.03},
    "evolution_strategy": {
        "evolution_strategy_num_candidates": 6,
        "evolution_strategy_sigma": 0.1,
        "evolution_strategy_shaping": "standardized",
    },
    "metropolis": {"metropolis_sigma": 0.1, "metropolis_num_proposals": 3, "metropolis_beta": math.inf},
}
COMMON = {
    "optimizer": "rmsprop",
    "momentum": 0.5,
    "grad_power": 0.8,
    "max_grad_norm": 2.0,
    "weight_init": "he",
    "label_smoothing": 0.1,
    "weight_averaging": 0.3,
}


@pytest.fixture(scope="module")
def task():
    return load_task_of(load_params(None, {}))


@pytest.fixture(params=[(rule, only) for rule in LEARNING_RULES for only in (False, True)], ids=str)
def saved(request, task, tmp_path, evolve):
    """Return settings, genome with learned weights, minibatches, and the path of its network file."""
    rule, only = request.param
    given = {**COMMON, "learning_rule": rule, "train_only_outputs": only, "seed": 3, **OPTIONS.get(rule, {})}
    params = load_params(None, {**given, "num_generations": 0, "batch_size": 300})
    shared = TaskData(task, 300, 1, 1000, 3).shared(Stream.SHARED, 0)
    genome = evolve(1, num_inputs=64, num_outputs=10, weight_std=None, num_mutations=60)
    network = compile_network(genome)
    learner = DatasetEvaluator.from_params(params, task).start(network, np.random.default_rng(0), 0)
    learner.train(shared.batches, shared.epochs)
    genome = genome.with_weights(learned_weights(genome, network, learner.weights))
    score = TaskScore(-1.0, 0.5)
    facts = facts_of(Champion(Individual(0, (), 0, (), genome), None, score, None, score), params, task)
    path = tmp_path / "champion.json"
    write_network(path, genome, facts=facts, feedback=feedback_of(genome, params))
    return params, genome, shared, path


def test_a_learner_of_the_file_is_one_of_the_settings_started_anew_on_its_weights(saved, task):
    params, genome, shared, path = saved
    network = compile_network(genome)
    started = DatasetEvaluator.from_params(params, task).start(network, np.random.default_rng(5), 0)
    loaded = load_network(path).start_learning(seed=5)
    assert loaded.weights.tobytes() == started.weights.tobytes()
    assert loaded.rule == started.rule and loaded.optimization == started.optimization
    for learner in (started, loaded):
        learner.train(shared.batches, shared.epochs[:, :1])
    assert loaded.weights.tobytes() == started.weights.tobytes()
    moved = loaded.weights != network.weight
    assert moved.any() == (params.learning_rule != "none")
    if params.train_only_outputs:
        assert not moved[~network.into_output].any()


def test_the_file_has_the_feedback_weights_that_learning_uses(saved):
    params, _, _, path = saved
    plasticity, network = load_network(path).start_learning().plasticity, load_network(path).network
    content = json.loads(path.read_text())
    ends = list(zip(network.node_id[network.source].tolist(), network.node_id[network.target].tolist(), strict=True))
    edges = {(e["source"], e["target"]): e["feedback"] for e in content["edges"] if "feedback" in e}
    nodes = {n["id"]: n["feedback"] for n in content["nodes"] if "feedback" in n}
    assert len(edges) == (0 if plasticity.feedback is None else len(ends))
    if plasticity.feedback is not None:
        assert np.float32([edges[pair] for pair in ends]).tobytes() == plasticity.feedback.tobytes()
    if plasticity.direct is None:
        assert nodes == {}
    else:
        hidden = network.node_id[network.num_sources : network.num_nodes - network.num_outputs].tolist()
        assert np.float32([nodes[node] for node in hidden]).tobytes() == plasticity.direct.tobytes()
    has = {"feedback_alignment": (True, False), "direct_feedback_alignment": (False, True)}
    expected = (False, False) if params.train_only_outputs else has.get(params.learning_rule, (False, False))
    assert (bool(edges), bool(nodes)) == expected


def feedback_weights(plasticity):
    """Those along connections, or those to hidden nodes."""
    return plasticity.feedback if plasticity.direct is None else plasticity.direct


WITH_FEEDBACK = [("feedback_alignment", False), ("direct_feedback_alignment", False)]


@pytest.mark.parametrize("saved", WITH_FEEDBACK, indirect=True, ids=lambda one: one[0])
def test_feedback_weights_of_a_file_beat_its_seed(saved):
    *_, path = saved
    before = feedback_weights(load_network(path).start_learning().plasticity)
    content = json.loads(path.read_text())
    for entry in (*content["edges"], *content["nodes"]):
        if "feedback" in entry:
            entry["feedback"] = (2 * np.array(entry["feedback"])).tolist()
    content["graph"]["learning"]["feedback_seed"] = 99
    path.write_text(json.dumps(content))
    after = feedback_weights(load_network(path).start_learning().plasticity)
    assert after.dtype == np.float32 and after.tobytes() == (2 * before).tobytes() and np.any(after)
    for entry in (*content["edges"], *content["nodes"]):
        entry.pop("feedback", None)
    path.write_text(json.dumps(content))
    drawn = feedback_weights(load_network(path).start_learning().plasticity)
    assert drawn.shape == before.shape and not np.isclose(drawn, before).any(), "without any, the seed decides"


@pytest.mark.parametrize("saved", WITH_FEEDBACK, indirect=True, ids=lambda one: one[0])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: None, "feedback weights for some of its (connections|hidden nodes) only"),
        (lambda value: [1e300] * 10 if isinstance(value, list) else 1e300, "a feedback weight is too large"),
        (lambda value: [1.0] * 9, "has 9 feedback weights, not 10|valid number"),
    ],
    ids=["missing", "large", "nine"],
)
def test_feedback_weights_that_cannot_be_used_are_refused(saved, change, message):
    *_, path = saved
    content = json.loads(path.read_text())
    network = load_network(path).network
    ends = set(zip(network.node_id[network.source].tolist(), network.node_id[network.target].tolist(), strict=True))
    ids = set(network.node_id.tolist())
    used = [e for e in content["edges"] if (e["source"], e["target"]) in ends and "feedback" in e]
    used += [n for n in content["nodes"] if n["id"] in ids and "feedback" in n]
    used[0]["feedback"] = change(used[0]["feedback"])
    path.write_text(json.dumps(content))
    with pytest.raises(NetworkFileError, match=message):
        load_network(path).start_learning()


def adopted(path, params, **changes):
    """What a run that inherits the weights of a file does about feedback weights."""
    file = read_network(path)
    settings = params.model_copy(update={"seed": 8, "network": "n.json", "feedback_seed": None, **changes})
    found, words = adopt_feedback(settings, file.genome, file.facts, file.feedback)
    return found, words, feedback_of(file.genome, found)


@pytest.mark.parametrize("saved", WITH_FEEDBACK, indirect=True, ids=lambda one: one[0])
def test_a_run_that_inherits_weights_adopts_their_feedback(saved):
    params, genome, _, path = saved
    found, words, feedback = adopted(path, params)
    assert found.feedback_seed == 7 and words == "feedback weights are those of n.json, feedback_seed 7"
    assert feedback.is_close(feedback_of(genome, params))
    assert not feedback.is_close(feedback_of(genome, params.model_copy(update={"feedback_seed": 8})))
    # A seed or scale of the user's own holds, and is told.
    found, words, _ = adopted(path, params, feedback_seed=8)
    assert found.feedback_seed == 8 and words.endswith("not those of n.json: feedback_seed 8 instead of 7")
    scale = f"{params.learning_rule}_scale"
    found, words, _ = adopted(path, params, **{scale: "forward"})
    assert found.feedback_seed == 7 and words.endswith(f"not those of n.json: {scale} forward instead of unit")
    # Nothing is taken over where there is nothing to fit.
    for changes in ({"learning_rule": "backprop"}, {"train_only_outputs": True}, {"redraw_feedback": True}):
        settings = {"num_generations": 3, **changes}
        found, words, _ = adopted(path, params, **settings)
        assert (found.feedback_seed, words) == (None, "")
    content = json.loads(path.read_text())
    for entry in (*content["edges"], *content["nodes"]):
        if "feedback" in entry:
            entry["feedback"] = np.ones_like(entry["feedback"]).tolist()
    path.write_text(json.dumps(content))
    assert adopted(path, params)[1].endswith("the file has others than its feedback_seed 7 gives")


def test_redrawn_feedback_is_new_in_every_training(task, evolve):
    how = {"learning_rule": "feedback_alignment", "redraw_feedback": True}
    network = compile_network(evolve(1, num_inputs=64, num_outputs=10))
    rng = np.random.default_rng(0)
    for changes, num_different in (({}, 2), ({"num_generations": 0}, 1), ({"redraw_feedback": False}, 1)):
        params = load_params(None, {**how, **changes})
        evaluator = DatasetEvaluator.from_params(params, task)
        trainings = {evaluator.start(network, rng, 0).plasticity.feedback.tobytes() for _ in range(2)}
        assert len(trainings) == num_different
        # A file has what every training has in common; without it, learning on means to draw anew, too.
        genome = evolve(1, num_inputs=64, num_outputs=10)
        assert (feedback_of(genome, params) is None) is (num_different == 2)
        facts = learning_facts(params)
        again = evaluator_of(facts, loss="cross_entropy", kernel_name="reference")
        assert again.feedback_seed == facts["feedback_seed"] == (None if num_different == 2 else 0)


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content["graph"])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("saved", [("backprop", False)], indirect=True)
def test_older_and_foreign_files(saved):
    *_, path = saved
    # Before there were other rules, their options and the feedback seed were not written.
    rewrite(path, lambda graph: [graph["learning"].pop(name) for name in ("feedback_seed", "grad_power", "shuffle")])
    assert load_network(path).start_learning().optimization.grad_power == 1
    rewrite(path, lambda graph: graph["learning"].update(color="red"))
    assert load_network(path).start_learning().rule.name == "backprop"
    rewrite(path, lambda graph: graph["learning"].update(learning_rule="bakprop", lr="fast"))
    with pytest.raises(NetworkFileError, match=r"graph.learning .*'bakprop'.*did you mean 'backprop'"):
        load_network(path).start_learning()
    rewrite(path, lambda graph: graph.pop("learning"))
    with pytest.raises(NetworkFileError, match="does not say how"):
        load_network(path).start_learning()


def test_a_network_without_slopes_is_refused_by_a_rule_that_needs_them(task, tmp_path):
    genome = dense_genome(64, (3,), 10, activation="step")
    genome = genome.with_weights(np.zeros(len(genome.connections), np.float32))
    score = TaskScore(-1.0, 0.5)
    for changes, is_refused in (({}, True), ({"train_only_outputs": True}, False)):
        params = load_params(None, {"num_generations": 0, **changes})
        facts = facts_of(Champion(Individual(0, (), 0, (), genome), None, score, None, score), params, task)
        write_network(tmp_path / "n.json", genome, facts=facts)
        network = load_network(tmp_path / "n.json")
        if is_refused:
            with pytest.raises(NetworkFileError, match="activations step is not allowed with learning_rule backprop"):
                network.start_learning()
        else:
            network.start_learning()
