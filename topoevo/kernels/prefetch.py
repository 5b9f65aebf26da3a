"""Ask the processor for data before it is needed.

A minibatch's input rows lie too far apart for the hardware to guess which comes next, so that a network with few
connections would spend most of its time waiting for memory: the next minibatch is fetched while the present one is
computed, a little with every node, for a burst of requests would keep the computation itself from reading.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from topoevo.compilation import inlined_loop
from topoevo.kernels.lanes import LANES, at

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, call-arg"

#: Bytes in one line of the cache, and in a piece, which is fetched at once.
_LINE, _PIECE = 64, 4 * LANES


@intrinsic
def _fetch_piece(typingctx: Any, address: Any) -> Any:
    """Fetch what lies at an address into the second-level cache; the address is not checked."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bytes_pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [bytes_pointer, integer, integer, integer]),
            "llvm.prefetch.p0",
        )
        # For reading, into the second-level cache, as data.
        constants = [ir.Constant(integer, value) for value in (0, 2, 1)]
        first = builder.inttoptr(arguments[0], bytes_pointer)
        for offset in range(0, _PIECE, _LINE):
            builder.call(function, [builder.gep(first, [ir.Constant(integer, offset)]), *constants])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@inlined_loop
def pieces_of(input_index, inputs):
    """Where the pieces of a minibatch's used rows lie, bytes from its begin, int64 [num_pieces]."""
    num_samples = inputs.shape[2]
    per_row = (num_samples + LANES - 1) // LANES
    pieces = np.empty(len(input_index) * per_row, np.int64)
    for i in range(len(input_index)):
        for k in range(per_row):
            pieces[i * per_row + k] = 4 * (input_index[i] * num_samples + k * LANES)
    return pieces


@inlined_loop
def fetching(pieces, inputs, batch, begin, end, num_steps):
    """What `fetch` takes: pieces from the fraction `begin` to `end` of a minibatch, spread over a number of steps."""
    first, stop = int(begin * len(pieces)), int(end * len(pieces))
    place = inputs.ctypes.data + 4 * batch * inputs.shape[1] * inputs.shape[2]
    return pieces, place, first, (stop - first) / max(num_steps, 1)


@inlined_loop
def nothing_to_fetch():
    """What `fetch` takes where there is nothing to do."""
    return np.empty(0, np.int64), 0, 0, 0.0


@inlined_loop
def fetch(task, step):
    """Fetch the pieces of one step."""
    pieces, place, first, per_step = task
    for k in range(first + int(step * per_step), first + int((step + 1) * per_step)):
        _fetch_piece(place + at(pieces, k))
