"""Kernels of :mod:`oceankit.numerics.separable`: one field, eight rows of targets at a time.

Sums along rows take eight rows side by side, so do those of targets coarser than the source, which are summed over rows
first. What is missing is looked for where it may be only: in eights of columns that any of the source rows in use has gaps in.
"""

from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import helper, kernel
from oceankit.numerics.row_vectors import (
    any_missing,
    any_there,
    blend_rows,
    fill_missing,
    lay_rows,
    mend_means,
    sum_laid,
    sum_rows,
    sum_valid_laid,
)
from oceankit.numerics.vectors import EIGHT

__all__ = ["columns_first", "rows_first"]


@kernel
def _made(field, made):
    """The rows made for the poles; a mean is that of what is not missing."""
    nx = field.shape[1]
    out = np.empty((made.shape[0], nx), field.dtype)
    for k in range(made.shape[0]):
        row, turn = field[made[k, 0]], made[k, 1]
        if turn >= 0:
            for x in range(nx):
                out[k, x] = row[(x + turn) % nx]
            continue
        total, count = 0.0, 0
        for x in range(nx):
            if row[x] == row[x]:
                total += row[x]
                count += 1
        out[k, :] = total / count if count > 0 else np.nan
    return out


@helper
def _row(field, made, front, e):
    """Extended row e."""
    ny = field.shape[0]
    if e < front:
        return made[e]
    return field[e - front] if e < front + ny else made[e - ny]


class _Nearby(NamedTuple):
    """Some extended rows of the field where they lie, or, where one of them is made, copies of them."""

    rows: np.ndarray
    """int64: the number of each, or of its copy"""
    copies: np.ndarray


@helper
def _nearby(given, field):
    most = np.int64(EIGHT)
    for j in range(given.start.size - 1):
        most = max(most, given.start[j + 1] - given.start[j])
    return _Nearby(np.empty(most, np.int64), np.empty((most, field.shape[1]), field.dtype))


@helper
def _look_up(field, made, front, rows, low, high, nearby):
    """Fill ``nearby`` with the extended rows ``rows[low:high]``; returns whether they are copies."""
    copied = False
    for k in range(high - low):
        row = nearby.rows[k] = rows[low + k] - front
        copied |= row < 0 or row >= field.shape[0]
    if copied:
        for k in range(high - low):
            nearby.rows[k] = k
            nearby.copies[k] = _row(field, made, front, rows[low + k])
    return copied


# ---- sums along source rows, kept while rows of targets use them ----------------------------------------------------------


class _Kept(NamedTuple):
    """Sums along the source rows in use, eight of them at a time: the b-th eight lie in the slots of b modulo some number."""

    which: np.ndarray
    """int64: the eight that are there, -1 for none"""
    missing: np.ndarray
    """bool (eights, eights of targets): whether any of their sums is"""
    there: np.ndarray
    """bool: whether any of their sums has something to it"""
    total: np.ndarray
    """float64 (slots, targets)"""
    weight: np.ndarray
    pack: np.ndarray
    nearby: _Nearby


