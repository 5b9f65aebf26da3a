"""Children that begin with what their parent's optimizer remembered."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from topoevo.cli import main
from topoevo.errors import CheckpointError, ParamsError
from topoevo.evolution.moments import Moments
from topoevo.experiment.appraiser import Appraiser
from topoevo.experiment.archive import read_archive, write_archive
from topoevo.experiment.checkpoint import FORMAT, VERSION, Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.idle import find_idle
from topoevo.experiment.inheritance import give_moments
from topoevo.experiment.journal import Journal, Place
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import load_params
from topoevo.experiment.problem import Leg
from topoevo.experiment.records import Failure
from topoevo.experiment.replaying import evaluated_again
from topoevo.experiment.workers import Workers
from topoevo.network import compile_network
from topoevo.reporting.disk_use import disk_use
from topoevo.reporting.failures import FailureFiles, failure_facts, failure_files, read_failure
from topoevo.reporting.kept_population import KeptPopulation, write_population
from topoevo.reporting.run_directory import RunDirectory
from topoevo.seeds import Stream

from .stopping import Stopping

SMALL = {
    "num_generations": 4,
    "population_size": 8,
    "tournament_size": 2,
    "cull_ratio": 0.5,
    "elite_ratio": 0.25,
    "inherit_weights": True,
    "inherit_optimizer_state": True,
    "optimizer": "adam",
    "num_samples": 200,
    "batch_size": 32,
    "num_epochs": 2,
    "test_every": 0,
    "p_remove_connection": 0.3,
}
PRUNED = {
    "pruning": "fisher",
    "max_connections": 60,
    "initial_networks": "dense",
    "initial_hidden_nodes": (4, 6),
    "p_grow_connection": 1,
    "p_remove_connection": 0,
    "output_connections": True,
}
KEPT = {"validation_ratio": 0.2, "reward_data": "both", "train_elites": False}


def params_of(**settings):
    return load_params(None, {**SMALL, **settings})


def bits(moments: Moments | None):
    return moments and (moments.innovation.tobytes(), moments.first.tobytes(), moments.second.tobytes(), moments.steps)


def generations(params, number=3, **options):
    experiment = Experiment(params, load_task_of(params), **options)
    with Workers.from_params(params, lambda line: None) as workers:
        return [experiment.step(workers) for _ in range(number)]


# -- one training after another -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.1, "bias": True},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "rmsprop", "momentum": 0.5},
        {"optimizer": "adadelta", "lr": 1.0},
        {"learning_rule": "feedback_alignment"},
        {"learning_rule": "hebbian"},
        {"learning_rule": "last_layer"},
        {"kernel": "reference"},
        {"use_torch": True},
    ],
    ids=str,
)
def test_an_unchanged_child_goes_on_to_the_bit(settings) -> None:
    """With a constant learning rate and the same minibatches: two trainings are one of twice the length."""
    if "use_torch" in settings:
        pytest.importorskip("torch")
    params = params_of(**settings, shuffle=False)
    task = load_task_of(params)
    genome = Experiment(params, task).genomes[2]
    address = {"stream": Stream.LEARNING, "generation": 0, "index": 2}
    evaluator, problem = judging_of(params, task)
    shared = problem.shared(Stream.SHARED, 0)
    parent = evaluator.evaluate(genome, shared, **address)
    child = genome.with_weights(parent.weights)
    moments = pickle.loads(pickle.dumps(parent.moments))
    assert bits(moments) == bits(parent.moments) and moments.steps == shared.epochs.size
    leg = Leg(shared.epochs.size, moments=moments)
    found = evaluator.evaluate(child, shared, **address, leg=leg)
    forgetful = evaluator.evaluate(child, shared, **address)
    longer = params_of(**settings, shuffle=False, num_epochs=4)
    evaluator, problem = judging_of(longer, task)
    whole = evaluator.evaluate(genome, problem.shared(Stream.SHARED, 0), **address)
    assert found.weights.tobytes() == whole.weights.tobytes() != forgetful.weights.tobytes()
    assert bits(found.moments) == bits(whole.moments) and found.moments.steps == 2 * shared.epochs.size


@pytest.mark.parametrize("settings", [{}, {"bias": True}, {"learning_rule": "last_layer"}], ids=str)
def test_genes_find_what_is_theirs_and_new_ones_begin_at_zero(settings) -> None:
    """Written out by gene, on mutated children of trained parents."""
    params = params_of(**settings, p_add_node=1, p_add_connection=1, num_mutations_per_generation=6)
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params, lambda line: None) as workers:
        experiment.step(workers)
    evaluator, _ = judging_of(params, experiment.task)
    num_new = num_old = 0
    for child in experiment._next.members:
        learner = evaluator.start(compile_network(child.genome), np.random.default_rng(0), 1)
        give_moments(learner, child.genome, child.moments)
        averages = zip(child.moments.first, child.moments.second, strict=True)
        of_parent = dict(zip(child.moments.innovation.tolist(), averages, strict=True))
        for edge, gene in enumerate(learner.network.gene):
            innovation = int(child.genome.connections["innovation"][gene])
            is_old = innovation in of_parent and learner.plasticity.plastic[edge]
            found = learner.state.first[edge], learner.state.second[edge]
            assert found == (of_parent[innovation] if is_old else (0, 0))
            num_old, num_new = num_old + is_old, num_new + (not is_old)
        assert learner.state.age == child.moments.steps
    assert num_new > 10 < num_old


@pytest.mark.parametrize("settings", [PRUNED, {}], ids=["pruned", "plain"])
def test_moments_are_of_the_genes_that_are_left_and_learn(settings) -> None:
    (record,) = generations(params_of(**settings), 1)
    for before, after in zip(record.before.members, record.population.members, strict=True):
        gene = compile_network(after.genome).gene
        moments = after.evaluation.moments
        assert moments.innovation.tolist() == sorted(after.genome.connections["innovation"][gene].tolist())
        if "pruning" in settings:
            assert len(moments.innovation) < len(before.genome.connections)


def test_of_several_trainings_the_best_one_hands_on(monkeypatch) -> None:
    params = params_of(num_trials=3)
    task = load_task_of(params)
    genome = Experiment(params, task).genomes[0]
    evaluator, problem = judging_of(params, task)
    learners = []
    start = type(evaluator).start
    monkeypatch.setattr(type(evaluator), "start", lambda *given: learners.append(start(*given)) or learners[-1])
    address = {"stream": Stream.LEARNING, "generation": 0, "index": 0}
    found = evaluator.evaluate(genome, problem.shared(Stream.SHARED, 0), **address)
    (best,) = [one for one in learners if (one.weights == found.weights[one.network.gene]).all()]
    assert len(learners) == 3
    for innovation, first in zip(found.moments.innovation, found.moments.first, strict=True):
        (edge,) = np.flatnonzero(genome.connections["innovation"][best.network.gene] == innovation)
        assert first == best.state.first[edge]


# -- from generation to generation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_islands": 2, "migration_every": 2}, {"num_newcomers": 2}, KEPT],
    ids=["one", "isles", "new", "kept"],
)
def test_everybody_begins_where_the_parent_has_ended(settings) -> None:
    records = generations(params_of(**settings), 4)
    for earlier, later in pairwise(records):
        left = {one.id: one.evaluation.moments for one in earlier.population.members}
        for one in later.population.members:
            if one.born < later.generation:
                assert bits(one.moments) == bits(left[one.id]) is not None
            elif one.parents:
                assert bits(one.moments) == bits(left[one.parents[0]]) is not None
            else:
                assert one.moments is None
    oldest = max(one.evaluation.moments.steps for one in records[-1].population.members)
    assert oldest > records[0].population.members[0].evaluation.moments.steps
    if "train_elites" in settings:
        for one in records[-1].population.members[:2]:
            assert bits(one.evaluation.moments) == bits(one.moments)


def test_who_has_failed_leaves_nothing() -> None:
    records = generations(params_of(lr=1e18, lr_spread=1000, optimizer="rmsprop", p_initial_add_node=1), 2)
    failed = {one.id for one in records[0].population.members if one.has_failed}
    assert failed and len(failed) < 8
    for one in records[0].population.members:
        assert (one.evaluation.moments is None) == one.has_failed
    for one in records[1].population.members:
        assert (one.moments is None) == (one.parents[0] in failed if one.parents else one.id in failed)


def test_it_makes_a_difference_from_generation_1_on() -> None:
    with_state = [record.digest for record in generations(params_of(), 2)]
    without = [record.digest for record in generations(params_of(inherit_optimizer_state=False), 2)]
    assert with_state[0] == without[0] and with_state[1] != without[1]


@pytest.mark.parametrize("more", [{}, {**PRUNED, **KEPT, "racing": 2}], ids=["plain", "race"])
@pytest.mark.parametrize("settings", [{"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}])
def test_workers_have_no_say(settings, more) -> None:
    expected, found = generations(params_of(**more)), generations(params_of(**more, **settings))
    for one, other in zip(expected, found, strict=True):
        assert one.digest == other.digest
        members = zip(one.population.members, other.population.members, strict=True)
        assert all(bits(a.evaluation.moments) == bits(b.evaluation.moments) for a, b in members)


@pytest.mark.parametrize("settings", [{}, {**PRUNED, **KEPT}], ids=["plain", "pruned"])
def test_who_finishes_a_race_has_what_it_would_have_without(settings) -> None:
    plain, raced = (generations(params_of(**settings, racing=racing), 1)[0] for racing in (1, 2))
    num_finished = 0
    for one, other in zip(plain.population.members, raced.population.members, strict=True):
        if other.evaluation.rung is None:
            num_finished += 1
            assert one.evaluation.weights.tobytes() == other.evaluation.weights.tobytes()
            assert bits(one.evaluation.moments) == bits(other.evaluation.moments)
        else:
            assert 0 < other.evaluation.moments.steps < one.evaluation.moments.steps
    assert 0 < num_finished < 8
    # Legs of a later generation, which begin with moments.
    params = params_of(**settings, racing=2, racing_rungs=3)
    records = generations(params, 2)
    evaluator, problem = judging_of(params, load_task_of(params))
    shared = problem.shared(Stream.SHARED, 1)
    before = {one.id: one for one in records[1].before.members}
    for place, member in enumerate(records[1].population.members):
        if member.born == 1 and member.evaluation.rung is None:
            address = {"stream": Stream.LEARNING, "generation": 1, "index": place}
            leg = Leg(shared.epochs.size, moments=member.moments)
            again = evaluator.evaluate(before[member.id].genome, shared, **address, leg=leg)
            kept = slice(None) if again.removed is None else ~again.removed
            assert again.weights[kept].tobytes() == member.evaluation.weights.tobytes()
            assert bits(again.moments) == bits(member.evaluation.moments)


# -- interruptions, and what is on the disk -----------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {**PRUNED, "racing": 2}], ids=["plain", "race"])
@pytest.mark.parametrize("after", [8, 13, 21])
def test_a_resumed_run_is_the_one_that_nobody_interrupted(settings, after: int, tmp_path) -> None:
    params = params_of(**settings)
    task = load_task_of(params)
    expected = Experiment(params, task).run()
    broken = Experiment(params, task, observers=[Stopping(after)], checkpoint_folder=tmp_path).run()
    assert broken.status == "interrupted"
    checkpoint = Checkpoint.read_last(tmp_path)
    assert all((one.moments is None) == (checkpoint.num_done == 0) for one in checkpoint.population.members)
    again = Experiment(params, task, checkpoint=checkpoint, checkpoint_folder=tmp_path).run()
    assert again.digest == expected.digest
    assert again.champion.individual.genome.digest == expected.champion.individual.genome.digest


def test_checkpoints_and_snapshots_keep_every_bit(tmp_path) -> None:
    params = params_of(num_newcomers=2)
    task = load_task_of(params)
    Experiment(params, task, observers=[Stopping(12)], checkpoint_folder=tmp_path).run()
    checkpoint = Checkpoint.read_last(tmp_path)
    moments = [bits(one.moments) for one in checkpoint.population.members]
    assert moments[-2:] == [None, None] and None not in moments[:-2]
    records = generations(params, 1)
    assert moments[0] == bits(max(records[0].population.members, key=lambda one: one.reward).evaluation.moments)
    write_population(tmp_path / "population.npz", checkpoint.population, checkpoint.origin)
    for kept in (KeptPopulation.read(tmp_path / "population.npz"), KeptPopulation.of_checkpoint(checkpoint)):
        assert [bits(one) for one in kept.moments] == moments


def test_a_journal_keeps_every_bit(tmp_path) -> None:
    (record,) = generations(params_of(), 1)
    genomes = [one.genome for one in record.population.members]
    journal = Journal(tmp_path, 0, genomes, say=print)
    for index, one in enumerate(record.population.members):
        journal.add(Place(Stream.LEARNING, index), one.genome, one.evaluation, seconds=1.0)
    journal.save(now=True)
    journal.close()
    found = Journal(tmp_path, 0, genomes, say=print).known_members(genomes)
    assert len(found) == 8
    for index, one in enumerate(record.population.members):
        assert bits(found[index].moments) == bits(one.evaluation.moments) is not None
        assert found[index].sample_passes == one.evaluation.sample_passes


def test_the_journal_has_room_for_evidence_and_moments_of_a_large_network(tmp_path) -> None:
    params = params_of(**{**PRUNED, "max_connections": 3000, "initial_hidden_nodes": (80, 80), "num_samples": 32})
    (record,) = generations(params, 1)
    member = record.population.members[0]
    assert member.evaluation.evidence is not None and len(member.evaluation.moments.innovation) > 2000
    journal = Journal(tmp_path, 0, [member.genome], say=print)
    large = replace(member.evaluation, failure="x" * 2**19)
    journal.add(Place(Stream.LEARNING, 0), member.genome, large, seconds=1.0)
    journal.save(now=True)
    journal.close()
    assert Journal(tmp_path, 0, [member.genome], say=print).known_members([member.genome]).keys() == {0}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("moment_innovation", lambda array: array[::-1].copy()),
        ("moment_first", lambda array: array[1:]),
        ("moment_second", lambda array: array.astype(np.float64)),
        ("moment_steps", lambda array: -array),
        ("moment_steps", lambda array: array[1:]),
        ("num_moments", lambda array: array + 1),
        ("num_moments", lambda array: array[1:]),
    ],
)
def test_damaged_moments_are_no_checkpoint(name: str, change, tmp_path) -> None:
    params = params_of()
    Experiment(params, load_task_of(params), observers=[Stopping(9)], checkpoint_folder=tmp_path).run()
    path = max(tmp_path.glob("generation-*.npz"))
    arrays, meta = read_archive(path, FORMAT, VERSION)
    meta |= {"format": FORMAT, "version": VERSION}
    write_archive(path, arrays, meta)
    Checkpoint.read(path)
    write_archive(path, {**arrays, name: change(arrays[name])}, meta)
    with pytest.raises(CheckpointError, match="moment"):
        Checkpoint.read(path)


def test_without_it_nothing_is_kept(tmp_path) -> None:
    params = params_of(inherit_optimizer_state=False)
    task = load_task_of(params)
    Experiment(params, task, observers=[Stopping(12)], checkpoint_folder=tmp_path).run()
    path = max(tmp_path.glob("generation-*.npz"))
    assert not any("moment" in name for name in read_archive(path, FORMAT, VERSION)[0])
    assert b"moments" not in b"".join(journal.read_bytes() for journal in tmp_path.glob("journal-*"))
    (record,) = generations(params, 1)
    assert all(one.evaluation.moments is None for one in record.population.members)
    with_it = disk_use(params_of(), task, [one.genome for one in record.population.members])
    without = disk_use(params, task, [one.genome for one in record.population.members])
    assert with_it.checkpoints > without.checkpoints


# -- replays ------------------------------------------------------------------------------------------------------


def test_an_evaluation_of_a_snapshot_or_checkpoint_is_repeated(tmp_path, capsys) -> None:
    flags = [
        word
        for name, value in {**SMALL, "save_networks_every": 1}.items()
        for word in (f"--{name}", str(value).lower())
    ]
    assert main(["wlnn", *flags, "--out_dir", str(tmp_path / "run")]) == 0
    run = RunDirectory.open(tmp_path / "run")
    population = KeptPopulation.read(run.networks / "generation-000002" / "population.npz")
    capsys.readouterr()
    for individual in (population.individuals[0], population.individuals[-1]):
        words = ["--individual", str(individual), "--generation", "2"]
        assert main(["replay", str(run.path), *words]) == 0
        assert "reproduced" in capsys.readouterr().out
    assert main(["verify", str(run.path)]) == 0


def test_a_file_of_a_failure_says_what_the_optimizer_began_with(tmp_path) -> None:
    params = params_of()
    task = load_task_of(params)
    member = generations(params, 2)[1].population.members[-1]
    run = RunDirectory(tmp_path)
    failed = replace(member, evaluation=replace(member.evaluation, failure="boom"))
    failure = Failure(failed, Stream.LEARNING, 1, 7)
    assert "moments" in failure_facts(failure, params)["failure"]
    FailureFiles(run, params, task, first=0).add(failure)
    ((path, _, _),) = failure_files(run.failure_files)
    assert bits(read_failure(path).moments) == bits(member.moments) is not None
    address = {"stream": Stream.LEARNING, "generation": 1, "index": 7, "say": print}
    again = evaluated_again(
        read_failure(path).network.genome, params, task, **address, moments=read_failure(path).moments
    )
    assert again.weights.tobytes() == member.evaluation.weights.tobytes()


def test_a_confirmation_begins_as_the_evaluation_did(monkeypatch) -> None:
    given = []
    confirm = Appraiser.confirm
    monkeypatch.setattr(
        Appraiser,
        "confirm",
        lambda self, *words, **options: given.append(options) or confirm(self, *words, **options),
    )
    records = generations(params_of(), 4)
    by_generation = {one["generation"]: one["moments"] for one in given}
    later = [number for number in by_generation if number]
    assert later
    for number in later:
        best = records[number].best
        assert bits(by_generation[number]) == bits(best.moments) is not None


# -- settings -----------------------------------------------------------------------------------------------------


def test_new_weights_have_no_past() -> None:
    with pytest.raises(ParamsError) as raised:
        params_of(inherit_weights=False)
    assert str(raised.value).count("\n") == 0
    assert "inherit_optimizer_state" in str(raised.value) and "inherit_weights must be true" in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"optimizer": "sgd"}, "optimizer sgd and momentum 0"),
        ({"learning_rule": "metropolis"}, "follows no gradient"),
        ({"learning_rule": "none"}, "follows no gradient"),
        (
            {"env_name": "CartPoleSwingUp", "learning_rule": "evolution_strategy", "num_samples": None},
            "CartPoleSwingUp",
        ),
        ({"num_generations": 0, "num_samples": None}, "nothing evolves"),
        ({"shared_weights": (-1.0, 1.0)}, "nothing is learned"),
    ],
)
def test_where_it_has_no_effect_is_told(settings, reason: str) -> None:
    params = params_of(**settings)
    told = [one.message for one in find_idle(params) if one.settings == ("inherit_optimizer_state",)]
    assert len(told) == 1 and reason in told[0]
    assert not params.hands_on_state


@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "sgd", "momentum": 0.5}, {"learning_rule": "evolution_strategy"}]
)
def test_where_it_has_an_effect_nothing_is_told(settings) -> None:
    params = params_of(**settings)
    assert params.hands_on_state
    assert not [one for one in find_idle(params) if "inherit_optimizer_state" in one.settings]


def test_genes_are_found_by_their_number() -> None:
    numbers = np.array([2, 5, 9], np.int32)
    moments = Moments(numbers, np.zeros(3, np.float32), np.zeros(3, np.float32), 1)
    places, known = moments.find(np.array([9, 1, 5, 10, 2, 6], np.int32))
    assert known.tolist() == [True, False, True, False, True, False]
    assert places[known].tolist() == [2, 1, 0]
    nothing = Moments(numbers[:0], np.zeros(0, np.float32), np.zeros(0, np.float32), 1)
    assert not nothing.find(numbers)[1].any()
