"""Run directories from elsewhere, and files that want more memory than there is."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zipfile

import pytest

from topoevo.cli import main
from topoevo.errors import CheckpointError
from topoevo.experiment.journal import Journal, Place, _hash, path_of
from topoevo.experiment.params import load_params
from topoevo.seeds import Stream

from .conftest import REPOSITORY, everything_below, user_environment
from .hostile import npy, samples, zipped

# -- run directories --------------------------------------------------------------------------------------------


@pytest.fixture
def refuse(tmp_path, monkeypatch, capsys):
    """Return ``refuse(*words)``: run a command in this process and this folder, and return its message."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        assert main(list(words)) == 2
        return capsys.readouterr().err

    return run


def _write_run(folder, params):
    """The folder of a run."""
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "params.yaml").write_text(params.to_yaml())
    (folder / "environment.json").write_text("{}")
    (folder / "metrics.csv").write_text("generation,digest\n0,0123456789abcdef\n")
    samples.make_checkpoint().write(folder / "checkpoint")
    return folder


@pytest.mark.parametrize("words", [("resume", "run"), ("verify", "run"), ("replay", "run", "--individual", "8")])
def test_a_run_directory_does_not_decide_which_module_is_imported(tmp_path, monkeypatch, refuse, words):
    module = f"harmful_{words[0]}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{module}.py").write_text("open('harm', 'w').close()\n")
    name = f"{module}:Id-v0"
    _write_run(tmp_path / "run", load_params(None, {"env_name": name, "tournament_size": 2}, family="wann"))
    assert f"--env_name {name}" in refuse(*words) and not (tmp_path / "harm").exists()
    assert "--env_name: CartPole-v1 is not allowed" in refuse(*words, "--env_name", "CartPole-v1")
    assert not (tmp_path / "harm").exists()
    assert "registers no environment" in refuse(*words, "--env_name", name) and (tmp_path / "harm").exists()
    sys.modules.pop(module)


@pytest.mark.parametrize(
    "name", ["metrics.csv", "networks", "checkpoint/generation-000009.npz", "tensorboard", ".lock", "result.json"]
)
def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path, refuse, name):
    run = _write_run(tmp_path / "run", load_params(None, {}))
    (run / name).unlink(missing_ok=True)
    target = tmp_path / "mine"
    if name in ("networks", "tensorboard"):
        target.mkdir()
        (target / "mine.json").write_text("years of work")
    else:
        target.write_text("years of work")
    (run / name).symlink_to(target)
    before = everything_below(tmp_path)
    for command in ("resume", "control"):
        message = refuse(command, "run")
        assert name in message and "link" in message
    assert everything_below(tmp_path) == before


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, refuse):
    run = _write_run(tmp_path / "run", load_params(None, {}))
    (run / "metrics.csv").unlink()
    os.mkfifo(run / "metrics.csv")
    assert "metrics.csv" in refuse("resume", "run")
    os.mkfifo(tmp_path / "n.json")
    assert "is no file" in refuse("evaluate", "n.json")


@pytest.mark.parametrize("name", ["metrics.csv", "result.json", "failures.jsonl", "environment.json"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, refuse, name):
    assert main(["wlnn", "--num_generations", "0", "--num_epochs", "1", "--out_dir", "run"]) == 0
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).mkdir()
    assert f"run/{name} cannot be written: Is a directory" in refuse("resume", "run", "--num_epochs", "2")


def test_a_link_within_the_folder_is_fine(tmp_path):
    from topoevo.reporting.run_directory import RunDirectory

    run = _write_run(tmp_path / "run", load_params(None, {}))
    (run / "last.npz").symlink_to(run / "checkpoint" / "generation-000004.npz")
    (tmp_path / "elsewhere").symlink_to(run)
    locked = RunDirectory.open(tmp_path / "elsewhere").locked()
    assert locked.lock is not None
    locked.lock.release()


def test_a_lock_that_is_a_link_is_not_written(tmp_path, refuse):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("years of work")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    params = str(REPOSITORY / "params" / "wlnn" / "digits-quick.yaml")
    assert "link" in refuse("wlnn", params, "--out_dir", "run", "--overwrite_output")
    assert (tmp_path / "mine").read_text() == "years of work"


