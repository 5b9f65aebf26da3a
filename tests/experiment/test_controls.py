"""Controls: of the champion's size, made by the run's own means, trained alike, the same for any workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.experiment.comparison import Comparison, TrainedControl
from topoevo.experiment.controls import CONTROLS, ControlExperiment, random_network
from topoevo.experiment.data import load_task_of
from topoevo.experiment.interruption import Interrupted
from topoevo.experiment.params import load_params
from topoevo.experiment.records import TaskScore
from topoevo.experiment.settings import Settings
from topoevo.genome import Genome, InnovationTracker, minimal_genome
from topoevo.reporting.controls import WORDS, comparison_lines, content_of, table_of
from topoevo.reporting.controls_picture import picture_of, spread_out
from topoevo.reporting.run_directory import _CONTROLS
from topoevo.seeds import Stream

PARAMS = Path(__file__).resolve().parents[2] / "params" / "wlnn"
SMALL = {
    "num_controls": 3,
    "num_epochs": 1,
    "batch_size": 256,
    "p_initial_connection_enabled": 0.1,
    "p_change_activation": 0.2,
    "activations": ("relu", "tanh"),
}


def params_of(**changes):
    return load_params(None, {**SMALL, "control": "random", **changes})


@pytest.fixture(scope="module")
def task():
    return load_task_of(params_of())


@pytest.fixture(scope="module")
def champion(evolve):
    return evolve(1, num_inputs=64, num_outputs=10, num_mutations=40, p_enabled=0.15, activations=("relu", "tanh"))


def test_every_kind_is_known_everywhere():
    legal = get_args(Settings.model_fields["control"].annotation)
    assert set(legal) == {"none", *CONTROLS} and set(WORDS) == set(CONTROLS)
    assert {name.removeprefix("controls-").split(".")[0] for name in _CONTROLS} == set(CONTROLS)


# -- random networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bias": True, "output_connections": True},
        {"p_add_connection": 0.5, "p_add_node": 0.1, "p_remove_connection": 0.4},
        # Removing faster than adding: without an end to removing, the champion's size would never be reached.
        {"p_add_connection": 0.2, "p_add_node": 0.0, "p_remove_connection": 0.8, "output_connections": True},
        # The first networks of the run are larger than the champion.
        {"p_initial_connection_enabled": 1.0},
        {"max_connections": 20},
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_random_network_has_exactly_the_size_of_the_champion(champion, changes, seed):
    params = params_of(**changes)
    genome = random_network(champion, params, np.random.default_rng(seed))
    genome.validate()
    assert genome.complexity.connections == champion.complexity.connections > 100
    assert (genome.num_inputs, genome.num_outputs) == (champion.num_inputs, champion.num_outputs)
    assert (genome.bias_id is not None) == params.bias
    again = random_network(champion, params, np.random.default_rng(seed))
    other = random_network(champion, params, np.random.default_rng(seed + 100))
    assert genome.digest == again.digest != other.digest


def test_a_random_network_is_made_by_the_mutations_of_the_run(champion):
    """Without new nodes there are none; without mutations of connections, growth is by splitting alone."""
    flat = {"p_initial_add_node": 0.0, "p_add_node": 0.0}
    genome = random_network(champion, params_of(**flat, output_connections=True), np.random.default_rng(0))
    assert genome.complexity.hidden == 0
    splits = {"p_initial_add_node": 0.0, "p_add_connection": 0.0, "p_change_activation": 0.0}
    genome = random_network(champion, params_of(**splits), np.random.default_rng(0))
    first = genome.complexity.connections - genome.complexity.hidden
    assert 0.05 < first / (64 * 10) < 0.15, "the connections that it began with"


@pytest.mark.parametrize("file", ["mnist-smallest", "table-smallest", "digits-quick"])
@pytest.mark.parametrize("size", [60, 400])
@pytest.mark.parametrize("blind", [{}, {"p_add_node": 0.1}])
def test_a_run_that_is_led_by_evidence_has_random_networks_of_its_size_with_hidden_nodes(evolve, file, size, blind):
    champion = evolve(1, num_inputs=64, num_outputs=10, num_mutations=0, p_enabled=1.0)
    champion = champion.with_only(np.arange(len(champion.connections)) < size)
    params = load_params(PARAMS / f"{file}.yaml", {"control": "random", **blind})
    for seed in range(3):
        genome = random_network(champion, params, np.random.default_rng(seed))
        assert genome.complexity.connections == champion.complexity.connections == size
        assert size / 20 < genome.complexity.hidden < size / 2


def test_a_size_that_cannot_be_reached_has_an_end(champion):
    """Nothing grows where activations change alone: the nearest is what there is."""
    stuck = {"p_add_connection": 0.0, "p_add_node": 0.0, "p_initial_add_node": 0.0}
    genome = random_network(champion, params_of(**stuck), np.random.default_rng(0))
    assert 30 < genome.complexity.connections < champion.complexity.connections


# -- the comparison ---------------------------------------------------------------------------------------------


def comparison_of(task, champion, **changes):
    return ControlExperiment(params_of(**changes), task, champion, recorded=0.5).run()


@pytest.mark.parametrize("kind", CONTROLS)
def test_workers_change_nothing(task, champion, kind):
    contents = []
    for num_workers in (1, 3):
        found = comparison_of(task, champion, control=kind, num_workers=num_workers)
        params = params_of(control=kind, num_workers=num_workers)
        contents.append((content_of(found, params), table_of(found), picture_of(found, title="a", subtitle="b")))
    assert contents[0] == contents[1]
    assert comparison_of(task, champion, control=kind, seed=1).networks != found.networks


def test_more_controls_leave_the_first_ones_as_they_are(task, champion):
    few, many = (comparison_of(task, champion, num_controls=count) for count in (2, 4))
    assert few.networks == many.networks[:4] and len(many.networks) == 8


def test_the_champion_is_trained_the_same_beside_every_kind(task, champion):
    random, shuffled = (comparison_of(task, champion, control=kind) for kind in ("random", "shuffled"))
    assert random.champions == shuffled.champions
    assert not {one.test for one in random.controls} & {one.test for one in shuffled.controls}


def test_weights_are_new_and_more_epochs_help(task, champion):
    """Neither the champion's weights nor zeros on new connections play a part."""
    zeros = champion.with_weights(np.zeros(len(champion.connections), np.float32))
    one = comparison_of(task, champion, add_connection_weight="zero", num_controls=2)
    two = comparison_of(task, zeros, num_controls=2)
    assert one.champions == two.champions and one.controls == two.controls
    trainings = [training.test.reward for training in one.champions]
    assert len(set(trainings)) == len(trainings), "every training has random numbers of its own"
    longer = ControlExperiment(params_of(num_controls=2, final_epochs=5, num_generations=1), task, champion).run()
    assert longer.num_epochs == 5
    assert longer.spread(longer.champions).mean > one.spread(one.champions).mean + 0.05


