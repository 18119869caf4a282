"""Second-order conservative remapping: each source cell holds a plane, not a constant.

A target's mean is the sum over its overlaps of area * value + gradient . moment, where the moment is the integral over
the overlap of the way from the source cell's centroid (Jones 1999, eq. 5; Kritsikis et al. 2017). The moments of a cell
add up to nothing, so that any gradient at all conserves. Gradients are made at run time from the neighbours that
are not missing, so coasts and clouds cost accuracy there and nowhere else.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse

from oceankit.fields.adjacency import adjacency
from oceankit.fields.grid import Grid
from oceankit.numerics import sparse, threads
from oceankit.numerics.cells import Cells
from oceankit.numerics.moments import areas, centroids
from oceankit.numerics.overlap import overlaps
from oceankit.numerics.sparse import Rows
from oceankit.regridding import _second_order_kernels as kernels
from oceankit.regridding.operators import from_scipy
from oceankit.regridding.weights import cells_in_use

__all__ = ["LIMITERS", "SecondOrder", "conservative2"]

LIMITERS = (None, "barth_jespersen")
_BLOCK = 32_768


def conservative2(source: Grid, target: Grid, limiter: str | None) -> SecondOrder:
    """Second-order conservative weights between cells with great-circle edges."""
    theirs, ours = cells_in_use(source, target)
    rows, moments = overlaps(ours, theirs, moments=True)
    area = areas(ours)
    sparse.divide(rows, area)
    for component in range(2):
        sparse.divide(rows._replace(values=moments[:, component]), area)
    middle = centroids(theirs)
    start, neighbours, ways = _stencil(source, theirs, middle)
    reach = _corners(theirs, middle) if limiter else np.empty((source.size, 0, 2))
    return SecondOrder(rows, moments, start, neighbours, ways, reach)


def _stencil(source: Grid, cells: Cells, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours of each cell that take part, and the way to each in the cell's tangent plane (radians)."""
    start, columns = adjacency(source)
    used, places = cells.faces[:, 0] >= 0, source.centres()
    counts = np.zeros(source.size + 1, np.int64)
    found = np.empty(0, np.int32), np.empty((0, 2))

    def work(begin: int, end: int) -> None:
        kernels.near(start, columns, used, places, middle, cells.planar, begin, end, counts, *found)

    threads.over_blocks(work, source.size, block=_BLOCK)
    np.cumsum(counts, out=counts)
    found = np.empty(counts[-1], np.int32), np.empty((counts[-1], 2))
    threads.over_blocks(work, source.size, block=_BLOCK)
    return counts, *found


def _corners(cells: Cells, middle: np.ndarray) -> np.ndarray:
    """float64 (cells, corners, 2): the way to each corner, for the limiter; zero where there is none."""
    out = np.empty((*cells.faces.shape, 2))

    def work(begin: int, end: int) -> None:
        kernels.corners(cells.nodes, cells.faces, middle, cells.planar, begin, end, out)

    threads.over_blocks(work, len(out), block=_BLOCK)
    return out


class SecondOrder:
    """Areas and moments of overlap, and the stencil that gradients are made of.

    Parameters
    ----------
    rows
        Shares of each target's area.
    moments
        float64 (entries, 2): first moments over the target's area, in the tangent plane of the source cell.
    start, neighbours, ways
        Neighbours of each source cell, and float64 (n, 2) the way to each.
    reach
        float64 (sources, corners, 2): the way to each corner, empty without a limiter.
    """

    def __init__(
        self,
        rows: Rows,
        moments: np.ndarray,
        start: np.ndarray,
        neighbours: np.ndarray,
        ways: np.ndarray,
        reach: np.ndarray,
    ):
        self.rows, self.moments, self.reach = rows, moments, reach
        self.start, self.neighbours, self.ways = start, neighbours, ways

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.shape

    @property
    def is_empty(self) -> bool:
        return not self.rows.values.size

    @cached_property
    def _pull(self) -> np.ndarray:
        """float64 (n, 2): what the difference to each neighbour adds to the gradient where all are there."""
        out = np.empty_like(self.ways)
        threads.over_blocks(
            lambda begin, end: kernels.pulls(self.start, self.ways, begin, end, out), self.shape[1], block=_BLOCK
        )
        return out

    def gradients(self, fields: np.ndarray) -> np.ndarray:
        """float64 (n, sources, 2): least squares over the neighbours that are not missing, zero where nothing is."""
        out = np.empty((*fields.shape, 2))

        def work(begin: int, end: int) -> None:
            kernels.gradients(fields, begin, end, self.start, self.neighbours, self.ways, self._pull, self.reach, out)

        threads.over_blocks(work, fields.shape[1], block=_BLOCK)
        return out

    def apply(self, fields: np.ndarray, least: float, strict: bool) -> np.ndarray:
        out = np.empty((fields.shape[0], self.shape[0]), fields.dtype)
        rows = self.rows
        # A few fields at a time: their gradients are four times as large as they are.
        for first in range(0, fields.shape[0], 4):
            some = fields[first : first + 4]
            gradients = self.gradients(some)

            def work(begin: int, end: int, some=some, gradients=gradients, into=out[first : first + 4]) -> None:  # type: ignore[no-untyped-def]
                start = rows.start[begin : end + 1]
                kernels.apply(
                    some, gradients, start, rows.columns, rows.values, self.moments, least, strict, into[:, begin:end]
                )

            threads.over_blocks(work, rows.shape[0], block=16_384)
        return out

    def coverage(self, fields: np.ndarray) -> np.ndarray:
        return sparse.coverage(self.rows, fields)

    def matrix(self) -> Rows:
        """The weights where nothing is missing and nothing limited: areas plus moments times gradients of each cell."""
        n = self.shape[1]
        own, pull = np.repeat(np.arange(n), np.diff(self.start)), self._pull
        where = self.rows.columns.astype(np.int64), self.rows.start
        out = scipy.sparse.csr_array((self.rows.values, *where), shape=self.shape)
        for k in range(2):
            moment = scipy.sparse.csr_array((self.moments[:, k], *where), shape=self.shape)
            slope = scipy.sparse.csr_array((pull[:, k], self.neighbours, self.start), shape=(n, n))
            slope = slope - scipy.sparse.diags_array(np.bincount(own, pull[:, k], minlength=n))
            out = out + moment @ slope
        return from_scipy(out)

    def part(self, targets: np.ndarray) -> tuple[np.ndarray, SecondOrder]:
        at = sparse.entries_of(self.rows.start, targets)
        rows = sparse.take(self.rows, targets)
        used = np.unique(rows.columns).astype(np.int64)
        near = sparse.entries_of(self.start, used)
        cells = np.unique(np.concatenate([used, self.neighbours[near]]))
        counts = np.zeros(cells.size, np.int64)
        # Cells that are there as neighbours only need no gradient.
        counts[np.searchsorted(cells, used)] = np.diff(self.start)[used]
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        local = rows._replace(columns=np.searchsorted(cells, rows.columns).astype(np.uint32), n_columns=cells.size)
        neighbours = np.searchsorted(cells, self.neighbours[near]).astype(np.int32)
        return cells, SecondOrder(local, self.moments[at], start, neighbours, self.ways[near], self.reach[cells])

    def first(self) -> np.ndarray:
        return sparse.first_columns(self.rows.start, self.rows.columns)

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("moments", "start", "neighbours", "ways", "reach")
        return {**sparse.named("rows", self.rows), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> SecondOrder:
        rest = (arrays[name] for name in ("moments", "start", "neighbours", "ways", "reach"))
        return cls(sparse.unnamed("rows", arrays), *rest)
