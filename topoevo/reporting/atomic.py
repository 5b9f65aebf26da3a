"""Files that are complete or absent, whenever the program is stopped."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    content
        All of the file; text is written as UTF-8.

    Raises
    ------
    OSError
        If it cannot be written; an earlier file is then unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    # The name has the process in it, so that two processes never share a half-written file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step; numbers that JSON cannot say (NaN, infinity) become null."""
    write_atomically(path, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Return JSON content with null for every number that is not finite, and lists for tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value
