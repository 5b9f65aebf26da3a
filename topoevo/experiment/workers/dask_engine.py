"""A dask cluster: that of a scheduler, or one of our own on this machine.

Samples are a plugin of the workers, which the scheduler hands to everyone who is there or joins, once. What dask
scatters instead is dropped and sent again between generations. The conditions of a generation are an array of bytes,
which joblib scatters: workers get it from each other. Imported only if it is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from typing import Any

import dask
import distributed
import joblib
import numpy as np
from numpy.typing import NDArray

from topoevo.errors import WorkerError, in_one_line
from topoevo.experiment.workers.engine import Lost
from topoevo.experiment.workers.joblib_engine import Call, Delivery, JoblibEngine
from topoevo.experiment.workers.parcels import Answer, Packed, Parcel, answer
from topoevo.tasks.task import Samples

_SECONDS_TO_ANSWER = 5.0
#: What kills one worker is not tried on three others, and a worker that is started again is waited for.
_OF_LOCAL_CLUSTERS = {"distributed.scheduler.allowed-failures": 0, "distributed.deploy.lost-worker-timeout": "1 day"}
_LOGGERS = ("distributed", "tornado", "asyncio")

#: Samples in this worker process, by name.
_delivered: dict[str, Samples] = {}


class SamplesPlugin(distributed.WorkerPlugin):  # type: ignore[misc]
    """Samples that a worker has as long as it lives.

    Parameters
    ----------
    name
        Unique to their content.
    samples
        The samples.
    """

    def __init__(self, name: str, samples: Samples) -> None:
        self.name = name
        self._samples = samples

    def setup(self, worker: Any) -> None:
        """Called in a worker that gets the plugin."""
        _delivered[self.name] = self._samples

    def teardown(self, worker: Any) -> None:
        """Called in a worker that gives the plugin up."""
        _delivered.pop(self.name, None)


def compute(content: NDArray[np.uint8], parcel: Parcel) -> Answer:
    """Return the evaluations of a parcel; called in a worker.

    Parameters
    ----------
    content
        The packed conditions, uint8 [num_bytes].
    parcel
        Genomes.
    """
    return answer(parcel, content.tobytes, _delivered.__getitem__)


class DaskEngine(JoblibEngine):
    """Portions computed by the workers of a dask scheduler."""

    name = "dask"

    def start(self) -> None:
        """Connect; see `JoblibEngine.start`."""
        # What they have to say to the user is said in other words.
        loggers = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in _LOGGERS]
        self._levels = {name: logging.getLogger(name).level for name in loggers}
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._config: Any = nullcontext()
        self._num_processes = self._num_workers
        self._cluster: Any = None
        self._client: Any = None
        self._plugins: set[str] = set()
        try:
            if self._address is None:
                self._cluster = self._local_cluster()
            self._client = distributed.Client(
                self._cluster or self._address, timeout=_SECONDS_TO_ANSWER, set_as_default=False
            )
            with joblib.parallel_config(backend=self.name, client=self._client) as config:
                self._backend = config["backend"]
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            self.stop()
            raise WorkerError(f"no dask scheduler answers {self.where}: {in_one_line(error)}") from error

    def _local_cluster(self) -> Any:
        """Processes on this machine that end with this one."""
        self._config = dask.config.set(_OF_LOCAL_CLUSTERS)
        return distributed.LocalCluster(
            n_workers=self._num_workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )

    def stop(self) -> None:
        """Disconnect; see `JoblibEngine.stop`."""
        with suppress(Exception):
            for name in self._plugins if self._cluster is None else ():
                self._client.unregister_worker_plugin(name)
        for one in (self._client, self._cluster):
            with suppress(Exception):
                if one is not None:
                    one.close(timeout=1)
        with self._config:
            pass
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def count_workers(self) -> int:
        """Return the threads of all workers."""
        self._replace_workers()
        return sum(self._client.nthreads().values())

    def check(self) -> None:
        """Look after the scheduler, and after our own workers; see `JoblibEngine.check`."""
        super().check()
        self._replace_workers()

    def _replace_workers(self) -> None:
        """Start our own workers that dask has given up."""
        if self._cluster is not None and len(self._cluster.workers) < self._num_processes:
            self._cluster.scale(self._num_processes)

    def backend(self) -> Any:
        """Return joblib's backend."""
        return self._backend

    def deliver(self, packed: Packed, *, again: bool) -> Delivery:
        """Hand samples to all workers; see `JoblibEngine.deliver`."""
        for name, samples in packed.samples.items():
            if again or name not in self._plugins:
                self._client.register_plugin(SamplesPlugin(name, samples), name=name)
                self._plugins.add(name)
        return Delivery(packed, np.frombuffer(bytearray(packed.content), np.uint8))

    def call(self, parcel: Parcel, delivery: Delivery) -> Call:
        """Return what a worker is to do."""
        return Call(compute, delivery.handle, parcel)

    def submit(self, backend: Any, call: Call, on_done: Callable[[Any], None]) -> None:
        """Hand a call to the backend; see `JoblibEngine.submit`."""
        # The callback of joblib is not called after an error; the future knows of both.
        future: Future[Any] = backend.submit(call, callback=lambda out: None)
        future.add_done_callback(lambda done: on_done(done.exception() or done.result()))

    def judge(self, error: BaseException) -> Lost | None:
        """Return how a portion was lost; see `JoblibEngine.judge`."""
        # Cancelled: with its worker, the only copy of the conditions was lost, or the scheduler was restarted.
        if isinstance(error, (distributed.CancelledError, distributed.client.FutureCancelledError)):
            return None
        if isinstance(error, distributed.KilledWorker):
            return Lost(
                "its worker ended: what it computed crashed it, or there was too little memory, or the machine was gone"
            )
        return Lost(in_one_line(error))

    def is_connected(self) -> bool:
        """Return whether there is a connection to the scheduler."""
        return bool(self._client.status == "running")

    def give_up(self) -> None:
        """Do nothing: what a client has asked for is forgotten when it leaves."""
