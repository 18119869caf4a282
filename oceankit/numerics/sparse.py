"""Sparse rows: the weights of each target cell, and their application to many fields at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.compiling import helper, kernel
from oceankit.numerics.lanes import lanes_of, mean_lanes, transpose_tile

__all__ = [
    "Blocks",
    "Rows",
    "apply",
    "coverage",
    "divide",
    "divide_by_wholes",
    "entries_of",
    "first_columns",
    "from_fixed",
    "join",
    "plan",
    "select",
    "stack",
    "sums",
    "take",
]


class Rows(NamedTuple):
    """A sparse matrix by rows: row i has ``columns[start[i]:start[i + 1]]`` with ``values`` at the same places."""

    start: np.ndarray
    """int64 (rows + 1,)"""
    columns: np.ndarray
    """uint32: unsigned indices need no check for negatives"""
    values: np.ndarray
    """float64"""
    n_columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.start.size - 1, self.n_columns

    def numbers(self) -> np.ndarray:
        """uint32: row number of each entry."""
        return np.repeat(np.arange(self.start.size - 1, dtype=np.uint32), np.diff(self.start))


def join(parts: Sequence[tuple[np.ndarray, ...]], n_columns: int) -> Rows:
    """Rows from consecutive blocks of (counts, columns, values)."""
    if not parts:
        return Rows(np.zeros(1, np.int64), np.empty(0, np.uint32), np.empty(0), n_columns)
    counts = np.concatenate([p[0] for p in parts])
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    columns = np.concatenate([p[1] for p in parts]).astype(np.uint32, copy=False)
    return Rows(start, columns, np.concatenate([p[2] for p in parts]), n_columns)


def from_fixed(columns: np.ndarray, values: np.ndarray, n_columns: int) -> Rows:
    """Rows from (rows, k) arrays; entries with a negative column or a weight of zero are left out."""
    keep = (columns >= 0) & (values != 0.0)
    start = np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(np.int64)
    return Rows(start, columns[keep].astype(np.uint32), values[keep], n_columns)


def sums(rows: Rows) -> np.ndarray:
    """Sum of each row."""
    out = np.empty(rows.start.size - 1)
    _sums(rows.start, rows.values, out)
    return out


@kernel
def _sums(start, values, out):
    for i in range(start.size - 1):
        total = 0.0
        for k in range(np.uint64(start[i]), np.uint64(start[i + 1])):
            total += values[k]
        out[i] = total


def divide(rows: Rows, by: np.ndarray) -> None:
    """Divide each row by a number, in place."""
    _divide(rows.start, rows.values, by)


@kernel
def _divide(start, values, by):
    for i in range(start.size - 1):
        for k in range(start[i], start[i + 1]):
            values[k] /= by[i]


def divide_by_wholes(rows: Rows, wholes: np.ndarray) -> None:
    """The same by numbers that rows add up to, or to less: what is whole but for rounding adds up to one after it."""
    _divide_by_wholes(rows.start, rows.values, wholes)


@kernel
def _divide_by_wholes(start, values, wholes):
    for i in range(start.size - 1):
        total = 0.0
        for k in range(start[i], start[i + 1]):
            total += values[k]
        whole = total if abs(total - wholes[i]) < 1e-12 * wholes[i] else wholes[i]
        for k in range(start[i], start[i + 1]):
            values[k] /= whole


def entries_of(start: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Places of the entries of the rows ``which``, one row after the other."""
    counts = (start[1:] - start[:-1])[which]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(start[which], counts) + within


