"""What a network file says about learning: enough to go on with the same rule, options and feedback weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topoevo.errors import NetworkFileError, ParamsError
from topoevo.experiment.evaluators import DatasetEvaluator, feedback_seed_of
from topoevo.experiment.params import Params, all_settings, load_params, option_settings
from topoevo.genome import Genome
from topoevo.kernels import Loss
from topoevo.learning import LEARNING_RULES
from topoevo.network import compile_network

#: Settings that every rule is used with; those of the rule itself join them.
_SETTINGS = (
    "learning_rule",
    "optimizer",
    "lr",
    "lr_schedule",
    "momentum",
    "weight_decay",
    "max_grad_norm",
    "grad_power",
    "num_epochs",
    "final_epochs",
    "batch_size",
    "shuffle",
    "train_only_outputs",
    "inherit_weights",
    "weight_init",
)


@dataclass(frozen=True, eq=False)
class Feedback:
    """Fixed weights along which errors travel back.

    Parameters
    ----------
    connections
        Of every connection gene, float32 [num_connections], NaN where it takes no part; None if errors do not travel
        along connections with weights of their own.
    nodes
        For the id of every hidden node that takes part the weights of the outputs' errors, float32 [num_outputs]; empty
        if errors do not jump.
    """

    connections: NDArray[np.float32] | None
    nodes: Mapping[int, NDArray[np.float32]]


def learning_facts(params: Params) -> dict[str, Any]:
    """Return how a network has learned: settings by their names in parameter files, as JSON values."""
    rule = LEARNING_RULES[params.learning_rule]
    facts = {name: getattr(params, name) for name in dict.fromkeys((*_SETTINGS, *option_settings(rule).values()))}
    # JSON has no infinity.
    written = {name: "inf" if value == math.inf else value for name, value in facts.items()}
    return written | {"feedback_seed": feedback_seed_of(params)}


def evaluator_of(facts: Mapping[str, Any], *, loss: str, kernel_name: str) -> DatasetEvaluator:
    """Return what trains networks as `facts` say.

    Parameters
    ----------
    facts
        From `learning_facts`, by this or an earlier version; what is missing gets its default.
    loss
        Of the task.
    kernel_name
        Backend.

    Raises
    ------
    NetworkFileError
        If there is no such rule, or it has no such options.
    """
    known = {one.name for one in all_settings()}
    values = {name: math.inf if value == "inf" else value for name, value in facts.items() if name in known}
    try:
        params = load_params(None, values)
    except ParamsError as error:
        problems = str(error).replace("--", "").replace("\n", "; ")
        raise NetworkFileError(f"graph.learning of the network file is not usable: {problems}") from None
    return dataclasses.replace(DatasetEvaluator.with_loss(params, Loss[loss.upper()]), kernel_name=kernel_name)


def feedback_of(genome: Genome, params: Params) -> Feedback | None:
    """Return the feedback weights that the learning rule of the settings gives a genome, or None if it has none."""
    rule = LEARNING_RULES[params.learning_rule]
    network = compile_network(genome)
    plasticity = rule(**params.options_of(rule)).plasticity(
        network,
        weight_init=params.weight_init,
        feedback_seed=feedback_seed_of(params),
    )
    if plasticity.feedback is None and plasticity.direct is None:
        return None
    connections = None
    if plasticity.feedback is not None:
        connections = np.full(len(genome.connections), np.nan, np.float32)
        connections[network.gene] = plasticity.feedback
    hidden = network.node_id[network.num_sources : network.num_nodes - network.num_outputs]
    direct = plasticity.direct
    nodes = {} if direct is None else {int(node): weights for node, weights in zip(hidden, direct, strict=True)}
    return Feedback(connections, nodes)
