"""The evaluations of a generation that races: rung by rung, by any number of workers, and from wherever it was left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from topoevo.evolution import Evaluation
from topoevo.evolution.racing import Racing, Saving
from topoevo.experiment.params import Params
from topoevo.experiment.problem import Leg


class Evaluate(Protocol):
    """Evaluates a generation; see `topoevo.experiment.workers.Workers.evaluate`."""

    def __call__(
        self,
        *,
        known: Mapping[int, Evaluation],
        legs: Mapping[int, Leg] = ...,
        on_result: Callable[[int, Evaluation], None],
    ) -> list[Evaluation]:
        """Return the evaluation of everybody, those that are known as they are."""


def racing_of(params: Params) -> Racing | None:
    """Return who races how far, or None if everybody is trained to the end."""
    return Racing(params.racing, params.racing_rungs, params.islands, params.num_newcomers) if params.races else None


def saving_of(
    params: Params, generation: int, evaluations: Sequence[Evaluation], *, num_steps: Sequence[int]
) -> Saving:
    """Return what racing has saved of the training of a generation.

    Neither elites that are not trained anyway nor steps after which a training had diverged are savings: they would not
    be taken without racing, either.

    Parameters
    ----------
    params, generation
        Settings, and the number of the generation.
    evaluations
        Of everybody.
    num_steps
        Of one whole training, on each island or on all.
    """
    is_spared = generation > 0 and not params.train_elites
    num_trained = len(evaluations) - (params.islands.total_elites if is_spared else 0)
    lost = sum(one.num_saved for one in evaluations if one.failure is not None)
    saved = sum(one.num_saved for one in evaluations if one.failure is None)
    return Saving(num_trained * sum(num_steps) // len(num_steps) - lost, saved)


@dataclass(frozen=True)
class Race:
    """The race of one generation.

    Parameters
    ----------
    racing
        Who races, how far, and who goes on.
    generation
        Its number.
    num_steps
        Of one whole training, on each island or on all.
    legs
        Whole trainings that begin with something, by place; see `topoevo.experiment.problem.Leg`.
    """

    racing: Racing
    generation: int
    num_steps: Sequence[int]
    legs: Mapping[int, Leg] = field(default_factory=dict)

    def run(
        self, evaluate: Evaluate, known: Mapping[int, Evaluation], on_result: Callable[[int, Evaluation], None]
    ) -> list[Evaluation]:
        """Return the evaluation of everybody, by place; those of the racers say how far they came.

        Who goes on depends on rewards alone, so that the outcome is the same wherever and in whatever order parts were
        computed, and if some were known before.

        Parameters
        ----------
        evaluate
            Computes what is not known.
        known
            Evaluations of this race by an earlier process, by place.
        on_result
            Called with everybody who has finished, was stopped or has failed.
        """
        done = dict(known)
        started = set(self.racing.racers(self.generation))
        paused: dict[int, Evaluation] = {}

        def end(index: int, evaluation: Evaluation) -> None:
            paused.pop(index, None)
            done[index] = evaluation
            on_result(index, evaluation)

        rungs = self.racing.rungs(self.num_steps)
        for rung, stops in enumerate(rungs):
            racing = sorted(started - done.keys())
            if rung:
                legs = {index: Leg(stops[self._length(index)], paused[index].memory) for index in racing}
            else:
                first = {index: self.legs.get(index, Leg(0)) for index in racing}
                ended = {index: replace(leg, stop=stops[self._length(index)]) for index, leg in first.items()}
                legs = {**self.legs, **ended}

            def arrive(
                index: int, evaluation: Evaluation, rung: int = rung, racing: Collection[int] = frozenset(racing)
            ) -> None:
                if index not in racing:
                    end(index, evaluation)
                    return
                if index in paused:
                    before = paused[index]
                    # What has failed otherwise than by its training knows nothing of the rungs before.
                    passes = max(before.sample_passes, evaluation.sample_passes)
                    seconds = before.seconds + evaluation.seconds
                    evaluation = replace(evaluation, seconds=seconds, sample_passes=passes)
                if evaluation.failure is not None:
                    end(index, replace(evaluation, rung=rung))
                elif evaluation.memory is None:
                    end(index, evaluation)
                else:
                    paused[index] = evaluation

            evaluate(known=dict(done), legs=legs, on_result=arrive)
            passed = {index for index in started & done.keys() if _has_passed(done[index], rung)}
            if stops is not rungs[-1]:
                rewards = {index: one.reward for index, one in paused.items()}
                for index in self.racing.stopped(self.generation, started, passed, rewards):
                    length = self._length(index)
                    saved = self.num_steps[length] - stops[length]
                    end(index, replace(paused[index], rung=rung, num_saved=saved, memory=None))
            started = passed | paused.keys()
        return [done[index] for index in range(len(done))]

    def _length(self, index: int) -> int:
        """Which of the lengths the training of an individual has."""
        return self.racing.islands.island(self.generation, index) if len(self.num_steps) > 1 else 0


def _has_passed(evaluation: Evaluation, rung: int) -> bool:
    """Whether learning went on after a rung."""
    return evaluation.rung is None or evaluation.rung > rung
