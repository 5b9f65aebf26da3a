"""What each of the other operators does, and that it chooses its place evenly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.genome import Genome, InnovationTracker, Role, minimal_genome
from topoevo.variation.add_node import AddNode
from topoevo.variation.change_activation import ChangeActivation
from topoevo.variation.enable_connection import EnableConnection
from topoevo.variation.remove_connection import RemoveConnection

DRAWS = 1200


def fresh() -> InnovationTracker:
    return InnovationTracker(1000, 1000)


def from_inputs(genome: Genome) -> set[int]:
    """Innovations of enabled connections that do not start at the bias node."""
    genes = genome.connections[genome.connections["enabled"]]
    return set(genes["innovation"][genes["source"] != genome.bias_id].tolist())


def even(counts: Counter, over: set | list) -> bool:
    """Whether draws are spread evenly over exactly the given values."""
    assert set(counts) <= set(over)
    return chisquare([counts[value] for value in over]).pvalue > 1e-3


@pytest.mark.parametrize("bias", [False, True])
def test_add_node_splits_evenly_and_draws_activations_evenly(evolve, bias: bool) -> None:
    genome = evolve(3, num_inputs=3, num_outputs=2, num_mutations=6, bias=bias)
    operator = AddNode(activations=("tanh", "sine", "abs"), bias=bias)
    rng = np.random.default_rng(0)
    split, activations = Counter(), Counter()
    for _ in range(DRAWS):
        mutated = operator(genome, fresh(), rng)
        before, after = from_inputs(genome), from_inputs(mutated)
        (gone,) = before - after
        split[gone] += 1
        assert len(mutated.nodes) == len(genome.nodes) + 1
        node = mutated.nodes[-1]
        assert node["id"] == 1000
        activations[ACTIVATIONS_BY_CODE[node["activation"]].name] += 1
        into = mutated.connections[mutated.connections["target"] == 1000]
        assert (genome.bias_id in into["source"].tolist()) == bias
    assert even(split, from_inputs(genome))
    assert even(activations, ["tanh", "sine", "abs"])


def test_add_node_has_no_place_without_an_enabled_connection() -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(1, 1, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0), bias=True)
    connections = genome.connections.copy()
    connections["enabled"][connections["source"] == 0] = False
    assert AddNode()(Genome(genome.nodes, connections), tracker, np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("limit", "pruning", "reached"), [(3, "none", 3), (3, "fisher", 13), (None, "none", 13), (None, "fisher", 13)]
)
def test_add_node_keeps_max_connections_unless_training_prunes(limit: int | None, pruning: str, reached: int) -> None:
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = minimal_genome(1, 1, p_enabled=1.0, tracker=tracker, rng=rng)
    operator = AddNode(max_connections=limit, pruning=pruning)
    for _ in range(12):
        genome = operator(genome, tracker, rng) or genome
    assert genome.complexity.connections == reached


def test_change_activation_draws_nodes_and_other_names_evenly(evolve) -> None:
    genome = evolve(1, num_mutations=12, activations=("relu", "tanh", "sine"))
    operator = ChangeActivation(activations=("relu", "tanh", "sine", "abs"))
    rng = np.random.default_rng(0)
    hidden = genome.nodes["id"][genome.nodes["role"] == Role.HIDDEN].tolist()
    nodes, changes = Counter(), Counter()
    for _ in range(DRAWS):
        mutated = operator(genome, fresh(), rng)
        (row,) = np.flatnonzero(mutated.nodes["activation"] != genome.nodes["activation"])
        assert mutated.connections.tobytes() == genome.connections.tobytes()
        nodes[int(genome.nodes["id"][row])] += 1
        if int(genome.nodes["id"][row]) == hidden[0]:
            changes[ACTIVATIONS_BY_CODE[mutated.nodes["activation"][row]].name] += 1
    assert even(nodes, hidden)
    own = ACTIVATIONS_BY_CODE[genome.nodes["activation"][np.searchsorted(genome.nodes["id"], hidden[0])]].name
    assert even(changes, [name for name in operator.activations if name != own])


def test_change_activation_with_one_name(evolve) -> None:
    all_relu = evolve(1, num_mutations=12, activations=("relu",))
    operator = ChangeActivation(activations=("relu",))
    assert operator(all_relu, fresh(), np.random.default_rng(0)) is None
    hidden = all_relu.nodes["id"][all_relu.nodes["role"] == Role.HIDDEN]
    one_tanh = all_relu.with_activation(int(hidden[2]), "tanh")
    assert operator(one_tanh, fresh(), np.random.default_rng(0)).digest == all_relu.digest


def test_change_activation_without_hidden_nodes() -> None:
    genome = minimal_genome(2, 2, p_enabled=1.0, tracker=InnovationTracker(), rng=np.random.default_rng(0), bias=True)
    assert ChangeActivation(activations=tuple(ACTIVATIONS))(genome, fresh(), np.random.default_rng(0)) is None


def test_remove_connection_draws_evenly_and_spares_the_bias(evolve) -> None:
    genome = evolve(3, num_inputs=3, num_outputs=2, num_mutations=8)
    rng = np.random.default_rng(0)
    gone = Counter()
    for _ in range(DRAWS):
        mutated = RemoveConnection()(genome, fresh(), rng)
        missing = set(genome.connections["innovation"].tolist()) - set(mutated.connections["innovation"].tolist())
        # A node that is left with a connection from the bias alone goes too, with that connection.
        (one,) = missing & set(from_inputs(genome))
        gone[one] += 1
    assert even(gone, from_inputs(genome))


def test_remove_connection_leaves_no_node_without_connections(evolve) -> None:
    genome = evolve(4, num_inputs=3, num_outputs=2, num_mutations=30)
    rng = np.random.default_rng(0)
    num_nodes = len(genome.nodes)
    while (mutated := RemoveConnection()(genome, fresh(), rng)) is not None:
        mutated.validate()
        genes = mutated.connections[mutated.connections["source"] != mutated.bias_id]
        hidden = mutated.nodes["id"][mutated.nodes["role"] == Role.HIDDEN]
        assert set(hidden.tolist()) <= {*genes["source"].tolist(), *genes["target"].tolist()}
        genome = mutated
    assert len(from_inputs(genome)) == 1
    assert len(genome.nodes) < num_nodes


def test_remove_connection_leaves_the_last_one() -> None:
    tracker, rng = InnovationTracker(), np.random.default_rng(0)
    genome = minimal_genome(3, 2, p_enabled=1.0, tracker=tracker, rng=rng, bias=True)
    for _ in range(5):
        genome = RemoveConnection()(genome, tracker, rng)
    assert len(from_inputs(genome)) == 1
    assert RemoveConnection()(genome, tracker, rng) is None


def test_enable_connection_draws_evenly_among_disabled_genes(evolve) -> None:
    genome, splitting = evolve(5, num_inputs=3, num_outputs=2, num_mutations=3), np.random.default_rng(1)
    for first in (1000, 2000, 3000, 4000):
        genome = AddNode()(genome, InnovationTracker(first, first), splitting)
    disabled = genome.connections[~genome.connections["enabled"]]
    assert len(disabled) > 2
    rng = np.random.default_rng(0)
    counts: Counter = Counter()
    for _ in range(DRAWS):
        mutated = EnableConnection()(genome, InnovationTracker(9000, 9000), rng)
        changed = mutated.connections["enabled"] != genome.connections["enabled"]
        assert changed.sum() == 1 and mutated.connections["enabled"][changed].all()
        counts[int(mutated.connections["innovation"][changed][0])] += 1
        same = mutated.connections.copy()
        same["enabled"] = genome.connections["enabled"]
        assert same.tobytes() == genome.connections.tobytes()
    assert even(counts, set(disabled["innovation"].tolist()))


def test_enable_connection_has_no_place_where_all_are_enabled() -> None:
    genome = minimal_genome(2, 2, p_enabled=1.0, tracker=InnovationTracker(), rng=np.random.default_rng(0))
    assert EnableConnection()(genome, fresh(), np.random.default_rng(0)) is None


def test_enable_connection_keeps_to_the_largest_number_of_connections() -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(2, 1, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0), bias=True)
    for innovation in genome.connections["innovation"][[0, 2]].tolist():  # from an input, from the bias node
        genome = genome.split(innovation, tracker=tracker)
    disabled, size = genome.connections[~genome.enabled], len(from_inputs(genome))
    found = {limit: Counter() for limit in (size, size + 1)}
    for limit, counts in found.items():
        for seed in range(40):
            mutated = EnableConnection(max_connections=limit)(genome, tracker, np.random.default_rng(seed))
            assert len(from_inputs(mutated)) <= limit
            counts[int(mutated.connections["innovation"][mutated.enabled & ~genome.enabled][0])] += 1
    # The connection from the bias node does not count.
    of_bias = disabled["innovation"][disabled["source"] == genome.bias_id].tolist()
    assert set(found[size]) == set(of_bias) and len(of_bias) == 1
    assert set(found[size + 1]) == set(disabled["innovation"].tolist())
    full = genome.connect(*disabled[disabled["source"] == genome.bias_id][["source", "target"]][0], tracker=tracker)
    assert EnableConnection(max_connections=size)(full, tracker, np.random.default_rng(0)) is None
    pruned = EnableConnection(max_connections=size, pruning="magnitude")(full, tracker, np.random.default_rng(0))
    assert len(from_inputs(pruned)) == size + 1


def test_a_bias_that_evolves_is_connected_like_an_input(evolve) -> None:
    rng = np.random.default_rng(0)
    tracker = InnovationTracker()
    sizes = Counter()
    for _ in range(300):
        genome = minimal_genome(3, 4, p_enabled=0.25, tracker=tracker, rng=rng, bias=True, evolved_bias=True)
        sizes[genome.complexity.biases] += 1
    # 300 draws of 4 pairs with probability 1/4: 300 +- 15 biases.
    assert abs(sum(number * count for number, count in sizes.items()) - 300) < 60 and len(sizes) > 3
    grown = AddNode(bias=True, bias_connections="evolved")(genome, fresh(), rng)
    assert grown.bias_id not in grown.connections["source"][grown.connections["target"] == 1000].tolist()


def test_remove_connection_may_take_a_bias_that_evolves(evolve) -> None:
    genome = evolve(3, num_inputs=3, num_outputs=2, num_mutations=4, bias=True)
    rng = np.random.default_rng(0)
    operator = RemoveConnection(bias_connections="evolved")
    from_bias = set(genome.connections["innovation"][genome.connections["source"] == genome.bias_id].tolist())
    gone = set()
    for _ in range(200):
        kept = operator(genome, fresh(), rng).connections["innovation"].tolist()
        gone |= set(genome.connections["innovation"].tolist()) - set(kept)
    assert gone & from_bias
