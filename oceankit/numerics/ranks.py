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

__all__ = ["LANES", "census", "kth", "split", "total"]

LANES = 32
"""The size of a buffer must be a multiple of this."""

_I64 = ir.IntType(64)
_BYTES = 64


@intrinsic
def _split(typingctx, keys, pivot, least, greatest):  # noqa: ARG001
    """(number of keys below the pivot, the greatest of those, the smallest of the others) of a contiguous 1-D array."""
    element = keys.dtype
    signature = types.UniTuple(types.int64, 3)(keys, element, element, element)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        scalar = ir.IntType(element.bitwidth)
        lanes = _BYTES * 8 // element.bitwidth
        vector = ir.VectorType(scalar, lanes)
        size = builder.extract_value(array.shape, 0)

        def spread(value: Any) -> Any:
            nothing = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            return builder.shuffle_vector(first, nothing, zeros)

        def call(name: str, result: Any, *values: Any) -> Any:
            kind = ir.FunctionType(result, [v.type for v in values])
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            return builder.call(function, values)

        suffix = f"v{lanes}i{element.bitwidth}"
        at, low, high = (spread(v) for v in args[1:])
        one = ir.Constant(vector, [1] * lanes)
        before = builder.block
        head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_I64)
        k.add_incoming(ir.Constant(_I64, 0), before)
        number, under, over = (builder.phi(vector) for _ in range(3))
        for phi, start in ((number, ir.Constant(vector, None)), (under, low), (over, high)):
            phi.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", k, size), body, after)
        builder.position_at_end(body)
        x = builder.load(builder.bitcast(builder.gep(array.data, [k]), vector.as_pointer()))
        x.align = element.bitwidth // 8
        below = builder.icmp_signed("<", x, at)
        # Selected last, so that these become masked instructions.
        number.add_incoming(builder.select(below, builder.add(number, one), number), body)
        under.add_incoming(builder.select(below, call(f"llvm.smax.{suffix}", vector, under, x), under), body)
        over.add_incoming(builder.select(below, over, call(f"llvm.smin.{suffix}", vector, over, x)), body)
        k.add_incoming(builder.add(k, ir.Constant(_I64, lanes)), body)
        builder.branch(head)
        builder.position_at_end(after)
        found = [
            builder.sext(call(f"llvm.vector.reduce.{how}.{suffix}", scalar, of), _I64) if scalar != _I64
            else call(f"llvm.vector.reduce.{how}.{suffix}", scalar, of)
            for how, of in (("add", number), ("smax", under), ("smin", over))
        ]  # fmt: skip
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@intrinsic
def _census(typingctx, keys, empty):  # noqa: ARG001
    """(number, sum) of the keys of a contiguous 1-D array that are not ``empty``; sums of 16-bit keys in 32 bits."""
    element = keys.dtype
    signature = types.UniTuple(types.int64, 2)(keys, element)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        scalar = ir.IntType(element.bitwidth)
        wide = ir.IntType(min(64, 2 * element.bitwidth))
        lanes = _BYTES * 8 // wide.width
        narrow, vector = ir.VectorType(scalar, lanes), ir.VectorType(wide, lanes)
        size = builder.extract_value(array.shape, 0)
        nothing = ir.Constant(narrow, ir.Undefined)
        first = builder.insert_element(nothing, args[1], ir.Constant(ir.IntType(32), 0))
        stands = builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))
        zero, one = ir.Constant(vector, None), ir.Constant(vector, [1] * lanes)
        before = builder.block
        head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_I64)
        k.add_incoming(ir.Constant(_I64, 0), before)
        number, summed = builder.phi(vector), builder.phi(vector)
        for phi in (number, summed):
            phi.add_incoming(zero, before)
        builder.cbranch(builder.icmp_signed("<", k, size), body, after)
        builder.position_at_end(body)
        x = builder.load(builder.bitcast(builder.gep(array.data, [k]), narrow.as_pointer()))
        x.align = element.bitwidth // 8
        there = builder.icmp_signed("!=", x, stands)
        value = builder.sext(x, vector) if wide != scalar else x
        number.add_incoming(builder.select(there, builder.add(number, one), number), body)
        summed.add_incoming(builder.select(there, builder.add(summed, value), summed), body)
        k.add_incoming(builder.add(k, ir.Constant(_I64, lanes)), body)
        builder.branch(head)
        builder.position_at_end(after)
        name = f"llvm.vector.reduce.add.v{lanes}i{wide.width}"
        kind = ir.FunctionType(wide, [vector])
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        found = [builder.call(function, [of]) for of in (number, summed)]
        found = [builder.sext(f, _I64) if wide != _I64 else f for f in found]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@helper
def census(keys):
    """How many keys of a buffer are not the greatest integer, and their sum; the buffer as in :func:`split`."""
    return _census(keys, keys.dtype.type(np.iinfo(keys.dtype).max))


@intrinsic
def total(typingctx, values):  # noqa: ARG001
    """Sum of a contiguous 1-D float64 array whose size is a multiple of :data:`LANES`, in 32 sums that are added at the end."""
    signature = types.float64(values)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        vector = ir.VectorType(ir.DoubleType(), 8)
        size = builder.extract_value(array.shape, 0)
        before = builder.block
        head, body, after = (builder.append_basic_block(n) for n in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_I64)
        k.add_incoming(ir.Constant(_I64, 0), before)
        sums = [builder.phi(vector) for _ in range(4)]
        for phi in sums:
            phi.add_incoming(ir.Constant(vector, None), before)
        builder.cbranch(builder.icmp_signed("<", k, size), body, after)
        builder.position_at_end(body)
        for n, phi in enumerate(sums):
            at = builder.gep(array.data, [builder.add(k, ir.Constant(_I64, 8 * n))])
            x = builder.load(builder.bitcast(at, vector.as_pointer()))
            x.align = 8
            phi.add_incoming(builder.fadd(phi, x), body)
        k.add_incoming(builder.add(k, ir.Constant(_I64, LANES)), body)
        builder.branch(head)
        builder.position_at_end(after)
        lanes = builder.fadd(builder.fadd(sums[0], sums[1]), builder.fadd(sums[2], sums[3]))
        found = [builder.extract_element(lanes, ir.Constant(ir.IntType(32), n)) for n in range(8)]
        while len(found) > 1:
            found = [builder.fadd(a, b) for a, b in zip(found[::2], found[1::2], strict=True)]
        return found[0]

    return signature, generate


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
