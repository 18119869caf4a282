"""What code that is written as LLVM vectors is put together from."""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir

__all__ = [
    "EIGHT",
    "F64",
    "I32",
    "I64",
    "called",
    "folded",
    "load",
    "loaded",
    "place_of",
    "reduced",
    "spread",
    "turned",
]

I32, I64, F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()
EIGHT = 8
"""Float64 numbers of a vector, and rows or targets that are worked on side by side."""


def place_of(context: Any, builder: ir.IRBuilder, kind: Any, value: Any, row: Any, column: Any, kind_of: Any) -> Any:
    """Pointer of the given type to one element of a 2-D array, by its strides."""
    array = context.make_array(kind)(context, builder, value)
    strides = [builder.extract_value(array.strides, k) for k in range(2)]
    offset = builder.add(builder.mul(row, strides[0]), builder.mul(column, strides[1]))
    raw = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [offset])
    return builder.bitcast(raw, kind_of.as_pointer())


def load(builder: ir.IRBuilder, pointer: Any, align: int) -> Any:
    value = builder.load(pointer)
    value.align = align
    return value


def loaded(builder: ir.IRBuilder, data: Any, k: Any, vector: ir.VectorType, align: int) -> Any:
    """A vector of the elements from ``data[k]`` on."""
    return load(builder, builder.bitcast(builder.gep(data, [k]), vector.as_pointer()), align)


def spread(builder: ir.IRBuilder, value: Any, vector: ir.VectorType) -> Any:
    """The same value in every lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count))


def called(builder: ir.IRBuilder, name: str, result: Any, *values: Any) -> Any:
    """What a function of LLVM gives."""
    kind = ir.FunctionType(result, [v.type for v in values])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, values)


def reduced(builder: ir.IRBuilder, how: str, of: Any) -> Any:
    """The lanes of an integer vector put together, as int64."""
    scalar = of.type.element
    found = called(builder, f"llvm.vector.reduce.{how}.v{of.type.count}i{scalar.width}", scalar, of)
    return found if scalar == I64 else builder.sext(found, I64)


def turned(builder: ir.IRBuilder, rows: Sequence[Any]) -> list[Any]:
    """The transpose of a square: of as many vectors as each has lanes."""
    rows, lanes, size = list(rows), len(rows), 1
    while size < lanes:
        # Swap the off-diagonal squares of this size; twice the size is next.
        low = [c if not c & size else lanes + c - size for c in range(lanes)]
        high = [c + size if not c & size else lanes + c for c in range(lanes)]
        for k in range(lanes):
            if not k & size:
                a, b = rows[k], rows[k + size]
                rows[k] = builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, lanes), low))
                rows[k + size] = builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, lanes), high))
        size *= 2
    return rows


def folded(
    builder: ir.IRBuilder, size: Any, stride: int, starts: Sequence[Any], step: Callable[..., Sequence[Any]]
) -> list[Any]:
    """A loop over 0, ``stride`` ... below ``size``, in whose registers ``step(place, *values)`` gives the next values."""
    before = builder.block
    head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(I64)
    k.add_incoming(ir.Constant(I64, 0), before)
    values = [builder.phi(start.type) for start in starts]
    for value, start in zip(values, starts, strict=True):
        value.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", k, size), body, after)
    builder.position_at_end(body)
    following = step(k, *values)
    for value, new in zip(values, following, strict=True):
        value.add_incoming(new, builder.block)
    k.add_incoming(builder.add(k, ir.Constant(I64, stride)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return values
