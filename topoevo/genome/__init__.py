"""Genotype: node genes, connection genes, and the innovation numbers that mark their origin."""

from topoevo.genome.genes import CONNECTION_DTYPE, NODE_DTYPE, Role
from topoevo.genome.genome import Genome
from topoevo.genome.innovation import InnovationTracker, Split
from topoevo.genome.minimal import minimal_genome

__all__ = ["CONNECTION_DTYPE", "NODE_DTYPE", "Genome", "InnovationTracker", "Role", "Split", "minimal_genome"]
