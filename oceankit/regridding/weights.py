"""Weights of each method between two grids, as sparse rows: one row per target cell, columns are source cells."""

import numpy as np
import scipy.sparse

from oceankit.fields.corners import GridError
from oceankit.fields.grid import Edges, Grid
from oceankit.fields.topology import circular_order
from oceankit.numerics import neighbours, sparse
from oceankit.numerics.cells import Cells
from oceankit.numerics.locate import bilinear_weights
from oceankit.numerics.overlap import overlaps
from oceankit.numerics.sparse import Rows
from oceankit.numerics.sphere import polygon_areas

__all__ = ["bilinear", "conservative", "nearest"]


def nearest(source: Grid, target: Grid) -> Rows:
    """The nearest source cell by great-circle distance, the first of equals; nothing outside the source's cells."""
    places, wanted = source.centres(), target.centres()
    used = np.flatnonzero(source.used())
    found, distance = neighbours.nearest(neighbours.build(places[used]), wanted)
    columns = np.where(found >= 0, used[found], -1)
    # A target is outside where the nearest cell of all, masked or not, does not reach it.
    there = np.flatnonzero(np.isfinite(places).all(axis=1))
    closest = found
    if there.size > used.size:
        closest, distance = neighbours.nearest(neighbours.build(places[there]), wanted)
    # A tenth more, because corners derived from centres cut a little short.
    columns[distance > 1.1 * source.reach()[there[closest]]] = -1
    return sparse.from_fixed(columns, np.ones(columns.shape), source.size)


# ---- bilinear -------------------------------------------------------------------------------------------------------


def bilinear(source: Grid, target: Grid, *, periodic: bool, pole: str | None) -> Rows:
    """Bilinear weights between the four source centres around each target centre.

    Rectilinear sources are interpolated in longitude and latitude; the others in space, on the bilinear patch through
    the four centres (barycentric in the triangles of a mesh). ``pole="mean"`` closes a polar cap with a virtual point
    at the pole that has the mean of the last row.
    """
    if source.kind == "rectilinear":
        columns, values, virtual = _between_axes(source, target, periodic, pole)
    else:
        cells, virtual = _cells_of_centres(source, periodic, pole)
        columns, values = bilinear_weights(target.centres(), cells)
    rows = sparse.from_fixed(columns, values, source.size + len(virtual))
    return _expand(rows, virtual, source.size)


