"""Races: who finishes has the bits of a training without racing, and nothing else than rewards decides who does."""

from __future__ import annotations

import dataclasses
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest

from topoevo.errors import ParamsError
from topoevo.evolution import Evaluation, Individual, Population
from topoevo.evolution.islands import Islands
from topoevo.evolution.racing import Racing, Saving, ranking_by_progress
from topoevo.evolution.selection import ranking
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.front import Front
from topoevo.experiment.idle import find_idle
from topoevo.experiment.interruption import Interrupted
from topoevo.experiment.journal import Journal, Place
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import load_params
from topoevo.experiment.problem import Leg
from topoevo.experiment.race import Race, saving_of
from topoevo.experiment.workers import Workers
from topoevo.network import compile_network
from topoevo.seeds import Stream, generator

SMALL = {
    "num_generations": 3,
    "population_size": 8,
    "tournament_size": 2,
    "cull_ratio": 0.5,
    "elite_ratio": 0.25,
    "p_add_connection": 0,
    "p_add_node": 0,
    "p_grow_connection": 1,
    "max_connections": 60,
    "initial_networks": "dense",
    "initial_hidden_nodes": (4, 8),
    "output_connections": True,
    "inherit_weights": True,
    "optimizer": "adamw",
    "lr_schedule": "linear",
    "lr_spread": 2,
    "weight_averaging": 0.2,
    "batch_size": 64,
    "num_epochs": 3,
    "pruning": "fisher",
    "validation_ratio": 0.2,
    "reward_data": "both",
    "train_elites": False,
    "weight_init": "he",
    "bias": True,
    "test_every": 0,
    "racing": 2,
    "racing_rungs": 3,
}
#: Nothing is pruned, and rewards are those of the training.
PLAIN = {
    "pruning": "none",
    "reward_data": "training",
    "validation_ratio": 0.0,
    "train_elites": True,
    "initial_networks": "sparse",
    "initial_hidden_nodes": None,
    "max_connections": None,
    "p_grow_connection": 0,
    "p_add_connection": 1,
}
RULES = [
    {},
    PLAIN,
    {**PLAIN, "evaluation_period": "integral", "learning_rule": "feedback_alignment", "redraw_feedback": True},
    {**PLAIN, "learning_rule": "hebbian", "optimizer": "sgd", "momentum": 0.5},
    {"learning_rule": "direct_feedback_alignment", "optimizer": "rmsprop"},
    {"learning_rule": "last_layer", "optimizer": "adadelta", "lr": 1.0},
    {"learning_rule": "evolution_strategy", "pruning": "magnitude", "p_grow_connection": 0, "p_add_connection": 1},
    {
        **PLAIN,
        "learning_rule": "metropolis",
        "metropolis_target_acceptance": 0.3,
        "optimizer": "none",
        "lr_schedule": "constant",
        "weight_averaging": 0.0,
    },
]
RULES += [{"kernel": "reference", "num_epochs": 2}, {"use_torch": True, "num_epochs": 2}]
NAMES = [
    " ".join([one.get("learning_rule", "backprop"), *({"train_elites", "kernel", "use_torch"} & one.keys())])
    for one in RULES
]


def params_of(**settings):
    return load_params(None, {**SMALL, **settings})


def populations(params, num_generations=3):
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params, lambda line: None) as workers:
        return [experiment.step(workers) for _ in range(num_generations)]


def bits(evaluation: Evaluation):
    """All that a finished evaluation says, but for its duration."""
    evidence = evaluation.evidence
    return (
        evaluation.reward,
        evaluation.accuracy,
        evaluation.weights.tobytes(),
        None if evaluation.removed is None else evaluation.removed.tobytes(),
        evidence if evidence is None else [array.tobytes() for array in dataclasses.astuple(evidence)],
    )


@pytest.mark.parametrize("settings", RULES, ids=NAMES)
def test_a_training_in_parts_is_the_training_bit_for_bit(settings) -> None:
    if settings.get("use_torch"):
        pytest.importorskip("torch")
    params = params_of(**settings)
    evaluator, problem = judging_of(params, load_task_of(params))
    shared = problem.shared(Stream.SHARED, 0)
    address = {"stream": Stream.LEARNING, "generation": 0, "index": 3}
    genome = Experiment(params, load_task_of(params)).genomes[3]
    whole = evaluator.evaluate(genome, shared, **address)
    memory = None
    # One step, into and over the stages of pruning, and not at the end of an epoch.
    for stop in (1, 5, 20, 33, shared.epochs.size):
        part = evaluator.evaluate(genome, shared, **address, leg=Leg(stop, memory))
        assert part.failure is None
        assert (part.memory is None) == (stop == shared.epochs.size)
        # As on the way to another process.
        memory = pickle.loads(pickle.dumps(part)).memory
        if memory is not None:
            assert part.evidence is None and bits(part) != bits(whole)
    assert bits(part) == bits(whole)


