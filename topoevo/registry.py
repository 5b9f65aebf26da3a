"""Names that can be written into a parameter file, and what they stand for.

A registry belongs to one package. Looking into it imports every module of that package, so a new file there
is found without being listed anywhere.
"""

from __future__ import annotations

import dataclasses
import importlib
import operator
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, Protocol, TypeVar

from topoevo.errors import UnknownNameError


class _Named(Protocol):
    """What a registry holds."""

    name: str


T = TypeVar("T", bound=_Named)

#: Bounds of an `option`: how a value is compared with them, and their words.
_BOUNDS: Mapping[str, tuple[Callable[[Any, Any], bool], str]] = {
    "ge": (operator.ge, "at least"),
    "gt": (operator.gt, "above"),
    "le": (operator.le, "at most"),
    "lt": (operator.lt, "below"),
}
_WORDS = {int: "whole number", float: "finite number"}
#: No option is as large, and compiled code has no room for whole numbers that are.
_HUGE = 2**63


class Registry(Mapping[str, T]):
    """Map names to classes or objects that registered themselves in the modules of one package.

    Parameters
    ----------
    kind
        What the entries are, in the words of an error message, for example ``"learning rule"``.
    package
        Dotted name of the package whose modules are searched.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._discovered = False

    def register(self, entry: T) -> T:
        """Add `entry` under its attribute ``name``; usable as a decorator.

        Raises
        ------
        ValueError
            If another entry has the same name.
        """
        if entry.name in self._entries and self._entries[entry.name] is not entry:
            raise ValueError(f"two entries are registered as {self.kind} {entry.name!r}")
        self._entries[entry.name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        self._discover()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def get(self, name: str, default: Any = None) -> Any:
        """Return the entry `name`, or `default` if there is none."""
        # Mapping.get would wait for a KeyError.
        self._discover()
        return self._entries.get(name, default)

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._discover()
        return len(self._entries)

    def _discover(self) -> None:
        """Import every module of the package once."""
        if self._discovered:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        self._discovered = True


def option(default: Any, help: str, **bounds: float) -> Any:
    """Declare a dataclass field that users may set.

    A field whose name is a setting of `topoevo.experiment.params` takes the value of that setting; any other
    field of an entry named ``n`` becomes the setting ``n_<field>``.

    Parameters
    ----------
    default
        Value where the user gives none.
    help
        One line for ``--help`` and the table of settings.
    **bounds
        Limits of a number: ``ge``, ``gt``, ``le``, ``lt``.
    """
    return dataclasses.field(default=default, metadata={"help": help, **bounds})


def option_problems(entry: Any) -> list[str]:
    """Return what is wrong with the numbers in the `option` fields of an instance, a line for each.

    The settings of users are checked before an instance is made of them; this is for what comes from elsewhere.

    Parameters
    ----------
    entry
        Instance of a dataclass.
    """
    problems = []
    for field in dataclasses.fields(entry):
        if "help" not in field.metadata or isinstance(field.default, bool):
            continue
        value = getattr(entry, field.name)
        kind = {int: Integral, float: Real}.get(type(field.default))
        if kind is None:
            continue
        fits: bool = isinstance(value, kind) and not isinstance(value, bool)
        if not fits or not -_HUGE < value < _HUGE:
            problems.append(f"{field.name} {value!r} is not allowed, must be a {_WORDS[type(field.default)]}")
            continue
        problems += [
            f"{field.name} {value} is not allowed, must be {words} {field.metadata[name]}"
            for name, (holds, words) in _BOUNDS.items()
            if name in field.metadata and not holds(value, field.metadata[name])
        ]
    return problems