def _between_axes(
    source: Grid, target: Grid, periodic: bool, pole: str | None
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Columns and values (n, 4) from one pair of weights per axis."""
    if source.planar:
        order, lon_axis = np.argsort(source.lon.values), np.sort(source.lon.values)
    else:
        order, lon_axis, _ = circular_order(source.lon.values)
    lat_order, lat_axis = np.argsort(source.lat.values), np.sort(source.lat.values)
    n_lon = lon_axis.size
    virtual: list[np.ndarray] = []
    # Rows of cells by latitude; those beyond the grid are the virtual poles.
    row_of = lat_order * n_lon
    if pole is not None and periodic and not source.planar and lat_axis.size > 1:
        lat_axis, row_of, virtual = _close_caps(lat_axis, row_of, n_lon, source.size)
    lon_at, lat_at = target.lon.values, target.lat.values
    i, wi = _on_axis(lon_at, lon_axis, wraps=periodic and not source.planar, angular=not source.planar)
    j, wj = _on_axis(lat_at, lat_axis, wraps=False, angular=False)
    if target.kind == "rectilinear":
        i, wi, j, wj = i[None, :], wi[None, :], j[:, None], wj[:, None]
    i, wi = (np.broadcast_to(v, (*target.shape, 2)).reshape(-1, 2) for v in (i, wi))
    j, wj = (np.broadcast_to(v, (*target.shape, 2)).reshape(-1, 2) for v in (j, wj))
    rows = row_of[j]
    # A virtual row is a single point.
    cells = np.where(rows[:, :, None] >= source.size, rows[:, :, None], rows[:, :, None] + order[i][:, None, :])
    return cells.reshape(-1, 4), (wj[:, :, None] * wi[:, None, :]).reshape(-1, 4), virtual


def _close_caps(
    lat_axis: np.ndarray, row_of: np.ndarray, n_lon: int, size: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    virtual = []
    members = np.arange(n_lon)
    # Where the last row's cells reach the pole; a grid that ends at 60 degrees has no cap to close.
    if -90.0 < lat_axis[0] <= -90.0 + (lat_axis[1] - lat_axis[0]) * 1.01:
        virtual.append(row_of[0] + members)
        lat_axis, row_of = np.insert(lat_axis, 0, -90.0), np.insert(row_of, 0, size)
    if 90.0 > lat_axis[-1] >= 90.0 - (lat_axis[-1] - lat_axis[-2]) * 1.01:
        virtual.append(row_of[-1] + members)
        lat_axis, row_of = np.append(lat_axis, 90.0), np.append(row_of, size + len(virtual) - 1)
    return lat_axis, row_of, virtual


def _on_axis(at: np.ndarray, axis: np.ndarray, *, wraps: bool, angular: bool) -> tuple[np.ndarray, np.ndarray]:
    """The two places on a rising axis around each position and their weights (..., 2); zero weights outside."""
    slack = 1e-10 * max(1.0, float(np.abs(axis).max()))
    if angular:
        # Into the one turn that starts at the axis; a hair before its start is its start.
        at = axis[0] + np.mod(at - axis[0] + slack, 360.0) - slack
    upper = np.searchsorted(axis, at, side="right")
    lower = upper - 1
    n = axis.size
    inside = (lower >= 0) & (upper < n)
    on_last = np.abs(at - axis[-1]) <= slack
    on_first = np.abs(at - axis[0]) <= slack
    low, high = np.clip(lower, 0, n - 1), np.clip(upper, 0, n - 1)
    width = axis[high] - axis[low]
    if wraps:
        seam = upper >= n
        high = np.where(seam, 0, high)
        width = np.where(seam, axis[0] + 360.0 - axis[-1], width)
        inside = inside | seam
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(width > 0, (at - axis[low]) / width, 0.0)
    share = np.where(on_last & ~wraps, 0.0, np.clip(share, 0.0, 1.0))
    low = np.where(on_last, n - 1, np.where(on_first, 0, low))
    share = np.where(on_last | on_first, 0.0, share)
    inside = (inside | on_last | on_first) & np.isfinite(at)
    weights = np.stack([1.0 - share, share], axis=-1) * inside[..., None]
    return np.stack([low, high], axis=-1), weights


def _cells_of_centres(source: Grid, periodic: bool, pole: str | None) -> tuple[Cells, list[np.ndarray]]:
    """Cells whose corners are the source's centres, across the seam, the fold and the pole."""
    if source.kind == "mesh" and source.location == "node" and source._mesh is not None:
        faces = source._mesh.faces.copy()
        nodes = source.centres()
        virtual: list[np.ndarray] = []
    elif source.kind == "curvilinear":
        nodes, faces, virtual = _lattice_cells(source, periodic, pole)
    else:
        what = "a bare list of points" if source.kind == "points" else "values on the faces of a mesh"
        raise GridError(f"bilinear needs neighbours to interpolate between, and {what} has none; use method='nearest'")
    there = np.isfinite(nodes).all(axis=1)
    faces = np.where((there[faces] | (faces < 0)).all(axis=1, keepdims=True), faces, -1)
    return Cells(nodes, np.ascontiguousarray(faces, np.int32), np.ones(faces.shape[0], bool), source.planar), virtual


def _lattice_cells(source: Grid, periodic: bool, pole: str | None) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    top = source.topology
    number = top.canonical(np.arange(source.size).reshape(source.shape))
    ny, nx = number.shape
    nodes = source.centres()
    wraps = periodic and nx > 2
    beside = np.concatenate([number[:, 1:], number[:, :1]], axis=1) if wraps else number[:, 1:]
    here = number if wraps else number[:, :-1]
    faces = [np.stack([here[:-1], beside[:-1], beside[1:], here[1:]], axis=-1).reshape(-1, 4)]
    virtual: list[np.ndarray] = []
    if wraps and top.fold is not None:
        last, over = number[-1], number[-1][top.fold]
        faces.append(np.stack([last, np.roll(last, -1), np.roll(over, -1), over], axis=-1))
    for row in (0, ny - 1):
        ring = nodes[number[row]]
        if not (pole and wraps and np.isfinite(ring).all()) or (row == ny - 1 and top.fold is not None):
            continue
        if _circles_pole(ring, nodes[number[1 if row == 0 else ny - 2]]):
            apex = np.array([0.0, 0.0, np.sign(ring[:, 2].mean())])
            row_and_apex = [number[row], np.roll(number[row], -1), np.full(nx, nodes.shape[0]), np.full(nx, -1)]
            faces.append(np.stack(row_and_apex, axis=-1))
            virtual.append(number[row])
            nodes = np.concatenate([nodes, apex[None]])
    return nodes, np.concatenate(faces), virtual


def _circles_pole(ring: np.ndarray, inner: np.ndarray) -> bool:
    """Whether a closed row of centres goes once around a pole, no farther from it than its own spacing of rows."""
    lon = np.arctan2(ring[:, 1], ring[:, 0])
    steps = np.diff(np.append(lon, lon[0]))
    turned = (steps - 2 * np.pi * np.round(steps / (2 * np.pi))).sum()
    distance = np.hypot(ring[:, 0], ring[:, 1])
    spacing = np.linalg.norm(ring - inner, axis=1)
    return bool(abs(abs(turned) - 2 * np.pi) < 1e-6 and 0.0 < distance.max() <= 1.01 * spacing.max())


def _expand(rows: Rows, virtual: list[np.ndarray], size: int) -> Rows:
    """Replace weights on virtual points by equal weights on the cells they are the mean of."""
    if not virtual:
        return rows
    real = rows.columns < size
    number = rows.numbers()
    parts = [(number[real], rows.columns[real].astype(np.int64), rows.values[real])]
    for k, members in enumerate(virtual):
        mine = rows.columns == size + k
        spread = np.repeat(rows.values[mine] / members.size, members.size)
        parts.append((np.repeat(number[mine], members.size), np.tile(members, int(mine.sum())), spread))
    if len(parts[0][0]) == len(number):
        return rows._replace(n_columns=size)
    row, column, value = (np.concatenate(p) for p in zip(*parts, strict=True))
    # Adds up what a cell has by itself and as part of the mean.
    matrix = scipy.sparse.coo_array((value, (row, column)), shape=(rows.shape[0], size)).tocsr()
    matrix.sort_indices()
    return Rows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.uint32), matrix.data, size)


