"""The loop: same bytes for any workers and across a restart, confirmed champions, failures that cost one individual."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.errors import CheckpointError, ParamsError, WorkerError
from topoevo.experiment import checkpoint as checkpoint_module
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import Founder
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer

SMALL = {
    "num_generations": 4,
    "population_size": 10,
    "tournament_size": 3,
    "num_epochs": 1,
    "batch_size": 128,
    "validation_ratio": 0.1,
    "p_complexity_objective": 0.5,
    "activations": ("relu", "tanh"),
    "p_change_activation": 0.3,
}


class Listener(Observer):
    """Keep what is announced."""

    def __init__(self):
        self.records, self.champions, self.failures, self.outcome = [], [], [], None

    def on_generation(self, record):
        self.records.append(record)

    def on_champion(self, champion):
        self.champions.append(champion)

    def on_failure(self, failure):
        self.failures.append((failure.generation, failure.individual))

    def on_end(self, outcome):
        self.outcome = outcome

    @property
    def digests(self):
        return [record.digest for record in self.records]


@pytest.fixture(scope="module")
def task():
    return load_task_of(load_params(None, SMALL))


def run(task, *, checkpoint=None, folder=None, **changes):
    listener = Listener()
    params = load_params(None, {**SMALL, **changes})
    experiment = Experiment(params, task, observers=[listener], checkpoint=checkpoint, checkpoint_folder=folder)
    outcome = experiment.run()
    assert outcome is listener.outcome
    return listener


@pytest.mark.parametrize("inherit", [False, True])
def test_threads_change_nothing(task, inherit):
    one = run(task, inherit_weights=inherit)
    two = run(task, inherit_weights=inherit, num_workers=2)
    assert one.digests == two.digests
    assert len(set(one.digests)) == 4
    assert one.outcome.champion.test == two.outcome.champion.test


def test_seed_changes_everything(task):
    assert not set(run(task).digests) & set(run(task, seed=1).digests)


@pytest.mark.parametrize("inherit", [False, True])
def test_a_resumed_run_equals_the_uninterrupted_one(task, tmp_path, inherit):
    whole = run(task, inherit_weights=inherit)
    first = run(task, inherit_weights=inherit, folder=tmp_path, num_generations=2)
    second = run(task, inherit_weights=inherit, checkpoint=Checkpoint.read_last(tmp_path), folder=tmp_path)
    assert first.digests + second.digests == whole.digests
    assert second.outcome.evaluations == whole.outcome.evaluations
    assert second.outcome.generations == 4
    ours, theirs = second.outcome.champion, whole.outcome.champion
    assert (ours.train, ours.validation, ours.test) == (theirs.train, theirs.validation, theirs.test)
    assert ours.individual.genome.digest == theirs.individual.genome.digest


def test_checkpoint_round_trip_is_exact(task, tmp_path):
    run(task, folder=tmp_path, inherit_weights=True)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["generation-000003.npz", "generation-000004.npz"]
    before = Checkpoint.read_last(tmp_path)
    before.write(tmp_path)
    after = Checkpoint.read_last(tmp_path)
    assert before.population.generation == after.population.generation == 4
    for one, other in zip(before.population.members, after.population.members, strict=True):
        assert (one.id, one.parents, one.born, one.operators) == (other.id, other.parents, other.born, other.operators)
        assert one.genome.nodes.tobytes() == other.genome.nodes.tobytes()
        assert one.genome.connections.tobytes() == other.genome.connections.tobytes()
    assert (before.tracker.next_node, before.tracker.next_innovation) == (
        after.tracker.next_node,
        after.tracker.next_innovation,
    )
    assert before.confirmed == after.confirmed


def test_a_corrupt_checkpoint_falls_back_to_the_one_before(task, tmp_path):
    run(task, folder=tmp_path)
    newest = tmp_path / "generation-000004.npz"
    newest.write_bytes(newest.read_bytes()[:500])
    assert Checkpoint.read_last(tmp_path).population.generation == 3
    (tmp_path / "generation-000003.npz").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is readable"):
        Checkpoint.read_last(tmp_path)


def test_activations_are_found_by_name_when_codes_have_moved(task, tmp_path, monkeypatch):
    run(task, folder=tmp_path)
    names = [one.name for one in checkpoint_module.ACTIVATIONS_BY_CODE]
    before = Checkpoint.read_last(tmp_path).population.members[0].genome
    moved = tuple(reversed(checkpoint_module.ACTIVATIONS_BY_CODE))
    codes = {activation.name: code for code, activation in enumerate(moved)}
    monkeypatch.setattr(
        checkpoint_module, "activation_codes", lambda given: np.array([codes[name] for name in given], np.int8)
    )
    monkeypatch.setattr(type(before), "validate", lambda self: None)
    after = Checkpoint.read_last(tmp_path).population.members[0].genome
    for old, new in zip(before.nodes["activation"], after.nodes["activation"], strict=True):
        assert names[old] == moved[new].name


def test_divergence_costs_the_individual_and_not_the_run(task, monkeypatch):
    from topoevo.experiment import evaluators

    original = evaluators.initial_weights

    def some_explode(network, weight_init, rng):
        weights = original(network, weight_init, rng)
        return weights * np.float32(1e38) if network.num_edges % 2 else weights

    monkeypatch.setattr(evaluators, "initial_weights", some_explode)
    listener = run(task)
    assert listener.outcome.status == "finished"
    assert listener.failures
    for record in listener.records:
        failed = [bool(member.evaluation.failure) for member in record.population.members]
        assert record.num_failures == sum(failed)
        if record.objectives == ("reward",):
            # Nobody who failed stands before anybody who did not.
            places = [failed[index] for index in record.order]
            assert places == sorted(places)


def test_an_exception_in_a_worker_is_recorded_with_its_traceback(task, monkeypatch):
    from topoevo.experiment import evaluators

    def broken(network, weight_init, rng):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(evaluators, "initial_weights", broken)
    listener = run(task)
    assert listener.outcome.status == "failed"
    assert listener.outcome.generations == 1
    assert "all 10 individuals failed: ZeroDivisionError: no luck" in listener.outcome.reason
    assert "in broken" in listener.failures[0][1].evaluation.failure


def test_a_generation_that_has_failed_is_tried_again_when_the_run_goes_on(task, tmp_path):
    from topoevo.experiment import evaluators

    whole = run(task)
    original = evaluators.initial_weights

    def broken_later(network, weight_init, rng):
        if len(listener.records) == 2:
            raise MemoryError
        return original(network, weight_init, rng)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluators, "initial_weights", broken_later)
        listener = Listener()
        params = load_params(None, SMALL)
        outcome = Experiment(params, task, observers=[listener], checkpoint_folder=tmp_path).run()
    assert (outcome.status, outcome.generations, outcome.repeats) == ("failed", 3, True)
    assert not list(tmp_path.glob("journal*"))
    rest = run(task, checkpoint=Checkpoint.read_last(tmp_path), folder=tmp_path)
    assert listener.digests[:2] + rest.digests == whole.digests
    assert rest.outcome.evaluations == whole.outcome.evaluations


class Stopper(Listener):
    """Asks the run to stop after so many evaluations of a generation."""

    def __init__(self, generation, num_evaluations):
        super().__init__()
        self.when, self.counted, self.messages = (generation, num_evaluations), [], []

    def on_evaluation(self, generation, done, total):
        self.counted.append((generation, done))
        if (generation, done) == self.when:
            self.experiment.stop("enough")

    def on_message(self, text):
        self.messages.append(text)

    def on_start(self, experiment):
        self.experiment = experiment


def test_a_stop_keeps_what_is_evaluated(task, tmp_path):
    whole = run(task)
    stopper = Stopper(1, 4)
    params = load_params(None, SMALL)
    outcome = Experiment(params, task, observers=[stopper], checkpoint_folder=tmp_path).run()
    assert (outcome.status, outcome.reason, outcome.generations) == ("interrupted", "enough", 1)
    assert outcome.digest == whole.digests[0] and outcome.evaluations == 11
    assert [path.name for path in tmp_path.glob("journal*")] == ["journal-000001.jsonl"]
    again = Stopper(9, 9)
    checkpoint = Checkpoint.read_last(tmp_path)
    finished = Experiment(params, task, observers=[again], checkpoint=checkpoint, checkpoint_folder=tmp_path).run()
    num_known = stopper.counted[-1][1]
    assert 4 <= num_known <= 10
    assert f"{num_known} of 10 evaluations of generation 1 are done already" in again.messages
    assert [done for generation, done in again.counted if generation == 1] == list(range(num_known + 1, 11))
    assert stopper.digests + again.digests == whole.digests
    assert finished.evaluations == whole.outcome.evaluations
    assert not list(tmp_path.glob("journal*"))


@pytest.mark.parametrize("error", [WorkerError("the cluster is gone"), OSError("no file is left")])
def test_what_is_evaluated_before_an_error_counts_when_the_run_goes_on(task, tmp_path, error):
    class Failing(Stopper):
        def on_evaluation(self, generation, done, total):
            if (generation, done) == self.when:
                raise error

    whole = run(task)
    params = load_params(None, SMALL)
    with pytest.raises(type(error), match=str(error)):
        Experiment(params, task, observers=[Failing(1, 4)], checkpoint_folder=tmp_path).run()
    again = Stopper(9, 9)
    checkpoint = Checkpoint.read_last(tmp_path)
    Experiment(params, task, observers=[again], checkpoint=checkpoint, checkpoint_folder=tmp_path).run()
    assert "4 of 10 evaluations of generation 1 are done already" in again.messages
    assert again.digests == whole.digests[1:]


def test_a_stop_in_the_final_training_leaves_the_champion_of_the_last_generation(task, tmp_path):
    class StopAtTheEnd(Stopper):
        def on_message(self, text):
            if text.startswith("training the champion"):
                self.experiment.stop("enough")

    whole = run(task, final_epochs=3)
    stopper = StopAtTheEnd(9, 9)
    params = load_params(None, {**SMALL, "final_epochs": 3})
    outcome = Experiment(params, task, observers=[stopper], checkpoint_folder=tmp_path).run()
    assert (outcome.status, outcome.generations) == ("interrupted", 4)
    assert outcome.champion.test is None and outcome.champion.validation == stopper.records[-1].champion.validation
    rest = run(task, final_epochs=3, checkpoint=Checkpoint.read_last(tmp_path), folder=tmp_path)
    assert rest.records == [] and rest.outcome.status == "finished"
    ours, theirs = rest.outcome.champion, whole.outcome.champion
    assert (ours.train, ours.validation, ours.test) == (theirs.train, theirs.validation, theirs.test)


def test_the_final_training_begins_after_a_checkpoint(task, tmp_path):
    class Looker(Stopper):
        def on_message(self, text):
            if text.startswith("training the champion"):
                self.found = [path.name for path in tmp_path.glob("generation*")]

    looker = Looker(9, 9)
    params = load_params(None, {**SMALL, "final_epochs": 1, "checkpoint_every": 100})
    Experiment(params, task, observers=[looker], checkpoint_folder=tmp_path).run()
    assert "generation-000004.npz" in looker.found


def test_newcomers_descend_from_the_founder_after_a_resume_too(task, tmp_path):
    def start(folder, checkpoint=None, **changes):
        params = load_params(None, {**SMALL, "num_newcomers": 3, **changes})
        listener = Listener()
        founder = None if checkpoint else Founder.of("a network", whole_founder)
        Experiment(
            params, task, founder=founder, observers=[listener], checkpoint=checkpoint, checkpoint_folder=folder
        ).run()
        return listener

    whole_founder = run(task, num_generations=2).outcome.champion.individual.genome
    whole = start(None)
    first = start(tmp_path, num_generations=2)
    rest = start(tmp_path, checkpoint=Checkpoint.read_last(tmp_path))
    assert first.digests + rest.digests == whole.digests and len(whole.digests) == 4


def test_champion_is_confirmed_on_fresh_numbers_and_only_gets_better(task):
    listener = run(task, num_generations=6)
    crowned = [champion for champion in listener.champions if champion.test is None]
    rewards = [champion.validation.reward for champion in crowned]
    assert rewards == sorted(rewards)
    last = listener.outcome.champion
    assert last.test is not None
    # The confirming training is another one than that of the generation.
    assert last.individual.evaluation.weights.tobytes() != last.individual.genome.connections["weight"].tobytes()


def test_final_training_keeps_the_better_network(task):
    without, with_it = run(task), run(task, final_epochs=20)
    assert with_it.digests == without.digests
    assert with_it.outcome.champion.validation.reward > without.outcome.champion.validation.reward


def test_trained_weights_are_passed_on_only_if_asked_for(task):
    inherited, fresh = run(task, inherit_weights=True), run(task)
    for listener, expected in ((inherited, False), (fresh, True)):
        elites = [member for member in listener.records[1].population.members if member.born == 0]
        assert elites
        for elite in elites:
            unset = np.isnan(elite.genome.connections["weight"])
            assert bool(unset.all()) is expected or (not expected and not unset.all())


def test_sizes_that_are_not_the_tasks_are_refused(task):
    with pytest.raises(ParamsError, match="num_inputs: 65 is not allowed, digits has 64"):
        run(task, num_inputs=65)
