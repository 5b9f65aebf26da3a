"""Flat YAML files, read strictly and with line numbers.

A parameter file is one mapping from names to values or lists of values. Plain scalars mean what the core schema of
YAML 1.2 says: ``1e-3`` is a number, ``yes``, ``no``, ``on`` and ``off`` are text. Everything a flat file does not need
(nesting, anchors, aliases, tags, several documents) is refused, as are duplicate keys. The reader follows the
parser's events and builds nothing else, so a hostile file costs no more than its length.

References
----------
YAML 1.2.2, section 10.3.2 (tag resolution of the core schema), https://yaml.org/spec/1.2.2/#1032-tag-resolution
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from topoevo.errors import ParamsError, did_you_mean
from topoevo.foreign_files import plain, shown

Scalar = str | int | float | bool | None

#: Longest parameter file that is read, in bytes.
MAX_BYTES = 100_000

# Nested values are passed over to find all problems at once; the parser takes quadratic time for deep ones.
_MAX_DEPTH = 20

# Longer digit strings are no setting of anybody's, and Python refuses to convert them above 4300 digits.
_MAX_DIGITS = 1000

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
# What may stand without quotes: a subset of YAML's plain scalars that no reader takes for anything but text.
_SAFE_TEXT = re.compile(r"[A-Za-z/._][A-Za-z0-9/._+-]*")
_WORDS_OF_OLD_YAML = frozenset({"y", "n", "yes", "no", "on", "off"})


@dataclass(frozen=True)
class Entry:
    """One value of a parameter file.

    Parameters
    ----------
    value
        The scalar, or the scalars of a list.
    line
        Line of the key, counted from 1.
    text
        A plain scalar as it was written; None for quoted text and for lists.
    """

    value: Scalar | list[Scalar]
    line: int
    text: str | None = None


@dataclass(frozen=True)
class YamlFile:
    """The readable part of a parameter file, and what is wrong with the rest.

    Parameters
    ----------
    path
        As the user wrote it; messages cite it.
    entries
        Values by key.
    problems
        Line and sentence of each, in the order of the file.
    """

    path: str
    entries: dict[str, Entry]
    problems: list[tuple[int, str]]


def resolve_scalar(text: str) -> Scalar:
    """Return what an unquoted scalar stands for in the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if len(text) <= _MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _HEXADECIMAL.fullmatch(text):
            return int(text[2:], 16)
        if _FLOAT.fullmatch(text):
            return float(text)
    if match := _INFINITY.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    return math.nan if _NAN.fullmatch(text) else text


def format_value(value: object) -> str:
    """Return one line of YAML that reads back equal.

    Parameters
    ----------
    value
        None, bool, int, float (shortest form that reads back bit for bit), str, or a list or tuple of these.
    """
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _format_float(value)
    if isinstance(value, str):
        return _format_text(value)
    return str(value)


