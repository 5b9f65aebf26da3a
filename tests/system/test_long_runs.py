"""Memory stays flat however many generations a run has; networks are kept small, so that it has no reason to grow."""

from __future__ import annotations

import gc
import io
import tracemalloc
from collections.abc import Iterator

import pytest

from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.reporting import ConsoleObserver, RunDirectory, files, make_observers

SMALL = {
    "population_size": 6,
    "tournament_size": 3,
    "p_add_connection": 0.4,
    "p_add_node": 0.1,
    "p_remove_connection": 0.4,
    "p_complexity_objective": 0.5,
    "output_connections": True,
    "max_connections": 30,
    "checkpoint_every": 5,
    "test_every": 10,
}
PROBLEMS = {
    "digits": ("wlnn", {"num_samples": 32, "batch_size": 16, "num_epochs": 1}),
    "swing-up": ("wann", {"env_name": "CartPoleSwingUp", "num_trials": 1, "num_test_trials": 1}),
}


class Scales(Observer):
    """Weighs what Python and numpy have in use, at the ends of some generations.

    Only what is allocated from generation 10 on is followed, since that takes long.
    """

    def __init__(self, generations: tuple[int, ...]):
        self.generations, self.bytes = generations, []

    def on_generation(self, record):
        if record.generation == 10:
            tracemalloc.start()
        if record.generation in self.generations:
            gc.collect()
            self.bytes.append(tracemalloc.get_traced_memory()[0])


class Hoarder(Observer):
    """Keeps every generation: a leak."""

    def __init__(self):
        self.records = []

    def on_generation(self, record):
        self.records.append(record)


@pytest.fixture
def traced(monkeypatch) -> Iterator[None]:
    """Follow allocations no longer when the test is over; draw nothing, since that loads much, at any time."""
    monkeypatch.setattr(files, "_SECONDS_BETWEEN_PICTURES", 1e9)
    yield
    tracemalloc.stop()


def grown(problem: str, folder, generations: tuple[int, int], *others: Observer) -> int:
    """Bytes that are in use at the end of the second generation, and were not at the end of the first."""
    family, settings = PROBLEMS[problem]
    changes = {"num_generations": generations[1] + 1, "out_dir": str(folder / "run")}
    params = load_params(None, {**SMALL, **settings, **changes}, family=family)
    directory = RunDirectory.create(params, name="long")
    scales = Scales(generations)
    observers = make_observers(directory, ConsoleObserver(directory, stream=io.StringIO()))
    Experiment(
        params, load_task_of(params), observers=[*others, *observers, scales], checkpoint_folder=directory.checkpoint
    ).run()
    assert directory.lock is not None
    directory.lock.release()
    return scales.bytes[1] - scales.bytes[0]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_memory_is_flat(problem: str, tmp_path, traced) -> None:
    # What the console has printed is kept by this test: 100 bytes a generation.
    assert grown(problem, tmp_path, (20, 50)) < 100_000


def test_a_leak_would_be_seen(tmp_path, traced) -> None:
    assert grown("digits", tmp_path, (20, 50), Hoarder()) > 300_000


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_memory_is_flat_for_longer(problem: str, tmp_path, traced) -> None:
    assert grown(problem, tmp_path, (50, 350)) < 200_000
