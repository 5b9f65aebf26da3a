"""The size of a genome, as far as it takes part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Complexity:
    """Size of the part of a genome that lies on some path from an input to an output.

    Parameters
    ----------
    connections
        Enabled connections whose source is not the bias node.
    biases
        Enabled connections from the bias node.
    hidden
        Hidden nodes.
    """

    connections: int
    biases: int
    hidden: int
