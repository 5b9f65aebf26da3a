"""Backends: implementations of the few numerical primitives that carry every learning rule."""

from __future__ import annotations

import importlib
from types import MappingProxyType

from topoevo.errors import UnknownNameError
from topoevo.kernels.base import (
    Batches,
    Kernel,
    Loss,
    Optimization,
    OptimizerState,
    Perturbations,
    Plasticity,
    Proposals,
    Schedule,
    Shaping,
    StepScores,
    UpdateRule,
)

__all__ = [
    "KERNELS",
    "Batches",
    "Kernel",
    "Loss",
    "Optimization",
    "OptimizerState",
    "Perturbations",
    "Plasticity",
    "Proposals",
    "Schedule",
    "Shaping",
    "StepScores",
    "UpdateRule",
    "load_kernel",
]

#: Module of each backend; imported when it is asked for, because numba alone takes half a second.
KERNELS = MappingProxyType({"numba": "topoevo.kernels.compiled", "reference": "topoevo.kernels.reference"})


def load_kernel(name: str) -> Kernel:
    """Return the backend `name`.

    Raises
    ------
    UnknownNameError
        If there is no such backend.
    """
    if name not in KERNELS:
        raise UnknownNameError("kernel", name, KERNELS)
    kernel: Kernel = importlib.import_module(KERNELS[name]).KERNEL
    return kernel
