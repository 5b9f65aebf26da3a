"""The example of an environment in the documentation runs, compiled and not, and does what it says."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from topoevo.activations import activation_codes
from topoevo.network import Network
from topoevo.rollouts import roll_out
from topoevo.tasks.environments.environment import SIMULATIONS, Simulation

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
IMPORTS = """
from dataclasses import dataclass
from typing import NamedTuple
import numpy as np
from topoevo.registry import option
from topoevo.tasks.environments.environment import SIMULATIONS, Actions, Simulation, SimulationCode
"""


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[type[Simulation]]:
    """The class of the documentation, from a file of its own, registered for the time of a test."""
    (code,) = re.findall(r"```python\n(# topoevo/tasks/environments/.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    (tmp_path / "landing.py").write_text(IMPORTS + code, "utf-8")
    list(SIMULATIONS)  # All others come first.
    spec = importlib.util.spec_from_file_location("documented_landing", tmp_path / "landing.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["documented_landing"] = module
    spec.loader.exec_module(module)
    yield SIMULATIONS["Landing"]
    del SIMULATIONS._entries["Landing"], sys.modules["documented_landing"]


@pytest.mark.parametrize("kernel_name", ["numba", "reference"])
def test_a_brake_lands_softly_and_nothing_else_does(landing: type[Simulation], kernel_name: str) -> None:
    # thrust = w (speed + height): where w is -2, it brakes a vessel that falls faster than it is high.
    network = Network(
        num_inputs=2,
        num_outputs=1,
        node_id=np.arange(3, dtype=np.int32),
        input_index=np.arange(2, dtype=np.int32),
        has_bias=False,
        activation=activation_codes(["linear"]),
        row_start=np.array([0, 2], np.int32),
        source=np.array([0, 1], np.int32),
        weight=np.ones(2, np.float32),
        gene=np.arange(2, dtype=np.int32),
    )
    weights = np.array([-2.0, 0.0, 2.0], np.float32)
    episodes = roll_out(landing(), network, weights, range(4), kernel_name=kernel_name)  # type: ignore[call-arg]
    np.testing.assert_array_equal(episodes.returns, [[1.0] * 4, [0.0] * 4, [0.0] * 4])
    # Falling freely, h = g t² / 2; braking takes longer, rising does not end.
    heights = [10.0 + np.random.default_rng(seed).standard_normal() for seed in range(4)]
    np.testing.assert_allclose(episodes.steps[1], 10 * np.sqrt(2 * np.array(heights) / 1.6), atol=1.0)
    assert (episodes.steps[0] > episodes.steps[1]).all()
    assert (episodes.steps[2] == 200).all()
