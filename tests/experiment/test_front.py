"""The best network of each size: against all that were evaluated, across restarts and workers; its area by counting."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.front import Front, constant_loss, hypervolume
from topoevo.experiment.idle import find_idle, skipped_operators
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Champion, Observer, TaskScore
from topoevo.experiment.workers import Workers
from topoevo.kernels import load_kernel
from topoevo.tasks.task import Samples

SIZES = (20, 40, 70)
SMALL = {
    "num_generations": 4,
    "population_size": 12,
    "tournament_size": 2,
    "cull_ratio": 0.25,
    "elite_ratio": 0.25,
    "p_add_connection": 0,
    "p_add_node": 0.5,
    "p_grow_connection": 1,
    "p_rewire_connection": 1,
    "front_connections": SIZES,
    "migration_every": 2,
    "initial_hidden_nodes": (4, 8),
    "p_initial_connection_enabled": 0.2,
    "output_connections": True,
    "inherit_weights": True,
    "optimizer": "adamw",
    "batch_size": 64,
    "initial_epochs": 3,
    "num_epochs": 1,
    "final_epochs": 2,
    "pruning": "fisher",
    "validation_ratio": 0.2,
    "reward_data": "both",
    "train_elites": False,
    "weight_init": "he",
    "bias": True,
    "adapt_probabilities": "pursuit",
}


class Listener(Observer):
    """Keep what is announced; `stop_in` is part of a message at which the run is asked to stop."""

    def __init__(self, stop_in: str = "") -> None:
        self.records, self.messages, self.run, self._stop_in = [], [], None, stop_in

    def on_start(self, run) -> None:
        self.run = run

    def on_generation(self, record) -> None:
        self.records.append(record)

    def on_message(self, text) -> None:
        self.messages.append(text)
        if self._stop_in and self._stop_in in text:
            self.run.stop("asked to")

    def on_end(self, outcome) -> None:
        self.outcome = outcome


@pytest.fixture(scope="module")
def task():
    return load_task_of(load_params(None, SMALL))


def run(task, *, checkpoint=None, folder=None, stop_in="", **changes):
    listener = Listener(stop_in)
    params = load_params(None, {**SMALL, **changes})
    Experiment(params, task, observers=[listener], checkpoint=checkpoint, checkpoint_folder=folder).run()
    return listener


def content(front: Front):
    """All of a front that can be compared."""
    return {
        size: (one.individual.genome.digest, one.individual.id, one.generation, one.train, one.validation, one.test)
        for size, one in front.champions.items()
    }


def course(listener):
    """All of a run's generations that can be compared."""
    return [
        (one.digest, one.front.hypervolume, one.front.num_improved, one.credits, one.probabilities)
        for one in listener.records
    ]


@pytest.fixture(scope="module")
def whole(task):
    return run(task)


def test_the_front_has_the_best_of_all_islands_and_generations(task, whole) -> None:
    experiment = whole.run
    kernel = load_kernel("numba")
    best: dict[int, float] = {}
    for record in whole.records:
        for island in range(3):
            places = experiment.params.islands.members(record.generation, island)
            leader = max((record.population.members[place] for place in places), key=lambda member: member.reward)
            genome = leader.genome.with_weights(leader.evaluation.weights)
            reward = experiment._problem.score("validation", genome, kernel).reward
            for size in SIZES:
                if genome.complexity.connections <= size:
                    best[size] = max(best.get(size, -math.inf), reward)
        assert {size: one.selection_reward for size, one in record.front.champions.items()} == best
    assert list(best) == list(SIZES)
    volumes = [record.front.hypervolume for record in whole.records]
    assert volumes == sorted(volumes) and volumes[-1] > volumes[0] > 0


def test_final_training_and_test_come_once_at_the_end(task, whole) -> None:
    last, end = whole.records[-1].front, whole.outcome.front
    kernel = load_kernel("numba")
    assert all(one.test is None for record in whole.records for one in record.front.champions.values())
    gains = [end.champions[size].selection_reward - last.champions[size].selection_reward for size in SIZES]
    assert min(gains) >= 0 and max(gains) > 0
    rewards = [end.champions[size].selection_reward for size in SIZES]
    assert rewards == sorted(rewards), "a network that is not too large for a size is not better than its best"
    for size, champion in end.champions.items():
        assert champion.individual.genome.complexity.connections <= size
        for part in ("train", "validation", "test"):
            score = whole.run._problem.score(part, champion.individual.genome, kernel)
            assert getattr(champion, part) == score
    assert content(run(task, final_epochs=0).outcome.front) == {
        size: (*entry[:5], whole.run._problem.score("test", last.champions[size].individual.genome, kernel))
        for size, entry in content(last).items()
    }


def test_every_size_has_the_weight_decay_that_is_best_for_it(task) -> None:
    factors = (1000.0, 0.0)
    settings = {"weight_decay": 0.3, "num_generations": 1}
    alone = {factor: run(task, final_decay_factors=(factor,), **settings).outcome.front for factor in factors}
    both = run(task, final_decay_factors=factors, num_workers=2, **settings)
    for size in SIZES:
        best = max(alone[factor].champions[size].selection_reward for factor in factors)
        assert both.outcome.front.champions[size].selection_reward == best
    said = next(text for text in both.messages if text.startswith("weight_decay: "))
    assert said.count("times") == 1 + len(both.records[-1].front.networks)


