"""Losses of one block of samples and their errors, and what an evolution strategy makes of losses."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, var-annotated, unreachable"

from __future__ import annotations

import numpy as np

from topoevo.compilation import inlined_loop
from topoevo.kernels import elementary
from topoevo.kernels.candidates import Shaping
from topoevo.kernels.lanes import LANES
from topoevo.kernels.loss import Loss
from topoevo.kernels.passes import clear_lanes

_CROSS_ENTROPY, _MEAN_SQUARED_ERROR = int(Loss.CROSS_ENTROPY), int(Loss.MEAN_SQUARED_ERROR)
_CLASS_SQUARED_ERROR = int(Loss.CLASS_SQUARED_ERROR)
_RAW, _STANDARDIZED = int(Shaping.RAW), int(Shaping.STANDARDIZED)
_ZERO = np.float32(0.0)


@inlined_loop
def _top_of(activities, first_output, top):
    """The largest output of each sample."""
    for j in range(LANES):
        top[j] = activities[first_output, j]
    for row in range(first_output + 1, len(activities)):
        for j in range(LANES):
            y = activities[row, j]
            # Written so that NaN wins and reaches the loss.
            top[j] = top[j] if y <= top[j] else y


@inlined_loop
def _num_right(activities, first_output, labels, first, size, top, answer):
    """How many samples have their largest output, the first of them, in the place of their label."""
    for j in range(LANES):
        answer[j] = np.int32(len(activities))
    for row in range(len(activities) - 1, first_output - 1, -1):
        for j in range(LANES):
            answer[j] = np.int32(row) if activities[row, j] == top[j] else answer[j]
    right = 0
    for j in range(size):
        right += answer[j] == first_output + labels[first + j]
    return right


@inlined_loop
def _cross_entropies(activities, first_output, labels, first, size, top, total):
    """Sum of -log softmax(y)[label]; total = sum over outputs of exp(y - top)."""
    for j in range(LANES):
        total[j] = _ZERO
    for row in range(first_output, len(activities)):
        for j in range(LANES):
            total[j] += elementary.exp(activities[row, j] - top[j])
    loss = 0.0
    for j in range(size):
        right = activities[first_output + labels[first + j], j]
        loss += np.float64(elementary.log(total[j]) + (top[j] - right))
    return loss


@inlined_loop
def _squared_errors(activities, first_output, loss_kind, labels, values, first, size):
    """Sum over samples of the mean over outputs of (y - t)²."""
    num_outputs = len(activities) - first_output
    loss = 0.0
    for k in range(num_outputs):
        for j in range(size):
            t = np.float32(labels[first + j] == k) if loss_kind == _CLASS_SQUARED_ERROR else values[k, first + j]
            difference = activities[first_output + k, j] - t
            loss += np.float64(difference * difference)
    return loss / num_outputs


@inlined_loop
def scores(loss_kind, activities, num_outputs, labels, values, first, size, top, total, answer):
    """Sum of losses and number of right answers in a block, which begins at sample `first` of its minibatch."""
    first_output = len(activities) - num_outputs
    right = 0
    if loss_kind != _MEAN_SQUARED_ERROR:
        _top_of(activities, first_output, top)
        right = _num_right(activities, first_output, labels, first, size, top, answer)
    if loss_kind == _CROSS_ENTROPY:
        return _cross_entropies(activities, first_output, labels, first, size, top, total), right
    return _squared_errors(activities, first_output, loss_kind, labels, values, first, size), right


@inlined_loop
def accuracy_of(loss_kind, num_right, num_samples):
    """Fraction of right answers; NaN where there are no classes."""
    return np.nan if loss_kind == _MEAN_SQUARED_ERROR else num_right / num_samples


@inlined_loop
def output_errors(loss_kind, activities, num_outputs, labels, values, first, size, top, total, label_smoothing, errors):
    """d loss / d y per sample [output, LANES], after `scores` has left `top` and `total`."""
    first_output = len(activities) - num_outputs
    if loss_kind == _CROSS_ENTROPY:
        for row in range(first_output, len(activities)):
            for j in range(LANES):
                errors[row - first_output, j] = elementary.exp(activities[row, j] - top[j]) / total[j]
        for j in range(size):
            errors[labels[first + j], j] -= np.float32(1.0 - label_smoothing)
        if label_smoothing > 0.0:
            share = np.float32(label_smoothing / num_outputs)
            for k in range(num_outputs):
                for j in range(LANES):
                    errors[k, j] -= share
    else:
        scale = np.float32(2.0 / num_outputs)
        for k in range(num_outputs):
            for j in range(size):
                t = np.float32(labels[first + j] == k) if loss_kind == _CLASS_SQUARED_ERROR else values[k, first + j]
                errors[k, j] = scale * (activities[first_output + k, j] - t)
    clear_lanes(errors, 0, size)


@inlined_loop
def shape_losses(shaping, sigma, losses, shaped):
    """What an evolution strategy makes of losses; see `topoevo.kernels.candidates.Shaping`."""
    num = len(losses)
    if shaping == _RAW:
        for i in range(num):
            shaped[i] = losses[i] / sigma
    elif shaping == _STANDARDIZED:
        mean = 0.0
        for i in range(num):
            mean += losses[i]
        mean /= num
        variance = 0.0
        for i in range(num):
            variance += (losses[i] - mean) ** 2
        deviation = np.sqrt(variance / num)
        for i in range(num):
            shaped[i] = (losses[i] - mean) / deviation if deviation > 0.0 else 0.0
    else:
        for i in range(num):
            rank = 0.0
            for k in range(num):
                rank += 1.0 if losses[i] > losses[k] else 0.5 if losses[i] == losses[k] else 0.0
            shaped[i] = (rank - 0.5) / (num - 1) - 0.5
