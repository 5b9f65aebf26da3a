"""What happens before a run: help, start-up, and the promises of the README."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from .conftest import BLIND, PARAMS, REPOSITORY, TINY, user_environment

HEAVY = {"numba", "sklearn", "matplotlib", "networkx", "tensorboardX", "scipy", "rich", "joblib", "pooch"}
README = (REPOSITORY / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "code"), [(("--help",), 0), ((PARAMS / "digits-quick.yaml", "--lr", "fast"), 2), (("no.yaml",), 2)]
)
def test_help_and_wrong_settings_import_nothing_heavy(programs, words, code):
    done = programs.python("-X", "importtime", REPOSITORY / "run_wlnn.py", *words, expect=code)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.err.splitlines() if "|" in line}
    assert {"topoevo", "argparse"} <= imported
    assert not imported & HEAVY


def readme_commands():
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = [line for language, block in blocks if language != "python" for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.strip()]


def test_the_commands_of_the_readme_exist(programs):
    flags = set(re.findall(r"--\w+", programs.wlnn("--help").out))
    commands = re.findall(r"^  (\w+)", programs.topoevo("--help").out, re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text()
    seen, own_flags = set(), {}
    for line in readme_commands():
        program, *words = line.split("#")[0].split()
        seen.add(program)
        if program == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), line
        elif program == "python":
            assert (REPOSITORY / words[0]).is_file(), line
        elif program == "topoevo":
            assert words[0] in commands, line
            if any(word.startswith("--") for word in words) and words[0] not in own_flags:
                own_flags[words[0]] = set(re.findall(r"--\w+", programs.topoevo(words[0], "--help").out))
        elif program not in ("pip", "tensorboard"):
            pytest.fail(f"unknown program in the README: {line}")
        if program in ("python", "topoevo"):
            assert {word for word in words if word.startswith("--")} <= own_flags.get(words[0], flags), line
        for word in words:
            if word.endswith(".yaml"):
                assert (REPOSITORY / word).is_file(), line
    assert {"make", "python", "topoevo", "pip", "tensorboard"} <= seen


def test_the_files_that_the_readme_names_exist():
    links = [one for one in re.findall(r"\]\(([^)]+)\)", README) if "://" not in one]
    assert len(links) > 4
    assert [one for one in links if not (REPOSITORY / one.split("#")[0]).exists()] == []
    folder, seen = PARAMS, set()
    for line in README.splitlines():
        if heading := re.match(r"\| parameter file in `params/(\w+)/`", line):
            folder = PARAMS.parent / heading[1]
        elif name := re.match(r"\| `([^|]+)` ?\|", line):
            for stem in re.findall(r"[\w/-]+", name[1]):
                assert (folder / f"{stem}.yaml").is_file(), stem
                seen.add(folder.name)
    assert seen == {"wlnn", "wann"}


def test_the_python_of_the_readme_works(shared_run):
    from sklearn.datasets import load_digits

    import topoevo

    run, _ = shared_run("small", BLIND, *TINY, "--num_generations", 1)
    images, labels = load_digits(return_X_y=True)
    predicted = topoevo.load_network(run / "champion.json").predict(images)
    assert (predicted == labels.astype(str)).mean() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PATH": "/nonexistent"},
        {"HOME": "/proc/none"},
        {"NUMBA_CACHE_DIR": "/proc/none"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=lambda one: " ".join(one),
)
def test_odd_surroundings(programs, environment):
    done = programs.wlnn(
        PARAMS / "sine-backprop.yaml", *TINY, "--num_generations", 1, "--out_dir", "ü ñ/日本", **environment
    )
    assert "Traceback" not in done.err
    assert (programs.folder / "ü ñ/日本" / "champion.png").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed_are_done_without(tmp_path, closed):
    command = [sys.executable, "-m", "topoevo", "resume", "nowhere"]
    done = subprocess.run(
        f"{shlex.join(command)} {closed}", shell=True, cwd=tmp_path, env=user_environment(), capture_output=True
    )
    assert done.returncode == 2 and b"Traceback" not in done.stderr


def test_the_table_of_settings_is_up_to_date():
    from topoevo.experiment.params import family_table, settings_table

    text = (REPOSITORY / "docs" / "settings.md").read_text("utf-8")
    assert settings_table() in text and text.endswith(family_table("wann")), "run `make docs`"
