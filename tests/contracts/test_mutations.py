"""Every registered mutation operator keeps the contract of `topoevo.variation.Mutation`.

Written on the registry: an operator in a new file is tested without a line here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topoevo.activations import ACTIVATIONS
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.kernels import Kernel
from topoevo.network import compile_network
from topoevo.variation import MUTATIONS, Evidence, InformedMutation, Mutation

#: For every operator: its defaults, and everything allowed.
WISHES = {"default": {}, "rich": {"activations": tuple(ACTIVATIONS), "output_connections": True, "bias": True}}


@pytest.fixture(params=list(MUTATIONS))
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of an operator."""
    return request.param


@pytest.fixture(params=list(WISHES))
def operator(name: str, request: pytest.FixtureRequest, make_operator) -> Mutation:
    """Return an operator."""
    return make_operator(name, **WISHES[request.param])


def called(
    operator: Mutation, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator, evidence: Evidence
) -> Genome | None:
    """What an operator makes of a genome, with evidence if it asks for it."""
    if isinstance(operator, InformedMutation):
        return operator(genome, tracker, rng, evidence)
    return operator(genome, tracker, rng)


@pytest.fixture
def apply(make_evidence):
    """Return ``apply(operator, genome, seed, stale=...)``: the child, and the tracker that it had its numbers from."""

    def run(operator: Mutation, genome: Genome, seed: int, *, stale: bool = False):
        tracker = InnovationTracker(1000, 1000)
        evidence = make_evidence(seed, genome, stale=stale)
        return called(operator, genome, tracker, np.random.default_rng(seed), evidence), tracker

    return run


def test_names_options_and_probability(name: str) -> None:
    cls = MUTATIONS[name]
    assert cls.name == name
    assert cls.default_probability >= 0
    assert cls.__dataclass_params__.frozen
    for field in dataclasses.fields(cls):
        assert field.metadata["help"]
        assert field.default is not dataclasses.MISSING
    assert hash(cls()) == hash(cls()), "operators are keys of the table of probabilities"


def test_it_finds_a_place_somewhere(operator: Mutation, evolve, apply) -> None:
    genomes = [evolve(seed, activations=("tanh", "abs")) for seed in range(10)]
    assert any(apply(operator, genome, 0)[0] is not None for genome in genomes)


def test_evidence_is_asked_for_by_informed_operators_alone(operator: Mutation, evolve) -> None:
    assert operator.needs_evidence == isinstance(operator, InformedMutation)
    children = [
        operator(evolve(seed, activations=("tanh", "abs")), InnovationTracker(1000, 1000), np.random.default_rng(0))
        for seed in range(10)
    ]
    assert all(child is None for child in children) == operator.needs_evidence


@pytest.mark.parametrize("seed", range(16))
def test_parents_stay_and_children_are_valid(operator: Mutation, evolve, apply, seed: int) -> None:
    parent = evolve(seed, bias=seed % 2 == 0)
    before = parent.nodes.tobytes(), parent.connections.tobytes()
    child, tracker = apply(operator, parent, seed, stale=seed % 4 > 1)
    assert (parent.nodes.tobytes(), parent.connections.tobytes()) == before
    if child is None:
        assert (tracker.next_node, tracker.next_innovation) == (1000, 1000), "no number for nothing"
        return
    child.validate()
    compile_network(child)
    assert child.digest != parent.digest
    assert (child.num_inputs, child.num_outputs, child.bias_id) == (
        parent.num_inputs, parent.num_outputs, parent.bias_id
    )  # fmt: skip
    old = {int(c["innovation"]): (int(c["source"]), int(c["target"])) for c in parent.connections}
    for gene in child.connections:
        pair = (int(gene["source"]), int(gene["target"]))
        assert old.get(int(gene["innovation"]), pair) == pair
        assert int(gene["innovation"]) in old or int(gene["innovation"]) >= 1000


