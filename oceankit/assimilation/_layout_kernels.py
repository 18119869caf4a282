"""Fields of an ensemble laid out for the kernels of analyses, members beside each other, and back."""

import math

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.lanes import transpose_tile

__all__ = ["bound", "gaps", "transposed", "transposed_fields"]


@kernel
def transposed(source, target, lanes):
    """``target`` becomes the transpose of ``source``: squares of whole vectors, then what is left."""
    rows, columns = source.shape[0] // lanes * lanes, source.shape[1] // lanes * lanes
    for c in range(0, columns, lanes):
        for r in range(0, rows, lanes):
            transpose_tile(source, r, c, target, c, r)
    for c in range(source.shape[1]):
        for r in range(rows if c < columns else 0, source.shape[0]):
            target[c, r] = source[r, c]


@kernel
def transposed_fields(source, target, lanes):
    """``target`` (places, fields, members) becomes ``source`` (members, fields, places), or the other way."""
    for f in range(source.shape[1]):
        transposed(source[:, f], target[:, f], lanes)


@kernel
def gaps(values, missing):
    """Say in ``missing`` (fields, places) where ``values`` (members, fields, places) are not there.

    Returns the first field and place that is missing in some members only, or -1 and -1.
    """
    members, fields, places = values.shape
    bad_field, bad_place = -1, -1
    mark = np.empty(places, values.dtype)
    for f in range(fields):
        mark[:] = 0
        for m in range(members):
            for c in range(places):
                # Nothing, or not a number.
                mark[c] += values[m, f, c] - values[m, f, c]
        for c in range(places):
            if mark[c] != 0:
                gone = 0
                for m in range(members):
                    gone += not math.isfinite(values[m, f, c])
                missing[f, c] = True
                if gone < members and bad_place < 0:
                    bad_field, bad_place = f, c
    return bad_field, bad_place


@kernel
def bound(values, low, high, bounded):
    """Set ``values`` (members, fields, places) within bounds; ``bounded`` counts at each place those that were not."""
    for m in range(values.shape[0]):
        for f in range(values.shape[1]):
            for c in range(values.shape[2]):
                value = values[m, f, c]
                if value < low or value > high:
                    values[m, f, c] = max(min(value, high), low)
                    bounded[c] += 1
