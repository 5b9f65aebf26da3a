"""A disk that is full, read-only or fails, and folders that vanish: nothing saved is lost, and the user is told."""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from topoevo.cli import main
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.reporting.files import FilesObserver

from .conftest import BLIND, PARAMS, read_json, read_metrics, user_environment

TINY = ("wlnn", str(BLIND), "--population_size", "6", "--tournament_size", "2")
TINY += ("--num_epochs", "1", "--num_samples", "100", "--num_generations", "3", "--num_workers", "1")
TINY += ("--save_networks_every", "2", "--checkpoint_every", "1", "--out_dir")
TRAINING = ("wlnn", str(PARAMS / "no-evolution" / "digits-mlp.yaml"), "--hidden_layers", "4", "--num_epochs", "3")
TRAINING += ("--out_dir",)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch, tmp_path):
    """Pictures take long, and a run goes on without."""
    monkeypatch.setattr("topoevo.reporting.pictures.draw_champion", lambda *_: None)
    monkeypatch.chdir(tmp_path)


def outcome_of(run: Path):
    """All that has to be the same for two runs with the same settings."""
    result = read_json(run / "result.json")
    return {**result, "seconds": 0}, read_metrics(run / "metrics.csv"), read_json(run / "champion.json")


@pytest.fixture
def whole(tmp_path):
    """What a run leaves that nobody disturbs."""
    assert main([*TINY, "undisturbed"]) == 0
    return outcome_of(tmp_path / "undisturbed")


def partial_files(run: Path):
    return [path for path in run.rglob(".*") if path.name != ".lock"]


class Faults:
    """Lets calls that write below a folder fail, as a disk does; counts them in any case."""

    def __init__(self, monkeypatch, folder: Path, *, first=10**9, last=10**9, number=errno.ENOSPC):
        self.count, self.first, self.last, self.number = 0, first, last, number
        self.folder, self.names = folder, []
        opened = io.open

        def checked_open(file, mode="r", *words, **options):
            if any(letter in mode for letter in "wax+") and isinstance(file, str | Path):
                self.meet(f"open {Path(file).name}", file)
            return opened(file, mode, *words, **options)

        monkeypatch.setattr(io, "open", checked_open)
        monkeypatch.setattr(builtins, "open", checked_open)
        for name in ("replace", "mkdir", "fsync"):
            monkeypatch.setattr(os, name, self.checked(name, getattr(os, name)))

    def checked(self, name, call):
        def checked_call(place, *words, **options):
            if name == "fsync":
                place_of = f"/proc/self/fd/{place}"
                self.meet(name, os.readlink(place_of) if os.path.exists(place_of) else self.folder)
            elif name == "replace" or not os.path.isdir(place):
                self.meet(f"{name} {Path(place).name}", place)
            return call(place, *words, **options)

        return checked_call

    def meet(self, name, place):
        if not Path(place).absolute().is_relative_to(self.folder):
            return
        self.count += 1
        self.names.append(name)
        if self.first <= self.count <= self.last:
            raise OSError(self.number, os.strerror(self.number), str(place))


def num_calls(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, tmp_path / "counted")
        assert main([*TINY, "counted"]) == 0
    assert {name.partition(" ")[0] for name in faults.names} == {"open", "replace", "mkdir", "fsync"}
    assert "open metrics.csv" in faults.names
    return faults.count


def check_fault(tmp_path, capsys, whole, *, first, last=10**9, number=errno.ENOSPC):
    """One run whose calls from `first` to `last` fail, and its resume; return whether it was stopped."""
    run = tmp_path / f"run-{first}-{last}"
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, run, first=first, last=last, number=number)
        capsys.readouterr()
        code = main([*TINY, run.name])
    said = capsys.readouterr()
    what = f"call {first}: {faults.names[first - 1]}\n{said.out}\n{said.err}"
    assert faults.count >= first
    assert "Traceback" not in said.out + said.err and code in (0, 2), what
    states = sorted((run / "checkpoint").glob("*.npz"))
    if code == 2:
        assert said.err.count("\n") == 1 and os.strerror(number) in said.err, what
    if code == 2 and not said.err.startswith("error: out_dir: "):
        assert not states or Checkpoint.read_last(run / "checkpoint").population.members
        assert ", then go on: " in said.err and f"topoevo resume {run.name}" in said.err, what
        assert main(["resume", run.name]) == 0, what
    elif code == 2:
        assert not states, what
        assert main([*TINY, run.name, "--overwrite_output"]) == 0, what
    else:
        assert "warning: " in said.out or "no picture" in said.out, what
    result, metrics, champion = outcome_of(run)
    assert (result, metrics, champion) == whole, what
    assert partial_files(run) == [], what
    shutil.rmtree(run)
    return code == 2


