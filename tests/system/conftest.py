"""Run the programs as a user does: in a process of their own, in a folder of their own."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .lives import Nursery

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMS = REPOSITORY / "params" / "wlnn"
#: Evolution that knows nothing of learning; most tests of whole runs change it by flags.
BLIND = Path(__file__).with_name("digits-blind.yaml")
#: A run of seconds; any parameter file becomes one by these flags. 12 divide into the three islands of informed search.
TINY = ("--population_size", "12", "--tournament_size", "3", "--num_epochs", "1")


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    code: int
    out: str
    err: str

    @property
    def digests(self) -> list[str]:
        """Digests of the generations, in the order they were printed."""
        return [line.split("digest")[1].split()[0] for line in self.out.splitlines() if line.startswith("generation")]


class Programs:
    """Starts the programs of the repository in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def wlnn(self, *words: object, expect: int | None = 0, **environment: str) -> Finished:
        """Run ``run_wlnn.py``."""
        return self.python(REPOSITORY / "run_wlnn.py", *words, expect=expect, **environment)

    def topoevo(self, *words: object, expect: int | None = 0, **environment: str) -> Finished:
        """Run the command ``topoevo``."""
        return self.python("-m", "topoevo", *words, expect=expect, **environment)

    def python(self, *words: object, expect: int | None = 0, **environment: str) -> Finished:
        """Run Python with some words, and check the exit code unless None is expected."""
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.folder,
            env=user_environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        assert expect is None or done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Finished(done.returncode, done.stdout, done.stderr)


def user_environment(**changes: str) -> dict[str, str]:
    """Return the environment of a user who has this repository's package, wherever they are."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8", **changes}


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Return the programs, to be run in an empty folder."""
    return Programs(tmp_path)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Return a process that begins others, which has imported everything."""
    nursery = Nursery(user_environment())
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Finished]]:
    """Return ``shared_run(name, *words)``: folder and output of a run that several tests look at, made once."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base

    def run(name: str, *words: object) -> tuple[Path, Finished]:
        import fcntl

        folder = base / "shared-runs" / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            record = folder / "finished.json"
            if not record.exists():
                shutil.rmtree(folder / "run", ignore_errors=True)
                done = Programs(folder).wlnn(*words, "--out_dir", "run")
                record.write_text(json.dumps([done.code, done.out, done.err]))
            return folder / "run", Finished(*json.loads(record.read_text()))

    return run


def read_json(path: Path) -> Any:
    """Return the content of a JSON file that has no NaN or Infinity in it."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path} has {name}")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Return the rows of ``metrics.csv`` without what the clock decides."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: cell for name, cell in row.items() if not name.startswith("times_")} for row in rows]


def everything_below(folder: Path) -> dict[str, bytes | None]:
    """Return all files with their content, and all folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
