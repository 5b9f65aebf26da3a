"""A network file evaluated by somebody who has never seen topoevo: networkx, numpy, and the documented definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx
import numpy as np

#: The ten activations of weight agnostic networks (Gaier & Ha 2019), in double precision.
ACTIVATIONS = {
    "linear": lambda z: z,
    "step": lambda z: (z > 0).astype(float),
    "sine": lambda z: np.sin(np.pi * z),
    "cosine": lambda z: np.cos(np.pi * z),
    "gaussian": lambda z: np.exp(-(z**2) / 2),
    "tanh": np.tanh,
    "sigmoid": lambda z: (np.tanh(z / 2) + 1) / 2,
    "inverse": lambda z: -z,
    "abs": np.abs,
    "relu": lambda z: np.maximum(z, 0),
}


def load(path: Path) -> networkx.DiGraph:
    """Return the graph as the documentation says to load it."""
    return networkx.node_link_graph(json.loads(path.read_text("utf-8")), edges="edges")


def outputs(graph: networkx.DiGraph, raw: np.ndarray) -> np.ndarray:
    """Return the activities of the output nodes, [samples, outputs], for raw inputs [samples, inputs]."""
    task: dict[str, Any] = graph.graph["task"]
    scaled = (raw - np.array(task["input_offset"])) / np.array(task["input_scale"])
    ids = {role: sorted(n for n, r in graph.nodes(data="role") if r == role) for role in ("input", "output")}
    assert len(ids["input"]) == scaled.shape[1] == len(task["input_names"])
    assert len(ids["output"]) == len(task["output_names"])
    activity = {node: scaled[:, column] for column, node in enumerate(ids["input"])}
    for node in networkx.topological_sort(graph):
        if graph.nodes[node]["role"] == "bias":
            activity[node] = np.ones(len(scaled))
        elif graph.nodes[node]["role"] != "input":
            total = np.zeros(len(scaled))
            for source, _, edge in graph.in_edges(node, data=True):
                if edge["enabled"] and edge["weight"] is not None:
                    total = total + edge["weight"] * activity[source]
            activity[node] = ACTIVATIONS[graph.nodes[node]["activation"]](total)
    return np.stack([activity[node] for node in ids["output"]], axis=1)


def accuracy(graph: networkx.DiGraph, raw: np.ndarray, labels: np.ndarray) -> float:
    """Return the fraction of samples whose largest output is that of their label."""
    return float((outputs(graph, raw).argmax(axis=1) == labels).mean())


def complexity(graph: networkx.DiGraph) -> tuple[int, int]:
    """Return the numbers of enabled connections and of biases on some path to an output."""
    enabled = networkx.DiGraph((a, b) for a, b, on in graph.edges(data="enabled") if on)
    role = dict(graph.nodes(data="role"))
    inputs = {n for n in enabled if role[n] == "input"}
    ends = {n for n in enabled if role[n] == "output"}
    reached = inputs.union(*(networkx.descendants(enabled, n) for n in inputs))
    useful = ends.union(*(networkx.ancestors(enabled, n) for n in ends))
    connections = sum(a in reached and b in useful for a, b in enabled.edges)
    biases = sum(role[a] == "bias" and b in useful and (b in reached or role[b] == "output") for a, b in enabled.edges)
    return connections, biases
