"""The final training: its samples and weight decay, which weights are kept, and that interruptions change nothing."""

from __future__ import annotations

import pytest

from topoevo.errors import CheckpointError
from topoevo.evolution import Evaluation
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import check_origin, load_task_of, origin_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.finishing import best_factors, kept_after
from topoevo.experiment.judging import judging_of
from topoevo.experiment.records import Champion, TaskScore
from topoevo.reporting.network_facts import facts_of
from topoevo.reporting.network_file import write_network
from topoevo.seeds import Stream
from topoevo.trained_network import load_network

from .informed import Said, evaluated, params_of


def test_the_final_training_may_have_all_samples_but_those_of_the_test() -> None:
    params = params_of(final_epochs=2, final_samples="all", num_generations=1)
    task = load_task_of(params)
    _, problem = judging_of(params, task)
    final = problem.shared(Stream.CONFIRMATION, 1, num_epochs=2)
    assert len(final.samples) == len(task.train) + len(task.validation) == len(final.order)
    assert len(problem.shared(Stream.SHARED, 0).samples) == len(task.train)
    champions = {}
    for samples in ("training", "all"):
        experiment = Experiment(params_of(final_epochs=2, final_samples=samples, num_generations=1, lr=1e-9), task)
        experiment.run()
        champions[samples] = experiment._championship.champion
    # With such a rate nothing moves, and both are what evolution has found.
    assert champions["all"].validation.reward == pytest.approx(champions["training"].validation.reward, rel=1e-4)
    moved = Experiment(params, task)
    moved.run()
    champion = moved._championship.champion
    assert champion.validation is not None and champion.test is not None
    assert champion.individual.genome.digest != champions["all"].individual.genome.digest


def champion_with(task, factors, **settings):
    """Return the champion after a final training with the best of some weight decays, and what was said."""
    said = Said()
    params = params_of(final_epochs=3, num_generations=1, weight_decay=1.0, final_decay_factors=factors, **settings)
    Experiment(params, task, observers=[said]).run()
    return said.outcome.champion, said.messages


@pytest.mark.parametrize("samples", ["training", "all"])
def test_the_final_training_has_the_weight_decay_that_is_best_on_validation_samples(samples: str) -> None:
    task = load_task_of(params_of())
    choices = (300.0, 0.5, 30.0, 0.5)
    trained = {factor: champion_with(task, (factor,))[0] for factor in choices}
    best = max(choices, key=lambda factor: trained[factor].validation.reward)
    alone, _ = champion_with(task, (best,), final_samples=samples)
    chosen, messages = champion_with(task, choices, final_samples=samples)
    assert f"weight_decay: champion times {best:g}" in messages
    assert chosen.individual.genome.digest == alone.individual.genome.digest
    assert chosen.test == alone.test
    assert len({one.individual.genome.digest for one in trained.values()}) > 1
    assert champion_with(task, choices, final_samples=samples, num_workers=2)[0].test == chosen.test


def test_weight_decay_that_has_no_effect_is_not_tried() -> None:
    task = load_task_of(params_of())
    blind = {"p_grow_connection": 0, "p_add_node": 1, "pruning": "magnitude"}
    for settings in ({"weight_decay": 0}, {"learning_rule": "metropolis", **blind}):
        said = Said()
        settings = {"weight_decay": 1.0, "final_epochs": 1, "num_generations": 1, **settings}
        Experiment(params_of(final_decay_factors=(0.1, 9), **settings), task, observers=[said]).run()
        assert not [text for text in said.messages if "weight_decay" in text or "weight decays" in text]


def test_a_stop_while_weight_decays_are_tried_changes_nothing(tmp_path) -> None:
    class Stopping(Said):
        def on_start(self, run) -> None:
            self.run = run

        def on_message(self, text) -> None:
            super().on_message(text)
            if text.startswith("trying"):
                self.run.stop("enough")

    task = load_task_of(params_of())
    params = params_of(final_epochs=3, num_generations=1, weight_decay=1.0, final_decay_factors=(0.1, 9))
    whole, stopped, rest = Said(), Stopping(), Said()
    Experiment(params, task, observers=[whole]).run()
    assert Experiment(params, task, observers=[stopped], checkpoint_folder=tmp_path).run().status == "interrupted"
    checkpoint = Checkpoint.read_last(tmp_path)
    Experiment(params, task, observers=[rest], checkpoint=checkpoint, checkpoint_folder=tmp_path).run()
    assert rest.outcome.champion.test == whole.outcome.champion.test
    assert rest.outcome.sample_passes == whole.outcome.sample_passes


def test_a_run_that_goes_on_may_try_other_weight_decays(tmp_path) -> None:
    task = load_task_of(params_of())
    with_factors = {
        factors: params_of(final_epochs=3, num_generations=1, weight_decay=1.0, final_decay_factors=factors)
        for factors in (None, (0.1, 90))
    }
    assert origin_of(with_factors[None], task) == origin_of(with_factors[0.1, 90], task)
    Experiment(with_factors[None], task, checkpoint_folder=tmp_path).run()
    checkpoint = Checkpoint.read_last(tmp_path)
    changed, whole = Said(), Said()
    Experiment(with_factors[0.1, 90], task, observers=[changed], checkpoint=checkpoint).run()
    Experiment(with_factors[0.1, 90], task, observers=[whole]).run()
    assert changed.outcome.champion.test == whole.outcome.champion.test


def test_a_run_goes_on_that_an_earlier_version_has_begun() -> None:
    """It held the decays that are tried for what may not change."""
    params = params_of(final_epochs=3, weight_decay=1.0, final_decay_factors=(0.1, 90))
    now = origin_of(params, load_task_of(params))
    before = {**now, "settings": {**now["settings"], "final_decay_factors": [0.1, 90]}}
    check_origin(before, now)
    with pytest.raises(CheckpointError, match="lr: is"):
        check_origin({**before, "settings": {**before["settings"], "lr": 7.0}}, now)


