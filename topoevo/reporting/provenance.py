"""What a run was made on, compared with what there is now."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from topoevo.errors import CheckpointError
from topoevo.foreign_files import parse_json, plain, read_bytes
from topoevo.reporting.environment import describe_environment

if TYPE_CHECKING:
    from topoevo.reporting.run_directory import RunDirectory

#: What results may depend on besides the versions of packages.
_NAMES = ("topoevo", "commit", "python", "system", "processor")
_MAX_BYTES = 2**24
_MAX_TABLE_BYTES = 2**28


def changes_since(run: RunDirectory) -> list[str]:
    """Return what is not as it was when the run began, or when it went on, in one line each.

    Parameters
    ----------
    run
        Its folder.
    """
    try:
        recorded = parse_json(read_bytes(run.environment, most_bytes=_MAX_BYTES).decode())
    except (OSError, ValueError):
        return [f"{run.environment} cannot be read, so nobody knows what the run was made on"]
    now = _facts(describe_environment())
    resumed = recorded.get("resumed") if isinstance(recorded, dict) else None
    found = []
    for when, then in (
        ("began", recorded),
        *(("went on", one) for one in (resumed if isinstance(resumed, list) else [])),
    ):
        for name, value in _facts(then).items():
            if value != now.get(name):
                found.append(f"{name}: {plain(value)} when the run {when}, {plain(now.get(name))} now")
    return list(dict.fromkeys(found))


def recorded_digests(run: RunDirectory) -> dict[int, str]:
    """Return the digests in the table of a run, by generation or epoch; a row that is not whole is passed over.

    Raises
    ------
    CheckpointError
        If there is no table, or it cannot be read.
    """
    try:
        return dict(_digests(run))
    except FileNotFoundError:
        raise CheckpointError(f"{run.shown()}: no generation or epoch is finished yet") from None
    except OSError as error:
        raise CheckpointError(f"{run.metrics} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise CheckpointError(f"{run.metrics}: is no table of a run: {error}") from None


def _digests(run: RunDirectory) -> Iterator[tuple[int, str]]:
    """Pairs of number and digest."""
    content = read_bytes(run.metrics, most_bytes=_MAX_TABLE_BYTES).decode(errors="replace")
    # What stands behind the last end of a line was not written to its end.
    rows = csv.reader(content[: content.rfind("\n") + 1].splitlines())
    header = next(rows, [])
    if header[:1] not in (["generation"], ["epoch"]) or "digest" not in header:
        raise ValueError("it has no columns generation or epoch, and digest")
    column = header.index("digest")
    for row in rows:
        if len(row) == len(header) and row[0].isdecimal() and len(row[0]) <= 10:
            yield int(row[0]), row[column]


def _facts(environment: Any) -> dict[str, Any]:
    """What counts in the description of an environment, flat."""
    if not isinstance(environment, Mapping):
        return {}
    packages = environment.get("packages")
    found = {name: environment.get(name) for name in _NAMES}
    return found | (dict(packages) if isinstance(packages, Mapping) else {})
