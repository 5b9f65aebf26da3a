"""Registries find new files by themselves and answer unknown names with a suggestion."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass

import pytest

from topoevo.errors import TopoevoError, UnknownNameError
from topoevo.registry import Registry, option, option_problems


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return the name of a package whose module `late` registers itself in ``<package>.THINGS``."""
    folder = tmp_path / "found_by_itself"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from topoevo.registry import Registry\nTHINGS = Registry('thing', 'found_by_itself')\n"
    )
    (folder / "late.py").write_text(
        "from found_by_itself import THINGS\n\n\n@THINGS.register\nclass Late:\n    name = 'late'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "found_by_itself"
    for name in [name for name in sys.modules if name.startswith("found_by_itself")]:
        del sys.modules[name]


@pytest.mark.parametrize("look", [lambda r: r["late"], lambda r: "late" in r, len, lambda r: next(iter(r))])
def test_a_new_file_is_found_at_the_first_look(package, look) -> None:
    things = __import__(package).THINGS
    assert f"{package}.late" not in sys.modules
    assert look(things)
    assert f"{package}.late" in sys.modules


def test_unknown_names_are_answered_with_the_closest(package) -> None:
    things = __import__(package).THINGS
    with pytest.raises(
        UnknownNameError, match=r"unknown thing 'latte'; did you mean 'late'\? \(known: late\)"
    ) as caught:
        things["latte"]
    assert isinstance(caught.value, TopoevoError)
    assert things.get("late").name == "late"


def test_two_entries_cannot_share_a_name(package) -> None:
    things = __import__(package).THINGS
    other = type("Other", (), {"name": "late"})
    late = things["late"]
    things.register(late)
    with pytest.raises(ValueError, match="two entries are registered as thing 'late'"):
        things.register(other)
    assert things["late"] is late


def test_names_come_sorted(package) -> None:
    things: Registry = __import__(package).THINGS
    for name in ("zebra", "ape"):
        things.register(type(name, (), {"name": name}))
    assert list(things) == ["ape", "late", "zebra"]


def test_get_of_an_unknown_name_is_the_default(package) -> None:
    assert __import__(package).THINGS.get("nothing") is None


@dataclass(frozen=True)
class Options:
    """One option of each kind, and a field that is none."""

    size: int = option(3, "a size", ge=2, le=5)
    width: float = option(1.0, "a width", gt=0, lt=2)
    name: str = option("a", "a name")
    field: int = 0


@pytest.mark.parametrize("values", [{}, {"size": 2}, {"size": 5}, {"width": 1}, {"width": 1e-9}, {"field": -1}])
def test_options_within_their_bounds_are_no_problem(values) -> None:
    assert option_problems(Options(**values)) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 1}, ["size 1 is not allowed, must be at least 2"]),
        ({"size": 6, "width": 0}, ["size 6 is not allowed, must be at most 5", "width 0 .* above 0"]),
        ({"width": 2.0}, ["width 2.0 .* below 2"]),
        ({"size": 2.5}, ["size 2.5 .* whole number"]),
        ({"size": "3"}, ["size '3' .* whole number"]),
        ({"size": True}, ["size True .* whole number"]),
        ({"size": None}, ["size None .* whole number"]),
        ({"size": 10**400}, ["size 1000.* whole number"]),
        ({"width": math.nan}, ["width nan .* finite number"]),
        ({"width": -math.inf}, ["width -inf .* finite number"]),
        ({"width": 10**400}, ["width 1000.* finite number"]),
    ],
)
def test_options_out_of_their_bounds_are_told(values, words) -> None:
    found = option_problems(Options(**values))
    assert len(found) == len(words)
    for problem, pattern in zip(found, words, strict=True):
        assert re.search(pattern, problem)
