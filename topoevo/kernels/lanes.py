"""A block of samples in vector registers: the numbers that the loops of the compiled backend calculate with.

Left to itself, the compiler adds edge by edge to a row in memory, and checks before every such loop whether rows
overlap. With values of a type of their own, the sum over a node's edges stays in registers until it is complete.

The functions become single instructions on vectors of `LANES` numbers, which the compiler splits into as many registers
as the processor needs for them.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, misc"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from topoevo.compilation import inlined_loop

#: Samples in a block.
LANES = 64
#: Running sums of a product over samples; they are added up when all samples are through.
SUMS = 16
#: Rows begin at a multiple of so many bytes, a line of the cache.
_ALIGNMENT = 64

_FLOAT, _INTEGER = ir.FloatType(), ir.IntType(32)


class _LanesType(types.Type):
    """The type of a block's numbers for one node."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{LANES}")


_LANES = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(LANES))


def _vector(width: int) -> Any:
    return ir.VectorType(_FLOAT, width)


def _place(context: Any, builder: Any, kinds: Any, values: Any, width: int) -> Any:
    """Pointer to the first `width` numbers of a row, from types and values of (rows, row)."""
    (array_type, row_type), (array, row) = kinds, values
    view = context.make_array(array_type)(context, builder, array)
    indices = [context.cast(builder, row, row_type, types.intp), context.get_constant(types.intp, 0)]
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, indices, wraparound=False)
    return builder.bitcast(pointer, _vector(width).as_pointer())


def _multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once where the processor can."""
    name = f"llvm.fmuladd.v{x.type.count}f32"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type] * 3), name)
    return builder.call(function, [x, y, z])


def _part(builder: Any, vector: Any, lanes: Any) -> Any:
    """Some lanes of a vector, by number."""
    mask = ir.Constant(ir.VectorType(_INTEGER, len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _everywhere(builder: Any, number: Any) -> Any:
    """One number in all lanes."""
    undefined = ir.Constant(_vector(LANES), ir.Undefined)
    return _part(builder, builder.insert_element(undefined, number, ir.Constant(_INTEGER, 0)), [0] * LANES)


@intrinsic
def zeros(typingctx: Any) -> Any:
    """Return 0 in all lanes."""
    return _LANES(), lambda context, builder, signature, arguments: ir.Constant(_vector(LANES), [0.0] * LANES)


@intrinsic
def load(typingctx: Any, rows: Any, row: Any) -> Any:
    """Return a row of `rows`, an array of `aligned_rows`; the index is not checked."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_place(context, builder, signature.args, arguments, LANES), align=_ALIGNMENT)

    return _LANES(rows, row), codegen


@intrinsic
def load_samples(typingctx: Any, inputs: Any, batch: Any, row: Any, first: Any) -> Any:
    """Return ``inputs[batch, row, first:first + LANES]``; indices are not checked."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        indices = [
            context.cast(builder, value, kind, types.intp)
            for value, kind in zip(arguments[1:], signature.args[1:], strict=True)
        ]
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], view, indices, wraparound=False)
        return builder.load(builder.bitcast(pointer, _vector(LANES).as_pointer()), align=4)

    return _LANES(inputs, batch, row, first), codegen


@intrinsic
def store(typingctx: Any, rows: Any, row: Any, lanes: Any) -> Any:
    """Write a row of `rows`, an array of `aligned_rows`; the index is not checked."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[:2], arguments[:2], LANES)
        builder.store(arguments[2], place, align=_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(rows, row, lanes), codegen


@intrinsic
def add_scaled(typingctx: Any, lanes: Any, factor: Any, other: Any) -> Any:
    """Return ``lanes + factor * other``; the factor is one number of single precision."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, factor, other = arguments
        return _multiply_add(builder, _everywhere(builder, factor), other, lanes)

    return _LANES(lanes, types.float32, other), codegen


@intrinsic
def add_product(typingctx: Any, sums: Any, row: Any, lanes: Any, other: Any) -> Any:
    """Add ``lanes * other`` to a row of `sums`, an array of `aligned_rows` with `SUMS` columns."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, lanes, other = arguments
        place = _place(context, builder, signature.args[:2], arguments[:2], SUMS)
        total = builder.load(place, align=_ALIGNMENT)
        for first in range(0, LANES, SUMS):
            some = range(first, first + SUMS)
            total = _multiply_add(builder, _part(builder, lanes, some), _part(builder, other, some), total)
        builder.store(total, place, align=_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(sums, row, lanes, other), codegen


@inlined_loop
def aligned_rows(num_rows, num_columns):
    """Return zeros, float32 [num_rows, num_columns], each row where `load` wants it; columns are a multiple of 16."""
    per_line = _ALIGNMENT // 4
    numbers = np.zeros(num_rows * num_columns + per_line, np.float32)
    first = (-(numbers.ctypes.data // 4)) % per_line
    return numbers[first : first + num_rows * num_columns].reshape(num_rows, num_columns)
