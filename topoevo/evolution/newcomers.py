"""Networks without parents: all of generation 0, and those that join later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from topoevo.evolution.mutating import mutate
from topoevo.genome import Genome, InnovationTracker
from topoevo.variation import Mutation


class Newcomers(Protocol):
    """A source of genomes that descend from none in the population."""

    def draw(self, tracker: InnovationTracker, rng: np.random.Generator) -> tuple[Genome, tuple[str, ...]]:
        """Return a genome and the names of the operators that took part.

        Parameters
        ----------
        tracker, rng
            Innovation numbers, and the generator of this genome.
        """


@dataclass(frozen=True)
class RandomNetworks:
    """Random connections from inputs to outputs, and random hidden nodes.

    Parameters
    ----------
    num_inputs, num_outputs
        Of the task.
    p_enabled
        Probability of every connection from an input to an output.
    p_add_node
        Probability with which `add_node` is applied, tried once for every initial connection (Rieke 2020).
    add_node
        The operator.
    bias, evolved_bias, output_activation, max_connections
        See `Genome.minimal`.
    """

    num_inputs: int
    num_outputs: int
    p_enabled: float
    p_add_node: float
    add_node: Mutation
    output_activation: str
    bias: bool = False
    evolved_bias: bool = False
    max_connections: int | None = None

    def draw(self, tracker: InnovationTracker, rng: np.random.Generator) -> tuple[Genome, tuple[str, ...]]:
        """Return a random genome; see `Newcomers`."""
        genome = Genome.minimal(
            self.num_inputs,
            self.num_outputs,
            p_enabled=self.p_enabled,
            tracker=tracker,
            rng=rng,
            bias=self.bias,
            evolved_bias=self.evolved_bias,
            output_activation=self.output_activation,
            max_connections=self.max_connections,
        )
        num_nodes = int(rng.binomial(genome.complexity.connections, self.p_add_node))
        return mutate(genome, {self.add_node: 1.0}, num_nodes, tracker, rng)


@dataclass(frozen=True)
class MutatedCopies:
    """Copies of a given network, each mutated once.

    Parameters
    ----------
    founder
        The network.
    mutations
        Operators with probabilities of any sum.
    """

    founder: Genome
    mutations: Mapping[Mutation, float]

    def draw(self, tracker: InnovationTracker, rng: np.random.Generator) -> tuple[Genome, tuple[str, ...]]:
        """Return a mutated copy; see `Newcomers`."""
        return mutate(self.founder, self.mutations, 1, tracker, rng)
