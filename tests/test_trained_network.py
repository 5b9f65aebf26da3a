"""A network file in use from Python: what it refuses, and how it shows itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from topoevo import load_network
from topoevo.errors import NetworkFileError, TaskError
from topoevo.genome import InnovationTracker, minimal_genome
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
    genome = minimal_genome(2, 2, p_enabled=1.0, tracker=InnovationTracker(), rng=np.random.default_rng(0))
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


# -- environments -----------------------------------------------------------------------------------------------


@pytest.fixture
def acting(tmp_path):
    """Return ``acting(num_inputs, num_outputs, **settings)``: a network whose file names an environment."""

    def make(num_inputs, num_outputs, **settings):
        rng = np.random.default_rng(0)
        genome = minimal_genome(num_inputs, num_outputs, p_enabled=1.0, tracker=InnovationTracker(), rng=rng)
        write_network(tmp_path / "acting.json", genome, facts={"environment_settings": settings})
        return load_network(tmp_path / "acting.json")

    return make


@pytest.fixture
def foreign_module(tmp_path, monkeypatch):
    """Return the name of a module that registers ``Foreign-v0``, which is CartPole."""
    gymnasium = pytest.importorskip("gymnasium")
    (tmp_path / "foreign_to_files.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Foreign-v0', entry_point='gymnasium.envs.classic_control.cartpole:CartPoleEnv',\n"
        "                   max_episode_steps=7)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "foreign_to_files"
    sys.modules.pop("foreign_to_files", None)
    gymnasium.registry.pop("Foreign-v0", None)


def test_a_file_imports_no_module_that_the_user_does_not_name(acting, foreign_module):
    name = f"{foreign_module}:Foreign-v0"
    network = acting(4, 2, env_name=name)
    with pytest.raises(NetworkFileError, match=f"would be imported; .* --env_name {name}"):
        network.load_environment()
    assert foreign_module not in sys.modules
    assert network.load_environment(name).max_steps == 7
    # Imported by now, it runs no code.
    assert network.load_environment().name == name


def test_options_of_the_file_hold_for_the_same_environment_however_it_is_written(acting):
    network = acting(10, 3, env_name="Snake", options={"board_size": 6})
    for name in (None, "Snake", "snake", "topoevo/Snake-v0"):
        assert network.load_environment(name).constants.board_size == 6
    with pytest.raises(TaskError, match="CartPoleSwingUp needs 5"):
        network.load_environment("CartPoleSwingUp")
    with pytest.raises(TaskError, match="no option 'observation_names'"):
        acting(1, 3, env_name="Snake", options={"observation_names": ["a"]}).load_environment()


def test_a_network_that_acts_predicts_its_outputs(tmp_path, network):
    names = ["a", "b"]
    task = {**TASK, "kind": "environment", "loss": None, "input_names": names, "output_names": names}
    write_network(tmp_path / "acts.json", network.file.genome, facts={"task": task})
    acts = load_network(tmp_path / "acts.json")
    assert acts.predict([[3.0, 0.5]]).tolist() == [[1.0, 0.5]]
    with pytest.raises(TaskError, match="only a classification"):
        acts.predict_proba([[3.0, 0.5]])
