"""Feed broken files to every reader of files from outside, guided by the lines of code that they reach.

    python benchmarks/fuzz_readers.py --inputs 100000 --seed 0
    python benchmarks/fuzz_readers.py --reader network --inputs 20000 --engine atheris

Real files are truncated, flipped, spliced, repeated, and get odd numbers and words; what reaches code that was not
reached before is kept and broken further. A reader must return a correct value or raise `TopoevoError`
(`foreign_readers.py`), within seconds and a bounded memory. Every reader has a process of its own; whatever else it
does is written to a folder, with the file that has caused it. The engine ``atheris`` (a package to install) is faster
and compares operands; the own one needs nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NoReturn

import numpy as np
from breaking_files import MAX_BYTES, broken, pick

#: Code that is watched: parts of paths.
_WATCHED = (
    "/topoevo/", "/zipfile", "/gzip.py", "/csv.py", "/json/", "/yaml/", "/numpy/lib/_format", "/numpy/lib/format",
)  # fmt: skip
#: The same for atheris, in modules.
_INSTRUMENTED = (
    "topoevo.foreign_files", "topoevo.reporting", "topoevo.experiment", "topoevo.commands", "topoevo.trained_network",
    "topoevo.genome.validation", "topoevo.tasks.csv_file", "topoevo.tasks.npz_file", "topoevo.tasks.idx",
    "topoevo.tasks.table", "topoevo.tasks.targets", "topoevo.tasks.cache", "gzip", "zipfile", "yaml", "numpy.lib",
)  # fmt: skip
_COMPILED = (
    "topoevo.genome.compiled_graph", "topoevo.kernels.compiled", "topoevo.kernels.shared_weights",
    "topoevo.rollouts.simulating", "topoevo.tasks.environments.snake", "topoevo.tasks.environments.cartpole_swingup",
)  # fmt: skip
_SECONDS_EACH, _SECONDS_TO_COMPILE = 20, 600
#: Address space beyond that of the program.
_MORE_BYTES = 3 * 2**29
# -- one reader -------------------------------------------------------------------------------------------------


class Coverage:
    """Pairs of lines that were run one after the other in the code that is watched."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int, int]] = set()
        self._new = False
        self._is_watched: dict[CodeType, bool] = {}

    def run(self, function: Callable[[bytes], Any], content: bytes) -> bool:
        """Call a function, and return whether it went where nobody has been."""
        self._new = False
        sys.settrace(self._enter)
        try:
            function(content)
        finally:
            sys.settrace(None)
        return self._new

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Watch the lines of a function, or not."""
        code = frame.f_code
        watched = self._is_watched.get(code)
        if watched is None:
            watched = self._is_watched[code] = any(part in code.co_filename for part in _WATCHED)
        if not watched:
            return None
        previous = code.co_firstlineno

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal previous
            edge = (code, previous, frame.f_lineno)
            if edge not in self.seen:
                self.seen.add(edge)
                self._new = True
            previous = frame.f_lineno
            return line

        return line


class Findings:
    """Whatever a reader must not do, each kind once."""

    def __init__(self, folder: Path, reader: str) -> None:
        self._folder, self._reader = folder, reader
        self.kinds: dict[str, str] = {}

    def add(self, error: BaseException, content: bytes) -> None:
        """Keep the file that has caused an error, unless that is known."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/topoevo/" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "check"
        kind = f"{type(error).__name__} at {place}"
        if kind not in self.kinds:
            self.kinds[kind] = str(error)[:200]
            self._folder.mkdir(parents=True, exist_ok=True)
            stem = f"{self._reader}-{len(self.kinds)}"
            (self._folder / stem).write_bytes(content)
            (self._folder / f"{stem}.txt").write_text("".join(traceback.format_exception(error)), "utf-8", "replace")


class Trial:
    """One reader and its real files; every broken file goes through `run`.

    Parameters
    ----------
    name
        Of `foreign_readers.READERS`.
    folder
        Empty, for the files.
    out
        Folder for findings.
    more_bytes
        Address space that the process may take beyond what it has once the real files are read; None: any.
    """

    def __init__(self, name: str, folder: Path, out: Path, more_bytes: int | None) -> None:
        from foreign_readers import READERS, check

        self._reader, self._check, self._findings = READERS[name], check, Findings(out, name)
        self._path = _made((folder / "file" / self._reader.path).parent) / Path(self._reader.path).name
        self.real = self._reader.make(_made(folder / "real"))
        self.reached: dict[str, int] = {}
        self.count = self._accepted = 0
        signal.signal(signal.SIGALRM, _hang)
        self._seconds = _SECONDS_TO_COMPILE
        # What is loaded and compiled at first use is no memory of a file.
        for content in self.real:
            self.run(content)
        self._seconds = _SECONDS_EACH
        self._memory, self._started = _peak(), time.perf_counter()
        self.count = self._accepted = 0
        if more_bytes is not None:
            limit = more_bytes + _virtual_bytes()
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def run(self, content: bytes) -> None:
        """Read one file."""
        self._path.write_bytes(content)
        self.count += 1
        signal.alarm(self._seconds)
        try:
            self._accepted += self._check(self._reader, self._path)
        except (Exception, SystemExit) as error:
            self._findings.add(error, content)
        finally:
            signal.alarm(0)

    def report(self) -> dict[str, Any]:
        """Return what was found, as JSON values."""
        return {
            "reader": self._reader.name,
            "inputs": self.count,
            "accepted": self._accepted,
            **self.reached,
            "findings": self._findings.kinds,
            "seconds": round(time.perf_counter() - self._started, 1),
            "more_mib": round((_peak() - self._memory) / 2**20, 1),
        }


