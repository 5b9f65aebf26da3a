"""Settings as flags of the command line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from topoevo.errors import ParamsError
from topoevo.experiment.flags import FlagParser, add_flags, parse_flags
from topoevo.experiment.params import Params, all_settings, load_params
from topoevo.experiment.yaml_file import format_value


def make_parser() -> FlagParser:
    parser = FlagParser(description="a test", prog="test")
    parser.add_argument("params_file", nargs="?")
    add_flags(parser)
    return parser


def parse(line: str) -> tuple[str | None, dict[str, object]]:
    namespace, overrides = parse_flags(make_parser(), line.split())
    return namespace.params_file, overrides


def test_a_flag_that_is_not_given_changes_nothing() -> None:
    assert parse("") == (None, {})
    assert parse("x.yaml") == ("x.yaml", {})


@pytest.mark.parametrize(
    ("line", "overrides"),
    [
        ("--lr 1e-3", {"lr": 0.001}),
        ("--lr=.5", {"lr": 0.5}),
        ("--lr -1e-3", {"lr": -0.001}),
        ("--front_connections -5 10", {"front_connections": [-5, 10]}),
        ("--final_decay_factors 1 -.5", {"final_decay_factors": [1, -0.5]}),
        ("--final_decay_factors -1e-3 1 -2.5E2", {"final_decay_factors": [-0.001, 1, -250.0]}),
        ("--num_workers -1", {"num_workers": -1}),
        ("--bias", {"bias": True}),
        ("--bias true --inherit_weights False", {"bias": True, "inherit_weights": False}),
        ("--bias --lr 1", {"bias": True, "lr": 1}),
        ("--bias yes", {"bias": "yes"}),
        ("--activations relu tanh --lr 1", {"activations": ["relu", "tanh"], "lr": 1}),
        ("--activations", {"activations": []}),
        ("--target_column 3", {"target_column": "3"}),
        ("--out_dir 1e3", {"out_dir": "1e3"}),
        ("--out_dir null", {"out_dir": None}),
        ("--max_connections null", {"max_connections": None}),
        ("--lr 1 --lr 2", {"lr": 2}),
        ("--metropolis_beta inf", {"metropolis_beta": math.inf}),
        ("--metropolis_beta .inf", {"metropolis_beta": math.inf}),
        ("--metropolis_beta Infinity", {"metropolis_beta": math.inf}),
        # Infinity is no legal number of this one: the value is refused as it was typed.
        ("--lr inf", {"lr": "inf"}),
    ],
)
def test_values_are_read_like_those_of_a_parameter_file(line: str, overrides: dict[str, object]) -> None:
    assert parse(f"x.yaml {line}") == ("x.yaml", overrides)


@pytest.mark.parametrize("line", ["--bias x.yaml", "--lr 1 x.yaml --bias", "--bias true x.yaml"])
def test_the_parameter_file_may_stand_anywhere(line: str) -> None:
    path, overrides = parse(line)
    assert path == "x.yaml"
    assert overrides["bias"] is True


@pytest.mark.parametrize("one", all_settings(), ids=lambda one: one.name)
def test_every_setting_is_a_flag_that_accepts_its_default(one: object) -> None:
    assert isinstance(one.default, (bool, int, float, str, tuple, type(None)))  # type: ignore[attr-defined]
    default = one.default  # type: ignore[attr-defined]
    words = list(default) if isinstance(default, tuple) else [format_value(default)]
    _, overrides = parse_flags(make_parser(), [f"--{one.name}", *words])  # type: ignore[attr-defined]
    assert load_params(None, overrides) == load_params(None, {})


def test_help_names_every_flag_with_range_and_default() -> None:
    text = " ".join(make_parser().format_help().split())
    for name in Params.model_fields:
        assert f"--{name} " in text
    assert "leave out of the breeding pool (at least 0 and below 1; default 0.2)" in text
    assert "evolution options:" in text


def test_unknown_flags_are_told_together_with_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("lr: 0\n")
    for line in (f"--populaton_size 5 {path} --bias maybe", f"{path} --populaton_size=5 --bias=maybe"):
        found, overrides = parse(line)
        assert found == str(path)
        with pytest.raises(ParamsError) as caught:
            load_params(found, overrides)
        assert str(caught.value).splitlines() == [
            f"{path}:1: lr: 0 is not allowed, must be above 0",
            "--bias: 'maybe' is not allowed, must be true or false",
            "--populaton_size: there is no such setting; did you mean 'population_size'?",
        ]


def test_abbreviations_are_not_guessed() -> None:
    assert parse("--populat 5")[1] == {"populat": "5"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--lr", "--lr: a value is missing"),
        ("x.yaml --lr --bias", "--lr: a value is missing"),
        ("x.yaml y", "'y' belongs to no flag"),
    ],
)
def test_words_that_do_not_fit_are_an_error(line: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse(line)
