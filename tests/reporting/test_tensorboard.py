"""Events read back with TensorBoard's own reader."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from topoevo.reporting.measures import MEASURES, measures_of
from topoevo.reporting.tensorboard import TensorBoardObserver

event_file_loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder):
    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance=dict.fromkeys(("scalars", "histograms", "images", "tensors"), 0)
    )
    return events.Reload()


def run(script, folder, last, **options):
    folder.mkdir(exist_ok=True)
    actor = script([TensorBoardObserver(folder / "tb", **options.pop("observer", {}))], **options)
    actor.run(last)
    return actor


def test_every_measure_is_read_back(script, tmp_path):
    actor = run(script, tmp_path, 4)
    events = read(tmp_path / "tb")
    found = set(events.Tags()["scalars"])
    assert found <= set(MEASURES)
    assert {"best/reward", "best/accuracy", "best/connections", "champion/test_accuracy", "times/complete"} <= found
    assert {f"stats/{n}_{s}" for n in ("connections", "neurons", "layers") for s in ("mean", "std")} <= found
    for generation in range(4):
        expected = measures_of(actor.record(generation))
        for name in ("best/reward", "population/reward_mean", "stats/layers_std", "times/evaluation"):
            event = events.Scalars(name)[generation]
            assert event.step == generation and event.value == pytest.approx(expected[name], rel=1e-6)
    assert set(events.Tags()["histograms"]) == {"population/accuracy", "population/connections"}
    histogram = events.Histograms("population/connections")[-1].histogram_value
    assert histogram.num == 5
    assert events.Scalars("champion/test_accuracy")[-1].step == 4


def test_tags_do_not_grow_with_generations(script, tmp_path):
    tags = []
    for last in (3, 9):
        run(script, tmp_path / str(last), last)
        found = read(tmp_path / str(last) / "tb").Tags()
        tags.append({kind: sorted(names) for kind, names in found.items() if isinstance(names, list)})
    assert tags[0] == tags[1]


def test_settings_are_text_and_hyperparameters_of_the_same_run(script, tmp_path, params):
    run(script, tmp_path, 2)
    assert [one.name for one in tmp_path.iterdir()] == ["tb"]
    assert not [one for one in (tmp_path / "tb").iterdir() if one.is_dir()]
    events = read(tmp_path / "tb")
    text = events.Tensors("params/text_summary")[0].tensor_proto.string_val[0].decode()
    assert params.to_yaml() in text
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["lr"].number_value == params.lr
    assert values["learning_rule"].string_value == "backprop"
    assert values["bias"].bool_value is False


def test_resuming_purges_what_runs_again(script, tmp_path):
    run(script, tmp_path, 6)
    run(script, tmp_path, 8, first_generation=3)
    events = read(tmp_path / "tb")
    for name in ("best/reward", "champion/reward", "times/complete"):
        steps = [event.step for event in events.Scalars(name)]
        assert steps == sorted(set(steps)), name
    assert [event.step for event in events.Scalars("best/reward")] == list(range(8))


def raw_steps(folder):
    """Steps of every tag as they lie in the files, whatever a reader would purge."""
    found = {}
    for path in sorted(folder.glob("*.tfevents.*")):
        for record in event_file_loader.RawEventFileLoader(str(path)).Load():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


@pytest.mark.parametrize("torn", [0, 1, 9, 40])
def test_what_runs_again_is_in_no_file_twice(script, tmp_path, torn):
    run(script, tmp_path, 6)
    (path,) = (tmp_path / "tb").iterdir()
    if torn:
        path.write_bytes(path.read_bytes()[:-torn])
    run(script, tmp_path, 8, first_generation=4)
    whole = tmp_path / "whole"
    run(script, whole, 8)
    assert raw_steps(tmp_path / "tb") == raw_steps(whole / "tb")


def test_settings_that_have_changed_are_written_once_more(script, tmp_path, params):
    run(script, tmp_path, 3)
    run(script, tmp_path, 4, first_generation=3)
    run(script, tmp_path, 5, first_generation=4, params=params.model_copy(update={"num_generations": 9}))
    run(script, tmp_path, 6, first_generation=5, params=params.model_copy(update={"num_generations": 9}))
    assert raw_steps(tmp_path / "tb")["params/text_summary"] == [0, 4]


def test_events_are_on_the_disk_when_a_generation_is_announced(script, tmp_path):
    actor = script([TensorBoardObserver(tmp_path / "tb")])
    actor.observers[0].on_start(SimpleNamespace(params=actor.params, task=actor.task, num_done=0, founder=""))
    for generation in range(3):
        actor.observers[0].on_generation(actor.record(generation))
        # Nothing is closed, as when the process is killed now.
        assert raw_steps(tmp_path / "tb")["best/reward"] == list(range(generation + 1))
        assert raw_steps(tmp_path / "tb")["population/connections"] == list(range(generation + 1))


def test_a_run_goes_on_without_events_that_cannot_be_written(script, tmp_path):
    said = []
    (tmp_path / "tb").write_text("")
    run(script, tmp_path, 3, observer={"warn": said.append})
    assert len(said) == 1 and "the run goes on without TensorBoard" in said[0]


def test_a_regression_has_no_accuracy(script, tmp_path):
    run(script, tmp_path, 2, kind="regression")
    tags = read(tmp_path / "tb").Tags()
    assert "best/accuracy" not in tags["scalars"] and "champion/test_rmse" in tags["scalars"]
    assert tags["histograms"] == ["population/connections"]


def test_the_picture_is_an_image_of_the_right_size(script, tmp_path, genome):
    from topoevo.reporting.pictures import draw_network

    png = tmp_path / "champion.png"
    draw_network(genome, tmp_path / "champion.svg", png)
    run(script, tmp_path, 3, observer={"picture": png})
    images = read(tmp_path / "tb").Images("champion/picture")
    assert len(images) == 1
    assert images[0].encoded_image_string == png.read_bytes()
    assert images[0].width > 100 and images[0].height > 100
    shutil.rmtree(tmp_path / "tb")
