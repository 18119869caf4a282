"""The cells of a field on a map: corners from centres, cut at the map's seam, never smeared across it."""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import describe, horizontal, in_degrees
from oceankit.products._geo import CENTRE, View, arc, turned

__all__ = ["Cells", "Mesh", "cells_of", "cut", "mesh", "unit"]


class Cells(NamedTuple):
    """A field's values and the corners of its cells in degrees; ``straight`` where its axes are lon and lat."""

    values: np.ndarray  # (ny, nx), float64, NaN where missing
    lon: np.ndarray  # (ny, nx), centres
    lat: np.ndarray
    corner_lon: np.ndarray  # (ny + 1, nx + 1)
    corner_lat: np.ndarray
    straight: bool

    @property
    def box(self) -> tuple[float, float, float, float]:
        """West, east, south and north end of all cells."""
        south, north = np.nanmin(self.corner_lat), np.nanmax(self.corner_lat)
        if self.straight:
            west, east = np.sort(self.corner_lon[0, [0, -1]])
        else:
            west, east = arc(self.corner_lon)
            step = 2.0 * 360.0 / self.corner_lon.shape[1]
            if east - west > 360.0 - step:
                west, east = CENTRE - 180.0, CENTRE + 180.0
        return float(west), float(east), float(south), float(north)


class Mesh(NamedTuple):
    """Cells on the axes: the mesh that shares corners, and the polygons of those that the seam cuts."""

    xy: np.ndarray  # (ny + 1, nx + 1, 2)
    shown: np.ndarray  # (ny, nx), bool: drawn as part of the mesh
    polygons: list[np.ndarray]
    owner: np.ndarray  # flat index of the cell of each polygon


def cells_of(
    field: xr.DataArray, *, lon: Hashable | None = None, lat: Hashable | None = None
) -> tuple[xr.DataArray, xr.DataArray, tuple[Hashable, Hashable]]:
    """Longitude, latitude and the two dimensions (rows, columns) of a field that can be drawn as cells.

    Raises
    ------
    ValueError
        If the field has no such coordinates or they stand on one dimension (a mesh, a track).
    """
    x, y = horizontal(field, lon=lon, lat=lat)
    if x.ndim == 2:
        return x, y, (x.dims[0], x.dims[1])
    if x.ndim == y.ndim == 1 and x.dims != y.dims:
        return x, y, (y.dims[0], x.dims[0])
    raise ValueError(
        f"{describe(field)} has its longitude {x.name!r} along {x.dims}: a map needs a grid of cells, with 1-D "
        "longitude and latitude of their own or 2-D ones; regrid it first, for example with oceankit.regrid(field, 1.0)"
    )


def cut(field: xr.DataArray, x: xr.DataArray, y: xr.DataArray) -> Cells:
    """The cells of a 2-D field; ``x`` and ``y`` are its longitude and latitude.

    Raises
    ------
    ValueError
        If a 1-D coordinate has missing or unordered values, or a value has no position.
    """
    lon, lat = in_degrees(x, "longitude"), in_degrees(y, "latitude")
    values = np.array(field.values, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    if lon.ndim == 1:
        lon_edges, lat_edges = _edges(np.unwrap(lon, period=360.0), x, lat, y), _edges(lat, y, lon, x)
        _close(lon_edges)
        lat_edges = np.clip(lat_edges, -90.0, 90.0)
        centres, corners = np.meshgrid(lon, lat), np.meshgrid(lon_edges, lat_edges)
        return Cells(values, centres[0], centres[1], corners[0], corners[1], True)
    if min(lon.shape) < 2:
        raise ValueError(f"{describe(field)} has shape {lon.shape}: its cells have no size; select at least 2 by 2")
    lost = int((np.isfinite(values) & ~(np.isfinite(lon) & np.isfinite(lat))).sum())
    if lost:
        raise ValueError(
            f"{describe(field)} has {lost} values where {x.name!r} or {y.name!r} is missing, so they have no place on "
            f"a map; mask them first with .where(field[{x.name!r}].notnull() & field[{y.name!r}].notnull())"
        )
    x3, y3, z3 = np.moveaxis(_corners(unit(lon, lat)), -1, 0)
    corner_lon, corner_lat = np.degrees(np.arctan2(y3, x3)), np.degrees(np.arcsin(np.clip(z3, -1.0, 1.0)))
    return Cells(values, lon, lat, corner_lon, corner_lat, False)


def _edges(centres: np.ndarray, named: xr.DataArray, other: np.ndarray, other_named: xr.DataArray) -> np.ndarray:
    if not np.isfinite(centres).all():
        raise ValueError(f"{named.name!r} has missing values; drop them first with .dropna({named.dims[0]!r})")
    steps = np.diff(centres)
    if centres.size == 1:
        if other.size == 1:
            names = f"{named.name!r} and {other_named.name!r}"
            raise ValueError(f"{names} have one value each: the cell has no size; select more")
        half = abs(other[1] - other[0]) / 2
        return np.array([centres[0] - half, centres[0] + half])
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(
            f"{named.name!r} neither increases nor decreases throughout; sort it first with .sortby({named.name!r})"
        )
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[centres[0] - steps[0] / 2], middle, [centres[-1] + steps[-1] / 2]])


