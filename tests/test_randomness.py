"""No global random state: every draw comes from a generator that somebody was given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([*(ROOT / "topoevo").rglob("*.py"), *ROOT.glob("run_*.py"), *(ROOT / "benchmarks").rglob("*.py")])

ALLOWED = "default_rng|Generator|SeedSequence|PCG64|BitGenerator|bit_generator"
FORBIDDEN = {
    "a draw from numpy's global state": rf"\b(?:np|numpy)\.random\.(?!(?:{ALLOWED})\b)\w+",
    "names out of numpy.random": rf"from numpy\.random import (?!(?:{ALLOWED})\b)",
    "numpy.random under another name": r"import numpy\.random|from numpy import random",
    "the module random": r"^\s*(?:import random\b|from random import)",
    "an unseeded generator": r"default_rng\(\s*(?:None\s*)?\)|SeedSequence\(\s*\)",
    "torch's global state": r"torch\.(?:manual_seed|rand)",
    "RandomState": r"\bRandomState\b",
    "a seed from the clock or the system": r"seed\w*\s*=\s*(?:int\()?(?:time\.|os\.urandom|secrets\.)",
}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = np.random.rand(3)", "a draw from numpy's global state"),
        ("np.random.seed(0)", "a draw from numpy's global state"),
        ("import random", "the module random"),
        ("    from random import choice", "the module random"),
        ("rng = np.random.default_rng()", "an unseeded generator"),
        ("from numpy.random import randint", "names out of numpy.random"),
    ],
)
def test_the_patterns_catch(text: str, what: str) -> None:
    assert re.search(FORBIDDEN[what], text, re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    ["rng: np.random.Generator", "np.random.default_rng(seed)", "np.random.SeedSequence(1)", "import randomness"],
)
def test_the_patterns_let_generators_pass(text: str) -> None:
    assert not any(re.search(pattern, text, re.MULTILINE) for pattern in FORBIDDEN.values())


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_global_random_state(file: Path) -> None:
    text = file.read_text()
    found = [f"{what}: {m.group()}" for what, p in FORBIDDEN.items() for m in re.finditer(p, text, re.MULTILINE)]
    assert not found
