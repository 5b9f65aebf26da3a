"""Files that are complete or absent, whenever the program is stopped."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from topoevo.disk import replaced_file


def write_atomically(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Replace a file in one step.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    content
        All of the file; text is written as UTF-8, with a question mark for what is half a character, as there is in
        names of files that are no text.
    durable
        Whether it is on the disk when this returns, so that even a power failure does not lose it.

    Raises
    ------
    OSError
        If it cannot be written; an earlier file is then unchanged.
    """
    data = content.encode(errors="replace") if isinstance(content, str) else content
    with replaced_file(path, durable=durable) as file:
        file.write(data)


def write_json(path: Path, content: Any, *, durable: bool = False) -> None:
    """Replace a JSON file in one step; numbers that JSON cannot say (NaN, infinity) become null."""
    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text, durable=durable)


def finite(value: Any) -> Any:
    """Return JSON content with null for every number that is not finite, and lists for tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value
