"""Network files: a genome with trained weights, and all that is needed to use it on raw data, as one JSON graph.

The format is the node-link form of networkx with the key ``edges``::

    networkx.node_link_graph(json.load(open("champion.json")), edges="edges")

Node and edge attributes are those of `topoevo.genome.Genome.to_networkx`. Where a learning rule has feedback weights,
they are the attribute ``feedback``: a number on edges, or on hidden nodes one for every output (direct feedback
alignment). Every weight is the shortest decimal that reads back as the same float32; null is a weight that was never
given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.errors import GenomeError, NetworkFileError, did_you_mean
from topoevo.foreign_files import decoded, parse_json, plain, read_bytes, shown
from topoevo.genome import CONNECTION_DTYPE, NODE_DTYPE, Genome, Role
from topoevo.reporting.atomic import finite, write_atomically

if TYPE_CHECKING:
    from topoevo.experiment.learning_facts import Feedback
    from topoevo.reporting.network_schema import Document, TaskFacts

FORMAT = "topoevo-network"
VERSION = 1

#: Larger files are refused before they are read: 64 MiB hold half a million connections.
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """What a network file says.

    Parameters
    ----------
    genome
        The network's genes; weights are those of the file, bit for bit.
    facts
        JSON attributes of the graph: ``task``, ``learning``, ``complexity``, ``scores``, ``provenance``, or what a
        foreign writer put there.
    feedback
        Weights along which errors travel back; None if the file has none.
    """

    genome: Genome
    facts: dict[str, Any]
    feedback: Feedback | None = None

    @property
    def task(self) -> TaskFacts:
        """Names, scaling and kind of the task that the network was trained on.

        Raises
        ------
        NetworkFileError
            If the file does not say.
        """
        from topoevo.reporting.network_schema import TaskFacts

        if "task" not in self.facts:
            raise NetworkFileError("the network file does not say what the network was trained on")
        return TaskFacts.model_validate(self.facts["task"])

    def transform(self, raw_inputs: ArrayLike) -> NDArray[np.float32]:
        """Return raw inputs scaled as the training inputs were.

        Parameters
        ----------
        raw_inputs : float [num_samples, num_inputs]
            In the units of the data set, in the order of ``task.input_names``.

        Returns
        -------
        float32 [num_samples, num_inputs]
            What the network's input nodes expect.

        Raises
        ------
        ValueError
            If the shape is another one, or a number is not finite.
        """
        raw, task = np.asarray(raw_inputs, np.float64), self.task
        if raw.ndim != 2 or raw.shape[1] != len(task.input_names):
            raise ValueError(f"raw inputs have shape {raw.shape}, expected (num_samples, {len(task.input_names)})")
        if not np.isfinite(raw).all():
            raise ValueError("raw inputs must be finite numbers; fill or drop what is missing")
        # The numbers in the file are decimals of float32: rounded, they are those of the training.
        offset, scale = np.array(task.input_offset, np.float32), np.array(task.input_scale, np.float32)
        return np.asarray((raw - offset) / scale, np.float32)

    def to_target_units(self, outputs: ArrayLike) -> NDArray[np.float32]:
        """Return outputs of a regression in the units of the data set.

        Parameters
        ----------
        outputs : float [num_outputs, num_samples]
            What the network's output nodes say.

        Returns
        -------
        float32 [num_samples, num_outputs]
            Unchanged but for the order of axes unless the task is a regression.
        """
        values: NDArray[np.float32] = np.asarray(outputs, np.float32).T
        task = self.task
        if task.kind != "regression":
            return values
        offset, scale = np.array(task.target_offset, np.float32), np.array(task.target_scale, np.float32)
        return np.asarray(values * scale + offset, np.float32)


# -- writing ----------------------------------------------------------------------------------------------------


def write_network(
    path: str | Path,
    genome: Genome,
    *,
    facts: dict[str, Any],
    feedback: Feedback | None = None,
    durable: bool = False,
) -> None:
    """Write a network file, replacing an earlier one in one step.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    genome
        Genes to write.
    facts
        JSON values, as `topoevo.reporting.network_facts.facts_of` makes them; they become attributes of the graph.
    feedback
        Weights along which errors travel back, if they are not those of the connections.
    durable
        Whether it is on the disk when this returns, so that even a power failure does not lose it.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_atomically(Path(path), network_json(genome, facts=facts, feedback=feedback), durable=durable)


