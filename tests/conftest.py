"""What the tests share: random evolved genomes and networks, data to train on, and the backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.genome import Genome, InnovationTracker, Role, minimal_genome
from topoevo.kernels import Batches, Kernel, load_kernel
from topoevo.network import Network, compile_network
from topoevo.variation import MUTATIONS, Evidence, Mutation


def _operator(name: str, **wishes: object) -> Mutation:
    """Return an operator with those of the wishes that are options of it."""
    known = {field.name for field in fields(MUTATIONS[name])}
    return MUTATIONS[name](**{key: value for key, value in wishes.items() if key in known})


@pytest.fixture(scope="session")
def make_operator() -> Callable[..., Mutation]:
    """Return ``make_operator(name, **options)``; options that an operator lacks are ignored."""
    return _operator


@pytest.fixture(scope="session")
def evolve() -> Callable[..., Genome]:
    """Return ``evolve(seed, ...)``: a genome after many random mutations, a function of its arguments alone."""

    def build(
        seed: int,
        *,
        num_inputs: int = 5,
        num_outputs: int = 3,
        num_mutations: int = 40,
        bias: bool = True,
        activations: tuple[str, ...] = tuple(ACTIVATIONS),
        output_activation: str = "linear",
        p_enabled: float = 0.4,
        p_remove: float = 0.1,
        weight_std: float | None = 0.7,
    ) -> Genome:
        rng = np.random.default_rng(seed)
        tracker = InnovationTracker()
        genome = minimal_genome(
            num_inputs,
            num_outputs,
            p_enabled=p_enabled,
            tracker=tracker,
            rng=rng,
            bias=bias,
            output_activation=output_activation,
        )
        wishes = {"activations": activations, "output_connections": True, "bias": bias}
        p = {"add_connection": 0.45, "add_node": 0.35, "change_activation": 0.1, "remove_connection": p_remove}
        names = list(p)
        chances = np.array(list(p.values()))
        for _ in range(num_mutations):
            name = names[int(rng.choice(len(names), p=chances / chances.sum()))]
            genome = _operator(name, **wishes)(genome, tracker, rng) or genome
        if weight_std is not None:
            weights = rng.normal(0.0, weight_std, len(genome.connections)).astype(np.float32)
            genome = genome.with_weights(weights)
        return genome

    return build


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., Evidence]:
    """Return ``make_evidence(seed, genome, ...)``: random evidence about a genome's active part.

    With `stale`, it names genes that are gone, too, and absent connections that exist, close a cycle, or cannot be.
    """

    def build(seed: int, genome: Genome, *, num_absent: int = 60, stale: bool = False) -> Evidence:
        rng = np.random.default_rng(seed)
        part, ids = genome.active_part(), genome.nodes["id"]
        innovation, node = part.connections["innovation"], part.nodes["id"]
        nodes, _ = genome.active
        takes_part = nodes | (genome.role == Role.INPUT)
        open_pairs = genome.graph.open_pairs(output_connections=True)
        pairs = [open_pairs.pair(number) for number in range(open_pairs.num_pairs)]
        absent = np.array([ids[[*pair]] for pair in pairs if takes_part[[*pair]].all()], np.int32).reshape(-1, 2)
        hidden = ids[nodes & (genome.role == Role.HIDDEN)]
        similar = np.array([(a, b) for a in hidden for b in hidden if a < b], np.int32).reshape(-1, 2)
        if stale:
            innovation, node = np.append(innovation, [70_000, 80_000]), np.append(node, [70_000, 80_000])
            ends = np.stack([genome.connections["source"], genome.connections["target"]], axis=1)
            anything = rng.choice(np.append(ids, 70_000), (40, 2)).astype(np.int32)
            absent = np.concatenate([absent, ends, ends[:, ::-1], anything])
            similar = np.concatenate([similar, anything])
        absent = np.unique(absent, axis=0)
        absent = rng.permutation(absent)[:num_absent]
        similar = rng.permutation(similar)[:12]
        slope = rng.standard_normal(len(absent))
        correlation = rng.uniform(-1.0, 1.0, len(similar))
        return Evidence(
            innovation=innovation,
            saliency=rng.exponential(1.0, len(innovation)),
            strain=rng.exponential(1.0, len(innovation)),
            node=node,
            mean=rng.standard_normal(len(node)),
            deviation=rng.exponential(1.0, len(node)),
            absent=absent,
            slope=slope[np.argsort(-np.abs(slope))],
            similar=similar,
            correlation=correlation[np.argsort(-np.abs(correlation))],
        )

    return build


@pytest.fixture(scope="session")
def evolve_network(evolve: Callable[..., Genome]) -> Callable[..., Network]:
    """Return ``evolve_network(seed, ...)``: the network of `evolve` with the same arguments."""

    def build(seed: int, **settings: object) -> Network:
        return compile_network(evolve(seed, **settings))

    return build


@pytest.fixture(scope="session")
def classification() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return ``classification(seed, ...)``: float32 [samples, inputs] in clusters, and their int32 labels."""

    def build(
        seed: int, *, num_samples: int = 120, num_inputs: int = 5, num_classes: int = 3, spread: float = 0.4
    ) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        centers = rng.normal(0.0, 1.0, (num_classes, num_inputs))
        labels = rng.integers(0, num_classes, num_samples)
        inputs = centers[labels] + spread * rng.standard_normal((num_samples, num_inputs))
        return inputs.astype(np.float32), labels.astype(np.int32)

    return build


@pytest.fixture(scope="session")
def make_batches() -> Callable[..., Batches]:
    """Return ``make_batches(seed, network, loss, ...)``: random samples that fit a network."""

    def build(seed: int, network: Network, *, classes: bool, num_samples: int, batch_size: int) -> Batches:
        rng = np.random.default_rng(seed)
        inputs = rng.normal(0.0, 1.0, (num_samples, network.num_inputs)).astype(np.float32)
        targets = (
            rng.integers(0, network.num_outputs, num_samples).astype(np.int32)
            if classes
            else rng.normal(0.0, 1.0, (num_samples, network.num_outputs)).astype(np.float32)
        )
        return Batches.lay_out(inputs, targets, batch_size=batch_size)

    return build


@pytest.fixture(scope="session")
def reference() -> Kernel:
    """Return the backend that defines correct."""
    return load_kernel("reference")


@pytest.fixture(scope="session")
def compiled() -> Kernel:
    """Return the default backend, compiled."""
    kernel = load_kernel("numba")
    for loop in (*kernel.LOOPS, *kernel.SCORING_LOOPS):
        kernel.prepare(loop)
    return kernel


@pytest.fixture(scope="session")
def wire() -> Callable[..., Network]:
    """Return ``wire(num_inputs, num_outputs, edges, activation)``: a network of (input, output) edges of weight 1."""

    def build(num_inputs: int, num_outputs: int, edges: list[tuple[int, int]], activation: str = "linear") -> Network:
        edges = sorted(edges, key=lambda edge: (edge[1], edge[0]))
        source, target = (np.array([edge[end] for edge in edges], np.int32) for end in (0, 1))
        return Network(
            num_inputs=num_inputs,
            num_outputs=num_outputs,
            node_id=np.arange(num_inputs + num_outputs, dtype=np.int32),
            input_index=np.arange(num_inputs, dtype=np.int32),
            has_bias=False,
            activation=np.full(num_outputs, ACTIVATIONS[activation].code, np.int8),
            row_start=np.searchsorted(target, np.arange(num_outputs + 1)).astype(np.int32),
            source=source,
            weight=np.ones(len(edges), np.float32),
            gene=np.arange(len(edges), dtype=np.int32),
        )

    return build
