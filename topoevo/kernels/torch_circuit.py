"""A network in PyTorch: layers of dense products that autograd can follow.

Activation functions are torch's own, and their slopes come from autograd; nothing of the arithmetic is shared with the
other backends. Within a circuit the nodes have an order of their own, by layer and activation, so that a layer is one
product and one call per activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.errors import KernelError
from topoevo.kernels.loss import Loss
from topoevo.network import Network


def _step(z: Tensor) -> Tensor:
    """1 above 0, else 0; NaN stays."""
    return torch.where(z.isnan(), z, (z > 0).to(z.dtype))


#: Activation functions by name. Where two slopes meet, torch has 0 for relu as the table of topoevo does, and 0 for abs
#: where that has -1.
FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "linear": lambda z: z,
        "step": _step,
        "sine": lambda z: torch.sin(math.pi * z),
        "cosine": lambda z: torch.cos(math.pi * z),
        "gaussian": lambda z: torch.exp(-0.5 * z * z),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "inverse": torch.neg,
        "abs": torch.abs,
        "relu": torch.relu,
    }
)


class FeedbackProduct(torch.autograd.Function):  # type: ignore[misc]
    """A product that sends errors back along other weights than it sends activities forward."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, feedback: Tensor, activities: Tensor) -> Tensor:
        """Return ``matrix @ activities``."""
        ctx.save_for_backward(feedback, activities)
        return matrix @ activities

    @staticmethod
    def backward(ctx: Any, errors: Tensor) -> tuple[Tensor, None, Tensor]:
        """Return the products of errors and activities, and the errors along the feedback."""
        feedback, activities = ctx.saved_tensors
        return errors @ activities.mT, None, feedback.mT @ errors


class _Layer(NamedTuple):
    """Nodes that are computed together.

    Parameters
    ----------
    edges, places
        The edges into the layer, and where the flattened matrix has them, int64 [num_layer_edges].
    sources
        Positions of the nodes that the layer hears, each once, int64 [num_heard].
    functions, counts
        Activation functions, and how many nodes in turn have each.
    """

    edges: Tensor
    places: Tensor
    sources: Tensor
    functions: tuple[Callable[[Tensor], Tensor], ...]
    counts: tuple[int, ...]

    def matrix(self, weights: Tensor) -> Tensor:
        """Weights [..., num_edges] as a matrix [..., num_layer_nodes, num_heard]."""
        shape = (*weights.shape[:-1], sum(self.counts), len(self.sources))
        flat = weights.new_zeros((*shape[:-2], shape[-2] * shape[-1]))
        return flat.index_copy(-1, self.places, weights.index_select(-1, self.edges)).view(shape)

    def activate(self, z: Tensor) -> Tensor:
        """Activities of weighted inputs [..., num_layer_nodes, num_samples]."""
        parts = z.split(self.counts, -2)
        return torch.cat([function(part) for function, part in zip(self.functions, parts, strict=True)], -2)


