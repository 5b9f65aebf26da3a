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
    """Pointer to a row of `width` numbers, from types and values of (rows, row)."""
    (array_type, row_type), (array, row) = kinds, values
    view = context.make_array(array_type)(context, builder, array)
    first = builder.bitcast(view.data, _vector(width).as_pointer())
    return builder.gep(first, [context.cast(builder, row, row_type, types.intp)], inbounds=True)


def _multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once where the processor can."""
    name = f"llvm.fmuladd.v{x.type.count}f32"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type] * 3), name)
    return builder.call(function, [x, y, z])


def _part(builder: Any, vector: Any, lanes: Any) -> Any:
    """Some lanes of a vector, by number."""
    mask = ir.Constant(ir.VectorType(_INTEGER, len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _add_lanes(builder: Any, lanes: Any, other: Any, total: Any) -> Any:
    """Add ``lanes * other`` to `SUMS` running sums, the first lanes first."""
    for first in range(0, LANES, SUMS):
        some = range(first, first + SUMS)
        total = _multiply_add(builder, _part(builder, lanes, some), _part(builder, other, some), total)
    return total


def _everywhere(builder: Any, number: Any) -> Any:
    """One number in all lanes."""
    undefined = ir.Constant(_vector(LANES), ir.Undefined)
    return _part(builder, builder.insert_element(undefined, number, ir.Constant(_INTEGER, 0)), [0] * LANES)


@intrinsic
def at(typingctx: Any, array: Any, index: Any) -> Any:
    """Return ``array[index]``, integers as those that Python counts with; the index is not checked.

    numba asks of every index whether it is negative, which for short loops is half of their instructions.
    """
    kind = types.intp if isinstance(array.dtype, types.Integer) else array.dtype

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, index_type = signature.args
        view = context.make_array(array_type)(context, builder, arguments[0])
        pointer = builder.gep(view.data, [context.cast(builder, arguments[1], index_type, types.intp)], inbounds=True)
        item = context.unpack_value(builder, array_type.dtype, pointer)
        return context.cast(builder, item, array_type.dtype, kind)

    return kind(array, index), codegen


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
def load_from(typingctx: Any, places: Any, row: Any) -> Any:
    """Return the row whose address in memory is ``places[row]``; neither index nor address is checked."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (array_type, row_type), (array, row) = signature.args, arguments
        view = context.make_array(array_type)(context, builder, array)
        address = builder.load(
            builder.gep(view.data, [context.cast(builder, row, row_type, types.intp)], inbounds=True)
        )
        return builder.load(builder.inttoptr(address, _vector(LANES).as_pointer()), align=4)

    return _LANES(places, row), codegen


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
def rectified(typingctx: Any, lanes: Any) -> Any:
    """Return the relu of each lane; NaN stays NaN."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(_vector(LANES), [0.0] * LANES)
        return builder.select(builder.fcmp_ordered("<", arguments[0], zero), zero, arguments[0])

    return _LANES(lanes), codegen


@intrinsic
def times_step(typingctx: Any, lanes: Any, other: Any) -> Any:
    """Return `lanes`, times 1 where `other` is positive and 0 elsewhere."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, other = arguments
        zero, one = (ir.Constant(_vector(LANES), [value] * LANES) for value in (0.0, 1.0))
        step = builder.select(builder.fcmp_ordered(">", other, zero), one, zero)
        return builder.fmul(lanes, step, flags=("nsz",))

    return _LANES(lanes, other), codegen


@intrinsic
def fused(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x y + z of single numbers, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(*[types.float32] * 3), codegen


@intrinsic
def product(typingctx: Any, x: Any, y: Any) -> Any:
    """Return x y of single numbers, rounded before it is added to anything."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # A flag of its own keeps numba from setting those that let the compiler fuse.
        return builder.fmul(*arguments, flags=("nsz",))

    return types.float32(types.float32, types.float32), codegen


@intrinsic
def add_product(typingctx: Any, sums: Any, row: Any, lanes: Any, other: Any) -> Any:
    """Add ``lanes * other`` to a row of `sums`, an array of `aligned_rows` with `SUMS` columns."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, lanes, other = arguments
        place = _place(context, builder, signature.args[:2], arguments[:2], SUMS)
        total = builder.load(place, align=_ALIGNMENT)
        total = _add_lanes(builder, lanes, other, total)
        builder.store(total, place, align=_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(sums, row, lanes, other), codegen


@intrinsic
def add_products(typingctx: Any, sums: Any, row: Any, lanes: Any, others: Any) -> Any:
    """Add ``lanes[b] * others[b]`` for all blocks b to a row of `sums`, as `add_product` does one after the other."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[:2], arguments[:2], SUMS)
        total = builder.load(place, align=_ALIGNMENT)
        for b in range(lanes.count):
            one, other = (builder.extract_value(argument, b) for argument in arguments[2:])
            total = _add_lanes(builder, one, other, total)
        builder.store(total, place, align=_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(sums, row, lanes, others), codegen


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """As many vectors as each of them has numbers: the columns of the matrix that they are the rows of."""
    width = len(rows)
    step = 1
    while step < width:
        low = [i + width * ((i // step) % 2) - (step if (i // step) % 2 else 0) for i in range(width)]
        high = [i + width * ((i // step) % 2) + (0 if (i // step) % 2 else step) for i in range(width)]
        mixed = list(rows)
        for i in range(width):
            if not (i // step) % 2:
                pair = rows[i], rows[i + step]
                for k, lanes in ((i, low), (i + step, high)):
                    mask = ir.Constant(ir.VectorType(_INTEGER, width), lanes)
                    mixed[k] = builder.shuffle_vector(*pair, mask)
        rows, step = mixed, 2 * step
    return rows


@intrinsic
def add_up(typingctx: Any, sums: Any, row: Any, totals: Any) -> Any:
    """Add up each of `SUMS` rows of `sums` from its first number to its last, into ``totals[row:row + SUMS]``.

    Without transposing, every sum would have to wait for itself fifteen times.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = _place(context, builder, signature.args[:2], arguments[:2], SUMS)
        places = [builder.gep(first, [ir.Constant(_INTEGER, i)]) for i in range(SUMS)]
        columns = _transposed(builder, [builder.load(place, align=_ALIGNMENT) for place in places])
        total = columns[0]
        for column in columns[1:]:
            total = builder.fadd(total, column, flags=("nsz",))
        for place in places:
            builder.store(ir.Constant(_vector(SUMS), [0.0] * SUMS), place, align=_ALIGNMENT)
        view = context.make_array(signature.args[2])(context, builder, arguments[2])
        index = context.cast(builder, arguments[1], signature.args[1], types.intp)
        place = builder.bitcast(builder.gep(view.data, [index]), _vector(SUMS).as_pointer())
        builder.store(total, place, align=4)
        return context.get_dummy_value()

    return types.void(sums, row, totals), codegen


@inlined_loop
def aligned_rows(num_rows, num_columns):
    """Return zeros, float32 [num_rows, num_columns], each row where `load` wants it; columns are a multiple of 16."""
    per_line = _ALIGNMENT // 4
    numbers = np.zeros(num_rows * num_columns + per_line, np.float32)
    first = (-(numbers.ctypes.data // 4)) % per_line
    return numbers[first : first + num_rows * num_columns].reshape(num_rows, num_columns)
