"""Mistakes in files: what damage, accidents and malice make of them."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

_Item = TypeVar("_Item")

#: Longer files are cut off.
MAX_BYTES = 20_000
_WORDS = (
    b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"1e-400", b"4294967296", b"2147483648", b"-0.0",
    b"9" * 400, b"1e39", b"\"\\ud800\"", b"\xff", b"\x00", b"\x1b[2J", b"\xef\xbb\xbf", b"\r", b"\n", b"\"", b"'", b",",
    b"[", b"]", b"{", b"}", b"[[[[[[", b"{\"a\":", b"&a ", b"*a", b"!!python/object:os.system ", b"---\n", b"\\u0000",
    b"PK\x05\x06", b"PK\x03\x04", b"\x93NUMPY", b"'O'", b"|O8", b"\xff\xff\xff\xff", b"..", b"/etc/passwd", b"inf",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e39, 1e-300, 1e308, math.nan, math.inf,
    "", "a", "\ud800", "\x1b[2J", "x" * 2000, "../../x", "t.csv", "mnist", "os:x", [], [[]], {}, {"a": {}}, [None],
)  # fmt: skip


def pick(rng: np.random.Generator, items: Sequence[_Item]) -> _Item:
    """Return one of several things, each as likely as the others."""
    return items[int(rng.integers(len(items)))]


def broken(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Return a file with a few mistakes.

    Parameters
    ----------
    content
        The file.
    others
        Files to splice in.
    rng
        Decides.
    """
    data = bytearray(content)
    for _ in range(pick(rng, (1, 1, 1, 2, 3, 8))):
        pick(rng, _BREAKS)(data, others, rng)
    return bytes(data[:MAX_BYTES])


def _span(data: bytearray, rng: np.random.Generator) -> slice:
    """A random part, mostly a short one."""
    start = int(rng.integers(len(data) + 1))
    length = pick(rng, (1, 2, 4, 8, int(rng.integers(1, 64)), int(rng.integers(len(data) + 1))))
    return slice(start, min(start + length, len(data)))


def _truncate(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Cut off the end."""
    del data[int(rng.integers(len(data) + 1)) :]


def _flip(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Flip a bit."""
    if data:
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Overwrite bytes with others of the same number."""
    part = _span(data, rng)
    data[part] = pick(rng, (bytes, rng.bytes))(len(data[part]))


def _delete(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Leave out a part."""
    del data[_span(data, rng)]


def _duplicate(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Repeat a part, rarely often."""
    part = _span(data, rng)
    data[part.start : part.start] = bytes(data[part]) * pick(rng, (1, 1, 1, 2, 200))
    del data[MAX_BYTES:]


def _insert(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Insert an odd word, or put it in the place of a part."""
    part = _span(data, rng)
    data[part if rng.random() < 0.5 else slice(part.start, part.start)] = pick(rng, _WORDS)


def _splice(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Put a part of another file in the place of a part."""
    other = bytearray(pick(rng, others))
    data[_span(data, rng)] = other[_span(other, rng)]


def _replace_token(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Replace a word or number of text by an odd one, or by another of this file."""
    tokens = list(re.finditer(rb"[-+.\w]+|\"[^\"\n]*\"", bytes(data)))
    if tokens:
        token, other = pick(rng, tokens), pick(rng, tokens)
        data[token.start() : token.end()] = pick(rng, (pick(rng, _WORDS), other[0]))


def _change_json(data: bytearray, others: list[bytes], rng: np.random.Generator) -> None:
    """Change, leave out or repeat one value of JSON; text that is none loses a bit."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, others, rng)
    places = [(content, None)]
    for parent, _ in places:
        if isinstance(parent, dict | list):
            places += [
                (parent[key], (parent, key)) for key in (parent if isinstance(parent, dict) else range(len(parent)))
            ]
    _, (parent, key) = pick(rng, [place for place in places if place[1] is not None] or [(None, ([0], 0))])
    other = copy.deepcopy(pick(rng, (*_VALUES, pick(rng, places)[0])))
    kind = int(rng.integers(4))
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, other)
    elif kind == 1:
        parent[pick(rng, ("a", "edges", "options", "task", ""))] = other
    else:
        parent[key] = other
    data[:] = json.dumps(content).encode()
    return None


_BREAKS: tuple[Callable[[bytearray, list[bytes], np.random.Generator], None], ...] = (
    _truncate, _flip, _flip, _overwrite, _delete, _duplicate, _insert, _splice, _replace_token, _replace_token,
    _change_json, _change_json, _change_json,
)  # fmt: skip
