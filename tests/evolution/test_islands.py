"""Islands: who lives where, who migrates, and that families stay apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.evolution import Evaluation, Population
from topoevo.evolution.islands import Islands
from topoevo.evolution.newcomers import RandomNetworks
from topoevo.evolution.reproduction import Reproduction, initial_population
from topoevo.evolution.selection import ranking
from topoevo.genome import InnovationTracker


@pytest.mark.parametrize("generation", [0, 1, 7])
@pytest.mark.parametrize(("size", "num_islands", "ratio"), [(12, 3, 0.5), (20, 1, 0.2), (10, 5, 0.0), (40, 4, 0.29)])
def test_everybody_lives_on_one_island(generation: int, size: int, num_islands: int, ratio: float) -> None:
    islands = Islands.of(size, num_islands, ratio)
    homes = [islands.island(generation, place) for place in range(size)]
    members = [islands.members(generation, island) for island in range(num_islands)]
    assert sorted(place for part in members for place in part) == list(range(size))
    assert all(homes[place] == island for island, part in enumerate(members) for place in part)
    assert {len(part) for part in members} == {size // num_islands}
    assert all(part == sorted(part) for part in members)


def test_elites_of_all_islands_come_before_all_children() -> None:
    islands = Islands.of(12, 3, 0.5)
    assert (islands.num_elites, islands.total_elites) == (2, 6)
    assert [islands.island(0, place) for place in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    assert [islands.island(5, place) for place in range(12)] == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]


def test_a_population_is_divided_evenly() -> None:
    with pytest.raises(ParamsError, match="population_size 10 is no multiple of 3 islands"):
        Islands.of(10, 3, 0.2)


def test_migrants_go_round_the_ring_one_way_and_back() -> None:
    islands = Islands.of(12, 3, 0.5, migration_every=4)
    children = range(6, 12)
    assert [islands.origin(4, place) for place in children] == [1, None, 2, None, 0, None]
    assert [islands.origin(8, place) for place in children] == [2, None, 0, None, 1, None]
    for generation in (1, 2, 3, 5, 6, 7, 9):
        assert [islands.origin(generation, place) for place in children] == [None] * 6
    for apart in (Islands.of(12, 3, 0.5, migration_every=0), Islands.of(12, 1, 0.5, migration_every=1)):
        assert all(apart.origin(4, place) is None for place in range(apart.total_elites, 12))


def evolved(
    make_operator, *, num_islands: int, migration_every: int = 0, num_generations: int = 12
) -> list[Population]:
    """Generations whose networks are the better the more connections they have; evaluated."""
    operators = {make_operator("add_connection", output_connections=True): 1.0, make_operator("add_node"): 1.0}
    tracker = InnovationTracker()
    newcomers = RandomNetworks(
        6, 3, p_enabled=0.3, p_add_node=0.2, add_node=make_operator("add_node"), output_activation="linear"
    )
    reproduction = Reproduction(
        mutations=operators,
        cull_ratio=0.2,
        elite_ratio=0.25,
        tournament_size=3,
        num_mutations=1,
        inherit_weights=False,
        num_islands=num_islands,
        migration_every=migration_every,
    )
    population = initial_population(32, newcomers, tracker=tracker, seed=3)
    generations = []
    for generation in range(num_generations):
        members = []
        for member in population.members:
            reward = float(member.genome.complexity.connections)
            members.append(member.evaluated(Evaluation(reward, reward, None, None, 0.0)))
        population = Population(generation, tuple(members))
        generations.append(population)
        order = ranking(population.objectives("reward"))
        population = reproduction.next_generation(
            population, order, tracker=tracker, seed=3, next_id=32 + 24 * generation
        )
    return generations


def test_children_descend_from_their_own_island_except_migrants(make_operator) -> None:
    generations = evolved(make_operator, num_islands=4, migration_every=3)
    islands = Islands.of(32, 4, 0.25, 3)
    migrants = 0
    for before, after in pairwise(generations):
        homes = {m.id: islands.island(before.generation, place) for place, m in enumerate(before.members)}
        best = {
            island: max((before.members[place] for place in islands.members(before.generation, island)),
                        key=lambda member: member.reward)
            for island in range(4)
        }  # fmt: skip
        for place, member in enumerate(after.members):
            home = islands.island(after.generation, place)
            if place < islands.total_elites:
                assert homes[member.id] == home
                continue
            origin = islands.origin(after.generation, place)
            assert homes[member.parents[0]] == (home if origin is None else origin)
            if origin is not None:
                migrants += 1
                assert member.parents == (best[origin].id,) and member.operators == ()
                assert member.genome.connections.tobytes() == best[origin].genome.connections.tobytes()
    assert migrants == 3 * 4


def test_each_island_keeps_its_own_best(make_operator) -> None:
    generations = evolved(make_operator, num_islands=4)
    islands = Islands.of(32, 4, 0.25)
    for before, after in pairwise(generations):
        for island in range(4):
            here = [before.members[place] for place in islands.members(before.generation, island)]
            rewards = sorted((member.reward for member in here), reverse=True)
            elites = islands.members(after.generation, island)[:2]
            assert [after.members[place].reward for place in elites] == rewards[:2]


def lines_of_descent(generations: list[Population]) -> list[int]:
    """How many individuals of generation 0 each generation descends from."""
    founders = {member.id: member.id for member in generations[0].members}
    counts = []
    for population in generations:
        for member in population.members:
            if member.parents:
                founders.setdefault(member.id, founders[member.parents[0]])
        counts.append(len({founders[member.id] for member in population.members}))
    return counts


def test_islands_keep_more_lines_of_descent_alive(make_operator) -> None:
    one = lines_of_descent(evolved(make_operator, num_islands=1))
    apart = lines_of_descent(evolved(make_operator, num_islands=4))
    with_migrants = lines_of_descent(evolved(make_operator, num_islands=4, migration_every=6))
    assert one[0] == apart[0] == 32
    assert apart[-1] >= 4, "no family can leave its island"
    assert one[-1] < with_migrants[-1] <= apart[-1]


def test_one_island_is_a_population_that_is_not_divided(make_operator) -> None:
    generations = evolved(make_operator, num_islands=1, migration_every=2)
    for before, after in pairwise(generations):
        ids = {member.id for member in before.members}
        assert all(set(member.parents) <= ids or member.id in ids for member in after.members)
        assert all(len(member.operators) == 1 for member in after.members[8:])
    rewards = np.array([[member.reward for member in population.members] for population in generations])
    assert (np.diff(rewards.max(axis=1)) >= 0).all()
