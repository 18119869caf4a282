"""Weights that are a product of one set along each axis, applied without ever forming their matrix.

Fields are (n, rows, columns). Beyond the first and the last row lie rows made for the pole: the mean of a row, or a row
seen across the pole. Rows are counted with those in front: extended row e is row ``e - front`` of the field.

The weights along rows may *bend* with the target column: w0 + b (w1 + b w2), b one number per column. That is what
a bilinear patch on the sphere asks for: its parallels are chords.
"""

from typing import NamedTuple

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.separable_kernels import columns_first, rows_first
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
            columns_first(fields[f], given.means, others, *coverage, out[f, rows])
        else:
            rows_first(fields[f], given.means, others, instead is None, *coverage, out[f, rows])

    threads.over_blocks(work, n * pieces, block=1)
    return out.reshape(n, out.shape[1] * out.shape[2])


def coverage(given: Prepared, fields: np.ndarray) -> np.ndarray:
    """Weights of what is not missing, float64 (n, targets)."""
    valid = ~np.isnan(fields)
    full = (given.full[:, None] * given.full_along[None, :]).ravel()
    return np.where(full > 0.0, apply(given, valid.astype(np.float64), 0.0, True), 0.0) * full


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
