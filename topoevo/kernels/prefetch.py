"""Ask the processor for data before it is needed.

A minibatch's input rows lie too far apart for the hardware to guess which comes next, so that a network with few
connections would spend most of its time waiting for memory: fetching the next minibatch while the present one is
computed makes reading the inputs about five times as fast.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

# mypy: disable-error-code="no-untyped-call"

#: Numbers of single precision in one line of the cache.
LINE = 16


@intrinsic
def prefetch(typingctx: Any, array: Any, batch: Any, row: Any, column: Any) -> Any:
    """Fetch the cache line of ``array[batch, row, column]``; indices are not checked, and nothing is returned."""
    signature = types.void(array, batch, row, column)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, *index_types = signature.args
        view = context.make_array(array_type)(context, builder, arguments[0])
        indices = [
            context.cast(builder, value, kind, types.intp)
            for value, kind in zip(arguments[1:], index_types, strict=True)
        ]
        pointer = cgutils.get_item_pointer(context, builder, array_type, view, indices, wraparound=False)
        bytes_pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [bytes_pointer, integer, integer, integer]),
            "llvm.prefetch.p0",
        )
        # For reading, into the second-level cache, as data.
        constants = [ir.Constant(integer, value) for value in (0, 2, 1)]
        builder.call(function, [builder.bitcast(pointer, bytes_pointer), *constants])
        return context.get_dummy_value()

    return signature, codegen