def network_json(genome: Genome, *, facts: dict[str, Any], feedback: Feedback | None = None) -> str:
    """Return the text of a network file: valid JSON with one node or edge a line."""
    graph = {"format": FORMAT, "version": VERSION, **finite(facts)}
    return (
        '{\n"directed": true,\n"multigraph": false,\n"graph": {\n'
        + ",\n".join(f"  {_line(key)}: {_block(value)}" for key, value in graph.items())
        + '\n},\n"nodes": [\n'
        + ",\n".join(map(_line, _nodes(genome, feedback)))
        + '\n],\n"edges": [\n'
        + ",\n".join(map(_line, _edges(genome, feedback)))
        + "\n]\n}\n"
    )


def _line(value: Any) -> str:
    """JSON in one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _block(value: Any) -> str:
    """A group of facts, or of lines of text, with one a line; arrays of numbers stay in one line."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return "[\n" + ",\n".join(f"    {_line(one)}" for one in value) + "\n  ]"
    if not isinstance(value, dict) or not value:
        return _line(value)
    return "{\n" + ",\n".join(f"    {_line(key)}: {_line(one)}" for key, one in value.items()) + "\n  }"


def _nodes(genome: Genome, feedback: Feedback | None) -> Iterator[dict[str, Any]]:
    """Nodes as JSON."""
    direct = {} if feedback is None else feedback.nodes
    for (identity, role, activation), layer in zip(genome.nodes.tolist(), genome.layers().tolist(), strict=True):
        name = ACTIVATIONS_BY_CODE[activation].name
        node = {"id": identity, "role": Role(role).name.lower(), "activation": name, "layer": layer}
        yield {**node, "feedback": decimals(direct[identity])} if identity in direct else node


def _edges(genome: Genome, feedback: Feedback | None) -> Iterator[dict[str, Any]]:
    """Connections as JSON."""
    weights = decimals(genome.connections["weight"])
    backward: Iterable[float | None] = repeat(None)
    if feedback is not None and feedback.connections is not None:
        backward = decimals(feedback.connections)
    for gene, weight, back in zip(genome.connections.tolist(), weights, backward, strict=False):
        innovation, source, target, _, enabled = gene
        edge = {"source": source, "target": target, "weight": weight, "innovation": innovation, "enabled": enabled}
        yield edge if back is None else {**edge, "feedback": back}


def decimals(values: NDArray[np.float32]) -> list[float | None]:
    """Return the shortest numbers that are the same float32, None for NaN."""
    shortest = np.array([float(str(value)) for value in np.asarray(values, np.float32)], np.float64)
    # Decimal to double to float32 rounds twice; where that misses by one bit, all digits are written.
    exact = shortest.astype(np.float32) == values
    return [None if np.isnan(v) else float(v) for v in np.where(exact, shortest, np.asarray(values, np.float64))]


# -- reading ----------------------------------------------------------------------------------------------------


def read_network(path: str | Path) -> NetworkFile:
    """Read and check a network file.

    Parameters
    ----------
    path
        File written by `write_network`, by this or an earlier version of topoevo.

    Raises
    ------
    NetworkFileError
        If there is no such file, or it is no network; says what is wrong and where.
    """
    path = Path(path)
    document = _document(path)
    try:
        genome = _genome(document)
        genome.validate()
    except GenomeError as error:
        raise NetworkFileError(f"{path}: {error}") from None
    for name, expected in (("input", genome.num_inputs), ("output", genome.num_outputs)):
        task = document.graph.task
        if task is not None and len(names := getattr(task, f"{name}_names")) != expected:
            raise NetworkFileError(f"{path}: graph.task has {len(names)} {name}_names for {expected} {name} nodes")
    facts = document.graph.model_dump(exclude_unset=True)
    known = type(document.graph).model_fields
    return NetworkFile(
        genome,
        # Null is as good as nothing, where a later version has not added it.
        {
            name: value
            for name, value in facts.items()
            if name not in ("format", "version") and not (value is None and name in known)
        },
        _feedback(document, path, genome.num_outputs),
    )


