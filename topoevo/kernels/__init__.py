"""Backends: implementations of the few numerical primitives that carry every learning rule."""

from __future__ import annotations

import importlib
import importlib.util
from types import MappingProxyType

from topoevo.errors import KernelError, UnknownNameError
from topoevo.kernels.base import Kernel
from topoevo.kernels.batches import Batches, StepScores
from topoevo.kernels.candidates import Perturbations, Proposals, Shaping
from topoevo.kernels.loss import Loss
from topoevo.kernels.optimization import Optimization, OptimizerState, Schedule, UpdateRule
from topoevo.kernels.plasticity import Plasticity

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
    "obstacle",
]

#: Module of each backend; imported when it is asked for, because numba alone takes half a second.
KERNELS = MappingProxyType(
    {
        "numba": "topoevo.kernels.compiled",
        "reference": "topoevo.kernels.reference",
        "torch": "topoevo.kernels.torch_backend",
        "torch_cuda": "topoevo.kernels.torch_cuda",
    }
)


def obstacle(name: str) -> str | None:
    """Return what keeps the backend `name` from computing here, in words that continue a sentence; None if nothing."""
    if not name.startswith("torch"):
        return None
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed (pip install 'topoevo[torch]')"
    if name == "torch_cuda":
        import torch

        if not torch.cuda.is_available():
            return "PyTorch sees no GPU" if torch.backends.cuda.is_built() else "this PyTorch is built without CUDA"
    return None


def load_kernel(name: str) -> Kernel:
    """Return the backend `name`.

    Raises
    ------
    UnknownNameError
        If there is no such backend.
    KernelError
        If it cannot compute here.
    """
    if name not in KERNELS:
        raise UnknownNameError("kernel", name, KERNELS)
    reason = obstacle(name)
    if reason is not None:
        raise KernelError(f"kernel {name} is not available: {reason}")
    kernel: Kernel = importlib.import_module(KERNELS[name]).KERNEL
    return kernel
