"""The console says what happens, not too often, and ends with what to type next."""

from __future__ import annotations

import io
import os
import re
from types import SimpleNamespace

import pytest

from topoevo.experiment.records import Observer
from topoevo.reporting import make_observers
from topoevo.reporting.console import ConsoleObserver, _Screen
from topoevo.reporting.lines import duration, generation_line
from topoevo.reporting.run_directory import RunDirectory


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_name_every_generation_and_its_digest(script):
    stream = io.StringIO()
    actor = script([ConsoleObserver(stream=stream)])
    actor.run(4)
    text = stream.getvalue()
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if line.startswith("generation")]
    assert len(lines) == 4
    assert all(actor.record(g).digest in line for g, line in enumerate(lines))
    assert len({line.index("digest") for line in lines}) == 1
    assert "test accuracy" in text and "0.7500" in text


def test_fast_generations_do_not_flood_the_terminal(script, params, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    many = params.model_copy(update={"num_generations": 60})
    script([ConsoleObserver(stream=stream)], params=many, size=2).run(60)
    shown = re.findall(r"generation +(\d+)  reward", stream.getvalue())
    assert shown[0] == "0" and shown[-1] == "59" and len(shown) < 20


def test_an_interrupted_run_still_shows_its_last_generation(script):
    stream = io.StringIO()
    script([ConsoleObserver(stream=stream)]).run(3, status="interrupted", reason="Ctrl-C")
    assert "generation 2" in stream.getvalue()
    assert "Interrupted after 3 generations, 15 evaluations and 12.5 s: Ctrl-C" in stream.getvalue()


def test_a_terminal_gets_progress_and_the_same_lines(script, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    script([ConsoleObserver(stream=stream)]).run(4)
    text = stream.getvalue()
    assert "\x1b[" in text and "4/4" in text and "evaluations/s" in text
    assert "Finished after 4 generations" in text


def test_a_long_generation_says_how_far_it_is(params, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    now = [100.0]
    monkeypatch.setattr("topoevo.reporting.console.time.monotonic", lambda: now[0])
    screen = _Screen(Terminal(), SimpleNamespace(params=params, num_done=0))
    shown = lambda: screen._progress.tasks[0].fields["pace"]  # noqa: E731
    try:
        now[0] += 0.9
        screen.show_part(1, 5)
        assert shown() == ""
        now[0] += 0.9
        screen.show_part(2, 5)
        assert shown() == "2 of 5 networks"
        screen.show_done(1, 1.8, "best", pace="3 evaluations/s")
        left = shown().removesuffix(", 3 evaluations/s")
        assert left.endswith(" left")
        now[0] += 0.9
        screen.show_part(4, 5)
        assert shown() == f"{left}, 3 evaluations/s"
        now[0] += 0.2
        screen.show_part(5, 5)
        assert shown() == f"{left}, 5 of 5 networks"
    finally:
        screen.close()


@pytest.mark.parametrize("has_display", [False, True])
def test_a_terminal_that_is_closed_under_way_stops_no_run(script, monkeypatch, has_display):
    monkeypatch.setenv("TERM", "xterm-256color")
    master, slave = os.openpty()
    # Like standard output, whose rest is written when Python ends.
    with open(slave, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(stream, "isatty", lambda: has_display, raising=False)

        class Closing(Observer):
            def on_generation(self, record):
                if record.generation == 1:
                    os.read(master, 100_000)
                    os.close(master)
                    with pytest.raises(OSError, match="Input/output error"):
                        os.write(slave, b"x")

        console = ConsoleObserver(stream=stream)
        script([Closing(), console]).run(4)
        console.close()


def test_messages_come_before_the_run_starts():
    stream = io.StringIO()
    ConsoleObserver(stream=stream).on_message("loading [digits]")
    assert stream.getvalue() == "loading [digits]\n"


def test_the_summary_names_files_and_commands_that_work(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["run_wlnn.py"])
    stream = io.StringIO()
    console = ConsoleObserver(stream=stream)
    from topoevo.experiment.params import load_params

    params = load_params(None, {"num_generations": 4, "population_size": 5, "tournament_size": 2})
    run = RunDirectory.create(params, name="quick")
    run.checkpoint.mkdir()
    script(make_observers(run, console), params=params).run(4)
    text = stream.getvalue()
    folder = run.shown()
    assert not folder.startswith("/")
    for expected in (f"{folder}/champion.json", "-m tensorboard.main --logdir logs", f"-m topoevo evaluate {folder}"):
        assert expected in text
    assert f"-m topoevo resume {folder} --num_generations 8" in text
    for line in text.split("Files")[1].split("Next")[0].splitlines():
        if line.strip():
            assert (tmp_path / line.split()[0]).exists()


def test_generation_lines_align_whatever_the_number(script):
    actor = script([])
    lengths = {generation_line(actor.record(g), 200).index("digest") for g in (0, 9, 10, 150)}
    assert len(lengths) == 1


def test_durations():
    assert [duration(s) for s in (0.25, 99.9, 125, 7200)] == ["0.2 s", "99.9 s", "2 min 5 s", "2 h 0 min"]


def test_epoch_lines_align_and_leave_out_what_there_is_not():
    from topoevo.experiment.records import EpochRecord, TaskScore
    from topoevo.reporting.lines import epoch_line

    def record(epoch, *, accuracy=0.5, acceptance=None, validation=None, rmse=None):
        score = TaskScore(-12.0 / epoch, accuracy, rmse)
        return EpochRecord(epoch, 9.5 / epoch, accuracy, acceptance, validation, score, "abc", {"complete": 0.01234})

    score = TaskScore(-1.0, None, 123.456)
    lines = [epoch_line(record(epoch), 200) for epoch in (1, 9, 10, 150)]
    assert len({line.index("digest") for line in lines}) == 1
    words = "epoch  10  training loss  0.95000  accuracy 0.5000  test loss  1.20000  accuracy 0.5000   0.012 s"
    assert lines[2] == f"{words}  digest abc"
    regression = epoch_line(record(1, accuracy=None, rmse=0.25, validation=TaskScore(-1.0, None, 0.5)), 9)
    assert "accuracy" not in regression and regression.count("RMSE") == 2 and "validation loss  1.00000" in regression
    assert "accepted 0.250" in epoch_line(record(1, acceptance=0.25), 9)
    accurate = TaskScore(-1.0, 0.75)
    for one in (record(100, acceptance=0.5, validation=accurate), record(1, accuracy=None, rmse=0.1, validation=score)):
        short = epoch_line(one, 200, max_width=79)
        assert len(short) <= 79 and "digest" not in short and f"loss {one.loss:8.5f}" in short and "test" in short


def test_sentences_are_broken_between_words_on_a_terminal_alone(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    sentence = "a fully connected network with 100 hidden relu nodes"
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        ConsoleObserver(stream=stream).on_message(sentence)
    assert max(map(len, terminal.getvalue().splitlines())) <= 40 and terminal.getvalue().split() == sentence.split()
    assert pipe.getvalue() == f"{sentence}\n"
