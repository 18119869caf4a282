"""A field in time as a matrix of times and cells, and back: what every forecaster works on."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import Grid
from oceankit.fields.coordinates import CoordinateError, find
from oceankit.forecast._steps import Axis, axis_of, text

__all__ = ["Layout", "Record", "as_period", "base_rows", "read", "same_units"]


@dataclass(frozen=True)
class Layout:
    """Where the cells of a record lie: dimensions, coordinates, which are sea, their areas."""

    name: str
    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    coords: dict[Hashable, xr.DataArray]
    sea: np.ndarray  # bool, flat: cells that have data in the training period
    weights: np.ndarray  # of sea cells, mean 1
    attrs: dict[str, Any]
    time: str

    @property
    def cells(self) -> int:
        """Number of sea cells."""
        return int(self.sea.sum())

    def spread(self, values: np.ndarray) -> np.ndarray:
        """``(..., cells)`` back to ``(..., *shape)``, with NaN on land."""
        full = np.full((*values.shape[:-1], self.sea.size), np.nan, dtype=values.dtype)
        full[..., self.sea] = values
        return full.reshape(*values.shape[:-1], *self.shape)

    def lattice(self) -> tuple[int, int] | None:
        """Rows and columns where neighbouring cells are neighbours in the array, else None."""
        if len(self.shape) != 2 or self.coords_are_points():
            return None
        return self.shape[0], self.shape[1]

    def coords_are_points(self) -> bool:
        """True for stations, whose order says nothing about where they lie."""
        return not any(
            str(c.attrs.get("standard_name", name)).lower() in ("latitude", "lat", "y", "nav_lat")
            for name, c in self.coords.items()
        )


@dataclass(frozen=True)
class Record:
    """Values (times, sea cells) in float64 with NaN where missing, with their time axis and layout."""

    values: np.ndarray
    axis: Axis
    layout: Layout


def read(
    field: xr.DataArray | xr.Dataset, *, like: Layout | None = None, axis: Axis | None = None, what: str = "train"
) -> Record:
    """Take a field in: one variable along ``time``, and any number of other dimensions.

    Parameters
    ----------
    field
        DataArray, or Dataset of one variable; in memory or lazy.
    like, axis
        Layout and time axis of the training data: names of dimensions, coordinates, units and steps must agree.
    what
        What the field is, for messages.

    Raises
    ------
    ValueError
        For holes in time, other grids or units than in training, cells without data, infinite values.
    """
    array = _one_variable(field, what)
    try:
        time = find(array, "time")
    except CoordinateError as error:
        raise ValueError(f"{what}: {error}") from error
    if time.ndim == 0:
        array, time = array.expand_dims(str(time.name)), time.expand_dims(str(time.name))
    name = str(time.dims[0])
    own = axis_of(array[str(time.name)], name=f"{what}: {time.name}", like=axis)
    if like is not None:
        array = _agreeing(array, like, name, what)
    else:
        array = array.transpose(name, ...)
    values = np.asarray(array.values, dtype=np.float64).reshape(len(own), -1)
    if np.isinf(values).any():
        raise ValueError(f"{what}: {array.name!r} has infinite values; set them to NaN")
    layout = like if like is not None else _layout(array, name, values, what)
    return Record(np.ascontiguousarray(values[:, layout.sea]), own, layout)


def as_period(period: Any, axis: Axis, *, what: str) -> np.ndarray:
    """Rows of ``axis`` within ``period``: a slice or a pair of dates or years, both ends included."""
    if isinstance(period, slice):
        period = (period.start, period.stop)
    try:
        first, last = period
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be a pair of dates, as ('1900-01-01', '1999-12-31'), got {period!r}") from None
    index = xr.DataArray(axis.times, dims="time", coords={"time": axis.times}).indexes["time"]
    bounds = [None if b is None else str(b) for b in (first, last)]
    try:
        found = index.slice_indexer(*bounds)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{what}={period!r} cannot be read as dates: {error}") from error
    rows = np.arange(len(axis))[found]
    if not len(rows):
        raise ValueError(
            f"{what}={period!r} has no data: the record runs from {text(axis.times[0])} to {text(axis.times[-1])}"
        )
    return rows


def base_rows(period: Any, axis: Axis, rows: np.ndarray) -> np.ndarray:
    """Rows of the years that anomalies refer to, all of which must be in the record; by default ``rows``."""
    if period is None:
        return rows
    found = as_period(period, axis, what="climatology")
    bounds = (period.start, period.stop) if isinstance(period, slice) else period
    if axis.times.dtype.kind == "M":
        for bound, early in zip(bounds, (True, False), strict=True):
            if bound is None:
                continue
            date = np.datetime64(str(bound))
            if (early and date < axis.times[0].astype(date.dtype)) or (
                not early and date > axis.times[-1].astype(date.dtype)
            ):
                raise ValueError(
                    f"climatology={period!r} reaches beyond the record, {text(axis.times[0])} to {text(axis.times[-1])}; "
                    "choose years that are in it"
                )
    return found


def same_units(one: Any, other: Any) -> bool:
    """Whether two spellings mean the same units, as degC and degree_C do."""
    celsius = {"degc", "degree_c", "degrees_c", "deg_c", "celsius", "degree_celsius", "degrees_celsius", "°c"}
    a, b = (str(u).strip() for u in (one, other))
    return a == b or (a.lower() in celsius and b.lower() in celsius)


def _one_variable(field: Any, what: str) -> xr.DataArray:
    if isinstance(field, xr.DataArray):
        return field
    if not isinstance(field, xr.Dataset):
        raise ValueError(f"{what} must be an xarray DataArray or Dataset, got {type(field).__name__}")
    names = [
        n for n, v in field.data_vars.items() if v.dtype.kind in "fiu" and not str(n).endswith(("_bnds", "_bounds"))
    ]
    if len(names) != 1:
        raise ValueError(
            f"{what} has the variables {[str(n) for n in field.data_vars]}; pass the one to forecast, as ds['sst'], "
            "and the others as forcings"
        )
    return field[names[0]]


def _layout(array: xr.DataArray, time: str, values: np.ndarray, what: str) -> Layout:
    sea = np.isfinite(values).any(axis=0)
    if not sea.any():
        raise ValueError(f"{what}: {array.name!r} has no value at all; every cell is missing at every time")
    coords = {n: c.reset_coords(drop=True) for n, c in array.coords.items() if time not in c.dims}
    weights = _areas(array.isel({time: 0}, drop=True), values.shape[1])[sea]
    return Layout(
        name=str(array.name or "field"),
        dims=tuple(d for d in array.dims if d != time),
        shape=tuple(array.sizes[d] for d in array.dims if d != time),
        coords=coords,
        sea=sea,
        weights=weights / weights.mean(),
        attrs=dict(array.attrs),
        time=time,
    )


def _areas(snapshot: xr.DataArray, cells: int) -> np.ndarray:
    """Areas of the cells, or equal weights for stations and for grids without places."""
    try:
        lat = find(snapshot, "latitude")
    except CoordinateError:
        return np.ones(cells)
    if not snapshot.dims or not lat.dims:
        return np.ones(cells)
    try:
        grid = Grid.from_dataset(snapshot.to_dataset(name="field"))
        if grid.kind == "points":
            return np.ones(cells)
        area = xr.DataArray(np.asarray(grid.area()), dims=grid.dims)
        area = area.broadcast_like(snapshot.reset_coords(drop=True).drop_vars(list(snapshot.coords)))
        return np.asarray(area.transpose(*snapshot.dims).values, dtype=float).reshape(-1)
    except ValueError:
        cosine = lat.copy(data=np.cos(np.deg2rad(lat.values.astype(float))))
        plain: xr.DataArray = xr.zeros_like(snapshot.reset_coords(drop=True), dtype=float)
        full: xr.DataArray = plain + xr.DataArray(cosine.values, dims=cosine.dims)
        return np.asarray(full.transpose(*snapshot.dims).values).reshape(-1)


def _agreeing(array: xr.DataArray, like: Layout, time: str, what: str) -> xr.DataArray:
    if set(array.dims) != {time, *like.dims}:
        raise ValueError(
            f"{what} has the dimensions {tuple(map(str, array.dims))}, the forecast was fitted on "
            f"{(time, *map(str, like.dims))}"
        )
    array = array.transpose(time, *like.dims)
    for dim, size in zip(like.dims, like.shape, strict=True):
        if array.sizes[dim] != size:
            raise ValueError(
                f"{what} has {array.sizes[dim]} cells along {dim!r}, the forecast was fitted on {size}: "
                "a forecast serves the grid it was fitted on; regrid the field to it"
            )
    for name, fitted in like.coords.items():
        if name not in array.coords or fitted.dtype.kind not in "fiuUSO":
            continue
        own = array.coords[name]
        if own.shape != fitted.shape:
            continue
        same = (
            np.allclose(own.values.astype(float), fitted.values.astype(float), atol=1e-4, equal_nan=True)
            if fitted.dtype.kind in "fiu"
            else bool((own.values.astype(str) == fitted.values.astype(str)).all())
        )
        if not same:
            raise ValueError(
                f"{what}: the coordinate {name!r} differs from the one the forecast was fitted on "
                f"(first {np.ravel(own.values)[0]}, then {np.ravel(fitted.values)[0]}); regrid or reorder the field"
            )
    units, fitted_units = array.attrs.get("units"), like.attrs.get("units")
    if units is not None and fitted_units is not None and not same_units(units, fitted_units):
        raise ValueError(
            f"{what} is in {units!r}, the forecast was fitted in {fitted_units!r}; convert it before forecasting"
        )
    return array
