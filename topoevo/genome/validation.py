"""The rules that every genome obeys, checked where genomes come from files or foreign code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.errors import GenomeError
from topoevo.genome.genes import Role
from topoevo.genome.topology import longest_path_layers

if TYPE_CHECKING:
    from topoevo.genome.genome import Genome


def validate(genome: Genome) -> None:
    """Check `genome`; see `Genome.validate`.

    Raises
    ------
    GenomeError
        Naming the first rule that is broken.
    """
    _check_nodes(genome)
    _check_connections(genome)
    longest_path_layers(len(genome.nodes), genome.source_row, genome.target_row)


def _check_nodes(genome: Genome) -> None:
    """Ids sorted and unique, roles and activations known, inputs and outputs present."""
    nodes = genome.nodes
    if (np.diff(nodes["id"].astype(np.int64)) <= 0).any() or (nodes["id"] < 0).any():
        raise GenomeError("node ids must be unique, sorted and not negative")
    if not np.isin(nodes["role"], [int(role) for role in Role]).all():
        raise GenomeError("a node has an unknown role")
    if (nodes["activation"] < 0).any() or (nodes["activation"] >= len(ACTIVATIONS_BY_CODE)).any():
        raise GenomeError("a node has an unknown activation")
    for role in (Role.INPUT, Role.OUTPUT):
        if not (nodes["role"] == role).any():
            raise GenomeError(f"there is no {role.name.lower()} node")
    if np.count_nonzero(nodes["role"] == Role.BIAS) > 1:
        raise GenomeError("there is more than one bias node")
    sources = (nodes["role"] == Role.INPUT) | (nodes["role"] == Role.BIAS)
    if (nodes["activation"][sources] != ACTIVATIONS["linear"].code).any():
        raise GenomeError("input and bias nodes must be linear")


def _check_connections(genome: Genome) -> None:
    """Innovations sorted and unique, both ends present and legal, no pair twice, no infinite weight."""
    connections, nodes = genome.connections, genome.nodes
    if (np.diff(connections["innovation"].astype(np.int64)) <= 0).any() or (connections["innovation"] < 0).any():
        raise GenomeError("innovation numbers must be unique, sorted and not negative")
    for end, rows in (("source", genome.source_row), ("target", genome.target_row)):
        found = rows < len(nodes)
        found[found] = nodes["id"][rows[found]] == connections[end][found]
        if not found.all():
            raise GenomeError(f"a connection's {end} is node {connections[end][~found][0]}, which does not exist")
    if (nodes["role"][genome.source_row] == Role.OUTPUT).any():
        raise GenomeError("a connection starts at an output node")
    if np.isin(nodes["role"][genome.target_row], (Role.INPUT, Role.BIAS)).any():
        raise GenomeError("a connection ends at an input or bias node")
    pairs = connections["source"].astype(np.int64) << 32 | connections["target"]
    if len(np.unique(pairs)) != len(pairs):
        raise GenomeError("two connections have the same source and target")
    if np.isinf(connections["weight"]).any():
        raise GenomeError("a weight is infinite")
