"""Tables that grow by rows lose what will be written again, and what was never written to its end."""

from __future__ import annotations

import csv

import pytest

from topoevo.reporting.tables import keep_lines, keep_rows

COLUMNS = ("generation", "reward", "digest")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "generation,reward,digest\n" + "".join(f"{number},-0.{number},abc{number}\n" for number in range(6))
    )
    return path


def test_rows_that_will_be_written_again_go(table):
    assert keep_rows(table, COLUMNS, range(4)) == 0
    assert rows(table) == [[*COLUMNS], *([str(number), f"-0.{number}", f"abc{number}"] for number in range(4))]
    assert keep_rows(table, COLUMNS, range(0)) == 0
    assert not table.exists()
    assert keep_rows(table, COLUMNS, range(2)) == 2 and not table.exists()


@pytest.mark.parametrize(
    "end", ["6,-0", "6,-0.6,abc6", "6,-0.6,ab", "6", "6,-0.6,", '6,"-0.6', "\0\0\0", "\x00\n\xff\n"]
)
def test_a_row_that_was_torn_goes(table, end):
    whole = rows(table)
    with table.open("a") as file:
        file.write(end)
    assert keep_rows(table, COLUMNS, range(10)) == 4
    assert rows(table) == whole


def test_rows_in_the_middle_may_be_damaged(table):
    lines = table.read_text().splitlines(keepends=True)
    lines[3] = "2,-0.2,\0\0\0\0\n"
    table.write_text("".join(lines))
    assert keep_rows(table, COLUMNS, range(5)) == 1
    assert [row[0] for row in rows(table)[1:]] == ["0", "1", "3", "4"]


def test_a_table_of_another_version_keeps_what_both_have(table):
    assert keep_rows(table, ("generation", "new", "digest"), range(2)) == 0
    assert rows(table) == [["generation", "new", "digest"], ["0", "", "abc0"], ["1", "", "abc1"]]


@pytest.mark.parametrize("content", ["", "\n", "epoch,reward,digest\n0,1,a\n", "0,-0.0,abc0\n1,-0.1,abc1\n"])
def test_what_is_no_such_table_is_no_row(table, content):
    table.write_text(content)
    assert keep_rows(table, COLUMNS, range(2)) == 2
    assert not table.exists()


def test_lines_of_json_go_in_the_same_way(tmp_path):
    path = tmp_path / "failures.jsonl"
    keep_lines(path, 2)
    assert not path.exists()
    kept = '{"generation": 0}\n{"generation": 1, "reason": "a\\nb"}\n'
    path.write_text(kept + '{"generation": 2}\n[]\n{"generation": "1"}\n{}\n' + "[" * 10_000 + '\n{"generation": 1}')
    keep_lines(path, 2)
    assert path.read_text() == kept
