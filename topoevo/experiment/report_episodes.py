"""Measuring and tuning the weights of a network in an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.experiment.episodes import prepare_rollouts
from topoevo.experiment.report import Values
from topoevo.experiment.tuning import CmaSettings, tune_by_cma
from topoevo.kernels import load_kernel
from topoevo.network import Network
from topoevo.rollouts import RolloutError, roll_out
from topoevo.seeds import Stream, generator
from topoevo.tasks.environments.environment import Environment, Simulation

#: Lanes that environments of Gymnasium, which are objects, are made for at once, and those of compiled episodes.
_LANES, _COMPILED_LANES = 200, 2500


@dataclass(frozen=True, eq=False)
class EpisodesJudge:
    """Lets a network act with given weights.

    Parameters
    ----------
    environment, network
        Where it acts; they fit together.
    num_trials
        Episodes that a set of weights is measured in, at least 1.
    num_trials_each
        Episodes of each of many sets of weights: random ones, and points of the search and of the curve.
    cma
        Length of the search for tuned weights.
    seed
        Decides all episodes.
    kernel_name
        Backend.
    tell
        Told how far it is.
    """

    environment: Environment
    network: Network
    num_trials: int
    num_trials_each: int
    cma: CmaSettings
    seed: int
    kernel_name: str = "numba"
    tell: Callable[[str], None] = lambda text: None
    has_classes: bool = field(default=False, init=False)
    #: Why sets of weights failed, in the order of their trials.
    _reasons: list[str] = field(default_factory=list, init=False)

    @staticmethod
    def make(
        environment: Environment,
        network: Network,
        *,
        num_trials: int = 100,
        num_trials_each: int | None = None,
        num_generations: int | None = None,
        population_size: int | None = None,
        num_tuning_trials: int | None = None,
        sigmas: tuple[float, ...] | None = None,
        seed: int = 0,
        kernel_name: str = "numba",
        tell: Callable[[str], None] = lambda text: None,
    ) -> EpisodesJudge:
        """Return a judge with numbers that suit the environment: compiled episodes are cheap, others are not.

        Parameters
        ----------
        environment, network, num_trials, num_trials_each, seed, kernel_name, tell
            See the class; None for what suits.
        num_generations, population_size, num_tuning_trials, sigmas
            Of `CmaSettings`; None for what suits.

        Raises
        ------
        TaskError
            If the network does not fit the environment.
        """
        network.check_fits(environment.name, environment.num_inputs, environment.num_outputs)
        cheap = isinstance(environment, Simulation)
        own = CmaSettings(300, 32, 16) if cheap else CmaSettings(100, 16, 4)
        given: dict[str, Any] = {
            "num_generations": num_generations,
            "population_size": population_size,
            "num_trials": num_tuning_trials,
            "sigmas": sigmas,
        }
        cma = replace(own, **{name: value for name, value in given.items() if value is not None})
        each = (num_trials if cheap else min(num_trials, 10)) if num_trials_each is None else num_trials_each
        return EpisodesJudge(environment, network, num_trials, each, cma, seed, kernel_name, tell)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Numbers of trials, length of the search, and why an episode failed if one did, as JSON values."""
        return {
            "num_trials": self.num_trials,
            "num_trials_each": self.num_trials_each,
            "cma_es": asdict(self.cma),
            "first_failure": self._reasons[0] if self._reasons else None,
        }

    @cached_property
    def _fresh(self) -> list[int]:
        """Seeds of the episodes that nothing is chosen on."""
        return self._seeds(Stream.REPORT, 0, self.num_trials)

    @cached_property
    def _tuning(self) -> list[int]:
        """Seeds of the episodes that shared weights, and middles of the search, are chosen on."""
        return self._seeds(Stream.REPORT, 1, self.num_trials)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the episodes; see `Judge`."""
        prepare_rollouts(self.environment, load_kernel(self.kernel_name), say)

    def measure(self, weights: NDArray[np.float32]) -> Values:
        """Return what sets of weights reach in all fresh episodes; see `Judge`."""
        return self._values(weights, self._fresh)

    def survey(self, weights: NDArray[np.float32]) -> Values:
        """Return what many sets of weights reach, each in some of the fresh episodes, in turn; see `Judge`."""
        each = min(self.num_trials_each, self.num_trials)
        lanes = _COMPILED_LANES if isinstance(self.environment, Simulation) else _LANES
        block = max(1, lanes // each)
        parts = []
        for start in range(0, len(weights), block):
            first = start // block * each
            seeds = [self._fresh[i % self.num_trials] for i in range(first, first + each)]
            parts.append(self._values(weights[start : start + block], seeds))
            self.tell(f"{start + len(parts[-1]['reward'])} of {len(weights)} weights, {each} episodes each")
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def score(self, shared_weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the mean return in the tuning episodes; see `Judge`."""
        return self._means(shared_weights, self._tuning[: self.num_trials_each])

    def tune(self, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the weights that CMA-ES finds from `start` on; see `Judge`."""
        try:
            roll_out(self.environment, self.network, start[np.newaxis], self._tuning, kernel_name=self.kernel_name)
        except RolloutError as error:
            raise TaskError(f"weights cannot be tuned, those to start with fail: {error}") from error

        def returns(candidates: NDArray[np.float32], generation: int) -> NDArray[np.float64]:
            return self._means(candidates, self._seeds(Stream.TUNING, generation, self.cma.num_trials))

        def confirm(weights: NDArray[np.float32]) -> float:
            return float(self._means(weights[np.newaxis], self._tuning)[0])

        return tune_by_cma(returns, confirm, start, self.cma, seed=self.seed, tell=self.tell)[np.newaxis]

    def ensembles(self, shared_weights: NDArray[np.float32]) -> Mapping[str, Values]:
        """Return nothing: actions do not vote."""
        return {}

    def _means(self, weights: NDArray[np.float32], seeds: list[int]) -> NDArray[np.float64]:
        """Mean return of every set of weights; NaN if one of its episodes fails."""
        means: NDArray[np.float64] = self._values(weights, seeds)["reward"].mean(axis=1)
        return means

    def _values(self, weights: NDArray[np.float32], seeds: list[int]) -> dict[str, NDArray[np.float64]]:
        """Returns, steps and measures [num_weights, num_trials]; NaN where weights fail, which are found by halving."""
        try:
            episodes = roll_out(self.environment, self.network, weights, seeds, kernel_name=self.kernel_name)
        except RolloutError as error:
            if len(weights) == 1:
                self._reasons.append(str(error))
                names = ("reward", "steps", *self.environment.measures)
                return {name: np.full((1, len(seeds)), np.nan) for name in names}
            half = len(weights) // 2
            parts = [self._values(part, seeds) for part in (weights[:half], weights[half:])]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {"reward": episodes.returns, "steps": episodes.steps.astype(np.float64), **episodes.measures}

    def _seeds(self, stream: Stream, generation: int, number: int) -> list[int]:
        """Seeds of so many episodes at an address."""
        # Index 1: the candidates of the search have index 0.
        seeds: list[int] = generator(self.seed, stream, generation, 1).integers(2**31, size=number).tolist()
        return seeds
