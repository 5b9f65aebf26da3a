"""The weight decay of networks of different sizes, with few and many samples, and one that is too strong."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.commands.evolve import evolve
from topoevo.experiment.data import load_task_of
from topoevo.experiment.founder import make_founder
from topoevo.experiment.judging import judging_of
from topoevo.experiment.learning_settings import decay_share_of, stable, strong_decay
from topoevo.experiment.params import load_params
from topoevo.experiment.training import Training
from topoevo.kernels import Optimization, UpdateRule
from topoevo.seeds import Stream

from .informed import Said, evaluated, params_of


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


@pytest.mark.parametrize(("num_samples", "share"), [(100, 1.0), (350, 1.0), (700, 0.5), (35_000, 0.01)])
def test_the_more_samples_the_less_decay(num_samples: int, share: float) -> None:
    limited = load_params(None, {"weight_decay_samples": 350, "weight_decay": 2.0})
    assert decay_share_of(limited, num_samples) == share
    assert decay_share_of(load_params(None, {"weight_decay": 2.0}), num_samples) == 1.0


def test_trainings_have_the_decay_of_their_number_of_samples() -> None:
    genomes, _, _, task, evaluator, shared = evaluated(params_of(weight_decay=3.0, weight_decay_samples=10**6))
    count = len(task.train)
    fewer, without = (
        judging_of(params, task)[0]
        for params in (params_of(weight_decay=3.0, weight_decay_samples=count // 4), params_of(weight_decay=3.0))
    )
    plain, _ = judging_of(params_of(weight_decay=3.0 * (count // 4) / count), task)
    for index, genome in enumerate(genomes):
        address = {"stream": Stream.LEARNING, "generation": 0, "index": index}
        whole, quarter, expected = (one.evaluate(genome, shared, **address).reward for one in (evaluator, fewer, plain))
        assert quarter == expected != whole
        assert whole == without.evaluate(genome, shared, **address).reward


@pytest.mark.parametrize(("decay", "kept"), [(0.5, 0.5), (20.0, 20.0), (21.0, 20.0), (1e9, 20.0)])
def test_a_decoupled_decay_takes_no_more_than_the_whole_weight(decay: float, kept: float) -> None:
    optimization = Optimization(UpdateRule.ADAM, lr=0.05, weight_decay=decay, decoupled=True)
    assert stable(optimization).weight_decay == pytest.approx(kept)
    coupled = Optimization(UpdateRule.ADAM, lr=0.05, weight_decay=decay)
    assert stable(coupled) == coupled


def test_networks_with_far_too_strong_a_decay_learn_little_but_do_not_fail() -> None:
    genomes, found, *_ = evaluated(params_of(weight_decay=1e6, num_generations=1))
    assert genomes and all(one.weights is not None and np.isfinite(one.reward) for one in found)


@pytest.mark.parametrize(
    ("settings", "num_samples", "told"),
    [
        ({"max_connections": 1000, "weight_decay_scaling": 1}, 300, "at 1000 connections takes 100% of every weight"),
        (
            {"front_connections": (9, 600), "pruning": "fisher", "weight_decay_scaling": 1},
            300,
            "at 600 connections takes 60% of",
        ),
        ({"max_connections": 600, "weight_decay_scaling": 1}, 300, "name fewer connections or a smaller weight_decay"),
        ({}, 300, "takes 100% of every weight at each step, at lr 0.02, so that networks hardly learn: name a smaller"),
        ({"max_connections": 400, "weight_decay_scaling": 1}, 300, None),
        ({"max_connections": 1000, "weight_decay_scaling": 1}, 3500, None),
        ({"max_connections": 1000, "optimizer": "adam"}, 300, None),
        ({"weight_decay_scaling": 1}, 300, None),
    ],
)
def test_a_decay_that_leaves_nothing_to_learn_is_told(settings, num_samples: int, told: str | None) -> None:
    common = {"optimizer": "adamw", "lr": 0.02, "weight_decay": 50.0, "weight_decay_samples": 350}
    words = strong_decay(load_params(None, {**common, **settings}), num_samples)
    assert len(words) == (told is not None) and all(told in one for one in words)


def test_the_shipped_file_tells_when_a_budget_is_far_too_large_for_a_table(tmp_path, capsys) -> None:
    table = tmp_path / "small.csv"
    rows = np.random.default_rng(0).normal(size=(60, 3))
    np.savetxt(table, rows, delimiter=",", header="a,b,price", comments="")
    flags = ["--max_connections", "1500", "--num_generations", "1", "--initial_epochs", "1", "--num_workers", "1"]
    flags += ["--final_epochs", "1", "--population_size", "9"]
    file = "params/wlnn/table-smallest.yaml"
    assert evolve([file, "--dataset", str(table), "--out_dir", str(tmp_path / "run"), *flags], "x", family="wlnn") == 0
    printed = capsys.readouterr()
    assert "at 1500 connections takes 100% of every weight" in printed.out + printed.err
    assert " failed" not in printed.out
