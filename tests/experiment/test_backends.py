"""What keeps a cluster from computing, said before anything begins."""

from __future__ import annotations

import socket
from unittest.mock import patch

import pytest

from topoevo.experiment import backends
from topoevo.experiment.params import Params


@pytest.mark.parametrize(("backend", "extra"), [("dask", "dask"), ("ray", "ray")])
def test_a_missing_extra_is_named(backend, extra):
    with patch("importlib.util.find_spec", return_value=None):
        assert backends.problem(backend, None) == (
            f"joblib_backend {backend} is not allowed, {backend} is not installed (pip install 'topoevo[{extra}]')"
        )
        assert backends.problem("threading", None) is None and backends.problem("loky", None) is None


@pytest.mark.parametrize("address", ["node1", "node1:", "node1:99999", "ftp://node1:8786", ":8786", "tcp://"])
def test_what_is_no_address_is_refused(address):
    with patch("importlib.util.find_spec"):
        assert backends.problem("dask", address) == (
            f"scheduler_address {address!r} is not allowed with joblib_backend dask, must be a machine and a port, such"
            " as 'node1:8786', with tcp:// or tls:// before it or without"
        )


def test_ray_has_no_protocols_but_a_word_of_its_own():
    with patch("importlib.util.find_spec"):
        assert backends.problem("ray", "auto") is None
        assert "must be a machine and a port" in str(backends.problem("ray", "ray://node1:10001"))


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "tcp://127.0.0.1:{}", "tls://127.0.0.1:{}"])
def test_somebody_has_to_listen(form):
    with socket.create_server(("127.0.0.1", 0)) as server, patch("importlib.util.find_spec"):
        address = form.format(server.getsockname()[1])
        assert backends.problem("dask", address) is None
        server.close()
        assert backends.problem("dask", address) == (
            f"nobody answers at scheduler_address {address!r}: Connection refused"
        )


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_an_address_needs_a_cluster(backend):
    with pytest.raises(ValueError, match="contradictory settings"):
        Params(joblib_backend=backend, scheduler_address="node1:8786")
    assert Params(joblib_backend="dask", scheduler_address="node1:8786").scheduler_address == "node1:8786"
