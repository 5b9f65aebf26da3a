"""Layered networks of which connections come and go while they learn: what pruning, RigL and random networks share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from frontier_methods.problem import Problem, Score
from topoevo.genome import Genome
from topoevo.genome.dense import dense_genome
from topoevo.genome.genes import HIDDEN
from topoevo.kernels import Optimization, OptimizerState, Plasticity
from topoevo.learning.initialization import initial_weights
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network, compile_network

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Configuration:
    """A way to train one network.

    Parameters
    ----------
    hidden
        Nodes of each hidden layer of relu; none connects inputs and outputs directly.
    lr, weight_decay
        Of AdamW; the rate falls like half a cosine, and the decay ends when the topology is fixed.
    spread
        Of RigL and random networks: how connections are spread over the layers, ``erk`` (Evci et al. 2020, section 3),
        ``uniform``, or ``global``: at first as ``erk``, but dropped and grown wherever it is best.
    """

    hidden: tuple[int, ...]
    lr: float
    weight_decay: float
    spread: str = ""

    @property
    def words(self) -> str:
        """For tables."""
        hidden = "-".join(map(str, self.hidden)) or "none"
        return f"hidden {hidden}, lr {self.lr:g}, decay {self.weight_decay:g}" + (
            f", {self.spread}" if self.spread else ""
        )

    def optimization(self) -> Optimization:
        """Return the weight update; squared gradients are averaged over some 100 steps."""
        named = make_optimization("adamw", lr=self.lr, weight_decay=self.weight_decay, lr_schedule="cosine")
        return replace(named, second_decay=0.99)


@dataclass(frozen=True)
class Found:
    """A network that a method ends with.

    Parameters
    ----------
    genome
        With weights, without anything that takes no part.
    validation
        Its score on the validation samples.
    configuration
        How it was found, in words.
    passes
        Samples that went forwards and backwards to find it.
    """

    genome: Genome
    validation: Score
    configuration: str
    passes: int


class LayeredTraining:
    """A layered network with a bias into every node, some of its connections present, while it learns.

    Parameters
    ----------
    problem
        Samples and backend.
    configuration
        Layers and optimizer.
    rng
        Draws the weights, of all connections at first, and the order of minibatches.

    Attributes
    ----------
    weights, first, second
        Weight of every gene and the optimizer's two averages, float32 [num_genes]; 0 where absent.
    present
        Which genes there are, bool [num_genes]; those of the bias always.
    counted
        Which genes do not start at the bias node, bool [num_genes].
    order
        Minibatch of each step of the whole training, int32 [num_steps].
    step
        Steps taken so far.
    passes
        Samples that went forwards and backwards so far.
    """

    def __init__(self, problem: Problem, configuration: Configuration, rng: np.random.Generator) -> None:
        task = problem.task
        self.problem = problem
        self.genome = dense_genome(task.num_inputs, configuration.hidden, task.num_outputs, bias=True)
        self.counted: Mask = self.genome.connections["source"] != self.genome.bias_id
        sizes = [task.num_inputs, *configuration.hidden, task.num_outputs]
        #: Layer of connections that each counted gene belongs to, int [num_counted]; their sizes (sources, targets).
        self.shapes = list(pairwise(sizes))
        self.layer = np.repeat(np.arange(len(self.shapes)), [sources * targets for sources, targets in self.shapes])
        self.present: Mask = np.ones(len(self.counted), np.bool_)
        self.optimization = configuration.optimization()
        self.order = problem.minibatches(rng)
        self.step = self.passes = 0
        self.weights = np.zeros(len(self.counted), np.float32)
        self.first, self.second = self.weights.copy(), self.weights.copy()
        self.draw_weights(rng)

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return len(self.order)

    @property
    def size(self) -> int:
        """Connections on a path from an input to an output, those from the bias node not counted."""
        return self._size(self.present)

    def draw_weights(self, rng: np.random.Generator) -> None:
        """Draw the weights of the present connections by the real number of those that end at the same node."""
        network = self.network()
        self.weights[network.gene] = initial_weights(network, "he", rng)

    def network(self, present: Mask | None = None) -> Network:
        """Return the network of the present genes, or of others, as far as they are on a path."""
        connections = self.genome.connections.copy()
        connections["enabled"] = self.present if present is None else present
        return compile_network(Genome(self.genome.nodes, connections))

    def on_path(self, present: Mask) -> Mask:
        """Return which of the genes lie on a path from an input to an output if those of a mask are present."""
        enabled = present.copy()
        enabled.flags.writeable = False
        return replace(self.genome.graph, enabled=enabled).active[1]

    def warm_up(self, num_steps: int) -> None:
        """Take first steps with a rate that rises from a twentieth to the whole; the optimizer then begins anew."""
        rising = replace(self.optimization, lr=self.optimization.lr / 20, final_lr_ratio=20.0)
        self._train(self.order[:num_steps], rising, OptimizerState.zeros(0, num_steps))
        self.first[:] = self.second[:] = 0

    def train_until(self, step: int) -> None:
        """Go on to a step of the whole training."""
        state = OptimizerState.zeros(0, self.num_steps)
        state.steps = self.step
        self._train(self.order[self.step : step], self.optimization, state)
        self.step = max(step, self.step)

    def release(self) -> None:
        """End the weight decay."""
        self.optimization = replace(self.optimization, weight_decay=0.0)

    def leave(self, present: Mask) -> None:
        """Make these genes the present ones; what is absent is forgotten, and what is new begins with weight 0."""
        self.present = present
        for values in (self.weights, self.first, self.second):
            values[~present] = 0

    def prune(self, num_connections: int, saliency: NDArray[np.float32]) -> None:
        """Remove the connections of lowest saliency until so many are on a path; those on none go, too.

        Where that number cannot be had exactly, fewer remain.

        Parameters
        ----------
        num_connections
            What remains.
        saliency
            Of every gene, float [num_genes].
        """
        present = self.on_path(self.present)
        genes = np.flatnonzero(present & self.counted)
        genes = genes[np.argsort(saliency[genes], kind="stable")]
        low, high = 0, len(genes)
        while high - low > 1:
            middle = (low + high) // 2
            if self._size(_without(present, genes[:middle])) >= num_connections:
                low = middle
            else:
                high = middle
        present = self.on_path(_without(present, genes[:low]))
        for gene in genes[low:]:
            if self._size(present) == num_connections:
                break
            fewer = self.on_path(_without(present, gene))
            if self._size(fewer) >= num_connections:
                present = fewer
        for gene in genes[low:]:
            if self._size(present) <= num_connections:
                break
            present = self.on_path(_without(present, gene))
        self.leave(present | ~self.counted)

    def fill(self, num_connections: int, key: NDArray[np.float64]) -> None:
        """Drop what is on no path, and add connections between nodes on paths until so many are there.

        Parameters
        ----------
        num_connections
            What is wanted, of those on a path.
        key
            Of every gene, float [num_genes]; the largest are added first.
        """
        present, graph, nodes = self.on_path(self.present), self.genome.graph, self.genome.nodes
        used = np.ones(len(nodes), np.bool_)
        used[nodes["role"] == HIDDEN] = False
        used[graph.source[present]] = used[graph.target[present]] = True
        free = np.flatnonzero(~present & self.counted & used[graph.source] & used[graph.target])
        missing = max(num_connections - self._size(present), 0)
        present = present | ~self.counted
        present[free[np.argsort(-key[free], kind="stable")[:missing]]] = True
        self.leave(present)

    def slopes(self, rng: np.random.Generator, num_samples: int = 1024) -> NDArray[np.float64]:
        """Return |gradient| of the loss by every weight, of absent connections, too, float64 [num_genes].

        Parameters
        ----------
        rng
            Draws the samples.
        num_samples
            On how many.
        """
        train, kernel, network = self.problem.task.train, self.problem.kernel, self._dense
        rows = rng.choice(len(train), min(num_samples, len(train)), replace=False)
        inputs = np.ascontiguousarray(train.inputs[rows].T)
        targets = np.ascontiguousarray(train.targets[rows].T.reshape(-1, len(rows)))
        weights = self.weights[network.gene]
        sums, activities = kernel.forward(network, weights, inputs)
        outputs = activities[-network.num_outputs :]
        errors = kernel.backward(
            network, weights, sums, activities, kernel.output_errors(self.problem.loss, outputs, targets)
        )
        found = np.zeros(len(self.counted))
        found[network.gene] = np.abs(kernel.edge_products(network, errors, activities))
        self.passes += len(rows)
        return found

    def found(self, configuration: str) -> Found:
        """Return what the training has led to."""
        used = self.on_path(self.present)
        connections = self.genome.connections[used]
        connections["weight"] = self.weights[used]
        nodes = self.genome.nodes
        ends = np.concatenate([connections["source"], connections["target"]])
        genome = Genome(nodes[(nodes["role"] != HIDDEN) | np.isin(nodes["id"], ends)], connections)
        return Found(genome, self.problem.score_genome("validation", genome), configuration, self.passes)

    def _train(self, order: NDArray[np.int32], optimization: Optimization, state: OptimizerState) -> None:
        """Take a step with each minibatch of `order`."""
        if not len(order):
            return
        network = self.network()
        gene = network.gene
        weights, state.first, state.second = self.weights[gene], self.first[gene], self.second[gene]
        plasticity, batches = Plasticity(np.ones(len(gene), np.bool_)), self.problem.batches
        self.problem.kernel.train(network, weights, plasticity, optimization, state, batches, order, self.problem.loss)
        self.weights[gene], self.first[gene], self.second[gene] = weights, state.first, state.second
        self.passes += int(batches.sizes[order].sum())

    def _size(self, present: Mask) -> int:
        """Counted genes that lie on a path if those of a mask are present."""
        return int(np.count_nonzero(self.on_path(present) & self.counted))

    @cached_property
    def _dense(self) -> Network:
        """The network of all genes."""
        return self.network(np.ones(len(self.counted), np.bool_))


def _without(present: Mask, genes: NDArray[np.intp] | np.intp) -> Mask:
    """A mask without some genes."""
    fewer = present.copy()
    fewer[genes] = False
    return fewer
