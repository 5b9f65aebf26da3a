"""How a run ended, as its folder says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from topoevo.errors import CheckpointError
from topoevo.foreign_files import decoded, parse_json, plain, read_bytes
from topoevo.reporting.network_schema import Number

if TYPE_CHECKING:
    from topoevo.reporting.run_directory import RunDirectory

_MAX_BYTES = 2**20


class ChampionResult(BaseModel):
    """Scores of the champion, as far as they are read; null where the task has no such score."""

    model_config = ConfigDict(strict=True, frozen=True)

    test_accuracy: Number | None = None
    test_rmse: Number | None = None


class RunResult(BaseModel):
    """The content of ``result.json``, as far as it is read."""

    model_config = ConfigDict(strict=True, frozen=True)

    status: Literal["finished", "interrupted", "failed"]
    reason: str | None = None
    generations: int = 0
    champion: ChampionResult | None


def read_result(run: RunDirectory) -> RunResult | None:
    """Return how a run ended; None if it has not.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or is something else.
    """
    try:
        content = parse_json(decoded(read_bytes(run.result, most_bytes=_MAX_BYTES)))
        return RunResult.model_validate(content)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{run.result}: has no valid {plain(place) or 'content'}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{run.result}: is not readable: {error}") from None
