"""One setting: how it is declared, and what its declaration says in words.

Validation is pydantic's; the sentences of error messages, ``--help`` and the table of settings are made here from the
same declaration, so that they cannot disagree with it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AllowInfNan, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from topoevo.errors import did_you_mean
from topoevo.experiment.yaml_file import format_value, resolve_scalar

#: Groups of settings, in the order of ``--help``, of the saved parameter file and of the table.
GROUPS = ("evolution", "evaluation", "training", "architecture", "task", "computation", "output")

_BOUND_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_KIND_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_TECHNICAL_LIMIT = 10**6
_METAVARS = {int: "INT", float: "NUMBER", bool: "true|false", str: "TEXT"}


@dataclass(frozen=True)
class Names:
    """Constraint on text or a list of texts: every one is a known name.

    Parameters
    ----------
    known
        Returns the names; asked when a value is checked, not when the setting is declared.
    accepts
        Returns whether a text is legal; without it, the known names are the only legal ones.
    """

    known: Callable[[], Iterable[str]]
    accepts: Callable[[str], bool] | None = None

    def is_legal(self, name: str) -> bool:
        """Return whether a text may be given."""
        return self.accepts(name) if self.accepts is not None else name in tuple(self.known())

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Check the names after pydantic has checked the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        """The value, if all names in it are legal."""
        items = value if isinstance(value, tuple) else (value,)
        if not items:
            raise PydanticCustomError("empty_list", "the list is empty")
        for item in items:
            if item is not None and not self.is_legal(item):
                # Half of a surrogate pair, which YAML can say, would break the rendering of the error.
                received = item.encode(errors="backslashreplace").decode() if isinstance(item, str) else item
                raise PydanticCustomError("unknown_name", "unknown name", {"received": received})
        return value


def setting(default: Any, help: str, *, group: str, **constraints: Any) -> Any:
    """Declare a setting; the default value of a pydantic field.

    Parameters
    ----------
    default
        Value where the user gives none.
    help
        One line for ``--help`` and the table of settings.
    group
        One of `GROUPS`.
    **constraints
        Of `pydantic.Field`, for example the limits ``ge``, ``gt``, ``le``, ``lt`` of a number.
    """
    assert group in GROUPS, group
    return Field(default, description=help, json_schema_extra={"group": group}, **constraints)


@dataclass(frozen=True)
class Setting:
    """A declared setting, as messages, flags and tables need it.

    Parameters
    ----------
    name
        Key of the parameter file and name of the flag.
    group
        One of `GROUPS`.
    default
        Value where the user gives none.
    help
        One line.
    base
        int, float, bool or str: the type of the value, or of the items of a list.
    is_list, is_optional
        Whether several values, and whether null may be given.
    names
        Names that are legal or offered, or None if there is no such list.
    bounds
        Limits of a number by ``ge``, ``gt``, ``le``, ``lt``.
    can_be_infinite
        Whether infinity is a legal number.
    """

    name: str
    group: str
    default: Any
    help: str
    base: type
    is_list: bool
    is_optional: bool
    names: tuple[str, ...] | None
    bounds: dict[str, float]
    can_be_infinite: bool = False

    @classmethod
    def from_field(cls, name: str, field: FieldInfo, default: Any) -> Setting:
        """Read the declaration of one pydantic field."""
        annotation, is_optional = _without_none(field.annotation)
        origin = get_origin(annotation)
        names = next((tuple(part.known()) for part in field.metadata if isinstance(part, Names)), None)
        if origin is Literal:
            names, base = get_args(annotation), str
        else:
            base = get_args(annotation)[0] if origin is tuple else annotation
        extra = field.json_schema_extra
        assert isinstance(extra, dict) and base in _KIND_WORDS, f"{name} is not declared as a setting"
        bounds = {key: getattr(part, key) for key in _BOUND_WORDS for part in field.metadata if hasattr(part, key)}
        return cls(
            name=name,
            group=str(extra["group"]),
            default=default,
            help=field.description or "",
            base=base,
            is_list=origin is tuple,
            is_optional=is_optional,
            names=names,
            bounds=bounds,
            can_be_infinite=any(isinstance(part, AllowInfNan) and part.allow_inf_nan for part in field.metadata),
        )

    @property
    def is_free_text(self) -> bool:
        """Whether any text may be given, for example a path."""
        return self.base is str and self.names is None

    @property
    def range(self) -> str:
        """The limits in words, for example ``at least 0 and below 1``, or an empty string.

        A limit of a million or more is there for mistyped numbers alone and not worth a word.
        """
        if self.bounds.get("le", 0) >= _TECHNICAL_LIMIT:
            return f"at least {_number(self.bounds['ge'])}"
        if "ge" in self.bounds and "le" in self.bounds:
            return f"from {_number(self.bounds['ge'])} to {_number(self.bounds['le'])}"
        return " and ".join(f"{_BOUND_WORDS[key]} {_number(limit)}" for key, limit in self.bounds.items())

    @property
    def requirement(self) -> str:
        """What a legal value is, for example ``a whole number, at least 2``."""
        if self.names is not None:
            words = f"{'one or more' if self.is_list else 'one'} of {', '.join(self.names)}"
        else:
            words = _KIND_WORDS[self.base] + (f", {self.range}" if self.range else "")
        return words + (", or null" if self.is_optional else "")

    @property
    def metavar(self) -> str:
        """Placeholder of the value in ``--help``."""
        if self.names is not None and not self.is_list and len(self.names) <= 6:
            return "{" + ",".join(self.names) + "}"
        return "NAME" if self.names is not None else _METAVARS[self.base]

    def problem(self, error: Any) -> str:
        """Return the sentence for one of pydantic's errors: value received, what is allowed, closest match."""
        kind, value = error["type"], error["input"]
        if kind == "unknown_name":
            value = error["ctx"]["received"]
        if kind == "empty_list" or value == "":
            return f"an empty {'list' if self.is_list else 'text'} is not allowed, must be {self.requirement}"
        if kind == "less_than_equal" and self.bounds["le"] >= _TECHNICAL_LIMIT:
            return f"{shown(value)} is not allowed, must be at most {self.bounds['le']}"
        if kind in ("greater_than_equal", "greater_than", "less_than_equal", "less_than"):
            return f"{shown(value)} is not allowed, must be {self.range}"
        return f"{shown(value)} is not allowed, must be {self.requirement}{self._hint(value)}"

    def _hint(self, value: object) -> str:
        """Guess what was meant by a value of the wrong type or an unknown name."""
        if isinstance(value, (list, tuple)) and not self.is_list:
            return "; it is a single value, not a list"
        if isinstance(value, float) and self.base is int and value.is_integer():
            return f"; write {int(value)}" if abs(value) < 1e16 else ""
        if not isinstance(value, str):
            return "; put it in quotes if it is text" if self.is_free_text and value is not None else ""
        if self.is_optional and value.lower() == "none":
            return "; write null"
        if self.names is not None:
            return did_you_mean(value, self.names)
        if self.base is bool and value.lower() in ("yes", "on", "y", "no", "off", "n"):
            return f"; write {'true' if value.lower() in ('yes', 'on', 'y') else 'false'}"
        if self.can_be_infinite and value.lower() in ("inf", "infinity"):
            return "; write .inf"
        if self.base is not str and not isinstance(resolve_scalar(value), str):
            return "; remove the quotes"
        return ""


def shown(value: object) -> str:
    """Return a value as a message shows it: text in quotes, everything else as in a parameter file, not too long."""
    text = repr(value) if isinstance(value, str) else format_value(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return the type without None, and whether None was allowed."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    parts = [part for part in get_args(annotation) if part is not types.NoneType]
    assert len(parts) == 1, f"a setting has one type, and may be null: {annotation}"
    # Constraints within a union stay in its parts.
    return (get_args(parts[0])[0] if get_origin(parts[0]) is Annotated else parts[0]), True


def _number(limit: float) -> str:
    """A limit as it is written in a sentence."""
    return str(int(limit)) if float(limit).is_integer() else format_value(limit)
