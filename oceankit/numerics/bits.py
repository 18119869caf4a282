"""Flags as bits: which come next, and whether there are any, found 64 at a time."""

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from oceankit.numerics.compiling import helper
from oceankit.numerics.vectors import loaded

__all__ = ["any_between", "how_many", "lowest", "next_clear", "next_set", "pack_ones", "words_for"]

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_U6, _U63 = np.uint64(6), np.uint64(63)


@helper
def words_for(size):
    """How many words of 64 bits hold ``size`` bits."""
    return (size + 63) >> 6


@helper
def pack_ones(flags, words):
    """Set the bits of the places whose flag is odd.

    Parameters
    ----------
    flags : (n,) uint8
        C-contiguous.
    words : (words_for(n),) uint64
        Is written; the first place is the lowest bit, those behind the last place are 0.
    """
    whole = flags.size >> 6
    for m in range(whole):
        words[m] = _packed(flags, 64 * m)
    if whole < words.size:
        word = np.uint64(0)
        for place in range(64 * whole, flags.size):
            word |= np.uint64(flags[place] & 1) << np.uint64(place - 64 * whole)
        words[whole] = word


@intrinsic
def _packed(typingctx, flags, start):  # noqa: ARG001
    """The lowest bits of 64 flags from ``flags[start]`` on."""
    signature = types.uint64(flags, start)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        values = loaded(builder, data, args[1], ir.VectorType(ir.IntType(8), 64), 1)
        return builder.bitcast(builder.trunc(values, ir.VectorType(ir.IntType(1), 64)), ir.IntType(64))

    return signature, generate


@helper
def next_set(words, start, stop):
    """The first place of ``start``, ``start + 1`` ... whose bit is set; ``stop`` if there is none before it."""
    return _next(words, start, stop, np.uint64(0))


@helper
def next_clear(words, start, stop):
    """The first place whose bit is not set, likewise."""
    return _next(words, start, stop, _ALL)


@helper
def _next(words, start, stop, turned):
    if start >= stop:
        return stop
    m = np.uint64(start) >> _U6
    last = np.uint64(stop - 1) >> _U6
    word = (words[m] ^ turned) & (_ALL << (np.uint64(start) & _U63))
    while word == 0 and m < last:
        m += np.uint64(1)
        word = words[m] ^ turned
    return min(np.int64((m << _U6) + lowest(word)), np.int64(stop))


@helper
def _ones_between(m, start, stop):
    """Word ``m`` of a mask whose bits are set from ``start`` to before ``stop``."""
    low, high = start - 64 * m, 64 * m + 64 - stop
    if low >= 64 or high >= 64:
        return np.uint64(0)
    return (_ALL << np.uint64(max(low, 0))) & (_ALL >> np.uint64(max(high, 0)))


@helper
def any_between(words, start, stop):
    """Whether a bit is set from ``start`` to before ``stop``."""
    for m in range(start >> 6, ((stop - 1) >> 6) + 1):
        if words[m] & _ones_between(m, start, stop) != 0:
            return True
    return False


@intrinsic
def lowest(typingctx, word):  # noqa: ARG001
    """Place of the lowest bit that is set, 64 if there is none."""
    signature = types.uint64(types.uint64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return signature, generate


@intrinsic
def how_many(typingctx, word):  # noqa: ARG001
    """Number of bits that are set."""
    signature = types.uint64(types.uint64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(args[0])

    return signature, generate
