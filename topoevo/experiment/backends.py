"""Backends that may be missing: what keeps them from working, found out before anything begins."""

from __future__ import annotations

import importlib.util
import socket
from urllib.parse import urlsplit

#: Backends of many machines, with the packages that they need.
CLUSTERS = {"dask": ("dask", "distributed"), "ray": ("ray",)}
#: What an address may begin with.
_PROTOCOLS = {"dask": ("tcp", "tls"), "ray": ()}
_SECONDS_TO_ANSWER = 5.0


def problem(backend: str, address: str | None) -> str | None:
    """Return what keeps a backend from computing, in one sentence; None if nothing.

    Parameters
    ----------
    backend, address
        Legal values of joblib_backend and scheduler_address.
    """
    if any(importlib.util.find_spec(package) is None for package in CLUSTERS.get(backend, ())):
        return f"joblib_backend {backend} is not allowed, {backend} is not installed (pip install 'topoevo[{backend}]')"
    return None if address is None else _unreachable(backend, address)


def _unreachable(backend: str, address: str) -> str | None:
    """Why a scheduler cannot be asked."""
    if backend == "ray" and address == "auto":
        return None
    protocol, _, place = address.rpartition("://")
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or (protocol and protocol not in _PROTOCOLS[backend]):
        protocols = " or ".join(f"{name}://" for name in _PROTOCOLS[backend])
        before = f", with {protocols} before it or without" if protocols else ""
        return (
            f"scheduler_address {address!r} is not allowed with joblib_backend {backend}, must be a machine and a port,"
            f" such as 'node1:8786'{before}"
        )
    try:
        socket.create_connection((host, port), _SECONDS_TO_ANSWER).close()
    except OSError as error:
        return f"nobody answers at scheduler_address {address!r}: {error.strerror or error}"
    return None
