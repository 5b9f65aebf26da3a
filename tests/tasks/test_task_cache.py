"""Downloads from a server on this machine: checksums, mirrors that are dead or wrong, and what is said."""

from __future__ import annotations

import hashlib
import logging
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from topoevo.errors import TaskError
from topoevo.tasks import DataSettings, load_task
from topoevo.tasks.cache import cached_array, download
from topoevo.tasks.mnist import FILES, Mnist

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Return the served folder and its address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "right").mkdir()
    (folder / "right" / "file").write_bytes(CONTENT)
    (folder / "wrong").mkdir()
    (folder / "wrong" / "file").write_bytes(CONTENT[:-1])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def dead_address() -> str:
    """Return an address that nobody listens to."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def fetch(mirrors, folder, said=None):
    return download(
        "file", sha256=SHA256, mirrors=mirrors, folder=folder, on_progress=(said if said is not None else []).append
    )


def test_right_checksum(server, tmp_path):
    said: list[str] = []
    path = fetch([f"{server[1]}/right/"], tmp_path / "kept", said)
    assert path.read_bytes() == CONTENT
    assert said and "of 0.5 MB" in said[0]


def test_wrong_checksum_leaves_no_file(server, tmp_path):
    with pytest.raises(TaskError, match="another checksum"):
        fetch([f"{server[1]}/wrong/"], tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_dead_wrong_and_empty_mirrors_are_passed_over(server, tmp_path):
    mirrors = [dead_address(), f"{server[1]}/wrong/", f"{server[1]}/nothing/", f"{server[1]}/right/"]
    assert fetch(mirrors, tmp_path / "kept").read_bytes() == CONTENT


def test_all_mirrors_dead_says_what_each_answered(server, tmp_path):
    with pytest.raises(TaskError, match=r"no connection; .*/nothing/: answered 404"):
        fetch([dead_address(), f"{server[1]}/nothing/"], tmp_path / "kept")


def test_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "kept").write_text("")
    with pytest.raises(TaskError, match="cannot be made"):
        fetch([f"{server[1]}/right/"], tmp_path / "kept")


def test_pooch_says_nothing_itself(server, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        fetch([f"{server[1]}/right/"], tmp_path / "kept")
    assert not [record for record in caplog.records if record.name == "pooch"]


def test_a_data_set_is_downloaded_once(server, small_files, monkeypatch, cache):
    folder, address = server
    for name in FILES:
        (small_files[0] / name).rename(folder / "right" / name)
    hashes = {name: hashlib.sha256((folder / "right" / name).read_bytes()).hexdigest() for name in FILES}
    monkeypatch.setattr(Mnist, "hashes", hashes)
    monkeypatch.setattr(Mnist, "mirrors", (dead_address(), f"{address}/right/"))
    said: list[str] = []
    task = load_task(DataSettings("mnist"), said.append)
    assert len(task.train) == 60
    assert all(any(name in text for text in said) for name in FILES)
    monkeypatch.setattr(Mnist, "mirrors", ())
    assert len(load_task(DataSettings("mnist")).test) == 20
    assert {path.name for path in (cache / "mnist").iterdir()} == set(FILES)


def test_array_is_computed_once_and_mapped():
    calls = []

    def compute():
        calls.append(1)
        return np.arange(6, dtype=np.float32).reshape(2, 3)

    first, second = (cached_array("numbers", (2, 3), compute) for _ in range(2))
    assert len(calls) == 1
    assert isinstance(second, np.memmap) and not second.flags.writeable
    assert first.tolist() == second.tolist() == [[0, 1, 2], [3, 4, 5]]
    other = cached_array("numbers", (1, 3), lambda: np.ones((1, 3), np.float32))
    assert other.tolist() == [[1, 1, 1]]


def test_what_cannot_be_kept_is_told(cache):
    said = []
    computed = []

    def array():
        return cached_array("key", (2, 3), lambda: computed.append(1) or np.ones((2, 3), np.float32), say=said.append)

    cache.write_text("a file in the place of the folder")
    assert (array() == 1).all() and (array() == 1).all()
    assert len(computed) == len(said) == 2
    assert (
        said[0].startswith(f"warning: {cache / 'prepared' / 'key.npy'} cannot be written") and "every time" in said[0]
    )
    cache.unlink()
    (cache / "prepared" / "key.npy").mkdir(parents=True)
    assert (array() == 1).all() and len(said) == 3
    (cache / "prepared" / "key.npy").rmdir()
    assert (array() == 1).all() and (array() == 1).all()
    assert (len(computed), len(said)) == (4, 3)


def test_what_a_killed_process_has_left_is_deleted(cache):
    folder = cache / "prepared"
    folder.mkdir(parents=True)
    code = "import os, signal, sys\nfrom topoevo.disk import replaced_file\nfrom pathlib import Path\n"
    code += "with replaced_file(Path(sys.argv[1])) as file:\n    file.write(b'half')\n    os.kill(os.getpid(), 9)\n"
    subprocess.run([sys.executable, "-c", code, folder / "other.npy"], check=False)
    assert len(list(folder.iterdir())) == 1
    cached_array("key", (2, 3), lambda: np.ones((2, 3), np.float32))
    assert [path.name for path in folder.iterdir()] == ["key.npy"]
