"""A network file in use from Python: what it refuses, and how it shows itself."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo import load_network
from topoevo.errors import NetworkFileError
from topoevo.genome import Genome, InnovationTracker
from topoevo.reporting.network_file import write_network

TASK = {
    "name": "pairs",
    "kind": "classification",
    "loss": "cross_entropy",
    "input_names": ["a", "b"],
    "output_names": ["no", "yes"],
    "input_offset": [1.0, 0.0],
    "input_scale": [2.0, 1.0],
    "target_offset": [],
    "target_scale": [],
    "data": {},
}


@pytest.fixture
def network(tmp_path):
    """Return a network whose logits are the scaled inputs: no = (a - 1) / 2, yes = b."""
    genome = Genome.minimal(2, 2, p_enabled=1.0, tracker=InnovationTracker(), rng=np.random.default_rng(0))
    straight = (genome.connections["target"] - genome.connections["source"] == 2).astype(np.float32)
    write_network(tmp_path / "champion.json", genome.with_weights(straight), facts={"task": TASK})
    return load_network(tmp_path)


def test_raw_inputs_are_scaled_and_classes_named(network):
    raw = [[3.0, 0.0], [1.0, 0.5]]
    assert network.predict(raw).tolist() == ["no", "yes"]
    expected = [[np.e / (np.e + 1), 1 / (np.e + 1)], [1 / (np.exp(0.5) + 1), np.exp(0.5) / (np.exp(0.5) + 1)]]
    np.testing.assert_allclose(network.predict_proba(raw), expected, rtol=1e-6)


@pytest.mark.parametrize("raw", [[[np.nan, 0.0]], [[np.inf, 0.0]], [[1.0]], [1.0, 2.0]])
def test_what_cannot_be_predicted_is_refused(network, raw):
    with pytest.raises(ValueError, match=r"finite|shape"):
        network.predict(raw)


def test_it_shows_itself_in_one_line(network):
    assert repr(network) == "<TrainedNetwork pairs: 2 inputs, 2 outputs, 4 connections>"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(NetworkFileError, match="not the folder of a run"):
        load_network(tmp_path)