# ---- conservative ---------------------------------------------------------------------------------------------------


def conservative(source: Grid, target: Grid, *, edges: Edges) -> Rows:
    """First-order conservative weights: the share of each target cell's area that each source cell covers.

    Cells that are none (bow-ties, without area or corners) and copies of cells in a halo take no part.
    """
    for grid, which in ((source, "source"), (target, "target")):
        if not grid.has_cells:
            raise GridError(
                f"conservative needs cells with corners, and the {which} is a grid of {grid.kind}; use method='nearest'"
            )
    if source.planar != target.planar:
        raise GridError("one grid lies on the sphere and the other on a plane; give both lon and lat, or both x and y")
    if edges == "latitude" and not source.planar:
        return _between_parallels(source, target)
    theirs = source.cells()
    aside = source.topology.halo.ravel() if source.kind == "curvilinear" else np.zeros(source.size, bool)
    aside = aside | ~(source.mask.values.ravel() if source.mask is not None else np.ones(source.size, bool))
    if aside.any():
        theirs = theirs._replace(faces=np.where(aside[:, None], np.int32(-1), theirs.faces))
    ours = target.cells()
    rows = overlaps(ours, theirs)
    area = polygon_areas(ours.nodes, ours.faces, ours.planar)
    return rows._replace(values=rows.values / np.repeat(area, np.diff(rows.start)))


def _between_parallels(source: Grid, target: Grid) -> Rows:
    """Cells between parallels and meridians: the overlap is a product of an overlap in lon and one in sin(lat)."""
    if source.kind != "rectilinear" or target.kind != "rectilinear":
        raise GridError(
            "edges='latitude' is for two rectilinear grids, whose cells lie between parallels; "
            f"source is {source.kind} and target is {target.kind}: use edges='great_circle'"
        )
    lon = _axis_overlaps(target.corners["lon_bnds"].values, source.corners["lon_bnds"].values, 360.0)
    ours, theirs = (np.sin(np.radians(g.corners["lat_bnds"].values)) for g in (target, source))
    lat = _axis_overlaps(ours, theirs, None)
    matrix = scipy.sparse.kron(lat, lon, format="csr")
    if source.mask is not None:
        matrix = matrix @ scipy.sparse.diags_array(source.mask.values.ravel().astype(float), format="csr")
        matrix.eliminate_zeros()
    matrix.sort_indices()
    return Rows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.uint32), matrix.data, source.size)


def _axis_overlaps(target: np.ndarray, source: np.ndarray, period: float | None) -> scipy.sparse.csr_array:
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
    return scipy.sparse.csr_array(triplet, shape=(target.shape[0], source.shape[0]))
