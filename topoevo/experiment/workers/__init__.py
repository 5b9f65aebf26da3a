"""Evaluations on several cores or machines, in any order, and what is done when a worker is lost."""

from topoevo.experiment.workers.pool import Workers

__all__ = ["Workers"]