def test_networks_of_a_front_are_trained_with_the_decay_of_each(task) -> None:
    """Those with the same factor are trained together, and keep their places."""

    def trained(factors):
        params = load_params(None, {**SMALL, "weight_decay": 0.3, "num_generations": 1})
        experiment = Experiment(params, task)
        with Workers.from_params(params, lambda line: None) as workers:
            experiment.step(workers)
            genomes = [one.individual.genome for one in experiment._front_keeper.front.networks][:3]
            found = experiment._appraiser.train_to_the_end(genomes, workers, factors[: len(genomes)])
        return [one.weights.tobytes() for one in found]

    none, much, mixed = trained([0.0] * 3), trained([1000.0] * 3), trained([0.0, 1000.0, 0.0])
    assert len(none) > 1
    assert mixed == [[none, much][place == 1][place] for place in range(len(none))]
    assert not set(none) & set(much)


def test_a_resumed_run_has_the_same_front_credit_and_probabilities(task, tmp_path, whole) -> None:
    first = run(task, folder=tmp_path, num_generations=2)
    second = run(task, folder=tmp_path, checkpoint=Checkpoint.read_last(tmp_path))
    assert course(first) + course(second) == course(whole)
    assert content(second.outcome.front) == content(whole.outcome.front)
    assert second.outcome.standings == whole.outcome.standings
    assert sum(one.credit.children for one in whole.outcome.standings.values()) > 10


def test_a_stop_in_the_final_training_changes_nothing(task, tmp_path, whole) -> None:
    stopped = run(task, folder=tmp_path, stop_in="sizes as long")
    assert stopped.outcome.status == "interrupted"
    assert content(stopped.outcome.front) == content(whole.records[-1].front)
    assert (tmp_path / "journal-000004.jsonl").exists()
    resumed = run(task, folder=tmp_path, checkpoint=Checkpoint.read_last(tmp_path))
    assert content(resumed.outcome.front) == content(whole.outcome.front)
    assert not [line for line in resumed.messages if "damaged" in line]


