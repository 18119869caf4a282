"""Analyses between anchors: transforms are found at some places of the grid and bilinear between them (Yang et al. 2009).

Places of a row of the grid lie side by side in vectors, values and transforms alike, so that fields of members are worked
on in the order in which users keep them.
"""

from typing import NamedTuple

import numpy as np

from oceankit.assimilation._ensemble_kernels import idle, stored, weights_at
from oceankit.assimilation._layout_kernels import transposed
from oceankit.numerics.compiling import kernel
from oceankit.numerics.products import MOST, TOGETHER, place_products

__all__ = ["Between", "between_anchors", "needed"]

_SPAN = 8
"""Vectors of a row of the grid that are worked on at a time: their values stay in the cache"""
_CHUNK = 64
"""Entries of transforms that are laid out at a time"""


class Between(NamedTuple):
    """Transforms at anchors, kept from one row of anchors to the next.

    A transform (members, members) is kept as (groups, members, TOGETHER): some of its columns at a time.
    """

    which: np.ndarray
    """int64 (2,): the rows of anchors that are held, -1 at first"""
    found: np.ndarray
    """Of the state's type (levels, anchors in a row, entries): those found last"""
    laid: np.ndarray
    """The same (2, levels, blocks of columns, groups, members, TOGETHER, lanes): between anchors of a row, by columns"""
    said: np.ndarray
    """float64 (2, levels, anchors in a row, 3): counts and what ``transform`` says"""
    needed: np.ndarray
    """bool (anchor rows, levels, anchors in a row)"""


@kernel
def needed(wet, rows, columns, out):
    """Which anchors lie beside a place with a value: ``wet`` (rows, columns, levels), ``out`` (anchor rows, levels, anchors)."""
    for j in range(rows.size):
        for i in range(columns.size):
            for k in range(wet.shape[2]):
                if wet[j, i, k]:
                    for b in range(2):
                        for a in range(2):
                            out[min(rows[j] + b, out.shape[0] - 1), k, min(columns[i] + a, out.shape[2] - 1)] = True


