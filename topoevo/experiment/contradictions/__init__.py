"""Settings that are legal one by one and make no sense together."""

from topoevo.experiment.contradictions.contradiction import Contradiction
from topoevo.experiment.contradictions.find import find_contradictions, find_source_contradictions
from topoevo.experiment.contradictions.informed import MAX_CONNECTIONS, lack_of_evidence
from topoevo.experiment.contradictions.learning import flatness_problem, mutated_activations

__all__ = [
    "MAX_CONNECTIONS",
    "Contradiction",
    "find_contradictions",
    "find_source_contradictions",
    "flatness_problem",
    "lack_of_evidence",
    "mutated_activations",
]
