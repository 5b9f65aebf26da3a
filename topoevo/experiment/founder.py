"""The networks that a run begins with: random ones, or one that a user names."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.errors import ParamsError
from topoevo.evolution.newcomers import LayeredNetworks, RandomNetworks
from topoevo.experiment.contradictions import MAX_CONNECTIONS, Contradiction, flatness_problem, mutated_activations
from topoevo.experiment.learning_settings import limits_of
from topoevo.experiment.params import Params
from topoevo.genome import Genome, Role
from topoevo.genome.dense import dense_genome
from topoevo.genome.genes import UNSET
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Task
from topoevo.variation import MUTATIONS


@dataclass(frozen=True, eq=False)
class Founder:
    """The first network of a run.

    Parameters
    ----------
    genome
        Its genes; unset weights are drawn when learning starts.
    words
        What it is, for the user.
    """

    genome: Genome
    words: str

    @staticmethod
    def of(words: str, genome: Genome) -> Founder:
        """Return a founder whose words are followed by the size of the network."""
        size = genome.complexity
        biases = f" and {size.biases} biases" if size.biases else ""
        return Founder(genome, f"{words}, {size.connections} connections{biases}")


def random_networks(params: Params, num_inputs: int, num_outputs: int) -> RandomNetworks | LayeredNetworks:
    """Return how networks are made that descend from no other.

    Parameters
    ----------
    params
        Settings.
    num_inputs, num_outputs
        Of the task.
    """
    if params.initial_networks == "dense":
        return LayeredNetworks(
            num_inputs,
            num_outputs,
            params.initial_hidden_nodes or _hidden_nodes_for(limits_of(params) or (1,), num_inputs, num_outputs),
            p_second_layer=params.p_initial_second_layer,
            p_direct=params.p_initial_connection_enabled,
            activations=params.activations,
            output_activation=params.output_activation,
            bias=params.bias,
        )
    return sparse_networks(params, num_inputs, num_outputs)


def networks_of_size(
    networks: RandomNetworks | LayeredNetworks, params: Params, max_connections: int
) -> RandomNetworks | LayeredNetworks:
    """Return how the first networks of one of several sizes are made.

    Parameters
    ----------
    networks
        Of all sizes.
    params
        Settings.
    max_connections
        The size.
    """
    if isinstance(networks, RandomNetworks) or params.initial_hidden_nodes is not None:
        return networks
    num_hidden = _hidden_nodes_for((max_connections,), networks.num_inputs, networks.num_outputs)
    return replace(networks, num_hidden=num_hidden)


def _hidden_nodes_for(limits: tuple[int, ...], num_inputs: int, num_outputs: int) -> tuple[int, int]:
    """Smallest and largest first hidden layer whose networks are worth pruning to so many connections.

    By trial on MNIST, 16 x 16 pixels: of several hundred dense networks with 12 to 256 hidden nodes, the best at 100,
    300, 1200 and 3000 connections had about 25, 35, 80 and 240. None has many more than MAX_CONNECTIONS.
    """
    # A second layer has half as many nodes: h^2 / 2 + (inputs + outputs / 2) h connections.
    half = num_inputs + num_outputs / 2
    most = max(int(math.sqrt(half * half + 2 * MAX_CONNECTIONS) - half), 2)
    return min(max(round(1.2 * min(limits) ** 0.5), 2), most), min(round(5.0 * max(limits) ** 0.5), most)


def sparse_networks(params: Params, num_inputs: int, num_outputs: int) -> RandomNetworks:
    """Return how random networks are made that are sparse from the start.

    Parameters
    ----------
    params, num_inputs, num_outputs
        See `random_networks`.
    """
    add_node = MUTATIONS["add_node"]
    # Not even where training prunes do they begin with too many connections.
    options = {**params.options_of(add_node), "pruning": "none"}
    return RandomNetworks(
        num_inputs,
        num_outputs,
        p_enabled=params.p_initial_connection_enabled,
        p_add_node=params.p_initial_add_node,
        add_node=add_node(**options),
        output_activation=params.output_activation,
        bias=params.bias,
        evolved_bias=params.bias_connections == "evolved",
        max_connections=params.max_connections,
    )


def make_founder(params: Params, task: Task | Environment, network: Genome | None = None) -> Founder | None:
    """Return the first network that the settings describe, or None if it is a random one.

    Parameters
    ----------
    params, task
        Settings, and what the network has to fit.
    network
        Content of the network file that the settings name.

    Raises
    ------
    ParamsError
        If the network does not fit the task or the learning rule, or is too large.
    """
    if params.hidden_layers is not None:
        return _fully_connected(params, task, params.hidden_layers)
    if network is None:
        _check_dense(params, task)
        return None
    problems = [
        f"network: {params.network} has {found} {role} nodes, {task.name} needs {expected}"
        for role, found, expected in (
            ("input", network.num_inputs, task.num_inputs),
            ("output", network.num_outputs, task.num_outputs),
        )
        if found != expected
    ]
    size = network.complexity.connections
    if size == 0:
        problems.append(f"network: {params.network} has no connection on a path from an input to an output")
    if size > _limit(params):
        problems.append(
            f"network: {params.network} has {size} connections, max_connections is {params.max_connections}"
        )
    if not params.is_weight_agnostic:
        rule = LEARNING_RULES[params.learning_rule]
        flat = flatness_of(
            network, rule, only_outputs=params.train_only_outputs, mutated_activations=mutated_activations(params)
        )
        if flat is not None:
            problems.append(f"network: {params.network}: {flat.message}")
    if problems:
        raise ParamsError("\n".join(problems))
    if not params.inherit_weights:
        network = network.with_weights(np.full(len(network.connections), UNSET))
    if params.is_weight_agnostic:
        return Founder.of(f"the network of {params.network}", network)
    weights = "with its weights" if params.inherit_weights else "with new weights (--inherit_weights keeps its own)"
    return Founder.of(f"the network of {params.network} {weights}", network)


def _check_dense(params: Params, task: Task | Environment) -> None:
    """Raise ParamsError if networks with as many hidden nodes as the user allows would be too large."""
    if params.initial_networks != "dense" or params.initial_hidden_nodes is None:
        return
    largest = params.initial_hidden_nodes[-1]
    hidden_layers = (largest, largest // 2) if params.p_initial_second_layer else (largest,)
    num_connections = _num_dense_connections(task, hidden_layers)
    if num_connections > MAX_CONNECTIONS:
        raise ParamsError(
            f"initial_hidden_nodes: {list(params.initial_hidden_nodes)} makes up to {num_connections} connections"
            f" between the {task.num_inputs} inputs and {task.num_outputs} outputs of {task.name}, must be at most"
            f" {MAX_CONNECTIONS}"
        )


def _limit(params: Params) -> int:
    """How many connections a given first network may have; training prunes what is more than that of a child."""
    is_pruned = params.pruning != "none" and not params.is_weight_agnostic
    if not params.evolves or params.max_connections is None or is_pruned:
        return MAX_CONNECTIONS
    return min(params.max_connections, MAX_CONNECTIONS)


def _num_dense_connections(task: Task | Environment, hidden_layers: tuple[int, ...]) -> int:
    """Connections of fully connected layers."""
    return sum(before * after for before, after in pairwise([task.num_inputs, *hidden_layers, task.num_outputs]))


def _fully_connected(params: Params, task: Task | Environment, hidden_layers: tuple[int, ...]) -> Founder:
    """A network with the given hidden layers."""
    num_connections, limit = _num_dense_connections(task, hidden_layers), _limit(params)
    if num_connections > limit:
        raise ParamsError(
            f"hidden_layers: {list(hidden_layers)} makes {num_connections} connections between the {task.num_inputs}"
            f" inputs and {task.num_outputs} outputs of {task.name}, must be at most {limit}"
        )
    genome = dense_genome(
        task.num_inputs,
        hidden_layers,
        task.num_outputs,
        activation=params.activations[0],
        output_activation=params.output_activation,
        bias=params.bias,
    )
    words = " and ".join(map(str, hidden_layers))
    between = f"with {words} hidden {params.activations[0]} nodes" if hidden_layers else "without hidden nodes"
    return Founder.of(f"a fully connected network {between}", genome)


def flatness_of(
    genome: Genome, rule: type[LearningRule], *, only_outputs: bool, mutated_activations: Collection[str] = ()
) -> Contradiction | None:
    """Return why a learning rule that follows slopes finds none in a network, if that is so.

    Parameters
    ----------
    genome
        Its genes.
    rule, only_outputs
        See `topoevo.experiment.contradictions.flatness_problem`.
    mutated_activations
        What mutation may give to hidden nodes besides.
    """
    hidden = _activations(genome, Role.HIDDEN) | set(mutated_activations)
    return flatness_problem(rule, hidden, _activations(genome, Role.OUTPUT), only_outputs=only_outputs)


def _activations(genome: Genome, role: Role) -> set[str]:
    """Names of the activations of the nodes of one role that take part."""
    nodes = genome.nodes[genome.active[0]]
    return {ACTIVATIONS_BY_CODE[code].name for code in nodes["activation"][nodes["role"] == role]}
