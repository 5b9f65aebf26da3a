"""Workers that come to an end, hang, or say something strange: nobody else hears of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from topoevo.errors import TopoevoError, WorkerError
from topoevo.evolution import Evaluation
from topoevo.experiment.workers import Workers, pool, processes
from topoevo.experiment.workers.engine import SECONDS_A_PORTION, Lost, Portion
from topoevo.experiment.workers.threads import num_hanging
from topoevo.seeds import Stream, generator

BACKENDS = ("threading", "loky")
# Worker processes cannot import test files.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class UnpicklableError(Exception):
    def __init__(self, one, two):
        super().__init__("cannot be pickled")
        self.lock = threading.Lock()


class Elsewhere(TopoevoError):
    def __init__(self, one, two):
        super().__init__("wrong for everyone")


@dataclass(frozen=True)
class Conditions:
    """Who does what, by index; everyone else is evaluated."""

    acts: dict[int, str]
    folder: Path | None = None

    def prepare(self) -> None:
        pass


class Obeying:
    """Evaluates by the address of random numbers alone, after it has done what it was told to do."""

    remedy = ""

    def prepare(self, say) -> None:
        pass

    def evaluate(self, genome, shared, *, stream, generation, index):
        act = shared.acts.get(index, "")
        if shared.folder is not None:
            with (shared.folder / f"{index}").open("a") as calls:
                calls.write("x")
        reward = float(generator(0, stream, generation, index).random())
        if act.startswith("once "):
            mark = shared.folder / f"{index}-done"
            if not mark.exists():
                mark.touch()
                act = act.removeprefix("once ")
        if act == "raise":
            raise ValueError("not this one")
        if act == "unpicklable":
            raise UnpicklableError(1, 2)
        if act == "exit":
            sys.exit(3)
        if act == "memory":
            raise MemoryError("not so much")
        if act == "ours":
            raise Elsewhere(1, 2)
        if act == "hang":
            while not (shared.folder / "go on").exists():
                time.sleep(0.01)
        if act == "slow":
            time.sleep(0.4)
        if act == "result":
            return Evaluation(reward, threading.Lock(), None, None, 0.0)  # type: ignore[arg-type]
        if act == "quit":
            os._exit(7)
        if act.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[act])
        return Evaluation(reward, reward, None, np.full(3, reward, np.float32), 1e-6)


@pytest.fixture(autouse=True)
def _no_thread_hangs_for_ever(tmp_path):
    yield
    (tmp_path / "go on").touch()
    until = time.monotonic() + 30
    while num_hanging() and time.monotonic() < until:
        time.sleep(0.01)
    assert not num_hanging()


@pytest.fixture(scope="module")
def genomes(evolve):
    return [evolve(seed, num_mutations=seed % 7) for seed in range(30)]


def rewards(evaluations) -> list[float]:
    return [one.reward for one in evaluations]


def expected(number: int, generation: int = 4) -> list[float]:
    return [float(generator(0, Stream.LEARNING, generation, index).random()) for index in range(number)]


def last_line(evaluation) -> str:
    return evaluation.failure.splitlines()[-1]


def children() -> set[int]:
    """Processes that this one has started."""
    task = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    return {int(pid) for pid in task.read_text().split()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_number_of_workers_evaluates_everyone_once(backend, genomes, tmp_path):
    for num_workers in (1, 2) if backend == "loky" else (1, 2, 5, -1, 50):
        folder = tmp_path / str(num_workers)
        folder.mkdir()
        seen: dict[int, Evaluation] = {}
        with Workers(num_workers, backend) as workers:
            for generation in (4, 5):
                found = workers.evaluate(
                    Obeying(),
                    genomes,
                    Conditions({}, folder),
                    generation=generation,
                    on_result=seen.__setitem__,
                )
                assert rewards(found) == expected(len(genomes), generation)
            assert workers.num_workers == (os.cpu_count() if num_workers == -1 else num_workers)
        assert {path.read_text() for path in folder.iterdir()} == {"xx"}
        assert sorted(seen) == list(range(len(genomes)))
        assert all(seen[index] is evaluation for index, evaluation in enumerate(found))


def test_what_is_known_is_not_evaluated_again(genomes, tmp_path):
    known = {index: Evaluation(float(index), 0.0, None, None, 0.0) for index in (0, 3, 29)}
    heard = []
    with Workers(2, "threading") as workers:
        found = workers.evaluate(
            Obeying(),
            genomes,
            Conditions({}, tmp_path),
            generation=4,
            known=known,
            on_result=lambda index, evaluation: heard.append(index),
        )
        assert all(found[index] is evaluation for index, evaluation in known.items())
        assert sorted(heard) == sorted(int(path.name) for path in tmp_path.iterdir())
        assert sorted([*heard, *known]) == list(range(len(genomes)))
        everyone = dict(enumerate(found))
        assert workers.evaluate(Obeying(), genomes, Conditions({}), generation=4, known=everyone) == found


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_evaluation_has_the_address_that_it_is_given(backend, genomes):
    with Workers(2, backend) as workers:
        found = workers.evaluate_one(
            Obeying(), genomes[0], Conditions({}), stream=Stream.CONFIRMATION, generation=9, index=77
        )
    assert found.reward == float(generator(0, Stream.CONFIRMATION, 9, 77).random())


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_user_code_raises_costs_the_individual(backend, genomes):
    acts = {1: "raise", 2: "unpicklable", 6: "exit", 20: "memory"}
    with Workers(2, backend) as workers:
        found = workers.evaluate(Obeying(), genomes, Conditions(acts), generation=4)
    assert {index for index, one in enumerate(found) if one.failure} == set(acts)
    assert last_line(found[1]) == "ValueError: not this one"
    assert "in evaluate" in found[1].failure and "Traceback" in found[1].failure
    assert last_line(found[2]).endswith("UnpicklableError: cannot be pickled")
    assert last_line(found[6]) == "SystemExit: 3"
    assert last_line(found[20]) == "MemoryError: not so much"
    assert [one.reward for one in found if not one.failure] == [
        reward for index, reward in enumerate(expected(30)) if index not in acts
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_wrong_for_everyone_ends_the_run_in_one_sentence(backend, genomes):
    with Workers(2, backend) as workers, pytest.raises(TopoevoError, match="wrong for everyone"):
        workers.evaluate(Obeying(), genomes, Conditions({3: "ours"}), generation=4)


DEATHS = {
    "SIGKILL": "the worker process was ended by SIGKILL, as the system does where memory runs out",
    "SIGSEGV": "the worker process was ended by SIGSEGV",
    "quit": "the worker process has ended with exit code 7",
}


@pytest.mark.parametrize(
    "death", [pytest.param("SIGKILL", marks=pytest.mark.slow), "SIGSEGV", pytest.param("quit", marks=pytest.mark.slow)]
)
def test_processes_that_die_cost_a_retry_and_then_those_that_killed_them(death, genomes, tmp_path):
    """One genome's worker ends once, that of another one whenever it is tried."""
    acts = {0: f"once {death}", 3: "once memory"}
    killers = {11: death, 13: "result"}
    with Workers(2, "loky") as workers:
        found = workers.evaluate(Obeying(), genomes, Conditions({**acts, **killers}, tmp_path), generation=4)
        assert {index for index, one in enumerate(found) if one.failure} == set(killers)
        assert [one.reward for one in found if not one.failure] == [
            reward for index, reward in enumerate(expected(30)) if index not in killers
        ]
        assert last_line(found[11]) == DEATHS[death]
        if death == "SIGSEGV":
            # What has crashed is found by where it was called.
            assert found[11].failure.startswith("Crash (innermost call first):\n  File ")
            assert "in evaluate" in found[11].failure
        assert last_line(found[13]).startswith("the result cannot be sent: TypeError: ")
        calls = {index: len((tmp_path / str(index)).read_text()) for index in range(30)}
        # Others are evaluated twice at most, if they were in a portion that was lost.
        assert calls.pop(11) == 3 and calls[0] == calls[3] == 2 and calls[13] == 1
        assert max(calls.values()) == 2
        # The same workers go on.
        again = workers.evaluate(Obeying(), genomes, Conditions({}), generation=5)
        assert rewards(again) == expected(30, 5)
        ours = children()
    assert not any(Path(f"/proc/{pid}").exists() for pid in ours - children())


