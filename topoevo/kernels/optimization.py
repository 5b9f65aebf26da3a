"""How a gradient becomes a change of weights, and what is remembered from step to step."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels.arrays import Floats


class UpdateRule(IntEnum):
    """How a gradient becomes a change of weights."""

    SGD = 0  #: with momentum as in Sutskever et al. 2013, eq. 1-2 (heavy ball, learning rate outside)
    #: Kingma & Ba 2015, algorithm 1. Decoupled decay as in Loshchilov & Hutter 2019, algorithm 2 (AdamW); differs from
    #: the paper in being multiplied by the learning rate, as torch does, and in taking no more than the whole weight.
    ADAM = 1
    ADADELTA = 2  #: Zeiler 2012, algorithm 1
    RMSPROP = 3  #: Tieleman & Hinton 2012, lecture 6.5, with momentum on the scaled gradient as torch has it
    NONE = 4  #: no change


class Schedule(IntEnum):
    """How the learning rate gets from its first to its last value."""

    LINEAR = 0  #: in equal steps
    COSINE = 1  #: half a period of a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts)


@dataclass(frozen=True)
class Optimization:
    """Settings of the weight update.

    Parameters
    ----------
    rule
        The update.
    lr
        Learning rate of the first step.
    final_lr_ratio
        Learning rate of the last step as a fraction of the first.
    schedule
        How it changes in between.
    first_decay, second_decay
        Adam: decay of the first and second moment. Sgd and rmsprop: `first_decay` is the momentum. Adadelta and
        rmsprop: `second_decay` is the decay of their averages.
    epsilon
        Added to denominators.
    weight_decay
        Strength of the pull to zero, per step.
    decoupled
        Whether the decay acts on the weights times the learning rate (AdamW) instead of on the gradient (L2 penalty).
        It takes the whole weight at most: more would turn weights around, and twice as much let them grow without end.
    max_grad_norm
        Euclidean norm that a gradient over the plastic edges is scaled down to where it is longer (Pascanu et al.
        2013, algorithm 1); infinity leaves it.
    grad_power
        Every component g becomes sign(g) |g|^grad_power, after clipping (Baiesi 2019); 1 leaves it, 0 keeps the sign
        alone.
    label_smoothing
        Share ε of the target probability of a cross entropy that is spread evenly over the K classes: the errors that
        are followed are softmax - (1 - ε) onehot - ε / K (Szegedy et al. 2016, section 7), while losses are reported
        without. Loops that follow losses instead of errors know nothing of it.
    weight_averaging
        Share of the steps, at the end of a training, after each of which the weights count in `OptimizerState.average`
        (Polyak & Juditsky 1992; Izmailov et al. 2018); 0 averages nothing. Steps themselves do not notice.
    """

    rule: UpdateRule
    lr: float
    final_lr_ratio: float = 1.0
    schedule: Schedule = Schedule.LINEAR
    first_decay: float = 0.0
    second_decay: float = 0.0
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    max_grad_norm: float = math.inf
    grad_power: float = 1.0
    label_smoothing: float = 0.0
    weight_averaging: float = 0.0


@dataclass
class OptimizerState:
    """What the update remembers between steps.

    Parameters
    ----------
    first, second
        Two running averages per edge, float32 [num_edges].
    steps
        Steps taken so far.
    num_steps
        Steps of the whole training, over which the learning rate changes, however many calls they are spread over; 0
        stands for those of the present call.
    scale
        Factor that the acceptance rate of Metropolis proposals has led to.
    weight_sum, num_summed
        Sum of the weights after each of the last `num_summed` steps, float64 [num_edges]; None before
        the first of them.
    num_inherited
        Steps of earlier trainings that `first` and `second` come from; they count where averages are corrected for
        having begun at zero, and nowhere else.
    """

    first: Floats
    second: Floats
    steps: int = 0
    num_steps: int = 0
    scale: float = 1.0
    weight_sum: NDArray[np.float64] | None = None
    num_summed: int = 0
    num_inherited: int = 0

    @staticmethod
    def zeros(num_edges: int, num_steps: int = 0) -> OptimizerState:
        """Return the state before the first step."""
        return OptimizerState(np.zeros(num_edges, np.float32), np.zeros(num_edges, np.float32), num_steps=num_steps)

    @property
    def age(self) -> int:
        """Steps that the running averages are made of."""
        return self.num_inherited + self.steps

    @property
    def average(self) -> Floats | None:
        """Uniform average of the weights that were added, float32 [num_edges]; None if there were none."""
        return None if self.weight_sum is None else (self.weight_sum / self.num_summed).astype(np.float32)

    def add_to_average(self, weights: Floats) -> None:
        """Let weights, float [num_edges], count in the average."""
        if self.weight_sum is None:
            self.weight_sum = np.zeros(len(weights))
        self.weight_sum += weights
        self.num_summed += 1

    def restart_average(self) -> None:
        """Forget the weights that were added, as is due where the network changes."""
        self.weight_sum, self.num_summed = None, 0


def learning_rate(optimization: Optimization, step: int, num_steps: int) -> float:
    """Return the learning rate of one of `num_steps` steps, the first being number 0; beyond the last it stays."""
    progress = min(step / (num_steps - 1), 1.0) if num_steps > 1 else 0.0
    if optimization.schedule is Schedule.COSINE:
        progress = 0.5 * (1.0 - math.cos(math.pi * progress))
    return optimization.lr * (1.0 - (1.0 - optimization.final_lr_ratio) * progress)


def averaging_start(optimization: Optimization, state: OptimizerState, num_steps: int) -> int:
    """Return the number of the first of `num_steps` steps, number 0 being the first, whose weights are averaged.

    At least one step counts, unless `weight_averaging` is 0, where none ever does. What `state` has averaged before
    that step is of another training, and is forgotten.
    """
    if optimization.weight_averaging == 0:
        return sys.maxsize
    start = num_steps - max(1, round(optimization.weight_averaging * num_steps))
    if state.steps <= start:
        state.restart_average()
    return start
