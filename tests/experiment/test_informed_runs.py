"""Runs that are led by evidence: budgets kept, weights and rewards that are what they say, restarts to the byte."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.errors import CheckpointError, ParamsError
from topoevo.evolution import Evaluation
from topoevo.experiment.checkpoint import Checkpoint
from topoevo.experiment.data import check_origin, load_task_of, origin_of
from topoevo.experiment.evaluators import DIVERGED
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.finishing import best_factors
from topoevo.experiment.founder import make_founder
from topoevo.experiment.judging import judging_of
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.experiment.training import Training
from topoevo.experiment.workers import Workers
from topoevo.kernels import load_kernel
from topoevo.reporting.network_facts import facts_of
from topoevo.reporting.network_file import write_network
from topoevo.seeds import Stream
from topoevo.trained_network import load_network

SMALL = {
    "num_generations": 3,
    "population_size": 6,
    "tournament_size": 2,
    "cull_ratio": 0.5,
    "elite_ratio": 0.34,
    "p_add_connection": 0,
    "p_add_node": 0,
    "p_grow_connection": 1,
    "max_connections": 60,
    "initial_networks": "dense",
    "initial_hidden_nodes": (4, 8),
    "p_initial_connection_enabled": 0.2,
    "output_connections": True,
    "inherit_weights": True,
    "optimizer": "adamw",
    "batch_size": 64,
    "initial_epochs": 3,
    "num_epochs": 2,
    "pruning": "fisher",
    "validation_ratio": 0.2,
    "reward_data": "both",
    "train_elites": False,
    "weight_init": "he",
    "bias": True,
    "test_every": 0,
}


class Said(Observer):
    """Keep what is said, and how it ends."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, text) -> None:
        self.messages.append(text)

    def on_end(self, outcome) -> None:
        self.outcome = outcome


def params_of(**settings):
    return load_params(None, {**SMALL, **settings})


def populations(params, num_generations=3):
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params, lambda line: None) as workers:
        return [experiment.step(workers).population for _ in range(num_generations)], experiment


def evaluated(params, generation=0):
    """Return members of generation 0 with evaluations, and what made them."""
    task = load_task_of(params)
    evaluator, problem = judging_of(params, task)
    experiment = Experiment(params, task)
    shared = problem.shared(Stream.SHARED, generation)
    found = [
        evaluator.evaluate(genome, shared, stream=Stream.LEARNING, generation=generation, index=index)
        for index, genome in enumerate(experiment.genomes)
    ]
    return experiment.genomes, found, problem, task, evaluator, shared


def test_everybody_stays_within_the_budget() -> None:
    generations, _ = populations(params_of())
    for population in generations:
        assert {member.genome.complexity.connections for member in population.members} <= set(range(30, 61))
        for member in population.members:
            member.genome.validate()
            assert len(member.evaluation.weights) == len(member.genome.connections)
            assert member.evaluation.removed is None
    assert any("grow_connection" in member.operators for member in generations[-1].members)


@pytest.mark.parametrize("reward_data", ["validation", "both"])
def test_the_reward_is_the_loss_of_the_weights_that_are_passed_on(reward_data: str) -> None:
    genomes, found, problem, task, _, shared = evaluated(params_of(reward_data=reward_data))
    kernel = load_kernel("numba")
    for genome, evaluation in zip(genomes, found, strict=True):
        remaining = genome.with_only(~evaluation.removed).with_weights(evaluation.weights[~evaluation.removed])
        expected = problem.score("validation", remaining, kernel).reward
        if reward_data == "both":
            from topoevo.network import compile_network

            network = compile_network(remaining)
            outputs = kernel.outputs(network, network.weight, shared.probed)
            on_probe = -task.score(outputs, task.train.targets[shared.probe]).loss
            expected = (expected + on_probe) / 2
        assert evaluation.reward == pytest.approx(expected, rel=1e-5)


def test_elites_that_are_not_trained_keep_weights_and_reward() -> None:
    (_, first, second), _ = populations(params_of())
    before = {member.id: member for member in first.members}
    kept = [member for member in second.members if member.id in before]
    assert len(kept) == 2
    for member in kept:
        old = before[member.id]
        assert member.reward == old.reward
        assert member.evaluation.weights.tobytes() == old.evaluation.weights.tobytes()
        assert member.evaluation.evidence is not None


def test_elites_that_are_trained_change() -> None:
    (_, first, second), _ = populations(params_of(train_elites=True))
    before = {member.id: member for member in first.members}
    kept = [member for member in second.members if member.id in before]
    assert kept and all(member.reward != before[member.id].reward for member in kept)


def test_the_champion_has_the_weights_that_were_judged() -> None:
    generations, experiment = populations(params_of(reward_data="validation"))
    champion = experiment._championship.champion
    assert champion.validation.reward == pytest.approx(
        max(member.reward for population in generations for member in population.members), rel=1e-5
    )


