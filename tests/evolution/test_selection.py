"""Fronts against their definition, crowding against a worked example, tournaments against combinatorics."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare

from topoevo.evolution.selection import (
    _ranks_of_many,
    crowding_distances,
    pareto_ranks,
    ranking,
    tournament,
)

INF = math.inf
#: Few different values, so that ties are the rule.
VALUES = st.sampled_from([-INF, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, INF]) | st.floats(allow_nan=False)


def tables(num_objectives: int, max_rows: int = 25) -> st.SearchStrategy[np.ndarray]:
    """Objectives of some individuals."""
    return st.integers(0, max_rows).flatmap(lambda n: arrays(np.float64, (n, num_objectives), elements=VALUES))


def dominates(p: np.ndarray, q: np.ndarray) -> bool:
    return all(a >= b for a, b in zip(p, q, strict=True)) and any(a > b for a, b in zip(p, q, strict=True))


def ranks_by_definition(objectives: np.ndarray) -> list[int]:
    """Peel off the points that no other left point dominates, pair by pair."""
    ranks: dict[int, int] = {}
    front = 0
    while len(ranks) < len(objectives):
        left = [i for i in range(len(objectives)) if i not in ranks]
        free = [i for i in left if not any(dominates(objectives[j], objectives[i]) for j in left)]
        ranks.update(dict.fromkeys(free, front))
        front += 1
    return [ranks[i] for i in range(len(objectives))]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4).flatmap(tables))
def test_ranks_are_the_definition(objectives: np.ndarray) -> None:
    assert pareto_ranks(objectives).tolist() == ranks_by_definition(objectives)


@pytest.mark.parametrize("seed", range(20))
def test_ranks_of_two_objectives_with_many_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    objectives = rng.integers(-3, 4, (200, 2)).astype(np.float64)
    assert np.array_equal(pareto_ranks(objectives), _ranks_of_many(objectives))
    objectives = rng.normal(size=(300, 2))
    assert np.array_equal(pareto_ranks(objectives), _ranks_of_many(objectives))


@settings(max_examples=60, deadline=None)
@given(tables(2), st.randoms())
def test_ranks_do_not_depend_on_the_order(objectives: np.ndarray, random) -> None:
    order = list(range(len(objectives)))
    random.shuffle(order)
    assert pareto_ranks(objectives[order]).tolist() == pareto_ranks(objectives)[order].tolist()


def test_a_failed_individual_is_last() -> None:
    objectives = np.array([[-INF, -3.0], [-1.0, -5.0], [-2.0, -4.0], [-1.5, -9.0]])
    assert pareto_ranks(objectives[:, :1]).tolist() == [3, 0, 2, 1]
    assert pareto_ranks(objectives).tolist() == [0, 0, 0, 1]
    assert ranking(objectives[:, :1]).tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_nan_is_refused(num_objectives: int) -> None:
    objectives = np.zeros((4, num_objectives))
    objectives[2, -1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pareto_ranks(objectives)
    if num_objectives == 1:
        return  # sorted last, see below
    with pytest.raises(ValueError, match="NaN"):
        ranking(objectives)


def test_nan_of_a_single_objective_is_refused_like_that_of_two() -> None:
    with pytest.raises(ValueError, match="NaN"):
        ranking(np.array([[np.nan], [-INF], [1.0]]))


def test_two_objectives_are_sorted_in_n_log_n() -> None:
    rng = np.random.default_rng(0)
    front = np.sort(rng.normal(size=20_000))
    objectives = np.column_stack([front, -front])  # a single front
    ladder = np.column_stack([front, front])  # as many fronts as points
    assert (pareto_ranks(objectives) == 0).all()
    assert pareto_ranks(ladder).tolist() == list(range(20_000))[::-1]


# -- crowding ---------------------------------------------------------------------------------------------------


def test_crowding_by_hand() -> None:
    # One front of five with negative values, and one of three with a tie in both objectives.
    objectives = np.array(
        [
            [-5.0, 10.0],  # end
            [-4.0, 7.0],  # (-2 - -5)/8 + (10 - 4)/20 = .375 + .3
            [-2.0, 4.0],  # (1 - -4)/8 + (7 - -2)/20 = .625 + .45
            [1.0, -2.0],  # (3 - -2)/8 + (4 - -10)/20 = .625 + .7
            [3.0, -10.0],  # end
            [-9.0, -11.0],  # end
            [-10.0, -10.5],  # between its twin and the end, or end: the twins are one place
            [-10.0, -10.5],
        ]
    )
    ranks = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    distances = crowding_distances(objectives, ranks)
    assert distances[:5].tolist() == pytest.approx([INF, 0.675, 1.075, 1.325, INF])
    # By (first, index): 6, 7, 5. By (second, index): 5, 6, 7. So 7 ends the second, 6 the first.
    assert distances[5:].tolist() == [INF, INF, INF]


def test_crowding_with_ties_inside_a_front() -> None:
    objectives = np.array([[0.0, 4.0], [1.0, 3.0], [1.0, 3.0], [1.0, 3.0], [4.0, 0.0]])
    distances = crowding_distances(objectives, np.zeros(5, np.int64))
    # By the first objective: 0, 1, 2, 3, 4; by the second (ties by index as well): 4, 1, 2, 3, 0.
    assert distances.tolist() == pytest.approx([INF, 1 / 4 + 3 / 4, 0, 3 / 4 + 1 / 4, INF])


def test_an_objective_without_range_adds_nothing() -> None:
    objectives = np.array([[1.0, 5.0], [1.0, 5.0], [1.0, 5.0]])
    assert crowding_distances(objectives, np.zeros(3, np.int64)).tolist() == [0, 0, 0]
    three = np.array([[0.0, 2.0, 7.0], [1.0, 1.0, 7.0], [2.0, 0.0, 7.0]])
    assert crowding_distances(three, np.zeros(3, np.int64)).tolist() == [INF, 2.0, INF]


def crowding_by_definition(objectives: np.ndarray, ranks: np.ndarray) -> list[float]:
    """Deb et al. 2002, section III-B, front by front and individual by individual."""
    distances = [0.0] * len(objectives)
    for rank in set(ranks.tolist()):
        members = np.flatnonzero(ranks == rank).tolist()
        for column in objectives.T.tolist():
            order = sorted(members, key=column.__getitem__)
            finite = [column[index] for index in members if math.isfinite(column[index])]
            extent = max(finite) - min(finite) if finite else 0.0
            if extent == 0.0:
                continue
            distances[order[0]] = distances[order[-1]] = INF
            for below, index, above in zip(order, order[1:], order[2:], strict=False):
                gap = (column[above] - column[below]) / extent
                distances[index] += 0.0 if math.isnan(gap) else gap
    return distances


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3).flatmap(tables), st.integers(0, 4))
def test_crowding_is_the_definition(objectives: np.ndarray, num_fronts: int) -> None:
    ranks = np.arange(len(objectives)) % num_fronts if num_fronts else pareto_ranks(objectives)
    with np.errstate(over="ignore"):
        assert crowding_distances(objectives, ranks).tolist() == crowding_by_definition(objectives, ranks)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3).flatmap(tables))
def test_crowding_is_never_nan_nor_negative(objectives: np.ndarray) -> None:
    with np.errstate(over="ignore", divide="ignore"):
        distances = crowding_distances(objectives, pareto_ranks(objectives))
    assert not np.isnan(distances).any()
    assert (distances >= 0).all()


@pytest.mark.parametrize("shift", [0.0, -1000.0, 1000.0])
def test_crowding_does_not_depend_on_shift_and_scale(shift: float) -> None:
    rng = np.random.default_rng(0)
    objectives = rng.normal(size=(40, 2))
    ranks = pareto_ranks(objectives)
    np.testing.assert_allclose(
        crowding_distances(objectives * 8 + shift, ranks), crowding_distances(objectives, ranks), rtol=1e-9
    )


def test_infinite_values_do_not_hide_the_others() -> None:
    objectives = np.array([[-INF, 9.0], [0.0, 8.0], [1.0, 6.0], [3.0, 3.0], [4.0, 0.0]])
    distances = crowding_distances(objectives, np.zeros(5, np.int64))
    assert distances[[0, 4]].tolist() == [INF, INF]
    assert distances[2] == pytest.approx(3 / 4 + 5 / 9)
    assert distances[3] == pytest.approx(3 / 4 + 6 / 9)


# -- order ------------------------------------------------------------------------------------------------------


def test_ranking_is_front_then_crowding_then_index() -> None:
    objectives = np.array([[-2.0, 0.0], [0.0, 4.0], [3.0, 1.0], [3.5, 0.5], [4.0, 0.0], [1.0, 3.0], [-2.0, 0.0]])
    # Front 0: 1 and 4 are ends; 2: (3.5-1)/4 + (3-.5)/4 = 1.25; 5: 3/4 + 3/4 = 1.5; 3: 1/4 + 1/4. Then the twins.
    assert ranking(objectives).tolist() == [1, 4, 5, 2, 3, 0, 6]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3).flatmap(tables))
def test_ranking_is_an_order_that_respects_fronts(objectives: np.ndarray) -> None:
    with np.errstate(over="ignore", divide="ignore"):
        order = ranking(objectives)
    assert sorted(order.tolist()) == list(range(len(objectives)))
    ranks = pareto_ranks(objectives)
    assert (np.diff(ranks[order]) >= 0).all()
    if objectives.shape[1] == 1:
        for before, after in pairwise(order.tolist()):
            assert objectives[before, 0] > objectives[after, 0] or (
                objectives[before, 0] == objectives[after, 0] and before < after
            )


# -- tournament -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_candidates", "size"), [(10, 3), (10, 1), (6, 5), (8, 2)])
def test_tournament_draws_without_replacement(num_candidates: int, size: int) -> None:
    rng = np.random.default_rng(0)
    wins = Counter(tournament(num_candidates, size, rng) for _ in range(4000))
    # The best of `size` different ones is number j in C(n - 1 - j, size - 1) of C(n, size) cases.
    possible = range(num_candidates - size + 1)
    expected = [4000 * math.comb(num_candidates - 1 - j, size - 1) / math.comb(num_candidates, size) for j in possible]
    assert set(wins) <= set(possible), "the worst size - 1 can never win"
    assert chisquare([wins[j] for j in possible], expected).pvalue > 1e-3


@pytest.mark.parametrize("size", [7, 8, 1000])
def test_a_tournament_of_all_is_won_by_the_best(size: int) -> None:
    assert {tournament(7, size, np.random.default_rng(seed)) for seed in range(50)} == {0}


def test_the_published_slip_weighs_gaps_in_reward_alone():
    # Gaps of 10 in reward and of 10 connections; by the range of the front they count alike.
    objectives = np.array([[100.0, -20.0], [110.0, -30.0], [120.0, -40.0], [160.0, -45.0], [170.0, -80.0]])
    ranks = np.zeros(5, np.int64)
    published = crowding_distances(objectives, ranks, scaling="wann")
    expected = 20.0 * abs(1 / 170 - 100) + 20.0 * abs(-1 / 20 + 80)
    assert published[1] == pytest.approx(expected)
    assert np.isinf(published[[0, -1]]).all()
    fair = crowding_distances(objectives, ranks)
    assert fair[1] == pytest.approx(20 / 70 + 20 / 60)