def first_columns(start: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """int64 (rows,): the first column of each row, -1 where a row is empty."""
    out = np.full(start.size - 1, -1, np.int64)
    filled = start[1:] > start[:-1]
    out[filled] = columns[start[:-1][filled]]
    return out


def take(rows: Rows, which: np.ndarray) -> Rows:
    """Some of the rows, in the order given."""
    at = entries_of(rows.start, which)
    counts = np.diff(rows.start)[which]
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Rows(start, rows.columns[at], rows.values[at], rows.n_columns)


def select(rows: Rows, keep: np.ndarray) -> Rows:
    """Only the entries that are wanted, bool (entries,)."""
    if keep.all():
        return rows
    before = np.concatenate([[0], np.cumsum(keep)])
    return Rows(before[rows.start].astype(np.int64), rows.columns[keep], rows.values[keep], rows.n_columns)


def stack(first: Rows, second: Rows) -> Rows:
    """The rows of the one, then those of the other."""
    start = np.concatenate([first.start, first.start[-1] + second.start[1:]])
    columns, values = (np.concatenate([getattr(r, n) for r in (first, second)]) for n in ("columns", "values"))
    return Rows(start, columns, values, first.n_columns)


def named(name: str, rows: Rows) -> dict[str, np.ndarray]:
    """The arrays of rows by name, to be stored."""
    return {f"{name}_{field}": np.asarray(value) for field, value in rows._asdict().items()}


def unnamed(name: str, arrays: dict[str, np.ndarray]) -> Rows:
    """Rows from arrays named by :func:`named`."""
    start, columns, values, n_columns = (arrays[f"{name}_{field}"] for field in Rows._fields)
    return Rows(start, columns, values, int(n_columns))


# ---- application ----------------------------------------------------------------------------------------------------

_PACKED = 20_480
"""Most cells that are laid side by side at a time: what a core's second cache holds."""
_ROWS = 32_768
_FEW = 8_192
"""Rows of a single field that are worth a thread."""


class Blocks(NamedTuple):
    """Consecutive rows that are worked on together: rows ``bounds[b]:bounds[b + 1]`` use columns low..high (exclusive)."""

    bounds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    by: np.ndarray
    """float64 (rows,): one by the sum of the weights of each row, NaN where that is none"""
    means: bool
    """Whether all sums are one but for rounding"""


def plan(rows: Rows) -> Blocks:
    """Blocks of rows whose columns lie so close together that packing them pays; the numbers do not depend on it."""
    low, high = np.empty(rows.shape[0], np.int64), np.empty(rows.shape[0], np.int64)
    _ranges(rows.start, rows.columns, low, high)
    bounds = np.empty(rows.shape[0] + 1, np.int64)
    bounds = bounds[: _cut(low, high, bounds) + 1]
    if bounds.size == 1:
        return Blocks(bounds, low, high, np.empty(0), False)
    # Rows without entries have none of their own: low is past all columns there, high before.
    low, high = np.minimum.reduceat(low, bounds[:-1]), np.maximum.reduceat(high, bounds[:-1])
    full = sums(rows)
    with np.errstate(divide="ignore"):
        by = np.where(full > 0.0, 1.0 / full, np.nan)
    one = np.abs(full - 1.0) < 2e-15
    by[one] = 1.0
    return Blocks(bounds, np.minimum(low, high), high, by, bool(one.all()))


@kernel
def _ranges(start, columns, low, high):
    for i in range(low.size):
        lo, hi = np.int64(2**62), np.int64(0)
        for k in range(start[i], start[i + 1]):
            c = np.int64(columns[k])
            lo, hi = min(lo, c), max(hi, c + 1)
        low[i], high[i] = lo, hi


@kernel
def _cut(low, high, bounds):
    """Bounds of blocks, each cut where the fewest columns are used on both sides; returns the number of blocks."""
    n, count, begin = low.size, 0, 0
    after = np.empty(_ROWS + 1, np.int64)
    bounds[0] = 0
    while begin < n:
        lo, hi, end = low[begin], high[begin], begin + 1
        while end < n and end - begin < _ROWS and max(hi, high[end]) - min(lo, low[end]) <= _PACKED:
            lo, hi, end = min(lo, low[end]), max(hi, high[end]), end + 1
        if end < n:
            # The lowest column used from each row on, as far as the next block may reach.
            least = np.int64(2**62)
            for i in range(min(n, 2 * end - begin) - 1, begin, -1):
                least = min(least, low[i])
                if i <= end:
                    after[i - begin] = least
            half, last, fewest = (begin + end) // 2, end, np.int64(2**62)
            hi = np.int64(0)
            for i in range(begin, last):
                hi = max(hi, high[i])
                shared = max(hi - after[i + 1 - begin], np.int64(0))
                if i >= half and shared <= fewest:
                    fewest, end = shared, i + 1
        count += 1
        bounds[count] = begin = end
    return count


def apply(rows: Rows, blocks: Blocks, fields: np.ndarray, least: float, strict: bool) -> np.ndarray:
    """Weighted means over what is not missing, where its weights reach ``least``; NaN elsewhere.

    Parameters
    ----------
    fields
        float32 or float64 (n, columns), C-contiguous; sums are float64.
    least
        Weight of valid columns that a row needs.
    strict
        Whether one missing column makes the result missing, as arithmetic has it.

    Returns
    -------
    array (n, rows) of the dtype of ``fields``
    """
    out = np.empty((fields.shape[0], rows.shape[0]), fields.dtype)
    lanes = lanes_of(fields.dtype)

    few = fields.shape[0] - fields.shape[0] % lanes if 2 * (fields.shape[0] % lanes) <= lanes else fields.shape[0]

    def one_by_one(begin: int, end: int) -> None:
        # What need not be read of weights that are means as they stand is a quarter of all.
        by = None if blocks.means and least <= 1.0 else blocks.by[begin:end]
        given = rows.start[begin : end + 1], rows.columns, rows.values, by, least, strict
        _apply_each(fields, *given, out[:, begin:end])

    def side_by_side(b: int, _: int) -> None:
        begin, end = blocks.bounds[b], blocks.bounds[b + 1]
        low, high = blocks.low[b], blocks.high[b]
        given = rows.start[begin : end + 1], rows.columns, rows.values, blocks.by[begin:end], least, strict
        # Laying cells side by side pays where they are used more than once or so.
        n = few if high - low <= 1.2 * (rows.start[end] - rows.start[begin]) else 0
        if n:
            _apply_lanes(fields, n, low, high, *given, out[:, begin:end])
        if n < fields.shape[0]:
            _apply_each(fields[n:], *given, out[n:, begin:end])

    if few:
        threads.over_blocks(side_by_side, blocks.low.size, block=1)
    else:
        threads.over_blocks(one_by_one, rows.shape[0], block=max(_FEW, rows.shape[0] // 16))
    return out


@kernel
def _pack(fields, first, low, high, pack):
    """Columns low..high of as many fields as there are lanes, side by side; lanes without a field are zero."""
    lanes = pack.shape[1]
    here = min(lanes, fields.shape[0] - first)
    c = low
    if here == lanes:
        while c + lanes <= high:
            transpose_tile(fields, first, c, pack, c - low, 0)
            c += lanes
    for column in range(c, high):
        for k in range(lanes):
            pack[column - low, k] = fields[first + k, column] if k < here else 0.0


@helper
def _scale(by, least):
    """What makes a mean of a sum of all; NaN where even all is too little."""
    return by if by * least <= 1.0 else np.nan


@kernel
def _apply_lanes(fields, n, low, high, start, columns, values, by, least, strict, out):
    lanes = 16 if fields.itemsize == 4 else 8
    pack, tile = np.empty((high - low, lanes), fields.dtype), np.empty((lanes, lanes), fields.dtype)
    rows = by.size
    for first in range(0, n, lanes):
        _pack(fields, first, low, high, pack)
        here = min(lanes, n - first)
        for i in range(0, rows, lanes):
            some = min(lanes, rows - i)
            for j in range(i, i + some):
                scale = _scale(by[j], least)
                mean_lanes(pack, columns, values, start[j], start[j + 1], low, scale, least, strict, tile, j - i)
            if some == lanes and here == lanes:
                transpose_tile(tile, 0, 0, out, first, i)
            else:
                for j in range(some):
                    for k in range(here):
                        out[first + k, i + j] = tile[j, k]


@kernel
def _apply_each(fields, start, columns, values, by, least, strict, out):
    """Four fields at a time, then field by field, with the arithmetic of the lanes; without ``by`` weights are means.

    Entries are counted by unsigned numbers: those need no check for negatives.
    """
    n = fields.shape[0]
    for f in range(0, n - n % 4, 4):
        a, b, c, d = fields[f], fields[f + 1], fields[f + 2], fields[f + 3]
        for i in range(out.shape[1]):
            ta = tb = tc = td = 0.0
            for k in range(np.uint64(start[i]), np.uint64(start[i + 1])):
                column, w = columns[k], values[k]
                ta, tb, tc, td = ta + w * a[column], tb + w * b[column], tc + w * c[column], td + w * d[column]
            scale = 1.0 if by is None else _scale(by[i], least)
            out[f, i], out[f + 1, i], out[f + 2, i], out[f + 3, i] = ta * scale, tb * scale, tc * scale, td * scale
            total = ta + tb + tc + td
            if total != total and scale == scale and not strict:
                _partial_four(a, b, c, d, start[i], start[i + 1], columns, values, least, out, f, i)
    for f in range(n - n % 4, n):
        field, row, at = fields[f], out[f], np.uint64(start[0])
        for i in range(out.shape[1]):
            total, end = 0.0, np.uint64(start[i + 1])
            while at < end:
                total += values[at] * field[columns[at]]
                at += np.uint64(1)
            scale = 1.0 if by is None else _scale(by[i], least)
            row[i] = total * scale
            if total != total and scale == scale and not strict:
                row[i] = _mean_of_valid(field, start[i], start[i + 1], columns, values, least)


@kernel
def _mean_of_valid(field, begin, end, columns, values, least):
    total = weight = 0.0
    for k in range(np.uint64(begin), np.uint64(end)):
        value = field[columns[k]]
        if value == value:
            total += values[k] * value
            weight += values[k]
    return _mean(total, weight, least)


@helper
def _mean(total, weight, least):
    return total / weight if weight > 0.0 and weight >= least else np.nan


@kernel
def _partial_four(a, b, c, d, begin, end, columns, values, least, out, f, i):
    """Means over what is there, for those of four fields where something is missing."""
    ta = tb = tc = td = wa = wb = wc = wd = 0.0
    for k in range(np.uint64(begin), np.uint64(end)):
        column, w = columns[k], values[k]
        va, vb, vc, vd = a[column], b[column], c[column], d[column]
        if va == va:
            ta, wa = ta + w * va, wa + w
        if vb == vb:
            tb, wb = tb + w * vb, wb + w
        if vc == vc:
            tc, wc = tc + w * vc, wc + w
        if vd == vd:
            td, wd = td + w * vd, wd + w
    if out[f, i] != out[f, i]:
        out[f, i] = _mean(ta, wa, least)
    if out[f + 1, i] != out[f + 1, i]:
        out[f + 1, i] = _mean(tb, wb, least)
    if out[f + 2, i] != out[f + 2, i]:
        out[f + 2, i] = _mean(tc, wc, least)
    if out[f + 3, i] != out[f + 3, i]:
        out[f + 3, i] = _mean(td, wd, least)


@kernel
def _coverage(fields, start, columns, values, out):
    for f in range(fields.shape[0]):
        field = fields[f]
        for i in range(start.size - 1):
            total = 0.0
            for k in range(np.uint64(start[i]), np.uint64(start[i + 1])):
                value = field[columns[k]]
                if value == value:
                    total += values[k]
            out[f, i] = total


def coverage(rows: Rows, fields: np.ndarray) -> np.ndarray:
    """Weights of what is not missing, float64 (n, rows)."""
    out = np.empty((fields.shape[0], rows.shape[0]))

    def work(begin: int, end: int) -> None:
        _coverage(fields, rows.start[begin : end + 1], rows.columns, rows.values, out[:, begin:end])

    threads.over_blocks(work, rows.shape[0], block=16_384)
    return out
