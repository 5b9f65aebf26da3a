"""Environments: what a network observes, what its outputs do, and which reward it gets, step by step.

A `Simulation` is one of our own: plain functions on numbers, which `topoevo.rollouts` compiles. Everything else comes
from Gymnasium.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import TaskError
from topoevo.registry import Registry, option_problems


@dataclass(frozen=True)
class Actions:
    """What a network's outputs mean.

    Parameters
    ----------
    kind
        ``discrete``: the index of the largest output, the first of equal ones. ``continuous``: every output is clipped
        to -1 … 1 and scaled to its bounds.
    names
        One for each output.
    low, high
        Bounds of continuous actions, one for each output; empty for discrete ones.
    """

    kind: Literal["discrete", "continuous"]
    names: tuple[str, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Environment(ABC):
    """A problem that is met in episodes. Immutable, small and picklable; holds no simulation state.

    Parameters
    ----------
    name
        As the user gives it, or its successor's name.
    observation_names
        One for each input of a network.
    actions
        What its outputs do.
    max_steps
        Steps after which an episode ends at the latest.
    provenance
        JSON values to record: versions, options.
    """

    name: str
    observation_names: tuple[str, ...]
    actions: Actions
    max_steps: int
    provenance: dict[str, Any] = field(default_factory=dict)

    #: What an episode is measured by besides its return, for example ``food``.
    measures: ClassVar[tuple[str, ...]] = ()

    @property
    def num_inputs(self) -> int:
        """Number of observed values."""
        return len(self.observation_names)

    @property
    def num_outputs(self) -> int:
        """Number of outputs that a network must have."""
        return len(self.actions.names)

    @property
    def input_names(self) -> tuple[str, ...]:
        """One for each input of a network."""
        return self.observation_names

    @property
    def output_names(self) -> tuple[str, ...]:
        """One for each output of a network."""
        return self.actions.names

    @property
    def description(self) -> str:
        """What a network meets here, in a few words."""
        return f"{self.actions.kind} actions, episodes of at most {self.max_steps} steps"


class SimulationCode(NamedTuple):
    """The functions of a simulation, each on one episode; plain Python that numba can compile.

    They may use `math`, numbers and tuples of their module, and other such functions of it. What they know of the
    problem comes in `constants`; everything that changes, a generator of random numbers included, is in `state`.

    Parameters
    ----------
    observe
        ``observe(constants, state, observation)`` writes what is observed, float32 [num_inputs].
    step
        ``step(constants, state, action) -> (reward, ended)`` changes the state, float64 [state_size]. `action` is
        float64 [num_outputs], clipped to -1 … 1 (continuous), or float64 [1] with the index of the action (discrete).
    """

    observe: Callable[..., None]
    step: Callable[..., tuple[float, bool]]


@dataclass(frozen=True, eq=False)
class Simulation(Environment):
    """An environment of our own. A subclass is registered in `SIMULATIONS`; its `option` fields become settings.

    Raises
    ------
    TaskError
        If an option is out of its bounds: compiled code does not check its indices.
    """

    def __post_init__(self) -> None:
        problems = option_problems(self)
        if problems:
            raise TaskError(f"{self.name}: {'; '.join(problems)}")

    @property
    @abstractmethod
    def constants(self) -> Any:
        """Numbers that the functions are given: a NamedTuple of a type of its own."""

    @staticmethod
    @abstractmethod
    def code() -> SimulationCode:
        """Return the functions."""

    @abstractmethod
    def initial_state(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the state at the start of one episode, float64 [state_size]."""

    def measure(self, state: NDArray[np.float64]) -> dict[str, float]:
        """Return the `measures` of an episode from its last state."""
        return {}


# The name of a class is the default of its field.
SIMULATIONS: Registry[type[Simulation]] = Registry("environment", "topoevo.tasks.environments")  # type: ignore[type-var]