def test_any_write_may_fail(tmp_path, capsys, whole):
    count = num_calls(tmp_path)
    assert count > 40
    for first in range(2, count, count // 4):
        check_fault(tmp_path, capsys, whole, first=first)


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("lasting", [False, True])
def test_every_write_may_fail(tmp_path, capsys, whole, lasting, number):
    stopped = [
        check_fault(tmp_path, capsys, whole, first=first, last=10**9 if lasting else first, number=number)
        for first in range(1, num_calls(tmp_path) + 1)
    ]
    assert any(stopped)


def test_a_training_whose_disk_fails_goes_on_where_it_was(tmp_path, capsys):
    assert main([*TRAINING, "undisturbed"]) == 0
    whole = outcome_of(tmp_path / "undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, tmp_path / "run")
        patch.setattr(faults, "meet", lambda name, place: refuse() if "epoch-000002" in str(place) else None)
        assert main([*TRAINING, "run"]) == 2
    assert "epoch-000002.npz cannot be written: No space left on device; free some space, then go on: " in (
        capsys.readouterr().err
    )
    assert read_json(tmp_path / "run" / "result.json")["status"] == "failed"
    assert main(["resume", "run"]) == 0
    assert outcome_of(tmp_path / "run") == whole


def refuse():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def small_disk(tmp_path):
    """Return ``small_disk(free)``: a file system with so many bytes left; a file ``ballast`` takes the rest."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("mounting a file system is not allowed here")

    def shrink(free):
        space = os.statvfs(folder)
        with (folder / "ballast").open("wb") as ballast:
            ballast.write(bytes(space.f_bavail * space.f_frsize - free))
        return folder

    yield shrink
    subprocess.run(["umount", "-l", str(folder)], check=True)


def check_full_disk(small_disk, whole, free):
    folder = small_disk(free)
    code = main([*TINY, str(folder / "run")])
    (folder / "ballast").unlink()
    if code == 0:
        assert read_json(folder / "run" / "result.json")["status"] == "finished"
    elif (folder / "run" / "environment.json").exists():
        assert main(["resume", str(folder / "run")]) == 0
        assert outcome_of(folder / "run") == whole
        assert partial_files(folder / "run") == []
    shutil.rmtree(folder / "run")
    return code


def test_a_full_disk_stops_a_run_that_goes_on_when_there_is_space(small_disk, whole, capsys):
    assert check_full_disk(small_disk, whole, 88_000) == 2
    said = capsys.readouterr()
    assert "No space left on device; free some space, then go on: " in said.err
    assert "warning: this run may write up to" in said.out and "are free in" in said.out


@pytest.mark.slow
def test_a_disk_of_any_size(small_disk, whole):
    codes = [check_full_disk(small_disk, whole, free) for free in range(4_000, 1_000_000, 20_000)]
    assert set(codes) == {0, 2} and codes[0] == 2 and codes[-1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [500, 3000, 8000, 12_000, 20_000])
def test_a_limit_on_the_size_of_files(tmp_path, whole, size):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [sys.executable, "-m", "topoevo", *TINY, "run"]
    done = subprocess.run(
        command, cwd=tmp_path, env=user_environment(), preexec_fn=limit, capture_output=True, text=True, timeout=120
    )
    assert done.returncode in (0, 2) and "Traceback" not in done.stdout + done.stderr, done.stderr
    if done.returncode == 0:
        assert outcome_of(tmp_path / "run") == whole
    elif (tmp_path / "run" / "environment.json").exists():
        assert "File too large; allow larger files, then go on" in done.stderr
        assert main(["resume", "run"]) == 0
        assert outcome_of(tmp_path / "run") == whole


def during_generation(monkeypatch, generation, action):
    """Do something once, when a generation is finished and before anything is written about it."""
    on_generation = FilesObserver.on_generation

    def changed(self, record):
        if record.generation == generation:
            action()
        on_generation(self, record)

    monkeypatch.setattr(FilesObserver, "on_generation", changed)


def test_a_run_directory_that_is_deleted_stops_the_run_and_stays_deleted(tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        during_generation(patch, 1, lambda: shutil.rmtree(tmp_path / "run"))
        assert main([*TINY, "run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: run cannot be written: the folder was deleted, moved or replaced; if it was moved")
    assert not (tmp_path / "run").exists()


def test_a_run_directory_that_is_moved_goes_on_under_its_new_name(tmp_path, whole, capsys):
    with pytest.MonkeyPatch.context() as patch:
        during_generation(patch, 1, lambda: (tmp_path / "run").rename(tmp_path / "moved"))
        assert main([*TINY, "run"]) == 2
    assert not (tmp_path / "run").exists()
    assert main(["resume", "moved"]) == 0
    assert outcome_of(tmp_path / "moved") == whole
    # After the run, too.
    (tmp_path / "moved").rename(tmp_path / "again")
    assert main(["resume", "again", "--num_generations", "4"]) == 0
    assert len(read_metrics(tmp_path / "again" / "metrics.csv")) == 4


def test_nothing_is_written_into_the_folder_that_stands_in_place_of_the_run(tmp_path, whole, capsys):
    before = {}

    def replace():
        (tmp_path / "run").rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "undisturbed", tmp_path / "run")
        before.update(content(tmp_path / "run"))

    def content(folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with pytest.MonkeyPatch.context() as patch:
        during_generation(patch, 1, replace)
        assert main([*TINY, "run", "--checkpoint_every", "2"]) == 2
    assert "the folder was deleted, moved or replaced" in capsys.readouterr().err
    assert content(tmp_path / "run") == before
    assert main(["resume", "moved"]) == 0
    assert outcome_of(tmp_path / "moved") == whole


def test_an_end_that_could_not_be_written_is_repeated(tmp_path, whole, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("topoevo.reporting.result_file.write_json", lambda *_, **__: refuse())
        assert main([*TINY, "run"]) == 2
    assert "result.json cannot be written: No space left on device" in capsys.readouterr().err
    assert main(["resume", "run"]) == 0
    assert outcome_of(tmp_path / "run") == whole
    assert main(["resume", "run"]) == 2
    assert "run has finished its 3 generations; add --num_generations 6 to go on" in capsys.readouterr().err


def test_a_damaged_checkpoint_falls_back_and_the_user_hears_of_it(tmp_path, whole, capsys):
    assert main([*TINY, "run", "--num_generations", "2", "--keep_checkpoints", "3"]) == 0
    states = sorted((tmp_path / "run" / "checkpoint").glob("*.npz"))
    assert [path.stem for path in states] == [f"generation-{number:06d}" for number in range(3)]
    states[-1].write_bytes(states[-1].read_bytes()[:-1000])
    capsys.readouterr()
    assert main(["resume", "run", "--num_generations", "3"]) == 0
    warning = "warning: the checkpoint generation-000002.npz: is "
    said, log = capsys.readouterr().out, (tmp_path / "run" / "run.log").read_text()
    for words in (said, log):
        (line,) = (line for line in words.splitlines() if line.startswith(warning))
        assert line.endswith("; going on from generation-000001.npz")
    assert "from generation 1 on" in said
    assert outcome_of(tmp_path / "run") == whole
    names = [path.stem for path in sorted((tmp_path / "run" / "checkpoint").glob("*.npz"))]
    assert names == [f"generation-{number:06d}" for number in range(1, 4)]


@pytest.mark.parametrize("command", ["wlnn", "resume", "control"])
def test_a_second_process_is_refused_with_the_number_of_the_first(tmp_path, capsys, command):
    assert main([*TINY, "run"]) == 0
    code = (
        "from topoevo.reporting import RunDirectory\n"
        "run = RunDirectory.open('run').locked()\nprint('locked', flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=user_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout.readline() == "locked\n"
        before = read_json(tmp_path / "run" / "result.json")
        words = {"wlnn": [*TINY, "run", "--overwrite_output"], "resume": ["resume", "run", "--num_generations", "4"]}
        capsys.readouterr()
        assert main(words.get(command, ["control", "run"])) == 2
        assert f"another process is writing to run (process {first.pid} on " in capsys.readouterr().err
        assert read_json(tmp_path / "run" / "result.json") == before
        first.kill()
        first.wait()
    # A process that has died holds nothing, whatever the file says.
    assert str(first.pid) in (tmp_path / "run" / ".lock").read_text()
    assert main(words["resume"]) == 0
    assert (tmp_path / "run" / ".lock").read_text() == ""