class Circuit:
    """A network on a device.

    Parameters
    ----------
    network
        The network; its rows keep their order outside.
    device
        Torch's name of the device.

    Raises
    ------
    KernelError
        If an activation has no function here.
    """

    def __init__(self, network: Network, device: str) -> None:
        first = network.num_sources
        self.num_sources, self.num_nodes = first, network.num_nodes
        layer = network.layer[first:]
        order = first + np.lexsort((network.activation, layer))
        position = np.arange(network.num_nodes)
        position[order] = np.arange(first, network.num_nodes)
        self._device = device
        self.source, self.target = self._indices(network.source), self._indices(network.target)
        self.into_output = self._indices(network.into_output).bool()
        #: Network row of each computed node, and position of each network row.
        self.computed, self.position = self._indices(order), self._indices(position)
        self.hidden = self.position[first : network.num_nodes - network.num_outputs]
        self.outputs = self.position[network.num_nodes - network.num_outputs :]
        self._layers = [self._layer(network, order[layer[order - first] == k], position) for k in np.unique(layer)]

    def _indices(self, array: NDArray[Any]) -> Tensor:
        """Whole numbers on the device."""
        return torch.from_numpy(array.astype(np.int64)).to(self._device)

    def _layer(self, network: Network, rows: NDArray[np.int64], position: NDArray[np.int64]) -> _Layer:
        """The layer that has these rows of the network, in the order of positions."""
        edges = np.flatnonzero(network.layer[network.target] == network.layer[rows[0]])
        sources, column = np.unique(position[network.source[edges]], return_inverse=True)
        places = (position[network.target[edges]] - position[rows[0]]) * len(sources) + column
        codes, counts = np.unique(network.activation[rows - network.num_sources], return_counts=True)
        names = [ACTIVATIONS_BY_CODE[code].name for code in codes]
        for name in names:
            if name not in FUNCTIONS:
                raise KernelError(f"activation {name!r} has no function in topoevo/kernels/torch_circuit.py")
        return _Layer(
            self._indices(edges),
            self._indices(places),
            self._indices(sources),
            tuple(FUNCTIONS[name] for name in names),
            tuple(counts.tolist()),
        )

    def flow(
        self,
        weights: Tensor,
        sources: Tensor,
        *,
        feedback: Tensor | None = None,
        offsets: Tensor | None = None,
        local: bool = False,
    ) -> tuple[list[Tensor], Tensor]:
        """Return weighted inputs layer by layer, and the activities of all nodes in the order of positions.

        Parameters
        ----------
        weights
            [..., num_edges]; leading dimensions stand for other weightings of the network.
        sources
            Activities of inputs and bias, [num_sources, num_samples].
        feedback
            Weights that errors travel back along, [..., num_edges]; None stands for `weights`.
        offsets
            Added to the weighted inputs, [num_computed, num_samples] in the order of positions.
        local
            Whether errors stay in the layer where they arise.
        """
        activities = sources.expand(*weights.shape[:-1], *sources.shape)
        weighted_inputs = []
        for layer in self._layers:
            matrix = layer.matrix(weights)
            heard = activities.index_select(-2, layer.sources)
            if local:
                heard = heard.detach()
            z = matrix @ heard if feedback is None else FeedbackProduct.apply(matrix, layer.matrix(feedback), heard)
            if offsets is not None:
                done = activities.shape[-2] - self.num_sources
                z = z + offsets[done : done + z.shape[-2]]
            weighted_inputs.append(z)
            activities = torch.cat([activities, layer.activate(z)], -2)
        return weighted_inputs, activities

    def scores(self, loss: Loss, weights: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
        """Return mean losses and accuracies, float64 [2, ...], of weights [..., num_edges]."""
        with torch.no_grad():
            _, activities = self.flow(weights, sources)
            return mean_scores(loss, activities.index_select(-2, self.outputs), targets)

    def hebbian_changes(self, weights: Tensor, activities: Tensor, *, decorrelate: bool) -> Tensor:
        """Return what `Kernel.hebbian_changes` does, with `activities` [num_nodes, num_samples] in network order.

        Oja's rule is YXᵀ - diag(YYᵀ) W, Sanger's YXᵀ - tril(YYᵀ) W, at the edges that there are.
        """
        row, column = self.target - self.num_sources, self.source
        computed = activities[self.num_sources :]
        products = computed @ activities.T
        alike = products[:, self.num_sources :]
        matrix = torch.zeros_like(products)
        matrix[row, column] = weights
        explained = alike.tril() @ matrix if decorrelate else alike.diagonal()[:, None] * matrix
        return torch.where(self.into_output, 0.0, (products - explained)[row, column])


def sample_losses(loss: Loss, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the loss of every sample, [..., num_samples].

    Parameters
    ----------
    loss
        What is minimized.
    outputs
        [..., num_outputs, num_samples].
    targets
        int64 [1, num_samples], or values [num_outputs, num_samples].
    label_smoothing
        Of a cross entropy; see `Optimization`.
    """
    if loss is Loss.CROSS_ENTROPY:
        scores = torch.log_softmax(outputs, -2)
        right = scores.gather(-2, targets.expand(*scores.shape[:-2], *targets.shape)).squeeze(-2)
        if label_smoothing:
            right = (1.0 - label_smoothing) * right + label_smoothing * scores.mean(-2)
        return -right
    if loss is Loss.CLASS_SQUARED_ERROR:
        targets = torch.nn.functional.one_hot(targets[0], outputs.shape[-2]).T
    return (outputs - targets).square().mean(-2)


def mean_scores(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return mean losses and accuracies, float64 [2, ...]; the accuracy of a regression is NaN."""
    losses = sample_losses(loss, outputs.detach(), targets).double().mean(-1)
    if not loss.has_classes:
        return torch.stack([losses, torch.full_like(losses, math.nan)])
    return torch.stack([losses, (outputs.argmax(-2) == targets[0]).double().mean(-1)])
