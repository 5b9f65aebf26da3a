"""Whatever a user gets wrong is one message with every problem, exit code 2, no traceback, and nothing written."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from .conftest import BLIND, PARAMS, TINY, everything_below

TABLE = PARAMS / "table.yaml"
GOOD_ROWS = [f"{i},{-i},{'ab'[i % 2]}" for i in range(30)]


def refuse(programs, *words):
    """Run ``run_wlnn.py``, expect a refusal, and return its message."""
    before = everything_below(programs.folder)
    done = programs.wlnn(*words, expect=2)
    assert everything_below(programs.folder) == before, "something was written"
    assert "Traceback" not in done.err
    assert done.err.count("error:") == 1 and done.err.startswith("error:")
    return done.err


def write_table(programs, *, rows=GOOD_ROWS, header="a,b,kind", name="t.csv"):
    (programs.folder / name).write_text("\n".join([header, *rows]) + "\n")


def test_everything_wrong_in_a_file_and_in_flags_is_one_message(programs):
    (programs.folder / "bad.yaml").write_text(
        "lerning_rate: 0.1\npopulation_size: ten\ncull_ratio: 1.5\noptimizer: adm\nnum_epochs: 2\nnum_epochs: 3\n"
        "dataset: mnits\nbias: 3\nactivations: [relu, tahn]\n"
    )
    message = refuse(programs, "bad.yaml", "--evaluation_period", "last_epok", "--num_workers", "0", "--lrr", "1")
    lines = message.splitlines()
    assert lines[0] == "error: 11 problems"
    assert len(lines) == 12
    for place, words in {
        "bad.yaml:1": ["lerning_rate"],
        "bad.yaml:2": ["population_size", "'ten'", "at least 1"],
        "bad.yaml:3": ["cull_ratio", "1.5", "below 1"],
        "bad.yaml:4": ["optimizer", "'adm'", "did you mean 'adam'"],
        "bad.yaml:6": ["num_epochs", "line 5"],
        "bad.yaml:7": ["dataset", "'mnits'", "did you mean 'mnist'"],
        "bad.yaml:8": ["bias", "3"],
        "bad.yaml:9": ["'tahn'", "did you mean 'tanh'"],
        "--evaluation_period": ["did you mean 'last_epoch'"],
        "--num_workers": ["0", "at least 1"],
        "--lrr": ["did you mean 'lr'"],
    }.items():
        (line,) = [line for line in lines if place in line]
        assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--tournament_size", "99", "--elite_ratio", "0.9"), ("tournament_size 99", "elite_ratio 0.9")),
        (("--optimizer", "none", "--num_workers", "0"), ("optimizer none", "num_workers 0")),
        (("--p_add_node", "0", "--p_add_connection", "0", "--p_remove_connection", "0"), ("p_add_node",)),
        (("--target_column", "x", "--env_name", "CartPole-v1"), ("target_column", "CartPole-v1")),
        (("--seed", "-1", "--lr", "nan", "--batch_size", "1.5"), ("--seed", "--lr", "--batch_size")),
        (("--seed", "123456789012345678901234567890"), ("--seed",)),
        (("--batch_size", "99999999999999999999999"), ("--batch_size",)),
        (("--num_inputs", "7", "--num_outputs", "9"), ("num_inputs: 7", "64", "num_outputs: 9", "10")),
        (("--num_samples", "1348"), ("num_samples: 1348", "1347 training samples")),
        (("--weight_decay", "1", "--learning_rule", "none", "--out_dir", "x" * 300), ("--weight_decay 1", "out_dir:")),
        (("--dataset", "nowhere.csv"), ("nowhere.csv",)),
        (("--dataset", "mnist", "--data_dir", "nowhere"), ("nowhere",)),
        (("--out_dir", "x" * 300), ("out_dir",)),
        (("--resume", "nowhere"), ("nowhere",)),
        (("nowhere.yaml",), ("nowhere.yaml",)),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_wrong_flag(programs, words, expected):
    words = words if words[0].endswith(".yaml") or words[0] == "--resume" else (BLIND, *words)
    message = refuse(programs, *words)
    assert all(word in message for word in expected), message


TABLES = {
    "text and NaN": (
        [*GOOD_ROWS[:3], "hello,1,a", "1,nan,b", "1,,a", "inf,1,b", *GOOD_ROWS],
        ("row 5, column a", "'hello'", "row 6, column b", "row 7, column b", "row 8, column a"),
    ),
    "one class": ([f"{i},1,a" for i in range(30)], ("one class", "'a'")),
    "ragged": ([*GOOD_ROWS, "1,2"], ("row 32", "2")),
    "few rows": (GOOD_ROWS[:5], ("5 row",)),
    "no rows": ([], ("0 row",)),
    "no class": ([f"{i},1,name{i}" for i in range(30)], ("30 different values",)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table(programs, name):
    rows, expected = TABLES[name]
    write_table(programs, rows=rows)
    message = refuse(programs, TABLE, "--dataset", "t.csv", "--out_dir", "run")
    assert "t.csv" in message and all(word in message for word in expected), message


def test_a_table_without_rows_in_npz(programs):
    np.savez(programs.folder / "t.npz", X=np.zeros((0, 3)), y=np.zeros(0))
    assert "t.npz" in refuse(programs, TABLE, "--dataset", "t.npz")


def test_corrupt_image_files(programs):
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            content = gzip.compress(b"\0\0\x08\x03no images")[: -4 if part == "train" else None]
            (programs.folder / f"{part}-{kind}-ubyte.gz").write_bytes(content)
    message = refuse(programs, PARAMS / "mnist-backprop.yaml", "--data_dir", ".")
    assert "ubyte.gz" in message


def test_the_folder_of_a_run_is_kept(programs):
    (programs.folder / "run").mkdir()
    (programs.folder / "run" / "params.yaml").write_text("seed: 1\n")
    message = refuse(programs, BLIND, "--out_dir", "run")
    assert "out_dir" in message and "overwrite_output" in message
    (programs.folder / "mine").mkdir()
    (programs.folder / "mine" / "thesis.tex").write_text("years of work")
    assert "mine" in refuse(programs, BLIND, "--out_dir", "mine", "--overwrite_output")


def test_a_file_in_the_way(programs):
    (programs.folder / "file").write_text("")
    assert "file" in refuse(programs, BLIND, "--out_dir", "file")
    assert "file" in refuse(programs, BLIND, "--out_dir", "file/run")
    (programs.folder / "logs").write_text("")
    assert "logs" in refuse(programs, BLIND)


def test_problems_with_folder_data_and_sizes_come_together(programs):
    (programs.folder / "file").write_text("")
    message = refuse(programs, TABLE, "--dataset", "nowhere.csv", "--out_dir", "file", "--population_size", "0")
    assert all(word in message for word in ("nowhere.csv", "out_dir", "population_size")), message


def test_a_diverging_individual_does_not_end_a_run_but_a_whole_generation_does(programs):
    done = programs.wlnn(BLIND, *TINY, "--num_generations", 2, "--lr", "1e38", "--out_dir", "run", expect=1)
    assert "Traceback" not in done.err and "all 12 individuals failed" in done.out
    reasons = (programs.folder / "run" / "failures.jsonl").read_text().splitlines()
    assert len(reasons) == 12


BROKEN_RUNS = {
    "empty checkpoints": lambda run: [path.write_bytes(b"") for path in (run / "checkpoint").iterdir()],
    "garbage checkpoints": lambda run: [path.write_bytes(b"PK\3\4" * 99) for path in (run / "checkpoint").iterdir()],
    "another data set": lambda run: edit(run, "dataset: digits", "dataset: sine"),
    "another population": lambda run: edit(run, "population_size: 12", "population_size: 30"),
    "another seed": lambda run: edit(run, "seed: 0", "seed: 1"),
}


def edit(run, old, new):
    text = (run / "params.yaml").read_text()
    assert f"\n{old}\n" in text
    (run / "params.yaml").write_text(text.replace(f"\n{old}\n", f"\n{new}\n"))


@pytest.mark.parametrize("name", BROKEN_RUNS)
def test_a_run_that_cannot_go_on(shared_run, programs, name):
    import shutil

    run, _ = shared_run("small", BLIND, *TINY, "--num_generations", 1)
    shutil.copytree(run, programs.folder / "run")
    BROKEN_RUNS[name](programs.folder / "run")
    refuse(programs, "--resume", "run", "--num_generations", 2)
