"""Strict reading of flat YAML files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from topoevo.errors import ParamsError
from topoevo.experiment.yaml_file import MAX_BYTES, format_value, read_yaml, resolve_scalar


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "params.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def failure(folder: Path, content: str | bytes) -> str:
    path = write(folder, content)
    with pytest.raises(ParamsError) as caught:
        read_yaml(path)
    return str(caught.value).replace(str(path), "F")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+12", 12),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("~", None),
        ("", None),
        ("Null", None),
        ("TRUE", True),
        ("False", False),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = resolve_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["yes", "no", "on", "off", "y", "None", "1_000", "1:30", "2020-01-01", "1e", ".", "e5", "0b1", "9" * 5000]
)
def test_everything_else_is_text(text: str) -> None:
    assert resolve_scalar(text) == text


def test_nan_is_a_number() -> None:
    value = resolve_scalar(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


def test_values_lines_and_spelling_are_kept(tmp_path: Path) -> None:
    file = read_yaml(
        write(tmp_path, "\ufeff# note\nlr: 1e-3  # why\n\nnames:\n  - a\n  - 2\ncolumn: 007\nquoted: '5'\n")
    )
    assert not file.problems
    assert {name: (entry.value, entry.line, entry.text) for name, entry in file.entries.items()} == {
        "lr": (0.001, 2, "1e-3"),
        "names": (["a", 2], 4, None),
        "column": (7, 7, "007"),
        "quoted": ("5", 8, None),
    }


def test_all_structural_problems_are_collected_and_the_rest_is_read(tmp_path: Path) -> None:
    content = (
        "a: 1\n"
        "a: 2\n"
        "b: {c: {d: [1]}}\n"
        "e: [1, [2, [3]], 4]\n"
        "f: &anchor 5\n"
        "g: *anchor\n"
        "h: !!python/object/apply:os.system [echo]\n"
        "? [x, y]\n"
        ": 3\n"
        "b: 7\n"
        "z: 9\n"
        "---\n"
        "a: 1\n"
    )
    file = read_yaml(write(tmp_path, content))
    assert [line for line, _ in file.problems] == [2, 3, 4, 5, 6, 7, 8, 12]
    assert "is given a second time, the first is in line 1" in file.problems[0][1]
    assert file.entries["a"].value == 1
    assert file.entries["b"].value == 7
    assert file.entries["z"].value == 9
    assert "e" not in file.entries


@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n", "---\n", "{}", "---\n...\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    assert "empty" in failure(tmp_path, content) or content.startswith("---")
    assert "Traceback" not in failure(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "F:1: a parameter file has lines of the form 'name: value'"),
        ("population_size:5\n", "with a space after the colon), but this is 'population_size:5'"),
        ("a: 1\nlr 0.1\nb: 2\n", "F:2: a colon with a space after it is missing (the line is 'lr 0.1')"),
        ("lr 0.1\nb: 2\n", "F:1: a parameter file has lines of the form"),
        ("a: b\n c: 2\n", "F:2: this colon is not expected"),
        ("a: 1\n\tb: 2\n", "F:2: a tab is not allowed here, use spaces"),
        ("a: [1, 2\nb: 3\n", "F:2: "),
        ("a: 'x\nb: 3\n", "that begins in line 1"),
        ("a: 1\nb: \x01\n", "F:2: the control character U+0001 is not allowed"),
        (b"a: 1\nb: \xff\n", "F:2: the byte 0xff is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "F:1: the byte 0x"),
        ("# " + "x" * MAX_BYTES, "F: the file is longer than"),
    ],
)
def test_what_is_no_parameter_file_is_told_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in failure(tmp_path, content)


def test_hostile_files_end_quickly(tmp_path: Path) -> None:
    assert "F:1: values are nested" in failure(tmp_path, "a: " + "[" * 40000 + "]" * 40000)
    assert "F:2: values are nested" in failure(tmp_path, "a:\n " + "- " * 40000)
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))
    assert read_yaml(write(tmp_path, bomb)).problems


def test_missing_file_names_the_closest_one(tmp_path: Path) -> None:
    (tmp_path / "digits-quick.yaml").write_text("lr: 1\n")
    with pytest.raises(ParamsError, match=r"there is no such parameter file; did you mean 'digits-quick.yaml'\?"):
        read_yaml(tmp_path / "digit-quick.yaml")


def test_folder_instead_of_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="this is a folder"):
        read_yaml(tmp_path)


values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())


@given(values, st.lists(values))
def test_written_values_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, value: object, items: list[object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    path.write_text(f"value: {format_value(value)}\nitems: {format_value(items)}\n", "utf-8")
    file = read_yaml(path)
    assert not file.problems
    assert (file.entries["value"].value, file.entries["items"].value) == (value, items)
    assert repr(file.entries["value"].value) == repr(value)  # type and sign of zero, too


@given(st.one_of(st.booleans(), st.floats(allow_nan=False), st.text()))
def test_readers_of_old_yaml_agree(value: object) -> None:
    assert yaml.safe_load(format_value(value)) == value