@pytest.mark.parametrize("changes", [{"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}])
def test_workers_change_nothing(task, whole, changes) -> None:
    other = run(task, **changes)
    assert course(other) == course(whole)
    assert content(other.outcome.front) == content(whole.outcome.front)


def test_a_checkpoint_holds_the_front_and_the_standings(task, tmp_path) -> None:
    listener = run(task, folder=tmp_path)
    before = Checkpoint.read_last(tmp_path)
    assert content(before.front) == content(listener.records[-1].front)
    assert (before.front.sizes, before.front.reference_loss) == (SIZES, constant_loss(task))
    assert before.front.hypervolume == listener.records[-1].front.hypervolume
    assert before.standings == listener.outcome.standings
    rewards = [member.parent_reward for member in before.population.members]
    parents = {member.id: member.reward for member in listener.records[-1].population.members}
    for member, reward in zip(before.population.members, rewards, strict=True):
        if member.born == 4:
            assert reward == parents[member.parents[0]]
    before.write(tmp_path)
    after = Checkpoint.read_last(tmp_path)
    assert content(after.front) == content(before.front)
    assert [member.parent_reward for member in after.population.members] == rewards
    # A network that is the best of several sizes is stored once, and is one afterwards.
    shared = replace(before.front, champions=dict.fromkeys(SIZES, before.front.champions[20]))
    replace(before, front=shared).write(tmp_path)
    assert len({id(one) for one in Checkpoint.read_last(tmp_path).front.champions.values()}) == 1


def test_without_sizes_there_is_no_front(task) -> None:
    listener = run(task, front_connections=None, max_connections=60, num_generations=1, adapt_probabilities="none")
    assert listener.outcome.front is None
    assert all(record.front is None and record.probabilities == {} for record in listener.records)


def champion(size, loss, evolve, number=0):
    genome = SimpleNamespace(complexity=SimpleNamespace(connections=size))
    return Champion(SimpleNamespace(genome=genome, id=number), 0, TaskScore(-loss, None))


def test_a_network_tries_at_every_size_that_it_is_not_too_large_for(evolve) -> None:
    small, middle, large = (champion(*one, evolve) for one in ((90, 0.5), (150, 0.2), (300, 0.3)))
    front = Front((100, 200, 300)).challenged([large])
    assert (front.champions, front.num_improved) == ({300: large}, 1)
    front = front.challenged([small, middle])
    assert (front.champions, front.num_improved) == ({100: small, 200: middle, 300: middle}, 3)
    assert front.networks == [small, middle]
    equal = champion(80, 0.5, evolve)
    assert front.challenged([equal]).num_improved == 0, "as good is not better"


def test_hypervolume_is_the_area_that_is_dominated() -> None:
    points = [(0.5, 1.0), (0.2, 2.0), (0.4, 2.5), (0.9, 0.5), (2.0, 0.1), (0.1, 9.0)]
    side = (np.arange(400) + 0.5) / 400
    first, second = np.meshgrid(1.2 * side, 3.0 * side)
    covered = np.zeros_like(first, bool)
    for x, y in points:
        covered |= (first > x) & (second > y)
    assert hypervolume(points, (1.2, 3.0)) == pytest.approx(3.6 * covered.mean(), rel=0.01)
    assert hypervolume(points, (1.2, 3.0)) == pytest.approx(0.3 * 2.5 + 0.4 * 2.0 + 0.3 * 1.0)
    assert hypervolume([], (1.0, 1.0)) == 0.0


def test_the_front_measures_losses_against_decades(evolve) -> None:
    front = Front((10, 100), {10: champion(10, 0.5, evolve), 100: champion(100, 0.25, evolve)}, 1.0)
    assert front.hypervolume == pytest.approx(0.5 * math.log10(200 / 10) + 0.25 * math.log10(200 / 100))


def test_the_measure_of_a_front_does_not_fall_when_a_small_network_gives_way(evolve) -> None:
    before = Front((10, 100), reference_loss=1.0).challenged([champion(2, 0.5, evolve)])
    after = before.challenged([champion(9, 0.49, evolve)])
    assert after.num_improved == 2
    assert after.hypervolume > before.hypervolume


@pytest.mark.parametrize("loss", ["cross_entropy", "class_squared_error", "mean_squared_error"])
def test_nobody_who_always_says_the_same_is_better_than_the_reference(task, loss: str) -> None:
    rng = np.random.default_rng(0)
    if loss == "mean_squared_error":
        targets = rng.normal(2.0, 3.0, (60, 10)).astype(np.float32)
        kind = "regression"
    else:
        targets, kind = rng.choice(7, 60, p=np.array([5, 1, 1, 1, 1, 1, 2]) / 12).astype(np.int32), "classification"
    made = replace(task, kind=kind, loss=loss, train=Samples(np.zeros((60, 64), np.float32), targets))
    found = constant_loss(made)
    if loss == "cross_entropy":
        p = np.bincount(targets) / 60
        assert found == pytest.approx(-np.sum(p[p > 0] * np.log(p[p > 0])), rel=1e-5)
    else:
        onehot = targets if kind == "regression" else np.eye(10)[targets]
        assert found == pytest.approx(onehot.var(axis=0).mean(), rel=1e-5)
    for _ in range(50):
        outputs = np.repeat(rng.normal(0.0, 1.0, (10, 1)).astype(np.float32), 60, axis=1)
        assert made.score(outputs, targets).loss > found


SKIPPED = "skipping grow_connection, merge_nodes: led by what learning saw, and there is nothing of it with "


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"learning_rule": "metropolis"}, [SKIPPED + "learning_rule metropolis, which gives no evidence"]),
        ({"shared_weights": (1.0,)}, [SKIPPED + "shared_weights, where nothing is learned"]),
        (
            {"env_name": "CartPoleSwingUp", "learning_rule": "evolution_strategy"},
            [SKIPPED + "learning_rule evolution_strategy, which gives no evidence"],
        ),
        ({"learning_rule": "metropolis", "num_mutations_per_generation": 0}, []),
    ],
)
def test_operators_that_nothing_leads_are_told(settings: dict, expected: list[str]) -> None:
    assert skipped_operators(load_params(None, {"p_grow_connection": 1, "p_merge_nodes": 0.5, **settings})) == expected


def test_nothing_but_operators_that_nothing_leads_is_refused() -> None:
    alone = {"p_grow_connection": 1, "p_add_node": 0, "p_add_connection": 0, "learning_rule": "metropolis"}
    with pytest.raises(ParamsError, match="p_grow_connection above 0 alone is not allowed"):
        load_params(None, alone)


def test_sizes_of_networks_that_learn_nothing_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"front_connections \[10, 20\] is not allowed with shared_weights"):
        load_params(None, {"front_connections": (10, 20), "pruning": "magnitude", "shared_weights": (1.0,)})


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({}, []),
        ({"p_add_node": 0}, ["adapt_probabilities"]),
        ({"num_mutations_per_generation": 0}, ["adapt_probabilities"]),
        ({"num_generations": 0}, ["adapt_probabilities"]),
        ({"num_generations": 0, "front_connections": (10, 20)}, ["front_connections", "adapt_probabilities"]),
    ],
)
def test_what_cannot_adapt_is_told(settings: dict, idle: list[str]) -> None:
    found = find_idle(load_params(None, {"adapt_probabilities": "pursuit", **settings}))
    assert [
        name for one in found for name in one.settings if name in ("adapt_probabilities", "front_connections")
    ] == idle


def test_they_are_told_once_when_a_run_begins(task) -> None:
    listener = run(
        task, front_connections=None, pruning="none", initial_hidden_nodes=None, learning_rule="evolution_strategy",
        num_generations=2, final_epochs=0,
    )  # fmt: skip
    assert len([line for line in listener.messages if "skipping grow_connection, rewire_connection" in line]) == 1
    assert listener.outcome.standings["grow_connection"].credit.children == 0
    assert listener.outcome.standings["add_node"].credit.children > 0
