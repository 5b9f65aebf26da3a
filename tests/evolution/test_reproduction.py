"""From generation to generation: who has children, who goes on, and that nobody is changed."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare, kstest

from topoevo.evolution import Evaluation, Individual, Population
from topoevo.evolution.mutating import mutate
from topoevo.evolution.newcomers import RandomNetworks
from topoevo.evolution.reproduction import Reproduction, initial_population
from topoevo.evolution.selection import pareto_ranks
from topoevo.genome import Genome, InnovationTracker
from topoevo.variation import Mutation
from topoevo.variation.add_node import AddNode
from topoevo.variation.grow_connection import GrowConnection


def fingerprint(population: Population) -> bytes:
    """Every bit of a population."""
    return b"".join(
        pickle.dumps((m.id, m.parents, m.born, m.operators, m.genome.nodes.tobytes(), m.genome.connections.tobytes()))
        + (b"" if m.evaluation is None or m.evaluation.weights is None else m.evaluation.weights.tobytes())
        + repr(m.evaluation and m.evaluation.reward).encode()
        for m in population.members
    )


@pytest.fixture
def operators(make_operator) -> dict[Mutation, float]:
    """Return operators with probabilities that do not add up to one."""
    wishes = {"activations": ("relu", "tanh"), "output_connections": True, "bias": True}
    return {
        make_operator("add_connection", **wishes): 4.0,
        make_operator("add_node", **wishes): 2.0,
        make_operator("change_activation", **wishes): 1.0,
        make_operator("remove_connection"): 1.0,
    }


@pytest.fixture
def make_population(make_operator):
    """Return ``make_population(size)``: an evaluated population whose rewards fall with the index, and its tracker."""

    def build(size: int, seed: int = 0) -> tuple[Population, InnovationTracker]:
        tracker = InnovationTracker()
        population = initial_population(
            size,
            RandomNetworks(
                4,
                2,
                p_enabled=0.5,
                p_add_node=0.5,
                add_node=make_operator("add_node"),
                bias=True,
                output_activation="linear",
            ),
            tracker=tracker,
            seed=seed,
        )
        members = []
        for index, member in enumerate(population.members):
            weights = np.full(len(member.genome.connections), index + 1.0, np.float32)
            members.append(member.evaluated(Evaluation(-float(index), -float(index), 0.5, weights, 0.1)))
        return Population(0, tuple(members)), tracker

    return build


def make_reproduction(operators, **changes) -> Reproduction:
    settings = {
        "cull_ratio": 0.2, "elite_ratio": 0.2, "tournament_size": 3, "num_mutations": 2, "inherit_weights": False
    }  # fmt: skip
    return Reproduction(mutations=operators, **{**settings, **changes})


def reproduce(reproduction: Reproduction, population: Population, tracker: InnovationTracker, *, seed=0) -> Population:
    order = np.arange(len(population.members))
    return reproduction.next_generation(
        population, order, tracker=tracker, seed=seed, next_id=1000 * (population.generation + 1)
    )


# -- next generation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inherit_weights", [False, True])
def test_reproduction_leaves_every_parent_bit_identical(make_population, operators, inherit_weights: bool) -> None:
    population, tracker = make_population(40)
    reproduction = make_reproduction(operators, inherit_weights=inherit_weights, num_mutations=6)
    for _ in range(5):
        before = fingerprint(population)
        following = reproduce(reproduction, population, tracker)
        assert fingerprint(population) == before
        population = Population(
            following.generation,
            tuple(
                m.evaluated(Evaluation(0.0, 0.0, None, np.ones(len(m.genome.connections), np.float32), 0.0))
                for m in following.members
            ),
        )


@pytest.mark.parametrize(
    ("size", "elite_ratio", "num_elites"), [(40, 0.2, 8), (40, 0.0, 0), (40, 1.0, 40), (10, 0.25, 2), (3, 0.2, 0)]
)
def test_elites_come_first_best_first_and_unmutated(
    make_population, operators, size: int, elite_ratio: float, num_elites: int
) -> None:
    population, tracker = make_population(size)
    order = np.random.default_rng(0).permutation(size)
    following = make_reproduction(operators, elite_ratio=elite_ratio).next_generation(
        population, order, tracker=tracker, seed=0, next_id=1000
    )
    assert len(following.members) == size
    assert following.generation == 1
    for place, member in enumerate(following.members):
        assert member.evaluation is None, "a new generation is unevaluated"
        if place < num_elites:
            elite = population.members[order[place]]
            assert (member.id, member.parents, member.born, member.operators) == (
                elite.id, elite.parents, elite.born, elite.operators
            )  # fmt: skip
            assert member.genome.connections.tobytes() == elite.genome.connections.tobytes()
            assert member.genome.nodes.tobytes() == elite.genome.nodes.tobytes()
        else:
            assert member.id == 1000 + place - num_elites
            assert member.born == 1
            assert len(member.parents) == 1
            assert len(member.operators) == 2


@pytest.mark.parametrize(("size", "ratio", "count"), [(100, 0.29, 29), (50, 0.58, 29), (100, 0.57, 57)])
def test_counts_do_not_lose_one_to_rounding(make_population, operators, size: int, ratio: float, count: int) -> None:
    population, tracker = make_population(size)
    following = reproduce(make_reproduction(operators, elite_ratio=ratio), population, tracker)
    assert sum(member.born == 0 for member in following.members) == count


@pytest.mark.parametrize(("cull_ratio", "num_breeding"), [(0.2, 16), (0.0, 20), (0.5, 10), (0.95, 1), (1.0, 1)])
def test_the_culled_have_no_children(make_population, operators, cull_ratio: float, num_breeding: int) -> None:
    population, tracker = make_population(20)
    reproduction = make_reproduction(operators, cull_ratio=cull_ratio, elite_ratio=0.0, tournament_size=1)
    order = np.arange(20)[::-1]
    parents: Counter[int] = Counter()
    for seed in range(25):
        following = reproduction.next_generation(population, order, tracker=tracker, seed=seed, next_id=1000)
        parents.update(member.parents[0] for member in following.members)
    breeding = [population.members[i].id for i in order[:num_breeding]]
    assert set(parents) == set(breeding)
    assert num_breeding == 1 or chisquare([parents[i] for i in breeding]).pvalue > 1e-3


def test_parents_win_tournaments(make_population, operators) -> None:
    population, tracker = make_population(20)
    reproduction = make_reproduction(operators, cull_ratio=0.2, elite_ratio=0.0, tournament_size=4)
    parents: Counter[int] = Counter()
    for seed in range(60):
        parents.update(member.parents[0] for member in reproduce(reproduction, population, tracker, seed=seed).members)
    places = range(16 - 4 + 1)
    expected = [1200 * math.comb(15 - j, 3) / math.comb(16, 4) for j in places]
    assert set(parents) <= set(places)
    tail = 8  # few expected cases: together
    assert (
        chisquare(
            [*(parents[j] for j in places[:tail]), sum(parents[j] for j in places[tail:])],
            [*expected[:tail], sum(expected[tail:])],
        ).pvalue
        > 1e-3
    )


def test_children_carry_trained_weights_where_they_inherit(make_population, operators) -> None:
    population, tracker = make_population(30)
    for inherit in (False, True):
        reproduction = make_reproduction(operators, inherit_weights=inherit, num_mutations=0, elite_ratio=0.3)
        for member in reproduce(reproduction, population, tracker).members:
            source = population.members[member.id if member.born == 0 else member.parents[0]]
            expected = source.evaluation.weights if inherit else source.genome.connections["weight"]
            assert member.genome.connections["weight"].tobytes() == expected.tobytes()


def test_mutated_children_keep_inherited_weights_aligned(make_population, operators) -> None:
    population, tracker = make_population(30)
    reproduction = make_reproduction(operators, inherit_weights=True, num_mutations=4, elite_ratio=0.0)
    compared = 0
    for member in reproduce(reproduction, population, tracker).members:
        parent = population.members[member.parents[0]]
        genes = parent.genome.connections
        enabled_before = dict(zip(genes["innovation"].tolist(), genes["enabled"].tolist(), strict=True))
        for gene in member.genome.connections:
            innovation = int(gene["innovation"])
            # A gene that was split and enabled again in the same child is unset.
            if gene["enabled"] and enabled_before.get(innovation) and not np.isnan(gene["weight"]):
                assert gene["weight"] == parent.id + 1
                compared += 1
    assert compared > 100


def test_a_failed_parent_hands_on_its_genome(make_population, operators) -> None:
    population, tracker = make_population(5)
    failed = tuple(m.evaluated(Evaluation.failed("broken", 0.1)) for m in population.members)
    following = reproduce(
        make_reproduction(operators, inherit_weights=True, elite_ratio=1.0), Population(0, failed), tracker
    )
    assert [m.genome.digest for m in following.members] == [m.genome.digest for m in failed]


def test_the_same_seed_gives_the_same_generation(make_population, operators) -> None:
    population, tracker = make_population(30)
    counters = tracker.next_node, tracker.next_innovation
    results = [
        fingerprint(reproduce(make_reproduction(operators), population, InnovationTracker(*counters), seed=seed))
        for seed in (0, 0, 1)
    ]
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_numbers_are_shared_within_a_generation_and_not_across(make_population, operators) -> None:
    population, tracker = make_population(60)
    old = tracker.next_innovation
    reproduction = make_reproduction(operators, elite_ratio=0.0, num_mutations=3, tournament_size=60)

    def new_pairs(generation: Population) -> dict[tuple[int, int], set[int]]:
        """New numbers by pair of nodes that both existed before."""
        found: dict[tuple[int, int], set[int]] = {}
        for member in generation.members:
            for gene in member.genome.connections:
                if gene["innovation"] >= old and max(gene["source"], gene["target"]) < nodes_before:
                    found.setdefault((int(gene["source"]), int(gene["target"])), set()).add(int(gene["innovation"]))
        return found

    nodes_before = tracker.next_node
    first = new_pairs(reproduce(reproduction, population, tracker, seed=1))
    second = new_pairs(reproduce(reproduction, population, tracker, seed=2))
    assert all(len(numbers) == 1 for generation in (first, second) for numbers in generation.values())
    shared = first.keys() & second.keys()
    assert shared
    assert all(first[pair] != second[pair] for pair in shared)


# -- mutate -----------------------------------------------------------------------------------------------------


class Stub(Mutation):
    """Changes the first weight, or never finds a place."""

    def __init__(self, name: str, finds_place: bool = True) -> None:
        self.__dict__.update(name=name, finds_place=finds_place)

    def __call__(self, genome: Genome, tracker: InnovationTracker, rng: np.random.Generator) -> Genome | None:
        return genome.with_weights(genome.connections["weight"] + 1) if self.finds_place else None

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


@pytest.fixture
def genome(evolve) -> Genome:
    return evolve(0)


def test_probabilities_are_normalized(genome: Genome) -> None:
    table = {Stub("often"): 6.0, Stub("seldom"): 2.0, Stub("never"): 0.0}
    _, applied = mutate(genome, table, 2000, InnovationTracker(), np.random.default_rng(0))
    counts = Counter(applied)
    assert set(counts) == {"often", "seldom"}
    assert len(applied) == 2000
    assert binomtest(counts["often"], 2000, 0.75).pvalue > 1e-3


@pytest.mark.parametrize("weights", [(0.8, 0.2), (1.0,), (1e-9, 3.0, 0.1, 7.0), (1 / 3, 1 / 3, 1 / 3)])
def test_operators_are_drawn_as_numpy_chooses(genome: Genome, weights: tuple[float, ...]) -> None:
    table = {Stub(str(place)): weight for place, weight in enumerate(weights)}
    _, applied = mutate(genome, table, 400, InnovationTracker(), np.random.default_rng(1))
    p = np.array(weights) / np.sum(weights)
    assert [int(name) for name in applied] == np.random.default_rng(1).choice(len(weights), 400, p=p).tolist()


def test_an_operator_without_a_place_is_put_aside(genome: Genome) -> None:
    table = {Stub("blocked", finds_place=False): 99.0, Stub("open"): 0.01}
    mutated, applied = mutate(genome, table, 20, InnovationTracker(), np.random.default_rng(0))
    assert applied == ("open",) * 20
    np.testing.assert_allclose(mutated.connections["weight"], genome.connections["weight"] + 20, rtol=1e-5)


@pytest.mark.parametrize("table", [{}, {Stub("blocked", finds_place=False): 1.0}, {Stub("never"): 0.0}])
def test_without_a_possible_mutation_the_genome_comes_back(genome: Genome, table: dict[Mutation, float]) -> None:
    mutated, applied = mutate(genome, table, 5, InnovationTracker(), np.random.default_rng(0))
    assert applied == ()
    assert mutated.digest == genome.digest


# -- generation 0 -----------------------------------------------------------------------------------------------


def test_initial_population_follows_its_probabilities(make_operator) -> None:
    population = initial_population(
        500,
        RandomNetworks(
            20,
            5,
            p_enabled=0.3,
            p_add_node=0.5,
            add_node=make_operator("add_node"),
            bias=False,
            output_activation="linear",
        ),
        tracker=InnovationTracker(),
        seed=1,
    )
    nodes, connections = [], []
    for index, member in enumerate(population.members):
        member.genome.validate()
        hidden = len(member.genome.nodes) - 25
        nodes.append(hidden)
        connections.append(int(np.count_nonzero(member.genome.connections["enabled"])) - hidden)
        assert member.operators == ("add_node",) * hidden
        assert (member.id, member.parents, member.born, member.evaluation) == (index, (), 0, None)
    total = sum(connections)
    assert binomtest(total, 500 * 100, 0.3).pvalue > 1e-3
    assert binomtest(sum(nodes), total, 0.5).pvalue > 1e-3
    # Not only the mean: the spread of a binomial distribution too.
    z = (np.array(connections) - 30) / math.sqrt(21)
    assert kstest(z + np.random.default_rng(0).uniform(-0.5, 0.5, 500) / math.sqrt(21), "norm").pvalue > 1e-3
    spread = (np.array(nodes) - 0.5 * np.array(connections)) / np.sqrt(0.25 * np.array(connections))
    assert spread.var() == pytest.approx(1, abs=0.25)


def test_initial_population_shares_nodes_and_numbers(make_operator) -> None:
    tracker = InnovationTracker()
    population = initial_population(
        200,
        RandomNetworks(
            6, 3, p_enabled=0.4, p_add_node=0.5, add_node=make_operator("add_node"), bias=True, output_activation="tanh"
        ),
        tracker=tracker,
        seed=1,
    )
    pair_of: dict[int, tuple[int, int]] = {}
    number_of: dict[tuple[int, int], int] = {}
    for member in population.members:
        for gene in member.genome.connections:
            pair, number = (int(gene["source"]), int(gene["target"])), int(gene["innovation"])
            assert pair_of.setdefault(number, pair) == pair
            assert number_of.setdefault(pair, number) == number
    assert tracker.next_innovation > max(pair_of)
    assert len({m.genome.digest for m in population.members}) > 190


def test_an_individual_of_generation_0_does_not_depend_on_the_others(make_operator) -> None:
    def shapes(size: int) -> list[tuple[int, int]]:
        population = initial_population(
            size,
            RandomNetworks(
                6,
                3,
                p_enabled=0.4,
                p_add_node=0.5,
                add_node=make_operator("add_node"),
                bias=True,
                output_activation="linear",
            ),
            tracker=InnovationTracker(),
            seed=4,
        )
        return [(len(m.genome.nodes), len(m.genome.connections)) for m in population.members]

    assert shapes(10) == shapes(25)[:10]
    assert len(set(shapes(25))) > 5


@pytest.mark.parametrize(("p_enabled", "p_add_node", "hidden"), [(1.0, 1.0, 12), (1.0, 0.0, 0), (0.0, 1.0, 1)])
def test_initial_population_at_the_limits(make_operator, p_enabled: float, p_add_node: float, hidden: int) -> None:
    population = initial_population(
        10,
        RandomNetworks(
            4,
            3,
            p_enabled=p_enabled,
            p_add_node=p_add_node,
            add_node=make_operator("add_node"),
            bias=True,
            output_activation="linear",
        ),
        tracker=InnovationTracker(),
        seed=0,
    )
    assert {len(m.genome.nodes) - 8 for m in population.members} == {hidden}


def test_individual_is_evaluated_into_another_one(genome: Genome) -> None:
    individual = Individual(1, (), 0, (), genome)
    assert individual.reward == -math.inf
    evaluated = individual.evaluated(Evaluation(2.0, 3.0, None, None, 0.0))
    assert individual.evaluation is None
    assert (evaluated.reward, evaluated.genome) == (2.0, genome)


# -- newcomers --------------------------------------------------------------------------------------------------


def test_newcomers_take_the_last_places_and_found_lines_of_their_own(make_population, make_operator) -> None:
    population, tracker = make_population(10)
    networks = RandomNetworks(
        4, 2, p_enabled=0.5, p_add_node=0.5, add_node=make_operator("add_node"), output_activation="linear", bias=True
    )
    operators = {make_operator("add_node"): 1.0}
    alone = reproduce(make_reproduction(operators), population, deepcopy(tracker))
    joined = reproduce(make_reproduction(operators, newcomers=networks, num_newcomers=3), population, tracker)
    # The others are who they would be without newcomers.
    assert [m.genome.digest for m in joined.members[:7]] == [m.genome.digest for m in alone.members[:7]]
    assert [m.founded for m in joined.members] == [0] * 7 + [1] * 3
    assert all(m.parents == () and m.born == 1 for m in joined.members[7:])
    assert len({m.genome.digest for m in joined.members[7:]}) == 3
    assert len({m.id for m in joined.members}) == 10
    # A line keeps its age, however often it is mutated.
    evaluated = Population(
        1, tuple(m.evaluated(Evaluation(float(m.founded), 0.0, None, None, 0.0)) for m in joined.members)
    )
    order = np.arange(10)[::-1]
    third = make_reproduction(operators, tournament_size=1, cull_ratio=0.7).next_generation(
        evaluated, order, tracker=tracker, seed=0, next_id=2000
    )
    assert {m.founded for m in third.members} == {1}


def test_young_networks_are_not_dominated_by_old_ones(genome: Genome) -> None:
    rewards, founded = [5.0, 3.0, 4.0, 3.5], [0, 7, 2, 1]
    members = tuple(
        Individual(i, (), 0, (), genome, Evaluation(r, r, None, None, 0.0), founded=f)
        for i, (r, f) in enumerate(zip(rewards, founded, strict=True))
    )
    objectives = Population(7, members).objectives("reward", "youth")
    np.testing.assert_array_equal(objectives[:, 1], founded)
    # The last one is both worse and older than the third.
    np.testing.assert_array_equal(pareto_ranks(objectives), [0, 0, 0, 1])


def test_informed_operators_have_no_place_without_evidence(evolve, make_evidence) -> None:
    genome, tracker = evolve(3), InnovationTracker(1000, 1000)
    informed, blind = GrowConnection(output_connections=True), AddNode()
    table = {informed: 3.0, blind: 1.0}
    _, applied = mutate(genome, table, 50, tracker, np.random.default_rng(0))
    assert applied == ("add_node",) * 50
    unchanged, applied = mutate(genome, {informed: 1.0}, 5, tracker, np.random.default_rng(0))
    assert applied == () and unchanged is genome
    _, applied = mutate(genome, table, 50, tracker, np.random.default_rng(0), evidence=make_evidence(3, genome))
    assert set(applied) == {"grow_connection", "add_node"}
