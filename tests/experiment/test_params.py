"""Settings from parameter files and flags: precedence, messages, round trip."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topoevo.errors import ParamsError
from topoevo.experiment import params as params_module
from topoevo.experiment.params import FAMILY_DEFAULTS, Params, all_settings, load_params, settings_table
from topoevo.experiment.setting import GROUPS
from topoevo.learning import LEARNING_RULES
from topoevo.registry import option
from topoevo.tasks.base import DATASETS
from topoevo.variation import MUTATIONS

# The flags of the predecessor, as its README lists them.
PREDECESSOR = {
    "cull_ratio",
    "elite_ratio",
    "num_generations",
    "population_size",
    "p_add_connection",
    "p_add_node",
    "p_change_activation",
    "tournament_size",
    "inherit_weights",
    "num_mutations_per_generation",
    "p_complexity_objective",
    "batch_size",
    "batch_size_eval",
    "evaluation_period",
    "num_trials",
    "learning_rule",
    "lr",
    "num_epochs",
    "optimizer",
    "train_only_outputs",
    "num_inputs",
    "num_outputs",
    "p_initial_connection_enabled",
    "dataset",
    "env_name",
    "num_workers",
    "take_argmax_action",
    "use_cuda",
    "use_torch",
    "out_dir",
    "overwrite_output",
}


def load(folder: Path, content: str, **overrides: object) -> Params:
    path = folder / "params.yaml"
    path.write_text(content, "utf-8")
    return load_params(path, overrides)


def problems(folder: Path, content: str, **overrides: object) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        load(folder, content, **overrides)
    return str(caught.value).replace(str(folder / "params.yaml"), "F").splitlines()


def test_a_parameter_file_of_the_predecessor_is_read_unchanged(tmp_path: Path) -> None:
    params = load(
        tmp_path,
        "dataset: mnist\nnum_inputs: 256\nnum_outputs: 10\nnum_generations: 4096\npopulation_size: 180\n"
        "tournament_size: 32\np_initial_connection_enabled: .05\np_add_node: .2\np_add_connection: .8\n"
        "p_complexity_objective: .2\nnum_mutations_per_generation: 5\nelite_ratio: .2\ncull_ratio: .2\n"
        "learning_rule: backprop\noptimizer: adam\nlr: 1e-2\nbatch_size: 256\nnum_epochs: 5\ninherit_weights: False\n"
        "train_only_outputs: False\nuse_cuda: False\nnum_workers: 1\n",
    )
    assert (params.dataset, params.lr, params.num_mutations_per_generation) == ("mnist", 0.01, 5)
    assert params.mutation_probabilities()["add_connection"] == 0.8


def test_the_vocabulary_of_the_predecessor_is_kept() -> None:
    assert set(Params.model_fields) >= PREDECESSOR


def test_flag_beats_file_beats_default(tmp_path: Path) -> None:
    params = load(tmp_path, "lr: .5\nnum_epochs: 7\n", lr=0.25)
    assert (params.lr, params.num_epochs, params.batch_size) == (0.25, 7, 256)


def test_every_default_is_legal() -> None:
    for family in FAMILY_DEFAULTS:
        defaults = load_params(None, {}, family=family)
        explicit = {one.name: one.default for one in all_settings(family)}
        assert load_params(None, explicit, family=family) == defaults


def test_defaults_of_a_family_hold_where_nothing_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params_module, "FAMILY_DEFAULTS", {"wlnn": {}, "wann": {"num_trials": 3, "batch_size": 500}})
    all_settings.cache_clear()
    (tmp_path / "p.yaml").write_text("batch_size: 9\n")
    params = load_params(tmp_path / "p.yaml", {}, family="wann")
    assert (params.num_trials, params.batch_size) == (3, 9)
    assert "| `num_trials` | integer | `3` |" in settings_table("wann")
    assert "| `num_trials` | integer | `1` |" in settings_table("wlnn")
    all_settings.cache_clear()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("population_size: 0", "F:1: population_size: 0 is not allowed, must be at least 1"),
        ("cull_ratio: 1", "F:1: cull_ratio: 1 is not allowed, must be at least 0 and below 1"),
        ("elite_ratio: -.1", "F:1: elite_ratio: -0.1 is not allowed, must be from 0 to 1"),
        ("lr: 0", "F:1: lr: 0 is not allowed, must be above 0"),
        ("lr: .inf", "F:1: lr: .inf is not allowed, must be a number, above 0"),
        ("lr: .nan", "F:1: lr: .nan is not allowed, must be a number, above 0"),
        ("lr: 1e999", "F:1: lr: .inf is not allowed, must be a number, above 0"),
        ("lr: ", "F:1: lr: null is not allowed, must be a number, above 0"),
        ("lr: '1e-3'", "F:1: lr: '1e-3' is not allowed, must be a number, above 0; remove the quotes"),
        ("lr: true", "F:1: lr: true is not allowed, must be a number, above 0"),
        ("lr: [.1]", "F:1: lr: [0.1] is not allowed, must be a number, above 0; it is a single value, not a list"),
        ("seed: 1.0", "F:1: seed: 1.0 is not allowed, must be a whole number, at least 0; write 1"),
        ("seed: many", "F:1: seed: 'many' is not allowed, must be a whole number, at least 0"),
        ("bias: on", "F:1: bias: 'on' is not allowed, must be true or false; write true"),
        ("bias: No", "F:1: bias: 'No' is not allowed, must be true or false; write false"),
        ("bias: 1", "F:1: bias: 1 is not allowed, must be true or false"),
        (
            "max_connections: None",
            "F:1: max_connections: 'None' is not allowed, must be a whole number, at least 1, or null; write null",
        ),
        ("out_dir: ''", "F:1: out_dir: an empty text is not allowed, must be text, or null"),
        ("out_dir: no", None),
        ("out_dir: false", "F:1: out_dir: false is not allowed, must be text, or null; put it in quotes if it is text"),
        (
            "kernel: nunba",
            "F:1: kernel: 'nunba' is not allowed, must be one of numba, reference, torch, torch_cuda;"
            " did you mean 'numba'?",
        ),
        ("populaton_size: 5", "F:1: populaton_size: there is no such setting; did you mean 'population_size'?"),
        ("activations: []", "F:1: activations: an empty list is not allowed, must be one or more of linear, step"),
        ("activations: [relu, tahn]", "F:1: activations: 'tahn' is not allowed, must be one or more of linear, step"),
        ("activations: [relu, 3]", "F:1: activations: 3 is not allowed, must be one or more of linear, step"),
        ("activations: 3", "F:1: activations: 3 is not allowed, must be one or more of linear, step"),
        ("learning_rule: bakprop", "; did you mean 'backprop'?"),
        ("optimizer: adan", "; did you mean 'adam'?"),
        ("dataset: digts", "; did you mean 'digits'?"),
        ("dataset: table", "F:1: dataset: 'table' is not allowed, must be one of digits"),
        ("num_workers: 0", "F:1: num_workers 0 is not allowed, must be at least 1, or -1 for every core"),
    ],
)
def test_a_bad_value_is_told_with_what_is_allowed(tmp_path: Path, content: str, message: str | None) -> None:
    if message is None:
        load(tmp_path, content)
        return
    found = problems(tmp_path, content)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("content", "cited", "message"),
    [
        (
            "population_size: 20\ntournament_size: 17",
            "F:2: ",
            "tournament_size 17 is not allowed with population_size 20 and cull_ratio 0.2, which leave 16 to breed",
        ),
        ("population_size: 8", "F:1: population_size: ", "tournament_size 8 is not allowed with population_size 8"),
        ("cull_ratio: .5\nelite_ratio: .6", "F:2: ", "elite_ratio 0.6 and cull_ratio 0.5 are not allowed together"),
        ("cull_ratio: 0\nelite_ratio: 1", "F:2: ", "it leaves no place for children"),
        ("optimizer: none", "F:1: ", "optimizer none is not allowed with learning_rule backprop"),
        ("momentum: .9", "F:1: ", "momentum 0.9 is not allowed with optimizer adam"),
        ("population_size: 1", "F:1: ", "population_size 1 is not allowed, must be at least 2"),
        (
            "final_decay_factors: [1, -1]\nfinal_epochs: 2\nvalidation_ratio: .1",
            "F:1: ",
            "[1.0, -1.0] is not allowed, must be numbers of at least 0",
        ),
        ("final_decay_factors: [1]\nfinal_epochs: 2", "F:1: ", "is not allowed with validation_ratio 0, which holds"),
        ("num_generations: 0\nfinal_epochs: 3", "F:2: ", "final_epochs 3 is not allowed with num_generations 0"),
        ("num_generations: 0\nnum_samples: 2", "F:2: ", "num_samples 2 is not allowed with num_generations 0"),
        ("num_generations: 0\nnum_trials: 2", "F:2: ", "num_trials 2 is not allowed with num_generations 0"),
        ("hidden_layers: [3]\nnetwork: a", "F:1: ", "hidden_layers [3] and network 'a' are not allowed together"),
        ("hidden_layers: [3, 0]", "F:1: ", "every layer must have at least 1 node"),
        (
            "activations: step",
            "F:1: ",
            "activations step is not allowed with learning_rule backprop, which needs slopes",
        ),
        (
            "learning_rule: direct_feedback_alignment\nhidden_layers: 4\nactivations: step",
            "F:3: ",
            "activations step is not allowed with learning_rule direct_feedback_alignment",
        ),
        (
            "hidden_layers: [4]\nactivations: [step, relu]\nnum_generations: 0",
            "F:2: ",
            "activations step is not allowed with learning_rule backprop",
        ),
        ("output_activation: step", "F:1: ", "output_activation step is not allowed with learning_rule backprop"),
        (
            "output_activation: step\nlearning_rule: hebbian",
            "F:1: ",
            "output_activation step is not allowed with learning_rule hebbian",
        ),
        (
            "learning_rule: evolution_strategy\nevolution_strategy_num_candidates: 5",
            "F:2: ",
            "evolution_strategy_num_candidates 5 is not allowed with evolution_strategy_antithetic true",
        ),
        (
            "learning_rule: metropolis\nmetropolis_target_acceptance: .5",
            "F:2: ",
            "metropolis_target_acceptance 0.5 is not allowed with metropolis_beta .inf",
        ),
        ("feedback_seed: 3\nredraw_feedback: true", "F:1: ", "feedback_seed 3 is not allowed with redraw_feedback"),
        ("metropolis_beta: inf", "F:1: ", "'inf' is not allowed, must be a number, at least 0; write .inf"),
        ("p_mutate_weights: 1", "F:1: ", "p_mutate_weights 1 is not allowed with inherit_weights false"),
        (
            "shared_weights: [1]\np_mutate_weights: 1",
            "F:2: ",
            "p_mutate_weights 1.0 is not allowed with shared_weights, where nothing is trained",
        ),
        ("env_name: CartPole-v1", "F:1: ", "says how good a network was, not what it should have done"),
        ("test_file: x.csv", "F:1: ", "test_file 'x.csv' is not allowed with dataset 'digits'"),
        ("target_column: 3", "F:1: ", "target_column '3' is not allowed with dataset 'digits'"),
    ],
)
def test_contradictions_cite_what_the_user_gave(tmp_path: Path, content: str, cited: str, message: str) -> None:
    found = problems(tmp_path, content)
    assert len(found) == 1
    assert found[0].startswith(cited)
    assert message in found[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("use_cuda: true", "use_cuda true is not allowed, PyTorch is not installed (pip install 'topoevo[torch]')"),
        ("use_torch: true", "use_torch true is not allowed, PyTorch is not installed (pip install 'topoevo[torch]')"),
        ("kernel: torch", "kernel torch is not allowed, PyTorch is not installed (pip install 'topoevo[torch]')"),
    ],
)
def test_a_backend_that_cannot_compute_here_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert problems(tmp_path, content) == [f"F:1: {message}"]
    monkeypatch.setattr("topoevo.experiment.contradictions.surroundings.obstacle", lambda name: None)
    params = load(tmp_path, content)
    assert params.kernel_name == ("torch_cuda" if "cuda" in content else "torch")
    found = problems(tmp_path, "use_torch: true\nkernel: reference\n")
    assert found == ["F:1: use_torch true is not allowed with kernel reference, which is numpy"]
    (found,) = problems(tmp_path, "use_torch: true\nkernel: torch_cuda\n")
    assert found.startswith("F:1: use_torch true is not allowed with kernel torch_cuda")
    assert load(tmp_path, "use_cuda: true\nkernel: torch\n").kernel_name == "torch_cuda"


def test_mutation_needs_an_operator(tmp_path: Path) -> None:
    nothing = "".join(f"p_{name}: 0\n" for name in MUTATIONS)
    assert "are all 0, at least one must be above 0" in problems(tmp_path, nothing)[0]
    load(tmp_path, nothing + "num_mutations_per_generation: 0\n")


@pytest.mark.parametrize("operator", [name for name in MUTATIONS if MUTATIONS[name].needs_evidence])
def test_operators_that_need_evidence_are_not_alone_without_it(tmp_path: Path, operator: str) -> None:
    others = "".join(f"p_{name}: 0\n" for name in MUTATIONS if name != operator)
    alone = f"{others}p_{operator}: 1\n"
    load(tmp_path, alone)
    (found,) = problems(tmp_path, alone + "learning_rule: metropolis\n")
    assert f"p_{operator} above 0 alone is not allowed with learning_rule metropolis" in found
    load(tmp_path, alone.replace("p_add_node: 0", "p_add_node: .1") + "learning_rule: metropolis\n")


@pytest.mark.parametrize("name", ["grow_connection_growth", "prune_connection_share", "rewire_connection_noise"])
def test_a_range_has_a_smaller_end(tmp_path: Path, name: str) -> None:
    load(tmp_path, f"{name}_min: .1\n{name}_max: .1\n")
    (found,) = problems(tmp_path, f"{name}_min: .15\n{name}_max: .1\n")
    assert found == f"F:1: {name}_min 0.15 is not allowed with {name}_max 0.1, must be at most 0.1"


_SENSIBLE = (
    {"population_size": 20, "tournament_size": 16},
    {"learning_rule": "last_layer", "train_only_outputs": True},
    {"optimizer": "sgd", "momentum": 0.9},
    {"p_mutate_weights": 1.0, "inherit_weights": True},
    {"population_size": 2, "tournament_size": 1},
    {"population_size": 1, "num_generations": 0, "tournament_size": 900, "elite_ratio": 1.0},
    {"evolution_strategy_num_candidates": 5},
    {"metropolis_target_acceptance": 0.7},
    {"learning_rule": "metropolis", "metropolis_target_acceptance": 0.7, "metropolis_beta": 100.0},
    {"feedback_seed": 3, "redraw_feedback": True, "num_generations": 0},
    {
        "learning_rule": "evolution_strategy",
        "evolution_strategy_num_candidates": 5,
        "evolution_strategy_antithetic": False,
    },
    *(
        {"learning_rule": rule, "activations": ["step"], "output_activation": "step"}
        for rule in ("evolution_strategy", "metropolis", "none")
    ),
    {"activations": ["step", "relu"]},
    {"activations": ["step"], "learning_rule": "last_layer"},
    {"activations": ["step"], "train_only_outputs": True},
    {"activations": ["step"], "network": "a"},
    {"activations": ["step"], "hidden_layers": [], "num_generations": 0},
    {"dataset": "some/table.CSV", "target_column": "3", "test_file": "other.csv"},
    {"dataset": "fashion_mnist"},
    {"num_newcomers": 6, "population_size": 64, "elite_ratio": 0.25},
)


def test_a_single_name_is_a_list_and_a_number_may_name_a_column(tmp_path: Path) -> None:
    assert load(tmp_path, "activations: step\nlearning_rule: last_layer\n").activations == ("step",)
    assert load(tmp_path, "dataset: some/table.CSV\ntarget_column: 3\n").target_column == "3"


@pytest.mark.parametrize("values", _SENSIBLE, ids=str)
def test_combinations_that_make_sense_are_accepted(tmp_path: Path, values: dict[str, object]) -> None:
    params = load(tmp_path, json.dumps(values))
    for name, value in values.items():
        found = getattr(params, name)
        assert (list(found) if isinstance(found, tuple) else found) == value, name


def test_an_environment_and_a_data_set_are_not_given_together(tmp_path: Path) -> None:
    found = problems(tmp_path, "dataset: digits\nenv_name: X\n")
    assert found[0] == "F:1: dataset 'digits' and env_name 'X' are not allowed together"
    assert len(found) == 2


def test_everything_is_told_at_once_in_the_order_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    content = (
        "population_size: 0\ntournament_size: 900\nlr: 1e-3\nlr: 2\ninherit_weights: yes\nnope: {a: 1}\n"
        "elite_ratio: .9\ncull_ratio: .5\nuse_torch: true\n"
    )
    found = problems(tmp_path, content, momentum=2.0, optimizer="none", numworkers="2")
    assert [problem.split(" ")[0] for problem in found] == [
        "F:1:",
        "F:4:",
        "F:5:",
        "F:6:",
        "F:7:",
        "F:9:",
        "--momentum:",
        "--numworkers:",
        "--optimizer",
    ]
    # A contradiction with a value that is wrong anyway would only confuse.
    assert not any("tournament_size 900" in problem for problem in found)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["one"], "--shared_weights: 'one' is not allowed"),
        ([1.0, 1e300], "--shared_weights [1.0, 1e+300] is not allowed, each must be between"),
        ([1.0, 0.0], "contains 0"),
        ([], "is empty"),
    ],
)
def test_wrong_shared_weights_are_one_problem(weights: list[object], message: str) -> None:
    """That a wrong list is left out does not make weights learn."""
    with pytest.raises(ParamsError) as caught:
        load_params(None, {"env_name": "Snake", "shared_weights": weights}, family="wann")
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("rule", LEARNING_RULES)
def test_what_a_rule_says_of_itself_is_so(rule: str, evolve_network) -> None:
    """Feedback depends on the seed where it says so; without a gradient, there is no need of an optimizer."""
    network = evolve_network(3)
    one, other = (LEARNING_RULES[rule]().plasticity(network, feedback_seed=seed) for seed in (0, 1))
    kinds = [kind for kind in ("feedback", "direct") if getattr(one, kind) is not None]
    depends = any(not np.array_equal(getattr(one, kind), getattr(other, kind)) for kind in kinds)
    assert LEARNING_RULES[rule].has_feedback is depends
    if not LEARNING_RULES[rule].follows_gradient:
        assert not LEARNING_RULES[rule].needs_optimizer


def test_flags_are_cited_as_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert problems(tmp_path, "population_size: 5\n", population_size=0) == [
        "--population_size: 0 is not allowed, must be at least 1"
    ]
    assert problems(tmp_path, "lr: 1\n", use_cuda=True)[0].startswith("--use_cuda true is not allowed")


def test_a_number_without_quotes_can_be_text(tmp_path: Path) -> None:
    params = load(tmp_path, "dataset: a.csv\ntarget_column: 007\nout_dir: 1e3\n")
    assert (params.target_column, params.out_dir) == ("007", "1e3")


def test_one_name_is_a_list_of_one(tmp_path: Path) -> None:
    assert load(tmp_path, "activations: tanh\n").activations == ("tanh",)
    assert load(tmp_path, "hidden_layers: 3\n").hidden_layers == (3,)
    assert load(tmp_path, "hidden_layers: []\n").hidden_layers == ()


def test_a_resumed_run_keeps_its_file_and_folder(tmp_path: Path) -> None:
    found = problems(tmp_path, "lr: 1\n", resume=str(tmp_path / "run"), out_dir="x", overwrite_output=True)
    assert len(found) == 3
    assert "a resumed run has its own parameter file" in found[0]
    assert load(tmp_path, "lr: 1\nout_dir: x\n", resume=str(tmp_path)).resume == str(tmp_path)


def test_params_are_frozen_hashable_and_travel_to_workers() -> None:
    params = load_params(None, {"activations": ["relu", "sine"]})
    assert pickle.loads(pickle.dumps(params)) == params
    assert hash(params) == hash(load_params(None, {"activations": ["relu", "sine"]}))
    with pytest.raises(ValueError, match="frozen"):
        params.lr = 1.0


def test_saved_settings_are_complete(tmp_path: Path) -> None:
    text = load_params(None, {}).to_yaml()
    assert {line.split(":")[0] for line in text.splitlines() if line and line[0] != "#"} == set(Params.model_fields)


@given(
    st.fixed_dictionaries(
        {
            "lr": st.floats(min_value=5e-324, allow_infinity=False),
            "weight_decay": st.floats(min_value=0, allow_infinity=False),
            "seed": st.integers(0, 2**63 - 1),
            "max_connections": st.none() | st.integers(1, 10**9),
            "bias": st.booleans(),
            "out_dir": st.none() | st.text(min_size=1),
            "activations": st.lists(st.sampled_from(["relu", "tanh", "step"]), min_size=1),
            "hidden_layers": st.none() | st.lists(st.integers(1, 9)),
            "learning_rule": st.just("evolution_strategy"),
            "dataset": st.sampled_from(["digits", "a b: #.csv", "null.npz"]),
        }
    )
)
def test_saved_settings_read_back_equal(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]) -> None:
    params = load_params(None, values)
    path = tmp_path_factory.getbasetemp() / "saved.yaml"
    path.write_text(params.to_yaml(), "utf-8")
    assert load_params(path, {}) == params
    assert load_params(path, {}).to_yaml() == params.to_yaml()


def test_every_operator_has_a_probability() -> None:
    params = load_params(None, {})
    assert params.mutation_probabilities() == {name: entry.default_probability for name, entry in MUTATIONS.items()}


def test_options_take_the_setting_of_their_name_or_one_of_their_own() -> None:
    params = load_params(None, {"max_connections": 77, "output_connections": True, "mnist_image_size": 28})
    options = params.options_of(MUTATIONS["add_connection"])
    assert options["max_connections"] == 77
    assert options["output_connections"] is True
    assert params.options_of(DATASETS["mnist"])["image_size"] == 28
    assert params.options_of(DATASETS["fashion-mnist"])["image_size"] == 16


@pytest.mark.parametrize("registry", [MUTATIONS, LEARNING_RULES, DATASETS], ids=lambda registry: registry.kind)
def test_every_entry_can_be_created_from_the_defaults(registry: object) -> None:
    params = load_params(None, {})
    for entry in registry.values():  # type: ignore[attr-defined]
        options = params.options_of(entry)
        made = entry(**options)
        assert {name: getattr(made, name, value) for name, value in options.items()} == options


def test_an_option_of_a_new_entry_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class Clipped:
        name: ClassVar[str] = "clipped-rule"
        lr: float = option(0.5, "taken from the setting lr")
        norm: float = option(math.inf, "largest norm", gt=0)
        mode: Literal["a", "b"] = option("a", "what to do")

    monkeypatch.setattr(params_module, "_OPTION_GROUPS", (({"clipped-rule": Clipped}, "training"),))
    found = params_module._registered_settings()
    assert {"clipped_rule_norm", "clipped_rule_mode"} == {name for name in found if name.startswith("clipped")}
    model = params_module.create_model("Extended", __base__=params_module.Settings, **found)
    assert model(clipped_rule_norm=math.inf).clipped_rule_norm == math.inf
    for bad in (0.0, math.nan):
        with pytest.raises(ValueError, match="clipped_rule_norm"):
            model(clipped_rule_norm=bad)


def test_settings_are_described() -> None:
    settings = all_settings()
    assert [one.group for one in settings] == sorted((one.group for one in settings), key=GROUPS.index)
    for one in settings:
        assert one.help
        assert not one.help.endswith(".")


def test_table_has_a_row_for_every_setting() -> None:
    lines = settings_table().splitlines()
    assert len(lines) == 2 + len(Params.model_fields)
    assert "| evolution | `cull_ratio` | number | `0.2` | at least 0 and below 1 |" in lines[2]
    assert all(line.count("|") - line.count("\\|") == 7 for line in lines)


def test_import_needs_no_heavy_package() -> None:
    heavy = "numba", "scipy", "sklearn", "pooch", "joblib", "networkx", "matplotlib", "tensorboardX", "rich", "torch"
    code = f"import sys, topoevo.experiment.flags; print(sorted(set({heavy}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_name_with_half_a_surrogate_pair_is_told(tmp_path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text('evaluation_period: "\\uD800"\nactivations: [relu, "\\uDFFFx"]\n')
    with pytest.raises(ParamsError, match="evaluation_period") as told:
        load_params(path, {})
    str(told.value).encode()
    assert "activations" in str(told.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"num_epochs": 40}, 40),
        ({"num_epochs": 40, "max_connections": 300}, 40),
        ({"num_epochs": 40, "max_connections": 300, "max_connection_epochs": 12000}, 40),
        ({"num_epochs": 40, "max_connections": 100, "max_connection_epochs": 12000}, 40),
        ({"num_epochs": 40, "max_connections": 500, "max_connection_epochs": 12000}, 24),
        ({"num_epochs": 40, "max_connections": 90_000, "max_connection_epochs": 12000}, 1),
        ({"num_epochs": 40, "front_connections": (100, 600), "max_connection_epochs": 12000, "pruning": "fisher"}, 40),
        ({"num_epochs": 40, "max_connections": 500, "max_connection_epochs": 12000, "num_generations": 0}, 40),
    ],
)
def test_children_of_large_networks_are_trained_for_fewer_epochs(values: dict[str, object], expected: int) -> None:
    assert load_params(None, values).epochs_of_children == expected


def test_a_flag_that_says_sizes_replaces_those_of_a_file(tmp_path) -> None:
    file = tmp_path / "sizes.yaml"
    file.write_text(
        "max_connections: 300\nnum_islands: 3\npopulation_size: 72\npruning: fisher\ninherit_weights: true\n"
    )
    found = load_params(file, {"front_connections": (100, 200)})
    assert (found.front_connections, found.max_connections, found.num_islands) == ((100, 200), None, 1)
    file.write_text("front_connections: [100, 200]\npopulation_size: 72\npruning: fisher\ninherit_weights: true\n")
    found = load_params(file, {"max_connections": 50})
    assert (found.front_connections, found.max_connections) == (None, 50)
    with pytest.raises(ParamsError, match="max_connections 50 is not allowed with front_connections"):
        load_params(file, {"max_connections": 50, "front_connections": (100, 200)})
