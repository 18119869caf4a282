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
from oceankit.numerics.lanes import TARGETS, any_missing, fill_missing, sum_gathered, sum_valid_gathered
from oceankit.numerics.sparse import Rows, sums

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
    """Axes, without rows made and without a bend unless given. Weights that bend are of two rows at most."""
    if bend is not None and np.diff(lat.start).max(initial=0) > 2:
        raise ValueError("weights that bend are of at most two rows for each target row")
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
    columns: np.ndarray
    bend: np.ndarray
    column_bend: np.ndarray
    front: int
    made: np.ndarray
    along: np.ndarray
    """uint32 (most entries, targets and some more to fill vectors)"""
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
    raw = _Sums(axes.lat.start, axes.lat.columns, axes.bend, column_bend, axes.front, axes.made, along, values)
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
    of_field = _columns_first if axes.columns_first else _rows_first

    def work(number: int, _: int) -> None:
        f, piece = divmod(number, pieces)
        rows = slice(piece * block, min((piece + 1) * block, out.shape[1]))
        if rows.start < out.shape[1]:
            of_field(
                fields[f],
                given.means,
                others,
                rows.start,
                given.full[rows],
                given.full_along,
                least,
                strict,
                out[f, rows],
            )

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


# Sums over rows: small loops over few arrays each are what the compiler makes vectors of.


@kernel
def _one(out, a, p):
    for x in range(out.size):
        out[x] = a * p[x]


@kernel
def _two(out, a, p, b, q):
    for x in range(out.size):
        out[x] = a * p[x] + b * q[x]


@kernel
def _three(out, a, p, b, q, c, r):
    for x in range(out.size):
        out[x] = (a * p[x] + b * q[x]) + c * r[x]


@kernel
def _four(out, a, p, b, q, c, r, d, s):
    for x in range(out.size):
        out[x] = ((a * p[x] + b * q[x]) + c * r[x]) + d * s[x]


@kernel
def _add_two(out, a, p, b, q):
    for x in range(out.size):
        out[x] = (out[x] + a * p[x]) + b * q[x]


@kernel
def _add(out, a, p):
    for x in range(out.size):
        out[x] += a * p[x]


@kernel
def _two_bent(out, weights, bend, p, q):
    a0, a1, a2, b0, b1, b2 = weights
    for x in range(out.size):
        b = bend[x]
        out[x] = (a0 + b * (a1 + b * a2)) * p[x] + (b0 + b * (b1 + b * b2)) * q[x]


@kernel
def _copy(values, out):
    for x in range(out.size):
        out[x] = values[x]


@kernel
def _sum_rows(rows, made, front, ring, columns, w, begin, end, room, out):
    """Weighted sum of the extended rows ``columns[begin:end] % ring``, float64 on the way; ``room`` is its scratch."""
    n, k = end - begin, begin
    if n == 0:
        out[:] = np.nan
        return
    a = _row(rows, made, front, np.int64(columns[k]) % ring)
    if n == 1:
        _one(out, w[k], a)
        return
    b = _row(rows, made, front, np.int64(columns[k + 1]) % ring)
    if n == 2:
        _two(out, w[k], a, w[k + 1], b)
        return
    c = _row(rows, made, front, np.int64(columns[k + 2]) % ring)
    if n == 3:
        _three(out, w[k], a, w[k + 1], b, w[k + 2], c)
        return
    d = _row(rows, made, front, np.int64(columns[k + 3]) % ring)
    if n == 4:
        _four(out, w[k], a, w[k + 1], b, w[k + 2], c, w[k + 3], d)
        return
    _four(room, w[k], a, w[k + 1], b, w[k + 2], c, w[k + 3], d)
    for k in range(begin + 4, end - 1, 2):
        a = _row(rows, made, front, np.int64(columns[k]) % ring)
        b = _row(rows, made, front, np.int64(columns[k + 1]) % ring)
        _add_two(room, w[k], a, w[k + 1], b)
    if n % 2 == 1:
        _add(room, w[end - 1], _row(rows, made, front, np.int64(columns[end - 1]) % ring))
    _copy(room, out)


