"""Order statistics of pools of values that change little from one pool to the next, of several cells side by side.

Values are compared as integer keys that sort like them: integers as they are, floats by their bits. A pool is a buffer of
(slots, cells) keys in which a few are replaced from one question to the next. One pass over it, written as LLVM vectors with a
cell in each lane, tells how many keys lie below a pivot and which are next to it; the search for a rank starts where the last
one ended.

What is known of the cells stands in two arrays, ``whole`` (int64) and ``real`` (float64): a row for each of the names below,
flat, so that row ``NAME`` is ``whole[NAME * cells : (NAME + 1) * cells]``.
"""

from collections.abc import Sequence
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from oceankit.numerics.compiling import dividing, helper
from oceankit.numerics.vectors import F64, I32, I64, called, folded, load, loaded, place_of, spread

__all__ = [
    "AFTER", "AFTER_VALUE", "COUNT", "FOUND", "FOUND_VALUE", "LOST", "REAL", "SHARE", "SUM", "TARGET", "TOTAL", "WHOLE",
    "as_values", "cells_of", "empty", "exchange", "find", "totals",
]  # fmt: skip

# Rows of ``whole``: number and sum of the keys that are held; the pivot, the keys below it and the keys next to it; the rank
# that is looked for, counted from 1 (0: none), and what was found there and next to it; what a search knows on either side.
COUNT, SUM, PIVOT, BELOW, UNDER, OVER, TARGET, FOUND, AFTER = range(9)
LOW, HIGH, LOW_PIVOT, HIGH_PIVOT, LOW_COUNT, HIGH_COUNT, GOING = range(9, 16)
# Integers that came in and are the greatest of their type, which stands for missing.
LOST = 16
WHOLE = 17
# Rows of ``real``: how far keys lie from each other near the pivot; the next step; of what was found, the share of the rank
# behind it and the values; the sum of all values.
GAP, STRIDE, SHARE, FOUND_VALUE, AFTER_VALUE, TOTAL = range(6)
REAL = 6

_BYTES = 64


class _Keys:
    """Types of the keys of an array of integers or floats, one cell in each lane."""

    def __init__(self, array: types.Array) -> None:
        self.bits = array.dtype.bitwidth
        self.align = self.bits // 8
        self.lanes = _BYTES // self.align
        self.floats = isinstance(array.dtype, types.Float)
        element = (ir.FloatType() if self.bits == 32 else F64) if self.floats else ir.IntType(self.bits)
        self.values = ir.VectorType(element, self.lanes)
        self.vector = ir.VectorType(ir.IntType(self.bits), self.lanes)
        self.whole, self.real = ir.VectorType(I64, self.lanes), ir.VectorType(F64, self.lanes)
        self.suffix = f"v{self.lanes}i{self.bits}"
        self.none = ir.Constant(self.vector, None)
        self.greatest = ir.Constant(self.vector, [(1 << (self.bits - 1)) - 1] * self.lanes)

    def of(self, builder: ir.IRBuilder, x: Any, missing: Any, other: Any) -> Any:
        """Keys of values; the greatest integer where one is missing."""
        if not self.floats:
            gone = builder.or_(builder.icmp_signed("==", x, missing), builder.icmp_signed("==", x, other))
            return builder.select(gone, self.greatest, x)
        gone = builder.fcmp_unordered("uno", x, x)
        return builder.select(gone, self.greatest, self._turned(builder, builder.bitcast(x, self.vector)))

    def back(self, builder: ir.IRBuilder, keys: Any) -> Any:
        """Floats of keys, as float64."""
        x = builder.bitcast(self._turned(builder, keys), self.values)
        return x if self.bits == 64 else builder.fpext(x, self.real)

    def _turned(self, builder: ir.IRBuilder, bits: Any) -> Any:
        # Negative floats sort backwards by their bits: all but the sign is turned round, and back again.
        sign = builder.ashr(bits, ir.Constant(self.vector, [self.bits - 1] * self.lanes))
        return builder.xor(bits, builder.and_(sign, self.greatest))

    def widened(self, builder: ir.IRBuilder, x: Any) -> Any:
        return x if x.type == self.whole else builder.sext(x, self.whole)


