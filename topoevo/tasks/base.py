"""From a data set's name to a task: the registry of data sets, and what all of them have in common.

A data set says how its raw numbers are read (`Dataset.read`); holding out samples, scaling and the record of where
everything came from are the same for all and happen here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError, UnknownNameError
from topoevo.registry import Registry, option_problems
from topoevo.seeds import Stream, generator
from topoevo.tasks.distortion import VERSION as DISTORTION_VERSION
from topoevo.tasks.scaling import SCALINGS, apply_scaling, fit_scaling
from topoevo.tasks.splits import hold_out
from topoevo.tasks.task import Kind, Samples, Score, Task

__all__ = [
    "DATASETS",
    "DataSettings",
    "Dataset",
    "Progress",
    "RawData",
    "Samples",
    "Score",
    "Task",
    "find_dataset",
    "load_task",
]

Progress = Callable[[str], None]

#: Name in the provenance of what belongs to distorted copies.
AUGMENTATION = "augmentation"
#: Most distorted copies of an image, and how strong a distortion may be.
MOST_COPIES, LARGEST_DISTORTION = 20, 10.0
#: Data sets without a test set of their own are split with this seed, so that runs of different seeds are comparable.
TEST_SPLIT_SEED = 0


@dataclass(frozen=True)
class DataSettings:
    """What a user says about the data.

    Parameters
    ----------
    dataset
        Name of a data set, or path of a table (``.csv`` or ``.npz``).
    data_dir
        Folder to look into for files before the user's cache.
    seed
        Decides which training samples become validation samples.
    validation_ratio
        Share of the training samples held out, in [0, 1).
    test_ratio
        Share of all samples held out where the data set has no test set, in (0, 1).
    input_scaling
        ``default`` (the data set's own), ``none``, ``center`` (mean 0), ``standardize`` (and standard deviation 1).
    target_column, test_file, task_type
        Of a table: name or position of the target (default: last), a second file to test on, and whether
        the targets are classes or numbers (default: judged by their values).
    distorted_copies, distortion
        How many distorted copies of each training image are learned from, too, and how strongly they are distorted; see
        `topoevo.tasks.distortion`.
    """

    dataset: str
    data_dir: str | None = None
    seed: int = 0
    validation_ratio: float = 0.0
    test_ratio: float = 0.25
    input_scaling: str = "default"
    target_column: str | None = None
    test_file: str | None = None
    task_type: str = "auto"
    distorted_copies: int = 0
    distortion: float = 1.0


#: Gives the inputs of all samples distorted, from a strength and the number of the copy.
Distort = Callable[[float, int], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class RawData:
    """What a data set reads, before samples are held out and inputs are scaled.

    Parameters
    ----------
    kind
        Classification or regression.
    inputs, targets : float [num_samples, num_inputs], and int [num_samples] or float [num_samples, num_outputs]
        All samples, or the training samples where there is a test set.
    test_inputs, test_targets
        The same for the test set, or None: hold out a share.
    input_names, output_names
        As in `Task`.
    unit
        What ``none`` and ``center`` divide the inputs by, for example the largest possible value.
    target_scaling
        Scaling of the targets of a regression.
    provenance
        JSON values to record.
    distort
        Of images: gives `inputs` distorted, with the same shape.
    """

    kind: Kind
    inputs: NDArray[Any]
    targets: NDArray[Any]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    test_inputs: NDArray[Any] | None = None
    test_targets: NDArray[Any] | None = None
    unit: float = 1.0
    target_scaling: str = "none"
    provenance: dict[str, Any] = field(default_factory=dict)
    distort: Distort | None = None


class Dataset(ABC):
    """One data set or file format. A subclass is a frozen dataclass; its `option` fields become settings."""

    name: ClassVar[str]
    #: Scaling where the user names none.
    default_scaling: ClassVar[str] = "none"
    #: Whether `DataSettings.dataset` is a path instead of the name.
    is_file: ClassVar[bool] = False

    @classmethod
    def handles(cls, dataset: str) -> bool:
        """Return whether this class reads what the setting ``dataset`` names; ``_`` counts as ``-``."""
        return dataset.replace("_", "-") == cls.name

    @abstractmethod
    def read(self, settings: DataSettings, on_progress: Progress) -> RawData:
        """Return the raw samples.

        Raises
        ------
        TaskError
            If a file is missing or corrupt, or does not fit the settings.
        """

    def load(self, settings: DataSettings, on_progress: Progress | None = None) -> Task:
        """Return the task: samples read, held out and scaled.

        Parameters
        ----------
        settings
            What the user says about the data.
        on_progress
            Told in a few words what takes long.

        Raises
        ------
        TaskError
            If a file is missing or corrupt, or settings are out of range or do not fit the data.
        """
        _check(settings, self.is_file)
        raw = self.read(settings, on_progress or (lambda text: None))
        if settings.task_type not in ("auto", raw.kind):
            raise TaskError(f"task_type is {settings.task_type!r}, but data set {settings.dataset!r} is a {raw.kind}")
        if settings.distorted_copies and raw.distort is None:
            raise TaskError(
                f"distorted_copies: {settings.distorted_copies} is not allowed, data set {settings.dataset!r} has no"
                " images to distort; leave it out"
            )
        return _assemble(raw, settings, self.default_scaling, self.name)


DATASETS: Registry[type[Dataset]] = Registry("data set", "topoevo.tasks")


def load_task(
    settings: DataSettings, on_progress: Progress | None = None, *, options: Mapping[str, Any] | None = None
) -> Task:
    """Return the task that the settings name.

    Parameters
    ----------
    settings
        What the user says about the data.
    on_progress
        Told in a few words what takes long.
    options
        Values of the `option` fields of the data set.

    Raises
    ------
    UnknownNameError
        If ``dataset`` is neither a known name nor a path that ends in ``.csv`` or ``.npz``.
    TaskError
        If a file is missing or corrupt, or settings are out of range or do not fit the data.
    """
    dataset = find_dataset(settings.dataset)(**dict(options or {}))
    if problems := option_problems(dataset):
        raise TaskError(f"data set {settings.dataset!r}: {'; '.join(problems)}")
    return dataset.load(settings, on_progress)


def find_dataset(dataset: str) -> type[Dataset]:
    """Return the class that reads a named data set or a path.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    for entry in DATASETS.values():
        if entry.handles(dataset):
            return entry
    names = [name for name, entry in DATASETS.items() if not entry.is_file]
    raise UnknownNameError("data set", dataset, [*names, "<path>.csv", "<path>.npz"])


def _check(settings: DataSettings, is_file: bool) -> None:
    """Raise a `TaskError` for the first setting that is out of range or for other data sets."""
    if not 0 <= settings.validation_ratio < 1:
        raise TaskError(f"validation_ratio: {settings.validation_ratio} is not allowed, must be in [0, 1)")
    if not 0 < settings.test_ratio < 1:
        raise TaskError(f"test_ratio: {settings.test_ratio} is not allowed, must be in (0, 1)")
    if not 0 <= settings.distorted_copies <= MOST_COPIES:
        raise TaskError(f"distorted_copies: {settings.distorted_copies} is not allowed, must be 0 to {MOST_COPIES}")
    if not 0 < settings.distortion <= LARGEST_DISTORTION:
        raise TaskError(f"distortion: {settings.distortion} is not allowed, must be in (0, {LARGEST_DISTORTION:g}]")
    for name, allowed in (
        ("input_scaling", ("default", *SCALINGS)),
        ("task_type", ("auto", "classification", "regression")),
    ):
        if getattr(settings, name) not in allowed:
            raise UnknownNameError(name, getattr(settings, name), allowed)
    for name in ("target_column", "test_file"):
        if not is_file and getattr(settings, name) is not None:
            raise TaskError(f"{name}: only a table has one; data set {settings.dataset!r} is not a .csv or .npz file")


def _assemble(raw: RawData, settings: DataSettings, default_scaling: str, dataset: str) -> Task:
    """Return the task of raw samples: hold out, fit the scaling on what is left, scale, and add distorted copies."""
    classes = raw.kind == "classification"
    training = np.arange(len(raw.inputs))
    inputs, targets = raw.inputs, raw.targets.astype(np.int32 if classes else np.float64, copy=False)
    test_inputs, test_targets = raw.test_inputs, raw.test_targets
    if test_inputs is None or test_targets is None:
        labels = targets if classes else None
        kept, held = hold_out(len(inputs), settings.test_ratio, seed=TEST_SPLIT_SEED, labels=labels)
        test_inputs, test_targets = inputs[held], targets[held]
        inputs, targets, training = inputs[kept], targets[kept], training[kept]
    validation: tuple[NDArray[Any], NDArray[Any]] | None = None
    if settings.validation_ratio > 0:
        labels = targets if classes else None
        seed = int(generator(settings.seed, Stream.SPLIT).integers(2**31))
        kept, held = hold_out(len(inputs), settings.validation_ratio, seed=seed, labels=labels)
        validation = inputs[held], targets[held]
        inputs, targets, training = inputs[kept], targets[kept], training[kept]
    scaling = default_scaling if settings.input_scaling == "default" else settings.input_scaling
    offset, scale = fit_scaling(inputs, scaling, unit=raw.unit)
    target_offset = target_scale = np.zeros(0, dtype=np.float32)
    if not classes:
        target_offset, target_scale = fit_scaling(targets, raw.target_scaling)

    def samples(part_inputs: NDArray[Any], part_targets: NDArray[Any]) -> Samples:
        scaled = part_targets.astype(np.int32) if classes else apply_scaling(part_targets, target_offset, target_scale)
        return Samples(apply_scaling(part_inputs, offset, scale), scaled)

    train = samples(inputs, targets)
    augmented, copies = None, {}
    if settings.distorted_copies and raw.distort is not None:
        distort, number = raw.distort, len(train)
        every = np.empty(((1 + settings.distorted_copies) * number, inputs.shape[1]), np.float32)
        every[:number] = train.inputs
        for copy in range(settings.distorted_copies):
            distorted = distort(settings.distortion, copy)
            if distorted.shape != raw.inputs.shape:
                raise TaskError(f"{dataset}: distort has made {distorted.shape} of inputs of shape {raw.inputs.shape}")
            every[(1 + copy) * number : (2 + copy) * number] = apply_scaling(distorted[training], offset, scale)
        augmented = Samples(every, np.concatenate([train.targets] * (1 + settings.distorted_copies)))
        # One copy in memory is enough.
        train = Samples(augmented.inputs[:number], augmented.targets[:number])
        copies = {
            AUGMENTATION: {
                "distorted_copies": settings.distorted_copies,
                "distortion": settings.distortion,
                "version": DISTORTION_VERSION,
            }
        }
    return Task(
        name=str(raw.provenance.get("dataset", dataset)),
        kind=raw.kind,
        loss="cross_entropy" if classes else "mean_squared_error",
        train=train,
        validation=None if validation is None else samples(*validation),
        test=samples(test_inputs, test_targets),
        input_names=raw.input_names,
        output_names=raw.output_names,
        input_offset=offset,
        input_scale=scale,
        target_offset=target_offset,
        target_scale=target_scale,
        provenance={
            "dataset": dataset,
            **raw.provenance,
            "num_train": len(inputs),
            "num_validation": 0 if validation is None else len(validation[0]),
            "num_test": len(test_inputs),
            "split_seed": settings.seed if validation is not None else None,
            "input_scaling": scaling,
            **copies,
        },
        augmented=augmented,
    )
