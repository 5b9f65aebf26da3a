"""Populations and how one generation follows from another; knows nothing of learning or tasks."""

from topoevo.evolution.evaluation import Evaluation
from topoevo.evolution.population import Individual, Population

__all__ = ["Evaluation", "Individual", "Population"]
