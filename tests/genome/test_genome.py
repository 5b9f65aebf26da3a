"""Genomes: what their edits do, that nothing changes in place, and what they say about themselves."""

from __future__ import annotations

import pickle

import networkx
import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.errors import GenomeError
from topoevo.genome import CONNECTION_DTYPE, NODE_DTYPE, Genome, InnovationTracker, Role, minimal_genome
from topoevo.genome.genes import CONNECTION_LAYOUT, NODE_LAYOUT, UNSET

SEEDS = range(12)


def hand_made() -> tuple[Genome, InnovationTracker]:
    """Inputs 0 and 1, bias 2, output 3, hidden 4 in the split connection 0 → 3; 1 → 3 and 2 → 3 beside."""
    tracker = InnovationTracker()
    genome = minimal_genome(2, 1, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0), bias=True)
    genome = genome.with_weights(np.array([0.5, -0.25, 2.0], np.float32))
    return genome.split(0, tracker=tracker, activation="tanh"), tracker


def fingerprint(genome: Genome) -> tuple[bytes, bytes]:
    """Every bit of a genome."""
    return genome.nodes.tobytes(), genome.connections.tobytes()


def rows(genome: Genome) -> list[tuple[int, int, int, float, bool]]:
    """Connection genes as plain numbers."""
    return [tuple(gene.item()) for gene in genome.connections]


# -- minimal ----------------------------------------------------------------------------------------------------


def test_minimal_numbers_inputs_then_bias_then_outputs() -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(
        3, 2, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0), bias=True, output_activation="tanh"
    )
    assert genome.nodes["id"].tolist() == [0, 1, 2, 3, 4, 5]
    assert genome.nodes["role"].tolist() == [Role.INPUT] * 3 + [Role.BIAS] + [Role.OUTPUT] * 2
    assert genome.nodes["activation"].tolist() == [ACTIVATIONS["linear"].code] * 4 + [ACTIVATIONS["tanh"].code] * 2
    pairs = set(zip(genome.connections["source"].tolist(), genome.connections["target"].tolist(), strict=True))
    assert pairs == {(source, target) for source in range(4) for target in (4, 5)}
    assert np.isnan(genome.connections["weight"]).all()
    assert genome.connections["enabled"].all()
    assert (genome.num_inputs, genome.num_outputs, genome.bias_id) == (3, 2, 3)
    assert tracker.next_node == 6
    genome.validate()


@pytest.mark.parametrize("seed", range(20))
def test_minimal_has_at_least_one_connection(seed: int) -> None:
    genome = minimal_genome(4, 3, p_enabled=0.0, tracker=InnovationTracker(), rng=np.random.default_rng(seed))
    assert len(genome.connections) == 1
    genome.validate()


def test_minimal_shares_numbers_for_the_same_pair() -> None:
    tracker = InnovationTracker()
    rng = np.random.default_rng(3)
    genomes = [minimal_genome(4, 3, p_enabled=0.5, tracker=tracker, rng=rng, bias=True) for _ in range(30)]
    number_of: dict[tuple[int, int], int] = {}
    for genome in genomes:
        for innovation, source, target, _, _ in rows(genome):
            assert number_of.setdefault((source, target), innovation) == innovation
    assert len(set(number_of.values())) == len(number_of) == 4 * 3 + 3
    assert tracker.next_node == 8, "generation 0 must share its nodes"


# -- edits ------------------------------------------------------------------------------------------------------


def test_split_disables_the_connection_and_keeps_its_weight_behind_the_node() -> None:
    genome, _ = hand_made()
    assert rows(genome) == [
        (0, 0, 3, 0.5, False),
        (1, 1, 3, -0.25, True),
        (2, 2, 3, 2.0, True),
        (3, 0, 4, 1.0, True),
        (4, 4, 3, 0.5, True),
    ]
    assert genome.nodes[4].item() == (4, Role.HIDDEN, ACTIVATIONS["tanh"].code)


def test_split_of_an_unset_connection_leaves_both_unset() -> None:
    tracker = InnovationTracker()
    genome = minimal_genome(1, 1, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0))
    assert np.isnan(genome.split(0, tracker=tracker).connections["weight"][1:]).all()