@kernel
def _along(row, columns, values, out):
    """Weighted sums along a row; the arrays are padded to whole vectors."""
    for i in range(0, out.size, TARGETS):
        sum_gathered(row, columns, values, i, out)


@kernel
def _too_little(full_row, full, least, out):
    """Nothing where even all of the source is too little."""
    for i in range(full.size):
        whole = full_row * full[i]
        if not (whole > 0.0 and whole >= least):
            out[i] = np.nan


@kernel
def _missing_groups(out, groups):
    """Where the groups of targets begin of which any is missing; returns how many there are."""
    count, whole = 0, out.size - out.size % TARGETS
    for i in range(0, whole, TARGETS):
        groups[count] = i
        count += any_missing(out, i)
    for i in range(whole, out.size):
        if out[i] != out[i]:
            groups[count] = whole
            return count + 1
    return count


@helper
def _factors(given, j, factors):
    """The weights of row j, and what they bend by."""
    for k in range(given.start[j], given.start[j + 1]):
        for p in range(given.bend.shape[0]):
            factors[p, k - given.start[j]] = given.bend[p, k]


@helper
def _fill(groups, count, valid, weight, rows, number, factors, bend, least, tail, out):
    for g in range(count):
        i = groups[g]
        if i + TARGETS <= out.size:
            fill_missing(valid, weight, rows, number, factors, bend, i, least, out)
        else:
            tail[i : out.size] = out[i:]
            fill_missing(valid, weight, rows, number, factors, bend, i, least, tail)
            out[i:] = tail[i : out.size]


@helper
def _again_from_rows(field, made, given, j, least, groups, count, room, tail, out):
    """The targets of row j that came out missing: means over what is there, gathered from the source's rows."""
    rows, factors, valid, weight = room
    first, number = given.start[j], given.start[j + 1] - given.start[j]
    _factors(given, j, factors)
    for k in range(number):
        rows[k] = k
        row = _row(field, made, given.front, np.int64(given.columns[first + k]))
        for g in range(count):
            sum_valid_gathered(row, given.along, given.values, groups[g], valid[k], weight[k])
    _fill(groups, count, valid, weight, rows, number, factors, given.column_bend, least, tail, out)


@helper
def _again_from_sums(field, made, given, j, least, groups, count, room, tail, held, out):
    """The same from sums along each source row, which are kept: the next rows of targets use them too."""
    rows, factors, valid, weight = room
    first, number = given.start[j], given.start[j + 1] - given.start[j]
    _factors(given, j, factors)
    for k in range(number):
        e = np.int64(given.columns[first + k])
        s = rows[k] = e % held.size
        if held[s] != e:
            held[s] = e
            row = _row(field, made, given.front, e)
            for i in range(0, given.along.shape[1], TARGETS):
                sum_valid_gathered(row, given.along, given.values, i, valid[s], weight[s])
    _fill(groups, count, valid, weight, rows, number, factors, given.column_bend, least, tail, out)


@helper
def _room(given, held):
    """For the rows of one target: which they are, their weights; for ``held`` rows sums over what is there."""
    most = np.int64(1)
    for j in range(given.start.size - 1):
        most = max(most, given.start[j + 1] - given.start[j])
    held, width = max(held, most), given.along.shape[1]
    return np.empty(most, np.int64), np.zeros((3, most)), np.empty((held, width)), np.empty((held, width))


