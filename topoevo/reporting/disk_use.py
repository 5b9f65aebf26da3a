"""How much a run will write, told before it begins."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.experiment.contradictions.informed import lack_of_evidence
from topoevo.experiment.evidence import ABSENT_PER_CONNECTION, LEAST_ABSENT
from topoevo.genome import Genome
from topoevo.genome.genes import CONNECTION_DTYPE, NODE_DTYPE
from topoevo.reporting.files import KEPT_NETWORKS

if TYPE_CHECKING:
    from topoevo.experiment.params import Params
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task

#: Runs that write less say nothing about it, unless there is no space for them.
_WORTH_TELLING = 1e9
#: Bytes of a network file: what it says of task and settings, every node, every connection; and every input and output,
#: which have names and scaling.
_FILE, _FILE_NODE, _FILE_CONNECTION, _FILE_NAME = 2500, 75, 90, 30
#: Bytes of an individual in a checkpoint besides its genes; and of a finished evaluation, with the weights in letters.
_INDIVIDUAL, _EVALUATION, _EVALUATION_WEIGHT = 150, 500, 16 / 3
#: Bytes of a generation or epoch in the table, the log and TensorBoard.
_ROW, _EVENTS = 900, 6000
#: Bytes of the pictures of a network of ordinary size, of one for TensorBoard, and of all that is written once.
_PICTURES, _PICTURE, _ONCE = 6_000_000, 1_500_000, 100_000
#: Generations that bring a picture for TensorBoard, one of so many, and no more than this number in all.
_GENERATIONS_A_PICTURE, _MOST_PICTURES = 10, 150
#: Arrays of float32 that a learner keeps for every connection: weights, and the averages of its optimizer.
_LEARNED = 3
#: Bytes of what is inherited of an optimizer for every connection, in a checkpoint and in a journal.
_MOMENTS, _EVALUATION_MOMENTS = 12, 16
#: Bytes of evidence in a journal: of an absent connection that it keeps, of a connection, of a node.
_ABSENT, _EVIDENCE_CONNECTION, _EVIDENCE_NODE = 16, 16, 16


@dataclass(frozen=True)
class DiskUse:
    """What a run writes, in bytes.

    Parameters
    ----------
    checkpoints
        Those that are kept, the one that is being written, and the journals of all generations that they lead to.
    networks
        Snapshots of populations.
    tables
        One row or event after the other, and the champion.
    """

    checkpoints: float
    networks: float
    tables: float

    @property
    def complete(self) -> float:
        """All of it."""
        return self.checkpoints + self.networks + self.tables


def disk_use(params: Params, task: Task | Environment, genomes: Sequence[Genome], *, num_done: int = 0) -> DiskUse:
    """Return how much a run will write at most, if networks grow by every mutation.

    Parameters
    ----------
    params, task
        Settings and task of the run.
    genomes
        Networks that it begins or goes on with.
    num_done
        Generations or epochs that are finished.
    """
    connections = sum(len(genome.connections) for genome in genomes) / max(len(genomes), 1)
    nodes = sum(len(genome.nodes) for genome in genomes) / max(len(genomes), 1)
    if not params.evolves:
        learned = (CONNECTION_DTYPE.itemsize + 4 * _LEARNED) * connections
        checkpoint = learned + NODE_DTYPE.itemsize * nodes
        rows = (params.num_epochs - num_done) * (_ROW + _EVENTS)
        file = _file_size(task, nodes, connections)
        return DiskUse((params.keep_checkpoints + 1) * checkpoint, 0.0, rows + file + _PICTURES + _ONCE)
    more_nodes, more_connections = _growth(params)
    num_left = params.num_generations - num_done
    last = nodes + more_nodes * num_left, connections + more_connections * num_left
    middle = (nodes + last[0]) / 2, (connections + last[1]) / 2
    of_connection = CONNECTION_DTYPE.itemsize + (_MOMENTS if params.hands_on_state else 0)
    individual = _INDIVIDUAL + NODE_DTYPE.itemsize * last[0] + of_connection * last[1]
    # A journal goes with the last checkpoint that could lead to its generation.
    num_journals = min(num_left, params.keep_checkpoints * params.checkpoint_every)
    journaled = _EVALUATION_WEIGHT + (_EVALUATION_MOMENTS if params.hands_on_state else 0)
    journals = num_journals * (_EVALUATION + journaled * last[1] + _evidence_bytes(params, task, *last))
    # Beside the network files lies the population as in a checkpoint.
    networks = (
        min(params.population_size, KEPT_NETWORKS) * _file_size(task, *last) + params.population_size * individual
    )
    if params.save_networks_every:
        num_snapshots = num_left / params.save_networks_every
        files = _file_size(task, *last) + num_snapshots * _file_size(task, *middle)
        networks = params.population_size * (files + (1 + num_snapshots) * individual)
    return DiskUse(
        params.population_size * ((params.keep_checkpoints + 1) * individual + journals),
        networks,
        num_left * (_ROW + _EVENTS)
        + _file_size(task, *last)
        + min(num_left // _GENERATIONS_A_PICTURE, _MOST_PICTURES) * _PICTURE
        + _PICTURES
        + _ONCE,
    )


def disk_use_lines(use: DiskUse, folder: Path) -> list[str]:
    """Return what a user should know before a run begins: nothing if it is small and there is space.

    Parameters
    ----------
    use
        What it writes.
    folder
        Where; it exists.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return []
    parts = {"checkpoints": use.checkpoints, "networks": use.networks, "tables and events": use.tables}
    words = ", ".join(f"{name} {_shown(size)}" for name, size in parts.items())
    if use.complete > free:
        return [
            f"warning: this run may write up to {_shown(use.complete)} ({words}), but {_shown(free)} are free in "
            f"{folder}; see save_networks_every and keep_checkpoints"
        ]
    if use.complete > _WORTH_TELLING:
        return [f"this run may write up to {_shown(use.complete)} ({words}); {_shown(free)} are free"]
    return []


def _growth(params: Params) -> tuple[float, float]:
    """Nodes and connections that a mutated child has more than its parent, on average."""
    p = params.mutation_probabilities()
    number = params.num_mutations_per_generation / max(sum(p.values()), 1e-9)
    # A connection is split in two, and stays in the genome; a bias node is connected to the new node.
    by_node = 2 + int(params.bias and params.bias_connections == "all")
    return number * p["add_node"], number * (p["add_connection"] + by_node * p["add_node"])


def _evidence_bytes(params: Params, task: Task | Environment, nodes: float, connections: float) -> float:
    """What a journal holds of the evidence of one evaluation."""
    if not params.asks_for_evidence or lack_of_evidence(params) is not None:
        return 0.0
    num_kept = max(ABSENT_PER_CONNECTION * connections, LEAST_ABSENT)
    if params.mutation_probabilities()["grow_node"] and not params.output_connections:
        num_kept *= 2
    num_absent = min(num_kept, nodes * (nodes - task.num_inputs))
    return _ABSENT * num_absent + _EVIDENCE_CONNECTION * connections + _EVIDENCE_NODE * nodes


def _file_size(task: Task | Environment, nodes: float, connections: float) -> float:
    """Bytes of a network file."""
    names = task.num_inputs + task.num_outputs
    return _FILE + _FILE_NAME * names + _FILE_NODE * nodes + _FILE_CONNECTION * connections


def _shown(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    units = ("kB", "MB", "GB", "TB")
    power = min(max(int(math.log10(max(size, 1)) // 3), 1), len(units))
    return f"{size / 1000**power:.1f} {units[power - 1]}"
