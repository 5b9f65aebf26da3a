"""Watching a network in its environment."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.commands.networks import NETWORK_HELP, Parser, say
from topoevo.errors import NetworkFileError, ParamsError, TaskError
from topoevo.network import Network
from topoevo.reporting.films.drawing import Drawing, drawing_of
from topoevo.reporting.films.film_file import MAX_FRAMES, FilmFile, check_film_path
from topoevo.reporting.films.frames import DrawnFrame, Frame, Pace, RenderedFrame, Viewer, moments_of
from topoevo.reporting.films.terminal import MAX_FPS, Terminal
from topoevo.reporting.films.window import NoWindowError, Window, WindowClosedError, has_display
from topoevo.rollouts import RolloutError, needs_compilation, prepare, record, roll_out
from topoevo.tasks.environments.environment import Environment, Simulation
from topoevo.tasks.environments.find import find_environment, find_simulation
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment
from topoevo.trained_network import TrainedNetwork, load_network

#: How long the last picture of an episode stays.
_SECONDS_AT_THE_END = 1.5

_NOWHERE = "there is no screen and no terminal to show it on; write a film with --out film.gif"


@dataclasses.dataclass(frozen=True, eq=False)
class Player:
    """A network, its weights and where it acts.

    Parameters
    ----------
    environment, network
        They fit together.
    weights
        float32 [] (shared) or [num_edges].
    weights_name
        Which weights these are.
    fps, speed
        Frames in a second, and how many times faster than it is everything goes.
    """

    environment: Environment
    network: Network
    weights: NDArray[np.float32]
    weights_name: str
    fps: float
    speed: float

    @property
    def title(self) -> str:
        """Words above the pictures."""
        return f"{self.environment.name}, {self.weights_name}"
