"""Credit of operators by counting and by ranks, and adaptive pursuit against the formula worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from topoevo.evolution import Evaluation, Individual
from topoevo.evolution.credit import (
    FLOOR,
    PURSUIT_RATE,
    QUALITY_RATE,
    TOLERANCE,
    Credit,
    Standing,
    credited,
    credits_of,
    operator_names,
    pursued,
    standings_of,
)
from topoevo.variation import MUTATIONS


@pytest.fixture
def child(evolve):
    """Return ``child(parent_reward, reward, *operators)``: an evaluated individual."""

    def build(parent_reward, reward, *operators, born=3):
        evaluation = Evaluation(reward, reward, None, None, 0.0)
        return Individual(9, (1,), born, operators, evolve(0), evaluation, parent_reward=parent_reward)

    return build


def test_operators_are_credited_for_children_that_are_better_than_their_parents(child) -> None:
    members = [
        child(-1.0, -0.5, "add_node"),
        child(-1.0, -1.0, "add_node"),
        child(-1.0, -2.0, "add_node", "add_connection"),
        child(-1.0, -0.9, "add_connection", "add_connection"),
        child(-1.0, -math.inf, "add_connection"),
        # Elites, migrants, those without parents or with a parent that has failed, and operators nobody asks for.
        child(-1.0, 0.0, "add_node", born=2),
        child(-1.0, 0.0),
        child(None, 0.0, "add_node"),
        child(-1.0, 0.0, "remove_connection"),
    ]
    found = credits_of(members, 3, ("add_connection", "add_node", "mutate_weights"))
    assert {name: (one.children, one.improved) for name, one in found.items()} == {
        "add_connection": (3, 1), "add_node": (3, 1), "mutate_weights": (0, 0)
    }  # fmt: skip
    assert found["add_node"].share == pytest.approx(1 / 3)
    assert found["mutate_weights"].share is None and found["mutate_weights"].rank is None


def test_ranks_are_by_the_gain_over_the_parent_among_those_who_were_mutated(child) -> None:
    children = [
        child(-3.0, -1.0, "add_node"),
        child(-1.0, -0.5, "add_connection"),
        child(-9.0, -8.5, "add_node", "add_connection"),
        child(-1.0, -2.0, "add_node", "add_node"),
        child(-1.0, -math.inf, "add_connection"),
    ]
    ranks = (rankdata([2.0, 0.5, 0.5, -1.0, -math.inf]) - 0.5) / 5
    # An elite, a migrant and a newcomer with the largest gains, and a child of a parent that has failed.
    others = [
        child(-9.0, 0.0, "add_node", born=2),
        child(-9.0, 0.0),
        child(None, 0.0, "add_connection"),
    ]
    found = credits_of([*others, *children], 3, ("add_connection", "add_node", "mutate_weights"))
    assert found["add_node"].rank == pytest.approx(ranks[[0, 2, 3]].mean())
    assert found["add_connection"].rank == pytest.approx(ranks[[1, 2, 4]].mean())
    assert found["mutate_weights"] == Credit()


def test_the_mean_rank_of_all_children_is_a_half(child) -> None:
    rng = np.random.default_rng(0)
    members = [child(-1.0, float(one), "add_node") for one in rng.integers(-5, 0, 23)]
    assert credits_of(members, 3, ("add_node",))["add_node"].rank == pytest.approx(0.5)


def test_who_was_stopped_in_a_race_is_not_better(child) -> None:
    member = child(-1.0, -0.5, "add_node")
    stopped = replace(member, evaluation=replace(member.evaluation, rung=0))
    (found,) = credits_of([member, stopped], 3, ("add_node",)).values()
    assert (found.children, found.improved) == (2, 1)


def test_who_was_stopped_ranks_below_those_who_came_further_and_above_those_who_failed(child) -> None:
    member, failed = child(-1.0, -0.9, "a"), child(-1.0, -math.inf, "d")
    early, late = child(-1.0, -0.1, "b"), child(-1.0, -0.5, "c")
    members = [
        replace(failed, evaluation=Evaluation.failed("no", 0.0)),
        replace(early, evaluation=replace(early.evaluation, rung=0)),
        replace(late, evaluation=replace(late.evaluation, rung=1)),
        member,
    ]
    found = credits_of(members, 3, ("d", "b", "c", "a"))
    assert [one.rank for one in found.values()] == [1 / 8, 3 / 8, 5 / 8, 7 / 8]


def test_names_are_those_of_the_registry() -> None:
    assert operator_names() == tuple(MUTATIONS)


def test_probabilities_are_normalized_and_zeros_left_out() -> None:
    assert standings_of({"a": 1.0, "b": 0.0, "c": 3.0}) == {"a": Standing(0.25), "c": Standing(0.75)}
    assert standings_of({"a": 0.0}) == {}


def test_estimates_follow_ranks_child_by_child_and_counts_add_up() -> None:
    before = {"a": Standing(0.5, Credit(10, 5, 6.0), 0.7), "b": Standing(0.5, Credit(4, 0, 1.0), 0.25)}
    after = credited(before, {"a": Credit(4, 1, 1.0), "b": Credit()})
    assert after["a"].credit == Credit(14, 6, 7.0)
    assert after["a"].quality == pytest.approx(0.25 + (0.7 - 0.25) * (1 - QUALITY_RATE) ** 4)
    assert after["b"] == before["b"], "nothing was seen of it"


def test_pursuit_is_that_of_the_paper_where_even_probabilities_were_asked_for() -> None:
    before = {"a": Standing(0.2, quality=0.1), "b": Standing(0.5, quality=0.7), "c": Standing(0.3, quality=0.3)}
    least = FLOOR / 3
    most = 1 - 2 * least
    after = {name: one.probability for name, one in pursued(before, dict.fromkeys(before, 1 / 3)).items()}
    assert after == {
        "a": pytest.approx(0.2 + PURSUIT_RATE * (least - 0.2)),
        "b": pytest.approx(0.5 + PURSUIT_RATE * (most - 0.5)),
        "c": pytest.approx(0.3 + PURSUIT_RATE * (least - 0.3)),
    }
    assert sum(after.values()) == pytest.approx(1.0)


def test_pursuit_ends_at_the_floor_and_below_the_ceiling() -> None:
    standings = {"a": Standing(0.9), "b": Standing(0.05), "c": Standing(0.05)}
    for _ in range(300):
        credits = {"a": Credit(10, 1, 4.0), "b": Credit(10, 6, 6.0), "c": Credit()}
        standings = pursued(credited(standings, credits), {"a": 0.9, "b": 0.05, "c": 0.05})
    assert {name: one.probability for name, one in standings.items()} == {
        "a": pytest.approx(FLOOR * 0.9), "b": pytest.approx(FLOOR * 0.05 + 1 - FLOOR), "c": pytest.approx(FLOOR * 0.05)
    }  # fmt: skip
    assert standings["b"].quality == pytest.approx(0.6)
    assert standings["c"].quality == 0.5, "an operator without children is not pursued"


def test_nothing_moves_while_nobody_stands_out() -> None:
    standings = {"a": Standing(0.9, quality=0.5), "b": Standing(0.1, quality=0.51)}
    after = pursued(standings, {"a": 0.9, "b": 0.1})
    assert [one.probability for one in after.values()] == pytest.approx([0.9, 0.1])


def test_equally_good_operators_share_what_the_best_would_get() -> None:
    standings = {
        "a": Standing(0.6, quality=0.6), "b": Standing(0.2, quality=0.6 - TOLERANCE / 2), "c": Standing(0.2)
    }  # fmt: skip
    for _ in range(300):
        standings = pursued(standings, {"a": 0.6, "b": 0.2, "c": 0.2})
    assert [one.probability for one in standings.values()] == pytest.approx(
        [FLOOR * 0.6 + (1 - FLOOR) * 0.75, FLOOR * 0.2 + (1 - FLOOR) * 0.25, FLOOR * 0.2]
    )


@pytest.fixture
def probabilities_after(child):
    """Return ``probabilities_after(asked, advantages, seed)``: after 60 generations of 12 children that all improve.

    Each gains what training for longer gives, which is random, and the advantage of its operator.
    """

    def run(asked, advantages, seed):
        rng = np.random.default_rng(seed)
        names = tuple(asked)
        standings = standings_of(asked)
        for generation in range(60):
            p = np.array([one.probability for one in standings.values()])
            drawn = [names[index] for index in rng.choice(len(names), 12, p=p / p.sum())]
            gains = [rng.uniform(1.0, 2.0) * 0.9**generation * (1.0 + advantages.get(name, 0.0)) for name in drawn]
            members = [child(-5.0, -5.0 + gain, name, born=generation) for gain, name in zip(gains, drawn, strict=True)]
            credits = credits_of(members, generation, names)
            assert all(one.share in (1.0, None) for one in credits.values())
            standings = pursued(credited(standings, credits), asked)
        return {name: one.probability for name, one in standings.items()}

    return run


ASKED = {"add_node": 0.6, "add_connection": 0.2, "change_activation": 0.1, "remove_connection": 0.1}


@pytest.mark.parametrize("name", ["add_connection", "change_activation"])
@pytest.mark.parametrize("seed", range(5))
def test_where_all_children_improve_the_operator_that_gains_more_wins(probabilities_after, name, seed) -> None:
    found = probabilities_after(ASKED, {name: 0.4}, seed)
    assert max(found, key=found.__getitem__) == name
    assert found[name] > 0.9 * (FLOOR * ASKED[name] + 1 - FLOOR)


@pytest.mark.parametrize("seed", range(5))
def test_operators_that_gain_the_same_stay_near_what_was_asked_for(probabilities_after, seed) -> None:
    found = probabilities_after(ASKED, {}, seed)
    assert list(found.values()) == pytest.approx(list(ASKED.values()), abs=0.1)
