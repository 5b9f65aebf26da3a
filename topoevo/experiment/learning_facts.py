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
from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.learning_settings import feedback_seed_of
from topoevo.experiment.params import Params, all_settings, load_params, option_settings
from topoevo.genome import Genome
from topoevo.kernels import Loss, Plasticity
from topoevo.learning import LEARNING_RULES
from topoevo.network import Network, compile_network

#: Settings that every rule is used with; those of the rule itself join them.
_SETTINGS = (
    "learning_rule",
    "optimizer",
    "lr",
    "lr_schedule",
    "momentum",
    "weight_decay",
    "weight_decay_scaling",
    "max_grad_norm",
    "grad_power",
    "label_smoothing",
    "weight_averaging",
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

    def is_close(self, other: Feedback) -> bool:
        """Return whether these are the same weights for the same genome, to a few units in the last place."""
        if (self.connections is None) != (other.connections is None) or self.nodes.keys() != other.nodes.keys():
            return False
        pairs = [(self.nodes[node], other.nodes[node]) for node in self.nodes]
        if self.connections is not None and other.connections is not None:
            pairs.append((self.connections, other.connections))
        # Logarithm and cosine, which the numbers are made with, may differ between machines.
        return all(np.allclose(one, two, rtol=1e-5, atol=1e-7, equal_nan=True) for one, two in pairs)


def learning_facts(params: Params, *, decay_factor: float = 1.0) -> dict[str, Any]:
    """Return how a network has learned: settings by their names in parameter files, as JSON values.

    Parameters
    ----------
    params
        Settings of the run.
    decay_factor
        Times their weight decay, in the last training of the network: what the final training chose, and the number of
        samples made of it.
    """
    rule = LEARNING_RULES[params.learning_rule]
    facts = {name: getattr(params, name) for name in dict.fromkeys((*_SETTINGS, *option_settings(rule).values()))}
    # JSON has no infinity.
    written = {name: "inf" if value == math.inf else value for name, value in facts.items()}
    decay = decay_factor * params.weight_decay
    return written | {"weight_decay": decay, "feedback_seed": feedback_seed_of(params)}


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
    # Without a seed, every training has had feedback weights of its own; of earlier versions none had.
    facts = {**facts, "redraw_feedback": facts.get("feedback_seed", 0) is None}
    values = {name: math.inf if value == "inf" else value for name, value in facts.items() if name in known}
    try:
        params = load_params(None, values)
    except ParamsError as error:
        problems = str(error).replace("--", "").replace("\n", "; ")
        raise NetworkFileError(f"graph.learning of the network file is not usable: {problems}") from None
    return dataclasses.replace(DatasetEvaluator.with_loss(params, Loss[loss.upper()]), kernel_name=kernel_name)


def feedback_of(genome: Genome, params: Params) -> Feedback | None:
    """Return the feedback weights that the learning rule of the settings gives a genome in every training.

    None if it has none, or others in every training.
    """
    rule = LEARNING_RULES[params.learning_rule]
    seed = feedback_seed_of(params)
    if seed is None:
        return None
    network = compile_network(genome)
    plasticity = rule(**params.options_of(rule)).plasticity(
        network,
        weight_init=params.weight_init,
        feedback_seed=seed,
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


def with_feedback(plasticity: Plasticity, network: Network, feedback: Feedback) -> Plasticity:
    """Return a plasticity with given feedback weights in place of drawn ones, where errors travel along such.

    Parameters
    ----------
    plasticity
        Of a learning rule for the network.
    network
        What is trained.
    feedback
        Weights of a network file.

    Raises
    ------
    NetworkFileError
        If some of those that the rule needs are not there.
    """
    drawn = (plasticity.feedback, plasticity.direct)
    along = None if drawn[0] is None or feedback.connections is None else feedback.connections[network.gene]
    direct = None
    if drawn[1] is not None and feedback.nodes:
        hidden = network.node_id[network.num_sources : network.num_nodes - network.num_outputs].tolist()
        unset = np.full(network.num_outputs, np.nan, np.float32)
        direct = np.array([feedback.nodes.get(node, unset) for node in hidden], np.float32).reshape(drawn[1].shape)
    for found, words in ((along, "connections"), (direct, "hidden nodes")):
        if found is not None and np.isnan(found).any():
            raise NetworkFileError(f"the network file has feedback weights for some of its {words} only")
    return dataclasses.replace(
        plasticity,
        feedback=drawn[0] if along is None else along,
        direct=drawn[1] if direct is None else direct,
    )


def adopt_feedback(
    params: Params, genome: Genome, facts: Mapping[str, Any], feedback: Feedback | None
) -> tuple[Params, str]:
    """Return settings for a run that takes over the weights of a network file, with the file's feedback weights.

    Weights have learned to fit the feedback weights that they were trained with: so the file's ``feedback_seed`` holds
    unless the user gives another one.

    Parameters
    ----------
    params
        Settings of the run.
    genome, facts, feedback
        Genes, attributes and feedback weights of the file.

    Returns
    -------
    params
        Settings with which to run.
    words
        Whether these are the feedback weights of the file, for the user; empty if neither has any to compare.
    """
    learning = facts.get("learning")
    same_rule = isinstance(learning, Mapping) and learning.get("learning_rule") == params.learning_rule
    if feedback is None or not isinstance(learning, Mapping) or not same_rule:
        return params, ""
    seed = learning.get("feedback_seed")
    if params.feedback_seed is None and isinstance(seed, int) and 0 <= seed < 2**63:
        adopted = params.model_copy(update={"feedback_seed": seed})
    else:
        adopted = params
    drawn = feedback_of(genome, adopted)
    if drawn is None:
        return params, ""
    if drawn.is_close(feedback):
        return adopted, f"feedback weights are those of {params.network}, feedback_seed {feedback_seed_of(adopted)}"
    now = learning_facts(adopted)
    names = ("feedback_seed", "weight_init", *option_settings(LEARNING_RULES[params.learning_rule]).values())
    changes = [f"{name} {now[name]} instead of {learning[name]}" for name in names if learning.get(name) != now[name]]
    reason = ", ".join(changes) or f"the file has others than its feedback_seed {seed} gives"
    return adopted, f"feedback weights are not those of {params.network}: {reason}"
