"""One evaluation once more, as the run has made it."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from topoevo.evolution import Evaluation
from topoevo.evolution.moments import Moments
from topoevo.experiment.failure import failure_of
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import Params
from topoevo.experiment.problem import Leg
from topoevo.experiment.race import racing_of
from topoevo.genome import Genome
from topoevo.rollouts import RolloutError
from topoevo.seeds import Stream
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Task


def evaluated_again(
    genome: Genome,
    params: Params,
    task: Task | Environment,
    *,
    stream: Stream,
    generation: int,
    index: int,
    say: Callable[[str], None],
    rung: int | None = None,
    moments: Moments | None = None,
    debug: bool = False,
) -> Evaluation:
    """Return the evaluation at one address, made in this process.

    Parameters
    ----------
    genome
        As it went into the evaluation.
    params, task
        Settings and data of the run.
    stream, generation, index
        Address of the random numbers.
    say
        Is told what takes long before the evaluation begins.
    rung
        Of a race, where it was stopped; None if it was not.
    moments
        What the optimizer began with.
    debug
        Whether Python's debugger is entered where an exception is raised; afterwards it is a failure as any other.
    """
    evaluator, problem = judging_of(params, task)
    evaluator.prepare(say)
    shared = problem.shared(Stream.SHARED if stream is Stream.LEARNING else stream, generation)
    shared.prepare()
    racing = racing_of(params)
    if rung is not None and racing is not None:
        rungs = racing.rungs(shared.num_steps)
        stops = rungs[min(rung, len(rungs) - 1)]
        leg = Leg(stops[params.islands.island(generation, index) if len(stops) > 1 else 0], moments=moments)
        found = evaluator.evaluate(genome, shared, stream=stream, generation=generation, index=index, leg=leg)
        return replace(found, rung=rung)
    whole = None if moments is None else Leg(shared.epochs.size, moments=moments)
    if not debug:
        return evaluator.evaluate(genome, shared, stream=stream, generation=generation, index=index, leg=whole)
    started = time.perf_counter()
    try:
        if whole is not None:
            return evaluator.attempt_leg(genome, shared, whole, stream=stream, generation=generation, index=index)
        return evaluator.attempt(genome, shared, stream=stream, generation=generation, index=index)
    except Exception as error:
        traceback.print_exc()
        _examine(error.__cause__ if isinstance(error, RolloutError) and error.__cause__ else error)
        return Evaluation.failed(failure_of(error), time.perf_counter() - started)


def _examine(error: Any) -> None:
    """Enter the debugger where an exception was raised; Ctrl-C is the debugger's meanwhile, and ends nothing."""
    import pdb

    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        descriptor = signal.set_wakeup_fd(-1)
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        pdb.post_mortem(error.__traceback__)
    finally:
        if in_main:
            signal.signal(signal.SIGINT, handler)
            signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
