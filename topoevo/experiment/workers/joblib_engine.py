"""Portions computed on many machines, through a backend that is registered with joblib.

joblib's backends know how to reach a cluster; of them, only `submit` is used, one call for every portion, so that what
happens to one is known of that one alone.
"""

from __future__ import annotations

import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from topoevo.errors import TopoevoError, WorkerError, in_one_line
from topoevo.evolution import Evaluation
from topoevo.experiment.workers.engine import SECONDS_BETWEEN_LOOKS, Lost, Patience, Portion
from topoevo.experiment.workers.errands import Errands
from topoevo.experiment.workers.parcels import (
    Answer,
    Foreign,
    Missing,
    Packed,
    Packing,
    Parcel,
    Versions,
    versions_here,
)

if TYPE_CHECKING:
    from typing_extensions import Self

#: A portion that was sent so often without its own fault is lost.
_MAX_SENDINGS = 10
#: What travels is worth the way from so many seconds on, and a scheduler needs about so many for each portion.
_MIN_SECONDS_A_PORTION, _SECONDS_OF_SCHEDULER = 0.1, 2e-3
#: A connection that is lost may come back.
_SECONDS_TO_RECONNECT = 10.0
#: A cluster that does not let go in this time, in seconds, is left to itself.
_SECONDS_TO_LEAVE = 2.5
T = TypeVar("T")


class Call:
    """What joblib hands to a backend: a sequence of calls, here always one.

    Parameters
    ----------
    function, arguments
        What is called in the worker.
    """

    def __init__(self, function: Callable[..., Answer], *arguments: Any) -> None:
        self.items: list[tuple[Callable[..., Answer], tuple[Any, ...], dict[str, Any]]] = [(function, arguments, {})]

    def __call__(self) -> list[Answer]:
        """Return the results of the calls."""
        return [function(*arguments) for function, arguments, _ in self.items]


@dataclass(frozen=True, eq=False)
class Delivery:
    """Conditions on their way.

    Parameters
    ----------
    packed
        The conditions.
    handle
        What the engine puts into a call in their place.
    """

    packed: Packed
    handle: Any


@dataclass(frozen=True, eq=False)
class _Sent:
    """A portion on its way, with the conditions that it was sent with, for the so manieth time."""

    portion: Portion
    delivery: Delivery
    times: int = 1


