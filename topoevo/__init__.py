"""Topology-evolving neural architecture search with weight learning inside the loop."""

__version__ = "0.1.0"
