"""Innovation numbers: one number for the same change within a generation, another one after it."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.genome import Genome, InnovationTracker, minimal_genome


@pytest.fixture
def tracker() -> InnovationTracker:
    """Return a tracker whose next numbers are node 10 and innovation 100."""
    return InnovationTracker(10, 100)


NO_NODES = np.zeros(0, np.int32)


def test_the_same_pair_has_one_number_within_a_generation(tracker: InnovationTracker) -> None:
    assert [tracker.connection(0, 1), tracker.connection(1, 0), tracker.connection(0, 1)] == [100, 101, 100]
    tracker.start_generation()
    assert tracker.connection(0, 1) == 102


def test_the_same_split_has_one_node_within_a_generation(tracker: InnovationTracker) -> None:
    first = tracker.split(7, 0, 7, NO_NODES)
    assert (first.node, first.incoming, first.outgoing) == (10, 100, 101)
    assert tracker.split(7, 0, 7, NO_NODES) == first
    assert tracker.split(8, 0, 8, NO_NODES).node == 11
    tracker.start_generation()
    later = tracker.split(7, 0, 7, NO_NODES)
    assert (later.node, later.incoming, later.outgoing) == (12, 104, 105)


def test_a_second_split_in_the_same_genome_gets_a_second_node(tracker: InnovationTracker) -> None:
    first = tracker.split(7, 0, 7, NO_NODES)
    second = tracker.split(7, 0, 7, np.array([3, first.node], np.int32))
    assert second.node != first.node
    assert tracker.split(7, 0, 7, np.array([3], np.int32)) == first, "a sibling starts with the first node"
    assert tracker.split(7, 0, 7, np.array([first.node], np.int32)) == second, "and shares the second one too"


def test_siblings_share_and_generations_do_not() -> None:
    tracker = InnovationTracker()
    parent = minimal_genome(2, 1, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0))
    tracker.start_generation()
    one = parent.split(0, tracker=tracker).connect(1, 3, tracker=tracker)
    other = parent.split(1, tracker=tracker).split(0, tracker=tracker).connect(1, 3, tracker=tracker)

    def numbers(genome: Genome) -> dict[tuple[int, int], int]:
        return {(int(c["source"]), int(c["target"])): int(c["innovation"]) for c in genome.connections}

    shared = numbers(one).keys() & numbers(other).keys()
    assert {(0, 3), (3, 2), (1, 3)} <= shared
    assert all(numbers(one)[pair] == numbers(other)[pair] for pair in shared)
    tracker.start_generation()
    later = parent.split(0, tracker=tracker)
    assert set(later.nodes["id"]) & set(one.nodes["id"]) == set(parent.nodes["id"])
    fresh = set(later.connections["innovation"]) - set(parent.connections["innovation"])
    assert not fresh & (set(one.connections["innovation"]) | set(other.connections["innovation"]))


def test_counters_are_all_that_a_checkpoint_needs(tracker: InnovationTracker) -> None:
    tracker.split(1, 0, 1, NO_NODES)
    tracker.connection(4, 5)
    tracker.start_generation()
    resumed = InnovationTracker(tracker.next_node, tracker.next_innovation)
    for t in (tracker, resumed):
        t.start_generation()
    assert tracker.split(1, 0, 1, NO_NODES) == resumed.split(1, 0, 1, NO_NODES)
    assert tracker.connection(4, 5) == resumed.connection(4, 5)


def test_reserved_nodes_are_never_handed_out_again(tracker: InnovationTracker) -> None:
    assert tracker.reserve_nodes(3).tolist() == [10, 11, 12]
    assert tracker.split(0, 0, 0, NO_NODES).node == 13


def test_a_removed_half_of_a_split_comes_back_with_its_number() -> None:
    tracker = InnovationTracker()
    parent = minimal_genome(1, 1, p_enabled=1.0, tracker=tracker, rng=np.random.default_rng(0))
    tracker.start_generation()
    one = parent.split(0, tracker=tracker)
    removed = int(one.connections["innovation"][1])
    other = one.without_connection(removed).connect(0, 2, tracker=tracker)
    assert int(other.connections["innovation"][other.connections["target"] == 2][0]) == removed


def test_the_same_bridge_has_one_node_within_a_generation(tracker: InnovationTracker) -> None:
    first = tracker.bridge((1, 2), 5, NO_NODES)
    assert [first, tracker.bridge((1, 2), 5, NO_NODES), tracker.next_node] == [10, 10, 11]
    assert tracker.bridge((1, 2), 6, NO_NODES) == 11
    assert tracker.bridge((1,), 5, NO_NODES) == 12
    assert tracker.bridge((1, 2), 5, np.array([3, first], np.int32)) == 13, "a second one in the same genome"
    assert tracker.bridge((1, 2), 5, np.array([3], np.int32)) == first
    tracker.start_generation()
    assert tracker.bridge((1, 2), 5, NO_NODES) == 14
