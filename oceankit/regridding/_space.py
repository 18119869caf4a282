"""Vectors as three components in space, and back: the matrices, and rectilinear grids as lattices in space."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.fields.topology import circular_order
from oceankit.regridding._components import VectorError
from oceankit.regridding._vector_kernels import combine
from oceankit.regridding.angles import Angle, place_axes, resolve

__all__ = [
    "Lift",
    "as_lattice",
    "axes_of",
    "drop_rows",
    "lift_rows",
    "order_and_caps",
    "to_surface",
    "turn_of",
    "wraps",
]

# ---- from components to space and back ------------------------------------------------------------------------------


class Lift(NamedTuple):
    """What turns components (2, ny, nx) into components in space (3, ny, nx), and completes a rectilinear lattice."""

    matrix: np.ndarray
    """float64 (3, 2, cells)"""
    shape: tuple[int, ...]
    rows: np.ndarray | None = None
    """int64: rows from one end to the other"""
    columns: np.ndarray | None = None
    """int64: columns eastwards"""
    caps: tuple[float, float] = (0.0, 0.0)
    """Sine of the latitude of the first and the last row where the pole follows it; 0 where it does not."""
    skipna: bool = True

    def plain(self) -> Lift:
        return Lift(self.matrix, self.shape)

    @property
    def completed_shape(self) -> tuple[int, ...]:
        return (self.shape[0] + sum(c != 0.0 for c in self.caps), *self.shape[1:])

    def complete(self, space: np.ndarray) -> np.ndarray:
        """Components (n, 3, ny, nx) in order and with the poles, which have the mean of the row before them."""
        if self.rows is None:
            return space
        assert self.columns is not None
        space = space[:, :, self.rows][:, :, :, self.columns]
        parts = [space]
        for end, (row, sine) in enumerate(zip((0, -1), self.caps, strict=True)):
            if sine == 0.0:
                continue
            ring = space[:, :, row].astype(np.float64)
            there = np.isfinite(ring)
            total, count = np.where(there, ring, 0.0).sum(axis=-1), there.sum(axis=-1)
            enough = count > 0 if self.skipna else count == ring.shape[-1]
            # Divided by the share of the way to the axis: a rotation about any axis then has its own value at the pole.
            mean = np.where(enough, total / np.maximum(count, 1), np.nan) / abs(sine)
            pole = np.broadcast_to(mean[:, :, None, None], (*ring.shape[:2], 1, ring.shape[2])).astype(space.dtype)
            parts.insert(0 if end == 0 else len(parts), pole)
        return np.concatenate(parts, axis=2) if len(parts) > 1 else space


def lift_rows(pairs: np.ndarray, *, lift: Lift) -> np.ndarray:
    """Components (n, 2, *shape) in space (n, 3, *shape)."""
    n = pairs.shape[0]
    out = np.empty((n, lift.matrix.shape[0], lift.matrix.shape[2]), pairs.dtype)
    combine(pairs.reshape(n, 2, -1), lift.matrix, out)
    return lift.complete(out.reshape(n, -1, *lift.shape))


def drop_rows(space: np.ndarray, *, matrix: np.ndarray) -> np.ndarray:
    """Components in space (n, 3, *shape) along the target's axes (n, 2, cells)."""
    n = space.shape[0]
    out = np.empty((n, 2, matrix.shape[2]), space.dtype)
    combine(space.reshape(n, matrix.shape[1], -1), matrix, out)
    return out


