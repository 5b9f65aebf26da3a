"""Whether a run can be repeated: some of its generations or epochs once more, compared by their digests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from topoevo.errors import CheckpointError
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import Founder
from topoevo.experiment.params import Params
from topoevo.experiment.records import Observer
from topoevo.experiment.training import DivergedError, Training
from topoevo.experiment.training_checkpoint import TrainingCheckpoint
from topoevo.experiment.workers import Workers
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Task

#: Where a repetition starts that starts anew.
SEED = "seed"
#: Missing records that are named one by one.
_MOST_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """A generation or an epoch, then and now.

    Parameters
    ----------
    number
        Of the generation, or of epochs that are finished.
    source
        Where the repetition has started: `SEED`, or the name of a checkpoint.
    recorded, found
        Digests; `found` is empty if a training has diverged that did not then.
    """

    number: int
    source: str
    recorded: str
    found: str

    @property
    def is_same(self) -> bool:
        """Whether all bits are the same."""
        return self.recorded == self.found


class _Speaker(Observer):
    """Hands on what takes long."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def on_message(self, text: str) -> None:
        """Hand it on."""
        self._say(text)


class Verification:
    """Repeats parts of a run; nothing is written.

    Parameters
    ----------
    params, task
        Settings and data of the run.
    recorded
        Digests by generation, or by epoch.
    say
        Is told in one line of what takes long, or cannot be repeated.
    """

    def __init__(
        self,
        params: Params,
        task: Task | Environment,
        recorded: Mapping[int, str],
        *,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._params, self._task, self._recorded, self._say = params, task, recorded, say
        self._running: Experiment | Training | None = None
        self._reason = ""

    def stop(self, reason: str) -> None:
        """Ask for an end; safe to call from a signal handler. `Interrupted` is raised soon."""
        self._reason = reason
        if self._running is not None:
            self._running.stop(reason)

    def from_seed(self, founder: Founder | None, most: int) -> Iterator[Comparison]:
        """Yield the comparison of each of the first generations or epochs, up to the first that differs.

        Those that are not recorded are repeated all the same, as the others follow from them.

        Parameters
        ----------
        founder
            The network that the run began with; None stands for random ones.
        most
            How many generations or epochs, from the first one on.
        """
        first = 0 if self._params.evolves else 1
        last = max((number for number in self._recorded if number < first + most), default=first - 1)
        numbers = range(first, last + 1)
        gaps = [str(number) for number in numbers if number not in self._recorded]
        if gaps:
            unit = "generation" if self._params.evolves else "epoch"
            others = f" and {len(gaps) - _MOST_NAMED} more" if len(gaps) > _MOST_NAMED else ""
            named = ", ".join(gaps[:_MOST_NAMED]) + others
            which = f"{unit} {named}, so it is" if len(gaps) == 1 else f"{unit}s {named}, so they are"
            self._say(f"warning: there is no record of {which} repeated without being compared")
        yield from self._compared(numbers, SEED, founder=founder)

    def from_checkpoints(self, paths: Sequence[Path]) -> Iterator[Comparison]:
        """Yield the comparison of the generation or epoch that follows each checkpoint, where that is recorded.

        Parameters
        ----------
        paths
            Files of checkpoints; one that is damaged, or was deleted by the run meanwhile, is passed over.
        """
        for path in paths:
            checkpoint: Checkpoint | TrainingCheckpoint
            try:
                checkpoint = (Checkpoint if self._params.evolves else TrainingCheckpoint).read(path)
            except CheckpointError as error:
                if path.exists():
                    self._say(f"warning: the checkpoint {path.name} {error}")
                continue
            if isinstance(checkpoint, TrainingCheckpoint):
                number = checkpoint.epoch + 1
            else:
                number = checkpoint.population.generation
            if number in self._recorded:
                yield from self._compared([number], path.name, checkpoint=checkpoint)

    def _compared(
        self,
        numbers: Sequence[int],
        source: str,
        *,
        founder: Founder | None = None,
        checkpoint: Checkpoint | TrainingCheckpoint | None = None,
    ) -> Iterator[Comparison]:
        """Repeat consecutive generations or epochs until one differs from what is recorded of it."""
        repeat = self._generations if self._params.evolves else self._epochs
        digests = repeat(numbers, founder, checkpoint)
        for number, digest in zip(numbers, digests, strict=False):
            if number not in self._recorded:
                continue
            comparison = Comparison(number, source, self._recorded[number], digest)
            yield comparison
            if not comparison.is_same:
                return

    def _generations(
        self, numbers: Sequence[int], founder: Founder | None, checkpoint: Checkpoint | TrainingCheckpoint | None
    ) -> Iterator[str]:
        """Digests of populations."""
        assert not isinstance(checkpoint, TrainingCheckpoint)
        speaker = _Speaker(self._say)
        experiment = Experiment(self._params, self._task, founder=founder, observers=[speaker], checkpoint=checkpoint)
        self._watch(experiment)
        with Workers.from_params(self._params, self._say) as workers:
            for _ in numbers:
                yield experiment.step(workers).digest

    def _epochs(
        self, numbers: Sequence[int], founder: Founder | None, checkpoint: Checkpoint | TrainingCheckpoint | None
    ) -> Iterator[str]:
        """Digests of the trained network."""
        assert not isinstance(checkpoint, Checkpoint) and not isinstance(self._task, Environment)
        speaker = _Speaker(self._say)
        training = Training(self._params, self._task, founder=founder, observers=[speaker], checkpoint=checkpoint)
        self._watch(training)
        for number in numbers:
            try:
                yield training.step(number - 1).digest
            except DivergedError:
                yield ""

    def _watch(self, running: Experiment | Training) -> None:
        """Hand on the wish to stop."""
        self._running = running
        if self._reason:
            running.stop(self._reason)
