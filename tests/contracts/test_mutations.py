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
from topoevo.genome import Genome, InnovationTracker
from topoevo.network import compile_network
from topoevo.variation import MUTATIONS, Mutation

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


def applied(operator: Mutation, genome: Genome, seed: int) -> tuple[Genome | None, InnovationTracker]:
    tracker = InnovationTracker(1000, 1000)
    return operator(genome, tracker, np.random.default_rng(seed)), tracker


def test_names_options_and_probability(name: str) -> None:
    cls = MUTATIONS[name]
    assert cls.name == name
    assert cls.default_probability >= 0
    assert cls.__dataclass_params__.frozen
    for field in dataclasses.fields(cls):
        assert field.metadata["help"]
        assert field.default is not dataclasses.MISSING
    assert hash(cls()) == hash(cls()), "operators are keys of the table of probabilities"


def test_it_finds_a_place_somewhere(operator: Mutation, evolve) -> None:
    genomes = [evolve(seed, activations=("tanh", "abs")) for seed in range(10)]
    assert any(applied(operator, genome, 0)[0] is not None for genome in genomes)


@pytest.mark.parametrize("seed", range(15))
def test_parents_stay_and_children_are_valid(operator: Mutation, evolve, seed: int) -> None:
    parent = evolve(seed, bias=seed % 2 == 0)
    before = parent.nodes.tobytes(), parent.connections.tobytes()
    child, tracker = applied(operator, parent, seed)
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
def test_a_mutation_is_a_function_of_its_arguments(operator: Mutation, evolve, seed: int) -> None:
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    first, _ = applied(operator, evolve(seed), seed)
    np.random.rand(5)  # noqa: NPY002
    second, _ = applied(operator, evolve(seed), seed)
    assert (first and first.digest) == (second and second.digest)
    np.random.seed(0)  # noqa: NPY002
    applied(operator, evolve(seed), seed)
    assert np.random.get_state()[1].tobytes() == state, "global random state was used"  # noqa: NPY002


@pytest.mark.parametrize("seed", range(5))
def test_siblings_that_change_alike_share_numbers(operator: Mutation, evolve, seed: int) -> None:
    parent = evolve(seed)
    tracker = InnovationTracker(1000, 1000)
    twins = [operator(parent, tracker, np.random.default_rng(seed)) for _ in range(2)]
    assert len({twin and twin.digest for twin in twins}) == 1
    tracker.start_generation()
    later = operator(parent, tracker, np.random.default_rng(seed))
    if later is not None:
        added = [
            set(g.connections["innovation"].tolist()) - set(parent.connections["innovation"].tolist())
            for g in (twins[0], later)
        ]
        assert not added[0] & added[1]


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
    make_operator, seed: int, num_inputs: int, num_outputs: int, bias: bool, p_enabled: float, rich: bool
) -> None:
    wishes = {**WISHES["rich"], "bias": bias} if rich else {}
    operators = [make_operator(name, **wishes) for name in MUTATIONS]
    rng = np.random.default_rng(seed)
    tracker = InnovationTracker()
    genome = Genome.minimal(num_inputs, num_outputs, p_enabled=p_enabled, tracker=tracker, rng=rng, bias=bias)
    pair_of: dict[int, tuple[int, int]] = {}
    for count in range(500):
        if count % 5 == 0:
            tracker.start_generation()
        child = operators[int(rng.integers(len(operators)))](genome, tracker, rng)
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
