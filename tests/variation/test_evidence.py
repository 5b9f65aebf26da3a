"""Evidence: read-only, bit-exact when it travels, and about a genome only what still holds there."""

from __future__ import annotations

import pickle
from dataclasses import fields

import numpy as np
import pytest

from topoevo.genome import InnovationTracker, Role
from topoevo.variation import Evidence

SEEDS = range(10)


def test_arrays_are_read_only_and_travel_bit_by_bit(evolve, make_evidence) -> None:
    evidence = make_evidence(0, evolve(0))
    again = pickle.loads(pickle.dumps(evidence))
    for field in fields(Evidence):
        one, other = getattr(evidence, field.name), getattr(again, field.name)
        assert not one.flags.writeable and not other.flags.writeable
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    assert evidence.absent.shape == (len(evidence.slope), 2)


def test_it_travels_in_hardly_more_than_its_bytes(evolve, make_evidence) -> None:
    evidence = make_evidence(0, evolve(0))
    size = sum(getattr(evidence, field.name).nbytes for field in fields(Evidence))
    assert len(pickle.dumps(evidence)) < size + 200


def test_the_callers_arrays_stay_the_callers(evolve, make_evidence) -> None:
    evidence = make_evidence(0, evolve(0))
    columns = {field.name: getattr(evidence, field.name).copy() for field in fields(Evidence)}
    other = Evidence(**columns)
    columns["saliency"][:] = -1.0
    assert np.array_equal(other.saliency, evidence.saliency)


@pytest.mark.parametrize("seed", SEEDS)
def test_genes_are_looked_up_by_number(evolve, make_evidence, seed: int) -> None:
    genome = evolve(seed)
    evidence = make_evidence(seed, genome, stale=True)
    saliency = dict(zip(evidence.innovation.tolist(), evidence.saliency.tolist(), strict=True))
    strain = dict(zip(evidence.innovation.tolist(), evidence.strain.tolist(), strict=True))
    numbers = genome.connections["innovation"].tolist()
    assert evidence.saliency_of(genome, unknown=7.0).tolist() == [saliency.get(number, 7.0) for number in numbers]
    assert evidence.strain_of(genome).tolist() == [strain.get(number, 0.0) for number in numbers]
    mean = dict(zip(evidence.node.tolist(), evidence.mean.tolist(), strict=True))
    deviation = dict(zip(evidence.node.tolist(), evidence.deviation.tolist(), strict=True))
    found = evidence.activities_of(genome, unknown=(-5.0, 9.0))
    ids = genome.nodes["id"].tolist()
    assert found[0].tolist() == [mean.get(number, -5.0) for number in ids]
    assert found[1].tolist() == [deviation.get(number, 9.0) for number in ids]


@pytest.mark.parametrize("output_connections", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_absent_connections_are_those_that_could_be_there(
    evolve, make_evidence, seed: int, output_connections: bool
) -> None:
    genome = evolve(seed, num_mutations=60)
    evidence = make_evidence(seed, genome, num_absent=300, stale=True)
    ids, role = genome.nodes["id"].tolist(), genome.role
    alive = genome.active[0] | (role != Role.HIDDEN)
    taken = {(s, t) for _, s, t, _, enabled in genome.connections.tolist() if enabled}
    targets = (Role.HIDDEN, Role.OUTPUT) if output_connections else (Role.HIDDEN,)
    expected = []
    for (source, target), slope in zip(evidence.absent.tolist(), evidence.slope.tolist(), strict=True):
        if source not in ids or target not in ids or source == target or (source, target) in taken:
            continue
        s, t = ids.index(source), ids.index(target)
        if role[s] != Role.OUTPUT and role[t] in targets and alive[s] and alive[t]:
            expected.append((s, t, slope))
    found = evidence.absent_from(genome, output_connections=output_connections)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
    assert 0 < len(expected) < len(evidence.absent)


def test_a_slope_that_is_no_number_or_zero_asks_for_nothing(evolve, make_evidence) -> None:
    genome = evolve(0)
    evidence = make_evidence(0, genome)
    columns = {field.name: getattr(evidence, field.name) for field in fields(Evidence)}
    slope = evidence.slope.copy()
    slope[:3] = np.nan, np.inf, 0.0
    found = Evidence(**{**columns, "slope": slope}).absent_from(genome, output_connections=True)
    assert found.slope.tolist() == evidence.absent_from(genome, output_connections=True).slope.tolist()[3:]


@pytest.mark.parametrize("seed", SEEDS)
def test_similar_pairs_are_those_of_hidden_nodes_that_take_part(evolve, make_evidence, seed: int) -> None:
    genome = evolve(seed)
    evidence = make_evidence(seed, genome, stale=True)
    ids = genome.nodes["id"].tolist()
    hidden = {ids[row] for row in np.flatnonzero(genome.active[0] & (genome.role == Role.HIDDEN))}
    expected = [
        (ids.index(a), ids.index(b), r)
        for (a, b), r in zip(evidence.similar.tolist(), evidence.correlation.tolist(), strict=True)
        if a in hidden and b in hidden and a != b
    ]
    pairs, correlation = evidence.similar_in(genome)
    assert [(*pair, r) for pair, r in zip(pairs.tolist(), correlation.tolist(), strict=True)] == expected


def test_evidence_of_nothing(evolve) -> None:
    nothing = Evidence(*(np.zeros(0) for _ in fields(Evidence)))
    genome = evolve(0)
    assert len(nothing.absent_from(genome, output_connections=True).slope) == 0
    assert len(nothing.similar_in(genome)[0]) == 0
    assert np.isinf(nothing.saliency_of(genome, unknown=np.inf)).all()


def test_it_is_about_the_parent_where_the_child_has_grown(evolve, make_evidence) -> None:
    parent = evolve(1)
    evidence = make_evidence(1, parent)
    child = parent.split(int(evidence.innovation[0]), tracker=InnovationTracker(1000, 1000))
    saliency = evidence.saliency_of(child, unknown=np.inf)
    is_new = child.connections["innovation"] >= 1000
    assert is_new.any() and np.isinf(saliency[is_new]).all()
    before = evidence.saliency_of(parent, unknown=np.inf)
    assert np.array_equal(saliency[~is_new], before)
