"""Backends to be proven; one that cannot compute here is skipped, with the reason."""

from __future__ import annotations

from functools import cache

import pytest

from topoevo.kernels import KERNELS, Kernel, load_kernel, obstacle


@cache
def prepared(name: str) -> Kernel:
    """Return a backend that is ready."""
    kernel = load_kernel(name)
    for loop in Kernel.LOOPS:
        kernel.prepare(loop)
    return kernel


def available(request: pytest.FixtureRequest) -> Kernel:
    """Return the backend that a fixture stands for, if it can compute here."""
    reason = obstacle(request.param)
    if reason is not None:
        pytest.skip(reason)
    return prepared(request.param)


@pytest.fixture(params=[name for name in KERNELS if name != "reference"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return a backend to be proven."""
    return available(request)


@pytest.fixture(params=list(KERNELS))
def any_kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return a backend, be it the reference."""
    return available(request)
