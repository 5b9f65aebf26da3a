"""Individuals and populations."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution.evaluation import Evaluation
from topoevo.evolution.moments import Moments
from topoevo.genome import Genome


@dataclass(frozen=True, eq=False)
class Individual:
    """A genome with its descent and, once evaluated, its evaluation.

    Parameters
    ----------
    id
        Unique within a run, in order of birth.
    parents
        Ids of the parents; empty in generation 0.
    born
        Generation of birth.
    operators
        Names of the mutations that made it, in order.
    genome
        Its genes.
    evaluation
        The last evaluation, or None.
    founded
        Generation in which its line of descent began, with a network that has no parents.
    parent_reward
        Reward for which the parent was chosen; None if there is no parent, or it has failed.
    ancestor
        Id of the first of its line of descent, who has no parents; None if it is that itself.
    moments
        What its parent's optimizer remembered, or its own in the generation before, with which its learning begins;
        None if that is nothing.
    """

    id: int
    parents: tuple[int, ...]
    born: int
    operators: tuple[str, ...]
    genome: Genome
    evaluation: Evaluation | None = None
    founded: int = 0
    parent_reward: float | None = None
    ancestor: int | None = None
    moments: Moments | None = None

    @property
    def line(self) -> int:
        """Id of the first of its line of descent."""
        return self.id if self.ancestor is None else self.ancestor

    @property
    def reward(self) -> float:
        """Reward of the last evaluation; ``-inf`` before it."""
        return -np.inf if self.evaluation is None else self.evaluation.reward

    @property
    def has_failed(self) -> bool:
        """Whether the last evaluation failed."""
        return self.evaluation is not None and self.evaluation.failure is not None

    @property
    def progress(self) -> float:
        """How far learning came: ``inf`` to its end, the rung of a race where it was stopped, -1 if it has failed."""
        if self.evaluation is None or self.evaluation.failure is not None:
            return -1.0
        return math.inf if self.evaluation.rung is None else float(self.evaluation.rung)

    @property
    def merit(self) -> tuple[float, float]:
        """What the best of several is chosen by: whoever came further in learning, then the greater reward."""
        return self.progress, self.reward

    def evaluated(self, evaluation: Evaluation) -> Individual:
        """Return this individual with an evaluation, and without the genes that learning has removed."""
        genome, removed = self.genome, evaluation.removed
        if removed is not None:
            weights = None if evaluation.weights is None else evaluation.weights[~removed]
            evaluation = replace(evaluation, weights=weights, removed=None)
            genome = genome.with_only(~removed)
        # Half the time of `dataclasses.replace`.
        descent = self.id, self.parents, self.born, self.operators
        return Individual(*descent, genome, evaluation, self.founded, self.parent_reward, self.ancestor, self.moments)


_LITTLE_ENDIAN = np.dtype("<f4")

#: What selection can maximize, by name.
_OBJECTIVES: dict[str, Callable[[Individual], float]] = {
    "reward": lambda member: member.reward,
    "best_reward": lambda member: -np.inf if member.evaluation is None else member.evaluation.best_reward,
    "simplicity": lambda member: -float(member.genome.complexity.connections),
    "simplicity_with_biases": lambda member: (
        -float(member.genome.complexity.connections + member.genome.complexity.biases)
    ),
    "youth": lambda member: float(member.founded),
}


@dataclass(frozen=True, eq=False)
class Population:
    """All individuals of one generation, in a fixed order.

    Parameters
    ----------
    generation
        Number of the generation, from 0.
    members
        The individuals; a child's place is part of the address of its random numbers.
    """

    generation: int
    members: tuple[Individual, ...]

    def objectives(self, *names: str) -> NDArray[np.float64]:
        """Return what selection maximizes, float64 [num_members, len(names)]; ``-inf`` all over for a failure.

        Parameters
        ----------
        *names
            ``reward``, ``best_reward``, ``simplicity`` (minus the number of active connections),
            ``simplicity_with_biases`` (those from the bias node counted, too) or ``youth`` (the generation in which the
            line of descent began).
        """
        # A failed network may be small, but that is no merit.
        return np.array(
            [
                [-np.inf if member.has_failed else _OBJECTIVES[name](member) for name in names]
                for member in self.members
            ],
            np.float64,
        )

    @property
    def digest(self) -> str:
        """Hash of all genomes, trained weights and rewards: equal if two runs are equal so far."""
        content = hashlib.blake2b(digest_size=8)
        for member in self.members:
            content.update(member.genome.digest.encode())
            if member.evaluation is not None:
                content.update(struct.pack("<d", member.evaluation.reward))
                if member.evaluation.weights is not None:
                    content.update(member.evaluation.weights.astype(_LITTLE_ENDIAN, copy=False).tobytes())
        return content.hexdigest()