def test_learning_rates_are_spread_evenly_on_a_logarithmic_scale(monkeypatch) -> None:
    genomes, _, _, _, evaluator, shared = evaluated(params_of(lr=0.01, lr_spread=10))
    rates = []
    score = type(evaluator)._score
    monkeypatch.setattr(
        type(evaluator),
        "_score",
        lambda self, learner, *rest: rates.append(learner.optimization.lr) or score(self, learner, *rest),
    )
    for index in range(30):
        evaluator.evaluate(genomes[0], shared, stream=Stream.LEARNING, generation=1, index=index + 10)
    evaluator.evaluate(genomes[0], shared, stream=Stream.CONFIRMATION, generation=1, index=1)
    assert rates.pop() == 0.01, "a final training has the rate of the settings"
    assert 0.001 <= min(rates) < 0.004 and 0.025 < max(rates) <= 0.1
    assert abs(np.mean(np.log10(rates)) + 2) < 0.3


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_nearly_infinite_are_nothing_to_warn_of() -> None:
    settings = {"lr": 1e18, "activations": ("tanh",), "p_merge_nodes": 1, "p_grow_node": 1}
    generations, _ = populations(params_of(**settings))
    failures = {member.evaluation.failure for population in generations for member in population.members}
    assert failures <= {None, DIVERGED} and None in failures


@pytest.mark.parametrize("rule", ["feedback_alignment", "direct_feedback_alignment", "hebbian", "last_layer"])
def test_every_rule_with_evidence_grows_and_prunes(rule: str) -> None:
    generations, _ = populations(params_of(learning_rule=rule, p_initial_connection_enabled=0.6))
    members = generations[-1].members
    assert all(20 <= member.genome.complexity.connections <= 60 for member in members)
    assert any("grow_connection" in member.operators for member in members)


def test_several_sizes_at_once() -> None:
    params = params_of(max_connections=None, front_connections=(30, 50), population_size=8, migration_every=1)
    generations, _ = populations(params)
    islands = params.islands
    for population in generations:
        for place, member in enumerate(population.members):
            limit = (30, 50)[islands.island(population.generation, place)]
            assert member.genome.complexity.connections <= limit


def test_number_of_workers_and_processes_change_nothing() -> None:
    digests = set()
    for changes in ({"num_workers": 1}, {"num_workers": 2}, {"num_workers": 2, "joblib_backend": "loky"}):
        generations, _ = populations(params_of(**changes), 2)
        digests.add(generations[-1].digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_connections": None}, "pruning fisher is not allowed without max_connections"),
        ({"validation_ratio": 0}, "reward_data both is not allowed with validation_ratio 0"),
        ({"reward_data": "training"}, "train_elites false is not allowed"),
        ({"inherit_weights": False}, "train_elites false is not allowed"),
        ({"initial_hidden_nodes": (8, 4)}, "initial_hidden_nodes [8, 4] is not allowed"),
        ({"initial_hidden_nodes": (8,)}, "initial_hidden_nodes [8] is not allowed"),
        ({"pruning": "none"}, "initial_networks dense is not allowed with pruning none"),
        ({"hidden_layers": (4,)}, "both say what the first"),
        ({"front_connections": (30, 50)}, "max_connections 60 is not allowed with front_connections"),
        ({"front_connections": (50, 30), "max_connections": None}, "ascending"),
        ({"front_connections": (), "max_connections": None}, "front_connections"),
        ({"num_islands": 4}, "population_size 6 is not allowed with 4 islands"),
        ({"num_islands": 3, "num_newcomers": 1}, "num_newcomers 1 is not allowed with 3 islands"),
        ({"num_islands": 6}, "must be at least 12"),
        ({"learning_rule": "metropolis"}, "pruning fisher is not allowed with learning_rule metropolis"),
        ({"shared_weights": (1.0,), "p_add_node": 1}, "initial_networks dense is not allowed with shared_weights"),
        ({"activations": ("step",)}, "activations step is not allowed with learning_rule backprop"),
        (
            {"activations": ("step",), "initial_networks": "sparse", "p_initial_add_node": 0, "p_grow_node": 1},
            "activations step is not allowed with learning_rule backprop",
        ),
    ],
)
def test_settings_that_make_no_sense_are_told(settings: dict, words: str) -> None:
    with pytest.raises(ParamsError, match=words.replace("[", r"\[").replace("]", r"\]")):
        params_of(**settings)


def test_islands_divide_nothing_without_evolution() -> None:
    for settings in ({"num_islands": 4}, {"max_connections": None, "front_connections": (30, 50, 70, 90)}):
        params = params_of(num_generations=0, **settings)
        assert params.islands.num_islands == 1
        Training(params, load_task_of(params)).step(0)


@pytest.mark.parametrize("kind", [{"p_grow_node": 1, "p_grow_connection": 0}, {}])
def test_new_nodes_feed_outputs_though_new_connections_may_not(kind: dict) -> None:
    settings = {"initial_networks": "sparse", "p_initial_add_node": 0, "output_connections": False, **kind}
    generations, _ = populations(params_of(max_connections=200, **settings), 2)
    fed = [member for member in generations[1].members if member.genome.complexity.hidden]
    assert bool(fed) == bool(kind)
    assert all("grow_node" in member.operators for member in fed)


