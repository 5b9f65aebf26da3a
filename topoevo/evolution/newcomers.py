"""Networks without parents: all of generation 0, and those that join later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from topoevo.evolution.mutating import mutate
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.genome.dense import layered_genome
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
        See `minimal_genome`.
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
        genome = minimal_genome(
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
class LayeredNetworks:
    """Fully connected networks with one or two hidden layers of random size, for learning to prune.

    Parameters
    ----------
    num_inputs, num_outputs
        Of the task.
    num_hidden
        Smallest and largest size of the first hidden layer, which is drawn evenly on a logarithmic scale. A second one
        has half of it.
    p_second_layer
        Probability of a second layer.
    p_direct
        Probability of each connection from an input to an output.
    activations
        Names of activations: every network draws some of them, at least one, and its nodes draw from those.
    output_activation, bias
        See `topoevo.genome.dense.layered_genome`.
    """

    num_inputs: int
    num_outputs: int
    num_hidden: tuple[int, ...]
    p_second_layer: float
    p_direct: float
    activations: tuple[str, ...]
    output_activation: str
    bias: bool = False

    def draw(self, tracker: InnovationTracker, rng: np.random.Generator) -> tuple[Genome, tuple[str, ...]]:
        """Return a layered genome; see `Newcomers`."""
        smallest, largest = self.num_hidden
        size = int(smallest * ((largest + 1) / smallest) ** rng.random())
        layers = (size, max(size // 2, 1)) if rng.random() < self.p_second_layer else (size,)
        palette = rng.permutation(len(self.activations))[: 1 + rng.integers(len(self.activations))]
        genome = layered_genome(
            self.num_inputs,
            layers,
            self.num_outputs,
            p_direct=self.p_direct,
            activations=[self.activations[place] for place in palette],
            output_activation=self.output_activation,
            bias=self.bias,
            tracker=tracker,
            rng=rng,
        )
        return genome, ()


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