@pytest.mark.parametrize("settings", RULES[:2], ids=NAMES[:2])
def test_finishers_of_a_race_have_the_bits_of_a_generation_that_does_not_race(settings) -> None:
    (raced,) = populations(params_of(**settings), 1)
    (plain,) = populations(params_of(**settings, racing=1), 1)
    stopped = [one.evaluation.rung for one in raced.population.members if one.evaluation.rung is not None]
    # Of 8 the half goes on, and of 4 as many as there will be elites.
    assert sorted(stopped) == [0] * 4 + [1] * 2
    for one, other in zip(raced.population.members, plain.population.members, strict=True):
        assert (bits(one.evaluation) == bits(other.evaluation)) == (one.evaluation.rung is None)
    assert plain.saving is None


def test_those_who_finish_are_the_best_of_their_rung() -> None:
    (record,) = populations(params_of(), 1)
    params = params_of()
    evaluator, problem = judging_of(params, load_task_of(params))
    shared = problem.shared(Stream.SHARED, 0)
    genomes = Experiment(params, load_task_of(params)).genomes
    stops = Racing(2, 3, params.islands).stops(shared.epochs.size)

    def rewards(stop, places):
        address = {"stream": Stream.LEARNING, "generation": 0}
        return {
            place: evaluator.evaluate(genomes[place], shared, **address, index=place, leg=Leg(stop)).reward
            for place in places
        }

    alive = list(range(8))
    for rung, stop in enumerate(stops[:-1]):
        found = rewards(stop, alive)
        ranked = sorted(alive, key=lambda place: -found[place])
        alive, out = ranked[: len(ranked) // 2], ranked[len(ranked) // 2 :]
        for place in out:
            evaluation = record.population.members[place].evaluation
            assert (evaluation.rung, evaluation.reward) == (rung, found[place])
            assert evaluation.num_saved == shared.epochs.size - stop
    assert all(record.population.members[place].evaluation.rung is None for place in alive)
    taken = 8 * stops[0] + 4 * (stops[1] - stops[0]) + 2 * (stops[2] - stops[1])
    assert record.saving == Saving(8 * shared.epochs.size, 8 * shared.epochs.size - taken)


def test_whoever_was_stopped_ranks_after_those_who_finished_and_has_no_part_in_what_follows() -> None:
    records = populations(params_of(cull_ratio=0.1, pruning_stop=0.9))
    for record, following in pairwise(records):
        progress = [record.population.members[place].progress for place in record.order]
        assert progress == sorted(progress, reverse=True) and progress[-1] < math.inf
        finishers = {one.id for one in record.population.members if one.progress == math.inf}
        parents = {one.parents[0] for one in following.population.members if one.born == following.generation}
        elites = {one.id for one in following.population.members if one.born < following.generation}
        assert parents | elites <= finishers
        assert record.best.id in finishers and record.champion.individual.genome.complexity.connections <= 60
    assert any(one.genome.complexity.connections > 60 for record in records for one in record.population.members), (
        "the test means nothing if nobody was stopped before it was pruned"
    )


def test_a_reward_beyond_all_others_makes_no_champion_of_whoever_was_stopped() -> None:
    params = params_of(max_connections=None, front_connections=(40, 60), racing_rungs=2, migration_every=0)
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params, lambda line: None) as workers:
        record = experiment.step(workers)
    champion, front = record.champion, record.front
    members = list(record.population.members)
    for place in (0, 4):
        stopped = next(one for one in members[place:] if one.progress < math.inf)
        evaluation = dataclasses.replace(stopped.evaluation, reward=10.0)
        members[members.index(stopped)] = dataclasses.replace(stopped, evaluation=evaluation)
    population = Population(0, tuple(members))
    assert dataclasses.replace(record, population=population).best is record.best
    keeper, championship = experiment._front_keeper, experiment._championship
    keeper.front, keeper._scored = Front((40, 60)), {}
    championship.champion, championship.confirmed = None, frozenset()
    keeper.hold(population)
    championship.hold(population, None)
    assert championship.champion.individual.id == champion.individual.id
    assert {one.individual.id for one in keeper.front.networks} == {one.individual.id for one in front.networks}
    # Where nobody finishes there is neither.
    nobody = tuple(dataclasses.replace(one, evaluation=dataclasses.replace(one.evaluation, rung=0)) for one in members)
    keeper.front, keeper._scored = Front((40, 60)), {}
    championship.champion, championship.confirmed = None, frozenset()
    keeper.hold(Population(0, nobody))
    championship.hold(Population(0, nobody), None)
    assert championship.champion is None and not keeper.front.networks


