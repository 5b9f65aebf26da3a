"""Node genes and connection genes: the columns of a genome's two tables (Stanley & Miikkulainen 2002, figure 2)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

import numpy as np


class Role(IntEnum):
    """What a node is for; names go into files, numbers do not."""

    INPUT = 0
    BIAS = 1  #: constant 1
    HIDDEN = 2
    OUTPUT = 3


#: The same as plain integers: looking up a member of an enumeration costs more than the comparison it is for.
INPUT, BIAS, HIDDEN, OUTPUT = (int(role) for role in Role)

#: One row per node, sorted by ``id``. ``activation`` is a code of `topoevo.activations`.
NODE_DTYPE = np.dtype([("id", np.int32), ("role", np.int8), ("activation", np.int8)])

#: One row per connection, sorted by ``innovation``. A NaN ``weight`` is drawn when learning starts.
CONNECTION_DTYPE = np.dtype(
    [
        ("innovation", np.int32),
        ("source", np.int32),
        ("target", np.int32),
        ("weight", np.float32),
        ("enabled", np.bool_),
    ]
)

#: One row of each table, as it lies in memory.
NODE_LAYOUT, CONNECTION_LAYOUT = Struct("=ibb"), Struct("=iiif?")

#: Weight of a connection that has not been given one.
UNSET = np.float32(np.nan)