@pytest.mark.parametrize(
    "change",
    [
        {"reward": "00"},
        {"reward": "zz" * 8},
        {"reward": 1.0},
        {"weights": "AAAA"},
        {"weights": "AA=A"},
        {"weights": [1]},
        {"stream": ["LEARNING"]},
        {"stream": "NOWHERE"},
        {"index": -1},
        {"index": True},
        {"index": 10**30},
        {"failure": 3},
        {"genome": None},
    ],
    ids=str,
)
def test_records_of_a_journal_that_are_none(tmp_path, change):
    genome = samples.make_genome()
    (content,) = samples.journal_files(tmp_path)
    lines = content.splitlines()
    record = json.loads(lines[1].partition(b" ")[2]) | change
    text = json.dumps(record).encode()
    path_of(tmp_path, 4).write_bytes(lines[0] + b"\n" + _hash(text) + b" " + text + b"\n")
    said = []
    journal = Journal(tmp_path, 4, [genome] * 4, say=said.append)
    assert journal.known(Place(Stream.LEARNING, 0), genome) is None
    assert len(said) == 1 or change == {"genome": None}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"status": "finished"}',
        '{"status": ["finished"], "champion": {}}',
        '{"status": "finished", "champion": []}',
        '{"status": "finished", "champion": {"test_accuracy": "high"}}',
        '{"status": "finished", "champion": {}, "generations": "x"}',
        "[" * 100_000,
        "\xff",
    ],
    ids=lambda text: text[:30],
)
def test_results_that_are_none(tmp_path, content):
    from topoevo.reporting.run_directory import RunDirectory
    from topoevo.reporting.run_result import read_result

    (tmp_path / "result.json").write_text(content, "latin1")
    with pytest.raises(CheckpointError, match=r"result\.json"):
        read_result(RunDirectory(tmp_path))


# -- memory -----------------------------------------------------------------------------------------------------

_BOMBS = """
import resource, sys
from pathlib import Path
import numpy as np
from topoevo.errors import TopoevoError
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.reporting.network_file import read_network
from topoevo.reporting.out_file import read_out
from topoevo.tasks.base import DataSettings, load_task
from topoevo.tasks.idx import parse_idx, read_content

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(float(sys.argv[2]) * 2**30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
folder = Path(sys.argv[1])
for name, read in {
    "values.json": read_network,
    "lines.out": read_out,
    "ragged.csv": lambda path: load_task(DataSettings(str(path))),
    "zeros.npz": lambda path: load_task(DataSettings(str(path))),
    "state.npz": Checkpoint.read,
    "images.gz": lambda path: parse_idx(read_content(path), path, item_shape=(28, 28)),
}.items():
    try:
        read(folder / name)
        print("value")
    except TopoevoError as error:
        print(f"{type(error).__name__}: {error}")
"""


def _write_bombs(folder, scale):
    """Files that want many times their size; `scale` is about how many hundred megabytes."""
    (folder / "values.json").write_bytes(b'{"graph":[' + b"[]," * int(9e6) + b"[]]}")
    (folder / "lines.out").write_bytes(b"\n1\n1" * int(5e5 * scale))
    (folder / "ragged.csv").write_bytes(b"a,b\n" + b"1\n" * int(1e5 * scale))
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': (20, {int(6e5 * scale)}), }}"
    target = "{'descr': '<f8', 'fortran_order': False, 'shape': (20,), }"
    entries = {"X": npy(header, bytes(8 * 20 * int(6e5 * scale))), "y": npy(target, bytes(160))}
    for name, first in (("zeros", "X"), ("state", "meta")):
        chosen = {first: entries["X"], "y": entries["y"]}
        zipped(folder / f"{name}.npz", chosen, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (1_000_000, 28, 28))
    (folder / "images.gz").write_bytes(gzip.compress(head + bytes(int(1e8 * scale)), 1))


def _explode(folder, *, scale, gigabytes):
    """What every reader says of its bomb, in a process with little memory."""
    _write_bombs(folder, scale)
    done = subprocess.run(
        [sys.executable, "-c", _BOMBS, str(folder), str(gigabytes)],
        capture_output=True,
        encoding="utf-8",
        env=user_environment(),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6 and "value" not in lines, lines
    return lines


def test_bombs_leave_the_reader_alive(tmp_path):
    lines = _explode(tmp_path, scale=0.5, gigabytes=0.5)
    for line, words in zip(
        lines,
        ("more than 8000000 values", "lines; a file", "the header has 2 cells", "columns", "unpacks to", "memory"),
        strict=True,
    ):
        assert words in line, lines


@pytest.mark.slow
def test_large_bombs_leave_the_reader_alive(tmp_path):
    _explode(tmp_path, scale=20, gigabytes=1.5)
