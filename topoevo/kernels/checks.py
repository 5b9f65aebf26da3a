"""What a backend is given must fit together; compiled code does not check its indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import KernelError
from topoevo.kernels.arrays import Floats
from topoevo.kernels.batches import Batches
from topoevo.kernels.loss import Loss
from topoevo.kernels.optimization import OptimizerState
from topoevo.kernels.plasticity import Plasticity
from topoevo.network import Network


def check_edges(network: Network, **arrays: NDArray[Any] | None) -> None:
    """Check that arrays have a number for every edge.

    Raises
    ------
    KernelError
        With the name of the first that has not.
    """
    check_shapes({name: (array, (network.num_edges,)) for name, array in arrays.items() if array is not None})


def check_shapes(arrays: Mapping[str, tuple[NDArray[Any], tuple[int, ...]]]) -> None:
    """Check that arrays, given by name, have the shapes beside them.

    Raises
    ------
    KernelError
        With the name of the first that has not.
    """
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise KernelError(f"{name}: the shape is {array.shape}, the network needs {shape}")


def check_plasticity(network: Network, plasticity: Plasticity) -> None:
    """Check that a rule's arrays are those of the network.

    Raises
    ------
    KernelError
        If one has another shape.
    """
    p = plasticity
    check_edges(network, plastic=p.plastic, feedback=p.feedback, hebbian=p.hebbian)
    if p.direct is not None:
        num_hidden = network.num_nodes - network.num_sources - network.num_outputs
        check_shapes({"direct": (p.direct, (num_hidden, network.num_outputs))})


def check_state(network: Network, state: OptimizerState) -> None:
    """Check that what an optimizer remembers belongs to the network.

    Raises
    ------
    KernelError
        If it has another number of edges.
    """
    check_edges(network, first=state.first, second=state.second, weight_sum=state.weight_sum)


def check_inputs(network: Network, num_inputs: int) -> None:
    """Check that samples have the network's number of inputs.

    Raises
    ------
    KernelError
        If they have not.
    """
    if num_inputs != network.num_inputs:
        raise KernelError(f"the samples have {num_inputs} inputs, the network has {network.num_inputs}")


def check_targets(num_outputs: int, loss: Loss, targets: NDArray[np.int32] | Floats) -> None:
    """Check that targets, [..., classes or values, num_samples], fit a network's outputs.

    Raises
    ------
    KernelError
        If a class index is no output, or the number of values is not that of the outputs.
    """
    if loss.has_classes:
        if not np.issubdtype(targets.dtype, np.integer) or targets.shape[-2] != 1:
            raise KernelError(f"class indices are whole numbers, one a sample; got {targets.dtype} {targets.shape}")
        if targets.size and not 0 <= targets.min() <= targets.max() < num_outputs:
            raise KernelError(
                f"class indices go from {targets.min()} to {targets.max()}, the network has {num_outputs} outputs"
            )
    elif targets.shape[-2] != num_outputs:
        raise KernelError(f"the samples have {targets.shape[-2]} targets, the network has {num_outputs} outputs")


def check_training(network: Network, weights: Floats, batches: Batches, order: NDArray[np.int32], loss: Loss) -> None:
    """Check that weights, samples and the order of minibatches fit a network.

    Raises
    ------
    KernelError
        With what does not.
    """
    check_edges(network, weights=weights)
    check_inputs(network, batches.inputs.shape[1])
    check_targets(network.num_outputs, loss, batches.targets)
    if len(order) and not 0 <= order.min() <= order.max() < batches.num_batches:
        raise KernelError(
            f"minibatches go from {order.min()} to {order.max()}, there are {batches.num_batches} of them"
        )