def test_training_prunes_a_first_network_that_is_larger() -> None:
    larger = {
        "hidden_layers": (20,),
        "initial_networks": "sparse",
        "initial_hidden_nodes": None,
    }
    params = params_of(**larger)
    task = load_task_of(params)
    founder = make_founder(params, task)
    assert founder.genome.complexity.connections == 64 * 20 + 20 * 10
    said = Said()
    Experiment(params, task, founder=founder, observers=[said]).run()
    assert said.outcome.champion.individual.genome.complexity.connections == 60
    with pytest.raises(ParamsError, match="must be at most 60"):
        blind = {"p_grow_connection": 0, "p_add_connection": 1}
        make_founder(params_of(**larger, **blind, shared_weights=(1.0,), train_elites=True), task)
    with pytest.raises(ParamsError, match="must be at most 60"):
        unpruned = params_of(**larger, pruning="none", p_grow_connection=0, p_add_connection=1)
        make_founder(unpruned, task)


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


def test_a_network_file_goes_on_with_the_decay_of_the_last_training(tmp_path) -> None:
    params = params_of(
        final_epochs=2, num_generations=1, weight_decay=2.0, weight_decay_scaling=1.5, final_decay_factors=(0.25,)
    )
    task = load_task_of(params)
    said = Said()
    Experiment(params, task, observers=[said]).run()
    champion = said.outcome.champion
    path = tmp_path / "champion.json"
    write_network(path, champion.individual.genome, facts=facts_of(champion, params, task))
    size = champion.individual.genome.complexity.connections
    learner = load_network(path).start_learning()
    assert learner.optimization.weight_decay == pytest.approx(0.25 * 2.0 * (size / 1000) ** 1.5)


def test_a_training_without_evolution_has_the_decay_of_its_size() -> None:
    settings = {"num_generations": 0, "hidden_layers": (8,), "num_epochs": 1}
    params = load_params(None, {**settings, "dataset": "digits", "optimizer": "adamw", "lr": 0.01})
    task = load_task_of(params)
    size = 64 * 8 + 8 * 10
    decays = {"weight_decay": 3.0, "weight_decay_scaling": 1.5}, {"weight_decay": 3.0 * (size / 1000) ** 1.5}
    weights = []
    for decay in decays:
        said = Said()
        changed = params.model_copy(update=decay)
        Training(changed, task, founder=make_founder(changed, task), observers=[said]).run()
        weights.append(said.outcome.champion.individual.genome.connections["weight"])
    assert np.allclose(*weights, rtol=1e-5) and np.abs(weights[0]).max() > 0.01


def test_a_final_training_that_fails_is_told_and_changes_nothing() -> None:
    """With such a decay weights grow without end; what has not learned from validation samples does not say so."""
    sizes = {"front_connections": (60, 90), "max_connections": None}
    for settings, num_networks in (({}, 1), (sizes, 2)):
        params = params_of(
            final_epochs=3,
            num_generations=1,
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


@pytest.mark.parametrize(("scaling", "factor"), [(1, 60 / 1000), (1.5, 0.06**1.5)])
def test_small_networks_may_have_less_decay(scaling: float, factor: float) -> None:
    genomes, _, _, _, evaluator, shared = evaluated(
        params_of(weight_decay=0.5, weight_decay_scaling=scaling, lr_spread=1)
    )
    plain = evaluated(params_of(weight_decay=0.5 * factor, lr_spread=1))
    for index, (genome, other) in enumerate(zip(genomes, plain[0], strict=True)):
        address = {"stream": Stream.LEARNING, "generation": 0, "index": index}
        assert (
            evaluator.evaluate(genome, shared, **address).reward == plain[4].evaluate(other, plain[5], **address).reward
        )


@pytest.mark.parametrize(("initial_epochs", "expected"), [(3, [3, 2, 2]), (None, [4, 2, 2])])
def test_only_children_are_shortened(initial_epochs: int | None, expected: list[int]) -> None:
    params = params_of(num_epochs=4, max_connection_epochs=120, initial_epochs=initial_epochs)
    _, problem = judging_of(params, load_task_of(params))
    assert [len(problem.shared(Stream.SHARED, generation).epochs) for generation in range(3)] == expected


@pytest.mark.parametrize("num_islands", [1, 2])
def test_lines_of_descent_are_followed(num_islands: int) -> None:
    generations, _ = populations(params_of(num_islands=num_islands, population_size=8), num_generations=5)
    lines = {member.id: member.id for member in generations[0].members}
    for population in generations:
        for member in population.members:
            lines.setdefault(member.id, lines[member.parents[0]] if member.parents else member.id)
            assert member.line == lines[member.id]
    assert {member.line for member in generations[-1].members} <= set(range(8))
    alive = {line // (8 // num_islands) for line in (member.line for member in generations[-1].members)}
    assert alive == set(range(num_islands))
