"""A network file in use: predictions for raw data, and its score on the task it was trained for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from topoevo.errors import NetworkFileError, TaskError
from topoevo.experiment.founder import flatness_of
from topoevo.experiment.learning_facts import evaluator_of, with_feedback
from topoevo.experiment.records import TaskScore
from topoevo.experiment.report import AGNOSTIC_CONDITIONS, SHARED_WEIGHTS, Report, make_report
from topoevo.experiment.report_episodes import EpisodesJudge
from topoevo.experiment.report_samples import SamplesJudge
from topoevo.experiment.scoring import score_outputs
from topoevo.kernels import Batches, load_kernel
from topoevo.network import Network, compile_network
from topoevo.reporting.network_file import NetworkFile, read_network
from topoevo.tasks.base import DataSettings, Progress, load_task
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Samples, Task

if TYPE_CHECKING:
    from topoevo.learning import Learner

#: Samples that are computed at once.
_BATCH_SIZE = 1000


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with trained weights that knows its inputs and outputs by name.

    Parameters
    ----------
    file
        What its network file says.
    kernel_name
        Backend.
    """

    file: NetworkFile
    kernel_name: str = "numba"

    def __repr__(self) -> str:
        complexity, task = self.file.genome.complexity, self.file.facts.get("task", {})
        score = (self.file.facts.get("scores", {}).get("test") or {}).get("accuracy")
        return (
            f"<TrainedNetwork {task.get('name', 'of unknown origin')}: {self.file.genome.num_inputs} inputs, "
            f"{self.file.genome.num_outputs} outputs, {complexity.connections} connections"
            + ("" if score is None else f", test accuracy {score:.4f}")
            + ">"
        )

    @cached_property
    def network(self) -> Network:
        """The network, ready to compute."""
        return compile_network(self.file.genome)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the input columns, in order."""
        return tuple(self.file.task.input_names)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Class names, or target columns."""
        return tuple(self.file.task.output_names)

    def outputs(self, scaled_inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the output nodes say, float32 [num_outputs, num_samples].

        Parameters
        ----------
        scaled_inputs
            float32 [num_samples, num_inputs], scaled as in training.
        """
        if len(scaled_inputs) == 0:
            return np.zeros((self.network.num_outputs, 0), np.float32)
        batches = Batches.lay_out(scaled_inputs, np.zeros(len(scaled_inputs), np.int32), batch_size=_BATCH_SIZE)
        return load_kernel(self.kernel_name).outputs(self.network, self.network.weight, batches)

    def predict(self, raw_inputs: ArrayLike) -> NDArray[Any]:
        """Return the predictions for raw inputs.

        Parameters
        ----------
        raw_inputs
            [num_samples, num_inputs], in the units of the data set and the order of `input_names`.

        Returns
        -------
        ndarray [num_samples] of class names, or float32 [num_samples, num_outputs] in the units of the targets; what
            the output nodes say if the network acts in an environment
        """
        outputs = self.outputs(self.file.transform(raw_inputs))
        if self.file.task.kind == "classification":
            names: NDArray[Any] = np.array(self.output_names)
            predictions: NDArray[Any] = names[outputs.argmax(axis=0)]
            return predictions
        return self.file.to_target_units(outputs)

    def predict_proba(self, raw_inputs: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of every class, float64 [num_samples, num_classes].

        Raises
        ------
        TaskError
            If the network was not made for a classification.
        """
        if self.file.task.kind != "classification":
            raise TaskError("only a classification has class probabilities; use predict")
        from scipy.special import softmax

        outputs = self.outputs(self.file.transform(raw_inputs)).astype(np.float64)
        probabilities: NDArray[np.float64] = softmax(outputs, axis=0).T
        return probabilities

    def load_task(self, *, on_progress: Progress | None = None, **changes: Any) -> Task:
        """Return the task that the network was trained on, with the same split.

        Parameters
        ----------
        on_progress
            Told in a few words what takes long.
        **changes
            Settings of the data that differ now, for example ``data_dir``. Another ``dataset`` has no distorted copies
            unless ``distorted_copies`` asks for them.

        Raises
        ------
        NetworkFileError
            If the file does not say which data it was.
        TaskError
            If data is missing, or does not fit the network.
        """
        recorded = self.file.facts.get("data_settings")
        if not isinstance(recorded, dict):
            if "dataset" not in changes:
                raise NetworkFileError(
                    "the network file does not say which data the network was trained on; name it with --dataset "
                    "(dataset=... in Python)"
                )
            recorded = {}
        if changes.get("dataset", recorded.get("dataset")) != recorded.get("dataset"):
            recorded = {**recorded, "distorted_copies": 0}
        known = {name: value for name, value in {**recorded, **changes}.items() if name != "options"}
        try:
            settings = DataSettings(**known)
            task = load_task(settings, on_progress, options=recorded.get("options", {}))
        except TaskError as error:
            if Path(settings.dataset).suffix in (".csv", ".npz"):
                raise TaskError(
                    f"{error}; if the table has moved, name it with --dataset (dataset=... in Python)"
                ) from None
            raise
        except TypeError as error:
            raise NetworkFileError(f"the network file names data settings that do not exist: {error}") from None
        # A loss of its own is a matter of learning, not of the data.
        if self.file.facts.get("task") is not None:
            task = replace(task, loss=self.file.task.loss or task.loss)
        self.network.check_fits(task.name, task.num_inputs, task.num_outputs)
        return task

    def load_environment(self, env_name: str | None = None, *, on_progress: Progress | None = None) -> Environment:
        """Return the environment that the network was made for, or another one that it fits.

        Parameters
        ----------
        env_name
            Another one; see `topoevo.tasks.environments.find.find_environment`.
        on_progress
            Told in a sentence how the name was taken if not literally.

        Raises
        ------
        NetworkFileError
            If there is no name, and the file does not say; or if it says ``module:Id`` and the module is not imported:
            a file must not decide which code runs.
        TaskError
            If there is no such environment, something for it is not installed, or the network does not fit it.
        """
        from topoevo.tasks.environments.find import find_environment, find_simulation, module_of

        recorded = self.file.facts.get("environment_settings")
        before = recorded["env_name"] if isinstance(recorded, dict) else None
        if env_name is None and before is not None and (module := module_of(before)) and module not in sys.modules:
            raise NetworkFileError(
                f"the network file names the environment {before!r}, of a module that would be imported; if you trust "
                f"it, name it yourself with --env_name {before} (env_name=... in Python)"
            )
        # Options are those of the file if it is the same environment, however it is written.
        if env_name is not None and (
            before is None or (find_simulation(env_name) or env_name) != (find_simulation(before) or before)
        ):
            recorded = {"env_name": env_name}
        if not isinstance(recorded, dict):
            raise NetworkFileError(
                "the network file does not say in which environment the network acts; name it with --env_name "
                "(env_name=... in Python)"
            )
        try:
            environment = find_environment(**recorded, on_notice=on_progress)
        except TypeError as error:
            raise NetworkFileError(f"environment_settings of the network file are not usable: {error}") from None
        self.network.check_fits(environment.name, environment.num_inputs, environment.num_outputs)
        return environment

    @property
    def is_weight_agnostic(self) -> bool:
        """Whether it was made to work with one weight on all connections."""
        facts = self.file.facts
        return "shared_weights" in facts or facts.get("provenance", {}).get("format") == "out"

    @property
    def shared_weights(self) -> tuple[float, ...]:
        """The weights that it was tried with while it was searched for; those of the publication if it does not say."""
        recorded = self.file.facts.get("shared_weights")
        return SHARED_WEIGHTS if recorded is None else tuple(float(weight) for weight in recorded)

    def report(
        self,
        task: Task | Environment,
        *,
        conditions: Sequence[str] | None = None,
        num_draws: int = 100,
        seed: int = 0,
        tell: Callable[[str], None] = lambda text: None,
        **lengths: Any,
    ) -> Report:
        """Return what the topology does under random, shared and tuned weights; see docs/evaluating.md.

        Parameters
        ----------
        task
            As from `load_task` or `load_environment`.
        conditions
            Names of `topoevo.experiment.report.CONDITIONS`; None for all of a weight-agnostic network, and the own
            weights of another one.
        num_draws
            Random weights.
        seed
            Decides all that is random.
        tell
            Told how far it is.
        **lengths
            In an environment arguments of `topoevo.experiment.report_episodes.EpisodesJudge.make`, on samples of
            `topoevo.experiment.report_samples.SamplesJudge`.
        """
        if conditions is None:
            conditions = AGNOSTIC_CONDITIONS if self.is_weight_agnostic else ("own_weights",)
        if "own_weights" in conditions and np.isnan(self.network.weight).any():
            raise NetworkFileError("the network has connections without weights; topoevo train gives them some")
        return make_report(
            self.judge(task, seed=seed, tell=tell, **lengths),
            shared_weights=self.shared_weights,
            conditions=conditions,
            num_draws=num_draws,
            seed=seed,
            tell=tell,
        )

    def judge(
        self,
        task: Task | Environment,
        *,
        seed: int = 0,
        tell: Callable[[str], None] = lambda text: None,
        **lengths: Any,
    ) -> EpisodesJudge | SamplesJudge:
        """Return what measures and tunes weights of the network; see `report`."""
        common: dict[str, Any] = {"seed": seed, "kernel_name": self.kernel_name, "tell": tell, **lengths}
        if isinstance(task, Environment):
            return EpisodesJudge.make(task, self.network, **common)
        return SamplesJudge(task, self.network, **common)

    def start_learning(self, *, seed: int = 0, num_steps: int = 0) -> Learner:
        """Return a learner that goes on from the file's weights, by its learning rule, options and feedback weights.

        Feedback weights are those that the file has on its edges and nodes; without any they are drawn by its
        ``feedback_seed``.

        Parameters
        ----------
        seed
            For rules that try at random, and weights that were never given.
        num_steps
            Steps of the whole training, over which the learning rate changes; 0 stands for those of a single call.

        Raises
        ------
        NetworkFileError
            If the file does not say how the network has learned, lacks some of its feedback weights, or has only
            activations without slopes where the rule needs them.
        """
        facts = self.file.facts.get("learning")
        loss = self.file.task.loss
        if not isinstance(facts, dict) or loss is None:
            raise NetworkFileError("the network file does not say how the network has learned from samples")
        evaluator = evaluator_of(facts, loss=loss, kernel_name=self.kernel_name)
        rule = evaluator.rule
        flat = flatness_of(self.file.genome, type(rule), only_outputs=rule.train_only_outputs)
        if flat is not None:
            raise NetworkFileError(f"the network cannot learn: {flat.message}")
        learner = evaluator.start(self.network, np.random.default_rng(seed), num_steps)
        if self.file.feedback is None:
            return learner
        return replace(learner, plasticity=with_feedback(learner.plasticity, self.network, self.file.feedback))

    def score(self, task: Task, part: str = "test") -> TaskScore:
        """Return how good the network is on one part of a task.

        Parameters
        ----------
        task
            As from `load_task`.
        part
            ``train``, ``validation`` or ``test``.
        """
        samples: Samples = getattr(task, part)
        return score_outputs(task, self.outputs(samples.inputs), samples)


def load_network(path: str | Path, *, num_inputs: int | None = None, num_outputs: int | None = None) -> TrainedNetwork:
    """Return the network of a file, or the champion of a run directory.

    Parameters
    ----------
    path
        Network file, run directory, or ``.out`` file of the published weight-agnostic networks.
    num_inputs, num_outputs
        For an ``.out`` file that leaves them open; see `topoevo.reporting.out_file`.

    Raises
    ------
    NetworkFileError
        If there is none, or it is not readable.
    """
    path = Path(path)
    if path.suffix == ".out" and not path.is_dir():
        from topoevo.reporting.out_file import read_out

        return TrainedNetwork(read_out(path, num_inputs=num_inputs, num_outputs=num_outputs))
    if path.is_dir() and not (path / "champion.json").exists():
        raise NetworkFileError(f"{path}: is not the folder of a run with a champion; name one run, or a network file")
    return TrainedNetwork(read_network(path / "champion.json" if path.is_dir() else path))
