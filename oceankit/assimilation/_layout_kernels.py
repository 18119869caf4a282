"""Fields of an ensemble laid out for the kernels of analyses, members beside each other, and back."""

import math

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.lanes import transpose_tile

__all__ = ["gathered", "scattered"]


@kernel
def _transposed(source, target, lanes):
    """``target`` becomes the transpose of ``source``: squares of whole vectors, then what is left."""
    rows, columns = source.shape[0] // lanes * lanes, source.shape[1] // lanes * lanes
    for c in range(0, columns, lanes):
        for r in range(0, rows, lanes):
            transpose_tile(source, r, c, target, c, r)
    for c in range(source.shape[1]):
        for r in range(rows if c < columns else 0, source.shape[0]):
            target[c, r] = source[r, c]


@kernel
def gathered(values, state, fill, first, lanes):
    """Put a field's ``values`` (members, fields, places) in a tile from field ``first`` on, and say what is missing.

    Returns the first place and field that is missing in some members only, or -1 and -1.
    """
    members, fields, places = values.shape
    bad_place, bad_field = -1, -1
    mark = np.empty(places, values.dtype)
    for f in range(fields):
        mark[:] = 0
        for m in range(members):
            for c in range(places):
                # Nothing, or not a number.
                mark[c] += values[m, f, c] - values[m, f, c]
        for c in range(places):
            if mark[c] != 0:
                missing = 0
                for m in range(members):
                    missing += not math.isfinite(values[m, f, c])
                fill[c, first + f] = True
                if missing < members and bad_place < 0:
                    bad_place, bad_field = c, f
        _transposed(values[:, f], state[:, first + f], lanes)
    return bad_place, bad_field


@kernel
def scattered(state, first, values, low, high, bounded, lanes):
    """The way back, within bounds; ``bounded`` counts at each place the values that were set to one."""
    for f in range(values.shape[1]):
        _transposed(state[:, first + f], values[:, f], lanes)
    if low == -math.inf and high == math.inf:
        return
    for m in range(values.shape[0]):
        for f in range(values.shape[1]):
            for c in range(values.shape[2]):
                value = values[m, f, c]
                if value < low or value > high:
                    values[m, f, c] = max(min(value, high), low)
                    bounded[c] += 1