def test_what_is_told_of_a_network(task, champion):
    found = comparison_of(task, champion, control="shuffled")
    size = champion.complexity
    for number, one in enumerate(found.champions):
        assert (one.connections, one.hidden, one.number) == (size.connections, size.hidden, number)
        assert one.genome_address is None and one.in_place is None
        assert one.address == (Stream.CONTROL, 1, 2 * number + 1)
    for number, one in enumerate(found.controls):
        assert (one.connections, one.hidden, one.number) == (size.connections, size.hidden, number)
        assert one.genome_address == (Stream.CONTROL, 3, number)
        assert 0 < one.in_place < 0.7


@pytest.mark.parametrize("reward_data", ["validation", "both"])
def test_rewards_of_the_run_do_not_matter(task, champion, reward_data):
    settings = {"validation_ratio": 0.2, "pruning": "fisher", "max_connections": 7, "weight_init": "he"}
    found, plain = (comparison_of(task, champion, **settings, **more) for more in ({"reward_data": reward_data}, {}))
    assert all(one.failure is None and one.test is not None for one in found.networks)
    assert found.networks == plain.networks
    assert {one.connections for one in found.networks} == {champion.complexity.connections}, "nothing is pruned"


def test_a_failed_training_is_told_and_counts_as_beaten(task, champion):
    found = comparison_of(task, champion, optimizer="sgd", lr=1e30, momentum=0.0)
    assert all(one.failure and one.test is None for one in found.networks)
    assert found.gains is None and found.num_beaten == 0 and found.spread(found.controls) is None
    text = "\n".join(comparison_lines(found, params_of()))
    assert "6 of 6 trainings failed" in text and "infinite or undefined" in text
    assert picture_of(found, title="a", subtitle="b")["png"].startswith(b"\x89PNG")


