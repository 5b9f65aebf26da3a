"""The readers of files from outside and what breaks files: programs of the folder benchmarks, as modules."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from typing import Any

from .conftest import REPOSITORY


def _benchmark(name: str) -> Any:
    """A program of the folder benchmarks, as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its siblings import it by this name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


samples = _benchmark("foreign_samples")
_benchmark("foreign_checks")
readers = _benchmark("foreign_readers")
breaking = _benchmark("breaking_files")
fuzzing = _benchmark("fuzz_readers")


def npy(header, content=b""):
    """An array of numpy with any header."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def zipped(path, entries, **options):
    """An archive of arrays."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return path
