"""Registries find new files by themselves and answer unknown names with a suggestion."""

from __future__ import annotations

import sys

import pytest

from topoevo.errors import TopoevoError, UnknownNameError
from topoevo.registry import Registry


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
