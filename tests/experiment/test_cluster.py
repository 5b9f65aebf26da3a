"""Workers of a dask cluster: processes of their own, that come and go."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import cloudpickle
import numpy as np
import pytest

from topoevo.errors import WorkerError
from topoevo.evolution import Evaluation
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import Params
from topoevo.experiment.workers import Workers, parcels
from topoevo.experiment.workers.parcels import Packing, versions_here
from topoevo.seeds import Stream, generator

distributed = pytest.importorskip("distributed", reason="needs the extra dask")
# Workers of a cluster cannot import test files.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Nothing:
    """Conditions that are the same for all."""

    def prepare(self) -> None:
        pass


@dataclass
class Obeying:
    """Evaluates by the address of random numbers alone, after it has done what it was told to do."""

    folder: Path
    acts: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    remedy: str = ""

    def prepare(self, say) -> None:
        pass

    def evaluate(self, genome, shared, *, stream, generation, index):
        with (self.folder / f"{index}").open("a") as calls:
            calls.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        act = self.acts.get(index, "")
        if act.startswith("once "):
            mark = self.folder / f"{index}-done"
            act = act if mark.exists() else act.removeprefix("once ")
            mark.touch()
        if act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "exit":
            sys.exit(3)
        if act == "hang":
            time.sleep(60)
        reward = float(generator(0, stream, generation, index).random())
        return Evaluation(reward, reward, None, np.full(3, reward, np.float32), 1e-3)

    def processes(self) -> set[str]:
        """Those that have evaluated something."""
        files = [file for file in self.folder.iterdir() if file.name.isdecimal()]
        return {pid for file in files for pid in file.read_text().split()}


def start_cluster(num_workers: int):
    return distributed.LocalCluster(
        n_workers=num_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL + 1
    )


@pytest.fixture(scope="module")
def cluster():
    with start_cluster(2) as one:
        yield one


@pytest.fixture(scope="module")
def genomes(evolve):
    return [evolve(seed, num_mutations=seed % 7) for seed in range(24)]


def expected(number: int) -> list[float]:
    return [float(generator(0, Stream.LEARNING, 4, index).random()) for index in range(number)]


def rewards(workers, evaluator, genomes, **wishes) -> list[float]:
    return [one.reward for one in workers.evaluate(evaluator, genomes, Nothing(), generation=4, **wishes)]


def digests(workers_of_run: dict[str, object]) -> tuple[list[str], Experiment]:
    """Digests of three generations."""
    params = Params.model_validate(
        {"population_size": 8, "tournament_size": 2, "num_epochs": 1, "num_generations": 3, "num_samples": 128}
        | workers_of_run
    )
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params) as workers:
        return [experiment.step(workers).digest for _ in range(3)], experiment


def test_generations_have_the_same_bytes_as_in_threads_and_samples_travel_once(cluster):
    from topoevo.experiment.workers.dask_engine import DaskEngine, SamplesPlugin

    deliveries, sizes = [], []

    def delivered(self, name, samples):
        deliveries.append(name)
        self.name, self._samples = name, samples

    def call(self, parcel, delivery, original=DaskEngine.call):
        made = original(self, parcel, delivery)
        sizes.append(len(pickle.dumps(made.items)))
        return made

    with patch.object(SamplesPlugin, "__init__", delivered), patch.object(DaskEngine, "call", call):
        over_dask, experiment = digests({"joblib_backend": "dask", "scheduler_address": cluster.scheduler_address})
    assert over_dask == digests({"num_workers": 1})[0]
    assert len(deliveries) == 1
    # Portions have one to eight genomes, and the order of 128 samples.
    assert len(sizes) >= 3 and max(sizes) < 20_000 < experiment.task.train.inputs.nbytes


def test_what_kills_its_worker_costs_nobody_else_anything(cluster, genomes, tmp_path):
    evaluator = Obeying(tmp_path, {3: "once kill"}, seconds=0.02)
    with Workers(1, "dask", scheduler_address=cluster.scheduler_address) as workers:
        assert rewards(workers, evaluator, genomes[:12]) == expected(12)
    assert (tmp_path / "3-done").exists()


@pytest.mark.slow
def test_a_worker_that_joins_is_given_work(cluster, genomes, tmp_path):
    evaluator = Obeying(tmp_path, seconds=0.3)
    with Workers(1, "dask", scheduler_address=cluster.scheduler_address) as workers:
        rewards(workers, evaluator, genomes[:4])
        num_before, before = workers.num_workers, evaluator.processes()
        try:
            threading.Timer(0.2, cluster.scale, [num_before + 1]).start()
            assert rewards(workers, evaluator, genomes) == expected(24)
            joined = evaluator.processes() - before
        finally:
            cluster.scale(num_before)
    assert joined


def test_whoever_lacks_the_samples_gets_them_again(cluster):
    params = Params.model_validate({"population_size": 8, "tournament_size": 2, "num_epochs": 1, "num_samples": 128})
    experiment = Experiment(params, load_task_of(params))
    with Workers(1, "dask", scheduler_address=cluster.scheduler_address) as workers:
        first = experiment.step(workers).digest
        engine = workers._engine
        for name in engine._plugins:
            engine._client.unregister_worker_plugin(name)
        second = experiment.step(workers).digest
    assert [first, second] == digests({"num_workers": 1})[0][:2]


def test_giving_up_leaves_nothing_to_the_cluster(cluster, genomes, tmp_path):
    started = time.monotonic()

    def on_wait():
        if time.monotonic() - started > 0.5:
            raise KeyboardInterrupt

    arrived = []
    evaluator = Obeying(tmp_path, seconds=1.0)
    with (
        pytest.raises(KeyboardInterrupt),
        Workers(1, "dask", scheduler_address=cluster.scheduler_address) as workers,
    ):
        rewards(workers, evaluator, genomes, on_wait=on_wait, on_result=lambda *one: arrived.append(one))
    assert [evaluation.reward for index, evaluation in arrived] == [expected(24)[index] for index, _ in arrived]
    assert 0 < len(arrived) < 24
    deadline = time.monotonic() + 20
    while cluster.scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not cluster.scheduler.tasks
    assert not [name for name in cluster.scheduler.worker_plugins if name.startswith("topoevo")]


@pytest.mark.slow
def test_what_hangs_is_given_up_with_its_worker(cluster, genomes, tmp_path):
    evaluator = Obeying(tmp_path, {2: "hang"})
    with Workers(1, "dask", scheduler_address=cluster.scheduler_address, evaluation_timeout=1.0) as workers:
        evaluations = workers.evaluate(evaluator, genomes[:6], Nothing(), generation=4)
    assert "longer than evaluation_timeout, 1 seconds" in evaluations[2].failure
    others = [one.reward for index, one in enumerate(evaluations) if index != 2]
    assert others == [one for index, one in enumerate(expected(6)) if index != 2]


def test_another_version_is_refused_and_other_libraries_are_told(cluster, genomes, tmp_path):
    here, said = versions_here(), []
    others = tuple((name, "0.1" if name == "numba" else version) for name, version in here.others)
    address = cluster.scheduler_address
    for changed in (replace(here, topoevo="99.0"), replace(here, others=others)):
        with (
            patch("topoevo.experiment.workers.joblib_engine.versions_here", lambda changed=changed: changed),
            Workers(1, "dask", scheduler_address=address, say=said.append) as workers,
        ):
            if changed.topoevo != here.topoevo:
                with pytest.raises(WorkerError, match=f"has topoevo {here.topoevo} instead of 99.0: install the same"):
                    rewards(workers, Obeying(tmp_path), genomes[:4])
            else:
                assert rewards(workers, Obeying(tmp_path), genomes[:4]) == expected(4)
    numba = dict(here.others)["numba"]
    assert said == [f"a worker has numba {numba} instead of 0.1: its results may differ in their last digits"]


def test_a_scheduler_that_nobody_has_started_is_told(genomes, tmp_path):
    with (
        patch("topoevo.experiment.workers.dask_engine._SECONDS_TO_ANSWER", 0.3),
        pytest.raises(WorkerError, match=r"no dask scheduler answers at 127.0.0.1:1: "),
        Workers(1, "dask", scheduler_address="127.0.0.1:1") as workers,
    ):
        rewards(workers, Obeying(tmp_path), genomes[:2])


@pytest.mark.slow
def test_one_that_always_kills_its_worker_fails_alone(genomes, tmp_path):
    evaluator = Obeying(tmp_path, {3: "kill", 5: "exit"}, seconds=0.02)
    with Workers(2, "dask") as workers:
        evaluations = workers.evaluate(evaluator, genomes[:12], Nothing(), generation=4)
        assert evaluations[3].failure.startswith("its worker ended")
        assert "SystemExit: 3" in evaluations[5].failure
        others = [index for index in range(12) if index not in (3, 5)]
        assert [evaluations[index].reward for index in others] == [expected(12)[index] for index in others]


@pytest.mark.slow
def test_a_cluster_that_loses_all_its_workers_goes_on_with_the_next_one(genomes, tmp_path):
    evaluator = Obeying(tmp_path, seconds=0.2)
    said: list[str] = []
    with (
        start_cluster(2) as own,
        Workers(1, "dask", scheduler_address=own.scheduler_address, say=said.append) as workers,
    ):
        rewards(workers, evaluator, genomes[:2])

        def swap() -> None:
            own.scale(0)
            time.sleep(1)
            own.scale(1)

        threading.Timer(0.5, swap).start()
        assert rewards(workers, evaluator, genomes) == expected(24)


@pytest.mark.slow
def test_a_scheduler_that_ends_ends_the_run_with_advice(genomes, tmp_path):
    own = start_cluster(1)
    try:
        with Workers(1, "dask", scheduler_address=own.scheduler_address) as workers:
            threading.Timer(0.5, own.close).start()
            with pytest.raises(WorkerError, match=r"does not answer any more; .* `topoevo resume`"):
                rewards(workers, Obeying(tmp_path, seconds=0.5), genomes)
    finally:
        own.close()


def test_samples_are_known_by_their_content():
    params = Params.model_validate({"num_samples": 128})
    task = load_task_of(params)
    experiment = Experiment(params, task)
    names = []
    for generation in (0, 1):
        packing = Packing()
        packed = [
            packing.pack(experiment._evaluator, experiment._problem.shared(Stream.SHARED, generation)) for _ in range(2)
        ]
        assert packed[0].name != packed[1].name and packed[0].samples.keys() == packed[1].samples.keys()
        assert len(packed[0].content) < 20_000 < task.train.inputs.nbytes
        names += packed[0].samples
    assert len(set(names)) == 1
    assert list(Packing().pack(experiment._evaluator, task.test).samples) != names[:1]


def test_a_name_is_unpacked_once_in_a_process():
    experiment = Experiment(Params(num_samples=128), load_task_of(Params()))
    shared = experiment._problem.shared(Stream.SHARED, 0)
    packed = Packing().pack(experiment._evaluator, shared)
    reads: list[int] = []

    def content() -> bytes:
        reads.append(1)
        return packed.content

    found = [parcels._conditions(packed.name, content, packed.samples.__getitem__) for _ in range(2)]
    assert len(reads) == 1 and found[0] is found[1]
    np.testing.assert_array_equal(found[0][1].batches.inputs, shared.batches.inputs)