@helper
def _kept(given, first, rows, field):
    """Room for the source rows that eight rows of targets use."""
    most = np.int64(1)
    for j in range(first, first + rows):
        low, high = np.int64(2**62), np.int64(-1)
        for k in range(given.start[j], given.start[min(j + EIGHT, first + rows)]):
            low, high = min(low, given.place[k]), max(high, given.place[k])
        if high >= 0:
            most = max(most, high // EIGHT - low // EIGHT + 1)
    shape = most * EIGHT, given.along.shape[1]
    pack = np.empty((_filled(field.shape[1]), EIGHT))
    which, flags = np.full(most, -1), (most, shape[1] // EIGHT)
    missing, there = np.zeros(flags, np.bool_), np.zeros(flags, np.bool_)
    return _Kept(which, missing, there, np.empty(shape), np.empty(shape), pack, _nearby(given, field))


@helper
def _filled(n):
    """Up to whole eights."""
    return (n + EIGHT - 1) // EIGHT * EIGHT


@helper
def _lay(rows, which, pack):
    """Eight rows side by side; returns whether anything is missing."""
    gaps = False
    for c in range(0, rows.shape[1], EIGHT):
        gaps |= lay_rows(rows, which, c, pack)
    return gaps


@helper
def _lay_sources(field, made, given, eight, kept):
    if _look_up(field, made, given.front, given.used, eight * EIGHT, (eight + 1) * EIGHT, kept.nearby):
        return _lay(kept.nearby.copies, kept.nearby.rows, kept.pack)
    return _lay(field, kept.nearby.rows, kept.pack)


@kernel
def _keep(field, made, given, eight, at, kept):
    """Keep the sums of these eight of the rows in use."""
    kept.which[at] = eight
    gaps = _lay_sources(field, made, given, eight, kept)
    total = kept.total[at * EIGHT : (at + 1) * EIGHT]
    if gaps:
        for t in range(kept.missing.shape[1]):
            kept.missing[at, t] = sum_laid(kept.pack, given.along, given.values, t * EIGHT, total)
    else:
        kept.missing[at] = False
        for t in range(kept.missing.shape[1]):
            sum_laid(kept.pack, given.along, given.values, t * EIGHT, total)


@kernel
def _keep_valid(field, made, given, eight, at, kept):
    """The same with sums over what is not missing."""
    kept.which[at] = eight
    _lay_sources(field, made, given, eight, kept)
    slots = slice(at * EIGHT, (at + 1) * EIGHT)
    total, weight = kept.total[slots], kept.weight[slots]
    for t in range(kept.there.shape[1]):
        kept.there[at, t] = sum_valid_laid(kept.pack, given.along, given.values, t * EIGHT, total, weight)


@kernel
def _again(field, made, given, first, begin, end, missing, kept, slots, least, out):
    """The targets of some rows that came out missing, from sums along source rows over what is there.

    They are in the eights of columns that are ``missing``; of these, those where there is nothing are left alone.
    """
    low, high, lowest, last = given.start[first + begin], given.start[first + end], kept.which.size, -1
    for k in range(low, high):
        eight = given.place[k] // EIGHT
        at = eight % kept.which.size
        if kept.which[at] != eight:
            _keep_valid(field, made, given, eight, at, kept)
        slots[k] = at * EIGHT + given.place[k] % EIGHT
        lowest, last = min(lowest, at), max(last, at)
    for t in range(missing.size):
        there = False
        for at in range(lowest, last + 1):
            there |= kept.there[at, t]
        if not (there and missing[t]):
            continue
        for row in range(begin, end):
            if any_missing(out, row, t * EIGHT):
                low, high = given.start[first + row], given.start[first + row + 1]
                fill_missing(
                    kept.total, kept.weight, slots[low:high], given.bend, low, given.column_bend, least, out, row,
                    t * EIGHT,
                )  # fmt: skip


# ---- fields, eight rows of targets at a time ------------------------------------------------------------------------------

_CHUNK = 512
"""Columns of rows that are summed together: a few rows of so many stay in the first cache."""


@kernel
def _too_little(full_row, full, least, out):
    """Nothing where even all of the source is too little."""
    for i in range(full.size):
        whole = full_row * full[i]
        if not (whole > 0.0 and whole >= least):
            out[i] = np.nan


@helper
def _same_rows(given, j):
    """Whether target row j + 1 is made of the same source rows as j."""
    low, high, end = given.start[j], given.start[j + 1], given.start[j + 2]
    same = end - high == high - low
    for k in range(low, high):
        same = same and given.place[k] == given.place[k + high - low]
    return same


@kernel
def columns_first(field, means, others, first, full, full_along, least, strict, out):
    """Sum along each source row first, then over rows: for targets finer than the source."""
    made, made_again = _made(field, means.made), _made(field, others.made)
    kept, slots = _kept(means, first, full.size, field), np.empty(means.place.size, np.int64)
    kept_again, slots_again = _kept(others, first, full.size, field), np.empty(others.place.size, np.int64)
    thinnest, bends, width = full_along.min(), means.bend.shape[0] > 1, out.shape[1]
    missing = np.empty(kept.missing.shape[1], np.bool_)
    for j in range(0, full.size, EIGHT):
        end = min(j + EIGHT, full.size)
        for k in range(means.start[first + j], means.start[first + end]):
            eight = means.place[k] // EIGHT
            at = eight % kept.which.size
            if kept.which[at] != eight:
                _keep(field, made, means, eight, at, kept)
            slots[k] = at * EIGHT + means.place[k] % EIGHT
        for a in range(0, width, _CHUNK):
            b = min(a + _CHUNK, width)
            i = j
            while i < end:
                low, high = means.start[first + i], means.start[first + i + 1]
                one, other = (slots[low], slots[high - 1]) if high > low else (0, 0)
                which, both = slots[low:high], i + 1 < end and _same_rows(means, first + i)
                if bends and high > low:
                    if both:
                        blend_rows(kept.total, one, other, means.bend, (low, high), means.column_bend, a, b, out, i)
                    else:
                        blend_rows(kept.total, one, other, means.bend, (low,), means.column_bend, a, b, out, i)
                elif both:
                    sum_rows(kept.total, which, means.bend, (low, high), a, b, 0, out, i)
                else:
                    sum_rows(kept.total, which, means.bend, (low,), a, b, 0, out, i)
                i += 1 + both
        gaps = everywhere = False
        for i in range(j, end):
            if not (thinnest * full[i] > 0.0 and thinnest * full[i] >= least):
                _too_little(full[i], full_along, least, out[i])
                everywhere = True
        for t in range(missing.size):
            missing[t] = everywhere
            for at in range(kept.which.size):
                missing[t] |= kept.missing[at, t]
            gaps |= missing[t]
        if gaps and not strict:
            _again(field, made_again, others, first, j, end, missing, kept_again, slots_again, least, out)


class _Eight(NamedTuple):
    """Means over source rows for eight rows of targets, and sums along those."""

    mean: np.ndarray
    """float64 (8, columns)"""
    share: np.ndarray
    """float64 (8, columns): share of the weights that is not missing"""
    mean_pack: np.ndarray
    """float64 (columns, 8)"""
    share_pack: np.ndarray
    total: np.ndarray
    """float64 (8, targets)"""
    weight: np.ndarray
    gaps: np.ndarray
    """bool: which eights of the columns miss anything"""
    partial: np.ndarray
    """bool: which eights of the columns have shares other than one in the pack"""
    missing: np.ndarray
    """bool: which eights of the targets miss anything"""
    order: np.ndarray
    """0 to 7"""


@helper
def _eight(n_columns, width):
    padded = _filled(n_columns)
    rows, packs, along = (EIGHT, padded), (padded, EIGHT), (EIGHT, width)
    return _Eight(
        np.zeros(rows), np.zeros(rows), np.empty(packs), np.ones(packs), np.empty(along), np.empty(along),
        np.zeros(padded // EIGHT, np.bool_), np.zeros(padded // EIGHT, np.bool_), np.zeros(width // EIGHT, np.bool_),
        np.arange(EIGHT),
    )  # fmt: skip


@kernel
def rows_first(field, means, others, same, first, full, full_along, least, strict, out):
    """Sum source rows first, then along them: for targets coarser than the source. ``same``: others are the same axes."""
    made, made_again = _made(field, means.made), _made(field, others.made)
    eight, nearby = _eight(field.shape[1], means.along.shape[1]), _nearby(means, field)
    kept_again, slots_again = (
        _kept(others, first, 0 if same else full.size, field),
        np.empty(others.place.size, np.int64),
    )
    thinnest, spans = full_along.min(), _spans(means)
    for j in range(0, full.size, EIGHT):
        end, gaps = min(j + EIGHT, full.size), False
        _mean_rows(field, made, means, first + j, first + end, nearby, eight.mean)
        for c in range(eight.gaps.size):
            eight.gaps[c] = lay_rows(eight.mean, eight.order, c * EIGHT, eight.mean_pack)
        for t in range(eight.missing.size):
            eight.missing[t] = sum_laid(eight.mean_pack, means.along, means.values, t * EIGHT, eight.total)
            gaps |= eight.missing[t]
        for i in range(j, end):
            for t in range(out.shape[1]):
                out[i, t] = eight.total[i - j, t]
            if not (thinnest * full[i] > 0.0 and thinnest * full[i] >= least):
                _too_little(full[i], full_along, least, out[i])
                if not same:
                    eight.missing[:], gaps = True, True
        if strict or not gaps:
            continue
        if same:
            _again_from_means(field, made, means, others, first, j, end, full, least, nearby, eight, spans, out)
        else:
            _again(field, made_again, others, first, j, end, eight.missing, kept_again, slots_again, least, out)


@kernel
def _mean_rows(field, made, given, begin, end, nearby, mean):
    """Weighted means of the source rows of some target rows; those of the next are asked for ahead."""
    n_columns = field.shape[1]
    for j in range(begin, end):
        low, high = given.start[j], given.start[j + 1]
        copied = _look_up(field, made, given.front, given.rows, low, high, nearby)
        which = nearby.rows[: high - low]
        if copied or low == high:
            sum_rows(nearby.copies, which, given.bend, (low,), 0, n_columns, 0, mean, j - begin)
            continue
        ahead = given.rows[given.start[j + 2] - 1] - given.rows[high - 1] if j + 2 < given.start.size else 0
        if ahead < 0 or which[-1] + ahead >= field.shape[0]:
            ahead = 0
        sum_rows(field, which, given.bend, (low,), 0, n_columns, ahead, mean, j - begin)


@helper
def _spans(given):
    """The first and last column that eights of targets use, -1 where none."""
    spans = np.full((given.along.shape[1] // EIGHT, 2), -1)
    for t in range(spans.shape[0]):
        for k in range(given.along.shape[0]):
            for i in range(t * EIGHT, (t + 1) * EIGHT):
                if given.values[k, i] != 0.0:
                    column = np.int64(given.along[k, i])
                    spans[t, 0] = column if spans[t, 0] < 0 else min(spans[t, 0], column)
                    spans[t, 1] = max(spans[t, 1], column)
    return spans


@kernel
def _leave_empty(field, given, begin, end, spans, missing, gaps):
    """Of the eights of targets that miss anything, keep those with anything in the source; of columns, those they use."""
    low, high = field.shape[0], 0
    for k in range(given.start[begin], given.start[end]):
        row = given.rows[k] - given.front
        if row < 0 or row >= field.shape[0]:
            # Rows made for the poles have values where the rows themselves may have none.
            return
        low, high = min(low, row), max(high, row + 1)
    needed = np.zeros(gaps.size, np.bool_)
    for t in range(missing.size):
        if not missing[t]:
            continue
        missing[t], first, last = False, spans[t, 0] // EIGHT * EIGHT, spans[t, 1] + 1
        if last == 0:
            continue
        for row in range(low, high):
            if any_there(field, row, first, last):
                missing[t] = True
                needed[first // EIGHT : (last - 1) // EIGHT + 1] = True
                break
    for c in range(gaps.size):
        gaps[c] &= needed[c]


@kernel
def _again_from_means(field, made, given, others, first, j, end, full, least, nearby, eight, spans, out):
    """The targets of eight rows that came out missing, from means over source rows of what is there."""
    for c in range(eight.gaps.size):
        if eight.partial[c] and not eight.gaps[c]:
            eight.share_pack[c * EIGHT : (c + 1) * EIGHT] = 1.0
            eight.partial[c] = False
    _leave_empty(field, given, first + j, first + end, spans, eight.missing, eight.gaps)
    for i in range(j, end):
        low, high, r = given.start[first + i], given.start[first + i + 1], i - j
        copied = _look_up(field, made, given.front, given.rows, low, high, nearby)
        which = nearby.rows[: high - low]
        for c in range(eight.gaps.size):
            if eight.gaps[c] and copied:
                mend_means(nearby.copies, which, given.bend, low, c * EIGHT, eight.mean, eight.share, r)
            elif eight.gaps[c]:
                mend_means(field, which, given.bend, low, c * EIGHT, eight.mean, eight.share, r)
    for c in range(eight.gaps.size):
        if eight.gaps[c]:
            lay_rows(eight.mean, eight.order, c * EIGHT, eight.mean_pack)
            lay_rows(eight.share, eight.order, c * EIGHT, eight.share_pack)
            eight.partial[c] = True
    for t in range(eight.missing.size):
        if eight.missing[t]:
            x = t * EIGHT
            sum_laid(eight.mean_pack, others.along, others.values, x, eight.total)
            sum_laid(eight.share_pack, others.along, others.values, x, eight.weight)
            for i in range(j, end):
                if full[i] > 0.0:
                    which, enough = eight.order[i - j : i - j + 1], least / full[i]
                    fill_missing(
                        eight.total, eight.weight, which, _AS_THEY_ARE, 0, others.column_bend, enough, out, i, x
                    )


_AS_THEY_ARE = np.ones((1, 1))
