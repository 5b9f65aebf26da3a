"""Episodes of networks in environments."""

from topoevo.rollouts.episodes import Episodes, Recording, RolloutError
from topoevo.rollouts.rollout import needs_compilation, prepare, record, roll_out

__all__ = ["Episodes", "Recording", "RolloutError", "needs_compilation", "prepare", "record", "roll_out"]
