"""Addressed randomness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topoevo.seeds import Stream, generator, generators


def draws(*address: int) -> bytes:
    return generator(*address).random(4).tobytes()


def test_an_address_is_a_sequence() -> None:
    assert draws(3, Stream.LEARNING, 5, 7) == draws(3, Stream.LEARNING, 5, 7)
    used = generator(3, Stream.LEARNING, 5, 7)
    used.random(1000)
    assert draws(3, Stream.LEARNING, 5, 7) == generator(3, Stream.LEARNING, 5, 7).random(4).tobytes()


def test_every_part_of_the_address_matters() -> None:
    addresses = [(s, t, g, i) for s in range(3) for t in Stream for g in range(4) for i in range(4)]
    assert len({draws(*address) for address in addresses}) == len(addresses)


def test_streams_keep_their_numbers() -> None:
    assert {stream.name: int(stream) for stream in Stream}.items() >= {
        "INITIAL": 0, "RANKING": 1, "REPRODUCTION": 2, "LEARNING": 3, "SHARED": 4, "CONFIRMATION": 5, "SPLIT": 6
    }.items()  # fmt: skip
    assert len({int(stream) for stream in Stream}) == len(Stream)


def test_the_numbers_never_change() -> None:
    expected = np.random.default_rng(np.random.SeedSequence(1, spawn_key=(2, 3, 4))).integers(0, 2**62, 3)
    assert generator(1, Stream.REPRODUCTION, 3, 4).integers(0, 2**62, 3).tolist() == expected.tolist()


@pytest.mark.parametrize("address", [(-1, Stream.SHARED), (0, Stream.SHARED, -1), (0, Stream.SHARED, 0, -1)])
def test_negative_addresses_are_refused(address: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, OverflowError)):
        generator(*address)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.integers(0, 2**63 - 1), st.sampled_from([2**32 - 1, 2**32, 2**127, 2**128, 2**200])),
    st.sampled_from(Stream),
    st.integers(0, 2**32 - 1),
    st.lists(st.one_of(st.integers(0, 99), st.integers(0, 2**32 - 1)), max_size=5),
)
def test_generators_of_several_are_those_of_each(
    seed: int, stream: Stream, generation: int, indices: list[int]
) -> None:
    together = list(generators(seed, stream, generation, indices))
    assert [one.bit_generator.state for one in together] == [
        generator(seed, stream, generation, index).bit_generator.state for index in indices
    ]


@pytest.mark.parametrize("address", [(-1, 0, [0]), (0, -1, [0]), (0, 0, [-1]), (0, 0, [2**32])])
def test_addresses_of_several_are_not_wrapped(address: tuple[int, int, list[int]]) -> None:
    seed, generation, indices = address
    with pytest.raises((ValueError, OverflowError)):
        list(generators(seed, Stream.SHARED, generation, indices))
