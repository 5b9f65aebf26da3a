"""The backend in PyTorch on a GPU."""

from __future__ import annotations

from typing import ClassVar

from topoevo.kernels.torch_backend import TorchKernel


class TorchCudaKernel(TorchKernel):
    """The same computation on the CUDA device that torch takes by default."""

    name: ClassVar[str] = "torch_cuda"
    device: ClassVar[str] = "cuda"


KERNEL = TorchCudaKernel()
