"""Distorted copies as a user meets them: scored without, resumed with, and told where there are none."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest

from topoevo.tasks.mnist import FILES

from .conftest import PARAMS, REPOSITORY, read_json
from .test_frontier import SETTINGS, frontier

MLP = (PARAMS / "no-evolution" / "digits-mlp.yaml", "--hidden_layers", 8, "--distorted_copies", 2)


@pytest.fixture
def run(shared_run):
    """A short training with copies."""
    return shared_run("distorted", *MLP, "--num_epochs", 3, "--validation_ratio", 0.2)[0]


def test_scores_are_those_of_the_samples_themselves(run, programs):
    result, document = read_json(run / "result.json"), read_json(run / "champion.json")
    assert document["graph"]["data_settings"]["distorted_copies"] == 2
    done = programs.topoevo("evaluate", run)
    assert "warning" not in done.out + done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("train ")]
    _, samples, accuracy, _, recorded = line.split()
    assert int(samples) == 1077 and accuracy == recorded
    assert float(accuracy) == pytest.approx(result["champion"]["accuracy"], abs=1e-6)
    assert result["sample_passes"] == 3 * 1077
    programs.topoevo("verify", run)


def test_a_longer_training_is_the_one_that_was_never_stopped(run, shared_run, programs):
    whole, _ = shared_run("distorted whole", *MLP, "--num_epochs", 5, "--validation_ratio", 0.2)
    copy = programs.folder / "copy"
    shutil.copytree(run, copy)
    programs.wlnn("--resume", copy, "--num_epochs", 5)
    assert read_json(copy / "result.json")["digest"] == read_json(whole / "result.json")["digest"]
    refused = programs.wlnn("--resume", copy, "--num_epochs", 6, "--distorted_copies", 1, expect=2)
    assert "--distorted_copies: cannot change when a run goes on" in refused.err


def test_another_data_set_needs_no_images(run, programs):
    path = programs.folder / "table.csv"
    rows = [",".join([*(f"x{i}" for i in range(64)), "y"])]
    rows += [",".join([*(str((i * j) % 17) for i in range(64)), f"c{j % 10}"]) for j in range(60)]
    path.write_text("\n".join(rows) + "\n")
    done = programs.topoevo("evaluate", run / "champion.json", "--dataset", path)
    assert "recorded scores do not compare" in done.err
    learned = programs.topoevo("train", run / "champion.json", "--dataset", path, "--num_epochs", 1, "--out", "x.json")
    assert "copies of each" not in learned.out
    again = programs.topoevo("train", run / "champion.json", "--num_epochs", 1, "--out", "y.json")
    assert "(and 2 distorted copies of each)" in again.out
    refused = programs.wlnn(PARAMS / "table.yaml", "--dataset", path, "--distorted_copies", 2, expect=2)
    assert "has no images to distort; leave it out" in " ".join(refused.err.split())


def test_small_budgets_of_the_scoreboard_learn_from_originals_alone(tmp_path):
    rng = np.random.default_rng(1)
    for images, labels, number in ((FILES[0], FILES[1], 120), (FILES[2], FILES[3], 30)):
        for name, array in ((images, rng.integers(0, 256, (number, 28, 28))), (labels, np.arange(number) % 10)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
            (tmp_path / name).write_bytes(gzip.compress(content))
    found = {}
    for name, more in (("with", "distorted_copies: 1\ndistorted_from: 50\n"), ("without", "")):
        file, out = tmp_path / f"{name}.yaml", tmp_path / f"{name}.jsonl"
        file.write_text(SETTINGS + more)
        words = ["--dataset", "mnist", "--data_dir", tmp_path, "--budgets", 30, 77, "--seeds", 1, "--params", file]
        words += ["--methods", "fisher", "l1", "--num_epochs", 2, "--num_steps", 60, "--num_configurations", 2]
        ended = frontier(*words, "--out", out)
        assert ended.returncode == 0, ended.stderr
        rows = {(row["method"], row["budget"]): row for row in map(json.loads, out.read_text().splitlines())}
        networks = out.with_suffix(".runs") / "networks"
        files = {key: read_json(networks / row["network"])["graph"] for key, row in rows.items()}
        copies = {key: one["data_settings"]["distorted_copies"] for key, one in files.items()}
        found[name] = rows, copies, {key: one["scores"]["train"]["reward"] for key, one in files.items()}
    for method in ("fisher", "l1"):
        for budget, has_copies in ((30, False), (77, True)):
            key = method, budget
            assert (found["with"][1][key], found["without"][1][key]) == (int(has_copies), 0)
            assert (found["with"][2][key] != found["without"][2][key]) == has_copies
            if method == "fisher":
                assert found["with"][0][key]["passes"] == found["without"][0][key]["passes"]


def test_too_little_memory_is_told(programs):
    words = [REPOSITORY / "run_wlnn.py", *MLP, "--num_epochs", 1]
    code = "import runpy, sys\nimport topoevo.tasks.digits as digits\n"
    code += "def distorted(*given, **named): raise MemoryError('Unable to allocate 9 GiB')\n"
    code += "digits.distorted = distorted\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    done = programs.python("-c", code, *words, expect=1)
    assert "Traceback" not in done.err
    assert "error: memory is not enough (Unable to allocate 9 GiB); try fewer" in " ".join(done.err.split())