def test_workers_killed_from_outside_in_mid_generation(genomes, tmp_path):
    """Every worker dies, some again and again, at moments that have nothing to do with what it computes."""
    acts = dict.fromkeys(range(30), "slow")
    with Workers(2, "loky") as workers:
        # One that kills nobody, so that workers are there.
        workers.evaluate(Obeying(), genomes, Conditions({}), generation=4)
        killed: list[int] = []
        last = time.monotonic()

        def kill() -> None:
            nonlocal last
            if len(killed) < 2 and time.monotonic() > last + 0.5:
                victim = workers._engine._workers[-1].process.pid  # type: ignore[attr-defined]
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
                last = time.monotonic()

        found = workers.evaluate(Obeying(), genomes[:8], Conditions(acts), generation=4, on_wait=kill)
    assert rewards(found) == expected(8)
    assert len(set(killed)) == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_hangs_is_given_up_and_nobody_else(backend, genomes, tmp_path):
    acts = {2: "hang", 3: "once hang"}
    with Workers(2, backend, evaluation_timeout=0.6) as workers:
        found = workers.evaluate(Obeying(), genomes, Conditions(acts, tmp_path), generation=4)
        again = workers.evaluate(Obeying(), genomes, Conditions({}), generation=5)
    assert {index for index, one in enumerate(found) if one.failure} == {2}
    assert found[2].failure == "the evaluation took longer than evaluation_timeout, 0.6 seconds"
    assert [one.reward for one in found if not one.failure] == [
        reward for index, reward in enumerate(expected(30)) if index != 2
    ]
    assert rewards(again) == expected(30, 5)
    assert len((tmp_path / "2").read_text()) == 2
    # A thread cannot be ended: two that hang, and one that hung once.
    assert num_hanging() == (3 if backend == "threading" else 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_giving_up_lets_finish_what_is_nearly_done(backend, num_workers, genomes, tmp_path):
    """What runs gets two seconds: who is slow is heard of, who hangs is left, and nothing new is begun."""
    acts = {**dict.fromkeys(range(30), "slow"), 0: "hang"}
    # The first one is slow if there is one worker, and hangs if there are two.
    order = sorted(genomes, key=lambda genome: -len(genome.connections))
    if num_workers == 1:
        acts[0] = "slow"
    heard: list[int] = []
    asked = 0.0

    def stop() -> None:
        nonlocal asked
        if heard if num_workers == 2 else list(tmp_path.iterdir()):
            asked = time.monotonic()
            raise KeyboardInterrupt

    with Workers(num_workers, backend) as workers, pytest.raises(KeyboardInterrupt):
        workers.evaluate(
            Obeying(),
            order,
            Conditions(acts, tmp_path),
            generation=4,
            on_wait=stop,
            on_result=lambda index, evaluation: heard.append(index),
        )
    assert 1 <= len(heard) <= 3
    assert len(list(tmp_path.iterdir())) <= 4
    assert time.monotonic() - asked < 30


@pytest.mark.parametrize(
    ("backend", "act", "reason"),
    [
        ("threading", "memory", "MemoryError: not so much"),
        pytest.param("loky", "quit", "code 7", marks=pytest.mark.slow),
    ],
)
def test_a_generation_that_nobody_survives_ends_the_run_with_the_reason(backend, act, reason, genomes):
    acts = dict.fromkeys(range(30), act)
    message = f"^not one of 20 evaluations came to its end: .*{reason}$"
    with Workers(2, backend) as workers, pytest.raises(WorkerError, match=message):
        workers.evaluate(Obeying(), genomes, Conditions(acts), generation=4)
    # A few, as in a small population, are failures like others.
    with Workers(2, backend) as workers:
        found = workers.evaluate(Obeying(), genomes[:3], Conditions(acts), generation=4)
    assert all(last_line(one).endswith(reason) for one in found)


def test_processes_that_cannot_begin_end_the_run(genomes, monkeypatch):
    monkeypatch.setattr(processes, "_MOST_FAILED_STARTS", 2)

    class Dying(Obeying):
        def prepare(self, say):
            os._exit(9)

    class Failing(Obeying):
        def prepare(self, say):
            raise ImportError("no such library here")

    for evaluator, message in ((Dying(), "end before they have begun.*code 9"), (Failing(), "cannot begin: ImportErr")):
        with Workers(1, "loky") as workers, pytest.raises(WorkerError, match=message):
            workers.evaluate(evaluator, genomes, Conditions({}), generation=4)


def test_what_cannot_be_pickled_is_refused(genomes):
    evaluator = Obeying()
    evaluator.lock = threading.Lock()  # type: ignore[attr-defined]
    with Workers(2, "loky") as workers, pytest.raises(WorkerError, match=r"cannot be sent .* joblib_backend threading"):
        workers.evaluate(evaluator, genomes, Conditions({}), generation=4)


def test_short_evaluations_are_handed_out_several_at_a_time():
    workers = Workers(2, "threading")
    assert workers._parts(list(range(5))) == [[0], [1], [2], [3], [4]]
    workers._seconds = SECONDS_A_PORTION / 10
    parts = workers._parts(list(range(1000)))
    assert {len(part) for part in parts} == {10}
    assert sorted(index for part in parts for index in part) == list(range(1000))
    # Everyone gets something.
    assert len(workers._parts(list(range(40)))) == 2 * pool._PORTIONS_A_WORKER
    # A hanging one takes only few others with it.
    short = Workers(2, "threading", evaluation_timeout=SECONDS_A_PORTION)
    short._seconds = workers._seconds
    assert {len(part) for part in short._parts(list(range(1000)))} == {2}


def test_a_lost_portion_is_split_and_the_innocent_come_back(genomes):
    """By an engine that loses every portion in which genome 5 is, as one whose worker dies does."""

    rounds = []

    class Losing:
        num_workers, seconds_a_portion = 2, SECONDS_A_PORTION

        def compute(self, portions, on_wait):
            rounds.append([portion.indices for portion in portions])
            for portion in portions:
                yield portion, Lost("it fell down") if 5 in portion.indices else portion.compute()

    workers = Workers(2, "threading")
    workers._engine, workers._seconds = Losing(), 1e-6
    found = workers.evaluate(Obeying(), genomes, Conditions({}), generation=4)
    assert [index for index, one in enumerate(found) if one.failure] == [5] and found[5].failure == "it fell down"
    assert rewards(found)[6:] == expected(30)[6:]
    first, again, alone = rounds
    (lost,) = [part for part in first if 5 in part]
    assert len(lost) > 1 and sorted(again) == sorted((index,) for index in lost) and alone == [(5,)]


def test_portions_are_split_into_single_genomes(genomes):
    portion = Portion(Obeying(), Conditions({}), tuple(genomes[:3]), (7, 8, 9), Stream.LEARNING, 2)
    singles = portion.singles()
    assert [one.indices for one in singles] == [(7,), (8,), (9,)]
    assert [one.genomes for one in singles] == [(genome,) for genome in genomes[:3]]
