"""What Numba does not make vectors of, written as LLVM vectors.

- Sixteen float32 (eight float64) fields side by side: one cache line a cell, one vector instruction a weight. A ``pack``
  is an array (cells, lanes) with the same cell of several fields in each row; the lanes fill 64 bytes.
- Rows of small matrices, which are a few vectors long.
"""

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from oceankit.numerics.vectors import EIGHT, F64, I32, I64, load, place_of, spread, turned

__all__ = [
    "lanes_of",
    "mean_lanes",
    "row_add",
    "row_add_two",
    "row_less_products",
    "rows_turn",
    "transpose_tile",
    "vectors_of",
]

_BYTES = 64
_AHEAD = 512


def lanes_of(dtype: Any) -> int:
    """Fields that go side by side."""
    return _BYTES // np.dtype(dtype).itemsize


def vectors_of(array: types.Array) -> tuple[ir.VectorType, ir.VectorType]:
    """One vector of the array's own type, and the float64 one of as many lanes."""
    element = ir.FloatType() if array.dtype == types.float32 else F64
    lanes = 16 if array.dtype == types.float32 else 8
    return ir.VectorType(element, lanes), ir.VectorType(F64, lanes)


def _weighted(builder: ir.IRBuilder, pack: Any, columns: Any, values: Any, span: Any, kinds: Any, valid: bool) -> Any:
    """A loop over the entries of one row with its sums in registers: (weighted sum, weights of what is valid)."""
    narrow, wide = kinds
    begin, end, low = span
    lanes, none = ir.Constant(I64, narrow.count), ir.Constant(wide, None)
    before = builder.block
    head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    k, total, weight = builder.phi(I64), builder.phi(wide), builder.phi(wide)
    for phi, first in ((k, begin), (total, none), (weight, none)):
        phi.add_incoming(first, before)
    builder.cbranch(builder.icmp_signed("<", k, end), body, after)
    builder.position_at_end(body)
    cell = builder.sub(builder.zext(builder.load(builder.gep(columns, [k])), I64), low)
    x = load(builder, builder.bitcast(builder.gep(pack, [builder.mul(cell, lanes)]), narrow.as_pointer()), 4)
    x = x if narrow == wide else builder.fpext(x, wide)
    w = spread(builder, builder.load(builder.gep(values, [k])), wide)
    if valid:
        there = builder.fcmp_ordered("ord", x, x)
        x, w = builder.select(there, x, none), builder.select(there, w, none)
        weight.add_incoming(builder.fadd(weight, w), body)
    else:
        weight.add_incoming(weight, body)
    total.add_incoming(builder.fadd(total, builder.fmul(x, w)), body)
    k.add_incoming(builder.add(k, ir.Constant(I64, 1)), body)
    builder.branch(head)
    builder.position_at_end(after)
    return total, weight