def _row(builder: ir.IRBuilder, array: Any, row: Any, kind: ir.VectorType) -> Any:
    """Pointer to a row of ``whole`` or ``real``."""
    start = builder.gep(array.data, [builder.mul(row, ir.Constant(I64, kind.count))])
    return builder.bitcast(start, kind.as_pointer())


def _put(builder: ir.IRBuilder, array: Any, row: int, value: Any) -> None:
    builder.store(value, _row(builder, array, ir.Constant(I64, row), value.type)).align = 8


def _pivots(builder: ir.IRBuilder, keys: _Keys, whole: Any) -> Any:
    x = load(builder, _row(builder, whole, ir.Constant(I64, PIVOT), keys.whole), 8)
    return x if keys.bits == 64 else builder.trunc(x, keys.vector)


@intrinsic
def cells_of(typingctx, values):  # noqa: ARG001
    """How many cells of an array go side by side; Numba knows it when it compiles."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return ir.Constant(I64, _Keys(values).lanes)

    return types.int64(values), generate


@intrinsic
def exchange(typingctx, columns, first, steps, slots, begin, end, held, missing, other, whole):  # noqa: ARG001
    """``held[slots[e]] = keys of columns[steps[e], first:]`` for e in begin..end; ``whole`` is told what that changes.

    Parameters
    ----------
    columns : (steps, n) array of int16, int32, float32 or float64
        Cells lie side by side.
    first : int
        The first of the cells.
    steps, slots : uint32 arrays
    begin, end : int
    held : (slots, cells) signed integers as wide as those of ``columns``
        C-contiguous; the greatest integer stands for empty places.
    missing, other
        Integers that stand for missing; of floats NaN is missing.
    whole : (WHOLE * cells,) int64
        COUNT and BELOW follow, and SUM and LOST of integers.
    """
    given = (columns, types.int64, steps, slots, types.int64, types.int64, held, columns.dtype, columns.dtype)
    signature = types.void(*given, whole)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        keys = _Keys(columns)
        which, where, buffer, known = (
            context.make_array(signature.args[k])(context, builder, args[k]) for k in (2, 3, 6, 9)
        )
        at, begin = _pivots(builder, keys, known), args[4]
        stand_for = [None, None] if keys.floats else [spread(builder, args[k], keys.vector) for k in (7, 8)]
        number, byte = builder.sub(args[5], begin), ir.IntType(8)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer()] + [I32] * 3)
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte.as_pointer()], kind)
        sums = ir.VectorType(ir.IntType(min(64, 2 * keys.bits)), keys.lanes)

        def marks(test: str, x: Any, against: Any) -> Any:
            return builder.sext(builder.icmp_signed(test, x, against), keys.vector)

        def step(k: Any, below: Any, count: Any, *more: Any) -> Sequence[Any]:
            e = builder.add(begin, k)
            n, slot = (builder.zext(builder.load(builder.gep(a.data, [e])), I64) for a in (which, where))
            source = place_of(context, builder, signature.args[0], args[0], n, args[1], keys.values)
            place = builder.gep(buffer.data, [builder.mul(slot, ir.Constant(I64, keys.lanes))])
            place = builder.bitcast(place, keys.vector.as_pointer())
            old = load(builder, place, keys.align)
            # What the next question brings is asked for ahead: each step is in another page of memory.
            following = builder.add(e, number)
            there = builder.icmp_signed("<", following, builder.extract_value(which.shape, 0))
            coming = builder.load(builder.gep(which.data, [builder.select(there, following, e)]))
            ahead = place_of(context, builder, signature.args[0], args[0], builder.zext(coming, I64), args[1], byte)
            builder.call(prefetch, [ahead, *(ir.Constant(I32, n) for n in (0, 3, 1))])
            value = load(builder, source, keys.align)
            new = keys.of(builder, value, *stand_for)
            builder.store(new, place).align = keys.align
            # A mark is -1.
            below = builder.add(below, builder.sub(marks("<", old, at), marks("<", new, at)))
            count = builder.add(count, builder.sub(marks("!=", old, keys.greatest), marks("!=", new, keys.greatest)))
            if keys.floats:
                return below, count
            greatest = builder.icmp_signed("==", value, keys.greatest)
            meant = [builder.icmp_signed("!=", value, x) for x in stand_for]
            lost = builder.sext(builder.and_(greatest, builder.and_(*meant)), keys.vector)
            new, old = (
                builder.sext(builder.select(builder.icmp_signed("==", x, keys.greatest), keys.none, x), sums)
                for x in (new, old)
            )
            return below, count, builder.add(more[0], builder.sub(new, old)), builder.sub(more[1], lost)

        starts = [keys.none, keys.none] + ([] if keys.floats else [ir.Constant(sums, None), keys.none])
        changes = folded(builder, number, 1, starts, step)
        for row, change in zip((BELOW, COUNT, SUM, LOST), changes, strict=False):
            before = load(builder, _row(builder, known, ir.Constant(I64, row), keys.whole), 8)
            _put(builder, known, row, builder.add(before, keys.widened(builder, change)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _split(typingctx, held, whole):  # noqa: ARG001
    """BELOW, the number of keys below the pivots, and the keys next to them: UNDER and OVER.

    Where there is none on a side, any number stands for it.
    """
    signature = types.void(held, whole)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        keys = _Keys(held)
        buffer, known = (context.make_array(signature.args[k])(context, builder, args[k]) for k in range(2))
        at = _pivots(builder, keys, known)

        def step(k: Any, number: Any, under: Any, over: Any) -> tuple[Any, Any, Any]:
            x = loaded(builder, buffer.data, k, keys.vector, keys.align)
            below = builder.sext(builder.icmp_signed("<", x, at), keys.vector)
            # Without a sign, what lies below the pivot is farther from it than whatever lies above.
            far = builder.sub(x, at)
            return (
                builder.sub(number, below),
                called(builder, f"llvm.umax.{keys.suffix}", keys.vector, under, far),
                called(builder, f"llvm.umin.{keys.suffix}", keys.vector, over, far),
            )

        lanes = ir.Constant(I64, keys.lanes)
        size = builder.mul(builder.extract_value(buffer.shape, 0), lanes)
        starts = (keys.none, keys.none, ir.Constant(keys.vector, [-1] * keys.lanes))
        number, under, over = folded(builder, size, keys.lanes, starts, step)
        found = (number, builder.add(under, at), builder.add(over, at))
        for row, value in zip((BELOW, UNDER, OVER), found, strict=True):
            _put(builder, known, row, keys.widened(builder, value))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def totals(typingctx, columns, held, real):  # noqa: ARG001
    """TOTAL, the sums of the values whose keys are held; ``columns`` tells of which type they are."""
    signature = types.void(columns, held, real)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        keys = _Keys(columns)
        buffer, known = (context.make_array(signature.args[k])(context, builder, args[k]) for k in (1, 2))
        zero = ir.Constant(keys.real, None)

        def step(k: Any, summed: Any) -> tuple[Any]:
            x = loaded(builder, buffer.data, k, keys.vector, keys.align)
            there = builder.icmp_signed("!=", x, keys.greatest)
            return (builder.fadd(summed, builder.select(there, keys.back(builder, x), zero)),)

        size = builder.mul(builder.extract_value(buffer.shape, 0), ir.Constant(I64, keys.lanes))
        _put(builder, known, TOTAL, folded(builder, size, keys.lanes, (zero,), step)[0])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def as_values(typingctx, columns, whole, real):  # noqa: ARG001
    """FOUND_VALUE and AFTER_VALUE of floats from their keys; ``columns`` tells of which type they are."""
    signature = types.void(columns, whole, real)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        keys = _Keys(columns)
        known, out = (context.make_array(signature.args[k])(context, builder, args[k]) for k in (1, 2))
        for row, to in ((FOUND, FOUND_VALUE), (AFTER, AFTER_VALUE)):
            x = load(builder, _row(builder, known, ir.Constant(I64, row), keys.whole), 8)
            _put(builder, out, to, keys.back(builder, x if keys.bits == 64 else builder.trunc(x, keys.vector)))
        return context.get_dummy_value()

    return signature, generate


@helper
def empty(held, whole):
    """Make the buffer empty; pivots stay where they are."""
    held[:] = np.iinfo(held.dtype).max
    n = cells_of(held)
    for lane in range(n):
        whole[COUNT * n + lane], whole[SUM * n + lane], whole[BELOW * n + lane] = 0, 0, 0


# Float64 numbers from here on are no 64-bit integers.
_TOO_FAR = 9.2e18


@helper
def _key(place, low, high):
    """The whole number at a float64 ``place``, or the nearest above ``low`` and not above ``high``."""
    place = place if place < _TOO_FAR else _TOO_FAR
    place = place if place > -_TOO_FAR else -_TOO_FAR
    key = np.int64(place)
    key = key if key > low else low + 1
    return key if key < high else high


@dividing
def find(held, whole, real):
    """FOUND and AFTER, the keys of the ranks TARGET and TARGET + 1, counted from 1, of each cell whose TARGET is not 0.

    There must be as many keys; AFTER means nothing where TARGET is the last rank. PIVOT, BELOW and GAP are left where the next
    search begins.
    """
    # A pivot with as many keys below it as the target lies between the two ranks: one pass then tells both. Of the others that
    # were asked, the nearest below and above are kept; and the keys next to them, inwards.
    least, most = np.int64(np.iinfo(held.dtype).min), np.int64(np.iinfo(held.dtype).max)
    n = cells_of(held)
    for lane in range(n):
        whole[LOW * n + lane], whole[HIGH * n + lane], whole[LOW_COUNT * n + lane], whole[HIGH_COUNT * n + lane] = (
            least,
            most,
            -1,
            -1,
        )
        whole[LOW_PIVOT * n + lane], whole[HIGH_PIVOT * n + lane] = least, most
        whole[GOING * n + lane] = whole[TARGET * n + lane] > 0
        gap = real[GAP * n + lane]
        real[STRIDE * n + lane] = gap
        place = np.float64(whole[PIVOT * n + lane]) + (whole[TARGET * n + lane] - whole[BELOW * n + lane]) * gap
        whole[PIVOT * n + lane] = _key(place, least, most)
    passes = 0
    left = np.int64(1)
    while left:
        _split(held, whole)
        passes += 1
        # Now and then by halves, where keys do not lie evenly.
        halve = np.int64(passes % 4 == 0)
        left = np.int64(0)
        for lane in range(n):
            count, target, pivot = whole[BELOW * n + lane], whole[TARGET * n + lane], whole[PIVOT * n + lane]
            few, many = count < target, count > target
            low = whole[OVER * n + lane] if few else whole[LOW * n + lane]
            low_pivot = pivot if few else whole[LOW_PIVOT * n + lane]
            low_count = count if few else whole[LOW_COUNT * n + lane]
            high = whole[UNDER * n + lane] if many else whole[HIGH * n + lane]
            high_pivot = pivot if many else whole[HIGH_PIVOT * n + lane]
            high_count = count if many else whole[HIGH_COUNT * n + lane]
            going = whole[GOING * n + lane]
            hit = count == target
            found = whole[UNDER * n + lane] if hit else low
            after = whole[OVER * n + lane] if hit else low
            whole[FOUND * n + lane] = found if going else whole[FOUND * n + lane]
            whole[AFTER * n + lane] = after if going else whole[AFTER * n + lane]
            whole[LOW * n + lane], whole[LOW_PIVOT * n + lane], whole[LOW_COUNT * n + lane] = low, low_pivot, low_count
            whole[HIGH * n + lane], whole[HIGH_PIVOT * n + lane], whole[HIGH_COUNT * n + lane] = (
                high,
                high_pivot,
                high_count,
            )
            going = 0 if hit | (low == high) else going
            whole[GOING * n + lane] = going
            left |= going
            both = (low_count >= 0) & (high_count >= 0)
            # As if keys lay evenly; beyond what is known, in steps that grow.
            even = (np.float64(high_pivot) - np.float64(low_pivot)) / np.float64(high_count - low_count)
            stride = real[STRIDE * n + lane]
            real[STRIDE * n + lane] = 2.0 * stride
            real[GAP * n + lane] = (
                0.75 * real[GAP * n + lane] + 0.25 * even if both & (going == 0) else real[GAP * n + lane]
            )
            inside = np.float64(low_pivot) + (target - low_count) * even
            outside = np.float64(pivot) + (target - count) * stride
            place = inside if both else outside
            place = 0.5 * (np.float64(low) + np.float64(high)) if both & (halve > 0) else place
            # One short of the target, or one too many, the next key is the answer, or one of several alike.
            place = np.float64(low) if target - count == 1 else place
            place = np.float64(high) if count - target == 1 else place
            following = _key(place, low, high)
            whole[PIVOT * n + lane] = following if going else pivot
