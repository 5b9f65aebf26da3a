"""The population's evaluations, by any number of workers and in any order; what is lost is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from topoevo.errors import WorkerError
from topoevo.evolution import Evaluation
from topoevo.experiment.params import Params
from topoevo.experiment.problem import Conditions, Evaluator, Leg
from topoevo.experiment.workers.engine import Engine, Lost, Portion, legs_of
from topoevo.experiment.workers.processes import ProcessEngine
from topoevo.experiment.workers.threads import ThreadEngine
from topoevo.genome import Genome
from topoevo.seeds import Stream

if TYPE_CHECKING:
    from typing_extensions import Self

#: Short evaluations are handed out several at a time: so many that they take as long as the engine likes, at most this
#: part of the time that a single one may take,
_PART_OF_TIMEOUT = 0.25
#: and so few that every worker gets about this many portions.
_PORTIONS_A_WORKER = 8
#: Where so many portions in a row are lost, and for every worker so many, and none was ever computed, the run ends.
_MOST_LOST, _MOST_LOST_A_WORKER = 20, 3

_Evaluations = list[tuple[int, Evaluation]]


class Workers:
    """Workers that are kept from generation to generation.

    A portion that is lost, since its worker has ended or hangs or had too little memory, is tried again, genome by
    genome. A genome that is lost twice is evaluated once more with nothing beside it, unless it was given up for the
    time it took. If it is lost then too, its evaluation is a failure with the reason. The others are not touched.

    Parameters
    ----------
    num_workers
        Workers; -1 stands for all cores.
    backend
        ``threading`` (compiled code runs in parallel, data is shared), ``loky`` (processes), ``dask`` or ``ray``.
    evaluation_timeout
        Seconds that an evaluation may take; None stands for any time.
    scheduler_address
        Where the scheduler of a cluster listens; None starts one on this machine, with so many workers.
    say
        Told what the user should know of a cluster.
    """

    def __init__(
        self,
        num_workers: int,
        backend: str,
        *,
        evaluation_timeout: float | None = None,
        scheduler_address: str | None = None,
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._engine = _engine(num_workers, backend, evaluation_timeout, scheduler_address, say)
        self._timeout = evaluation_timeout
        self._seconds: float | None = None
        self._num_lost_in_a_row = 0
        self._has_computed = False

    @staticmethod
    def from_params(params: Params, say: Callable[[str], None] = lambda words: None) -> Workers:
        """Return the workers that the settings describe; `say` is told what the user should know of a cluster."""
        return Workers(
            params.num_workers,
            params.joblib_backend,
            evaluation_timeout=params.evaluation_timeout,
            scheduler_address=params.scheduler_address,
            say=say,
        )

    @property
    def num_workers(self) -> int:
        """Evaluations that run at the same time, at present."""
        return self._engine.num_workers

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._engine.__exit__(*error)

    def evaluate(
        self,
        evaluator: Evaluator[Any],
        genomes: Sequence[Genome],
        shared: Conditions,
        *,
        stream: Stream = Stream.LEARNING,
        generation: int,
        known: Mapping[int, Evaluation] = MappingProxyType({}),
        legs: Mapping[int, Leg] = MappingProxyType({}),
        on_result: Callable[[int, Evaluation], None] = lambda index, evaluation: None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> list[Evaluation]:
        """Return the evaluation of every genome, in their order.

        Parameters
        ----------
        evaluator, shared
            How, and on what.
        genomes
            Evaluated with the random numbers of their place in this sequence, the largest first.
        stream, generation
            Part of the address of their random numbers.
        known
            Evaluations that there are already, by place; they are returned as they are.
        legs
            Which part of their training is to be done, by place; those without are trained from beginning to end.
        on_result
            Called in this thread with each index and evaluation as it arrives; not with those that are known.
        on_wait
            Called in this thread at least every .2 s; may raise to give up. Then nothing more is started, and what is
            finished within two seconds arrives still, before this raises the same.

        Raises
        ------
        WorkerError
            If evaluations are impossible, whatever the genome.
        """
        evaluations = dict(known)
        order = [index for index in range(len(genomes)) if index not in known]
        order.sort(key=lambda index: (-len(genomes[index].connections), index))
        seconds = []

        def compute(indices: list[int]) -> None:
            portions = [
                Portion(
                    evaluator,
                    shared,
                    tuple(genomes[i] for i in part),
                    tuple(part),
                    stream,
                    generation,
                    legs_of(legs, part),
                )
                for part in self._parts(indices)
            ]
            for index, evaluation in self._results(portions, on_wait):
                evaluations[index] = evaluation
                if evaluation.failure is None:
                    seconds.append(evaluation.seconds)
                on_result(index, evaluation)

        num_first = 2 * self.num_workers
        if self._seconds is None and len(order) > 2 * num_first:
            # How long one takes is not known yet; the largest ones show it.
            compute(order[:num_first])
            self._seconds = sum(seconds) / len(seconds) if seconds else None
            order = order[num_first:]
        compute(order)
        self._seconds = sum(seconds) / len(seconds) if seconds else self._seconds
        return [evaluations[index] for index in range(len(genomes))]

    def evaluate_one(
        self,
        evaluator: Evaluator[Any],
        genome: Genome,
        shared: Conditions,
        *,
        stream: Stream,
        generation: int,
        index: int,
        leg: Leg | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Evaluation:
        """Return the evaluation of one genome in a worker.

        Parameters
        ----------
        evaluator, genome, shared
            How, what, and on what.
        stream, generation, index
            Address of its random numbers.
        leg
            The part of the training that is to be done; None stands for all of it.
        on_wait
            See `evaluate`.
        """
        legs = {} if leg is None else {index: leg}
        portion = Portion(evaluator, shared, (genome,), (index,), stream, generation, legs)
        ((_, evaluation),) = self._results([portion], on_wait)
        return evaluation

    def _parts(self, indices: list[int]) -> list[list[int]]:
        """Indices of each portion: every k-th of the sorted list, so that portions take about equally long."""
        size = 1
        if self._seconds is not None:
            seconds = self._engine.seconds_a_portion
            if self._timeout is not None:
                seconds = min(seconds, _PART_OF_TIMEOUT * self._timeout)
            size = max(1, int(seconds / max(self._seconds, 1e-9)))
        most = -(-len(indices) // size)
        num_parts = min(len(indices), max(most, self.num_workers * _PORTIONS_A_WORKER))
        return [indices[start::num_parts] for start in range(num_parts)]

    def _results(self, portions: list[Portion], on_wait: Callable[[], None]) -> Iterator[tuple[int, Evaluation]]:
        """Pairs of index and evaluation in the order of their arrival; see the class for what is lost."""
        again: list[Portion] = []
        for portion, result in self._computed(portions, on_wait):
            if isinstance(result, Lost):
                again += portion.singles()
            else:
                yield from result
        alone: list[Portion] = []
        for portion, result in self._computed(again, on_wait):
            if not isinstance(result, Lost):
                yield from result
            elif result.overdue:
                yield _failure(portion, result)
            else:
                alone.append(portion)
        for single in alone:
            for portion, result in self._computed([single], on_wait):
                if isinstance(result, Lost):
                    yield _failure(portion, result)
                else:
                    yield from result

    def _computed(
        self, portions: list[Portion], on_wait: Callable[[], None]
    ) -> Iterator[tuple[Portion, _Evaluations | Lost]]:
        """What the engine yields, unless it is nothing but losses."""
        for portion, result in self._engine.compute(portions, on_wait) if portions else ():
            if isinstance(result, Lost):
                self._num_lost_in_a_row += 1
                most = max(_MOST_LOST, _MOST_LOST_A_WORKER * self.num_workers)
                if not self._has_computed and self._num_lost_in_a_row >= most:
                    raise WorkerError(
                        f"not one of {self._num_lost_in_a_row} evaluations came to its end:"
                        f" {result.reason.splitlines()[-1]}"
                    )
            else:
                self._has_computed, self._num_lost_in_a_row = True, 0
            yield portion, result


def _failure(portion: Portion, lost: Lost) -> tuple[int, Evaluation]:
    """Index and evaluation of a genome that is given up."""
    (index,) = portion.indices
    return index, Evaluation.failed(lost.reason, 0.0)


def _engine(
    num_workers: int, backend: str, timeout: float | None, address: str | None, say: Callable[[str], None]
) -> Engine:
    """The engine of a backend."""
    import joblib

    count = joblib.effective_n_jobs(num_workers)
    if backend == "loky":
        return ProcessEngine(count, timeout=timeout)
    if backend == "dask":
        from topoevo.experiment.workers.dask_engine import DaskEngine

        return DaskEngine(count, address, say=say, timeout=timeout)
    if backend == "ray":
        from topoevo.experiment.workers.ray_engine import RayEngine

        return RayEngine(count, address, say=say, timeout=timeout)
    return ThreadEngine(count, timeout=timeout)