def test_split_connects_the_bias_with_weight_zero() -> None:
    genome, tracker = hand_made()
    split = genome.split(1, tracker=tracker, bias=True)
    assert rows(split)[-1] == (7, 2, 5, 0.0, True)
    assert len(split.connections) == len(genome.connections) + 3
    unset = genome.with_weights(np.full(5, np.nan, np.float32)).split(1, tracker=tracker, bias=True)
    assert np.isnan(unset.connections["weight"]).all()
    of_bias = genome.split(2, tracker=tracker, bias=True)
    assert len(of_bias.connections) == len(genome.connections) + 2, "the bias node reaches the new node already"
    of_bias.validate()


@pytest.mark.parametrize(("innovation", "message"), [(0, "disabled"), (99, "no connection 99"), (-1, "no connection")])
def test_split_refuses_what_is_not_an_enabled_connection(innovation: int, message: str) -> None:
    genome, tracker = hand_made()
    with pytest.raises(GenomeError, match=message):
        genome.split(innovation, tracker=tracker)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (1, 3, "connected already"),
        (3, 4, "from output node 3"),
        (4, 0, "to input node 0"),
        (4, 2, "to bias node 2"),
        (4, 4, "cycle"),
        (9, 3, "no node 9"),
        (0, 9, "no node 9"),
    ],
)
def test_connect_refuses_illegal_pairs(source: int, target: int, message: str) -> None:
    genome, tracker = hand_made()
    before = tracker.next_innovation
    with pytest.raises(GenomeError, match=message):
        genome.connect(source, target, tracker=tracker)
    assert tracker.next_innovation == before, "a refused edit must not use up a number"


def test_connect_refuses_a_cycle_through_a_disabled_gene() -> None:
    genome, tracker = hand_made()
    genome = genome.split(4, tracker=tracker)  # 4 → 5 → 3, with 4 → 3 disabled
    with pytest.raises(GenomeError, match="cycle"):
        genome.connect(5, 4, tracker=tracker)
    connections = genome.connections.copy()
    connections["enabled"][connections["source"] == 4] = False
    with pytest.raises(GenomeError, match="cycle"):
        Genome(genome.nodes, connections).connect(5, 4, tracker=tracker)


def test_connect_enables_a_disabled_gene_again() -> None:
    genome, tracker = hand_made()
    again = genome.connect(0, 3, tracker=tracker, weight=0.75)
    assert rows(again)[0] == (0, 0, 3, 0.75, True)
    assert rows(again)[1:] == rows(genome)[1:]
    assert again.nodes.tobytes() == genome.nodes.tobytes()


def test_connect_and_remove_are_inverse() -> None:
    genome, tracker = hand_made()
    connected = genome.connect(1, 4, tracker=tracker, weight=-3.0)
    assert rows(connected)[-1] == (5, 1, 4, -3.0, True)
    assert fingerprint(connected.without_connection(5)) == fingerprint(genome)


