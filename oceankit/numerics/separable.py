"""Weights that are a product of one set along each axis, applied without ever forming their matrix.

Fields are (n, rows, columns). Beyond the first and the last row lie rows made for the pole: the mean of a row, or a row
seen across the pole. Rows are counted with those in front: extended row e is row ``e - front`` of the field.

The weights along rows may *bend* with the target column: w0 + b (w1 + b w2), b one number per column. That is what
a bilinear patch on the sphere asks for: its parallels are chords.
"""

from typing import NamedTuple

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.compiling import helper, kernel
from oceankit.numerics.row_vectors import (
    any_missing,
    blend_rows,
    fill_missing,
    lay_rows,
    mend_means,
    sum_laid,
    sum_rows,
    sum_valid_laid,
)
from oceankit.numerics.sparse import Rows, sums
from oceankit.numerics.vectors import EIGHT

__all__ = ["Axes", "Prepared", "apply", "coverage", "make", "prepare", "rows_of"]


class Axes(NamedTuple):
    """Weights of target rows over extended source rows, and of target columns over source columns."""

    lat: Rows
    lon: Rows
    front: int
    """Rows made in front of the first; the others follow the last."""
    made: np.ndarray
    """int64 (rows made, 2): the source row each is made of, and by how many columns it is turned; -1: its mean"""
    bend: np.ndarray
    """float64 (3, entries of lat): weights for each power of the column's number; the first are those of ``lat``"""
    column_bend: np.ndarray
    """float64 (target columns,)"""
    columns_first: bool
    """Whether sums go along each source row before they go over rows: what is less work"""

    @property
    def source_shape(self) -> tuple[int, int]:
        return self.lat.n_columns - self.made.shape[0], self.lon.n_columns

    @property
    def target_shape(self) -> tuple[int, int]:
        return self.lat.shape[0], self.lon.shape[0]


def make(
    lat: Rows, lon: Rows, *, front: int = 0, made: np.ndarray | None = None, bend: np.ndarray | None = None,
    column_bend: np.ndarray | None = None,
) -> Axes:  # fmt: skip
    """Axes, without rows made and without a bend unless given. Weights bend between two rows: what one gains the other loses."""
    if bend is not None and bend.shape[0] > 1:
        pairs = lat.start[:-1][np.diff(lat.start) == 2]
        if np.diff(lat.start).max(initial=0) > 2 or np.any(bend[1:, pairs] != -bend[1:, pairs + 1]):
            raise ValueError("weights bend between two rows: what the one gains by it the other loses")
    made = np.empty((0, 2), np.int64) if made is None else made
    bend = lat.values[None] if bend is None else bend
    # Summing along a row takes four times as long as adding a row.
    rows_first = lat.values.size * lon.n_columns + 4 * lat.shape[0] * lon.values.size
    along_first = 4 * np.unique(lat.columns).size * lon.values.size + lat.values.size * lon.shape[0]
    column_bend = np.zeros(lon.shape[0]) if column_bend is None else column_bend
    return Axes(lat, lon, front, made, bend, column_bend, bend.shape[0] > 1 or along_first < rows_first)


class _Sums(NamedTuple):
    """The arrays of axes as kernels take them."""

    start: np.ndarray
    rows: np.ndarray
    """int64: the extended row of each entry of lat"""
    used: np.ndarray
    """int64: the extended rows in use in ascending order, the last repeated to fill eights"""
    place: np.ndarray
    """int64: which of those each entry is"""
    bend: np.ndarray
    column_bend: np.ndarray
    front: int
    made: np.ndarray
    along: np.ndarray
    """uint32 (most entries, targets and some more to fill eights)"""
    values: np.ndarray


class Prepared(NamedTuple):
    """Axes as their application takes them."""

    axes: Axes
    raw: _Sums
    means: _Sums
    """The same with weights that add up to one; NaN in rows and columns without any."""
    full: np.ndarray
    """float64 (target rows,): sum of the weights"""
    full_along: np.ndarray


def prepare(axes: Axes) -> Prepared:
    """What depends on the weights alone."""
    along, values = _padded(axes.lon)
    column_bend = np.pad(axes.column_bend, (0, along.shape[1] - axes.column_bend.size))
    rows = axes.lat.columns.astype(np.int64)
    used, place = np.unique(rows, return_inverse=True)
    used = np.pad(used, (0, -used.size % EIGHT), mode="edge") if used.size else used
    raw = _Sums(
        axes.lat.start, rows, used, place.astype(np.int64), axes.bend, column_bend, axes.front, axes.made, along, values
    )
    full, full_along = sums(axes.lat), sums(axes.lon)
    with np.errstate(divide="ignore"):
        by_row, by_column = (np.where(f > 0.0, 1.0 / f, np.nan) for f in (full, full_along))
    means = raw._replace(
        bend=raw.bend * np.repeat(by_row, np.diff(raw.start)),
        values=raw.values * np.pad(by_column, (0, values.shape[1] - by_column.size)),
    )
    return Prepared(axes, raw, means, full, full_along)


