"""Random numbers that are addressed instead of consumed.

A generator is a function of (seed, stream, generation, index). Nobody keeps one across calls, so results depend
neither on the number of workers, nor on their order, nor on a restart.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a sequence of random numbers is for; the numbers are part of the file format and never change."""

    INITIAL = 0  #: genomes of generation 0
    RANKING = 1  #: which objectives a generation is ranked on
    REPRODUCTION = 2  #: parents and mutations of a child
    LEARNING = 3  #: initial weights and feedback of one individual
    SHARED = 4  #: minibatches and episode seeds that everyone in a generation is compared on
    CONFIRMATION = 5  #: the second training of a champion candidate
    SPLIT = 6  #: which samples are held out


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
