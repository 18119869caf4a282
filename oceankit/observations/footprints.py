"""What an instrument with a footprint sees: the mean over the cells around each observation."""

import math

import numpy as np
import xarray as xr

from oceankit.fields.adjacency import originals
from oceankit.fields.coordinates import describe
from oceankit.fields.grid import Grid
from oceankit.numerics import sparse, threads, within
from oceankit.numerics.sparse import Rows
from oceankit.numerics.sphere import EARTH_RADIUS
from oceankit.observations import _footprint_kernels as kernels
from oceankit.observations._means import weighted_means
from oceankit.observations.table import ObservationError

__all__ = ["cell_means", "chord"]


def chord(distance: float, planar: bool) -> float:
    """Straight distance between unit vectors that are ``distance`` km apart on the sphere; on a plane the distance itself."""
    return distance if planar else 2.0 * math.sin(min(distance * 1e3 / EARTH_RADIUS, math.pi) / 2.0)


def cell_means(field: xr.DataArray, grid: Grid, places: Grid, *, footprint: float, min_coverage: float) -> xr.DataArray:
    """Area-weighted means of the cells whose centres lie within half a footprint of each place.

    Parameters
    ----------
    footprint
        Diameter: km on the sphere, coordinate units on a plane.
    min_coverage
        Share of the weights that must lie on valid cells.

    Raises
    ------
    GridError
        If the grid is a bare list of points, which have no area.
    ObservationError
        If the field is not on the grid, or one of grid and places is on a plane and the other is not.
    """
    if grid.planar != places.planar:
        raise ObservationError("the field and the observations must both have lon and lat, or both x and y")
    if tuple(field.sizes.get(d) for d in grid.dims) != grid.shape:
        raise ObservationError(
            f"{describe(field)} has the sizes {dict(field.sizes)}, and the grid {dict(zip(grid.dims, grid.shape, strict=True))}; "
            "give the field on this grid"
        )
    rows = _cells_around(grid, places.centres(), footprint / 2.0)
    return weighted_means(field, grid.dims, rows, places.dims[0], least=min_coverage)


def _cells_around(grid: Grid, queries: np.ndarray, radius: float) -> Rows:
    """Shares of the area of all cells within ``radius``, masked ones counted but left out."""
    area = grid.area(edges="latitude").values.ravel()
    # Copies in a halo would count twice.
    own = np.flatnonzero(np.isfinite(area) & (area > 0.0) & (originals(grid) == np.arange(grid.size)))
    centres = grid.centres()[own]
    placed = np.isfinite(centres).all(axis=1)
    own, centres = own[placed], centres[placed]
    dims = 2 if grid.planar else 3
    cells = within.build(centres[:, :dims], chord(radius, grid.planar))
    queries = np.ascontiguousarray(queries[:, :dims])
    counts = np.empty(queries.shape[0], np.int64)
    threads.over_blocks(lambda a, b: kernels.count(queries[a:b], cells, counts[a:b]), counts.size, block=4096)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    numbers = np.empty(start[-1], np.int64)
    threads.over_blocks(
        lambda a, b: kernels.collect(queries[a:b], cells, start[a : b + 1], numbers), counts.size, block=4096
    )
    rows = Rows(start, own[numbers].astype(np.uint32), area[own[numbers]], grid.size)
    sparse.divide(rows, np.where(counts > 0, sparse.sums(rows), 1.0))
    if grid.mask is None:
        return rows
    return sparse.select(rows, grid.mask.values.ravel()[rows.columns])
