"""The weight decay of networks of different sizes, with few and many samples, and one that is too strong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import make_founder
from topoevo.experiment.judging import judging_of
from topoevo.experiment.learning_settings import decay_of, decay_ratio_of, excessive_decay
from topoevo.experiment.params import load_params
from topoevo.experiment.training import Training
from topoevo.seeds import Stream

from .informed import Said, evaluated, params_of

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize(("num_samples", "ratio"), [(1, 1.0), (350, 1.0), (700, 0.25), (3500, 0.01)])
def test_the_more_samples_the_less_decay(num_samples: int, ratio: float) -> None:
    limited = load_params(None, {"weight_decay_samples": 350, "weight_decay": 2.0})
    assert decay_ratio_of(limited, num_samples) == pytest.approx(ratio, rel=1e-12)
    assert decay_ratio_of(load_params(None, {"weight_decay": 2.0}), num_samples) == 1.0


def test_trainings_have_the_decay_of_their_number_of_samples() -> None:
    genomes, _, _, task, evaluator, shared = evaluated(params_of(weight_decay=3.0, weight_decay_samples=10**6))
    count = len(task.train)
    quarter = params_of(weight_decay=3.0, weight_decay_samples=count // 4)
    fewer, without, plain = (
        judging_of(params, task)[0]
        for params in (
            quarter,
            params_of(weight_decay=3.0),
            params_of(weight_decay=decay_ratio_of(quarter, count) * 3.0),
        )
    )
    for index, genome in enumerate(genomes):
        address = {"stream": Stream.LEARNING, "generation": 0, "index": index}
        whole, less, expected = (one.evaluate(genome, shared, **address).reward for one in (evaluator, fewer, plain))
        assert less == expected != whole
        assert whole == without.evaluate(genome, shared, **address).reward


def test_a_training_without_evolution_has_the_decay_of_its_number_of_samples() -> None:
    settings = {"num_generations": 0, "hidden_layers": (4,), "num_epochs": 1, "dataset": "digits", "optimizer": "adamw"}
    limited = load_params(None, {**settings, "weight_decay": 3.0, "weight_decay_samples": 100})
    task = load_task_of(limited)
    plain = load_params(None, {**settings, "weight_decay": decay_ratio_of(limited, len(task.train)) * 3.0})
    weights = []
    for params in (limited, plain, plain.model_copy(update={"weight_decay": 3.0})):
        said = Said()
        Training(params, task, founder=make_founder(params, task), observers=[said]).run()
        weights.append(said.outcome.champion.individual.genome.connections["weight"])
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])


def test_networks_with_far_too_strong_a_decay_learn_next_to_nothing_but_do_not_fail() -> None:
    plain, strong = (evaluated(params_of(weight_decay=decay, num_generations=1, lr=0.02))[1] for decay in (0.0, 1e6))
    assert all(one.weights is not None and np.abs(one.weights[~one.removed]).max() < 0.1 for one in strong)
    assert max(one.reward for one in strong) < min(one.reward for one in plain) - 0.2


@pytest.mark.parametrize(
    ("settings", "num_samples", "num_connections", "told"),
    [
        (
            {"weight_decay_scaling": 1},
            300,
            1000,
            "of 50, that of networks with 1000 connections, hardly lets a weight grow above 0.02",
        ),
        ({"weight_decay_scaling": 1}, 300, 200, None),
        (
            {"weight_decay_scaling": 1},
            300,
            210,
            "of 10.5, that of networks with 210 connections, hardly lets a weight grow",
        ),
        ({"weight_decay_scaling": 1}, 3500, 1000, None),
        ({"weight_decay_scaling": 1}, 300, None, None),
        (
            {},
            300,
            None,
            "a weight decay of 50 hardly lets a weight grow above 0.02; if they learn too little, try a smaller",
        ),
        ({"optimizer": "adam"}, 300, 1000, None),
        ({"learning_rule": "hebbian"}, 300, 1000, "a weight decay of 50 hardly"),
        ({"learning_rule": "metropolis"}, 300, 1000, None),
        ({"shared_weights": (1.0,)}, 300, 1000, None),
    ],
)
def test_a_decay_that_leaves_little_to_learn_is_told(settings, num_samples, num_connections, told: str | None) -> None:
    common = {"optimizer": "adamw", "lr": 0.02, "weight_decay": 50.0, "weight_decay_samples": 350}
    params = load_params(None, {**common, **settings})
    words = excessive_decay(params, num_samples=num_samples, num_connections=num_connections)
    assert len(words) == (told is not None) and all(told in one for one in words)


@pytest.mark.parametrize("evolves", [False, True])
def test_it_is_told_when_a_run_begins(evolves: bool) -> None:
    said = Said()
    if evolves:
        params = params_of(weight_decay=1000.0, weight_decay_scaling=1.0, num_generations=1, max_connections=60)
        Experiment(params, load_task_of(params), observers=[said]).run()
    else:
        settings = {"num_generations": 0, "hidden_layers": (2,), "num_epochs": 1, "max_connections": 1500}
        common = {"dataset": "digits", "optimizer": "adamw", "weight_decay": 1000.0, "weight_decay_scaling": 1.0}
        params = load_params(None, settings | common)
        task = load_task_of(params)
        Training(params, task, founder=make_founder(params, task), observers=[said]).run()
    expected = f"networks with {60 if evolves else 64 * 2 + 2 * 10} connections"
    assert [one for one in said.messages if one.startswith("warning: a weight decay") and expected in one]


def test_the_shipped_file_for_tables_has_little_decay_where_there_are_many_rows() -> None:
    params = load_params(ROOT / "params" / "wlnn" / "table-smallest.yaml", {"max_connections": 100})
    for num_samples, least, most in ((340, 4.0, 6.0), (1000, 0.4, 0.8), (12_000, 0.001, 0.01)):
        decay = decay_of(
            params.weight_decay,
            ratio=decay_ratio_of(params, num_samples),
            power=params.weight_decay_scaling,
            num_connections=100,
        )
        assert least < decay < most