@intrinsic
def mean_lanes(typingctx, pack, columns, values, begin, end, low, scale, least, strict, tile, row):  # noqa: ARG001
    """``tile[row] = scale * sum(values[k] * pack[columns[k] - low])`` over k in begin..end, in every lane.

    Where a lane comes out NaN and ``strict`` is false, the row is done again over what is not missing: the mean
    by the weights of that, NaN where these do not reach ``least``.
    """
    given = (pack, columns, values, types.int64, types.int64, types.int64, types.float64, types.float64)
    signature = types.void(*given, types.boolean, tile, types.int64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        cells, places, weights = (
            context.make_array(signature.args[k])(context, builder, args[k]).data for k in range(3)
        )
        kinds = narrow, wide = vectors_of(signature.args[0])
        scale, least, strict = args[6:9]
        total, _ = _weighted(builder, cells, places, weights, args[3:6], kinds, False)
        result = builder.fmul(total, spread(builder, scale, wide))
        missing = builder.bitcast(builder.fcmp_unordered("uno", total, total), ir.IntType(wide.count))
        again = builder.and_(
            builder.icmp_unsigned("!=", missing, ir.Constant(missing.type, 0)),
            builder.icmp_unsigned("==", strict, ir.Constant(strict.type, 0)),
        )
        clean = builder.block
        redo, done = builder.append_basic_block("redo"), builder.append_basic_block("done")
        builder.cbranch(again, redo, done)
        builder.position_at_end(redo)
        valid, weight = _weighted(builder, cells, places, weights, args[3:6], kinds, True)
        enough = builder.and_(
            builder.fcmp_ordered(">=", weight, spread(builder, least, wide)),
            builder.fcmp_ordered(">", weight, ir.Constant(wide, None)),
        )
        nothing = ir.Constant(wide, [float("nan")] * wide.count)
        partial = builder.select(enough, builder.fdiv(valid, weight), nothing)
        # A lane without gaps keeps its value: what one field gets must not depend on those beside it.
        partial = builder.select(builder.fcmp_unordered("uno", total, total), partial, result)
        last = builder.block
        builder.branch(done)
        builder.position_at_end(done)
        phi = builder.phi(wide)
        phi.add_incoming(result, clean)
        phi.add_incoming(partial, last)
        out = phi if narrow == wide else builder.fptrunc(phi, narrow)
        place = place_of(context, builder, signature.args[9], args[9], args[10], ir.Constant(I64, 0), narrow)
        builder.store(out, place).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def transpose_tile(typingctx, source, row, column, target, to_row, to_column):  # noqa: ARG001
    """``target[to_row:, to_column:] = source[row:, column:].T`` for a square of as many cells as there are lanes.

    Both are 2-D with contiguous rows. What follows in the source's rows is asked for ahead.
    """
    signature = types.void(source, types.int64, types.int64, target, types.int64, types.int64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kinds = signature.args
        vector, _ = vectors_of(kinds[0])
        lanes = vector.count
        byte = ir.IntType(8).as_pointer()
        kind_of = ir.FunctionType(ir.VoidType(), [byte] + [I32] * 3)
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind_of)
        rows = []
        for k in range(lanes):
            line = builder.add(args[1], ir.Constant(I64, k))
            place = place_of(context, builder, kinds[0], args[0], line, args[2], vector)
            rows.append(load(builder, place, 4))
            ahead = builder.gep(builder.bitcast(place, byte), [ir.Constant(I64, _AHEAD)])
            builder.call(prefetch, [ahead, *(ir.Constant(I32, n) for n in (0, 2, 1))])
        rows = turned(builder, rows)
        for k in range(lanes):
            line = builder.add(args[4], ir.Constant(I64, k))
            builder.store(rows[k], place_of(context, builder, kinds[3], args[3], line, args[5], vector)).align = 4
        return context.get_dummy_value()

    return signature, generate


# ---- rows of small matrices ---------------------------------------------------------------------------------------------


def _along_rows(
    context: Any, builder: ir.IRBuilder, kinds: Any, args: Any, which: Any, begin: Any, body_of: Any
) -> None:
    """A loop in steps of eight from ``begin`` to the width of the first array, over rows of 2-D float64 arrays.

    ``which`` are pairs of places in ``args``: an array and the number of its row. ``body_of`` makes of a vector of each
    those that replace some of them: pairs of (which, vector).
    """
    wide = ir.VectorType(F64, EIGHT)
    arrays = [context.make_array(kinds[a])(context, builder, args[a]) for a, _ in which]
    width = builder.extract_value(arrays[0].shape, 1)
    rows = [
        builder.gep(array.data, [builder.mul(args[r], builder.extract_value(array.shape, 1))])
        for array, (_, r) in zip(arrays, which, strict=True)
    ]
    before = builder.block
    head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    j = builder.phi(I64)
    j.add_incoming(begin, before)
    builder.cbranch(builder.icmp_signed("<", j, width), body, after)
    builder.position_at_end(body)
    places = [builder.bitcast(builder.gep(row, [j]), wide.as_pointer()) for row in rows]
    for k, value in body_of([load(builder, place, 8) for place in places]):
        builder.store(value, places[k]).align = 8
    j.add_incoming(builder.add(j, ir.Constant(I64, EIGHT)), body)
    builder.branch(head)
    builder.position_at_end(after)


@intrinsic
def row_add(typingctx, target, i, factor, source, k, begin):  # noqa: ARG001
    """``target[i, begin:] += factor * source[k, begin:]``; both are C-contiguous and a multiple of eight wide."""
    signature = types.void(target, types.int64, types.float64, source, types.int64, types.int64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        factor = spread(builder, args[2], ir.VectorType(F64, EIGHT))
        _along_rows(
            context, builder, signature.args, args, ((0, 1), (3, 4)), args[5],
            lambda v: [(0, builder.fadd(v[0], builder.fmul(factor, v[1])))],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def row_add_two(typingctx, target, i, factor, source, k, second, other, m, begin):  # noqa: ARG001
    """``target[i, begin:] += factor * source[k, begin:] + second * other[m, begin:]``."""
    number = types.int64
    signature = types.void(target, number, types.float64, source, number, types.float64, other, number, number)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        f, g = (spread(builder, args[k], ir.VectorType(F64, EIGHT)) for k in (2, 5))
        _along_rows(
            context, builder, signature.args, args, ((0, 1), (3, 4), (6, 7)), args[8],
            lambda v: [(0, builder.fadd(v[0], builder.fadd(builder.fmul(f, v[1]), builder.fmul(g, v[2]))))],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def rows_turn(typingctx, rows, i, k, c, s):  # noqa: ARG001
    """Rows i and k become ``c * i - s * k`` and ``s * i + c * k``."""
    signature = types.void(rows, types.int64, types.int64, types.float64, types.float64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        c, s = (spread(builder, args[k], ir.VectorType(F64, EIGHT)) for k in (3, 4))
        _along_rows(
            context, builder, signature.args, args, ((0, 1), (0, 2)), ir.Constant(I64, 0),
            lambda v: [
                (0, builder.fsub(builder.fmul(c, v[0]), builder.fmul(s, v[1]))),
                (1, builder.fadd(builder.fmul(s, v[0]), builder.fmul(c, v[1]))),
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, generate


def _less_products(builder: ir.IRBuilder, data: Any, width: Any, i: Any, c: Any, many: int) -> None:
    """Some vectors of row i, from column c on, less the products of the rows before it; sums stay in registers."""
    wide, zero = ir.VectorType(F64, EIGHT), ir.Constant(I64, 0)
    name = f"llvm.fmuladd.v{EIGHT}f64"
    fused = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(wide, [wide] * 3), name=name
    )

    def vectors(row: Any) -> list[Any]:
        start = builder.gep(data, [builder.add(builder.mul(row, width), c)])
        return [
            builder.bitcast(builder.gep(start, [ir.Constant(I64, EIGHT * k)]), wide.as_pointer()) for k in range(many)
        ]

    def less(totals: list[Any], j: Any, used: Any = None) -> list[Any]:
        factor = builder.load(builder.gep(data, [builder.add(builder.mul(j, width), i)]))
        if used is not None:
            factor = builder.select(used, factor, ir.Constant(F64, 0.0))
        factor = spread(builder, builder.fsub(ir.Constant(F64, -0.0), factor), wide)
        rows = vectors(j)
        return [builder.call(fused, [factor, load(builder, r, 8), t]) for r, t in zip(rows, totals, strict=True)]

    places = vectors(i)
    # Two rows at a time have sums of their own; of an odd number the first comes by itself.
    odd = builder.and_(i, ir.Constant(I64, 1))
    starts = less([load(builder, place, 8) for place in places], zero, builder.icmp_signed("!=", odd, zero))
    before = builder.block
    head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    j, total = builder.phi(I64), [builder.phi(wide) for _ in range(2 * many)]
    j.add_incoming(odd, before)
    for phi, start in zip(total, [*starts, *[ir.Constant(wide, None)] * many], strict=True):
        phi.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", j, i), body, after)
    builder.position_at_end(body)
    sums = less(total[:many], j) + less(total[many:], builder.add(j, ir.Constant(I64, 1)))
    for phi, value in zip(total, sums, strict=True):
        phi.add_incoming(value, body)
    j.add_incoming(builder.add(j, ir.Constant(I64, 2)), body)
    builder.branch(head)
    builder.position_at_end(after)
    for place, one, two in zip(places, total[:many], total[many:], strict=True):
        builder.store(builder.fadd(one, two), place).align = 8


@intrinsic
def row_less_products(typingctx, m, i, c):  # noqa: ARG001
    """``m[i, c:] -= sum(m[j, i] * m[j, c:] for j < i)`` of a C-contiguous float64 array a multiple of eight wide.

    ``c`` is a multiple of eight, too.
    """
    signature = types.void(m, types.int64, types.int64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        width = builder.extract_value(array.shape, 1)
        most = 8
        before = builder.block
        head, body, rest, done = (builder.append_basic_block(n) for n in ("wide", "span", "rest", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        c = builder.phi(I64)
        c.add_incoming(args[2], before)
        step = ir.Constant(I64, most * EIGHT)
        builder.cbranch(builder.icmp_signed("<=", builder.add(c, step), width), body, rest)
        builder.position_at_end(body)
        _less_products(builder, array.data, width, args[1], c, most)
        c.add_incoming(builder.add(c, step), builder.block)
        builder.branch(head)
        # What is left is done at once.
        builder.position_at_end(rest)
        left = builder.sdiv(builder.sub(width, c), ir.Constant(I64, EIGHT))
        switch = builder.switch(left, done)
        for many in range(1, most):
            block = builder.append_basic_block(f"last{many}")
            switch.add_case(ir.Constant(I64, many), block)
            builder.position_at_end(block)
            _less_products(builder, array.data, width, args[1], c, many)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate
