"""The readers of files from outside and what breaks files: programs of the folder benchmarks, as modules."""

from __future__ import annotations

import importlib.util
import sys
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


checks = _benchmark("foreign_checks")
readers = _benchmark("foreign_readers")
breaking = _benchmark("breaking_files")
fuzzing = _benchmark("fuzz_readers")
