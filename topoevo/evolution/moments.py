"""What an optimizer remembers of each connection: plain data that evolution hands on, and does not look into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Moments:
    """An optimizer's running averages at the end of a training, by connection gene.

    Parameters
    ----------
    innovation
        Innovation numbers of the genes, int32 [num_genes], ascending.
    first, second
        The two averages, float32 [num_genes]; see `topoevo.kernels.OptimizerState`.
    steps
        Steps that the averages are made of, those of ancestors included.
    """

    innovation: NDArray[np.int32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    steps: int

    def find(self, innovation: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the places of innovation numbers, int64 [len(innovation)], and whether each is there, bool."""
        places = np.minimum(np.searchsorted(self.innovation, innovation), max(len(self.innovation) - 1, 0))
        known = self.innovation[places] == innovation if len(self.innovation) else np.zeros(len(innovation), np.bool_)
        return places, known

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _from_bytes, (self.innovation.tobytes(), self.first.tobytes(), self.second.tobytes(), self.steps)


def _from_bytes(innovation: bytes, first: bytes, second: bytes, steps: int) -> Moments:
    """The moments whose arrays lay in memory like this, on a machine of the same kind."""
    return Moments(
        np.frombuffer(innovation, np.int32), np.frombuffer(first, np.float32), np.frombuffer(second, np.float32), steps
    )
