"""Random numbers that are addressed instead of consumed.

A generator is a function of (seed, stream, generation, index). Nobody keeps one across calls, so results depend
neither on the number of workers, nor on their order, nor on a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Stream(IntEnum):
    """What a sequence of random numbers is for; the numbers are part of the file format and never change."""

    INITIAL = 0  #: genomes of generation 0
    RANKING = 1  #: which objectives a generation is ranked on
    REPRODUCTION = 2  #: parents and mutations of a child
    LEARNING = 3  #: initial weights and feedback of one individual
    SHARED = 4  #: minibatches and episode seeds that everyone in a generation is compared on
    CONFIRMATION = 5  #: the second training of a champion candidate
    SPLIT = 6  #: which samples are held out
    FEEDBACK = 7  #: feedback weights, which belong to pairs of nodes
    CONTROL = 8  #: networks that a champion is compared with
    TEST = 9  #: episodes that champions are tested on
    REPORT = 10  #: random weights and fresh episodes of a champion's report
    TUNING = 11  #: episodes, minibatches and candidates while the weights of a champion are tuned
    PROBE = 12  #: training samples on which networks are looked at, not trained, the same in all generations
    FRONT = 13  #: the final training of the best networks of several sizes
    DISTORTION = 14  #: how images are distorted, the same in all runs


def generator(seed: int, stream: Stream, generation: int = 0, index: int = 0) -> np.random.Generator:
    """Return the generator at one address.

    Parameters
    ----------
    seed
        The run's seed, at least 0.
    stream
        What the numbers are for.
    generation, index
        Generation and individual, at least 0.

    Returns
    -------
    numpy.random.Generator
        PCG64, seeded with ``SeedSequence(seed, spawn_key=(stream, generation, index))``.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), generation, index)))


def generators(seed: int, stream: Stream, generation: int, indices: Sequence[int]) -> Iterator[np.random.Generator]:
    """Yield the generators of several individuals: those of `generator`, in a sixth of the time.

    What their addresses have in common is hashed once, and the rest of the hash (numpy's `SeedSequence`, after O'Neill
    2015, https://www.pcg-random.org/posts/developing-a-seed_seq-alternative.html) is computed for all together.

    Parameters
    ----------
    seed, stream, generation
        See `generator`.
    indices
        The individuals, at least 0 and below 2³².
    """
    num_words = max(_POOL_SIZE, -(-seed.bit_length() // 32))
    words = [*np.frombuffer(seed.to_bytes(4 * num_words, "little"), "<u4"), int(stream), generation]
    pool = np.random.SeedSequence(np.array(words, np.uint32)).pool[:, None]
    # The hash function has another constant in every call; there have been so many calls.
    calls = _POOL_SIZE * len(words)
    hashed = _hashed(np.array(indices, np.uint32), _powers(0x43B0D7E5, 0x931E8875, calls, _POOL_SIZE + 1))
    mixed = _folded(np.uint32(0xCA01F9DD) * pool - np.uint32(0x4973F715) * hashed)
    states = _hashed(np.tile(mixed, (2, 1)), _powers(0x8B51F9DD, 0x58F38DED, 0, 2 * _POOL_SIZE + 1))
    for state in np.ascontiguousarray(states.T).astype("<u4").view("<u8").astype(np.uint64):
        yield np.random.Generator(np.random.PCG64(_Seeds(state)))  # type: ignore[arg-type]


_POOL_SIZE = 4  #: of `SeedSequence`, in words of 32 bits


class _Seeds(np.random.bit_generator.ISeedSequence):
    """The state of a generator, known already."""

    def __init__(self, state: NDArray[np.uint64]) -> None:
        self._state = state

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        """Return the state."""
        return self._state


def _powers(first: int, factor: int, exponent: int, count: int) -> NDArray[np.uint32]:
    """first · factor^exponent and those that follow, modulo 2³², uint32 [count, 1]."""
    powers = [first * pow(factor, exponent + k, 2**32) % 2**32 for k in range(count)]
    return np.array(powers, np.uint32)[:, None]


def _hashed(values: NDArray[np.uint32], constants: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """`SeedSequence`'s hash function, one call for each but the last of its constants."""
    return _folded((values ^ constants[:-1]) * constants[1:])


def _folded(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The upper half of the bits mixed into the lower one."""
    folded: NDArray[np.uint32] = values ^ (values >> np.uint32(16))
    return folded


def normals_of_pairs(
    seed: int, stream: Stream, first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return a standard normal number for every pair of non-negative integers, always the same for the same pair.

    Two uniform numbers by a hash (the finalizer of splitmix64, Steele, Lea & Flood 2014) make one normal number (Box &
    Muller 1958, eq. 2), so that it depends on nothing but its address.

    Parameters
    ----------
    seed, stream
        The run's seed, and what the numbers are for.
    first, second
        The pairs; of shapes that broadcast.
    """
    key = np.random.SeedSequence(seed, spawn_key=(int(stream),)).generate_state(3, np.uint64)
    radius = _mixed(_mixed(first.astype(np.uint64) ^ key[0]) ^ second.astype(np.uint64) ^ key[1])
    angle = _mixed(radius ^ key[2])
    uniform_radius, uniform_angle = (((bits >> np.uint64(11)) + 0.5) * 2.0**-53 for bits in (radius, angle))
    normals: NDArray[np.float64] = np.sqrt(-2.0 * np.log(uniform_radius)) * np.cos(2.0 * np.pi * uniform_angle)
    return normals


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
