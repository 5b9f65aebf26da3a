"""Files that anyone may have written, read within bounds: nothing is allocated before it is known how much it is.

What is wrong with a file is a `ValueError` of one sentence without the file's name; the reader of a format names the
file and turns it into a `topoevo.errors.TopoevoError`.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

#: JSON deeper than this is nobody's; what walks through it may call itself as often.
MAX_DEPTH = 50
#: Values in one JSON file: those of a network with a million connections.
MAX_VALUES = 8_000_000

#: Longer whole numbers are no count, seed or identity.
_MAX_DIGITS = 40
#: What the directory of an archive may take: thousands of entries.
_MAX_DIRECTORY_BYTES = 2**20
#: What an array's description may take; numpy's own limit.
_MAX_HEADER_BYTES = 10_000
#: Kinds of numpy types that hold plain values: truth values, numbers, text, and records of these.
_PLAIN_KINDS = frozenset("?buifcSUV")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def read_bytes(path: Path, *, most_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Parameters
    ----------
    path
        The file.
    most_bytes
        Larger files are refused before they are read.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no file, too large, or its name is impossible.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is no file")
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > most_bytes:
            raise ValueError(f"has {size} bytes, more than the {most_bytes} that are read")
        # Some files of the system have a size of 0 and no end.
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"has more than the {most_bytes} bytes that are read")
    return content


def decoded(content: bytes) -> str:
    """Return bytes as text; a byte order mark is left out.

    Raises
    ------
    ValueError
        If it is no UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text in UTF-8: {error.reason} at byte {error.start}") from None


def shown(text: object, *, length: int = 80) -> str:
    """Return what a file says as a message may quote it: in quotes, short, without control characters."""
    words = str(text)
    return repr(words if len(words) <= length else words[: length - 3] + "...")


def has_controls(text: str) -> bool:
    """Return whether text holds characters that steer a terminal, other than ends of lines and tabs."""
    return _CONTROL.search(text) is not None


# -- JSON -------------------------------------------------------------------------------------------------------


def parse_json(text: str, *, most_values: int = MAX_VALUES) -> Any:
    """Return JSON values, of JSON as its standard says and no more.

    Parameters
    ----------
    text
        All of the file.
    most_values
        How many values there may be, with those inside others.

    Raises
    ------
    ValueError
        If it is no JSON, has a key twice in one object, numbers that are not finite or endless, half a surrogate pair,
        or is too deep or too large.
    """
    # Every value but the first follows a comma or an opening bracket; commas in text count too, of which few are.
    if sum(text.count(mark) for mark in ",[{") > most_values:
        raise ValueError(f"has more than {most_values} values")
    try:
        content = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite, parse_int=_bounded
        )
        _check_depth(content)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("is no valid JSON: a character is half of a surrogate pair") from None
    except RecursionError:
        raise ValueError(f"is no valid JSON: it is nested deeper than {MAX_DEPTH} levels") from None
    except MemoryError:
        raise ValueError("does not fit into memory") from None
    except ValueError as error:
        raise ValueError(f"is no valid JSON: {error}") from None
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} appears twice in one object")
    return found


def _no_number(constant: str) -> NoReturn:
    """Raise at a constant that is not JSON."""
    raise ValueError(f"{constant} is no number of JSON; null is a number that was never given")


def _finite(text: str) -> float:
    """A number that is one."""
    if math.isinf(number := float(text)):
        raise ValueError(f"the number {shown(text, length=20)} is too large")
    return number


def _bounded(text: str) -> int:
    """A whole number that somebody may mean."""
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a whole number has {len(text)} digits")
    return int(text)


def _check_depth(content: Any) -> None:
    """Raise unless JSON values are nested in few levels."""
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for one in level
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise RecursionError


# -- arrays -----------------------------------------------------------------------------------------------------


def read_arrays(
    path: Path, *, most_bytes: int, wanted: Collection[str] | None = None
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return arrays of a ``.npz`` file; what numpy would unpickle is refused.

    Parameters
    ----------
    path
        The file.
    most_bytes
        Of all arrays that are read together, unpacked.
    wanted
        Names of the arrays that are read if they are there; None: all.

    Returns
    -------
    arrays
        By name.
    names
        Of all arrays in the file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no archive of plain arrays, is damaged, or unpacks to more than `most_bytes`.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is no file")
    try:
        with path.open("rb", buffering=0) as raw, io.BufferedReader(_Directory(raw)) as file:
            with zipfile.ZipFile(file) as archive:
                file.raw.limit = None
                return _arrays(archive, most_bytes, wanted)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"is no archive of arrays, or a damaged one: {error}") from None
    except MemoryError:
        raise ValueError("does not fit into memory") from None