@kernel
def _rows_first(field, means, others, first, full, full_along, least, strict, out):
    """Sum whole source rows first, then along them: for targets coarser than the source."""
    made, made_again = _made(field, means.made), _made(field, others.made)
    summed, more, total = np.empty(field.shape[1]), np.empty(field.shape[1]), np.empty(means.along.shape[1])
    thinnest, ring, w = full_along.min(), np.int64(2**62), means.bend[0]
    room, groups = _room(others, 1), np.empty(total.size // TARGETS, np.int64)
    tail = np.zeros(total.size, field.dtype)
    for j in range(out.shape[0]):
        begin, end = means.start[first + j], means.start[first + j + 1]
        _sum_rows(field, made, means.front, ring, means.columns, w, begin, end, more, summed)
        _along(summed, means.along, means.values, total)
        _copy(total, out[j])
        if not (thinnest * full[j] > 0.0 and thinnest * full[j] >= least):
            _too_little(full[j], full_along, least, out[j])
        count = 0 if strict else _missing_groups(out[j], groups)
        if count > 0:
            _again_from_rows(field, made_again, others, first + j, least, groups, count, room, tail, out[j])


@kernel
def _ring(given, first, rows):
    """How many source rows those of targets use at most."""
    most = np.int64(1)
    for j in range(first, first + rows):
        if given.start[j] < given.start[j + 1]:
            low, high = given.columns[given.start[j]], given.columns[given.start[j + 1] - 1]
            most = max(most, np.int64(high) - np.int64(low) + 1)
    return most


@kernel
def _columns_first(field, means, others, first, full, full_along, least, strict, out):
    """Sum along each source row first, and keep the rows in use: for targets finer than the source."""
    made, made_again = _made(field, means.made), _made(field, others.made)
    start, columns, w, width = means.start, means.columns, means.bend[0], means.along.shape[1]
    ring, again = _ring(means, first, out.shape[0]), 1 if strict else _ring(others, first, out.shape[0])
    held, rows, more = np.full(ring, -1), np.empty((ring, width)), np.empty(width)
    held_again = np.full(again, -1)
    thinnest, nothing = full_along.min(), np.empty((0, 0))
    room, groups = _room(others, again), np.empty(width // TARGETS, np.int64)
    tail = np.zeros(width, field.dtype)
    for j in range(out.shape[0]):
        begin, end = start[first + j], start[first + j + 1]
        for k in range(begin, end):
            e = np.int64(columns[k])
            if held[e % ring] != e:
                held[e % ring] = e
                _along(_row(field, made, means.front, e), means.along, means.values, rows[e % ring])
        if means.bend.shape[0] > 1 and end > begin:
            p, q = rows[np.int64(columns[begin]) % ring], rows[np.int64(columns[end - 1]) % ring]
            _two_bent(out[j], _weights_of_two(means.bend, begin, end), means.column_bend, p, q)
        else:
            _sum_rows(rows, nothing, 0, ring, columns, w, begin, end, more, out[j])
        if not (thinnest * full[j] > 0.0 and thinnest * full[j] >= least):
            _too_little(full[j], full_along, least, out[j])
        count = 0 if strict else _missing_groups(out[j], groups)
        if count > 0:
            _again_from_sums(field, made_again, others, first + j, least, groups, count, room, tail, held_again, out[j])


@helper
def _weights_of_two(bend, begin, end):
    """Weights, and what they bend by, of one or two rows; the second is nothing where there is one."""
    k, m = begin, end - 1
    second = 1.0 if m > k else 0.0
    return bend[0, k], bend[1, k], bend[2, k], second * bend[0, m], second * bend[1, m], second * bend[2, m]


def _padded(lon: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Columns and weights as (most entries, targets), the latter filled up to whole vectors.

    Weights of zero stand on a column that is in use anyway.
    """
    counts = np.diff(lon.start)
    most = max(1, int(counts.max(initial=0)))
    at = lon.start[:-1] + np.minimum(np.arange(most)[:, None], np.maximum(counts - 1, 0))
    at = np.minimum(at, max(lon.values.size - 1, 0))
    there = np.arange(most)[:, None] < counts
    fill = (0, 0), (0, -counts.size % TARGETS)
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