def with_own_coverage(
    name: str, *, inputs: int, seed: int, folder: Path, out: Path, more_bytes: int | None = None
) -> dict[str, Any]:
    """Break files at random, keep those that reach new code, and return what was found.

    Parameters
    ----------
    name
        Of a reader.
    inputs, seed
        How many files, and what decides which.
    folder, out, more_bytes
        See `Trial`.
    """
    trial, coverage, rng = Trial(name, folder, out, more_bytes), Coverage(), np.random.default_rng(seed)
    corpus = list(trial.real)
    for content in trial.real:
        coverage.run(trial.run, content)
    first = len(coverage.seen)
    while trial.count < inputs:
        content = broken(pick(rng, corpus), corpus, rng)
        if coverage.run(trial.run, content):
            corpus.append(content)
    trial.reached = {"edges_of_real_files": first, "edges": len(coverage.seen), "corpus": len(corpus)}
    return trial.report()


def with_atheris(name: str, *, inputs: int, seed: int, folder: Path, out: Path, more_bytes: int | None) -> NoReturn:
    """Let libFuzzer choose, print what was found, and end the process; most files are broken in our ways.

    Parameters
    ----------
    name, inputs, seed, folder, out, more_bytes
        See `with_own_coverage`.
    """
    import atheris

    # What numba compiles must stay as it is, and so must be there before.
    for compiled in _COMPILED:
        importlib.import_module(compiled)
    # Before the readers are imported: their code is rewritten so that it tells where it goes.
    with atheris.instrument_imports(include=list(_INSTRUMENTED)):
        trial = Trial(name, folder, out, more_bytes)
    corpus = _made(folder / "corpus")
    for number, content in enumerate(trial.real):
        (corpus / f"real-{number}").write_bytes(content)

    def one(content: bytes) -> None:
        trial.run(content)
        # libFuzzer leaves without coming back.
        if trial.count >= inputs:
            trial.reached = {"corpus": sum(1 for _ in corpus.iterdir())}
            print(json.dumps(trial.report()), flush=True)
            os._exit(0)

    def mutate(content: bytes, max_size: int, seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        if rng.random() < 0.3:
            return bytes(atheris.Mutate(content, max_size))
        return broken(content, trial.real, rng)[:max_size]

    words = [f"-seed={seed + 1}", f"-max_len={MAX_BYTES}", "-rss_limit_mb=0", "-timeout=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *words, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()
    raise AssertionError("libFuzzer has come back")


def _made(folder: Path) -> Path:
    """A folder that exists."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _hang(number: int, frame: FrameType | None) -> None:
    """Interrupt a reader that takes too long."""
    raise AssertionError(f"takes longer than {_SECONDS_EACH} s")


def _peak() -> int:
    """Bytes that the process had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _virtual_bytes() -> int:
    """Bytes of address space that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


# -- all readers ------------------------------------------------------------------------------------------------


def main() -> None:
    """Fuzz and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="files in all")
    parser.add_argument("--reader", help="one reader instead of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("own", "atheris"), default="own")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="folder for files that break a reader")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if given.reader is not None:
        with tempfile.TemporaryDirectory() as folder:
            function = with_own_coverage if given.engine == "own" else with_atheris
            row = function(
                given.reader,
                inputs=given.inputs,
                seed=given.seed,
                folder=Path(folder),
                out=given.out,
                more_bytes=_MORE_BYTES,
            )
        print(json.dumps(row))
        return
    from foreign_readers import READERS

    rows = []
    for name in READERS:
        words = ["--reader", name, "--inputs", str(-(-given.inputs // len(READERS))), "--seed", str(given.seed)]
        words += ["--engine", given.engine, "--out", str(given.out)]
        done = subprocess.run([sys.executable, __file__, *words], capture_output=True)
        try:
            row = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            words = done.stderr.decode(errors="replace")[-2000:]
            row = {"reader": name, "inputs": 0, "accepted": 0, "findings": {f"exit code {done.returncode}": words}}
        rows.append(row)
        if not given.json:
            facts = {key: value for key, value in row.items() if key not in ("reader", "findings")}
            print(f"{name:<26}" + "  ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
            for kind, message in row["findings"].items():
                print(f"    {kind}: {message}", flush=True)
    total = sum(row["inputs"] for row in rows)
    found = sum(len(row["findings"]) for row in rows)
    print(json.dumps(rows) if given.json else f"{total} inputs, {found} findings")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
