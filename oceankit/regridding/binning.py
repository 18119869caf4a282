"""Statistics of the source's places that fall in each target cell."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from oceankit.fields.adjacency import originals
from oceankit.fields.corners import GridError
from oceankit.fields.grid import Grid
from oceankit.fields.topology import circular_order
from oceankit.numerics import sparse, threads
from oceankit.numerics.locate import cells_of
from oceankit.numerics.sparse import Rows
from oceankit.regridding import _binning_kernels as kernels

__all__ = ["STATISTICS", "Bins", "binning", "holders"]

STATISTICS = ("mean", "median", "min", "max", "count")

_KERNELS = {"mean": kernels.mean, "median": kernels.median, "min": kernels.least, "max": kernels.greatest}
# Entries that are worked on at a time, whatever the number of cells they are in.
_ENTRIES = 131_072


class Bins:
    """The source's places in each target cell, and what is made of their values.

    An operator (see :mod:`oceankit.regridding.operators`) that is no weighted mean, but for ``"mean"``.

    Parameters
    ----------
    start, columns
        The places in target i are ``columns[start[i]:start[i + 1]]``, in ascending order: int64 (targets + 1,) and uint32.
    n_source
        Number of places in the source.
    statistic
        One of :data:`STATISTICS`.
    n_unused
        Places that are not masked and fall in no target cell, or in a masked one.
    """

    def __init__(self, start: np.ndarray, columns: np.ndarray, n_source: int, statistic: str, n_unused: int = 0):
        self.start, self.columns, self.n_source = start, columns, n_source
        self.statistic, self.n_unused = statistic, n_unused

    @property
    def shape(self) -> tuple[int, int]:
        return self.start.size - 1, self.n_source

    @property
    def is_empty(self) -> bool:
        return not self.columns.size

    @cached_property
    def _bounds(self) -> np.ndarray:
        """Blocks of targets with about the same number of places."""
        cuts = np.searchsorted(self.start, np.arange(0, self.start[-1], _ENTRIES), side="right")
        return np.unique(np.concatenate([[0], cuts, [self.start.size - 1]]))

    def apply(self, fields: np.ndarray, least: float, strict: bool) -> np.ndarray:  # noqa: ARG002
        """``least`` is about areas and plays no part: one value is enough."""
        if self.statistic == "count":
            return self._counts(fields)
        out = np.empty((fields.shape[0], self.shape[0]), fields.dtype)
        statistic, bounds = _KERNELS[self.statistic], self._bounds

        def work(b: int, _: int) -> None:
            begin, end = bounds[b], bounds[b + 1]
            statistic(fields, self.start[begin : end + 1], self.columns, strict, out[:, begin:end])

        threads.over_blocks(work, bounds.size - 1, block=1)
        return out

    def _counts(self, fields: np.ndarray) -> np.ndarray:
        out = np.empty((fields.shape[0], self.shape[0]), np.int64)
        bounds = self._bounds

        def work(b: int, _: int) -> None:
            begin, end = bounds[b], bounds[b + 1]
            kernels.count(fields, self.start[begin : end + 1], self.columns, out[:, begin:end])

        threads.over_blocks(work, bounds.size - 1, block=1)
        return out

    def coverage(self, fields: np.ndarray) -> np.ndarray:
        """Of the places in each target, the share that has a value; 0 where there are none."""
        return self._counts(fields) / np.maximum(np.diff(self.start), 1)

    def matrix(self) -> Rows:
        """Membership: one for each place in a target; for ``"mean"`` its weight, one over their number."""
        if self.statistic == "mean":
            return self.shares()
        return Rows(self.start, self.columns, np.ones(self.columns.size), self.n_source)

    def shares(self) -> Rows:
        """One over the number of places in the same target, whatever is made of their values."""
        number = np.diff(self.start)
        return Rows(self.start, self.columns, np.repeat(1.0 / np.maximum(number, 1), number), self.n_source)

    def part(self, targets: np.ndarray) -> tuple[np.ndarray, Bins]:
        columns = self.columns[sparse.entries_of(self.start, targets)]
        start = np.concatenate([[0], np.cumsum(np.diff(self.start)[targets])]).astype(np.int64)
        cells, local = np.unique(columns, return_inverse=True)
        return cells.astype(np.int64), Bins(start, local.ravel().astype(np.uint32), cells.size, self.statistic)

    def first(self) -> np.ndarray:
        return sparse.first_columns(self.start, self.columns)

    def arrays(self) -> dict[str, np.ndarray]:
        said = np.array([self.n_source, self.n_unused, STATISTICS.index(self.statistic)])
        return {"start": self.start, "columns": self.columns, "said": said}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Bins:
        n_source, n_unused, statistic = (int(v) for v in arrays["said"])
        return cls(arrays["start"], arrays["columns"], n_source, STATISTICS[statistic], n_unused)


def binning(source: Grid, target: Grid, statistic: str) -> Bins:
    """The places of the source (points, or the centres of its cells) in each cell of the target.

    Masked places, those without a position and copies in halos take no part; masked targets have none. In a target with a
    halo, copies have what their originals have.

    Raises
    ------
    GridError
        If the target has no cells.
    """
    same = originals(source)
    taking_part = source.used() & (same == np.arange(source.size))
    cells = np.where(taking_part, holders(source, target), -1)
    if target.mask is not None:
        cells[~target.mask.values.ravel()[cells] & (cells >= 0)] = -1
    start = np.zeros(target.size + 1, np.int64)
    kernels.sort_by_cell(cells, start, np.empty(0, np.uint32))
    np.cumsum(start, out=start)
    columns = np.empty(start[-1], np.uint32)
    if columns.size:
        kernels.sort_by_cell(cells, start[:-1].copy(), columns)
    found = Bins(start, columns, source.size, statistic, int((taking_part & (cells < 0)).sum()))
    own = originals(target)
    if (own == np.arange(target.size)).all():
        return found
    shown = np.ones(target.size, bool) if target.mask is None else target.mask.values.ravel()
    counts = np.where(shown, np.diff(start)[own], 0)
    entries = sparse.entries_of(start, own[shown])
    return Bins(np.append(0, np.cumsum(counts)), columns[entries], source.size, statistic, found.n_unused)


def holders(source: Grid, target: Grid) -> np.ndarray:
    """The target cell that holds each of the source's places, int64 (n,); -1 where none does.

    Between parallels and meridians (or the lines of a plane) on rectilinear targets: low edges belong to a cell, high
    ones to the next, the outermost to the last, as in ``numpy.histogram2d``. Between great circles on other targets,
    where a place on an edge is in one of the cells beside it, always the same.
    """
    if not target.has_cells:
        raise GridError(
            "binning needs cells that values fall in, and the target is a bare list of points; "
            "give a grid with cells, or use method='nearest_target'"
        )
    if target.kind == "rectilinear":
        return _between_lines(source, target)
    cells = target.cells()
    # A copy in a halo would take what falls in its original.
    copies = originals(target) != np.arange(target.size)
    if copies.any():
        cells = cells._replace(faces=np.where(copies[:, None], np.int32(-1), cells.faces))
    return cells_of(source.centres(), cells)


def _between_lines(source: Grid, target: Grid) -> np.ndarray:
    lon, lat = source.lon.values, source.lat.values
    x_bounds, y_bounds = (v.values for v in target.corners.data_vars.values())
    i = _in_axis(lon.ravel(), x_bounds, None if target.planar else _west(target, x_bounds))
    j = _in_axis(lat.ravel(), y_bounds, None)
    if source.kind == "rectilinear":
        i, j = np.broadcast_arrays(i[None, :], j[:, None])
    i, j = i.ravel(), j.ravel()
    return np.where((i >= 0) & (j >= 0), j * x_bounds.shape[0] + i, -1)


def _west(target: Grid, bounds: np.ndarray) -> float:
    """Where the turn begins in which longitudes are counted: at an edge, beyond the widest gap if there is one."""
    low = bounds.min(axis=1)
    return float(low.min() if target.periodic else low[circular_order(target.lon.values)[0][0]])


def _in_axis(at: np.ndarray, bounds: np.ndarray, west: float | None) -> np.ndarray:
    """Place along an axis of cells (n, 2), -1 outside; ``west`` where positions are longitudes, counted from there."""
    low, high = np.sort(bounds, axis=1).T
    period = 0.0 if west is None else 360.0
    if west is not None:
        shift = period * np.floor((low - west) / period)
        low, high = low - shift, high - shift
    order = np.argsort(low, kind="stable")
    found = np.empty(at.size, np.int64)
    low, high = np.ascontiguousarray(low[order]), np.ascontiguousarray(high[order])
    at = np.ascontiguousarray(at, np.float64)

    def work(begin: int, end: int) -> None:
        kernels.place_in_axis(at[begin:end], low, high, west or 0.0, period, found[begin:end])

    threads.over_blocks(work, at.size, block=65_536)
    return np.where(found >= 0, order[found], -1)
