"""Genomes with the connections of another one in random places: what is left of a topology but its statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topoevo.genome.genes import BIAS
from topoevo.genome.genome import Genome

#: Exchanges that are tried for every connection. Milo et al. 2003 find 100 enough for any graph; on evolved networks
#: the fraction of connections that are still in place stops falling at about 10.
_ATTEMPTS_A_CONNECTION = 30


def shuffled(genome: Genome, rng: np.random.Generator) -> Genome:
    """Return the active part of `genome` with its connections rewired, every node keeping its numbers of connections.

    Two connections a → b and c → d, drawn at random, become a → d and c → b if neither is there yet and both lead
    from a lower to a higher layer of `genome`; and so on many times. In-degree, out-degree and activation of every
    node remain, the graph stays acyclic and becomes no deeper (mostly less deep), and every node stays on a path from
    an input to an output. All graphs that can be reached so are equally likely. Connections from the bias node stay.

    Parameters
    ----------
    genome
        Left as it is.
    rng
        Generator.

    References
    ----------
    Maslov & Sneppen 2002, Science 296:910. Milo et al. 2003, arXiv:cond-mat/0312028.
    """
    genome = genome.active_part()
    layer = genome.layers().tolist()
    rows = _rows_to_move(genome)
    source, target = genome.source_row[rows].tolist(), genome.target_row[rows].tolist()
    taken = set(zip(source, target, strict=True))
    for _ in range(_ATTEMPTS_A_CONNECTION):
        for first, second in rng.integers(len(rows), size=(len(rows), 2)).tolist():
            a, b, c, d = source[first], target[first], source[second], target[second]
            if layer[a] < layer[d] and layer[c] < layer[b] and (a, d) not in taken and (c, b) not in taken:
                taken -= {(a, b), (c, d)}
                taken |= {(a, d), (c, b)}
                target[first], target[second] = d, b
    return _rewired(genome, rows, np.array(source), np.array(target))


def shuffled_by_layer(genome: Genome, rng: np.random.Generator) -> Genome:
    """Return the active part of `genome` with every connection moved to random nodes of the same two layers.

    This is ``reshuffle_connections`` of Rieke 2020, without the duplicates that it may draw. Nodes do not keep their
    numbers of connections, and some connections may end up on no path from an input to an output. Connections from
    the bias node stay.

    Parameters
    ----------
    genome
        Left as it is.
    rng
        Generator.
    """
    genome = genome.active_part()
    layer = genome.layers()
    members = [np.flatnonzero((layer == one) & (genome.role != BIAS)) for one in range(int(layer.max()) + 1)]
    rows = _rows_to_move(genome)
    source, target = genome.source_row[rows].copy(), genome.target_row[rows].copy()
    ends = np.stack([layer[source], layer[target]], axis=1)
    for lower, upper in np.unique(ends, axis=0):
        moved = np.flatnonzero((ends == (lower, upper)).all(axis=1))
        num_targets = len(members[upper])
        drawn = rng.choice(len(members[lower]) * num_targets, len(moved), replace=False)
        source[moved], target[moved] = members[lower][drawn // num_targets], members[upper][drawn % num_targets]
    return _rewired(genome, rows, source, target)


def _rows_to_move(genome: Genome) -> NDArray[np.intp]:
    """Rows of the connections that do not start at the bias node."""
    return np.flatnonzero(genome.role[genome.source_row] != BIAS)


def _rewired(
    genome: Genome, rows: NDArray[np.intp], source: NDArray[np.integer], target: NDArray[np.integer]
) -> Genome:
    """The genome with other ends, as rows of nodes, of some connections; innovation numbers are given anew."""
    connections = genome.connections.copy()
    connections["source"][rows] = genome.nodes["id"][source]
    connections["target"][rows] = genome.nodes["id"][target]
    connections["innovation"] = np.arange(len(connections))
    return Genome(genome.nodes, connections)
