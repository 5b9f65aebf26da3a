"""A data set split for one seed, with what is the same for every method: validation, the final stage, the test."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import ParamsError
from topoevo.experiment.championship import FINAL
from topoevo.experiment.data import load_samples_of
from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.finishing import best_factors
from topoevo.experiment.params import Params, all_settings, load_params
from topoevo.experiment.problem import Leg
from topoevo.experiment.scoring import score_outputs
from topoevo.experiment.shared_data import SharedData, TaskData
from topoevo.genome import Genome
from topoevo.kernels import Batches, Kernel, Loss
from topoevo.network import Network, compile_network
from topoevo.seeds import Stream
from topoevo.tasks.task import Samples, Task

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("mnist", "fashion-mnist")
#: Tables that scikit-learn ships; every seed has a split of its own.
TABLES = ("digits", "breast_cancer", "wine", "diabetes")
DATASETS = (*IMAGES, *TABLES)
TEST_RATIO = 0.25

#: Settings that results do not depend on, or that name what a row says.
_IRRELEVANT = {"num_workers", "joblib_backend", "scheduler_address", "data_dir", "dataset", "test_file", "seed"}
_IRRELEVANT |= {"control", "num_controls", "max_connections", "front_connections"}

#: Training samples pass through the baselines' trainings in this many layouts of minibatches.
NUM_LAYOUTS = 3
#: Epochs of a baseline's training, and the least number of steps, to which epochs are added.
NUM_EPOCHS = 30
NUM_STEPS = 4000


@dataclass(frozen=True)
class Score:
    """How good a network is on one part of the data.

    Parameters
    ----------
    value
        Accuracy, or the coefficient of determination R² of a regression; larger is better.
    loss
        Mean cross entropy in nats, or squared error in scaled units.
    rmse
        Root mean squared error in the units of the data; None for classes.
    """

    value: float
    loss: float
    rmse: float | None

    @property
    def rank(self) -> tuple[float, float]:
        """What networks are chosen by: the value, and the loss where it is the same."""
        return self.value, -self.loss


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples and the settings of the parameter file that every method's network is finished with.

    Parameters
    ----------
    name
        One of `DATASETS`.
    params
        Settings of the evolved search, of this seed.
    task
        The samples.
    num_epochs, num_steps
        Length of a baseline's training: so many epochs, and at least so many steps.
    """

    name: str
    params: Params
    task: Task
    num_epochs: int = NUM_EPOCHS
    num_steps: int = NUM_STEPS

    @property
    def seed(self) -> int:
        """Decides splits and all random numbers."""
        return self.params.seed

    def fingerprint(self, *, searches: bool, flags: Mapping[str, Any]) -> str:
        """Return a hash of what a row depends on besides method, budget and seed; 12 hexadecimal digits.

        Parameters
        ----------
        searches
            Whether the method is a run of the program, whose settings all count; else those of evolution do not, but
            the length of a training does.
        flags
            More that the method depends on.
        """
        values = self.params.model_dump()
        settings = {
            one.name: values[one.name]
            for one in all_settings()
            if one.group != "output" and one.name not in _IRRELEVANT and (searches or one.group != "evolution")
        }
        lengths = [] if searches else [self.num_epochs, self.num_steps]
        text = json.dumps([settings, lengths, flags], default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def loss(self) -> Loss:
        """What is minimized."""
        return Loss[self.task.loss.upper()]

    @property
    def kernel(self) -> Kernel:
        """The backend."""
        return self._evaluator.kernel

    @property
    def batch_size(self) -> int:
        """Samples in a minibatch of a baseline's training."""
        return 128 if len(self.task.train) > 10_000 else 32

    @property
    def batches_an_epoch(self) -> int:
        """Minibatches of one epoch; samples that fill none are left out of it. Distorted copies make none longer."""
        return max(len(self.task.train) // self.batch_size, 1)

    @cached_property
    def batches(self) -> Batches:
        """What is learned from, in several random orders, each of as many samples as there are without copies."""
        rng = np.random.default_rng([self.seed, 1])
        samples, number = self.task.learned, len(self.task.train)
        count = min(self.batches_an_epoch * self.batch_size, number)
        order = np.concatenate([rng.permutation(len(samples))[:count] for _ in range(self._num_layouts)])
        return Batches.lay_out(samples.inputs, samples.targets, batch_size=min(self.batch_size, count), order=order)

    @property
    def _num_layouts(self) -> int:
        """How many orders there are: with distorted copies as many times more."""
        return NUM_LAYOUTS * (1 + self.task.num_copies)

    def prepare(self) -> None:
        """Compile, and lay the samples out, before several threads want it."""
        self.kernel.prepare()
        self.batches  # noqa: B018 - cached

    def minibatches(self, rng: np.random.Generator) -> NDArray[np.int32]:
        """Return the minibatch of each step of a training, int32 [num_steps]."""
        each = self.batches_an_epoch
        epochs = max(self.num_epochs, -(-self.num_steps // each))
        rows = [epoch % self._num_layouts * each + rng.permutation(each) for epoch in range(epochs)]
        return np.concatenate(rows).astype(np.int32)

    def score(self, part: str, network: Network, weights: NDArray[np.float32]) -> Score:
        """Return how good a network is.

        Parameters
        ----------
        part
            ``train``, ``validation`` or ``test``.
        network, weights
            The network and the weight of each edge, float32 [num_edges].
        """
        samples: Samples = getattr(self.task, part)
        found = score_outputs(self.task, self.kernel.outputs(network, weights, self._part(part)), samples)
        if found.accuracy is not None:
            return Score(found.accuracy, -found.reward, None)
        variance = float(np.var(samples.targets.astype(np.float64), axis=0).mean())
        return Score(1.0 + found.reward / variance, -found.reward, found.rmse)

    def score_genome(self, part: str, genome: Genome) -> Score:
        """Return how good a genome with its weights is; see `score`."""
        network = compile_network(genome)
        return self.score(part, network, network.weight)

    def finish(self, genome: Genome) -> tuple[Genome, int]:
        """Train a chosen network like the champion of a run, with the best of ``final_decay_factors``.

        On the training samples alone, it keeps its weights where they are better on the validation samples; on all but
        those of the test (``final_samples``), it has the new ones.

        Parameters
        ----------
        genome
            With weights, from which training goes on.

        Returns
        -------
        genome : Genome
        num_passes : int
            Samples that went forwards and backwards.
        """
        num_epochs = self.params.final_epochs
        if not num_epochs:
            return genome, 0
        address = {"stream": Stream.CONFIRMATION, "generation": 1, "index": FINAL}
        factor: float | None = 1.0
        num_passes = 0
        if self.params.final_decay_factors is not None:
            data = replace(self._data, ends_with_all=False)
            shared = data.shared(Stream.CONFIRMATION, 1, num_epochs=num_epochs)
            tried = {
                one: [
                    self._evaluator.evaluate(genome, shared, **address, leg=Leg(shared.epochs.size, decay_factor=one))
                ]
                for one in self.params.final_decay_factors
            }
            (factor,) = best_factors([genome], tried, lambda one: -self.score_genome("validation", one).loss)
            num_passes = len(tried) * _passes(shared)
        shared = self._data.shared(Stream.CONFIRMATION, 1, num_epochs=num_epochs)
        whole = Leg(shared.epochs.size, decay_factor=1.0 if factor is None else factor)
        again = self._evaluator.evaluate(genome, shared, **address, leg=whole)
        num_passes += _passes(shared)
        if again.weights is None:
            return genome, num_passes
        trained = genome.with_weights(again.weights)
        if self.params.final_samples == "all":
            return trained, num_passes
        better = self.score_genome("validation", trained).loss < self.score_genome("validation", genome).loss
        return (trained if better else genome), num_passes

    def _part(self, part: str) -> Batches:
        """Samples as they are scored."""
        if part not in self._parts:
            samples: Samples = getattr(self.task, part)
            self._parts[part] = Batches.lay_out(samples.inputs, samples.targets, batch_size=1000)
        return self._parts[part]

    @cached_property
    def _parts(self) -> dict[str, Batches]:
        """Parts of the data that were scored before."""
        return {}

    @cached_property
    def _evaluator(self) -> DatasetEvaluator:
        """Trains with the settings of the file."""
        return DatasetEvaluator.from_params(self.params, self.task)

    @cached_property
    def _data(self) -> TaskData:
        """The samples in minibatches of the settings."""
        return TaskData.from_params(self.params, self.task)


def _passes(shared: SharedData) -> int:
    """Samples of all steps of a training."""
    return int(shared.batches.sizes[shared.epochs].sum())


def _say(text: str) -> None:
    """Tell what takes long."""
    print(text, file=sys.stderr)


def params_file(dataset: str) -> Path:
    """Return the parameter file of the evolved search."""
    return ROOT / "params" / "wlnn" / ("mnist-smallest.yaml" if dataset in IMAGES else "table-smallest.yaml")


def load_problem(
    dataset: str,
    seed: int,
    *,
    folder: Path,
    data_dir: str | None = None,
    file: Path | None = None,
    budget: int | None = None,
) -> Problem:
    """Return the problem of one data set and seed.

    Parameters
    ----------
    dataset
        One of `DATASETS`.
    seed
        Decides which samples are held out for validation, and of a table also for the test.
    folder
        Where the tables are written.
    data_dir
        Folder with the files of images.
    file
        Parameter file instead of `params_file`.
    budget
        Number of connections, which decides whether there are distorted copies; None leaves the file's.

    Raises
    ------
    ParamsError
        If the file is not right, or holds out no samples for validation.
    """
    overrides = data_flags(dataset, seed, folder=folder, data_dir=data_dir) | {"seed": seed}
    overrides |= {} if budget is None else {"max_connections": budget}
    params = load_params(file or params_file(dataset), overrides)
    # Images take long to prepare; of a table, which was written here, there is nothing to say.
    task = load_samples_of(params, _say if dataset in IMAGES else None)
    if task.validation is None:
        raise ParamsError(f"{file or params_file(dataset)}: validation_ratio is 0, but validation samples choose here")
    return Problem(dataset, params, task)


def data_flags(dataset: str, seed: int, *, folder: Path, data_dir: str | None) -> dict[str, Any]:
    """Return the settings that name the samples; a table is written first. Parameters as of `load_problem`."""
    if dataset in IMAGES:
        return {"dataset": dataset} | ({} if data_dir is None else {"data_dir": data_dir})
    flags: dict[str, Any] = {"dataset": str(write_table(dataset, seed, folder))}
    return flags | ({"input_scaling": "center"} if dataset == "digits" else {})


def write_table(dataset: str, seed: int, folder: Path) -> Path:
    """Write a table of scikit-learn as an ``.npz`` file with a test set that the seed decides, and return its path."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    path = folder / f"{dataset}-{seed}.npz"
    inputs, targets = getattr(datasets, f"load_{dataset}")(return_X_y=True)
    if dataset == "digits":
        inputs = inputs / 16
    labels = None if dataset == "diabetes" else targets
    x, x_test, y, y_test = train_test_split(inputs, targets, test_size=TEST_RATIO, random_state=seed, stratify=labels)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, X=x, y=y, X_test=x_test, y_test=y_test)
    return path


def shortened(problem: Problem, *, num_epochs: int, num_steps: int) -> Problem:
    """Return the problem with trainings of another length; see `Problem`."""
    return replace(problem, num_epochs=num_epochs, num_steps=num_steps)
