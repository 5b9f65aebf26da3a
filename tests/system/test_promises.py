"""What the README promises, measured; slow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_digits_quick_finds_small_good_networks(tmp_path):
    accuracies = []
    for seed in range(3):
        out = tmp_path / str(seed)
        command = [
            sys.executable,
            "run_wlnn.py",
            "params/wlnn/digits-quick.yaml",
            "--seed",
            str(seed),
            "--out_dir",
            out,
        ]
        subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
        champion = json.loads((out / "result.json").read_text())["champion"]
        assert champion["connections"] <= 160
        accuracies.append(champion["test_accuracy"])
    assert min(accuracies) >= 0.945
    assert accuracies[0] >= 0.965, "this is what `make run` does"
    assert sum(accuracies) / 3 >= 0.965


@pytest.mark.slow
def test_sine_is_learned_by_a_small_network(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "run_wlnn.py", "params/wlnn/sine-backprop.yaml", "--num_generations", "60"]
    subprocess.run([*command, "--out_dir", str(out)], cwd=REPOSITORY, check=True, capture_output=True)
    champion = json.loads((out / "result.json").read_text())["champion"]
    assert champion["test_rmse"] <= 0.02
    assert champion["connections"] <= 60


@pytest.mark.slow
def test_freshly_compiled_code_gives_the_bytes_of_cached_code(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    flags = ["--num_generations", "3", "--num_workers", "1"]
    digests = []
    for number in range(2):
        command = [sys.executable, "run_wlnn.py", "params/wlnn/digits-quick.yaml", *flags]
        command += ["--out_dir", str(tmp_path / f"run{number}")]
        done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, env=environment)
        assert ("compiling" in done.stdout) is (number == 0)
        digests.append(re.findall(r"digest (\w+)", done.stdout))
    assert len(digests[0]) == 3
    assert digests[0] == digests[1]
