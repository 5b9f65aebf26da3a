"""Evaluations that can be repeated: what a run directory keeps of individuals before and after them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import CheckpointError, NetworkFileError, ParamsError
from topoevo.evolution import Evaluation
from topoevo.evolution.moments import Moments
from topoevo.experiment.archive import state_files
from topoevo.experiment.checkpoint import PREFIX, Checkpoint
from topoevo.experiment.failure import reason_of
from topoevo.experiment.journal import Journal, Place
from topoevo.foreign_files import has_controls, plain
from topoevo.genome import Genome
from topoevo.reporting.failures import failure_files, read_failure, recorded_reason
from topoevo.reporting.kept_population import POPULATION_NAME, KeptPopulation
from topoevo.reporting.network_file import read_network
from topoevo.reporting.run_directory import RunDirectory
from topoevo.seeds import Stream

#: Files that are named where there is too much to name them all.
_MAX_SHOWN = 20
#: Races have fewer rungs.
_MAX_RUNG = 100
_SNAPSHOT = re.compile(r"generation-(\d{6,18})")
_NETWORK = re.compile(r"\d{4,18}-individual-(\d{1,18})\.json")
#: Objects are shown with their place in memory, which is another one in every process.
_IN_MEMORY = re.compile(r"0x[0-9a-fA-F]{4,}")


@dataclass(frozen=True, eq=False)
class Recorded:
    """What came out of an evaluation.

    Parameters
    ----------
    reward, accuracy
        As in `topoevo.evolution.Evaluation`.
    weights
        Weights after learning in the order of the connection genes, float32 [num_connections], those that learning has
        removed left out; None if there are none.
    reason
        Why it failed, in one line; None if it did not.
    rung
        Of a race, where it was stopped; None if it was not.
    """

    reward: float
    accuracy: float | None
    weights: NDArray[np.float32] | None
    reason: str | None
    rung: int | None = None

    @staticmethod
    def of(evaluation: Evaluation) -> Recorded:
        """Return what is recorded of an evaluation."""
        reason = None if evaluation.failure is None else reason_of(evaluation.failure)
        rung = evaluation.rung if reason is None else None
        weights = evaluation.weights
        if weights is not None and evaluation.removed is not None:
            weights = weights[~evaluation.removed]
        return Recorded(evaluation.reward, evaluation.accuracy, weights, reason, rung)

    @property
    def words(self) -> str:
        """The outcome in one line."""
        if self.reason is not None:
            return f"failed: {_printable(self.reason)}"
        accuracy = "" if self.accuracy is None else f"  accuracy {self.accuracy:.4f}"
        stopped = "" if self.rung is None else f"  stopped at rung {self.rung}"
        return f"reward {self.reward!r}{accuracy}{stopped}"

    def differences(self, now: Recorded) -> list[str]:
        """Return what is not the same, in words; numbers are the same if all their bits are.

        Parameters
        ----------
        now
            The outcome of the replay.
        """
        if self.reason is not None or now.reason is not None:
            same = None not in (self.reason, now.reason) and _timeless(self.reason) == _timeless(now.reason)
            return [] if same else [f"it {_ended(self.reason)} then, and {_ended(now.reason)} now"]
        found = [
            f"{name} {before!r} then, {after!r} now"
            for name, before, after in (
                ("reward", self.reward, now.reward),
                ("accuracy", self.accuracy, now.accuracy),
            )
            if before != after
        ]
        if self.weights is not None and now.weights is not None:
            if len(self.weights) != len(now.weights):
                return [*found, f"{len(self.weights)} connections after learning then, {len(now.weights)} now"]
            differing = int(np.count_nonzero(self.weights.view(np.uint32) != now.weights.view(np.uint32)))
            if differing:
                found.append(f"{differing} of {len(self.weights)} weights after learning")
        return found


@dataclass(frozen=True, eq=False)
class Replayable:
    """An evaluation that can be repeated.

    Parameters
    ----------
    individual
        Id of the individual.
    genome
        As it went into the evaluation.
    stream, generation, index
        Address of the random numbers of the evaluation.
    source
        File that the genome comes from.
    origin
        What must be the same: ``data``, and ``settings`` where the file has them; see
        `topoevo.experiment.data.origin_of`.
    recorded
        What came out of it; None if that was not kept.
    moments
        What the optimizer began with; None if that was nothing.
    """

    individual: int
    genome: Genome
    stream: Stream
    generation: int
    index: int
    source: Path
    origin: dict[str, Any]
    recorded: Recorded | None
    moments: Moments | None = None


def find_replayable(run: RunDirectory, individual: int, generation: int | None = None) -> Replayable:
    """Return the evaluation of an individual; a failed one first, then the latest whose outcome is known.

    Parameters
    ----------
    run
        The run directory; nothing is written into it.
    individual
        Id of the individual.
    generation
        In which it was evaluated; None: in any, since the best are evaluated again in every generation.

    Raises
    ------
    ParamsError
        If the run does not have what is needed; says which individuals it has.
    """
    fallback: Replayable | None = None
    for found in _candidates(run, individual, generation):
        if found.recorded is not None:
            return found
        fallback = fallback or found
    if fallback is None:
        where = "" if generation is None else f" of generation {generation}"
        others = "; ".join(replayable_ids(run))
        raise ParamsError(
            f"--individual: the evaluation of individual {individual}{where} cannot be repeated from what is in "
            f"{run.shown()}; {f'there is {others}' if others else 'nor can any other'}"
        )
    return fallback


def replayable_ids(run: RunDirectory) -> list[str]:
    """Return which evaluations of a run can be repeated, in words, one for each file or generation; the latest last."""
    failures = failure_files(run.failure_files)[-_MAX_SHOWN:]
    found = [(number, f"{identity} of generation {number} (failed)") for _, number, identity in failures]
    paths = [(_generation_of(path.parent), path) for path in _populations(run)]
    paths += [(int(path.stem.rpartition("-")[2]), path) for path in state_files(run.checkpoint, PREFIX)]
    for number, path in sorted(paths)[-_MAX_SHOWN:]:
        population = _population(path)
        if population is not None and number == population.generation:
            found.append((number, f"{_ranges(population.individuals)} of generation {number}"))
    return list(dict.fromkeys(words for _, words in sorted(found, key=lambda one: one[0])))


def _candidates(run: RunDirectory, individual: int, generation: int | None) -> Iterator[Replayable]:
    """Evaluations of an individual that can be repeated: failures, snapshots, checkpoints; the latest of each first."""
    for path, number, identity in reversed(failure_files(run.failure_files)):
        if identity == individual and generation in (None, number):
            failure = read_failure(path)
            if (failure.individual, failure.generation) != (individual, number):
                raise CheckpointError(f"{path}: is of individual {failure.individual}, not of what its name says")
            yield Replayable(
                individual,
                failure.network.genome,
                failure.stream,
                failure.generation,
                failure.index,
                path,
                {"data": (failure.network.facts.get("task") or {}).get("data")},
                Recorded(-math.inf, None, None, failure.reason),
                failure.moments,
            )
    for path in (*_populations(run), *reversed(state_files(run.checkpoint, PREFIX))):
        # Snapshots are many and large: those whose names say that they are of another generation are not read.
        if generation is not None and not path.parent.name.endswith(f"-{generation:06d}") and _is_snapshot(path):
            continue
        population = _population(path)
        if population is None or individual not in population.individuals:
            continue
        if generation in (None, population.generation):
            index = population.individuals.index(individual)
            yield Replayable(
                individual,
                population.genomes[index],
                Stream.LEARNING,
                population.generation,
                index,
                path,
                population.origin,
                _recorded(run, population, index),
                population.moments[index],
            )


def _populations(run: RunDirectory) -> list[Path]:
    """Files of the populations of all snapshots, the latest first."""
    found = run.networks.glob(f"generation-*/{POPULATION_NAME}")
    ours = [path for path in found if _SNAPSHOT.fullmatch(path.parent.name)]
    return sorted(ours, key=lambda path: _generation_of(path.parent), reverse=True)


def _generation_of(folder: Path) -> int:
    """Number in the name of a snapshot."""
    return int(folder.name.rpartition("-")[2])


def _is_snapshot(path: Path) -> bool:
    """Whether a file lies in a snapshot, and not among the checkpoints."""
    return path.name == POPULATION_NAME


def _population(path: Path) -> KeptPopulation | None:
    """The population in a file; None if that is damaged, or was deleted by the run meanwhile."""
    try:
        if _is_snapshot(path):
            return KeptPopulation.read(path)
        return KeptPopulation.of_checkpoint(Checkpoint.read(path))
    except CheckpointError:
        return None


def _recorded(run: RunDirectory, population: KeptPopulation, index: int) -> Recorded | None:
    """What came out of an evaluation, from the network files of the generation or its journal."""
    individual, generation = population.individuals[index], population.generation
    reason = recorded_reason(run, generation, individual)
    if reason is not None:
        return Recorded(-math.inf, None, None, reason)
    for path in (run.networks / f"generation-{generation:06d}").glob(f"*-individual-{individual}.json"):
        found = _NETWORK.fullmatch(path.name)
        if found is not None and int(found[1]) == individual:
            return _recorded_in(path, population.genomes[index])
    evaluation = Journal(run.checkpoint, generation, population.genomes, say=lambda text: None).known(
        Place(Stream.LEARNING, index), population.genomes[index]
    )
    return None if evaluation is None else Recorded.of(evaluation)


def _recorded_in(path: Path, genome: Genome) -> Recorded | None:
    """What the network file of a snapshot says; None if it says nothing of this genome."""
    try:
        network = read_network(path)
    except NetworkFileError:
        return None
    scores = network.facts.get("scores", {}).get("evaluation") or {}
    reward, accuracy, rung = (scores.get(name) for name in ("reward", "accuracy", "rung"))
    found, weights = network.genome, network.genome.connections["weight"]
    if reward is None:
        return None
    left = np.isin(genome.connections["innovation"], found.connections["innovation"])
    remaining = genome if left.all() else genome.with_only(left)
    if len(weights) != len(remaining.connections):
        return None
    same = found.with_weights(remaining.connections["weight"]).digest == remaining.digest
    stopped_at = int(rung) if rung is not None and 0 <= rung < _MAX_RUNG else None
    return Recorded(reward, accuracy, weights, None, stopped_at) if same else None


def _ranges(ids: tuple[int, ...]) -> str:
    """Numbers in order, consecutive ones as a range."""
    groups = groupby(enumerate(sorted(set(ids))), key=lambda pair: pair[1] - pair[0])
    ranges = [[identity for _, identity in group] for _, group in groups]
    return ", ".join(f"{one[0]}" if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in ranges)


def _timeless(reason: str | None) -> str:
    """A reason without places in memory."""
    return _IN_MEMORY.sub("0x", reason or "")


def _ended(reason: str | None) -> str:
    """How an evaluation ended, in words."""
    return "succeeded" if reason is None else f"failed ({_printable(reason)})"


def _printable(reason: str) -> str:
    """A reason that does nothing to a terminal but show itself."""
    return plain(reason, length=1000) if has_controls(reason) else reason
