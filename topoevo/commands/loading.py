"""The network that a command is given."""

from __future__ import annotations

from pathlib import Path

from topoevo.errors import NetworkFileError
from topoevo.tasks.environments.find import find_environment
from topoevo.trained_network import TrainedNetwork, load_network


def load_named(
    path: str, *, env_name: str | None = None, num_inputs: int | None = None, num_outputs: int | None = None
) -> TrainedNetwork:
    """Return the network of a file, or the champion of a run directory.

    Parameters
    ----------
    path
        As the user gives it.
    env_name
        The environment that the user names. An ``.out`` file that leaves its inputs and outputs open has those of it.
    num_inputs, num_outputs
        For an ``.out`` file; those of the environment if both are None.

    Raises
    ------
    TopoevoError
        If there is no such network, or no such environment.
    """
    file = Path(path).expanduser()
    if file.suffix == ".out" and env_name is not None and num_inputs is None and num_outputs is None:
        environment = find_environment(env_name)
        try:
            return load_network(file, num_inputs=environment.num_inputs, num_outputs=environment.num_outputs)
        except NetworkFileError:
            pass  # Numbers that the file has by itself make the plainer message.
    return load_network(file, num_inputs=num_inputs, num_outputs=num_outputs)
