"""Events read back with TensorBoard's own reader."""

from __future__ import annotations

import shutil

import pytest

from topoevo.reporting.measures import MEASURES, measures_of
from topoevo.reporting.tensorboard import TensorBoardObserver

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder):
    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance=dict.fromkeys(("scalars", "histograms", "images", "tensors"), 0)
    )
    return events.Reload()


def run(script, folder, last, **options):
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
