"""Failed evaluations in the run directory: a line for each, and for some of them a file to look at and to replay.

A file is a network file of the genome as it went into the evaluation. Its graph has three attributes more: ``failure``
(the reason, and the address of the random numbers), ``traceback`` and ``settings`` (those that are not the default).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topoevo.errors import CheckpointError
from topoevo.evolution.moments import Moments
from topoevo.experiment.failure import reason_of
from topoevo.experiment.journal import moments_of_record, moments_record
from topoevo.experiment.learning_facts import feedback_of
from topoevo.experiment.params import all_settings
from topoevo.reporting.atomic import finite
from topoevo.reporting.network_facts import facts_of_individual
from topoevo.reporting.network_file import NetworkFile, read_network, write_network
from topoevo.reporting.tables import keep_lines
from topoevo.seeds import Stream

if TYPE_CHECKING:
    from topoevo.experiment.params import Params
    from topoevo.experiment.records import Failure
    from topoevo.reporting.run_directory import RunDirectory
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task

#: Files that are kept in all, and of one kind of reason, so that the rare ones are not crowded out.
_MAX_FILES, _MAX_OF_A_KIND = 100, 20
#: A longer line of the table of failures is not ours.
_MAX_LINE_BYTES = 2**20
_NUMBER = re.compile(r"[-+]?\d[\d.e+-]*")
_NAME = re.compile(r"generation-(\d{6,18})-individual-(\d{1,18})(-confirmation)?\.json")


class FailureFiles:
    """Writes ``failures.jsonl`` and the folder ``failures``.

    Parameters
    ----------
    run
        The run directory.
    params, task
        Settings and task of the run.
    first
        Generation that the run goes on with: what was written of it and of later ones will happen again, and is
        deleted.
    """

    def __init__(self, run: RunDirectory, params: Params, task: Task | Environment, *, first: int) -> None:
        self._run, self._params, self._task = run, params, task
        self._kinds: Counter[str] = Counter()
        keep_lines(run.failures, first)
        for line in _lines(run.failures):
            if line.get("file"):
                self._kinds[_kind(str(line.get("reason")))] += 1
        for path, generation, _ in failure_files(run.failure_files):
            if generation >= first:
                path.unlink(missing_ok=True)

    def add(self, failure: Failure) -> None:
        """Record one failure.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        individual, reason = failure.individual, reason_of(failure.words)
        confirming = "" if failure.stream is Stream.LEARNING else f"-{failure.stream.name.lower()}"
        path = self._run.failure_files / (
            f"generation-{failure.generation:06d}-individual-{individual.id}{confirming}.json"
        )
        kind = _kind(reason)
        keeps = self._kinds.total() < _MAX_FILES and self._kinds[kind] < _MAX_OF_A_KIND
        if keeps:
            self._kinds[kind] += 1
            path.parent.mkdir(exist_ok=True)
            facts = facts_of_individual(individual, self._params, self._task, generation=failure.generation)
            own = failure_facts(failure, self._params)
            write_network(path, individual.genome, facts=facts | own, feedback=self._feedback(failure))
        line = {
            "generation": failure.generation,
            "individual": individual.id,
            "stream": failure.stream.name,
            "index": failure.index,
            "parents": individual.parents,
            "operators": individual.operators,
            "digest": individual.genome.digest,
            "file": path.relative_to(self._run.path).as_posix() if keeps else None,
            "reason": reason,
        }
        with self._run.failures.open("a", encoding="utf-8", errors="replace") as failures:
            failures.write(json.dumps(finite(line), ensure_ascii=False) + "\n")

    def _feedback(self, failure: Failure) -> Any:
        """The feedback weights of the genome, unless it is one that cannot even be developed."""
        try:
            return feedback_of(failure.individual.genome, self._params)
        except Exception:  # What the evaluation has failed at may fail here, too.
            return None


def failure_facts(failure: Failure, params: Params) -> dict[str, Any]:
    """Return what a file says of a failure besides the genome, as JSON values.

    Parameters
    ----------
    failure, params
        What failed, in a run with which settings.
    """
    changed = {one.name: value for one in all_settings() if (value := getattr(params, one.name)) != one.default}
    return {
        "failure": {
            "reason": reason_of(failure.words),
            "seed": params.seed,
            "stream": failure.stream.name,
            "generation": failure.generation,
            "index": failure.index,
            **({} if failure.individual.moments is None else {"moments": moments_record(failure.individual.moments)}),
        },
        "traceback": failure.words.splitlines(),
        # JSON has no infinity.
        "settings": {name: "inf" if value == math.inf else finite(value) for name, value in changed.items()},
    }


@dataclass(frozen=True, eq=False)
class FailureFile:
    """What a file of a failed individual says.

    Parameters
    ----------
    network
        The genome as it went into the evaluation, and all that is known of it.
    individual
        Its id.
    reason
        What went wrong, in one line.
    stream, generation, index
        Address of the random numbers of the evaluation.
    moments
        What the optimizer began with; None if that was nothing.
    """

    network: NetworkFile
    individual: int
    reason: str
    stream: Stream
    generation: int
    index: int
    moments: Moments | None = None


def read_failure(path: Path) -> FailureFile:
    """Return what the file of a failed individual says.

    Raises
    ------
    NetworkFileError
        If it is no network file.
    CheckpointError
        If it says nothing of a failure.
    """
    network = read_network(path)
    failure, provenance = network.facts.get("failure"), network.facts.get("provenance")
    try:
        numbers = [failure["generation"], failure["index"], provenance["individual"]]  # type: ignore[index]
        stream, reason = Stream[failure["stream"]], failure["reason"]  # type: ignore[index]
        are_places = all(type(number) is int and 0 <= number < 2**62 for number in numbers)
        if not are_places or not isinstance(reason, str) or stream not in (Stream.LEARNING, Stream.CONFIRMATION):
            raise ValueError("it is no address")
        moments = moments_of_record(failure["moments"]) if "moments" in failure else None  # type: ignore[operator, index]
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path}: does not say how to repeat the evaluation of its network") from None
    generation, index, individual = numbers
    return FailureFile(network, individual, reason, stream, generation, index, moments)


def failure_files(folder: Path) -> list[tuple[Path, int, int]]:
    """Return the files of failed individuals in a folder with generation and id, oldest first."""
    found = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("generation-*.json")]
    named = [(path, int(name[1]), int(name[2])) for path, name in found if name]
    return sorted(named, key=lambda one: one[1:])


def recorded_reason(run: RunDirectory, generation: int, individual: int) -> str | None:
    """Return why the evaluation of an individual has failed; None if no line says that it has.

    Parameters
    ----------
    run
        The run directory.
    generation, individual
        Number of the generation, and id.
    """
    for line in _lines(run.failures):
        place = line["generation"], line.get("individual"), line.get("stream", Stream.LEARNING.name)
        if place == (generation, individual, Stream.LEARNING.name):
            return reason_of(str(line.get("reason")))
    return None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of the table of failures: JSON objects that have a generation."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict) and type(content.get("generation")) is int:
                yield content


def _kind(reason: str) -> str:
    """What reasons of one kind have in common: the beginning, but for numbers."""
    return _NUMBER.sub("#", reason)[:80]