@kernel
def between_anchors(
    system, inflating, state, fill, at, extra, before, shares, columns, column_shares, work, counts, signals, reductions
):  # fmt: skip
    """Analyse rows of a tile that lie between the anchors of row ``before`` and the next, in place.

    ``state`` is (levels, rows, members, fields, columns); ``fill`` (levels, rows, fields, columns) says what is missing and
    left alone. Anchors are ``at`` (anchor rows, anchor columns, levels, 2 or 3). Each row lies a share of the way to the next
    anchors, columns alike. What is said is (rows, columns, levels).
    """
    last = at.shape[0] - 1
    # In the type of the values, so that vectors are whole; 0 and 1 are exact.
    beside, below = np.empty((columns.size, 2), state.dtype), np.empty((shares.size, 2), state.dtype)
    for parts, given in ((beside, column_shares), (below, shares)):
        for c in range(given.size):
            parts[c, 0], parts[c, 1] = 1.0 - given[c], given[c]
    factors = np.empty(2, state.dtype)
    factors[0], factors[1] = inflating.prior, 1.0 / state.shape[2]
    for row in (before, min(before + 1, last)):
        if work.which[row % 2] != row:
            work.which[row % 2] = row
            _find(system, at[row], extra[row], work.needed[row], work.found, work.said[row % 2])
            _lay(work.found, columns, beside, work.laid[row % 2])
    low, high = before % 2, min(before + 1, last) % 2
    levels, rows, members, fields, many = state.shape
    lanes = work.laid.shape[6]
    # An odd number of vectors more: rows that lie a power of two apart would share a few places of the cache.
    width = (_SPAN + 1) * lanes
    own, new = (
        np.zeros((members, fields, width), state.dtype),
        np.empty((members + TOGETHER, fields, width), state.dtype),
    )
    means, mixed = np.empty((fields, width), state.dtype), np.empty(work.laid.shape[3:], state.dtype)
    keep, unseen = np.empty((fields, width), np.bool_), np.empty(many, np.bool_)
    still = idle(system, inflating)
    for k in range(levels):
        for r in range(rows):
            _tell(
                work.said[low, k], work.said[high, k], shares[r], columns, column_shares, still,
                fill[k, r], counts[r, :, k], signals[r, :, k], reductions[r, :, k], unseen,
            )  # fmt: skip
            for first in range(0, many, _SPAN * lanes):
                n = min(_SPAN * lanes, many - first)
                idle_here = _kept(fill[k, r], unseen, first, n, keep)
                if idle_here == fields * n:
                    continue
                _centred(state[k, r], first, n, factors, means, own)
                for block in range((n + lanes - 1) // lanes):
                    number = first // lanes + block
                    _multiplied(
                        own, block * lanes, work.laid[low, k, number], work.laid[high, k, number], below[r], mixed, new
                    )
                _store(state[k, r], first, n, inflating, means, own, new, keep, idle_here > 0)


@kernel
def _find(system, at, extra, wanted, found, said):
    """Transforms of a row of anchors that are ``wanted`` (levels, anchors)."""
    levels, many = wanted.shape
    n = system.s.shape[1]
    near, squared, weights = np.empty(64, np.int64), np.empty(64), np.empty(64)
    x, means = np.empty((n, n)), np.empty(n)
    for k in range(levels):
        for a in range(many):
            out, told = found[k, a], said[k, a]
            out[:] = 0.0
            told[:] = 0.0
            if not wanted[k, a]:
                continue
            told[0], told[1], told[2], near, squared, weights = weights_at(
                system, at[a, k], extra[a, k], near, squared, weights, x, means
            )
            _grouped(x, out)


@kernel
def _grouped(x, out):
    """A transform by groups of its columns, the last filled up with nothing."""
    n = x.shape[0]
    whole = n // TOGETHER * TOGETHER
    for j in range(0, whole, TOGETHER):
        for i in range(n):
            for c in range(TOGETHER):
                out[j * n + i * TOGETHER + c] = x[i, j + c]
    for i in range(n):
        for c in range(n - whole):
            out[whole * n + i * TOGETHER + c] = x[i, whole + c]


@kernel
def _lay(found, columns, parts, laid):
    """Transforms between anchors of a row, places side by side; ``parts`` (columns, 2) of the anchors to the left and right."""
    lanes, entries = laid.shape[5], found.shape[2]
    line = np.zeros((lanes, _CHUNK), found.dtype)
    for k in range(found.shape[0]):
        for block in range(laid.shape[1]):
            flat = laid[k, block].reshape(entries, lanes)
            for e in range(0, entries, _CHUNK):
                part = min(_CHUNK, entries - e)
                for c in range(lanes):
                    at = block * lanes + c
                    if at < columns.size:
                        left, right = columns[at], min(columns[at] + 1, found.shape[1] - 1)
                        _between(found[k, left, e : e + part], found[k, right, e : e + part], parts[at], line[c])
                transposed(line[:, :part], flat[e : e + part], lanes)


@kernel
def _tell(low, high, share, columns, shares, still, fill, counts, signals, reductions, unseen):
    """What is said of places with a value, and which of them no observation reaches, so that they stay as they are."""
    fields = fill.shape[0]
    for c in range(columns.size):
        left, right, part = columns[c], min(columns[c] + 1, low.shape[0] - 1), shares[c]
        most = max(low[left, 0], low[right, 0], high[left, 0], high[right, 0])
        missing = 0
        for f in range(fields):
            missing += fill[f, c]
        unseen[c] = missing == fields or (still and most == 0.0)
        if unseen[c]:
            continue
        near = low if share <= 0.5 else high
        counts[c] = np.int64(near[left if part <= 0.5 else right, 0])
        for out, which in ((signals, 1), (reductions, 2)):
            a = low[left, which] + share * (high[left, which] - low[left, which])
            b = low[right, which] + share * (high[right, which] - low[right, which])
            out[c] = a + part * (b - a)


@kernel
def _kept(fill, unseen, first, n, keep):
    """Which values of some columns stay as they are, and how many they are."""
    many = 0
    for f in range(fill.shape[0]):
        for c in range(n):
            keep[f, c] = fill[f, first + c] or unseen[first + c]
            many += keep[f, c]
    return many


@kernel
def _centred(rows, first, n, factors, means, own):
    """Means over members of some columns, and anomalies from them: these times the first factor, sums times the second."""
    members, fields = rows.shape[0], rows.shape[1]
    for f in range(fields):
        mean = means[f]
        mean[:n] = 0.0
        for m in range(members):
            row = rows[m, f, first : first + n]
            for c in range(n):
                mean[c] += row[c]
        for c in range(n):
            mean[c] *= factors[1]
        for m in range(members):
            row, out = rows[m, f, first : first + n], own[m, f]
            for c in range(n):
                out[c] = (row[c] - mean[c]) * factors[0]


@kernel
def _multiplied(own, place, low, high, parts, mixed, new):
    """Anomalies of a block of columns by the transforms of each."""
    by = low
    if parts[1] > 0.0:
        _between(low.reshape(-1), high.reshape(-1), parts, mixed.reshape(-1))
        by = mixed
    fields = own.shape[1]
    parts = (fields + MOST - 1) // MOST
    for p in range(parts):
        begin, end = p * fields // parts, (p + 1) * fields // parts
        for group in range(by.shape[0]):
            place_products(own, begin, end - begin, place, by, group, new)


@kernel
def _store(rows, first, n, inflating, means, own, new, keep, some):
    """Members of some columns: means, and what the analysis adds to them, whose anomalies are inflated."""
    members, fields = rows.shape[0], rows.shape[1]
    plain = inflating.factor == 1.0 and inflating.relax == 0.0 and inflating.spread == 0.0
    for f in range(fields):
        mean, kept = means[f], keep[f]
        if not plain:
            for c in range(n):
                if not kept[c]:
                    stored(rows[:, f, first + c], mean[c], new[:members, f, c], own[:, f, c], inflating)
            continue
        for m in range(members):
            row, added = rows[m, f, first : first + n], new[m, f]
            if some:
                for c in range(n):
                    row[c] = row[c] if kept[c] else mean[c] + added[c]
            else:
                for c in range(n):
                    row[c] = mean[c] + added[c]


@kernel
def _between(a, b, parts, out):
    """The first part of ``a`` and the second of ``b``."""
    left, right = parts[0], parts[1]
    for k in range(a.size):
        out[k] = left * a[k] + right * b[k]