def read_yaml(path: str | Path) -> YamlFile:
    """Read a flat YAML file.

    Parameters
    ----------
    path
        File with one mapping, in UTF-8.

    Returns
    -------
    YamlFile
        Duplicate keys, nested values, anchors and tags are among its ``problems``; the other entries are read.

    Raises
    ------
    ParamsError
        If the file cannot be opened, is no YAML, or holds no settings at all.
    """
    name = str(path)
    text = _read_text(Path(path), name)
    try:
        return _Reader(name).read(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        raise ParamsError(_syntax_message(name, text, error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise ParamsError(f"{name}:{line}: the control character U+{_code_point(error):04X} is not allowed") from None


class _Reader:
    """Collects the entries and problems of one file from the events of the parser."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._problems: list[tuple[int, str]] = []

    def read(self, events: Iterator[yaml.Event]) -> YamlFile:
        """Return the entries and problems that the events hold, or raise if they are no settings at all."""
        for event in events:
            if isinstance(event, yaml.MappingStartEvent):
                self._refuse_decoration(event, "the settings")
                self._read_mapping(events)
                break
            if isinstance(event, (yaml.ScalarEvent, yaml.SequenceStartEvent)):
                # A second line makes the parser stumble over the missing colon of the first: let it say so.
                found = f", but this is {shown(event.value)}" if isinstance(event, yaml.ScalarEvent) else ""
                raise ParamsError(
                    f"{self._path}:{_line(event)}: a parameter file has lines of the form 'name: value'"
                    f" (with a space after the colon){found}"
                )
        else:
            raise ParamsError(f"{self._path}: the file is empty, it holds no settings")
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._problem(event, "a second document ('---') is not allowed, a parameter file is one document")
        if not self._entries and not self._problems:
            raise ParamsError(f"{self._path}: the file is empty, it holds no settings")
        return YamlFile(self._path, self._entries, self._problems)

    def _read_mapping(self, events: Iterator[yaml.Event]) -> None:
        """Read key and value in turn up to the end of the mapping."""
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                return
            if isinstance(event, yaml.ScalarEvent):
                self._refuse_decoration(event, "a name")
                self._read_entry(event, events)
            else:
                self._problem(event, "the name of a setting must be plain text, not a list, a mapping or an alias")
                self._skip(event, events)
                self._skip(next(events), events)

    def _read_entry(self, key: yaml.ScalarEvent, events: Iterator[yaml.Event]) -> None:
        """Read the value of one key."""
        event, name = next(events), str(key.value)
        label = plain(name)
        entry: Entry | None = None
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_decoration(event, label)
            is_plain = bool(event.implicit[0])
            entry = Entry(_scalar(event), _line(key), str(event.value) if is_plain else None)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._refuse_decoration(event, label)
            items = self._read_list(label, events)
            entry = None if items is None else Entry(items, _line(key))
        else:
            what = "an alias" if isinstance(event, yaml.AliasEvent) else "a mapping of its own"
            self._problem(key, f"{label}: {what} is not allowed as a value, must be one value or a list of values")
            self._skip(event, events)
        if name in self._entries:
            self._problem(key, f"{label}: is given a second time, the first is in line {self._entries[name].line}")
        elif entry is not None:
            self._entries[name] = entry

    def _read_list(self, name: str, events: Iterator[yaml.Event]) -> list[Scalar] | None:
        """Return the scalars of a list, or None if it holds anything else."""
        items: list[Scalar] = []
        legal = True
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            if isinstance(event, yaml.ScalarEvent):
                self._refuse_decoration(event, name)
                items.append(_scalar(event))
                continue
            if legal:
                self._problem(event, f"{name}: a list may hold only single values, no lists, mappings or aliases")
            legal = False
            self._skip(event, events)
        return items if legal else None

    def _refuse_decoration(self, event: Any, name: str) -> None:
        """Note tags and anchors, which settings have no use for."""
        if event.tag is not None:
            self._problem(event, f"{name}: the tag {shown(event.tag)} is not allowed")
        if event.anchor is not None:
            self._problem(
                event, f"{name}: the anchor {shown('&' + event.anchor)} is not allowed, write every value out"
            )

    def _skip(self, event: yaml.Event, events: Iterator[yaml.Event]) -> None:
        """Pass over what a nested value contains."""
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth == 0:
                return
            if depth > _MAX_DEPTH:
                raise ParamsError(f"{self._path}:{_line(event)}: values are nested, must be single values or lists")
            event = next(events)

    def _problem(self, event: yaml.Event, sentence: str) -> None:
        """Note a problem at the line of an event."""
        self._problems.append((_line(event), sentence))


def _line(event: yaml.Event) -> int:
    """Line of an event, counted from 1."""
    assert event.start_mark is not None
    return int(event.start_mark.line) + 1


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    """Value of a scalar; what is in quotes is text."""
    return resolve_scalar(event.value) if event.implicit[0] else str(event.value)


def _read_text(path: Path, name: str) -> str:
    """Return the content of a file, or tell why there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        siblings = _yaml_files(path.parent)
        raise ParamsError(f"{name}: there is no such parameter file{did_you_mean(path.name, siblings)}") from None
    except IsADirectoryError:
        raise ParamsError(f"{name}: this is a folder, not a parameter file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ParamsError(f"{name}: the parameter file cannot be read ({reason})") from None
    if len(data) > MAX_BYTES:
        raise ParamsError(f"{name}: the file is longer than {MAX_BYTES} bytes, this is no parameter file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParamsError(
            f"{name}:{line}: the byte 0x{data[error.start]:02x} is not UTF-8, save the file as UTF-8 text"
        ) from None


def _yaml_files(folder: Path) -> Sequence[str]:
    """Names of the YAML files in a folder."""
    try:
        return [path.name for path in folder.iterdir() if path.suffix in (".yaml", ".yml")]
    except OSError:
        return []


def _syntax_message(name: str, text: str, error: yaml.MarkedYAMLError) -> str:
    """Say what the parser stumbled over in words for people who do not write parsers."""
    problem = str(error.problem or error.context or "this is not YAML")
    first, mark = error.context_mark, error.problem_mark or error.context_mark
    if "could not find expected ':'" in problem and first is not None:
        problem, mark = "a colon with a space after it is missing", first
    elif "'\\t'" in problem:
        problem = "a tab is not allowed here, use spaces"
    elif "mapping values are not allowed" in problem:
        problem = "this colon is not expected: is a colon or the space after it missing in the line before?"
    elif first is not None and mark is not None and first.line != mark.line:
        problem = f"{problem} ({error.context} that begins in line {first.line + 1})"
    line = int(mark.line) if mark is not None else 0
    lines = text.splitlines() or [""]
    return f"{name}:{line + 1}: {plain(problem)} (the line is {shown(lines[min(line, len(lines) - 1)].strip())})"


def _code_point(error: yaml.reader.ReaderError) -> int:
    """Number of the character that cannot be read."""
    return error.character if isinstance(error.character, int) else ord(error.character)


def _format_float(value: float) -> str:
    """A number that every reader of YAML takes for one."""
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # Readers of YAML 1.1 take 1e-05 for text: they ask for a point.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _format_text(value: str) -> str:
    """Text, in quotes where it would be read as something else."""
    if (
        _SAFE_TEXT.fullmatch(value)
        and isinstance(resolve_scalar(value), str)
        and value.lower() not in _WORDS_OF_OLD_YAML
    ):
        return value
    quoted: str = yaml.dump(value, default_style='"', width=math.inf)
    return quoted.rstrip("\n")
