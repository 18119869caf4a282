"""Cells of places and windows of time and depth that observations are averaged in: a number for each observation."""

import math
from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.numerics.sphere import EARTH_RADIUS
from oceankit.observations._axes import in_nanoseconds
from oceankit.observations.interpolation import places_of
from oceankit.observations.table import ObservationError
from oceankit.regridding.binning import holders

__all__ = ["Numbered", "cells", "windows"]

Numbered = tuple[np.ndarray, np.ndarray]
"""int64 (obs,): number of the cell of each; bool (obs,): whether it is in one"""


def cells(obs: xr.Dataset, grid_or_spacing: Any) -> Numbered:
    """The cell of a grid, or the fixed cell of about a given width, that holds each observation."""
    if isinstance(grid_or_spacing, xr.Dataset | xr.DataArray):
        grid_or_spacing = Grid.from_dataset(grid_or_spacing)
    places = places_of(obs)
    if isinstance(grid_or_spacing, Grid):
        if grid_or_spacing.planar != places.planar:
            raise ObservationError("the grid and the observations must both have lon and lat, or both x and y")
        found = holders(places, grid_or_spacing)
        return found, found >= 0
    number = isinstance(grid_or_spacing, int | float | np.number) and not isinstance(grid_or_spacing, bool)
    if not number or not (np.isfinite(grid_or_spacing) and grid_or_spacing > 0):
        raise ObservationError(
            f"grid_or_spacing={grid_or_spacing!r}; give a Grid, or the width of cells as a number above zero (km)"
        )
    x, y = places.lon.values, places.lat.values
    found = (_squares if places.planar else _bands)(x, y, float(grid_or_spacing))
    return found, np.ones(found.size, bool)


def _bands(lon: np.ndarray, lat: np.ndarray, spacing: float) -> np.ndarray:
    """Bands of latitude of the same height, each cut into cells about as wide as high at its middle."""
    half_turn = math.pi * EARTH_RADIUS / 1e3
    n = max(1, round(half_turn / spacing))
    band = np.minimum(((lat + 90.0) / 180.0 * n).astype(np.int64), n - 1)
    middle = np.radians((np.arange(n) + 0.5) / n * 180.0 - 90.0)
    wide = np.maximum(np.rint(2.0 * half_turn * np.cos(middle) / spacing).astype(np.int64), 1)
    # The remainder of a hair below 0 is 360 to rounding.
    along = np.minimum((lon % 360.0 / 360.0 * wide[band]).astype(np.int64), wide[band] - 1)
    return (np.cumsum(wide) - wide)[band] + along


def _squares(x: np.ndarray, y: np.ndarray, spacing: float) -> np.ndarray:
    i, j = (np.floor(v / spacing).astype(np.int64) for v in (x, y))
    i, j = i - i.min(), j - j.min()
    return j * (i.max() + 1) + i


def windows(obs: xr.Dataset, kind: Literal["time", "depth"], given: Any) -> Numbered:
    """The window that holds each observation: of a fixed width, or between ascending edges.

    Raises
    ------
    ObservationError
        If the observations have no time (depth), or the windows are none.
    """
    if kind not in obs.variables:
        raise ObservationError(
            f"{kind}={given!r} asks for windows, but the observations have no {kind}; give table(..., {kind}=...)"
        )
    values = obs[kind].values
    if kind == "time":
        values = values.astype("datetime64[ns]").astype(np.int64)
    if np.ndim(given) == 0:
        width = in_nanoseconds(given, "time") if kind == "time" else _metres(given)
        return np.floor_divide(values, width).astype(np.int64), np.ones(values.size, bool)
    try:
        edges = (
            np.asarray(given, "datetime64[ns]").astype(np.int64) if kind == "time" else np.asarray(given, np.float64)
        )
    except (TypeError, ValueError) as error:
        raise ObservationError(f"{kind}= holds no edges of windows: {error}") from None
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        raise ObservationError(f"{kind}= has {edges.size} edges; windows lie between two or more, in ascending order")
    found = np.searchsorted(edges, values, side="right") - 1
    return found, (found >= 0) & (found < edges.size - 1)


def _metres(given: Any) -> float:
    if not isinstance(given, int | float | np.number) or not (np.isfinite(given) and given > 0):
        raise ObservationError(f"depth={given!r}; windows of depth are metres above zero, or ascending edges")
    return float(given)
