"""Products of small matrices that differ from place to place, places side by side, written as LLVM vectors."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.extending import intrinsic

from oceankit.numerics.lanes import vectors_of
from oceankit.numerics.vectors import I64, folded, load, loaded

__all__ = ["MOST", "TOGETHER", "place_products"]

TOGETHER = 4
"""Columns of the matrices that are worked on at a time"""
MOST = 6
"""Rows of values at most: their sums, one for each of both, stay in the registers"""


@intrinsic
def place_products(typingctx, values, first, many, place, matrices, group, out):  # noqa: ARG001
    """Some rows of values at as many places as there are lanes, each place's by its own matrix.

    ``out[TOGETHER * group + j, f, place:] = sum(values[i, f, place:] * matrices[group, i, j] for i)`` for ``many`` rows f
    from ``first`` on, ``MOST`` at most, and all j. ``values`` is (n, rows, places), ``out`` alike, ``matrices`` (groups, n,
    TOGETHER, lanes), all C-contiguous and of one type.
    """
    signature = types.void(values, types.int64, types.int64, types.int64, matrices, types.int64, out)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        kinds = signature.args
        given, weights, result = (context.make_array(kinds[k])(context, builder, args[k]) for k in (0, 4, 6))
        vector, _ = vectors_of(kinds[0])
        pointer, align = vector.as_pointer(), kinds[0].dtype.bitwidth // 8
        size, rows, width = (builder.extract_value(given.shape, k) for k in range(3))
        name = f"llvm.fmuladd.v{vector.count}f{8 * align}"
        fused = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(vector, [vector] * 3), name=name
        )

        def at(array: Any, row: Any, wide: Any, column: Any, skipped: int) -> Any:
            where = builder.add(builder.mul(builder.add(row, ir.Constant(I64, skipped)), wide), column)
            return builder.bitcast(builder.gep(array.data, [where]), pointer)

        def product(many: int) -> None:
            # Entries of one row of a matrix for all lanes are together.
            step = ir.Constant(I64, TOGETHER * vector.count)
            start = builder.mul(args[5], size)

            def one(i: Any, *totals: Any) -> list[Any]:
                by = builder.mul(builder.add(start, i), step)
                factors = [
                    loaded(builder, weights.data, builder.add(by, ir.Constant(I64, j * vector.count)), vector, align)
                    for j in range(TOGETHER)
                ]
                row = builder.add(builder.mul(i, rows), args[1])
                new = []
                for f in range(many):
                    value = load(builder, at(given, row, width, args[3], f), align)
                    new += [
                        builder.call(fused, [value, factor, total])
                        for factor, total in zip(factors, totals[TOGETHER * f :], strict=False)
                    ]
                return new

            none = ir.Constant(vector, None)
            totals = folded(builder, size, 1, [none] * (TOGETHER * many), one)
            target = builder.mul(args[5], ir.Constant(I64, TOGETHER))
            for j in range(TOGETHER):
                row = builder.add(builder.mul(builder.add(target, ir.Constant(I64, j)), rows), args[1])
                for f in range(many):
                    builder.store(totals[TOGETHER * f + j], at(result, row, width, args[3], f)).align = align

        done = builder.append_basic_block("done")
        switch = builder.switch(args[2], done)
        for number in range(1, MOST + 1):
            block = builder.append_basic_block(f"rows{number}")
            switch.add_case(ir.Constant(I64, number), block)
            builder.position_at_end(block)
            product(number)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate
