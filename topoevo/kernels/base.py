"""What a backend computes.

Samples lie side by side: every matrix is [node, sample], so that one node's activities over a minibatch are one
contiguous run of numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from topoevo.kernels.arrays import Floats
from topoevo.kernels.batches import Batches, StepScores
from topoevo.kernels.candidates import Perturbations, Proposals
from topoevo.kernels.loss import Loss, mean_scores
from topoevo.kernels.optimization import Optimization, OptimizerState
from topoevo.kernels.plasticity import Plasticity
from topoevo.network import Network


class Kernel(ABC):
    """The numerical primitives; a backend implements all of them.

    Shapes: ``weights`` and other edge arrays [num_edges]; ``activities``, ``errors`` [num_nodes, num_samples];
    ``weighted_inputs`` [num_computed, num_samples].
    """

    name: ClassVar[str]

    #: The loops over minibatches; a learning rule names the one that it uses.
    LOOPS: ClassVar[tuple[str, ...]] = ("train", "train_by_perturbations", "train_by_proposals")
    #: The loops over samples that change no weight; prepared like those of `LOOPS`.
    SCORING_LOOPS: ClassVar[tuple[str, ...]] = ("shared_weight_scores",)

    def needs_compilation(self, loop: str = "train") -> bool:
        """Return whether the first training will have to wait for a compiler.

        Parameters
        ----------
        loop
            One of `LOOPS` or `SCORING_LOOPS`.
        """
        return False

    def prepare(self, loop: str = "train") -> None:  # noqa: B027 - a backend may have nothing to prepare
        """Do once, in the calling process, what the first training would otherwise wait for.

        Parameters
        ----------
        loop
            One of `LOOPS` or `SCORING_LOOPS`.
        """

    @abstractmethod
    def forward(self, network: Network, weights: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """Return weighted inputs and activities.

        Parameters
        ----------
        network, weights
            The network and the weight of each edge.
        inputs
            float32 [num_inputs, num_samples], all inputs of the task.
        """

    @abstractmethod
    def output_errors(
        self, loss: Loss, outputs: Floats, targets: NDArray[np.int32] | Floats, *, label_smoothing: float = 0.0
    ) -> Floats:
        """Return each sample's derivative of its loss by each output activity.

        Parameters
        ----------
        loss
            What is minimized.
        outputs
            [num_outputs, num_samples].
        targets
            int32 [1, num_samples] or float32 [num_outputs, num_samples].
        label_smoothing
            See `Optimization`; a squared error knows nothing of it.
        """

    @abstractmethod
    def backward(
        self, network: Network, feedback: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """Return the errors of all nodes: derivatives of the loss by weighted inputs if `feedback` is the weights.

        A node's error is its slope times the sum, over its outgoing edges, of feedback weight times error; an output's
        is its slope times `output_errors`. Rows of inputs and bias are zero.
        """

    @abstractmethod
    def edge_products(self, network: Network, errors: Floats, activities: Floats) -> Floats:
        """Return, for each edge, the sum over samples of its target's error times its source's activity."""

    @abstractmethod
    def direct_errors(
        self, network: Network, direct: Floats, weighted_inputs: Floats, activities: Floats, output_errors: Floats
    ) -> Floats:
        """Return the errors of all nodes where hidden ones get those of the outputs directly.

        An output's error is as in `backward`; a hidden node's is its slope times the sum, over outputs, of `direct`
        [num_hidden, num_outputs] times the output's error.
        """

    @abstractmethod
    def hebbian_changes(self, network: Network, weights: Floats, activities: Floats, *, decorrelate: bool) -> Floats:
        """Return, for each edge j → i into a hidden node, the sum over samples of y_i (x_j - r_ij); 0 for the others.

        r_ij is what is known of the source's activity: w_ij y_i (Oja 1982, eq. 3), or if `decorrelate` the sum of
        w_kj y_k over the hidden nodes k ≤ i with an edge from j, in the order of rows (Sanger 1989, eq. 6).
        """

    @abstractmethod
    def update(
        self,
        optimization: Optimization,
        state: OptimizerState,
        weights: Floats,
        gradient: Floats,
        plastic: NDArray[np.bool_],
        *,
        lr: float,
    ) -> None:
        """Change the plastic `weights` in place by one step and count it in `state`."""

    @abstractmethod
    def train(
        self,
        network: Network,
        weights: Floats,
        plasticity: Plasticity,
        optimization: Optimization,
        state: OptimizerState,
        batches: Batches,
        order: NDArray[np.int32],
        loss: Loss,
    ) -> StepScores:
        """Change `weights` in place by one step a minibatch.

        Where `optimization` has `weight_averaging`, `state` averages the weights besides; to take the average for
        them is left to the caller, when the training is over.

        Parameters
        ----------
        order
            Minibatch of each step, int32 [num_steps].
        """

    @abstractmethod
    def train_by_perturbations(
        self,
        network: Network,
        weights: Floats,
        plastic: NDArray[np.bool_],
        perturbations: Perturbations,
        optimization: Optimization,
        state: OptimizerState,
        batches: Batches,
        order: NDArray[np.int32],
        loss: Loss,
        rng: np.random.Generator,
    ) -> StepScores:
        """Change `weights` in place by one step of an evolution strategy a minibatch.

        With the losses L of the candidates w + σ n (and w - σ n), shaped to A, the optimizer follows the mean over
        candidates of A n, which for raw losses estimates the gradient (Salimans et al. 2017, algorithm 1).

        Parameters
        ----------
        rng
            For each step the noise n of the plastic edges is ``rng.standard_normal((num_noises, num_plastic),
            np.float32)``, one row a candidate or antithetic pair.
        """

    @abstractmethod
    def train_by_proposals(
        self,
        network: Network,
        weights: Floats,
        proposals: Proposals,
        state: OptimizerState,
        batches: Batches,
        order: NDArray[np.int32],
        loss: Loss,
        rng: np.random.Generator,
    ) -> StepScores:
        """Change `weights` in place by Metropolis proposals on every minibatch in turn.

        A proposal that changes the loss of the minibatch by d is accepted with probability min(1, exp(-beta d))
        (Metropolis et al. 1953).

        Parameters
        ----------
        rng
            For each proposal the noise of the edges is ``rng.standard_normal(num_edges, np.float32)``; for a finite
            beta ``rng.random()`` follows.
        """

    @abstractmethod
    def outputs(self, network: Network, weights: Floats, batches: Batches) -> Floats:
        """Return the output activities for all samples, float32 [num_outputs, num_samples]."""

    def shared_weight_outputs(self, network: Network, shared_weights: Floats, batches: Batches) -> Floats:
        """Return the output activities under each of several weights that all edges share.

        Parameters
        ----------
        shared_weights
            float32 [num_weights].

        Returns
        -------
        float32 [num_weights, num_outputs, num_samples]
        """
        outputs = np.empty((len(shared_weights), network.num_outputs, batches.num_samples), np.float32)
        for one, weight in zip(outputs, shared_weights, strict=True):
            one[:] = self.outputs(network, np.full(network.num_edges, weight, np.float32), batches)
        return outputs

    def shared_weight_scores(
        self, network: Network, shared_weights: Floats, batches: Batches, loss: Loss
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean loss and accuracy under each of several weights that all edges share.

        Parameters
        ----------
        shared_weights
            float32 [num_weights].
        batches
            The samples; the means are over all of them, however they are cut.

        Returns
        -------
        losses, accuracies : ndarray of float64 [num_weights]
            Cross entropies by way of log-softmax. A loss that is not finite is returned as it is, and the accuracy
            beside it means nothing. Accuracy is NaN for regression.
        """
        parts = [targets[:, :size] for targets, size in zip(batches.targets, batches.sizes, strict=True)]
        targets = np.concatenate(parts, axis=1)
        outputs = self.shared_weight_outputs(network, shared_weights, batches)
        found = np.array([mean_scores(loss, one, targets) for one in outputs]).reshape(-1, 2)
        return found[:, 0], found[:, 1]
