"""Addressed randomness."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.seeds import Stream, generator


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
