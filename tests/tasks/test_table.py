"""The user's own table: what is read, what the targets are taken for, and every mistake told in one message."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

from topoevo.errors import TaskError
from topoevo.tasks import DataSettings, load_task


def rows_of(num_rows: int, target) -> str:
    return "".join(f"{row},{row * 0.5},{target(row)}\n" for row in range(num_rows))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(content: str | bytes, name: str = "table.csv") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def save(tmp_path):
    """Return a function that saves arrays and returns the path."""

    def save(name: str = "table.npz", **arrays) -> str:
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return save


def classes_csv(num_rows: int = 40) -> str:
    return "a,b,kind\n" + rows_of(num_rows, lambda row: ("tall", "small", "flat")[row % 3])


def load(path: str, **changes):
    return load_task(DataSettings(path, **changes))


def message(path: str, **changes) -> str:
    with pytest.raises(TaskError) as caught:
        load(path, **changes)
    return str(caught.value)


# What is read


def test_classification_of_text(write):
    task = load(write(classes_csv()))
    assert (task.name, task.kind, task.loss) == ("table.csv", "classification", "cross_entropy")
    assert task.input_names == ("a", "b")
    assert task.output_names == ("flat", "small", "tall")
    assert (len(task.train), len(task.test)) == (30, 10)
    for samples in (task.train, task.test):
        rows = np.rint(samples.inputs[:, 0].astype(float) * task.input_scale[0] + task.input_offset[0]).astype(int)
        assert samples.targets.tolist() == [(2, 1, 0)[row % 3] for row in rows]


def test_inputs_are_standardized_unless_told_otherwise(write):
    path = write(classes_csv())
    task = load(path)
    np.testing.assert_allclose(task.train.inputs.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(task.train.inputs.std(axis=0), 1, atol=1e-6)
    raw = load(path, input_scaling="none")
    assert set(raw.train.inputs[:, 0].tolist()) <= set(range(40))


def test_regression_targets_are_standardized(write):
    task = load(write("a,b,y\n" + rows_of(50, lambda row: 100 + row * 1.25)))
    assert (task.kind, task.loss, task.output_names) == ("regression", "mean_squared_error", ("y",))
    assert task.train.targets.mean() == pytest.approx(0, abs=1e-6)
    assert task.train.targets.std() == pytest.approx(1, abs=1e-6)
    targets = task.test.targets * task.target_scale + task.target_offset
    rows = task.test.inputs[:, :1] * task.input_scale[0] + task.input_offset[0]
    np.testing.assert_allclose(targets, 100 + rows * 1.25, rtol=1e-5)


@pytest.mark.parametrize("target_column", ["kind", "0", "-3"])
def test_target_by_name_or_position(write, target_column):
    text = "kind,a,b\n" + "".join(f"{'xy'[row % 2]},{row},{row**2}\n" for row in range(20))
    task = load(write(text), target_column=target_column)
    assert (task.input_names, task.output_names) == (("a", "b"), ("x", "y"))


@pytest.mark.parametrize(
    ("target", "num_rows", "kind", "num_outputs"),
    [
        (lambda row: row % 2, 20, "classification", 2),
        (lambda row: row % 20, 40, "classification", 20),
        (lambda row: row % 21, 400, "regression", 1),
        (lambda row: row % 21, 420, "classification", 21),
        (lambda row: row % 12, 20, "regression", 1),  # more values than half the rows
        (lambda row: f"{row % 3}.0", 20, "classification", 3),
        (lambda row: row % 3 + 0.5, 20, "regression", 1),
        (lambda row: bool(row % 2), 20, "classification", 2),
    ],
)
def test_kind_of_targets(write, target, num_rows, kind, num_outputs):
    task = load(write("a,b,y\n" + rows_of(num_rows, target)))
    assert (task.kind, task.num_outputs) == (kind, num_outputs)


def test_task_type_decides(write):
    path = write("a,b,y\n" + rows_of(40, lambda row: row % 4))
    assert load(path).output_names == ("0", "1", "2", "3")
    assert load(path, task_type="regression").output_names == ("y",)
    halves = write("a,b,y\n" + rows_of(40, lambda row: row % 4 / 2), "halves.csv")
    assert load(halves, task_type="classification").output_names == ("0", "0.5", "1", "1.5")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("tall", '"tall"').replace(",", " , "),
        lambda text: text.rstrip("\n"),
    ],
    ids=["semicolon", "tab", "crlf", "blank lines", "byte order mark", "quotes and blanks", "no last line end"],
)
def test_dialects(write, change):
    expected = load(write(classes_csv(), "expected.csv"))
    text = change(classes_csv()).replace(' "', '"').replace('" ', '"')
    task = load(write(text))
    assert task.output_names == expected.output_names
    assert task.input_names == expected.input_names
    assert task.train.inputs.tobytes() == expected.train.inputs.tobytes()


def test_file_below_data_dir(write, tmp_path):
    write(classes_csv(), "mine.csv")
    assert load("mine.csv", data_dir=str(tmp_path)).name == "mine.csv"


def test_test_file_in_another_order_of_columns(write):
    test = write("kind,b,a\ntall,0.5,1\nflat,2,4\n", "test.csv")
    task = load(write(classes_csv()), test_file=test)
    assert (len(task.train), len(task.test)) == (40, 2)
    assert task.test.targets.tolist() == [2, 0]
    np.testing.assert_array_equal(task.test.inputs, task.transform([[1, 0.5], [4, 2]]))
    assert task.provenance["sha256"].keys() == {"table.csv", "test.csv"}


def test_test_ratio_and_validation_ratio(write):
    task = load(write(classes_csv(60)), test_ratio=0.5, validation_ratio=0.1)
    assert (len(task.train), len(task.validation), len(task.test)) == (27, 3, 30)


def test_arrays(save):
    rng = np.random.default_rng(0)
    path = save(X=rng.normal(size=(40, 3)), y=np.array(["no", "yes"])[np.arange(40) % 2])
    task = load(path)
    assert (task.input_names, task.output_names) == (("x0", "x1", "x2"), ("no", "yes"))


@pytest.mark.parametrize("names", [("X", "y", "X_test", "y_test"), ("x_train", "y_train", "x_test", "y_test")])
def test_arrays_with_a_test_set_and_images(save, names):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (30, 4, 5)).astype(np.uint8), np.arange(30) % 3]
    arrays += [rng.integers(0, 256, (7, 4, 5)).astype(np.uint8), np.arange(7) % 3]
    task = load(save(**dict(zip(names, arrays, strict=True))), input_scaling="none")
    assert (len(task.train), len(task.test), task.num_inputs) == (30, 7, 20)
    assert (task.test.inputs == arrays[2].reshape(7, 20)).all()
    assert task.test.targets.tolist() == arrays[3].tolist()


def test_regression_of_several_columns(save):
    inputs = np.random.default_rng(0).normal(size=(40, 2))
    task = load(save(X=inputs, y=np.hstack([inputs, 3 * inputs[:, :1] + 1])))
    assert task.output_names == ("y0", "y1", "y2")
    assert task.score(task.test.targets.T.copy(), task.test.targets).loss == 0


# What is refused


def test_cells_that_are_no_numbers_are_listed(write):
    lines = classes_csv().splitlines()
    for line, cell in ((1, "oops"), (4, "NaN"), (9, ""), (12, "inf"), (15, "1e39"), (16, "?"), (17, "-")):
        cells = lines[line].split(",")
        lines[line] = f"{cells[0]},{cell},{cells[2]}"
    told = message(write("\n".join(lines)))
    assert "7 cell(s)" in told and "and 2 more" in told
    for row, cell in ((2, "oops"), (5, "NaN"), (10, ""), (13, "inf"), (16, "1e39")):
        assert f"row {row}, column b: {cell!r}" in told


def test_row_numbers_count_blank_lines(write):
    assert "row 4, column b: 'x'" in message(write("a,b,y\n\n1,2,3\n4,x,6\n" + rows_of(20, lambda row: row)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b,y\n", "has 0 row(s), needs at least 10"),
        ("a,b,y\n" + rows_of(9, lambda row: row), "has 9 row(s)"),
        (rows_of(20, lambda row: row), "row 1 has numbers where the names"),
        ("a,a,y\n" + rows_of(20, lambda row: row), "two columns have the name 'a'"),
        (",b,y\n" + rows_of(20, lambda row: row), "column 1 has no name"),
        ("y\n" + "1\n2\n" * 10, "no input columns"),
        ("a,b,y\n1,2\n" + rows_of(20, lambda row: row) + "1,2,3,4\n", "3 cells, but row 2 has 2, row 23 has 4"),
        ("a,b,y\n" + rows_of(20, lambda row: "same"), "of one class, 'same'"),
        ("a,b,y\n" + rows_of(20, lambda row: 1), "of one class, '1'"),
        ("a,b,y\n" + rows_of(20, lambda row: 1.5), "all targets are the same"),
        ("a,b,y\n" + rows_of(20, lambda row: f"id{row}"), "20 different values in 20 rows"),
        ("a,b,y\n" + rows_of(20, lambda row: "n/a" if row == 7 else row / 3), "row 9, column y: 'n/a'"),
        ("a,b,y\n" + rows_of(20, lambda row: "" if row == 7 else "xy"[row % 2]), "row 9, column y: ''"),
        ("a,b,y\n" + rows_of(20, lambda row: "nan" if row == 7 else row / 3), "row 9, column y: 'nan'"),
        (b"a,b,y\n\xff\xfe,1,2\n", "is not UTF-8"),
        ('a,b,y\n1,"2,3\n', "is no CSV"),
        ("a,b,y\n1,2,\x003\n" + rows_of(20, lambda row: row), "table.csv: "),
    ],
)
def test_broken_csv(write, content, told):
    text = message(write(content))
    assert told in text and "table.csv" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target_column": "kin"}, "no column 'kin'; did you mean 'kind'"),
        ({"target_column": "3"}, "3 columns, so there is no position 3"),
        ({"target_column": "a"}, "row 2, column kind: 'tall'"),
        ({"task_type": "regression"}, "row 2, column kind: 'tall'"),
        ({"test_file": "nowhere.csv"}, "test_file: there is no file nowhere.csv"),
        ({"test_file": __file__}, "is no .csv file"),
    ],
)
def test_wrong_settings_of_a_table(write, changes, told):
    assert told in message(write(classes_csv()), **changes)


def test_missing_file(tmp_path):
    assert "dataset: there is no file" in message(str(tmp_path / "nowhere.csv"))
    (tmp_path / "flowers.csv").touch()
    assert message(str(tmp_path / "flower.csv")).endswith("; did you mean 'flowers.csv'?")
    assert "did you mean" not in message(str(tmp_path / "elsewhere" / "flower.csv"))
    (tmp_path / "folder.csv").mkdir()
    assert "did you mean 'folder.csv'" not in message(str(tmp_path / "folder.csv"))
    assert "dataset: there is no file" in message("a\0b/flower.csv")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,c,kind\n1,2,tall\n", "has no column 'b'"),
        ("a,b,c,kind\n1,2,3,tall\n", "has a column 'c' that"),
        ("a,b,class\n1,2,tall\n", "has no column 'kind'"),
        ("a,b,kind\n1,2,giant\n", "classes that the training rows have not: 'giant'"),
        ("a,b,kind\n", "no rows to test on"),
        ("a,b,kind\n1,x,tall\n", "row 2, column b: 'x'"),
    ],
)
def test_test_file_that_does_not_fit(write, content, told):
    text = message(write(classes_csv()), test_file=write(content, "test.csv"))
    assert told in text and "test.csv" in text


def npy_bytes(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 no archive", b"text", npy_bytes(np.zeros(3)), pickle.dumps({"X": 1})],
    ids=["empty", "broken zip", "text", "npy", "pickle"],
)
def test_broken_npz(write, content):
    assert "table.npz: " in message(write(content, "table.npz"))


def test_truncated_npz(save):
    path = save(X=np.zeros((100, 3)), y=np.zeros(100))
    with open(path, "r+b") as file:
        file.truncate(500)
    assert "table.npz: is no .npz file" in message(path)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"a": np.zeros(3)}, "needs the arrays X and y (or x_train and y_train), has 'a'"),
        ({"X": np.zeros((20, 2)), "y": np.zeros(19)}, "X has 20 rows, but y has 19"),
        ({"X": np.zeros((5, 2)), "y": np.arange(5)}, "has 5 row(s)"),
        ({"X": np.zeros((20, 0)), "y": np.arange(20) % 2}, "no input columns"),
        ({"X": np.full((20, 2), "a"), "y": np.zeros(20)}, "X is no array of numbers"),
        ({"X": np.array([[None] * 2] * 20), "y": np.zeros(20)}, "no .npz file of plain arrays"),
        ({"X": np.full((20, 2), np.nan), "y": np.arange(20) % 2}, "40 cell(s) hold no finite number"),
        ({"X": np.eye(20), "y": np.where(np.arange(20) == 3, np.inf, 0.5)}, "row 3, column y: inf"),
        ({"X": np.eye(20), "y": np.zeros((20, 2, 2))}, "y is no vector"),
        ({"X": np.eye(20), "y": np.full((20, 2), "a")}, "one column of targets"),
        ({"X": np.float64(3), "y": np.zeros(20)}, "X is no array"),
    ],
)
def test_arrays_that_do_not_fit(save, arrays, told):
    assert told in message(save(**arrays), task_type="auto")


def test_settings_that_arrays_do_not_have(save):
    arrays = {"X": np.eye(20), "y": np.arange(20) % 2}
    path = save(**arrays)
    assert "target_column: only a .csv" in message(path, target_column="y")
    both = save("both.npz", **arrays, X_test=np.eye(20), y_test=np.arange(20) % 2)
    assert "has a test set of its own" in message(both, test_file=path)
    assert len(load(path, test_file=save("test.npz", **arrays)).test) == 20