def test_an_elite_that_is_yet_to_be_pruned_is_trained_and_others_are_kept() -> None:
    params = params_of()
    evaluator, problem = judging_of(params, load_task_of(params))
    shared = problem.shared(Stream.SHARED, 1)
    address = {"stream": Stream.LEARNING, "generation": 1, "index": 0}
    genome = Experiment(params, load_task_of(params)).genomes[0]
    assert genome.complexity.connections > 60
    first = evaluator.evaluate(genome, shared, **address)
    pruned = genome.with_only(~first.removed).with_weights(first.weights[~first.removed])
    assert pruned.complexity.connections <= 60
    again = evaluator.evaluate(pruned, shared, **address)
    assert again.removed is None and again.weights.tobytes() == pruned.connections["weight"].tobytes()
    assert again.reward == first.reward


def test_steps_after_a_divergence_are_not_taken() -> None:
    # The product of two layers of weights soon leaves the range of single precision.
    wild = {"optimizer": "sgd", "lr": 1e13, "lr_spread": 1, "weight_averaging": 0.0}
    params = params_of(**{**PLAIN, **wild, "hidden_layers": (8,), "activations": ("linear",)})
    evaluator, problem = judging_of(params, load_task_of(params))
    shared = problem.shared(Stream.SHARED, 0)
    genome = Experiment(params, load_task_of(params)).genomes[1]
    learner = evaluator.start(
        compile_network(genome), generator(params.seed, Stream.LEARNING, 0, 1), shared.epochs.size
    )
    losses = learner.train(shared.batches, shared.epochs).losses
    num_taken = int(np.flatnonzero(np.isnan(losses))[0]) + 1
    address = {"stream": Stream.LEARNING, "generation": 0, "index": 1}
    whole = evaluator.evaluate(genome, shared, **address)
    part = evaluator.evaluate(genome, shared, **address, leg=Leg(shared.epochs.size // 2))
    assert 1 < num_taken < shared.epochs.size // 2
    assert whole.failure == part.failure is not None and part.memory is None
    assert whole.num_saved == part.num_saved == shared.epochs.size - num_taken


def test_what_a_divergence_leaves_out_is_no_saving() -> None:
    params = params_of()
    whole = Evaluation(-1.0, -1.0, None, None, 0.0)
    stopped = dataclasses.replace(whole, rung=0, num_saved=75)
    diverged = Evaluation.failed("it went wrong", 0.0, num_saved=90)
    # The first two are elites, who are not trained in later generations.
    evaluations = [whole, whole, stopped, diverged, dataclasses.replace(diverged, rung=1, num_saved=40)]
    assert saving_of(params, 0, evaluations, num_steps=(100,)) == Saving(500 - 90 - 40, 75)
    later = saving_of(params, 1, evaluations, num_steps=(100,))
    assert later == Saving(300 - 90 - 40, 75)
    assert later.share == 75 / 170
    assert saving_of(params, 0, [diverged], num_steps=(90,)) == Saving(0, 0)
    assert Saving(0, 0).share is None


def test_elites_do_not_race() -> None:
    for settings in ({}, PLAIN):
        _, second, third = populations(params_of(**settings))
        for record in (second, third):
            assert [one.evaluation.rung for one in record.population.members[:2]] == [None, None]
            assert sorted(str(one.evaluation.rung) for one in record.population.members[2:]) == [
                *["0"] * 3, *["1"] * 2, "None",
            ]  # fmt: skip
            num_trained = 8 if settings else 6
            assert record.saving.num_steps % num_trained == 0


def test_newcomers_do_not_race() -> None:
    _, second = populations(params_of(**PLAIN, num_newcomers=2), 2)
    assert [one.evaluation.rung for one in second.population.members[6:]] == [None, None]
    assert [one.parents for one in second.population.members[6:]] == [(), ()]
    assert sum(one.evaluation.rung is None for one in second.population.members) == 2 + 1 + 2


def test_every_island_has_a_race_of_its_own() -> None:
    (record,) = populations(params_of(num_islands=2, racing_rungs=2), 1)
    for island in (slice(0, 4), slice(4, 8)):
        assert sum(one.evaluation.rung is None for one in record.population.members[island]) == 2


@pytest.mark.parametrize("settings", [{"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}])
def test_workers_have_no_say(settings) -> None:
    expected = [record.digest for record in populations(params_of())]
    assert [record.digest for record in populations(params_of(**settings))] == expected


class _Stopping(Experiment):
    """Asks to stop after so many results have come, whether of finished evaluations or of rungs."""

    def __init__(self, *given, after: int, **options) -> None:
        super().__init__(*given, **options)
        self.after = after
        evaluate = self._appraiser.evaluate
        self._appraiser.evaluate = lambda population, workers: self._counted(evaluate, population, workers)

    def _counted(self, evaluate_all, population, workers):
        evaluate = workers.evaluate

        def counting(*given, on_result, **options):
            def counted(index, evaluation) -> None:
                on_result(index, evaluation)
                self.after -= 1
                if not self.after:
                    self.stop("enough")
                    raise Interrupted("enough")

            return evaluate(*given, on_result=counted, **options)

        workers.evaluate = counting
        try:
            return evaluate_all(population, workers)
        finally:
            workers.evaluate = evaluate


@pytest.mark.parametrize("after", [1, 8, 10, 13, 14, 21, 25])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(after: int, tmp_path) -> None:
    params = params_of(num_generations=2)
    task = load_task_of(params)
    expected = Experiment(params, task).run()
    broken = _Stopping(params, task, checkpoint_folder=tmp_path, after=after).run()
    assert broken.status == "interrupted"
    again = Experiment(params, task, checkpoint=Checkpoint.read_last(tmp_path), checkpoint_folder=tmp_path).run()
    assert (again.digest, again.evaluations, again.saving) == (expected.digest, expected.evaluations, expected.saving)
    assert again.champion.individual.genome.digest == expected.champion.individual.genome.digest
    assert again.saving.share > 0.3


def test_what_is_done_is_not_done_again(tmp_path) -> None:
    params = params_of(num_generations=2)
    task = load_task_of(params)
    _Stopping(params, task, checkpoint_folder=tmp_path, after=13).run()
    experiment = Experiment(params, task)
    journal = Journal(tmp_path, 0, experiment.genomes, say=lambda text: None)
    known = journal.known_members(experiment.genomes)
    # The whole first two rungs, and the first who has finished.
    assert sorted(str(one.rung) for one in known.values()) == ["0"] * 4 + ["1"] * 2 + ["None"]
    assert journal.known(Place(Stream.LEARNING, 99), experiment.genomes[0]) is None


# -- rules ----------------------------------------------------------------------------------------------------------


def test_rungs_are_a_geometric_series() -> None:
    islands = Islands(1, 9, 0)
    assert Racing(3, 3, islands).stops(900) == [100, 300, 900]
    assert Racing(2, 2, islands).stops(7) == [4, 7]
    assert Racing(2, 4, islands).stops(2) == [1, 2], "there are fewer steps than rungs"
    assert Racing(5, 2, islands).stops(1) == [1]


def test_at_least_one_goes_on_and_in_the_beginning_as_many_as_there_will_be_elites() -> None:
    racing = Racing(3, 2, Islands(2, 5, 2))
    rewards = {place: -float(place) for place in range(10)}
    assert racing.stopped(0, range(10), (), rewards) == [2, 3, 4, 7, 8, 9]
    children = racing.racers(1)
    assert children == [4, 5, 6, 7, 8, 9]
    assert racing.stopped(1, children, (), {place: rewards[place] for place in children}) == [5, 6, 8, 9]


def test_equal_rewards_are_ranked_by_place_and_the_failed_leave_no_gap() -> None:
    racing = Racing(2, 2, Islands(1, 6, 0))
    assert racing.stopped(0, range(6), (), dict.fromkeys(range(6), -1.0)) == [3, 4, 5]
    assert racing.stopped(0, range(6), (), dict.fromkeys((2, 4, 5), -1.0)) == []
    assert racing.stopped(0, range(6), (), dict.fromkeys((1, 2, 4, 5), -1.0)) == [5]


@pytest.mark.parametrize("crowding", ["nsga2", "wann"])
@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_where_nobody_was_stopped_progress_changes_nothing(evolve, num_objectives: int, crowding: str) -> None:
    genome = evolve(0, num_mutations=3)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        objectives = rng.integers(-5, 5, (12, num_objectives)) / 2.0
        failed = rng.random(12) < rng.choice([0.0, 0.3, 1.0])
        objectives[failed] = -math.inf
        members = tuple(
            Individual(
                index, (), 0, (), genome, Evaluation.failed("no", 0.0) if fails else Evaluation(0, 0, 0, None, 0)
            )
            for index, fails in enumerate(failed)
        )
        found = ranking_by_progress(Population(0, members), objectives, crowding=crowding)
        assert found.tolist() == ranking(objectives, crowding=crowding).tolist()


class _Table:
    """A generation whose rewards after each rung are known; counts what it is asked for."""

    def __init__(self, rewards, failing=()) -> None:
        self.rewards, self.failing, self.asked = rewards, dict(failing), []

    def __call__(self, *, known, legs, on_result):
        rng = np.random.default_rng(len(known))
        for index in rng.permutation([index for index in range(len(self.rewards)) if index not in known]).tolist():
            rung = 0 if legs[index].memory is None else legs[index].memory["rung"] + 1
            self.asked.append((index, rung))
            if self.failing.get(index) == rung:
                on_result(index, Evaluation.failed("it went wrong", 1.0))
                continue
            reward = self.rewards[index][rung]
            memory = None if rung == len(self.rewards[0]) - 1 else {"rung": rung}
            on_result(index, Evaluation(reward, reward, None, None, 1.0, memory=memory))


@pytest.mark.parametrize("seed", range(20))
def test_a_race_that_goes_on_ends_as_one_without_a_break(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rewards = rng.integers(0, 9, (13, 3)) / 8.0 - 1.0
    failing = {int(index): int(rng.integers(3)) for index in rng.choice(13, 4, replace=False)}
    race = Race(Racing(2, 3, Islands(1, 13, 1)), 0, (100,))
    expected = race.run(_Table(rewards, failing), {}, lambda *_: None)
    finished = [index for index, one in enumerate(expected) if one.rung is None]
    assert all(expected[index].rung == rung for index, rung in failing.items() if expected[index].failure)
    for _ in range(10):
        known = {int(i): expected[i] for i in rng.choice(13, rng.integers(0, 13), replace=False)}
        table, ended = _Table(rewards, failing), []
        found = race.run(table, known, lambda index, one, ended=ended: ended.append(index))
        for one, other in zip(found, expected, strict=True):
            assert all(
                getattr(one, name) == getattr(other, name) for name in ("reward", "rung", "num_saved", "failure")
            )
        assert sorted([*known, *ended]) == list(range(13)) and not {index for index, _ in table.asked} & known.keys()
        assert [index for index, one in enumerate(found) if one.rung is None] == finished


# -- settings -------------------------------------------------------------------------------------------------------


def test_a_race_is_decided_by_one_training_each() -> None:
    with pytest.raises(ParamsError, match=r"racing 2 is not allowed with num_trials 3"):
        params_of(num_trials=3)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"racing": 1}, "racing 1"),
        ({"num_generations": 0}, "num_generations 0"),
        ({"learning_rule": "none", "optimizer": "none"}, "learning_rule none"),
        ({"env_name": "CartPoleSwingUp", "learning_rule": "evolution_strategy"}, "env_name CartPoleSwingUp"),
        ({"shared_weights": (-1.0, 1.0)}, "shared_weights"),
    ],
)
def test_where_nobody_races_the_user_is_told(values, reason: str) -> None:
    params = load_params(None, {"racing": 3, "racing_rungs": 4, "population_size": 10, **values})
    messages = {one.settings[0]: one.message for one in find_idle(params)}
    assert not params.races
    assert reason in messages["racing_rungs"]
    assert ("racing" in messages) == (params.racing > 1)