def _document(path: Path) -> Document:
    """The file's content, of the right types and within limits."""
    from pydantic import ValidationError

    from topoevo.reporting.network_schema import Document

    content = _content(path)
    if not isinstance(content, dict) or not isinstance(graph := content.get("graph"), dict):
        raise NetworkFileError(f"{path}: is no network file: there is no object 'graph' in it")
    if graph.get("format") != FORMAT:
        raise NetworkFileError(
            f"{path}: is no network file: graph.format is {shown(graph.get('format'))}, not {FORMAT!r}"
        )
    version = graph.get("version")
    if type(version) is int and version > VERSION:
        raise NetworkFileError(f"{path}: has version {version}; this topoevo reads versions up to {VERSION}")
    try:
        return Document.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        others = f" (and {error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
        raise NetworkFileError(f"{path}: {plain(place)}: {plain(first['msg'])}{others}") from None


def _content(path: Path) -> Any:
    """The file as JSON values."""
    try:
        return parse_json(read_text(path))
    except ValueError as error:
        raise NetworkFileError(f"{path}: {error}") from None


def read_text(path: Path) -> str:
    """Return the text of a network file.

    Raises
    ------
    NetworkFileError
        If there is no such file, it is too large, or it is no text.
    """
    try:
        return decoded(read_bytes(path, most_bytes=MAX_BYTES))
    except FileNotFoundError:
        raise NetworkFileError(f"{path}: there is no such file") from None
    except OSError as error:
        raise NetworkFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise NetworkFileError(f"{path}: {error}") from None


def _genome(document: Document) -> Genome:
    """The genes, sorted, not yet validated."""
    for node in document.nodes:
        if node.activation not in ACTIVATIONS:
            close = did_you_mean(node.activation, ACTIVATIONS)
            raise GenomeError(f"node {node.id} has the unknown activation {shown(node.activation)}{close}")
    nodes = [(n.id, Role[n.role.upper()], ACTIVATIONS[n.activation].code) for n in document.nodes]
    with np.errstate(over="ignore"):  # becomes infinite, which the validation of the genome refuses
        edges = [
            (e.innovation, e.source, e.target, np.float32(np.nan if e.weight is None else e.weight), e.enabled)
            for e in document.edges
        ]
    return Genome(
        np.array(sorted(nodes), NODE_DTYPE), np.array(sorted(edges, key=lambda edge: edge[:3]), CONNECTION_DTYPE)
    )


def _feedback(document: Document, path: Path, num_outputs: int) -> Feedback | None:
    """The weights that errors travel back along; connections in the order of genes."""
    from topoevo.experiment.learning_facts import Feedback

    along = None
    if any(edge.feedback is not None for edge in document.edges):
        edges = sorted(document.edges, key=lambda edge: (edge.innovation, edge.source, edge.target))
        along = _float32([np.nan if edge.feedback is None else edge.feedback for edge in edges], path)
    nodes = {node.id: _float32(node.feedback, path) for node in document.nodes if node.feedback is not None}
    for identity, weights in nodes.items():
        if len(weights) != num_outputs:
            raise NetworkFileError(f"{path}: node {identity} has {len(weights)} feedback weights, not {num_outputs}")
    return None if along is None and not nodes else Feedback(along, nodes)


def _float32(numbers: list[float], path: Path) -> NDArray[np.float32]:
    """Feedback weights, none of which is too large."""
    with np.errstate(over="ignore"):
        weights = np.array(numbers, np.float32)
    if np.isinf(weights).any():
        raise NetworkFileError(f"{path}: a feedback weight is too large")
    return weights