@pytest.mark.parametrize("seed", range(5))
def test_a_mutation_is_a_function_of_its_arguments(operator: Mutation, evolve, apply, seed: int) -> None:
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    first, _ = apply(operator, evolve(seed), seed)
    np.random.rand(5)  # noqa: NPY002
    second, _ = apply(operator, evolve(seed), seed)
    assert (first and first.digest) == (second and second.digest)
    np.random.seed(0)  # noqa: NPY002
    apply(operator, evolve(seed), seed)
    assert np.random.get_state()[1].tobytes() == state, "global random state was used"  # noqa: NPY002


@pytest.mark.parametrize("seed", range(5))
def test_siblings_that_change_alike_share_numbers(operator: Mutation, evolve, make_evidence, seed: int) -> None:
    parent = evolve(seed)
    tracker, evidence = InnovationTracker(1000, 1000), make_evidence(seed, parent)
    twins = [called(operator, parent, tracker, np.random.default_rng(seed), evidence) for _ in range(2)]
    assert len({twin and twin.digest for twin in twins}) == 1
    tracker.start_generation()
    later = called(operator, parent, tracker, np.random.default_rng(seed), evidence)
    if later is not None:
        added = [
            set(g.connections["innovation"].tolist()) - set(parent.connections["innovation"].tolist())
            for g in (twins[0], later)
        ]
        assert not added[0] & added[1]


def outputs(genome: Genome, reference: Kernel) -> np.ndarray:
    """What a network says to random inputs, in double precision; weights that are unset are drawn."""
    rng = np.random.default_rng(0)
    network = compile_network(genome)
    weights = network.weight.astype(np.float64)
    weights[np.isnan(weights)] = rng.standard_normal(np.count_nonzero(np.isnan(weights)))
    _, activities = reference.forward(network, weights, rng.standard_normal((network.num_inputs, 50)))
    return activities[-network.num_outputs :]


def test_the_function_is_preserved_or_not_as_the_operator_says(operator: Mutation, evolve, apply, reference) -> None:
    same = []
    for seed in range(30):
        # Steps jump where a sum is rounded otherwise.
        smooth = tuple(name for name in ACTIVATIONS if name != "step")
        parent = evolve(seed, activations=smooth, bias=seed % 2 == 0)
        child, _ = apply(operator, parent, seed, stale=seed % 3 == 0)
        if child is not None:
            before, after = outputs(parent, reference), outputs(child, reference)
            same.append(np.allclose(after, before, rtol=1e-9, atol=1e-9))
            if operator.preserves_function:
                assert not np.isnan(compile_network(child).weight).any()
    assert len(same) > 10
    assert all(same) == operator.preserves_function


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    num_inputs=st.integers(1, 6),
    num_outputs=st.integers(1, 4),
    bias=st.booleans(),
    p_enabled=st.floats(0, 1),
    rich=st.booleans(),
)
def test_500_random_mutations_keep_a_genome_valid(
    make_operator, make_evidence, seed: int, num_inputs: int, num_outputs: int, bias: bool, p_enabled: float, rich: bool
) -> None:
    wishes = {**WISHES["rich"], "bias": bias} if rich else {}
    operators = [make_operator(name, **wishes) for name in MUTATIONS]
    rng = np.random.default_rng(seed)
    tracker = InnovationTracker()
    genome = minimal_genome(num_inputs, num_outputs, p_enabled=p_enabled, tracker=tracker, rng=rng, bias=bias)
    pair_of: dict[int, tuple[int, int]] = {}
    for count in range(500):
        if count % 5 == 0:
            tracker.start_generation()
        if count % 20 == 0:
            evidence = make_evidence(count, genome, num_absent=20, stale=rich)
        child = called(operators[int(rng.integers(len(operators)))], genome, tracker, rng, evidence)
        genome = child or genome
        genome.validate()
        if count % 50 == 49:
            for gene in genome.connections:
                pair = (int(gene["source"]), int(gene["target"]))
                assert pair_of.setdefault(int(gene["innovation"]), pair) == pair, "a number changed its meaning"
    assert (genome.nodes["id"] < tracker.next_node).all()
    assert (genome.connections["innovation"] < tracker.next_innovation).all()
    network = compile_network(genome)
    assert network.num_edges == genome.complexity.connections + genome.complexity.biases