class JoblibEngine(ABC):
    """A cluster that computes portions; one subclass for every kind.

    Parameters
    ----------
    num_workers
        Processes to start, where there is no cluster.
    address
        Where the scheduler listens; None starts processes on this machine.
    say
        Told what the user should know.
    timeout
        Seconds after which a worker gives a portion up, and itself; None waits for ever.
    """

    #: Name of joblib's backend, and of the extra that installs it.
    name: ClassVar[str]

    def __init__(
        self,
        num_workers: int,
        address: str | None = None,
        *,
        say: Callable[[str], None] = lambda words: None,
        timeout: float | None = None,
    ) -> None:
        self._address = address
        self._say = say
        self._timeout = timeout
        self._num_workers = num_workers
        self._packing = Packing()
        self._delivery: Delivery | None = None
        self._said: set[Versions] = set()
        self._connected_at = time.monotonic()
        self._is_started = False

    @property
    def num_workers(self) -> int:
        """Workers when they were last counted, at least 1."""
        return max(1, self._num_workers)

    @property
    def seconds_a_portion(self) -> float:
        """How long a portion of short evaluations is to take."""
        return max(_MIN_SECONDS_A_PORTION, _SECONDS_OF_SCHEDULER * self.num_workers)

    @property
    def where(self) -> str:
        """Where the cluster is, in words."""
        return "on this machine" if self._address is None else f"at {self._address}"

    def check(self) -> None:
        """Look after the cluster while nothing arrives.

        Raises
        ------
        WorkerError
            If it is gone.
        """
        if self.is_connected():
            self._connected_at = time.monotonic()
        elif time.monotonic() - self._connected_at > _SECONDS_TO_RECONNECT:
            raise WorkerError(
                f"the {self.name} cluster {self.where} does not answer any more; what is finished is saved: when it is"
                " back, go on with `topoevo resume`"
            )

    def __enter__(self) -> Self:
        # It is reached when there is something to compute, since it may take long and a user may have enough of it.
        self._errands = Errands()
        return self

    def __exit__(self, *error: object) -> None:
        self._delivery = None
        if self._is_started:
            with suppress(TimeoutError):
                self._errands.run(self.stop, lambda: None, timeout=_SECONDS_TO_LEAVE)
        self._errands.dismiss()

    def compute(
        self, portions: Sequence[Portion], on_wait: Callable[[], None]
    ) -> Iterator[tuple[Portion, list[tuple[int, Evaluation]] | Lost]]:
        """Yield every portion once, in the order of arrival; see `topoevo.experiment.workers.engine.Engine`."""
        patience = Patience(on_wait)
        if not self._is_started:
            self._is_started = True

            def look() -> None:
                self.keep_signals()
                patience.look()

            self._errands.run(self.start, look)
            self.keep_signals()
        self._await_workers(patience.look)
        backend = self._ask(self.backend, patience.look)
        arrived: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        sent: dict[int, _Sent] = {}

        def send(number: int, one: _Sent) -> None:
            sent[number] = one
            call = self.call(self._parcel(one), one.delivery)
            self.submit(backend, call, lambda out: arrived.put((number, out)))

        backend.start_call()
        try:
            for number, portion in enumerate(portions):
                send(number, _Sent(portion, self._delivered(portion, patience.look)))
                patience.look()
            while sent:
                try:
                    number, out = arrived.get(timeout=SECONDS_BETWEEN_LOOKS)
                except queue.Empty:
                    self.check()
                else:
                    one = sent.pop(number)
                    outcome = self._outcome(backend, out)
                    if outcome is not None and not isinstance(outcome, Missing):
                        yield one.portion, outcome
                    elif one.times == _MAX_SENDINGS:
                        yield one.portion, Lost(f"its worker was lost {one.times} times")
                    else:
                        send(number, self._once_more(one, samples=isinstance(outcome, Missing), on_wait=patience.look))
                patience.look()
        finally:
            if sent:
                self.give_up()
            backend.stop_call()
            with suppress(Exception):
                self._num_workers = self._errands.run(self.count_workers, lambda: None, timeout=SECONDS_BETWEEN_LOOKS)
        patience.end()

    def _parcel(self, one: _Sent) -> Parcel:
        """What is particular to a portion."""
        portion, name = one.portion, one.delivery.packed.name
        return Parcel(
            name,
            portion.genomes,
            portion.indices,
            portion.stream,
            portion.generation,
            versions_here(),
            self._timeout,
            portion.legs,
        )

    def _once_more(self, one: _Sent, *, samples: bool, on_wait: Callable[[], None]) -> _Sent:
        """What is sent in place of a portion that did not arrive, after what it needs has been sent again."""
        if one.delivery is self._delivery:
            self._delivery = self._ask(lambda: self.deliver(one.delivery.packed, again=samples), on_wait)
        return _Sent(one.portion, self._delivered(one.portion, on_wait), one.times + 1)

    def _await_workers(self, on_wait: Callable[[], None]) -> None:
        """Wait until there is at least one worker."""
        self._num_workers = self._ask(self.count_workers, on_wait)
        if self._num_workers == 0 and self._address is not None:
            self._say(f"waiting for workers to join the {self.name} cluster {self.where} ...")
        while self._num_workers == 0:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            self._num_workers = self._ask(self.count_workers, on_wait)

    def _ask(self, action: Callable[[], T], on_wait: Callable[[], None]) -> T:
        """What an action of the cluster returns, once it is connected."""
        while True:
            try:
                return self._errands.run(action, on_wait)
            except TopoevoError:
                raise
            except Exception as error:
                if self.is_connected():
                    raise WorkerError(
                        f"the {self.name} cluster {self.where} has failed: {in_one_line(error)}"
                    ) from error
            on_wait()
            time.sleep(SECONDS_BETWEEN_LOOKS)
            self.check()

    def _delivered(self, portion: Portion, on_wait: Callable[[], None]) -> Delivery:
        """The conditions of a portion, delivered if they have not been."""
        try:
            packed = self._packing.pack(portion.evaluator, portion.shared)
        except Exception as error:
            raise WorkerError(
                f"what evaluates networks cannot be sent to another machine ({in_one_line(error)}); take joblib_backend"
                " threading"
            ) from error
        if self._delivery is None or self._delivery.packed is not packed:
            self._delivery = self._ask(lambda: self.deliver(packed, again=False), on_wait)
        return self._delivery

    def _outcome(self, backend: Any, out: Any) -> list[tuple[int, Evaluation]] | Lost | Missing | None:
        """What has become of a portion; None where it is to be sent once more."""
        try:
            if isinstance(out, BaseException):
                raise out
            [answer] = backend.retrieve_result_callback(out)
        except TopoevoError:
            raise
        except (ImportError, AttributeError) as error:
            raise WorkerError(
                f"a worker cannot load this program ({in_one_line(error)}): install topoevo {versions_here().topoevo},"
                " and what it needs, on all machines"
            ) from error
        except BaseException as error:
            return self.judge(error)
        assert isinstance(answer, Answer)
        if isinstance(answer.content, Foreign):
            raise WorkerError(
                f"a worker has topoevo {answer.versions.topoevo} instead of {versions_here().topoevo}: install the same"
                " version on all machines"
            )
        self._compare(answer.versions)
        return answer.content

    def _compare(self, there: Versions) -> None:
        """Say what is different in a worker, once for each difference."""
        if there not in self._said:
            self._said.add(there)
            differences = versions_here().differences(there)
            if differences:
                self._say(f"a worker has {differences}: its results may differ in their last digits")

    # -- what a kind of cluster has to say ----------------------------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """Reach the cluster, or start one.

        Raises
        ------
        WorkerError
            If nobody answers.
        """

    def keep_signals(self) -> None:  # noqa: B027 - most clusters leave signals alone
        """Take signals back that the cluster has taken for itself while it started."""

    @abstractmethod
    def stop(self) -> None:
        """Leave the cluster, and end it if it is one's own."""

    @abstractmethod
    def count_workers(self) -> int:
        """Return how many portions the cluster computes at a time."""

    @abstractmethod
    def backend(self) -> Any:
        """Return joblib's backend."""

    @abstractmethod
    def deliver(self, packed: Packed, *, again: bool) -> Delivery:
        """Make conditions known to the workers.

        Parameters
        ----------
        packed
            The conditions.
        again
            Whether a worker has said that it lacks the samples.
        """

    @abstractmethod
    def call(self, parcel: Parcel, delivery: Delivery) -> Call:
        """Return what a worker is to do.

        Parameters
        ----------
        parcel, delivery
            Genomes and conditions.
        """

    @abstractmethod
    def submit(self, backend: Any, call: Call, on_done: Callable[[Any], None]) -> None:
        """Hand a call to the backend.

        Parameters
        ----------
        backend
            What `backend` returned.
        call
            What `call` returned.
        on_done
            Called in any thread with what came back, or with the exception.
        """

    @abstractmethod
    def judge(self, error: BaseException) -> Lost | None:
        """Return how a portion was lost, or None where it is to be sent once more.

        Parameters
        ----------
        error
            What came back in its place.
        """

    @abstractmethod
    def is_connected(self) -> bool:
        """Return whether the cluster can be asked."""

    @abstractmethod
    def give_up(self) -> None:
        """Forget about portions that are not done."""
