"""What an evaluation saw of one network, and what operators ask of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topoevo.genome import Genome
from topoevo.genome.genes import HIDDEN, OUTPUT

#: Types of the fields of `Evidence`, in their order; files have them with the lowest byte first.
EVIDENCE_DTYPES: tuple[type[Any], ...] = (
    *(np.int32, np.float32, np.float32),
    *(np.int32, np.float32, np.float32),
    *(np.int32, np.float32),
    *(np.int32, np.float32),
)
#: Fields whose rows are pairs of node ids.
_PAIRS = ("absent", "similar")


class AbsentConnections(NamedTuple):
    """Connections that a genome lacks and evidence is about.

    Parameters
    ----------
    source, target
        Rows of their ends among the genome's nodes, int32 [num_pairs].
    slope
        Gradient of the loss by their weight, float32 [num_pairs].
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    slope: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What learning saw of one network: about genes, by innovation number and node id; all arrays are read-only.

    It says nothing about genes that are younger than it, and something about genes that may be gone.

    Parameters
    ----------
    innovation
        Connections that took part, those from the bias node included, int32 [num_connections], ascending.
    saliency
        How much the loss would rise without each of them, at least 0, float32 [num_connections].
    strain
        Mean over samples of |error of the target · activity of the source|, float32 [num_connections]: how hard
        samples pull at the connection, in whichever directions.
    node
        Ids of the nodes that took part, int32 [num_nodes], ascending.
    mean, deviation
        Of their activities, float32 [num_nodes].
    absent
        Ids of source and target of the legal absent connections with the largest slopes, int32 [num_absent, 2], by
        falling absolute slope.
    slope
        Gradient of the loss by the weight that each of them would have, float32 [num_absent]: the mean of error of the
        target · activity of the source.
    similar
        Ids of pairs of hidden nodes whose activities correlate most, int32 [num_similar, 2].
    correlation
        Their correlations, from -1 to 1, float32 [num_similar].
    """

    innovation: NDArray[np.int32]
    saliency: NDArray[np.float32]
    strain: NDArray[np.float32]
    node: NDArray[np.int32]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    absent: NDArray[np.int32]
    slope: NDArray[np.float32]
    similar: NDArray[np.int32]
    correlation: NDArray[np.float32]

    def __post_init__(self) -> None:
        for field, dtype in zip(fields(self), EVIDENCE_DTYPES, strict=True):
            array = np.array(getattr(self, field.name), dtype)
            if field.name in _PAIRS:
                array = array.reshape(-1, 2)
            array.flags.writeable = False
            object.__setattr__(self, field.name, array)
        tables = (
            (self.innovation, self.saliency, self.strain),
            (self.node, self.mean, self.deviation),
            (self.absent, self.slope),
            (self.similar, self.correlation),
        )
        if any(len({len(column) for column in table}) > 1 for table in tables):
            raise ValueError("columns of evidence differ in their lengths")

    def saliency_of(self, genome: Genome, *, unknown: float) -> NDArray[np.float64]:
        """Return the saliency of every connection gene, and `unknown` for others, float64 [num_connections]."""
        return _looked_up(genome.connections["innovation"], self.innovation, self.saliency, unknown)

    def strain_of(self, genome: Genome) -> NDArray[np.float64]:
        """Return the strain of every connection gene, and 0 for others, float64 [num_connections]."""
        return _looked_up(genome.connections["innovation"], self.innovation, self.strain, 0.0)

    def activities_of(
        self, genome: Genome, *, unknown: tuple[float, float]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation of every node gene, and `unknown` for others, both float64 [num_nodes]."""
        ids, (mean, deviation) = genome.graph.id, unknown
        return _looked_up(ids, self.node, self.mean, mean), _looked_up(ids, self.node, self.deviation, deviation)

    def absent_from(self, genome: Genome, *, output_connections: bool) -> AbsentConnections:
        """Return the absent connections that `genome` lacks still, leaving open whether they would close a cycle.

        Their ends are inputs, the bias node, outputs, and hidden nodes on a path from an input to an output: what ends
        elsewhere would bring to life a node that evidence knows nothing of.

        Parameters
        ----------
        genome
            The network that the evidence is about, or what mutations have made of it.
        output_connections
            Whether connections may end at an output.
        """
        graph = genome.graph
        rows, known = _found(self.absent, graph.id)
        source, target = rows[:, 0], rows[:, 1]
        takes_part = graph.active[0] | (graph.role != HIDDEN)
        is_target = (graph.role == HIDDEN) | ((graph.role == OUTPUT) & output_connections)
        legal = known.all(axis=1) & takes_part[rows].all(axis=1)
        legal &= (graph.role[source] != OUTPUT) & is_target[target] & (source != target)
        # Row -1, where there is no connection, is the last one.
        connected = np.append(graph.enabled, False)[graph.connections_between(source, target)]
        legal &= ~connected & np.isfinite(self.slope) & (self.slope != 0)
        return AbsentConnections(source[legal], target[legal], self.slope[legal])

    def similar_in(self, genome: Genome) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the similar pairs whose nodes are in `genome` and on a path from an input to an output.

        Returns
        -------
        pairs : ndarray of int32 [num_pairs, 2]
            Rows among the genome's nodes.
        correlation : ndarray of float32 [num_pairs]
        """
        graph = genome.graph
        rows, known = _found(self.similar, graph.id)
        is_hidden = graph.active[0] & (graph.role == HIDDEN)
        legal = known.all(axis=1) & is_hidden[rows].all(axis=1) & (rows[:, 0] != rows[:, 1])
        legal &= np.isfinite(self.correlation)
        return rows[legal], self.correlation[legal]

    def __reduce__(self) -> tuple[Any, tuple[bytes, ...]]:
        # As plain bytes: a quarter of the time of ten arrays.
        return _from_bytes, tuple(getattr(self, field.name).tobytes() for field in fields(self))


def _from_bytes(*columns: bytes) -> Evidence:
    """The evidence whose arrays lay in memory like this, on a machine of the same kind."""
    return Evidence(*(np.frombuffer(column, dtype) for column, dtype in zip(columns, EVIDENCE_DTYPES, strict=True)))


def _found(wanted: NDArray[np.int32], ids: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Rows of ids among ascending ones, 0 where there is none, and whether there is one; of the shape of `wanted`."""
    if len(ids) == 0:
        return np.zeros(wanted.shape, np.int32), np.zeros(wanted.shape, np.bool_)
    rows = np.minimum(ids.searchsorted(wanted), len(ids) - 1).astype(np.int32)
    known = ids[rows] == wanted
    return np.where(known, rows, np.int32(0)), known


def _looked_up(
    wanted: NDArray[np.int32], ids: NDArray[np.int32], values: NDArray[np.float32], unknown: float
) -> NDArray[np.float64]:
    """Values by id, float64 [len(wanted)]."""
    rows, known = _found(wanted, ids)
    found = np.full(len(wanted), unknown)
    found[known] = values[rows[known]]
    return found
