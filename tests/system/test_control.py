"""``--control`` and ``topoevo control``: a champion beside networks that nothing has selected."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time

import pytest

from .conftest import BLIND, TINY, everything_below, read_json, user_environment

RUN = (BLIND, *TINY, "--num_generations", 2, "--num_workers", 1)
CONTROLS = ("--control", "random", "--num_controls", 3)
FILES = {"controls-random.svg", "controls-random.png", "controls-random.csv", "controls-random.json"}


@pytest.fixture
def run(shared_run, programs):
    """A copy of a run that ended with a comparison, and what it said."""
    made, done = shared_run("controls", *RUN, *CONTROLS)
    shutil.copytree(made, programs.folder / "run")
    return programs.folder / "run", done


def test_a_run_ends_with_a_comparison(run):
    folder, done = run
    names = {path.name for path in folder.iterdir()}
    assert names >= FILES and not any(".part" in name for name in names)
    found, champion = read_json(folder / "controls-random.json"), read_json(folder / "result.json")["champion"]
    scores = {"champion": [], "control": []}
    for network in found["networks"]:
        scores[network["network"]].append(network["test_accuracy"])
    assert [len(one) for one in scores.values()] == [3, 3]
    assert found["champion"]["connections"] == champion["connections"]
    assert found["champion"]["recorded"] == champion["test_accuracy"]
    assert found["controls"]["connections"] == [champion["connections"]] * 3
    for key, name, group in (("champion", "champion", "retrained"), ("controls", "control", "trained")):
        assert found[key][group]["mean"] == pytest.approx(statistics.mean(scores[name]))
        assert found[key][group]["std"] == pytest.approx(statistics.pstdev(scores[name]))
    mean = statistics.mean(scores["champion"])
    assert found["gain_over_mean"] == pytest.approx(mean - statistics.mean(scores["control"]))
    assert found["gain_over_best"] == pytest.approx(mean - max(scores["control"]))
    assert found["num_beaten"] == sum(one < mean for one in scores["control"])
    assert f"better than {found['num_beaten']} of 3 controls" in done.out
    assert done.out.index("Champion and controls") > done.out.index("Finished")
    rows = list(csv.DictReader(io.StringIO((folder / "controls-random.csv").read_text())))
    assert [float(row["test_accuracy"]) for row in rows if row["network"] == "control"] == scores["control"]
    assert (folder / "controls-random.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "workers", [("--num_workers", "2"), pytest.param(("--num_workers", "1"), marks=pytest.mark.slow)]
)
def test_the_command_writes_the_same_bytes_as_the_run(run, programs, workers):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = run
    before = {name: (folder / name).read_bytes() for name in FILES}
    for name in FILES:
        (folder / name).unlink()
    done = programs.topoevo("control", "run", *workers)
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    assert done.err == ""
    # TensorBoard shows the comparison once.
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    (point,) = events.Scalars("controls_random/controls_accuracy_mean")
    expected = read_json(folder / "controls-random.json")["controls"]["trained"]["mean"]
    assert (point.step, point.value) == (2, pytest.approx(expected))
    assert "controls_random/picture" in events.Tags()["images"]


def test_another_kind_number_and_length(run, programs):
    folder, _ = run
    before = {path.name for path in folder.iterdir()}
    programs.topoevo("control", "run", "--kind", "shuffled", "--num_controls", "2", "--num_epochs", "3")
    found = read_json(folder / "controls-shuffled.json")
    assert (found["kind"], found["num_epochs"], found["num_controls"]) == ("shuffled", 3, 2)
    assert all(0 < one["in_place"] < 1 for one in found["networks"] if one["network"] == "control")
    assert {path.name for path in folder.iterdir()} - before == {n.replace("random", "shuffled") for n in FILES}


def test_a_run_that_goes_on_forgets_its_comparisons(run, programs):
    """They tell of a champion that may not be the champion any more."""
    folder, _ = run
    programs.topoevo("resume", "run", "--num_generations", "3", "--control", "none")
    assert not {path.name for path in folder.iterdir()} & FILES


def refuse(programs, *words):
    """Run ``topoevo control``, expect a refusal, and return its message."""
    before = everything_below(programs.folder)
    done = programs.topoevo("control", *words, expect=2)
    assert everything_below(programs.folder) == before, "something was written"
    assert done.err.startswith("error:") and done.err.count("error:") == 1 and "Traceback" not in done.err
    return done.err


def test_what_cannot_be_compared_is_refused(run, programs):
    folder, _ = run
    assert "no such folder" in refuse(programs, "nowhere")
    assert "'random'" in refuse(programs, "run", "--kind", "rnd")
    assert "at least 2" in refuse(programs, "run", "--num_controls", "1")
    assert "num_epochs" in refuse(programs, "run", "--num_epochs", "many")
    assert "--help" in refuse(programs)
    result = read_json(folder / "result.json")
    for changes, words in (
        ({"status": "interrupted"}, "not finished but interrupted"),
        ({"champion": None}, "no champion"),
    ):
        (folder / "result.json").write_text(json.dumps({**result, **changes}))
        assert words in refuse(programs, "run")
    (folder / "result.json").unlink()
    assert "not finished" in refuse(programs, "run")
    (folder / "params.yaml").unlink()
    assert "not the folder of a run" in refuse(programs, "run")


def test_a_signal_leaves_nothing_half_written(run, programs):
    folder, _ = run
    before = everything_below(folder)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "topoevo",
            "control",
            "run",
            "--kind",
            "shuffled",
            "--num_epochs",
            "500",
            "--num_controls",
            "500",
        ],
        cwd=programs.folder,
        env=user_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("comparing"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "nothing was written" in out and err == ""
    assert everything_below(folder) == before
