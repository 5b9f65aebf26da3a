"""The population's evaluations on several cores, in an order that does not matter.

Threads are those of the standard library; processes, on this machine or others, are joblib's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from topoevo.errors import WorkerError
from topoevo.evolution import Evaluation
from topoevo.experiment.problem import Conditions, Evaluator
from topoevo.genome import Genome
from topoevo.seeds import Stream

if TYPE_CHECKING:
    from typing_extensions import Self

#: Threads are handed several short evaluations at once, so that every worker gets about this many portions.
_PORTIONS_A_WORKER = 8
_SWITCH_INTERVAL = 1e-4  #: seconds
_SECONDS_BETWEEN_LOOKS = 0.2


class Workers:
    """A pool of workers that is kept from generation to generation.

    Parameters
    ----------
    num_workers
        Workers; -1 stands for all cores, 1 evaluates in the calling thread.
    backend
        ``threading`` (compiled code runs in parallel, data is shared) or ``loky`` (processes).
    """

    def __init__(self, num_workers: int, backend: str) -> None:
        import joblib

        self.num_workers = joblib.effective_n_jobs(num_workers)
        self._threads: ThreadPoolExecutor | None = None
        self._parallel: Any = None
        if self.num_workers > 1 and backend == "threading":
            # joblib looks for results of threads every 10 ms, which is longer than many a training.
            self._threads = ThreadPoolExecutor(self.num_workers, thread_name_prefix="worker")
        elif self.num_workers > 1:
            self._parallel = joblib.Parallel(
                n_jobs=self.num_workers, backend=backend, return_as="generator_unordered", max_nbytes="1M"
            )

    def __enter__(self) -> Self:
        # A thread that comes back from compiled code waits this long for one that runs Python; the default of 5 ms is
        # longer than a short training.
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        if self._parallel is not None:
            self._parallel.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setswitchinterval(self._switch_interval)
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        if self._parallel is not None:
            self._parallel.__exit__(kind, error, trace)

    def evaluate(
        self,
        evaluator: Evaluator[Any],
        genomes: Sequence[Genome],
        shared: Conditions,
        *,
        stream: Stream = Stream.LEARNING,
        generation: int,
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
        on_result
            Called in this thread with each index and evaluation as it arrives.
        on_wait
            Called in this thread after every result, and now and then while there is none; may raise to give up.
        """
        longest_first = sorted(range(len(genomes)), key=lambda index: (-len(genomes[index].connections), index))
        evaluations: dict[int, Evaluation] = {}
        address = stream, generation
        for index, evaluation in self._results(evaluator, genomes, shared, address, longest_first, on_wait):
            evaluations[index] = evaluation
            on_result(index, evaluation)
            on_wait()
        return [evaluations[index] for index in range(len(genomes))]

    def _results(
        self,
        evaluator: Evaluator[Any],
        genomes: Sequence[Genome],
        shared: Conditions,
        address: tuple[Stream, int],
        order: list[int],
        on_wait: Callable[[], None],
    ) -> Iterator[tuple[int, Evaluation]]:
        """Pairs of index and evaluation in the order of their arrival."""
        if self.num_workers == 1:
            for index in order:
                yield from _evaluate_portion(evaluator, [genomes[index]], shared, address, [index])
            return
        # Every k-th of the sorted list goes into one portion, so that portions take about equally long.
        num_portions = max(1, min(len(order), self.num_workers * _PORTIONS_A_WORKER))
        portions = [order[start::num_portions] for start in range(num_portions)]
        calls = [(evaluator, [genomes[i] for i in portion], shared, address, portion) for portion in portions]
        if self._threads is not None:
            shared.prepare()
            waiting = {self._threads.submit(_evaluate_portion, *call) for call in calls}
            while waiting:
                done, waiting = wait(waiting, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
                on_wait()
            return
        from concurrent.futures.process import BrokenProcessPool

        import joblib

        try:
            for results in self._parallel(joblib.delayed(_evaluate_portion)(*call) for call in calls):
                yield from results
        except Exception as error:
            # Ctrl-C reaches worker processes too, and their end looks like an accident.
            on_wait()
            if isinstance(error, BrokenProcessPool):
                raise WorkerError(
                    "a worker process has ended: what it computed crashed it, or there was too little memory (then "
                    "take fewer workers)"
                ) from error
            raise


def _evaluate_portion(
    evaluator: Evaluator[Any],
    genomes: list[Genome],
    shared: Conditions,
    address: tuple[Stream, int],
    indices: list[int],
) -> list[tuple[int, Evaluation]]:
    """What one worker does at a time."""
    stream, generation = address
    return [
        (index, evaluator.evaluate(genome, shared, stream=stream, generation=generation, index=index))
        for index, genome in zip(indices, genomes, strict=True)
    ]
