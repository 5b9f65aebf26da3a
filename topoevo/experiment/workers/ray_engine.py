"""A ray cluster: that of an address, or one of our own on this machine.

Samples and conditions lie in ray's object store, once on every machine; its processes read samples where they lie.
joblib's backend keeps a pool of as many processes as the cluster had cores when it was made: it is made anew before
portions are sent if a process was lost or the number of cores has changed. Imported only if it is asked for.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import joblib
import ray
from ray.exceptions import RayActorError, RayError
from ray.util.joblib import register_ray

from topoevo.errors import WorkerError, in_one_line
from topoevo.experiment.workers.engine import Lost
from topoevo.experiment.workers.joblib_engine import Call, Delivery, JoblibEngine
from topoevo.experiment.workers.parcels import Answer, Packed, Parcel, answer

#: joblib takes a pool of one process for none.
_MIN_PROCESSES = 2
#: Cores of processes that have ended are free again after some time, in seconds.
_SECONDS_TO_FREE_CORES = 5.0


def compute(content: Any, samples: dict[str, Any], parcel: Parcel) -> Answer:
    """Return the evaluations of a parcel; called in a worker.

    Parameters
    ----------
    content, samples
        References to the packed conditions, and to samples by their names.
    parcel
        Genomes.
    """
    return answer(parcel, lambda: ray.get(content), lambda name: ray.get(samples[name]))


class RayEngine(JoblibEngine):
    """Portions computed by the processes of a ray cluster."""

    name = "ray"

    def start(self) -> None:
        """Connect; see `JoblibEngine.start`."""
        self._backend: Any = None
        self._num_cores = 0
        self._samples: dict[str, Any] = {}
        register_ray()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
        try:
            if self._address is None:
                num_cores = max(_MIN_PROCESSES, self._num_workers)
                ray.init(address="local", num_cpus=num_cores, include_dashboard=False, **quiet)
            else:
                ray.init(address=self._address, **quiet)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            raise WorkerError(f"no ray cluster answers {self.where}: {in_one_line(error)}") from error

    def keep_signals(self) -> None:
        """Hear SIGTERM as before, which ray would answer by ending this process within seconds."""
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "alarm"):
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
            signal.alarm(0)

    def stop(self) -> None:
        """Disconnect; see `JoblibEngine.stop`."""
        self._samples.clear()
        with suppress(Exception):
            self._end_processes()
        ray.shutdown()

    def count_workers(self) -> int:
        """Return the cores of the cluster."""
        return int(ray.cluster_resources().get("CPU", 0))

    def backend(self) -> Any:
        """Return joblib's backend, with processes for all cores that are free."""
        if self._backend is not None and self._num_cores == self.count_workers():
            return self._backend
        self._end_processes()
        self._num_cores = self.count_workers()
        num_free = self._free_cores()
        num_processes = max(_MIN_PROCESSES, num_free)
        with joblib.parallel_config(
            backend=self.name,
            n_jobs=num_processes,
            ray_remote_args={"num_cpus": min(1.0, num_free / num_processes)},
        ) as config:
            backend = config["backend"]
        backend.configure(n_jobs=num_processes)
        self._backend = backend
        return backend

    def _free_cores(self) -> int:
        """Cores that nobody uses, after those of our own processes are free again; at least 1."""
        until = time.monotonic() + _SECONDS_TO_FREE_CORES
        while True:
            num_free = int(ray.available_resources().get("CPU", 0))
            if num_free == self._num_cores or (num_free > 0 and time.monotonic() > until):
                return num_free
            time.sleep(0.1)

    def _end_processes(self) -> None:
        """End the pool that there is."""
        if self._backend is not None:
            self._backend.terminate()
            self._backend = None

    def deliver(self, packed: Packed, *, again: bool) -> Delivery:
        """Put conditions into the object store; see `JoblibEngine.deliver`."""
        self._samples = {
            name: self._samples[name] if name in self._samples and not again else ray.put(samples)
            for name, samples in packed.samples.items()
        }
        return Delivery(packed, (ray.put(packed.content), self._samples))

    def call(self, parcel: Parcel, delivery: Delivery) -> Call:
        """Return what a worker is to do."""
        return Call(compute, *delivery.handle, parcel)

    def submit(self, backend: Any, call: Call, on_done: Callable[[Any], None]) -> None:
        """Hand a call to the backend; see `JoblibEngine.submit`."""
        backend.submit(call, callback=on_done)

    def judge(self, error: BaseException) -> Lost | None:
        """Return how a portion was lost; see `JoblibEngine.judge`."""
        if isinstance(error, RayActorError):
            # What else waits for this process is lost, too; it is not started again.
            self._num_cores = 0
            return Lost(
                "its worker ended: what it computed crashed it, or there was too little memory, or the machine was gone"
            )
        return Lost(in_one_line(error))

    def is_connected(self) -> bool:
        """Return whether there is a connection to the cluster."""
        return bool(ray.is_initialized())

    def give_up(self) -> None:
        """End the processes, whatever they compute."""
        with suppress(Exception):
            self._end_processes()