def to_surface(axes: np.ndarray, mean: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Matrices (2, 3, cells) from sums of vectors to components along ``axes`` (2, 3, cells) at ``places`` (3, cells).

    ``mean`` (3, cells) is the same sum of the sources' places.
    """
    size = np.linalg.norm(mean, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        b = mean / size
        along = (places * b).sum(axis=0)
        # Parallel transport of t from b to p: t - (p.t) (b + p) / (1 + b.p); an axis at p has no part along p.
        onto = (axes * b).sum(axis=1)
        carried = axes - onto[:, None] * (places / (1.0 + along))
        # Without the part along b.
        carried = carried - (carried * b).sum(axis=1)[:, None] * b
        return np.ascontiguousarray(carried / size)


def turn_of(angle: Angle, which: str, where: dict[Hashable, xr.DataArray], grid: Grid) -> np.ndarray:
    """Matrices (2, 2, *shape): rows are the grid's axes, columns are east and north."""
    cos, sin = (1.0, 0.0) if angle is None else resolve(angle, which, where, grid)
    parts = []
    for part in (cos, sin):
        if isinstance(part, xr.DataArray):
            if set(part.dims) - set(grid.dims) or any(part.sizes[d] != n for d, n in _sizes(grid) if d in part.dims):
                raise VectorError(
                    f"{which} has {dict(part.sizes)}, and the grid {dict(_sizes(grid))}; give the angle at the grid's centres"
                )
            part = part.broadcast_like(xr.DataArray(np.empty(grid.shape), dims=grid.dims)).transpose(*grid.dims).values
        parts.append(np.broadcast_to(part, grid.shape))
    return np.array([[parts[0], parts[1]], [-parts[1], parts[0]]])


def axes_of(grid: Grid, turn: np.ndarray) -> np.ndarray:
    """Unit vectors (2, 3, cells) of the two axes that components are along."""
    lon, lat = grid.lon.values, grid.lat.values
    if grid.kind == "rectilinear":
        lon, lat = np.meshgrid(lon, lat)
    compass = np.stack([a.reshape(-1, 3).T for a in place_axes(lon, lat)])
    return np.einsum("abi,bki->aki", turn.reshape(2, 2, -1), compass)


def _sizes(grid: Grid) -> list[tuple[Hashable, int]]:
    return list(zip(grid.dims, grid.shape, strict=True))


# ---- rectilinear sources as lattices in space -----------------------------------------------------------------------


def wraps(grid: Grid, options: dict[str, Any]) -> bool:
    given = options.get("periodic")
    return bool(grid.periodic if given is None else given)


def order_and_caps(grid: Grid, options: dict[str, Any]) -> tuple[Any, ...]:
    """Rows and columns in order, and which ends a pole follows (see :class:`Lift`)."""
    lat = grid.lat.values
    rows, columns = np.argsort(lat), circular_order(grid.lon.values)[0]
    caps = [0.0, 0.0]
    for end, (last, next_) in enumerate(((0, 1), (-1, -2))):
        ordered = lat[rows]
        gap = 90.0 - abs(ordered[last])
        closes = (
            options.get("pole", "mean") == "mean"
            and wraps(grid, options)
            and lat.size > 1
            and 0.0 < gap <= 1.01 * abs(ordered[last] - ordered[next_])
        )
        if closes:
            caps[end] = float(np.sin(np.radians(ordered[last])))
    return rows, columns, (caps[0], caps[1]), bool(options.get("skipna", True))


def as_lattice(grid: Grid, lift: Lift) -> Grid:
    """The curvilinear grid of a rectilinear one, in order and with the poles."""
    lon, lat = grid.lon.values[lift.columns], grid.lat.values[lift.rows]
    mask = None if grid.mask is None else grid.mask.values[lift.rows][:, lift.columns]
    for end, pole in enumerate((-90.0, 90.0)):
        if lift.caps[end]:
            lat = np.insert(lat, 0 if end == 0 else lat.size, pole)
            if mask is not None:
                ring = mask[0 if end == 0 else -1].any()
                mask = np.insert(mask, 0 if end == 0 else mask.shape[0], ring, axis=0)
    x, y = np.meshgrid(lon, lat)
    coords = {"lon_": (grid.dims, x, {"units": "degrees_east"}), "lat_": (grid.dims, y, {"units": "degrees_north"})}
    given = None if mask is None else xr.DataArray(mask, dims=grid.dims)
    return Grid.from_dataset(xr.Dataset(coords=coords), lon="lon_", lat="lat_", mask=given)
