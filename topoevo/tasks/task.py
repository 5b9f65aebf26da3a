"""Samples, tasks and scores: what a learner is given, and how good its outputs are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from topoevo.tasks.scaling import apply_scaling

Kind = Literal["classification", "regression"]
Loss = Literal["cross_entropy", "mean_squared_error", "class_squared_error"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs and targets, read-only.

    Parameters
    ----------
    inputs : float32 [num_samples, num_inputs]
        Scaled inputs, C-contiguous; may be mapped from a file.
    targets : int32 [num_samples] or float32 [num_samples, num_outputs]
        Class indices, or scaled values of a regression.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[Any]

    def __post_init__(self) -> None:
        assert self.inputs.dtype == np.float32 and self.inputs.ndim == 2 and self.inputs.flags.c_contiguous
        assert (self.targets.dtype, self.targets.ndim) in ((np.dtype(np.int32), 1), (np.dtype(np.float32), 2))
        assert len(self.inputs) == len(self.targets)
        for name in ("inputs", "targets"):
            # Views, so that one number type reaches the kernels whether the array was mapped or computed.
            view = np.asarray(getattr(self, name)).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __reduce__(self) -> tuple[type[Samples], tuple[NDArray[Any], NDArray[Any]]]:
        # Arrays come out of a pickle writable; building anew makes those of another process read-only too.
        return Samples, (self.inputs, self.targets)

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Score:
    """How good outputs are: mean loss, and share of correct classes where there are classes.

    Parameters
    ----------
    loss
        Mean cross entropy in nats, or mean squared error in scaled target units; not finite if an output is not.
    accuracy
        Between 0 and 1; None for a regression.
    """

    loss: float
    accuracy: float | None


@dataclass(frozen=True, eq=False)
class Task:
    """A supervised problem, split and scaled.

    Parameters
    ----------
    name
        Name of the data set, or file name of a table.
    kind, loss
        Classification by cross entropy or by the squared error to 1 for the right class and 0 for the others, or
        regression by mean squared error.
    train, validation, test
        Disjoint samples; the test samples are for reporting alone. No validation samples unless asked for.
    input_names, output_names
        Input columns; class names or target columns.
    input_offset, input_scale : float32 [num_inputs]
        A scaled input is ``(raw - offset) / scale``; fitted on the training samples alone.
    target_offset, target_scale : float32 [num_outputs]
        The same for the targets of a regression; empty for a classification.
    provenance
        JSON values: data set, sha256 of files, split sizes and preprocessing.
    augmented
        What is learned from, if that is more: the training samples, then one or several distorted copies of all of them
        in the same order.
    """

    name: str
    kind: Kind
    loss: Loss
    train: Samples
    validation: Samples | None
    test: Samples
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_offset: NDArray[np.float32]
    input_scale: NDArray[np.float32]
    target_offset: NDArray[np.float32]
    target_scale: NDArray[np.float32]
    provenance: dict[str, Any] = field(default_factory=dict)
    augmented: Samples | None = None

    def __post_init__(self) -> None:
        assert self.augmented is None or len(self.augmented) % max(len(self.train), 1) == 0

    @property
    def learned(self) -> Samples:
        """The samples that are learned from: `augmented`, or else `train`."""
        return self.train if self.augmented is None else self.augmented

    @property
    def num_copies(self) -> int:
        """Number of distorted copies of each training sample."""
        return len(self.learned) // max(len(self.train), 1) - 1

    @property
    def num_inputs(self) -> int:
        """Number of input columns."""
        return len(self.input_names)

    @property
    def num_outputs(self) -> int:
        """Number of classes or target columns."""
        return len(self.output_names)

    @property
    def description(self) -> str:
        """Numbers of samples in words."""
        held_out = "" if self.validation is None else f"{len(self.validation)} validation, "
        training = f"{len(self.train)} training"
        if self.num_copies:
            training += f" (and {self.num_copies} distorted cop{'y' if self.num_copies == 1 else 'ies'} of each)"
        return f"{training}, {held_out}{len(self.test)} test samples"

    def score(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> Score:
        """Return loss and accuracy of outputs, computed in float64.

        Parameters
        ----------
        outputs : float32 [num_outputs, num_samples]
            What the network's output nodes say: logits of the classes, or scaled values.
        targets : int32 [num_samples] or float32 [num_samples, num_outputs]
            As in `Samples`.

        Returns
        -------
        Score
            ``loss`` is the mean over samples of -log softmax(outputs)[target], or the mean of the squared
            error over samples and outputs, for classes to 1 and 0. The lowest class index wins a tie of outputs.
        """
        values = np.asarray(outputs, dtype=np.float64)
        if values.shape != (self.num_outputs, len(targets)):
            raise ValueError(f"outputs have shape {values.shape}, expected {(self.num_outputs, len(targets))}")
        with np.errstate(invalid="ignore", over="ignore"):
            if self.loss == "mean_squared_error":
                return Score(float(np.mean((values - targets.T) ** 2)), None)
            if self.loss == "class_squared_error":
                squares = (values - (np.arange(self.num_outputs)[:, None] == targets)) ** 2
                correct = (values.argmax(axis=0) == targets) & np.isfinite(squares).all(axis=0)
                return Score(float(np.mean(squares)), float(np.mean(correct)))
            shifted = values - values.max(axis=0)
            log_probability = shifted[targets, np.arange(len(targets))] - np.log(np.exp(shifted).sum(axis=0))
            correct = values.argmax(axis=0) == targets
            return Score(float(-np.mean(log_probability)), float(np.mean(correct & np.isfinite(log_probability))))

    def transform(self, raw_inputs: ArrayLike) -> NDArray[np.float32]:
        """Return raw inputs scaled as the training inputs were.

        Parameters
        ----------
        raw_inputs : float [num_samples, num_inputs]
            In the units of the data set.

        Returns
        -------
        float32 [num_samples, num_inputs]
        """
        raw = np.asarray(raw_inputs)
        if raw.ndim != 2 or raw.shape[1] != self.num_inputs:
            raise ValueError(f"raw inputs have shape {raw.shape}, expected (num_samples, {self.num_inputs})")
        return apply_scaling(raw, self.input_offset, self.input_scale)