def _close(edges: np.ndarray) -> None:
    """Make a circle of edges exactly 360 degrees: rounded longitudes leave or overlap a sliver."""
    span = edges[-1] - edges[0]
    if abs(abs(span) - 360.0) < 0.5 * abs(span) / (edges.size - 1):
        edges[-1] = edges[0] + np.sign(span) * 360.0


def unit(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Unit vectors, shape ``(*lon.shape, 3)``."""
    x, y = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=-1)


def _corners(centres: np.ndarray) -> np.ndarray:
    """Corners (ny + 1, nx + 1, 3) as means of the four centres around them, on the unit sphere.

    Outside the grid, and beside missing centres, centres are continued in a straight line.
    """
    padded = np.pad(centres, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    for axis in (0, 1):
        beyond = np.stack([2 * np.roll(padded, k, axis) - np.roll(padded, 2 * k, axis) for k in (1, -1)])
        counted = np.isfinite(beyond).sum(axis=0)
        guess = np.nansum(beyond, axis=0) / np.where(counted, counted, np.nan)
        padded = np.where(np.isfinite(padded), padded, guess)
    around = np.stack([padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]])
    present = np.isfinite(around).all(axis=-1).sum(axis=0)[..., None]
    mean = np.nansum(around, axis=0) / np.where(present, present, np.nan)
    return mean / np.linalg.norm(mean, axis=-1, keepdims=True)


def mesh(cells: Cells, on: View) -> Mesh:
    """The cells on an axes.

    A cell that crosses the seam is drawn in two pieces, one at either edge of the map, and a cell that holds a pole as
    the cap that it is. What the projection does not show or tears apart is left out.
    """
    lon, lat = turned(cells.corner_lon, on.seam), cells.corner_lat
    xy = on.project(lon, lat)
    quad = _quads(lon)
    crossing = (quad.max(axis=-1) - quad.min(axis=-1) > 180.0) & np.isfinite(cells.values)
    shown = np.isfinite(cells.values) & ~crossing & np.isfinite(_quads(xy[..., 0])).all(axis=-1)
    polygons, owner = _pieces(lon, lat, np.argwhere(crossing), on)
    if on.crs is not None and not on.straight:
        far = max(abs(v) for v in (*on.crs.x_limits, *on.crs.y_limits))
        across = [_quads(xy[..., k]) for k in (0, 1)]
        size = np.maximum(*(np.ptp(a, axis=-1) for a in across))
        shown &= np.nan_to_num(size, nan=np.inf) < 0.25 * far
    return Mesh(xy, shown, polygons, np.asarray(owner, dtype=np.int64))


def _quads(corner: np.ndarray) -> np.ndarray:
    """The four corners of each cell in turn, shape (ny, nx, 4)."""
    return np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], axis=-1)


def _pieces(lon: np.ndarray, lat: np.ndarray, crossing: np.ndarray, on: View) -> tuple[list[np.ndarray], list[int]]:
    polygons, owner = [], []
    corner_lon, corner_lat = _quads(lon), _quads(lat)
    for j, i in crossing:
        x, y = corner_lon[j, i], corner_lat[j, i]
        steps = np.mod(np.diff(x, append=x[0]) + 180.0, 360.0) - 180.0
        if abs(steps.sum()) > 180.0:
            outlines = [_cap(x, y, on.seam)]
        else:
            x = x[0] + np.concatenate([[0.0], np.cumsum(steps[:-1])])
            # Turned so that the western copy lies across the western edge; the eastern one is a circle further on.
            x = x - 360.0 * np.round((x.mean() - on.seam) / 360.0)
            outlines = [(np.clip(x + turn, on.seam, on.seam + 360.0), y) for turn in (0.0, 360.0)]
        for px, py in outlines:
            points = on.project(px, py)
            if np.ptp(px) > 1e-9 and np.isfinite(points).all():
                polygons.append(points)
                owner.append(int(j * (lon.shape[1] - 1) + i))
    return polygons, owner


def _cap(x: np.ndarray, y: np.ndarray, seam: float) -> tuple[np.ndarray, np.ndarray]:
    """A cell around a pole as the polygon from its corners to the pole's edge of the map."""
    order = np.argsort(x)
    x, y = x[order], y[order]
    share = (seam + 360.0 - x[-1]) / (x[0] + 360.0 - x[-1])
    edge = y[-1] + share * (y[0] - y[-1])
    pole = 90.0 if y.mean() > 0 else -90.0
    ends = np.array([seam, seam + 360.0])
    return np.concatenate([ends[:1], x, ends[1:], ends[::-1]]), np.concatenate([[edge], y, [edge, pole, pole]])
