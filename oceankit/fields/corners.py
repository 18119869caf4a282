"""Corners of cells: read from CF bounds in the layouts that are about, or derived from the centres."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import describe, in_degrees
from oceankit.numerics.sphere import lonlat, unit_vectors

__all__ = ["GridError", "axis_edges", "derive_curvilinear", "find_bounds", "lattice_to_cells"]


class GridError(ValueError):
    """A grid cannot be made, or lacks what an operation needs; the message says what and the remedy."""


_PATTERNS = ("bounds_{0}", "{0}_bnds", "{0}_bounds", "{0}_vertices", "vertices_{0}", "{0}_vert", "{0}_b")
_LATTICES = {
    "lon_rho": ("lon_vert", "lat_vert"),
    "geolon": ("geolon_c", "geolat_c"),
    "geolon_t": ("geolon_c", "geolat_c"),
}


def find_bounds(
    ds: xr.Dataset, lon: xr.DataArray, lat: xr.DataArray, names: tuple[Hashable, Hashable] | None
) -> tuple[xr.DataArray, xr.DataArray] | None:
    """The two bounds variables of a pair of coordinates, or None.

    Raises
    ------
    GridError
        If the names given, or those that the coordinates' ``bounds`` attributes give, are not in the dataset.
    """
    if names is not None:
        absent = [n for n in names if n not in ds.variables]
        if absent:
            raise GridError(f"bounds={names!r}: {describe(ds)} has no variable {absent[0]!r}")
        return ds[names[0]], ds[names[1]]
    found = []
    for coordinate in (lon, lat):
        marked = coordinate.attrs.get("bounds", coordinate.encoding.get("bounds"))
        tries = [marked] if marked is not None else []
        tries += [p.format(coordinate.name) for p in _PATTERNS]
        names_here = [n for n in tries if n in ds.variables and set(coordinate.dims) <= set(ds[n].dims)]
        if names_here:
            found.append(ds[names_here[0]].transpose(*coordinate.dims, ...))
    if len(found) == 2:
        return found[0], found[1]
    lattice = _LATTICES.get(str(lon.name))
    if lattice and all(n in ds.variables for n in lattice):
        a, b = ds[lattice[0]], ds[lattice[1]]
        if a.shape == b.shape == tuple(n + 1 for n in lon.shape):
            return a, b
    return None


def bounds_in_degrees(
    bounds: tuple[xr.DataArray, xr.DataArray], like: tuple[xr.DataArray, xr.DataArray]
) -> tuple[np.ndarray, np.ndarray]:
    """Values of the two bounds; units not given are those of the coordinates."""
    out = []
    for values, coordinate, kind in zip(bounds, like, ("longitude", "latitude"), strict=True):
        # Bounds without units have those of their coordinate (CF 7.1).
        units = values.attrs.get("units", coordinate.attrs.get("units", ""))
        copy = values.copy(deep=False)
        copy.attrs = {**values.attrs, "units": units}
        out.append(in_degrees(copy, kind))  # type: ignore[arg-type]
    return out[0], out[1]


def axis_edges(centres: np.ndarray, name: Hashable, *, lower: float | None = None, upper: float | None = None,
               period: float | None = None) -> np.ndarray:  # fmt: skip
    """Bounds (n, 2) of a 1-D axis half-way between its centres; the outer cells are as wide as their inner halves.

    Raises
    ------
    GridError
        If there is a single centre, or they neither rise nor fall throughout.
    """
    if centres.size < 2:
        raise GridError(
            f"{name!r} has a single value, {centres[0]:g}, so the edges of its cell cannot be derived; "
            "give them as bounds (CF: an attribute 'bounds' naming a variable of shape (n, 2))"
        )
    steps = np.diff(centres)
    if not ((steps > 0).all() or (steps < 0).all()):
        at = int(np.argmax(np.sign(steps) != np.sign(steps[0])))
        raise GridError(
            f"{name!r} neither rises nor falls throughout: ... {centres[at]:g}, {centres[at + 1]:g} ... at position {at}; "
            "sort the field along it"
        )
    inner = centres[:-1] + steps / 2
    first, last = centres[0] - steps[0] / 2, centres[-1] + steps[-1] / 2
    if period is not None:
        # A closed axis: its first and last edge are one, half-way across the gap.
        gap = np.sign(steps[0]) * (period - abs(centres[-1] - centres[0]))
        first, last = centres[0] - gap / 2, centres[-1] + gap / 2
    edges = np.concatenate([[first], inner, [last]])
    if lower is not None:
        edges = np.maximum(edges, lower)
    if upper is not None:
        edges = np.minimum(edges, upper)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def lattice_to_cells(lattice: np.ndarray) -> np.ndarray:
    """Corners (ny, nx, 4), counter-clockwise where rows go north and columns east, of a lattice (ny + 1, nx + 1)."""
    return np.stack([lattice[:-1, :-1], lattice[:-1, 1:], lattice[1:, 1:], lattice[1:, :-1]], axis=-1)


def derive_curvilinear(
    x: np.ndarray, y: np.ndarray, *, planar: bool, wraps: bool, fold: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (ny, nx, 4) half-way between the centres (ny, nx), continued by half a cell at open edges.

    ``fold`` gives, for each column, the column that the row beyond the last one belongs to.
    """
    if min(x.shape) < 2:
        raise GridError(
            f"the corners of {name} cannot be derived: its shape is {x.shape}, and at least 2 x 2 centres are needed; "
            "give them as bounds= (two variables of shape (ny, nx, 4) or (ny + 1, nx + 1))"
        )
    points = np.stack([x, y, np.ones_like(x)], axis=-1) if planar else unit_vectors(x, y)
    left, right = (
        (points[:, -1], points[:, 0]) if wraps else (2 * points[:, 0] - points[:, 1], 2 * points[:, -1] - points[:, -2])
    )
    points = np.concatenate([left[:, None], points, right[:, None]], axis=1)
    before, beyond = _outward(points[0], points[1], planar), _outward(points[-1], points[-2], planar)
    if fold is not None:
        columns = np.concatenate([[fold[-1] if wraps else fold[0]], fold, [fold[0] if wraps else fold[-1]]])
        beyond = points[-1][columns + 1]
    points = np.concatenate([before[None], points, beyond[None]], axis=0)
    corners = (points[:-1, :-1] + points[:-1, 1:] + points[1:, 1:] + points[1:, :-1]) / 4
    if wraps and not planar:
        for row in (0, -1):
            # A ring of corners this near to the pole is the pole: the cells of the last row are wedges.
            away = np.hypot(corners[row, :, 0], corners[row, :, 1])
            if away.max() < 0.1 * np.linalg.norm(corners[row, 0] - corners[row + 1 if row == 0 else row - 1, 0]):
                corners[row] = 0.0, 0.0, np.sign(corners[row, 0, 2])
    cx, cy = (corners[..., 0], corners[..., 1]) if planar else lonlat(corners)
    return lattice_to_cells(cx), lattice_to_cells(cy)


def _outward(edge: np.ndarray, inner: np.ndarray, planar: bool) -> np.ndarray:
    """The row beyond an edge, as far out as the last one is in; a row at the pole ends there."""
    out = 2 * edge - inner
    if not planar:
        at_pole = np.abs(edge[..., 2]) > 1 - 1e-12
        out[at_pole] = edge[at_pole]
    return out
