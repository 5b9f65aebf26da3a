"""Learning rules: how a network's weights change within one evaluation.

A rule is a frozen dataclass derived from `LearningRule`, in a file of its own; it is found by itself and its name
becomes a value of the setting ``learning_rule``.
"""

from topoevo.learning.base import LEARNING_RULES, Learner, LearningRule
from topoevo.learning.history import TrainingHistory
from topoevo.learning.optimizers import OPTIMIZERS

__all__ = ["LEARNING_RULES", "OPTIMIZERS", "Learner", "LearningRule", "TrainingHistory"]