def test_a_number_shared_with_another_genome_is_sorted_in() -> None:
    genome, tracker = hand_made()
    genome.connect(1, 4, tracker=tracker)  # a sibling draws number 5 for 1 → 4
    other = genome.connect(2, 4, tracker=tracker).connect(1, 4, tracker=tracker)
    assert other.connections["innovation"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert [rows(other)[5][1], rows(other)[6][1]] == [1, 2]


def test_with_weights_and_with_activation_change_nothing_else() -> None:
    genome, _ = hand_made()
    weights = np.arange(5, dtype=np.float32)
    changed = genome.with_weights(weights)
    assert np.array_equal(changed.connections["weight"], weights)
    for column in ("innovation", "source", "target", "enabled"):
        assert np.array_equal(changed.connections[column], genome.connections[column])
    other = genome.with_activation(4, "sine")
    assert other.nodes["activation"].tolist()[:4] == genome.nodes["activation"].tolist()[:4]
    assert other.nodes["activation"][4] == ACTIVATIONS["sine"].code
    with pytest.raises(GenomeError, match="no node 77"):
        genome.with_activation(77, "sine")


def test_with_weights_refuses_another_number_of_weights() -> None:
    genome, _ = hand_made()
    with pytest.raises((GenomeError, ValueError)):
        genome.with_weights(np.zeros(4, np.float32))


@pytest.mark.parametrize("weights", [np.float32(1.0), np.ones(1, np.float32)])
def test_with_weights_does_not_broadcast(weights: np.ndarray) -> None:
    genome, _ = hand_made()
    with pytest.raises((GenomeError, ValueError)):
        genome.with_weights(weights)


@pytest.mark.parametrize("node", [0, 2])
def test_with_activation_refuses_inputs_and_bias(node: int) -> None:
    genome, _ = hand_made()
    with pytest.raises(GenomeError):
        genome.with_activation(node, "tanh")


# -- immutability -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_no_edit_changes_the_genome(evolve, seed: int) -> None:
    genome = evolve(seed)
    before = fingerprint(genome)
    tracker = InnovationTracker(1000, 1000)
    hidden = genome.nodes["id"][genome.nodes["role"] == Role.HIDDEN]
    enabled = genome.connections["innovation"][genome.connections["enabled"]]
    genome.split(int(enabled[0]), tracker=tracker, bias=True)
    genome.without_connection(int(enabled[-1]))
    genome.with_activation(int(hidden[0]), "gaussian")
    genome.with_weights(np.zeros(len(genome.connections), np.float32))
    assert genome.layers() is not genome.layers()
    genome.layers()[:] = -1
    _ = genome.digest, genome.complexity, genome.to_networkx(), pickle.dumps(genome)
    assert fingerprint(genome) == before


def test_arrays_are_read_only() -> None:
    genome, _ = hand_made()
    for genes in (genome.nodes, genome.connections):
        with pytest.raises(ValueError, match="read-only"):
            genes[0] = genes[1]
        column = genes[genes.dtype.names[-1]]
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0


def test_the_callers_arrays_stay_the_callers() -> None:
    genome, _ = hand_made()
    nodes, connections = genome.nodes.copy(), genome.connections.copy()
    copy = Genome(nodes, connections)
    connections["weight"] = 99
    nodes["id"] = 0
    assert fingerprint(copy) == fingerprint(genome)
    assert nodes.flags.writeable


def test_the_callers_record_arrays_stay_the_callers() -> None:
    genome, _ = hand_made()
    connections = genome.connections.copy().view(np.recarray)
    copy = Genome(genome.nodes, connections)
    connections["weight"][:] = 99
    assert fingerprint(copy) == fingerprint(genome)


@pytest.mark.parametrize("name", ["active", "source_row", "target_row"])
def test_cached_arrays_are_read_only(name: str) -> None:
    genome, _ = hand_made()
    cached = getattr(genome, name)
    for array in cached if isinstance(cached, tuple) else (cached,):
        assert not array.flags.writeable


def test_pickle_keeps_every_bit_and_drops_caches(evolve) -> None:
    genome = evolve(5)
    lean = len(pickle.dumps(genome))
    _ = genome.digest, genome.active, genome.complexity, genome.source_row
    assert len(pickle.dumps(genome)) == lean
    loaded = pickle.loads(pickle.dumps(genome))
    assert fingerprint(loaded) == fingerprint(genome)
    assert loaded.digest == genome.digest
    assert not loaded.nodes.flags.writeable
    assert not loaded.connections.flags.writeable


def test_a_gene_travels_as_its_bytes(evolve) -> None:
    genome = evolve(5, num_mutations=200)
    genes = genome.nodes.nbytes + genome.connections.nbytes
    assert genes < len(pickle.dumps(genome, pickle.HIGHEST_PROTOCOL)) < genes + 100


def test_rows_are_packed_as_they_lie_in_the_tables() -> None:
    node, connection = (7, Role.OUTPUT, 3), (2**31 - 1, 5, -6, -0.1, True)
    assert NODE_LAYOUT.pack(*node) == np.array([node], NODE_DTYPE).tobytes()
    assert CONNECTION_LAYOUT.pack(*connection) == np.array([connection], CONNECTION_DTYPE).tobytes()
    unset = (1, 2, 3, UNSET, False)
    assert CONNECTION_LAYOUT.pack(*unset) == np.array([unset], CONNECTION_DTYPE).tobytes()


# -- digest -----------------------------------------------------------------------------------------------------


def test_digest_is_the_same_on_every_platform() -> None:
    genome, _ = hand_made()
    assert genome.digest == "5c168ed3b461bf58"


def test_digest_sees_every_gene(evolve) -> None:
    genome = evolve(1)
    seen = {genome.digest}
    changes = 0
    for table in ("nodes", "connections"):
        genes = getattr(genome, table)
        for column in genes.dtype.names:
            for row in (0, len(genes) - 1):
                changed = genes.copy()
                changed[column][row] = not changed[column][row] if column == "enabled" else changed[column][row] + 1
                other = {"nodes": genome.nodes, "connections": genome.connections, table: changed}
                if column == "activation" and changed[column][row] == len(ACTIVATIONS):
                    continue
                seen.add(Genome(**other).digest)
                changes += 1
    assert len(seen) == changes + 1


def test_digest_sees_the_sign_of_zero_and_unset_weights() -> None:
    genome, _ = hand_made()
    digests = {genome.with_weights(np.full(5, w, np.float32)).digest for w in (0.0, -0.0, np.nan)}
    assert len(digests) == 3
    assert genome.digest == Genome(genome.nodes.copy(), genome.connections.copy()).digest
    assert len(genome.digest) == 16


# -- graph ------------------------------------------------------------------------------------------------------


def enabled_graph(genome: Genome) -> networkx.DiGraph:
    """The enabled connections, built here from the columns alone."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(genome.nodes["id"].tolist())
    for _, source, target, _, enabled in rows(genome):
        if enabled:
            graph.add_edge(source, target)
    return graph


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_are_longest_paths(evolve, seed: int) -> None:
    genome = evolve(seed, num_mutations=60)
    graph = enabled_graph(genome)
    longest = dict.fromkeys(graph, 0)
    for node in networkx.topological_sort(graph):
        for successor in graph.successors(node):
            longest[successor] = max(longest[successor], longest[node] + 1)
    assert max(longest.values()) == networkx.dag_longest_path_length(graph)
    role = dict(zip(genome.nodes["id"].tolist(), genome.nodes["role"].tolist(), strict=True))
    inner = {n: max(d, 1) if role[n] == Role.HIDDEN else d for n, d in longest.items() if role[n] != Role.OUTPUT}
    last = max(inner.values()) + 1
    expected = [inner.get(node, last) for node in genome.nodes["id"].tolist()]
    assert genome.layers().tolist() == expected
    assert genome.num_layers == last + 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("p_remove", [0.1, 0.45])
def test_active_part_is_what_lies_between_inputs_and_outputs(evolve, seed: int, p_remove: float) -> None:
    genome = evolve(seed, num_mutations=80, p_remove=p_remove)
    ids, role = genome.nodes["id"].tolist(), genome.nodes["role"].tolist()
    of = {r: {i for i, q in zip(ids, role, strict=True) if q == r} for r in Role}
    graph = enabled_graph(genome)
    without_bias = graph.subgraph(set(graph) - of[Role.BIAS])
    fed = set().union(*(networkx.descendants(without_bias, i) | {i} for i in of[Role.INPUT]))
    used = set().union(*(networkx.ancestors(without_bias, o) | {o} for o in of[Role.OUTPUT]))
    through = fed & used
    computed = (through & of[Role.HIDDEN]) | of[Role.OUTPUT]
    edges = {(s, t) for s, t in graph.edges if t in computed and (s in through or s in of[Role.BIAS])}
    nodes, connections = genome.active
    expected_nodes = computed | {s for s, _ in edges}
    assert {i for i, a in zip(ids, nodes, strict=True) if a} == expected_nodes
    assert {(s, t) for (_, s, t, _, _), a in zip(rows(genome), connections, strict=True) if a} == edges
    size = genome.complexity
    assert size.connections == sum(s not in of[Role.BIAS] for s, _ in edges)
    assert size.biases == sum(s in of[Role.BIAS] for s, _ in edges)
    assert size.hidden == len(expected_nodes & of[Role.HIDDEN])


def test_a_dead_end_and_an_orphan_do_not_count() -> None:
    genome, tracker = hand_made()
    dead_end = genome.without_connection(4)  # 4 leads nowhere
    assert dead_end.complexity.hidden == 0
    assert dead_end.complexity.connections == 1
    orphan = genome.connect(2, 4, tracker=tracker).without_connection(3)  # only the bias leads to 4
    assert orphan.complexity.hidden == 0
    assert (orphan.complexity.connections, orphan.complexity.biases) == (1, 1)


def test_a_cycle_has_no_size() -> None:
    genome, _ = hand_made()
    connections = genome.connections.copy()
    connections["source"][-1], connections["target"][-1] = connections["target"][-2], connections["source"][-2]
    cyclic = Genome(genome.nodes, connections)
    for ask in (lambda: cyclic.complexity, lambda: cyclic.num_layers):
        with pytest.raises(GenomeError, match="cycle"):
            ask()


def test_to_networkx_says_everything(evolve) -> None:
    genome = evolve(2)
    graph = genome.to_networkx()
    assert graph.number_of_nodes() == len(genome.nodes)
    assert graph.number_of_edges() == len(genome.connections)
    names = list(ACTIVATIONS)
    for gene, layer in zip(genome.nodes, genome.layers(), strict=True):
        assert graph.nodes[int(gene["id"])] == {
            "role": Role(gene["role"]).name.lower(),
            "activation": names[gene["activation"]],
            "layer": int(layer),
        }
    for innovation, source, target, weight, enabled in rows(genome):
        assert graph.edges[source, target] == {"weight": weight, "innovation": innovation, "enabled": enabled}


# -- validation -------------------------------------------------------------------------------------------------


def broken(nodes: dict[tuple[int, str], int] | None = None, connections: dict | None = None) -> Genome:
    """The hand-made genome with some cells overwritten."""
    genome, _ = hand_made()
    node_genes, connection_genes = genome.nodes.copy(), genome.connections.copy()
    for (row, column), value in (nodes or {}).items():
        node_genes[column][row] = value
    for (row, column), value in (connections or {}).items():
        connection_genes[column][row] = value
    return Genome(node_genes, connection_genes)


@pytest.mark.parametrize(
    ("nodes", "connections", "message"),
    [
        ({(4, "id"): 3}, None, "unique, sorted"),
        ({(0, "id"): 1, (1, "id"): 0}, None, "unique, sorted"),
        ({(0, "id"): -1}, None, "not negative"),
        ({(0, "role"): 7}, None, "unknown role"),
        ({(4, "activation"): len(ACTIVATIONS)}, None, "unknown activation"),
        ({(4, "activation"): -1}, None, "unknown activation"),
        ({(3, "role"): int(Role.HIDDEN), (3, "activation"): 0}, None, "no output node"),
        ({(0, "role"): int(Role.HIDDEN), (1, "role"): int(Role.HIDDEN)}, None, "no input node"),
        ({(1, "role"): int(Role.BIAS)}, None, "more than one bias"),
        ({(0, "activation"): 3}, None, "must be linear"),
        ({(2, "activation"): 3}, None, "must be linear"),
        (None, {(4, "innovation"): 3}, "unique, sorted"),
        (None, {(0, "innovation"): -5}, "not negative"),
        (None, {(0, "source"): 8}, "source is node 8, which does not exist"),
        (None, {(0, "target"): -8}, "target is node -8, which does not exist"),
        (None, {(0, "source"): 3}, "starts at an output"),
        (None, {(0, "target"): 1}, "ends at an input or bias"),
        (None, {(0, "target"): 2}, "ends at an input or bias"),
        (None, {(0, "source"): 1}, "same source and target"),
        (None, {(1, "weight"): np.inf}, "infinite"),
        (None, {(1, "weight"): -np.inf}, "infinite"),
        (None, {(1, "source"): 4, (1, "target"): 4}, "cycle"),
    ],
)
def test_validate_names_the_broken_rule(nodes: dict | None, connections: dict | None, message: str) -> None:
    hand_made()[0].validate()
    with pytest.raises(GenomeError, match=message):
        broken(nodes, connections).validate()


def test_validate_sees_a_cycle_of_disabled_genes() -> None:
    genome, tracker = hand_made()
    genome = genome.split(4, tracker=tracker)
    connections = genome.connections.copy()
    row = np.flatnonzero((connections["source"] == 1) & (connections["target"] == 3))[0]
    connections["source"][row], connections["target"][row], connections["enabled"][row] = 5, 4, False
    with pytest.raises(GenomeError, match="cycle"):
        Genome(genome.nodes, connections).validate()


def test_validate_checks_an_empty_genome() -> None:
    with pytest.raises(GenomeError, match="input"):
        Genome(np.zeros(0, NODE_DTYPE), np.zeros(0, CONNECTION_DTYPE)).validate()
