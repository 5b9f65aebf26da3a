"""Every setting as a flag of the command line.

Flags are text: they are read like unquoted values of a parameter file and validated together with it. A flag that is
not given does not appear in the result, so it changes nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NoReturn

from topoevo.errors import ParamsError
from topoevo.experiment.params import all_settings
from topoevo.experiment.setting import GROUPS, Setting
from topoevo.experiment.yaml_file import format_value, resolve_scalar


class FlagParser(argparse.ArgumentParser):
    """An argument parser that never guesses abbreviations, and raises `ParamsError` instead of exiting.

    Parameters
    ----------
    description
        What the program does, for ``--help``.
    prog
        Name of the program, if it is not the name of the script.
    """

    def __init__(self, *, description: str, prog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            usage="%(prog)s [params_file] [--<setting> <value> ...]",
            allow_abbrev=False,
            formatter_class=_HelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise `ParamsError` with argparse's sentence in the form of all others."""
        raise ParamsError(message.removeprefix("argument ").replace("expected one argument", "a value is missing"))


class _HelpFormatter(argparse.HelpFormatter):
    """Help in two columns that the longest common names fit into."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)


def add_flags(parser: argparse.ArgumentParser, *, family: str = "wlnn") -> None:
    """Add a flag for every setting, in groups, with range and default in the help.

    Parameters
    ----------
    parser
        Gets the flags; its own arguments stay.
    family
        ``wlnn`` or ``wann``: whose defaults to show.
    """
    groups = {group: parser.add_argument_group(f"{group} options") for group in GROUPS}
    for one in all_settings(family):
        # Booleans may stand alone; lists take what follows. None of them has a default: absent means absent.
        nargs = "*" if one.is_list else "?" if one.base is bool else None
        groups[one.group].add_argument(
            f"--{one.name}",
            dest=one.name,
            nargs=nargs,
            const="true" if one.base is bool else None,
            default=argparse.SUPPRESS,
            metavar=one.metavar,
            help=_help(one).replace("%", "%%"),
        )


def parse_flags(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None, *, family: str = "wlnn"
) -> tuple[argparse.Namespace, dict[str, object]]:
    """Return what the user typed.

    Parameters
    ----------
    parser
        With the flags of `add_flags`, and whatever else a program takes.
    arguments
        Words of the command line; those of this process if not given.
    family
        As for `add_flags`.

    Returns
    -------
    namespace
        The program's own arguments.
    overrides
        The settings that were given, for `topoevo.experiment.params.load_params`. Unknown flags are among them, so
        that they are told together with every other problem.

    Raises
    ------
    ParamsError
        If a value is missing, or a word belongs to no flag.
    """
    settings = {one.name: one for one in all_settings(family)}
    words = _joined(sys.argv[1:] if arguments is None else arguments, settings)
    # argparse would hand the value of an unknown flag to the next positional argument, so those flags go first.
    unknown, words = _without_unknown(words, parser.parse_known_args(words)[1])
    namespace, rest = parser.parse_known_args(words)
    if rest:
        raise ParamsError(f"{rest[0]!r} belongs to no flag; settings are given as --<setting> <value>")
    given = {name: _value(vars(namespace).pop(name), one) for name, one in settings.items() if name in namespace}
    return namespace, given | unknown


def _joined(words: Sequence[str], settings: Mapping[str, Setting]) -> list[str]:
    """Return the words with flags and values joined by ``=`` where argparse would misread them."""
    joined: list[str] = []
    for word in words:
        one = settings.get(joined[-1][2:]) if joined and joined[-1].startswith("--") else None
        is_number = one is not None and one.base in (int, float) and not one.is_list
        if is_number and word[:1] == "-" and resolve_scalar(word) != word:
            joined[-1] += f"={word}"  # a negative number is no flag
            continue
        if one is not None and one.base is bool and _is_params_file(word):
            joined[-1] += "=true"  # a flag that stands alone, followed by the parameter file
        # In a list, argparse takes negative numbers for flags where they have an exponent.
        number = resolve_scalar(word) if word[:1] == "-" and word[1:2] != "-" else word
        joined.append(f"{Decimal(number):f}" if isinstance(number, float) and math.isfinite(number) else word)
    return joined


def _without_unknown(words: Sequence[str], rest: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """Split the words into unknown flags with their values, and everything else."""
    unknown: dict[str, object] = {}
    known: list[str] = []
    waiting = ""
    for word in words:
        if word in rest and word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            unknown[name] = value
            waiting = "" if equals else name
        elif waiting and not word.startswith("--") and not _is_params_file(word):
            unknown[waiting] = word
            waiting = ""
        else:
            known.append(word)
            waiting = ""
    return unknown, known


def _is_params_file(word: str) -> bool:
    """Whether a word is the path of a parameter file."""
    return word.endswith((".yaml", ".yml"))


def _value(text: str | list[str], one: Setting) -> object:
    """Return what the words of a flag stand for."""
    if isinstance(text, list):
        return None if one.is_optional and text == ["null"] else [_value(item, one) for item in text]
    if one.base is str:
        return None if one.is_optional and text == "null" else text
    if one.can_be_infinite and text.lower() in ("inf", "infinity"):
        return math.inf
    return resolve_scalar(text)


def _help(one: Setting) -> str:
    """Return meaning, limits and default of a setting in one line."""
    names = "" if one.names is None or one.metavar.startswith("{") else ", ".join(one.names)
    parts = [part for part in (names, one.range) if part]
    return f"{one.help} ({'; '.join([*parts, f'default {format_value(one.default)}'])})"