def test_weight_decays_are_tried_with_the_same_random_numbers() -> None:
    """Factors that are nearly the same lead to nearly the same networks, feedback weights included."""
    flags = {"learning_rule": "feedback_alignment", "redraw_feedback": True, "final_epochs": 3, "num_generations": 1}
    params = params_of(weight_decay=1.0, final_decay_factors=(1.0, 1.000001), **flags)
    scores = []

    def keep(genomes, tried, score):
        scores.extend(score(genomes[0].with_weights(found[0].weights)) for found in tried.values())
        return best_factors(genomes, tried, score)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("topoevo.experiment.appraiser.best_factors", keep)
        Experiment(params, load_task_of(params)).run()
    assert len(scores) == 2 and scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_what_was_trained_before_an_interruption_is_not_taken_for_a_training_with_another_decay(tmp_path) -> None:
    class Stopping(Said):
        def on_start(self, run) -> None:
            self.run = run

        def on_message(self, text) -> None:
            if text.startswith("training the best networks"):
                self.run.stop("enough")

    task = load_task_of(params_of())
    sizes = {"front_connections": (60, 90), "max_connections": None}
    before, after = (
        params_of(final_epochs=3, num_generations=1, weight_decay=1.0, final_decay_factors=factors, **sizes)
        for factors in (None, (30.0,))
    )
    whole, rest = Said(), Said()
    Experiment(after, task, observers=[whole]).run()
    assert Experiment(before, task, observers=[Stopping()], checkpoint_folder=tmp_path).run().status == "interrupted"
    checkpoint = Checkpoint.read_last(tmp_path)
    assert list(tmp_path.glob("journal*")), "the champion's training is in it"
    Experiment(after, task, observers=[rest], checkpoint=checkpoint, checkpoint_folder=tmp_path).run()
    assert rest.outcome.champion.test == whole.outcome.champion.test
    assert {size: one.test for size, one in rest.outcome.front.champions.items()} == {
        size: one.test for size, one in whole.outcome.front.champions.items()
    }


@pytest.mark.parametrize("num_samples", [10**6, 300])
def test_a_network_file_goes_on_with_the_decay_of_the_last_training(tmp_path, num_samples: int) -> None:
    params = params_of(
        final_epochs=2,
        num_generations=1,
        weight_decay=2.0,
        weight_decay_scaling=1.5,
        weight_decay_samples=num_samples,
        final_decay_factors=(0.25,),
    )
    task = load_task_of(params)
    ratio = min(num_samples / len(task.train), 1.0) ** 2
    said = Said()
    Experiment(params, task, observers=[said]).run()
    champion = said.outcome.champion
    path = tmp_path / "champion.json"
    write_network(path, champion.individual.genome, facts=facts_of(champion, params, task))
    size = champion.individual.genome.complexity.connections
    learner = load_network(path).start_learning()
    assert learner.optimization.weight_decay == pytest.approx(0.25 * ratio * 2.0 * (size / 1000) ** 1.5)


def test_a_final_training_that_fails_is_told_and_changes_nothing() -> None:
    """With such an L2 penalty weights grow without end; who has not seen validation samples does not say so."""
    sizes = {"front_connections": (60, 90), "max_connections": None}
    for settings, num_networks in (({}, 1), (sizes, 2)):
        params = params_of(
            final_epochs=3,
            num_generations=1,
            optimizer="sgd",
            weight_decay=1.0,
            final_decay_factors=(1e30,),
            final_samples="all",
            **settings,
        )
        task = load_task_of(params)
        said, without = Said(), Said()
        Experiment(params, task, observers=[said]).run()
        unfinished = params.model_copy(update={"final_epochs": 0, "final_decay_factors": None})
        Experiment(unfinished, task, observers=[without]).run()
        champion = said.outcome.champion
        assert not champion.knows_validation and champion.decay_factor == 1.0
        assert champion.individual.genome.digest == without.outcome.champion.individual.genome.digest
        warnings = [text for text in said.messages if text.startswith("warning: the final training")]
        assert len(warnings) >= num_networks and "it keeps the weights it had" in warnings[0]
        assert "the champion has failed (" in warnings[0]


def test_a_weight_decay_with_which_all_fails_is_not_taken() -> None:
    genomes, found, *_ = evaluated(params_of(num_generations=1))
    genome, evaluation = genomes[0], found[0]
    failed = Evaluation.failed("no", 0.0)
    assert best_factors([genome], {3.0: [failed]}, lambda one: 0.0) == [None]
    assert best_factors([genome], {3.0: [failed], 0.1: [evaluation], 9.0: [evaluation]}, lambda one: 0.0) == [0.1]


@pytest.mark.parametrize("after", [-0.9, -0.5, -0.1])
def test_weights_of_the_final_training_are_kept_where_they_are_better_or_nobody_can_tell(after: float) -> None:
    def champion(train: float, validation: float | None) -> Champion:
        scores = TaskScore(train, None), None if validation is None else TaskScore(validation, None)
        return Champion(None, 7, *scores)

    old, new = champion(-0.3, -0.5), champion(-0.2, after)
    assert kept_after(old, new, with_all=False) is (new if after > -0.5 else old)
    all_of_it = kept_after(old, new, with_all=True)
    assert (all_of_it.train, all_of_it.validation, all_of_it.knows_validation) == (new.train, old.validation, True)
    old, new = champion(-0.5, None), champion(after, None)
    assert kept_after(old, new, with_all=False) is (new if after > -0.5 else old)
    assert not kept_after(old, new, with_all=True).knows_validation
