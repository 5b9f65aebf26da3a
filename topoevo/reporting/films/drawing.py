"""What a drawing of a simulation is given, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.registry import Registry

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import RenderableType

    from topoevo.tasks.environments.environment import Simulation


@dataclass(frozen=True, eq=False)
class Moment:
    """An episode up to some step.

    Parameters
    ----------
    states
        From the first one to the present one, float64 [num_steps + 1, state_size].
    actions
        What has been done, as the simulation is given it, float64 [num_steps, num_actions].
    rewards
        What it was worth, float64 [num_steps].
    is_over
        Whether the episode has ended.
    title
        Words above the picture.
    """

    states: NDArray[np.float64]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64]
    is_over: bool = False
    title: str = ""

    @property
    def num_steps(self) -> int:
        """Steps until now."""
        return len(self.rewards)

    @property
    def state(self) -> NDArray[np.float64]:
        """The present state, float64 [state_size]."""
        last: NDArray[np.float64] = self.states[-1]
        return last

    @property
    def total(self) -> float:
        """Sum of the rewards until now."""
        return float(self.rewards.sum())


class Drawing(ABC):
    """Draws one simulation. A subclass is registered in `DRAWINGS` under the simulation's name.

    Parameters
    ----------
    simulation
        Whose states are drawn.
    """

    name: ClassVar[str]

    #: Steps of the simulation in a second of a film that is neither fast nor slow.
    steps_per_second: ClassVar[float]

    #: Whether a terminal shows as much as a window.
    for_terminal: ClassVar[bool] = False

    def __init__(self, simulation: Simulation) -> None:
        self.simulation: Any = simulation

    @abstractmethod
    def picture(self, moment: Moment) -> Image:
        """Return a picture in RGB; all pictures of a simulation have the same size."""

    @abstractmethod
    def text(self, moment: Moment, width: int, height: int) -> RenderableType:
        """Return what a terminal shows in so many columns and lines."""


DRAWINGS: Registry[type[Drawing]] = Registry("drawing", "topoevo.reporting.films")


def drawing_of(simulation: Simulation) -> Drawing:
    """Return the drawing of a simulation; one that has none of its own is shown by curves of what it observes."""
    from topoevo.reporting.films.observations import Observations

    drawing: type[Drawing] = DRAWINGS.get(simulation.name, Observations)
    return drawing(simulation)
