"""Credit of operators by counting, and adaptive pursuit against the formula worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from topoevo.evolution import Evaluation, Individual
from topoevo.evolution.credit import (
    FLOOR,
    PURSUIT_RATE,
    QUALITY_RATE,
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
    assert found == {"add_connection": Credit(3, 1), "add_node": Credit(3, 1), "mutate_weights": Credit()}
    assert found["add_node"].share == pytest.approx(1 / 3)
    assert found["mutate_weights"].share is None


def test_who_was_stopped_in_a_race_is_not_better(child) -> None:
    member = child(-1.0, -0.5, "add_node")
    stopped = replace(member, evaluation=replace(member.evaluation, rung=0))
    assert credits_of([member, stopped], 3, ("add_node",)) == {"add_node": Credit(2, 1)}


def test_names_are_those_of_the_registry() -> None:
    assert operator_names() == tuple(MUTATIONS)


def test_probabilities_are_normalized_and_zeros_left_out() -> None:
    assert standings_of({"a": 1.0, "b": 0.0, "c": 3.0}) == {"a": Standing(0.25), "c": Standing(0.75)}
    assert standings_of({"a": 0.0}) == {}


def test_estimates_follow_shares_and_counts_add_up() -> None:
    before = {"a": Standing(0.5, Credit(10, 5), 0.5), "b": Standing(0.5, Credit(4, 0), 0.25)}
    after = credited(before, {"a": Credit(4, 1), "b": Credit()})
    assert after["a"] == Standing(0.5, Credit(14, 6), 0.5 + QUALITY_RATE * (0.25 - 0.5))
    assert after["b"] == before["b"], "nothing was seen of it"


def test_pursuit_is_that_of_the_paper() -> None:
    before = {"a": Standing(0.2, quality=0.1), "b": Standing(0.5, quality=0.7), "c": Standing(0.3, quality=0.3)}
    least = FLOOR / 3
    most = 1 - 2 * least
    after = {name: one.probability for name, one in pursued(before).items()}
    assert after == {
        "a": pytest.approx(0.2 + PURSUIT_RATE * (least - 0.2)),
        "b": pytest.approx(0.5 + PURSUIT_RATE * (most - 0.5)),
        "c": pytest.approx(0.3 + PURSUIT_RATE * (least - 0.3)),
    }
    assert sum(after.values()) == pytest.approx(1.0)


def test_pursuit_ends_at_the_floor_and_below_the_ceiling() -> None:
    standings = {"a": Standing(0.9), "b": Standing(0.05), "c": Standing(0.05)}
    for _ in range(300):
        standings = pursued(credited(standings, {"a": Credit(10, 1), "b": Credit(10, 6), "c": Credit()}))
    probabilities = {name: one.probability for name, one in standings.items()}
    assert probabilities == {
        "a": pytest.approx(FLOOR / 3), "b": pytest.approx(1 - 2 * FLOOR / 3), "c": pytest.approx(FLOOR / 3)
    }  # fmt: skip
    assert standings["b"].quality == pytest.approx(0.6)
    assert standings["c"].quality == 0.0, "an operator without children is not pursued"


def test_nothing_moves_before_the_first_success() -> None:
    standings = {"a": Standing(0.9), "b": Standing(0.1)}
    assert pursued(credited(standings, {"a": Credit(10, 0), "b": Credit(3, 0)})) == {
        "a": Standing(0.9, Credit(10, 0)), "b": Standing(0.1, Credit(3, 0))
    }  # fmt: skip


def test_equally_good_operators_share_the_ceiling() -> None:
    standings = {"a": Standing(0.8, quality=0.4), "b": Standing(0.1, quality=0.4), "c": Standing(0.1)}
    for _ in range(300):
        standings = pursued(standings)
    share = (1 - FLOOR / 3) / 2
    assert [one.probability for one in standings.values()] == pytest.approx([share, share, FLOOR / 3])
