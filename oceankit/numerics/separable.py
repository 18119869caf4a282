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
from oceankit.numerics.sparse import Rows, sums

__all__ = ["Axes", "apply", "coverage", "make", "rows_of"]


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
    """Axes, without rows made and without a bend unless given."""
    made = np.empty((0, 2), np.int64) if made is None else made
    bend = lat.values[None] if bend is None else bend
    # Summing along a row takes four times as long as adding a row.
    rows_first = lat.values.size * lon.n_columns + 4 * lat.shape[0] * lon.values.size
    along_first = 4 * np.unique(lat.columns).size * lon.values.size + lat.values.size * lon.shape[0]
    column_bend = np.zeros(lon.shape[0]) if column_bend is None else column_bend
    return Axes(lat, lon, front, made, bend, column_bend, bend.shape[0] > 1 or along_first < rows_first)


def apply(axes: Axes, fields: np.ndarray, least: float, strict: bool) -> np.ndarray:
    """Weighted means over what is not missing, as :func:`oceankit.numerics.sparse.apply`.

    ``fields`` is (n, rows * columns), the result (n, target rows * target columns).
    """
    n = fields.shape[0]
    fields = fields.reshape(n, *axes.source_shape)
    out = np.empty((n, *axes.target_shape), fields.dtype)
    lat, lon = axes.lat, axes.lon
    along, weights = _padded(lon)
    full, full_along = sums(lat), _running_sum(weights)  # sums in the order of the kernels: equal means whole
    # A single field is shared among threads, in blocks long enough that source rows used by two of them are few.
    pieces = 8 if n < 8 else 1
    block = -(-lat.shape[0] // pieces)

    def work(number: int, _: int) -> None:
        f, piece = divmod(number, pieces)
        rows = slice(piece * block, min((piece + 1) * block, lat.shape[0]))
        if rows.start >= lat.shape[0]:
            return
        given = (fields[f], lat.start[rows.start : rows.stop + 1], lat.columns, axes.bend, along, weights, axes.front,
                 axes.made, full[rows], full_along, least, strict, out[f, rows])  # fmt: skip
        if axes.columns_first:
            _columns_first(*given, axes.column_bend)
        else:
            _rows_first(*given)

    threads.over_blocks(work, n * pieces, block=1)
    return out.reshape(n, lat.shape[0] * lon.shape[0])


def _running_sum(weights: np.ndarray) -> np.ndarray:
    """Sums in the order of the kernels, so that equality means that nothing is missing."""
    total = np.zeros(weights.shape[1])
    for row in weights:
        total += row
    return total


def coverage(axes: Axes, fields: np.ndarray) -> np.ndarray:
    """Weights of what is not missing, float64 (n, targets)."""
    valid = ~np.isnan(fields)
    full = (sums(axes.lat)[:, None] * sums(axes.lon)[None, :]).ravel()
    return np.where(full > 0.0, apply(axes, valid.astype(np.float64), 0.0, True), 0.0) * full


@kernel
def _make(field, made, out):
    """The rows made for the poles; a mean is that of what is not missing."""
    nx = field.shape[1]
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


@helper
def _row(field, made, front, e):
    """Extended row e."""
    ny = field.shape[0]
    if e < front:
        return made[e]
    return field[e - front] if e < front + ny else made[e - ny]


# Sums over rows and along them. Small loops over few arrays each: that is what the compiler makes vectors of.


@kernel
def _add(total, w, row):
    for x in range(total.size):
        total[x] += w * row[x]


@kernel
def _add_valid(total, weight, w, row):
    for x in range(total.size):
        there = row[x] == row[x]
        total[x] += w * row[x] if there else 0.0
        weight[x] += w if there else 0.0


@kernel
def _add_bent(total, w0, w1, w2, bend, row):
    for x in range(total.size):
        total[x] += (w0 + bend[x] * (w1 + bend[x] * w2)) * row[x]


@kernel
def _add_two(total, w, row, v, other):
    """Two rows at once, one after the other."""
    for x in range(total.size):
        total[x] = (total[x] + w * row[x]) + v * other[x]


@kernel
def _along(row, columns, values, out):
    """Weighted sums along a row; ``columns`` and ``values`` (most entries, targets) are padded with weights of zero."""
    most = values.shape[0]
    if most == 1:
        for i in range(out.size):
            out[i] = values[0, i] * row[columns[0, i]]
        return
    c, d, v, w = columns[0], columns[1], values[0], values[1]
    for i in range(out.size):
        out[i] = v[i] * row[c[i]] + w[i] * row[d[i]]
    for k in range(2, most - 1, 2):
        c, d, v, w = columns[k], columns[k + 1], values[k], values[k + 1]
        for i in range(out.size):
            out[i] = (out[i] + v[i] * row[c[i]]) + w[i] * row[d[i]]
    if most % 2 == 1:
        c, v = columns[most - 1], values[most - 1]
        for i in range(out.size):
            out[i] += v[i] * row[c[i]]


# One or two rows of sums, the usual case, in one go.


@kernel
def _two_rows(row, other, weights, bend, scale_row, scale, out):
    a0, a1, a2, b0, b1, b2 = weights
    for i in range(out.size):
        b = bend[i]
        total = (a0 + b * (a1 + b * a2)) * row[i] + (b0 + b * (b1 + b * b2)) * other[i]
        out[i] = total * (scale_row * scale[i])


@kernel
def _two_rows_with_gaps(
    row, valid, weight, other, other_valid, other_weight, weights, bend, scale_row, scale, least, out
):
    a0, a1, a2, b0, b1, b2 = weights
    for i in range(out.size):
        b = bend[i]
        v, w = a0 + b * (a1 + b * a2), b0 + b * (b1 + b * b2)
        total = v * row[i] + w * other[i]
        share = v * weight[i] + w * other_weight[i]
        share = share if share > 0.0 and share >= least else np.nan
        part = (v * valid[i] + w * other_valid[i]) / share
        out[i] = total * (scale_row * scale[i]) if total == total else part


@kernel
def _split(row, filled, there):
    """A row with zero where it is missing, and one where it is not."""
    missing = 0
    for x in range(row.size):
        valid = row[x] == row[x]
        filled[x] = row[x] if valid else 0.0
        there[x] = 1.0 if valid else 0.0
        missing += not valid
    return missing > 0


@kernel
def _plain(total, weight, full, out):
    """Totals of what is whole. It is whole where its weights add up to all: the same sum of the same numbers."""
    for i in range(total.size):
        out[i] = total[i] if weight[i] == full[i] else np.nan


@kernel
def _scaled(total, scale_row, scale, out):
    """Totals over their full weight, which is a product; whether anything is missing."""
    missing = 0
    for i in range(total.size):
        out[i] = total[i] * (scale_row * scale[i])
        missing += total[i] != total[i]
    return missing > 0


@kernel
def _partial(plain, total, weight, least, out):
    """Where the plain total is missing: the mean over what is there."""
    for i in range(plain.size):
        share = weight[i] if weight[i] > 0.0 and weight[i] >= least else np.nan
        out[i] = out[i] if plain[i] == plain[i] else total[i] / share


@kernel
def _too_little(full_row, full, least, out):
    """Nothing where even all of the source is too little."""
    for i in range(full.size):
        whole = full_row * full[i]
        if not (whole > 0.0 and whole >= least):
            out[i] = np.nan


@kernel
def _rows_first(field, start, columns, bend, along, weights, front, made, full, full_along, least, strict, out):
    """Sum whole source rows first, then along them: for targets coarser than the source."""
    nx, mx = field.shape[1], out.shape[1]
    extra = np.empty((made.shape[0], nx), field.dtype)
    _make(field, made, extra)
    sums_of, valid, weight = np.empty(nx), np.empty(nx), np.empty(nx)
    plain, total, share = np.empty(mx), np.empty(mx), np.empty(mx)
    scale, thinnest = 1.0 / full_along, full_along.min()
    all_of = np.empty(nx)
    dirty = False
    for j in range(start.size - 1):
        if full[j] <= 0.0:
            out[j, :] = np.nan
            continue
        if not dirty:
            sums_of[:] = 0.0
            begin, end = start[j], start[j + 1]
            for k in range(begin, end - 1, 2):
                one, two = _row(field, extra, front, columns[k]), _row(field, extra, front, columns[k + 1])
                _add_two(sums_of, bend[0, k], one, bend[0, k + 1], two)
            if (end - begin) % 2 == 1:
                _add(sums_of, bend[0, end - 1], _row(field, extra, front, columns[end - 1]))
            _along(sums_of, along, weights, plain)
            dirty = _scaled(plain, 1.0 / full[j], scale, out[j]) and not strict
        if dirty:
            # Rows beside each other are alike: the next begins here, and turns back if nothing is missing.
            valid[:] = 0.0
            weight[:] = 0.0
            for k in range(start[j], start[j + 1]):
                _add_valid(valid, weight, bend[0, k], _row(field, extra, front, columns[k]))
            all_of[:] = full[j]
            _plain(valid, weight, all_of, sums_of)
            _along(sums_of, along, weights, plain)
            dirty = _scaled(plain, 1.0 / full[j], scale, out[j])
            if dirty:
                _along(valid, along, weights, total)
                _along(weight, along, weights, share)
                _partial(plain, total, share, least, out[j])
        if not (thinnest > 0.0 and thinnest * full[j] >= least):
            _too_little(full[j], full_along, least, out[j])


@kernel
def _columns_first(
    field, start, columns, bend, along, weights, front, made, full, full_along, least, strict, out, column_bend
):
    """Sum along each source row first, and keep the rows in use: for targets finer than the source."""
    nx, mx = field.shape[1], out.shape[1]
    extra = np.empty((made.shape[0], nx), field.dtype)
    _make(field, made, extra)
    span = np.int64(1)
    for j in range(start.size - 1):
        if start[j] < start[j + 1]:
            span = max(span, np.int64(columns[start[j + 1] - 1]) - np.int64(columns[start[j]]) + 1)
    held, clean = np.full(span, -1), np.zeros(span, np.bool_)
    # Of each row in use: sums over what is there, missing where anything is (plain), the former and its weights.
    plain_of, valid_of, weight_of = np.empty((span, mx)), np.empty((span, mx)), np.empty((span, mx))
    filled, there = np.empty(nx), np.empty(nx)
    plain, total, weight = np.empty(mx), np.empty(mx), np.empty(mx)
    scale, thinnest = 1.0 / full_along, full_along.min()
    for j in range(start.size - 1):
        if full[j] <= 0.0:
            out[j, :] = np.nan
            continue
        begin, end = start[j], start[j + 1]
        whole = True
        for k in range(begin, end):
            e = np.int64(columns[k])
            s = e % span
            if held[s] != e:
                row = _row(field, extra, front, e)
                held[s], clean[s] = e, strict or not _split(row, filled, there)
                if clean[s]:
                    _along(row, along, weights, plain_of[s])
                else:
                    _along(filled, along, weights, valid_of[s])
                    _along(there, along, weights, weight_of[s])
                    _plain(valid_of[s], weight_of[s], full_along, plain_of[s])
            whole = whole and clean[s]
        one_over = 1.0 / full[j]
        if end - begin <= 2:
            first, last = np.int64(columns[begin]) % span, np.int64(columns[end - 1]) % span
            w = _weights_of_two(bend, begin, end)
            if whole:
                _two_rows(plain_of[first], plain_of[last], w, column_bend, one_over, scale, out[j])
            else:
                _two_rows_with_gaps(
                    plain_of[first], valid_of[first] if not clean[first] else plain_of[first],
                    weight_of[first] if not clean[first] else full_along,
                    plain_of[last], valid_of[last] if not clean[last] else plain_of[last],
                    weight_of[last] if not clean[last] else full_along,
                    w, column_bend, one_over, scale, least, out[j],
                )  # fmt: skip
        else:
            plain[:] = 0.0
            for k in range(begin, end):
                _add_either(plain, bend, k, column_bend, plain_of[np.int64(columns[k]) % span])
            if _scaled(plain, one_over, scale, out[j]) and not whole:
                total[:] = 0.0
                weight[:] = 0.0
                for k in range(begin, end):
                    s = np.int64(columns[k]) % span
                    _add_either(total, bend, k, column_bend, plain_of[s] if clean[s] else valid_of[s])
                    _add_either(weight, bend, k, column_bend, full_along if clean[s] else weight_of[s])
                _partial(plain, total, weight, least, out[j])
        if not (thinnest > 0.0 and thinnest * full[j] >= least):
            _too_little(full[j], full_along, least, out[j])


@kernel
def _weights_of_two(bend, begin, end):
    """Weights, and what they bend by, of one or two rows; the second is nothing where there is one."""
    k, m = begin, end - 1
    second = 1.0 if m > k else 0.0
    if bend.shape[0] == 1:
        return bend[0, k], 0.0, 0.0, second * bend[0, m], 0.0, 0.0
    return bend[0, k], bend[1, k], bend[2, k], second * bend[0, m], second * bend[1, m], second * bend[2, m]


@kernel
def _add_either(total, bend, k, column_bend, row):
    if bend.shape[0] > 1:
        _add_bent(total, bend[0, k], bend[1, k], bend[2, k], column_bend, row)
    else:
        _add(total, bend[0, k], row)


def _padded(lon: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Columns and weights as (most entries, targets); weights of zero stand on a column that is in use anyway."""
    counts = np.diff(lon.start)
    most = max(1, int(counts.max(initial=0)))
    at = lon.start[:-1] + np.minimum(np.arange(most)[:, None], np.maximum(counts - 1, 0))
    at = np.minimum(at, max(lon.values.size - 1, 0))
    there = np.arange(most)[:, None] < counts
    return np.ascontiguousarray(lon.columns[at]), np.ascontiguousarray(np.where(there, lon.values[at], 0.0))


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
