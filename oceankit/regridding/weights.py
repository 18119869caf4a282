"""Nearest and conservative weights between two grids."""

import numpy as np
import scipy.sparse

from oceankit.fields.corners import GridError
from oceankit.fields.grid import Edges, Grid
from oceankit.numerics import sparse
from oceankit.numerics.cells import Cells
from oceankit.numerics.moments import areas
from oceankit.numerics.overlap import overlaps
from oceankit.numerics.parallels import Boxes, box_overlaps
from oceankit.numerics.separable import make
from oceankit.numerics.sparse import Rows
from oceankit.regridding.operators import Matrix, Operator, Separable, from_scipy
from oceankit.regridding.scattered import nearest_inside, nothing

__all__ = ["OF_A_MESH", "conservative", "nearest"]

OF_A_MESH = (
    ". If they are the nodes or faces of a mesh, which a field alone has lost, make the regridder of the Dataset that has "
    "both, and give it the field: Regridder(ds, target)(ds['temp'])"
)
"""What an error says to somebody whose mesh was lost on the way."""


def nearest(source: Grid, target: Grid) -> Matrix:
    """The nearest source cell by great-circle distance, the first of equals; nothing outside the source's cells."""
    wanted = target.centres()
    used = np.flatnonzero(source.used())
    if not used.size:
        return nothing(source, target)
    found, _ = nearest_inside(source, wanted, used)
    columns = np.where(found >= 0, used[found], -1)
    return Matrix(sparse.from_fixed(columns, np.ones(columns.shape), source.size), source.size)


# ---- conservative ---------------------------------------------------------------------------------------------------


def conservative(source: Grid, target: Grid, *, edges: Edges) -> Operator:
    """First-order conservative weights: the share of each target cell's area that each source cell covers."""
    if edges == "latitude" and not source.planar:
        return _between_parallels(source, target)
    theirs, ours = cells_in_use(source, target)
    rows = overlaps(ours, theirs)
    sparse.divide_by_wholes(rows, areas(ours))
    return Matrix(rows, source.size)


def cells_in_use(source: Grid, target: Grid) -> tuple[Cells, Cells]:
    """Cells of source and target. Those that are none (bow-ties, without area or corners), copies of cells in
    a halo and masked cells of the source take no part.
    """
    for grid, which in ((source, "source"), (target, "target")):
        if not grid.has_cells:
            raise GridError(
                f"conservative needs cells with corners, and the {which} is a bare list of points; use method='nearest'"
                f"{OF_A_MESH if which == 'source' else ''}"
            )
    theirs = source.cells()
    aside = source.topology.halo.ravel() if source.kind == "curvilinear" else np.zeros(source.size, bool)
    if source.mask is not None:
        aside = aside | ~source.mask.values.ravel()
    if aside.any():
        theirs = theirs._replace(faces=np.where(aside[:, None], np.int32(-1), theirs.faces))
    return theirs, target.cells()


def _between_parallels(source: Grid, target: Grid) -> Operator:
    """Cells of rectilinear grids lie between parallels and meridians, those of others between great circles."""
    straight = [grid.kind == "rectilinear" for grid in (source, target)]
    if all(straight):
        # The overlap is a product of an overlap in lon and one in sin(lat).
        lon = _axis_overlaps(target.corners["lon_bnds"].values, source.corners["lon_bnds"].values, 360.0)
        ours, theirs = (np.sin(np.radians(g.corners["lat_bnds"].values)) for g in (target, source))
        return Separable(make(_axis_overlaps(ours, theirs, None), lon))
    if not any(straight):
        raise GridError(
            "edges='latitude' needs a rectilinear grid, whose cells lie between parallels; "
            f"source is {source.kind} and target is {target.kind}: use edges='great_circle'"
        )
    box_grid = target if straight[1] else source
    widest = float(np.abs(np.diff(box_grid.corners["lon_bnds"].values, axis=1)).max())
    if widest >= 180.0:
        raise GridError(f"a cell of {box_grid.lon.name!r} is {widest:g} degrees wide; use cells narrower than 180")
    theirs_in_use, ours_in_use = cells_in_use(source, target)
    polygons = theirs_in_use if straight[1] else ours_in_use
    boxes = Boxes(*(box_grid.corners[name].values for name in ("lon_bnds", "lat_bnds")))
    box, cell, area = box_overlaps(boxes, polygons)
    row, column = (box, cell) if straight[1] else (cell, box)
    of_targets = boxes.areas.ravel() if straight[1] else areas(polygons)
    rows = from_scipy(scipy.sparse.csr_array((area, (row, column)), shape=(target.size, source.size)))
    sparse.divide_by_wholes(rows, of_targets)
    return Matrix(rows, source.size)


def _axis_overlaps(target: np.ndarray, source: np.ndarray, period: float | None) -> Rows:
    """Share of each target interval that each source interval covers."""
    target, source = np.sort(target, axis=1), np.sort(source, axis=1)
    shifts = [0.0] if period is None else [-2 * period, -period, 0.0, period, 2 * period]
    order = np.argsort(source[:, 0])
    low, high = source[order, 0], source[order, 1]
    rows, columns, values = [], [], []
    for shift in shifts:
        t0, t1 = target[:, 0] + shift, target[:, 1] + shift
        first, last = np.searchsorted(high, t0, side="right"), np.searchsorted(low, t1, side="left")
        counts = np.maximum(last - first, 0)
        row = np.repeat(np.arange(target.shape[0]), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        column = first[row] + within
        overlap = np.minimum(high[column], t1[row]) - np.maximum(low[column], t0[row])
        keep = overlap > 1e-14 * (t1 - t0)[row]
        rows.append(row[keep])
        columns.append(order[column[keep]])
        values.append((overlap / (t1 - t0)[row])[keep])
    triplet = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return from_scipy(scipy.sparse.csr_array(triplet, shape=(target.shape[0], source.shape[0])))
