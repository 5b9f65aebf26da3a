"""Evaluations on several cores or machines, in an order that does not matter, and what is done when a worker is lost."""

from topoevo.experiment.workers.pool import Workers

__all__ = ["Workers"]