def apply(
    given: Prepared, fields: np.ndarray, least: float, strict: bool, instead: Prepared | None = None
) -> np.ndarray:
    """Weighted means over what is not missing, as :func:`oceankit.numerics.sparse.apply`.

    ``fields`` is (n, rows * columns), the result (n, target rows * target columns). With ``instead``, targets that miss
    anything are the means of these weights, over what is not missing.
    """
    n, axes = fields.shape[0], given.axes
    fields = fields.reshape(n, *axes.source_shape)
    out = np.empty((n, *axes.target_shape), fields.dtype)
    others = (given if instead is None else instead).raw
    # A single field is shared among threads, in blocks long enough that source rows used by two of them are few.
    pieces = 8 if n < 8 else 1
    block = -(-out.shape[1] // pieces)

    def work(number: int, _: int) -> None:
        f, piece = divmod(number, pieces)
        rows = slice(piece * block, min((piece + 1) * block, out.shape[1]))
        if rows.start >= out.shape[1]:
            return
        coverage = rows.start, given.full[rows], given.full_along, least, strict
        if axes.columns_first:
            _columns_first(fields[f], given.means, others, *coverage, out[f, rows])
        else:
            _rows_first(fields[f], given.means, others, instead is None, *coverage, out[f, rows])

    threads.over_blocks(work, n * pieces, block=1)
    return out.reshape(n, out.shape[1] * out.shape[2])


def coverage(given: Prepared, fields: np.ndarray) -> np.ndarray:
    """Weights of what is not missing, float64 (n, targets)."""
    valid = ~np.isnan(fields)
    full = (given.full[:, None] * given.full_along[None, :]).ravel()
    return np.where(full > 0.0, apply(given, valid.astype(np.float64), 0.0, True), 0.0) * full


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
    gaps: np.ndarray
    """bool: whether anything is missing there"""
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
    return _Kept(
        np.full(most, -1), np.zeros(most, np.bool_), np.empty(shape), np.empty(shape), pack, _nearby(given, field)
    )


@helper
def _filled(n):
    """Up to whole eights."""
    return (n + EIGHT - 1) // EIGHT * EIGHT


@helper
def _lay(rows, which, pack):
    """Eight rows side by side; returns whether anything is missing."""
    gaps = False
    for c in range(0, rows.shape[1], EIGHT):
        gaps |= lay_rows(rows, which, 0, c, pack)
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
    kept.gaps[at] = _lay_sources(field, made, given, eight, kept)
    total = kept.total[at * EIGHT : (at + 1) * EIGHT]
    for i in range(0, given.along.shape[1], EIGHT):
        sum_laid(kept.pack, given.along, given.values, i, total)


@kernel
def _keep_valid(field, made, given, eight, at, kept):
    """The same with sums over what is not missing."""
    kept.which[at] = eight
    _lay_sources(field, made, given, eight, kept)
    slots = slice(at * EIGHT, (at + 1) * EIGHT)
    total, weight = kept.total[slots], kept.weight[slots]
    for i in range(0, given.along.shape[1], EIGHT):
        sum_valid_laid(kept.pack, given.along, given.values, i, total, weight)


@kernel
def _again(field, made, given, first, begin, end, kept, slots, least, out):
    """The targets of some rows that came out missing, from sums along source rows over what is there."""
    for row in range(begin, end):
        low, high, ready = given.start[first + row], given.start[first + row + 1], False
        for i in range(0, out.shape[1], EIGHT):
            if not any_missing(out, row, i):
                continue
            if not ready:
                for k in range(low, high):
                    eight = given.place[k] // EIGHT
                    at = eight % kept.which.size
                    if kept.which[at] != eight:
                        _keep_valid(field, made, given, eight, at, kept)
                    slots[k] = at * EIGHT + given.place[k] % EIGHT
                ready = True
            fill_missing(
                kept.total, kept.weight, slots[low:high], given.bend, low, given.column_bend, least, out, row, i
            )


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
def _columns_first(field, means, others, first, full, full_along, least, strict, out):
    """Sum along each source row first, then over rows: for targets finer than the source."""
    made, made_again = _made(field, means.made), _made(field, others.made)
    kept, slots = _kept(means, first, full.size, field), np.empty(means.place.size, np.int64)
    kept_again, slots_again = _kept(others, first, full.size, field), np.empty(others.place.size, np.int64)
    thinnest, bends, width = full_along.min(), means.bend.shape[0] > 1, out.shape[1]
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
        gaps = False
        for k in range(means.start[first + j], means.start[first + end]):
            gaps |= kept.gaps[slots[k] // EIGHT]
        for i in range(j, end):
            if not (thinnest * full[i] > 0.0 and thinnest * full[i] >= least):
                _too_little(full[i], full_along, least, out[i])
                gaps = True
        if gaps and not strict:
            _again(field, made_again, others, first, j, end, kept_again, slots_again, least, out)


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
def _rows_first(field, means, others, same, first, full, full_along, least, strict, out):
    """Sum source rows first, then along them: for targets coarser than the source. ``same``: others are the same axes."""
    made, made_again = _made(field, means.made), _made(field, others.made)
    eight, nearby = _eight(field.shape[1], means.along.shape[1]), _nearby(means, field)
    kept_again, slots_again = (
        _kept(others, first, 0 if same else full.size, field),
        np.empty(others.place.size, np.int64),
    )
    thinnest = full_along.min()
    for j in range(0, full.size, EIGHT):
        end, gaps = min(j + EIGHT, full.size), False
        _mean_rows(field, made, means, first + j, first + end, nearby, eight.mean)
        for c in range(eight.gaps.size):
            eight.gaps[c] = lay_rows(eight.mean, eight.order, 0, c * EIGHT, eight.mean_pack)
        for t in range(eight.missing.size):
            eight.missing[t] = sum_laid(eight.mean_pack, means.along, means.values, t * EIGHT, eight.total)
            gaps |= eight.missing[t]
        for i in range(j, end):
            for t in range(out.shape[1]):
                out[i, t] = eight.total[i - j, t]
            if not (thinnest * full[i] > 0.0 and thinnest * full[i] >= least):
                _too_little(full[i], full_along, least, out[i])
        if same and gaps and not strict:
            _again_from_means(field, made, means, others, first, j, end, full, least, nearby, eight, out)
        elif not (same or strict):
            _again(field, made_again, others, first, j, end, kept_again, slots_again, least, out)


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


@kernel
def _again_from_means(field, made, given, others, first, j, end, full, least, nearby, eight, out):
    """The targets of eight rows that came out missing, from means over source rows of what is there."""
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
        x = c * EIGHT
        if eight.gaps[c]:
            lay_rows(eight.mean, eight.order, 0, x, eight.mean_pack)
            lay_rows(eight.share, eight.order, 0, x, eight.share_pack)
        elif eight.partial[c]:
            eight.share_pack[x : x + EIGHT] = 1.0
        eight.partial[c] = eight.gaps[c]
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


def _padded(lon: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Columns and weights as (most entries, targets), the latter filled up to whole vectors.

    Weights of zero stand on a column that is in use anyway.
    """
    counts = np.diff(lon.start)
    if not lon.values.size:
        lon = lon._replace(columns=np.zeros(1, np.uint32), values=np.zeros(1))
    most = max(1, int(counts.max(initial=0)))
    at = lon.start[:-1] + np.minimum(np.arange(most)[:, None], np.maximum(counts - 1, 0))
    at = np.minimum(at, max(lon.values.size - 1, 0))
    there = np.arange(most)[:, None] < counts
    fill = (0, 0), (0, -counts.size % EIGHT)
    return np.pad(lon.columns[at], fill), np.pad(np.where(there, lon.values[at], 0.0), fill)


def rows_of(axes: Axes, j: np.ndarray, i: np.ndarray) -> tuple[Rows, tuple[np.ndarray, ...]]:
    """The weights of targets in rows ``j`` and columns ``i`` as sparse rows over source cells and virtual points.

    Returns
    -------
    rows
        One for each pair; columns beyond the source's cells are virtual points.
    rings
        The cells that each virtual point is the mean of.
    """
    ny, nx = axes.source_shape
    many = np.diff(axes.lat.start)[j], np.diff(axes.lon.start)[i]
    counts = many[0] * many[1]
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    target = np.repeat(np.arange(j.size), counts)
    within = np.arange(start[-1]) - start[:-1][target]
    at_lat = axes.lat.start[j][target] + within // many[1][target]
    at_lon = axes.lon.start[i][target] + within % many[1][target]
    weight = axes.bend[0][at_lat]
    if axes.bend.shape[0] > 1:
        b = axes.column_bend[i][target]
        weight = weight + b * (axes.bend[1][at_lat] + b * axes.bend[2][at_lat])
    row = axes.lat.columns[at_lat].astype(np.int64) - axes.front
    x = axes.lon.columns[at_lon].astype(np.int64)
    cell = row * nx + x
    rings: list[np.ndarray] = []
    for k, (made_of, turn) in enumerate(axes.made):
        here = row == (k - axes.front if k < axes.front else k - axes.front + ny)
        if turn < 0:
            cell[here] = ny * nx + len(rings)
            rings.append(made_of * nx + np.arange(nx))
        else:
            cell[here] = made_of * nx + (x[here] + turn) % nx
    values = weight * axes.lon.values[at_lon]
    keep = values != 0.0
    start = np.concatenate([[0], np.cumsum(np.bincount(target[keep], minlength=j.size))]).astype(np.int64)
    return Rows(start, cell[keep].astype(np.uint32), values[keep], ny * nx + len(rings)), tuple(rings)
