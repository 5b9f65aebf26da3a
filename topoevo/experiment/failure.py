"""An evaluation that goes wrong is a result: what is said of it, and where it is caught."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from typing import Any

from topoevo.errors import TopoevoError, in_one_line
from topoevo.evolution import Evaluation
from topoevo.experiment.problem import Leg
from topoevo.genome import Genome
from topoevo.rollouts import RolloutError
from topoevo.seeds import Stream

#: Of a longer text the beginning and the end are kept.
_MAX_CHARACTERS = 20_000
_HEAD = _MAX_CHARACTERS // 4


class GuardedEvaluator(ABC):
    """An evaluator whose `attempt` may raise whatever it likes: `evaluate` makes a result of it."""

    @abstractmethod
    def attempt(self, genome: Genome, shared: Any, *, stream: Stream, generation: int, index: int) -> Evaluation:
        """Return the evaluation of a genome; raise what user code raises.

        Parameters
        ----------
        genome, shared, stream, generation, index
            See `topoevo.experiment.problem.Evaluator.evaluate`.
        """

    def attempt_leg(
        self, genome: Genome, shared: Any, leg: Leg, *, stream: Stream, generation: int, index: int
    ) -> Evaluation:
        """Return the same after a part of the training, with all that is needed to go on.

        Parameters
        ----------
        genome, shared, leg, stream, generation, index
            See `topoevo.experiment.problem.Evaluator.evaluate`.
        """
        raise NotImplementedError(f"{type(self).__name__} evaluates in one go")

    def evaluate(
        self, genome: Genome, shared: Any, *, stream: Stream, generation: int, index: int, leg: Leg | None = None
    ) -> Evaluation:
        """Return the evaluation of a genome; whatever goes wrong in it is part of the result.

        Parameters
        ----------
        genome, shared, stream, generation, index, leg
            See `topoevo.experiment.problem.Evaluator.evaluate`.
        """
        started = time.perf_counter()
        try:
            if leg is not None:
                return self.attempt_leg(genome, shared, leg, stream=stream, generation=generation, index=index)
            return self.attempt(genome, shared, stream=stream, generation=generation, index=index)
        except (TopoevoError, MemoryError):
            raise
        except Exception as error:  # An individual's failure is a result; the run goes on.
            return Evaluation.failed(failure_of(error), time.perf_counter() - started)


def failure_of(error: Exception) -> str:
    """Return what went wrong: the whole traceback of code that raised, and in the last line the reason.

    Parameters
    ----------
    error
        What an evaluation has raised. Of a `RolloutError` the cause is shown, that is, what an environment has raised.
    """
    shown = error.__cause__ if isinstance(error, RolloutError) else error
    reason = str(error) if isinstance(error, RolloutError) else in_one_line(error)
    if shown is None:
        return reason
    text = "".join(traceback.format_exception(shown)).rstrip()
    if not text.endswith(reason):
        text += f"\n{reason}"
    left_out = len(text) - _MAX_CHARACTERS
    if left_out > 0:
        text = f"{text[:_HEAD]}\n[... {left_out} characters ...]\n{text[_HEAD + left_out :]}"
    return text


def reason_of(failure: str) -> str:
    """Return the last line of what `failure_of` returned, in which the reason stands."""
    lines = failure.strip().splitlines()
    return lines[-1] if lines else failure