def test_a_network_that_cannot_be_shuffled_is_told(task):
    dense = minimal_genome(64, 10, p_enabled=1, tracker=InnovationTracker(), rng=np.random.default_rng(0))
    found = comparison_of(task, dense, control="shuffled", num_controls=2)
    assert [one.in_place for one in found.controls] == [1, 1]
    assert "100% of the champion's connections in place: these" in "\n".join(comparison_lines(found, params_of()))


def test_asked_to_stop(task, champion):
    experiment = ControlExperiment(params_of(num_workers=2), task, champion)
    with pytest.raises(Interrupted, match="SIGTERM"):
        experiment.run(on_progress=lambda done, total: done == 2 and experiment.stop("SIGTERM"))


def test_nothing_to_compare(task, champion):
    with pytest.raises(ParamsError, match="none leaves nothing"):
        ControlExperiment(params_of(control="none"), task, champion)
    empty = Genome(champion.nodes, champion.connections[:0])
    with pytest.raises(ParamsError, match="no connections"):
        ControlExperiment(params_of(), task, empty)


# -- statistics by hand -----------------------------------------------------------------------------------------


def network(value, *, is_champion=False, measure="accuracy"):
    """One with a test score, or a failed one."""
    score = None if value is None else TaskScore(-1.0, **{"accuracy": None, measure: value})
    failure = "diverged" if value is None else None
    return TrainedControl(is_champion, 0, (8, 1, 0), None, 5, 0, 1, 9, 3, None, score, score, failure)


def by_hand(measure, champions, controls):
    networks = [network(value, is_champion=True, measure=measure) for value in champions]
    networks += [network(value, measure=measure) for value in controls]
    return Comparison("random", measure, 7, 5, None, tuple(networks))


def test_statistics_by_hand():
    found = by_hand("accuracy", [0.5, 1.0], [0.25, 0.5, 0.75, 1.0, None])
    spread = found.spread(found.controls)
    assert (spread.mean, spread.min, spread.max, spread.count) == (0.625, 0.25, 1.0, 4)
    assert spread.std == pytest.approx(np.sqrt((0.375**2 + 0.125**2) / 2))
    assert found.gains == (0.125, -0.25)
    # 0.75 is as good as the champion's mean, which is not worse; the failed one is beaten.
    assert found.num_beaten == 3


def test_what_networks_differ_in_beside_their_connections():
    champion = replace(network(0.5, is_champion=True), hidden=4, biases=2)
    controls = tuple(replace(network(0.5), hidden=hidden, biases=7) for hidden in (1, 2, 2, 4))
    found = Comparison("random", "accuracy", 7, 5, None, (champion, *controls))
    header, row, other = (line.split() for line in comparison_lines(found, params_of())[2:5])
    assert header[4:] == ["connections", "hidden", "biases"]
    assert row[-5:] == ["5", "4", "2", "1", "training"]
    assert other[-5:] == ["5", "2.2", "7", "4", "networks"]
    content = content_of(found, params_of())
    assert (content["champion"]["mean_hidden"], content["champion"]["mean_biases"]) == (4, 2)
    assert (content["controls"]["mean_hidden"], content["controls"]["mean_biases"]) == (2.25, 7)


def test_of_an_error_less_is_better():
    found = by_hand("rmse", [1.0, 3.0], [1.5, 2.5, 4.0])
    assert found.gains == (pytest.approx(8 / 3 - 2), pytest.approx(-0.5))
    assert found.num_beaten == 2
    text = "\n".join(comparison_lines(found, params_of()))
    assert "better than 2 of 3 controls; gain over their mean +0.6667, over the best -0.5000" in text


def test_dots_do_not_hide_each_other():
    values = np.random.default_rng(0).normal(size=60)
    steps = spread_out(values, 0.3)
    for i in range(60):
        near = np.flatnonzero((np.abs(values - values[i]) < 0.3) & (steps == steps[i]))
        assert near.tolist() == [i]
    assert set(np.abs(spread_out(np.arange(5.0), 0.5))) == {0}


def test_a_regression_is_compared_by_its_error():
    params = params_of(dataset="sine", p_initial_connection_enabled=1.0, bias=True, output_connections=True)
    task = load_task_of(params)
    genome = minimal_genome(1, 1, p_enabled=1, tracker=InnovationTracker(), rng=np.random.default_rng(0), bias=True)
    found = ControlExperiment(params, task, genome).run()
    assert found.measure == "rmse" and all(one.test.accuracy is None for one in found.networks)
    assert found.test_scores(found.controls).tolist() == [one.test.rmse for one in found.controls]
