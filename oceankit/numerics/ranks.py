"""Order statistics of a buffer of integer keys that changes little from one question to the next.

One pass over the buffer, written as LLVM vectors, tells how many keys lie below a pivot and which are next to it; the search
for a rank starts where the last one ended.
"""

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from oceankit.numerics.compiling import helper
from oceankit.numerics.vectors import I32, I64, called, folded, loaded, reduced, spread

__all__ = ["LANES", "census", "kth", "split", "total"]

LANES = 32
"""The size of a buffer must be a multiple of this."""

_BYTES = 64


@intrinsic
def _split(typingctx, keys, pivot, least, greatest):  # noqa: ARG001
    """(number of keys below the pivot, the greatest of those, the smallest of the others) of a contiguous 1-D array."""
    element = keys.dtype
    signature = types.UniTuple(types.int64, 3)(keys, element, element, element)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        lanes = _BYTES * 8 // element.bitwidth
        vector = ir.VectorType(ir.IntType(element.bitwidth), lanes)
        suffix = f"v{lanes}i{element.bitwidth}"
        at, low, high = (spread(builder, v, vector) for v in args[1:])
        one = ir.Constant(vector, [1] * lanes)

        def step(k: Any, number: Any, under: Any, over: Any) -> tuple[Any, Any, Any]:
            x = loaded(builder, array.data, k, vector, element.bitwidth // 8)
            below = builder.icmp_signed("<", x, at)
            # Selected last, so that these become masked instructions.
            return (
                builder.select(below, builder.add(number, one), number),
                builder.select(below, called(builder, f"llvm.smax.{suffix}", vector, under, x), under),
                builder.select(below, over, called(builder, f"llvm.smin.{suffix}", vector, over, x)),
            )

        starts = (ir.Constant(vector, None), low, high)
        number, under, over = folded(builder, builder.extract_value(array.shape, 0), lanes, starts, step)
        found = [reduced(builder, how, of) for how, of in (("add", number), ("smax", under), ("smin", over))]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@intrinsic
def _census(typingctx, keys, empty):  # noqa: ARG001
    """(number, sum) of the keys of a contiguous 1-D array that are not ``empty``; sums of 16-bit keys in 32 bits."""
    element = keys.dtype
    signature = types.UniTuple(types.int64, 2)(keys, element)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        wide = ir.IntType(min(64, 2 * element.bitwidth))
        lanes = _BYTES * 8 // wide.width
        narrow, vector = ir.VectorType(ir.IntType(element.bitwidth), lanes), ir.VectorType(wide, lanes)
        stands = spread(builder, args[1], narrow)
        zero, one = ir.Constant(vector, None), ir.Constant(vector, [1] * lanes)

        def step(k: Any, number: Any, summed: Any) -> tuple[Any, Any]:
            x = loaded(builder, array.data, k, narrow, element.bitwidth // 8)
            there = builder.icmp_signed("!=", x, stands)
            value = x if narrow == vector else builder.sext(x, vector)
            return (
                builder.select(there, builder.add(number, one), number),
                builder.select(there, builder.add(summed, value), summed),
            )

        found = folded(builder, builder.extract_value(array.shape, 0), lanes, (zero, zero), step)
        return context.make_tuple(builder, signature.return_type, [reduced(builder, "add", of) for of in found])

    return signature, generate


@intrinsic
def total(typingctx, values):  # noqa: ARG001
    """Sum of a contiguous 1-D float64 array whose size is a multiple of :data:`LANES`, in 32 sums that are added at the end."""
    signature = types.float64(values)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        vector = ir.VectorType(ir.DoubleType(), 8)

        def step(k: Any, *sums: Any) -> list[Any]:
            places = [builder.add(k, ir.Constant(I64, 8 * n)) for n in range(len(sums))]
            parts = [loaded(builder, array.data, place, vector, 8) for place in places]
            return [builder.fadd(s, x) for s, x in zip(sums, parts, strict=True)]

        starts = [ir.Constant(vector, None)] * 4
        sums = folded(builder, builder.extract_value(array.shape, 0), LANES, starts, step)
        lanes = builder.fadd(builder.fadd(sums[0], sums[1]), builder.fadd(sums[2], sums[3]))
        found = [builder.extract_element(lanes, ir.Constant(I32, n)) for n in range(8)]
        while len(found) > 1:
            found = [builder.fadd(a, b) for a, b in zip(found[::2], found[1::2], strict=True)]
        return found[0]

    return signature, generate


@helper
def census(keys):
    """How many keys of a buffer are not the greatest integer, and their sum; the buffer as in :func:`split`."""
    return _census(keys, keys.dtype.type(np.iinfo(keys.dtype).max))


@helper
def split(keys, pivot):
    """How many of the keys lie below ``pivot``, the greatest of those and the smallest of the others.

    ``keys`` is a C-contiguous array of int16, int32 or int64 whose size is a multiple of :data:`LANES`. Where there are none
    below, or no others, the least or the greatest integer stands for them.
    """
    kind = keys.dtype.type
    return _split(keys, kind(pivot), kind(np.iinfo(keys.dtype).min), kind(np.iinfo(keys.dtype).max))


# Float64 numbers from here on are no 64-bit integers.
_TOO_FAR = 9.2e18


@helper
def _key(place, low, high):
    """The whole number at a float64 ``place`` between two keys; halfway where it lies outside."""
    if low <= place <= high and abs(place) < _TOO_FAR:
        return np.int64(place)
    return (low >> 1) + (high >> 1) + (low & high & 1)


@helper
def kth(keys, k, near, gap):
    """The keys of the ranks ``k`` and ``k + 1``, from 0, in a buffer that holds more than ``k`` keys below the greatest integer.

    Parameters
    ----------
    keys
        As in :func:`split`; the greatest integer stands for empty places.
    near, gap : int
        Where to begin, and about how far two neighbouring keys lie from each other there: what was found the last time.

    Returns
    -------
    key, next, gap : int64
        ``next`` is the greatest integer where ``k`` is the last rank.
    """
    # A pivot with k + 1 keys below it lies between the two ranks: one pass then tells both. Of the others that were asked, the
    # nearest below and above; and the keys next to them, inwards.
    low, low_count, first = np.int64(np.iinfo(keys.dtype).min), 0, np.int64(np.iinfo(keys.dtype).min)
    high, high_count, last = np.int64(np.iinfo(keys.dtype).max), keys.size, np.int64(np.iinfo(keys.dtype).max)
    bounded_low, bounded_high = False, False
    pivot, step, passes = np.int64(near), np.float64(gap), 0
    while True:
        count, under, over = split(keys, pivot)
        passes += 1
        if count == k + 1:
            found, after = under, over
            break
        if count <= k:
            low, low_count, first, bounded_low = pivot, count, over, True
        else:
            high, high_count, last, bounded_high = pivot, count, under, True
        if bounded_low and bounded_high:
            if first == last:
                found, after = first, first
                break
            # As if keys lay evenly; now and then by halves, where they do not.
            share = (k + 1.0 - low_count) / (high_count - low_count)
            place = low + share * (np.float64(high) - np.float64(low)) if passes % 4 else np.inf
        elif bounded_low:
            place = low + step * (k + 1 - low_count)
            step *= 2.0
        else:
            place = high - step * (high_count - k - 1)
            step *= 2.0
        pivot = min(max(_key(place, low, high), first + 1), last)
    if bounded_low and bounded_high:
        gap = np.int64(min((np.float64(high) - np.float64(low)) / (high_count - low_count), 1e18)) + 1
    return found, after, gap
