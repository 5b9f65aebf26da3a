"""Settings that say something and have no effect beside the others are found."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.founder import make_founder
from topoevo.experiment.idle import find_idle
from topoevo.experiment.params import load_params
from topoevo.experiment.records import Observer
from topoevo.experiment.training import Training


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        ({"weight_decay": 0.1, "feedback_seed": None, "lr_schedule": "linear"}, []),
        (
            {
                "learning_rule": "metropolis",
                "weight_decay": 0.1,
                "lr_schedule": "cosine",
                "momentum": 0.5,
                "optimizer": "sgd",
            },
            ["lr_schedule", "momentum", "weight_decay"],
        ),
        ({"learning_rule": "none", "max_grad_norm": 2.0, "grad_power": 0.5}, ["grad_power", "max_grad_norm"]),
        ({"learning_rule": "hebbian", "weight_decay": 0.1, "grad_power": 0.5, "weight_averaging": 0.1}, []),
        ({"label_smoothing": 0.1, "weight_averaging": 0.1}, []),
        ({"distortion": 0.5, "distorted_from": 9}, ["distorted_from", "distortion"]),
        ({"distorted_copies": 1, "distorted_from": 9}, ["distorted_from"]),
        ({"distorted_copies": 1, "distorted_from": 9, "max_connections": 8}, ["distorted_copies"]),
        ({"distorted_copies": 1, "distorted_from": 8, "max_connections": 8}, []),
        ({"distorted_copies": 1, "distorted_from": 9, "max_connections": 8, "num_generations": 0}, ["distorted_from"]),
        ({"distortion": 0.5, "distorted_copies": 1}, []),
        (
            {"env_name": "X", "learning_rule": "evolution_strategy", "distortion": 0.5, "distorted_copies": 1},
            ["distorted_copies", "distortion"],
        ),
        (
            {"learning_rule": "metropolis", "label_smoothing": 0.1, "weight_averaging": 0.1},
            ["label_smoothing", "weight_averaging"],
        ),
        (
            {"learning_rule": "evolution_strategy", "label_smoothing": 0.1, "weight_averaging": 0.1},
            ["label_smoothing"],
        ),
        ({"loss": "mean_squared_error", "label_smoothing": 0.1, "weight_averaging": 0.1}, ["label_smoothing"]),
        ({"task_type": "regression", "label_smoothing": 0.1}, ["label_smoothing"]),
        ({"env_name": "X", "learning_rule": "evolution_strategy", "lr": 0.1, "num_epochs": 9, "weight_decay": 0.1}, []),
        (
            {
                "env_name": "X",
                "learning_rule": "metropolis",
                "lr": 0.1,
                "num_epochs": 9,
                "evaluation_period": "integral",
            },
            ["evaluation_period", "lr"],
        ),
        (
            {"env_name": "X", "learning_rule": "none", "lr": 0.1, "num_epochs": 9, "train_only_outputs": True},
            ["lr", "num_epochs", "train_only_outputs"],
        ),
        ({"feedback_seed": 0}, ["feedback_seed"]),
        ({"redraw_feedback": True, "learning_rule": "metropolis"}, ["redraw_feedback"]),
        ({"feedback_seed": 0, "learning_rule": "direct_feedback_alignment"}, []),
        ({"feedback_seed": 0, "learning_rule": "feedback_alignment", "train_only_outputs": True}, ["feedback_seed"]),
        ({"redraw_feedback": True, "learning_rule": "feedback_alignment"}, []),
        (
            {"redraw_feedback": True, "learning_rule": "feedback_alignment", "num_generations": 0},
            ["redraw_feedback"],
        ),
        ({"pruning_stages": 4, "pruning_stop": 0.5}, ["pruning_stages", "pruning_stop"]),
        ({"pruning_stages": 4, "pruning": "magnitude", "max_connections": 9}, []),
        ({"max_connection_epochs": 90}, ["max_connection_epochs"]),
        ({"max_connection_epochs": 90, "max_connections": 9}, []),
        ({"migration_every": 3}, ["migration_every"]),
        (
            {"grow_connection_criterion": "random", "grow_connection_noise_max": 3.0, "p_grow_connection": 0.5},
            ["grow_connection_noise_max"],
        ),
        ({"grow_connection_noise_max": 3.0, "p_grow_connection": 0.5}, []),
        ({"migration_every": 3, "num_islands": 2}, []),
        ({"front_connections": (9, 30), "migration_every": 3, "pruning": "fisher"}, []),
        (
            {"weight_decay_spread": 2.0, "weight_decay_scaling": 1.0, "weight_decay_samples": 9},
            ["weight_decay_samples", "weight_decay_scaling", "weight_decay_spread"],
        ),
        ({"weight_decay_spread": 2.0, "weight_decay_scaling": 1.0, "weight_decay": 0.1}, []),
        ({"final_decay_factors": (0.3, 1.0), "weight_decay": 0.1}, ["final_decay_factors"]),
        (
            {"final_decay_factors": (1.0,), "weight_decay": 0.1, "final_epochs": 2, "validation_ratio": 0.1},
            [],
        ),
        ({"final_decay_factors": (1.0,), "final_epochs": 2, "validation_ratio": 0.1}, ["final_decay_factors"]),
        (
            {"initial_hidden_nodes": (3, 4), "p_initial_second_layer": 0.1},
            ["initial_hidden_nodes", "p_initial_second_layer"],
        ),
        (
            {
                "initial_networks": "dense",
                "initial_hidden_nodes": (3, 4),
                "p_initial_add_node": 0.1,
                "pruning": "fisher",
                "max_connections": 9,
            },
            ["p_initial_add_node"],
        ),
        (
            {"reward_data": "both", "validation_ratio": 0.1, "evaluation_period": "integral"},
            ["evaluation_period"],
        ),
        (
            {"env_name": "X", "learning_rule": "evolution_strategy", "lr_spread": 2.0, "initial_epochs": 3},
            ["initial_epochs", "lr_spread"],
        ),
        (
            {"learning_rule": "metropolis", "optimizer": "none", "lr_spread": 2.0, "initial_lr": 0.1},
            ["initial_lr", "lr_spread"],
        ),
        (
            {
                "shared_weights": (1.0, 2.0),
                "initial_hidden_nodes": (3, 4),
                "p_initial_second_layer": 0.1,
                "pruning_stages": 4,
                "pruning_stop": 0.5,
            },
            ["initial_hidden_nodes", "p_initial_second_layer", "pruning_stages", "pruning_stop"],
        ),
        (
            {
                "num_generations": 0,
                "num_islands": 3,
                "pruning": "fisher",
                "max_connections": 9,
                "reward_data": "both",
                "train_elites": False,
                "initial_lr": 0.1,
                "final_samples": "all",
                "weight_decay": 0.1,
                "weight_decay_scaling": 1.0,
                "weight_decay_samples": 9,
            },
            [
                "final_samples",
                "initial_lr",
                "num_islands",
                "pruning",
                "reward_data",
                "train_elites",
            ],
        ),
    ],
)
def test_settings_without_effect_are_found(values: dict[str, object], idle: list[str]) -> None:
    found = find_idle(load_params(None, values))
    assert sorted(one.settings[0] for one in found) == idle
    for one in found:
        (name,) = one.settings
        value = json.dumps(values[name]).strip('"')
        assert one.message.startswith(f"{name} {value} has no effect with ")


@pytest.mark.parametrize(("values", "idle"), [({}, ["num_trials"]), ({"env_name": "Snake"}, [])])
def test_trials_of_weight_agnostic_networks_have_an_effect_in_environments(values, idle: list[str]) -> None:
    found = find_idle(load_params(None, {"num_trials": 3, **values}, family="wann"))
    assert [one.settings[0] for one in found if one.settings[0] == "num_trials"] == idle


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        pytest.param(
            {"env_name": "Snake", "learning_rule": "none", "kernel": "torch"},
            "kernel",
            marks=pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed"),
        ),
        ({"env_name": "CartPoleSwingUp", "learning_rule": "none", "snake_board_size": 6}, "snake_board_size"),
        ({"env_name": "Snake", "learning_rule": "none", "snake_board_size": 6}, None),
        ({"metropolis_beta": 3.0}, "metropolis_beta"),
        ({"metropolis_beta": 3.0, "learning_rule": "metropolis"}, None),
        ({"mutate_weights_sigma": 3.0}, "mutate_weights_sigma"),
        ({"p_grow_node": 1.0, "grow_node_fan_in": 5}, None),
        ({"p_grow_node": 1.0, "grow_node_fan_in": 5, "grow_node_kind": "split"}, "grow_node_fan_in"),
        ({"p_prune_node": 1.0}, None),
        ({"p_prune_node": 1.0, "learning_rule": "metropolis"}, "p_prune_node"),
        ({"p_prune_node": 1.0, "shared_weights": (1.0,)}, "p_prune_node"),
    ],
)
def test_options_of_what_is_not_in_use_are_idle(values: dict[str, object], idle: str | None) -> None:
    given = [one.settings[0] for one in find_idle(load_params(None, values)) if one.settings[0] in values]
    assert [name for name in given if name != "learning_rule"] == ([] if idle is None else [idle])


@pytest.mark.parametrize("family", ["shared weights", "one training"])
def test_what_has_no_effect_has_none(family: str) -> None:
    """A parameter file may have such settings; the run is the same without."""
    if family == "shared weights":
        common = {"shared_weights": (-1.0, 1.0), "num_generations": 6, "population_size": 8, "tournament_size": 3}
        common |= {"max_connections": 20, "p_initial_connection_enabled": 0.03, "num_samples": 200}
        common |= {"validation_ratio": 0.2}
        idle = {"pruning": "fisher", "reward_data": "both", "train_elites": False, "lr": 0.5, "num_epochs": 7}
        idle |= {"optimizer": "adamw", "weight_decay": 1.0, "weight_decay_scaling": 1.0, "weight_decay_spread": 2.0}
        idle |= {"weight_decay_samples": 9}
        idle |= {"inherit_weights": True, "initial_epochs": 3, "initial_lr": 0.3, "lr_spread": 3.0}
        idle |= {"max_connection_epochs": 100, "racing": 2, "pruning_stages": 3, "label_smoothing": 0.1}
        idle |= {"evaluation_period": "integral", "weight_init": "he"}
    else:
        common = {"num_generations": 0, "hidden_layers": (5,), "num_epochs": 1}
        idle = {"num_islands": 2, "pruning": "magnitude", "max_connections": 700, "initial_lr": 0.3, "lr_spread": 3.0}
        idle |= {"initial_epochs": 3, "max_connection_epochs": 100, "racing": 2, "train_elites": False}
        idle |= {"final_samples": "all", "weight_decay": 0.1, "weight_decay_spread": 2.0}
        common |= {"weight_decay": 0.1}
    settings = {"dataset": "digits", **common, **idle}
    told = {one.settings[0] for one in find_idle(load_params(None, settings))}
    # Either is what the other settings need.
    assert set(idle) - told <= {"max_connections", "weight_decay"}

    def result(values) -> tuple[object, ...]:
        params = load_params(None, {"dataset": "digits", **values})
        task = load_task_of(params)
        last = []

        class Watching(Observer):
            def on_end(self, outcome) -> None:
                last.append(outcome.champion)

        if params.evolves:
            Experiment(params, task, observers=[Watching()]).run()
        else:
            Training(params, task, founder=make_founder(params, task), observers=[Watching()]).run()
        (champion,) = last
        return champion.individual.genome.digest, champion.train, champion.validation, champion.test

    assert result(settings) == result(common)
    assert result(settings) != result({**settings, "seed": 1})
