"""A network that was saved learns on as if it had never been saved: rule, options, trained edges, feedback weights."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from topoevo import load_network
from topoevo.errors import NetworkFileError
from topoevo.evolution import Individual
from topoevo.experiment.data import load_task_of
from topoevo.experiment.evaluators import DatasetEvaluator, TaskData, learned_weights
from topoevo.experiment.learning_facts import feedback_of
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Champion, TaskScore
from topoevo.learning import LEARNING_RULES
from topoevo.network import compile_network
from topoevo.reporting.network_facts import facts_of
from topoevo.reporting.network_file import write_network
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
COMMON = {"optimizer": "rmsprop", "momentum": 0.5, "grad_power": 0.8, "max_grad_norm": 2.0, "weight_init": "he"}


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


def test_it_learns_on_as_if_never_saved(saved, task):
    params, genome, shared, path = saved
    network = compile_network(genome)
    never_saved = DatasetEvaluator.from_params(params, task).start(network, np.random.default_rng(5), 0)
    loaded = load_network(path).start_learning(seed=5)
    assert loaded.weights.tobytes() == never_saved.weights.tobytes()
    assert loaded.rule == never_saved.rule and loaded.optimization == never_saved.optimization
    for learner in (never_saved, loaded):
        learner.train(shared.batches, shared.epochs[:, :1])
    assert loaded.weights.tobytes() == never_saved.weights.tobytes()
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
