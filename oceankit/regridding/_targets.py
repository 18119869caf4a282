"""The levels that are wanted: the same for all columns, or those of each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import describe
from oceankit.fields.depths import as_dataset
from oceankit.fields.verticals import (
    EDGES,
    attribute,
    from_bounds,
    halfway,
    metres_down,
    midpoints,
    vertical_dim,
    without,
)

__all__ = ["Target", "as_target"]


class Target(NamedTuple):
    """The levels that are wanted."""

    dim: Hashable
    size: int
    coords: dict[Hashable, xr.DataArray]
    """What the result gets."""
    goal: xr.DataArray
    """Depths of levels, or edges of layers, in metres positive down."""
    own: Hashable
    """The dimension of ``goal`` that is the vertical one."""
    bounds: xr.DataArray | None = None
    """CF bounds of the new coordinate: a Dataset can hold them, a DataArray cannot."""


def as_target(levels: Any, edges: Any, field: xr.DataArray, dim: Hashable, *, layers: bool) -> Target:
    """The levels that are wanted, as depths or, for ``layers``, as edges.

    Raises
    ------
    ValueError
        If they are missing, not sorted, not finite, above the surface, or do not fit each other.
    """
    if levels is None and edges is None:
        raise ValueError(
            "levels=None, and no edges either; give the depths of the target levels in metres, positive down"
        )
    columns = [a for a in (levels, edges) if isinstance(a, xr.DataArray) and a.ndim > 1]
    return _columns_target(levels, edges, field, dim, layers) if columns else _flat_target(levels, edges, layers)


def _flat_target(levels: Any, edges: Any, layers: bool) -> Target:
    """The same levels for all columns."""
    limits = None if edges is None else _sorted(_depths_of(edges, "edges", above=True), "edges")
    if levels is None:
        assert limits is not None
        if limits.size < 2:
            raise ValueError(f"edges={limits.tolist()}; a layer has two of them")
        centres, given = 0.5 * (limits[1:] + limits[:-1]), None
    else:
        centres = _sorted(_depths_of(levels, "levels", above=limits is not None), "levels")
        given = levels if isinstance(levels, xr.DataArray) else None
    name = "depth" if given is None else given.name if given.name is not None else given.dims[0]
    name = "depth" if name == "dim_0" else name
    if limits is None and layers:
        limits = _limits(centres, given)
    if limits is not None:
        limits = _around(limits, centres)
    coordinate = _coordinate(centres, given, name)
    coords: dict[Hashable, xr.DataArray] = {name: coordinate}
    if not layers or limits is None:
        return Target(name, centres.size, coords, xr.DataArray(centres, dims=[name]), name)
    # In the units and the direction of the coordinate, as CF wants it.
    pairs = np.stack([limits[:-1], limits[1:]], axis=1) * _scale(centres, coordinate.values)
    bounds = xr.DataArray(pairs, dims=(name, "bnds"), name=f"{name}_bnds")
    own = EDGES.format(name)
    return Target(name, centres.size, coords, xr.DataArray(limits, dims=own), own, bounds)


def _scale(metres: np.ndarray, values: np.ndarray) -> float:
    k = int(np.argmax(np.abs(metres)))
    return float(values[k] / metres[k]) if metres[k] != 0.0 else 1.0


def _depths_of(given: Any, what: str, *, above: bool) -> np.ndarray:
    """Metres positive down; ``above`` the datum only where that is allowed."""
    if isinstance(given, xr.DataArray):
        if given.ndim != 1:
            raise ValueError(
                f"{what} has the dimensions {given.dims}; give one dimension, or levels of each column as a DataArray"
            )
        _check_sign(np.asarray(given.values, np.float64) if not _says_direction(given) else np.zeros(1), what, above)
        values = metres_down(_downward(given), trusted=True).values
    else:
        try:
            values = np.atleast_1d(np.asarray(given, np.float64))
        except (TypeError, ValueError):
            raise ValueError(f"{what}={given!r} are no numbers; give depths in metres, positive down") from None
        if values.ndim != 1:
            raise ValueError(
                f"{what} has the shape {values.shape}; give one dimension, or a DataArray with names for them"
            )
    if values.size == 0:
        raise ValueError(f"{what} is empty; give the depths of the target levels in metres")
    if not np.isfinite(values).all():
        raise ValueError(f"{what} holds {values[~np.isfinite(values)][0]}; depths are finite numbers")
    _check_sign(values, what, above)
    return values


def _check_sign(values: np.ndarray, what: str, above: bool) -> None:
    lowest = float(values.min())
    if lowest < 0.0 and (not above or float(values.max()) <= 0.0):
        raise ValueError(
            f"{what} holds {lowest:g}, which lies above the surface: depths are positive down; for heights give a DataArray "
            "whose attribute positive is 'up'"
        )


def _says_direction(given: xr.DataArray) -> bool:
    return bool(given.attrs.get("positive")) or given.attrs.get("standard_name") in ("height", "altitude")


def _downward(given: xr.DataArray) -> xr.DataArray:
    """Depths where nothing says heights: the sign of numbers alone decides nothing here."""
    return given if _says_direction(given) else given.assign_attrs(positive="down")


def _sorted(values: np.ndarray, what: str) -> np.ndarray:
    steps = np.diff(values)
    if not ((steps > 0.0).all() or (steps < 0.0).all()):
        rising = values[-1] > values[0]
        k = int(np.argmax(steps <= 0.0 if rising else steps >= 0.0))
        raise ValueError(f"{what} are not sorted: {values[k + 1]:g} follows {values[k]:g}; sort them, each once")
    return values


def _limits(centres: np.ndarray, given: xr.DataArray | None) -> np.ndarray:
    """Edges from bounds, or half-way."""
    name = attribute(given, "bounds") if given is not None else ""
    if given is not None and name in given.coords:
        bounds = given.coords[name]
        like = {k: v for k, v in given.attrs.items() if k in ("units", "positive", "standard_name")}
        pair = next(d for d in bounds.dims if d not in given.dims)
        edges = from_bounds(
            metres_down(_downward(bounds.assign_attrs({**like, **bounds.attrs})), trusted=True), given.dims[0], pair
        )
        return np.asarray(edges.values)
    if centres.size < 2:
        raise ValueError(f"levels={centres.tolist()}: the layer of a single level has no edges; give edges= (2 values)")
    return np.asarray(halfway(xr.DataArray(centres, dims="z", name="levels"), "z", surface=0.0).values)


def _around(limits: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Edges in the order of their levels."""
    if limits.size != centres.size + 1:
        raise ValueError(
            f"edges has {limits.size} values for {centres.size} levels; give {centres.size + 1}, one more than levels"
        )
    if centres.size > 1 and (limits[-1] > limits[0]) != (centres[-1] > centres[0]):
        limits = limits[::-1]
    low, high = np.minimum(limits[:-1], limits[1:]), np.maximum(limits[:-1], limits[1:])
    out = (centres < low) | (centres > high)
    if out.any():
        k = int(np.argmax(out))
        raise ValueError(f"the level {centres[k]:g} m lies outside its layer, {low[k]:g} to {high[k]:g} m; check edges")
    return limits


def _coordinate(centres: np.ndarray, given: xr.DataArray | None, name: Hashable) -> xr.DataArray:
    if given is None:
        return xr.DataArray(centres, dims=[name], name=name, attrs={**_usual(), "axis": "Z"})
    own = {k: v for k, v in given.attrs.items() if k != "bounds"}
    return xr.DataArray(given.values, dims=[name], name=name, attrs={**_usual(given), "axis": "Z", **own})


def _usual(given: xr.DataArray | None = None) -> dict[str, str]:
    """CF attributes of depths, or of heights where ``given`` says that it holds these."""
    said = {} if given is None else given.attrs
    if str(said.get("positive", "down")).lower() == "up" or said.get("standard_name") in ("height", "altitude"):
        return {"units": "m", "positive": "up"}
    return {"standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down"}


def _columns_target(levels: Any, edges: Any, field: xr.DataArray, dim: Hashable, layers: bool) -> Target:
    """Levels of each column."""
    if layers and not (isinstance(edges, xr.DataArray) and edges.ndim > 1):
        raise ValueError(
            f"levels={getattr(levels, 'name', None)!r} are those of each column, and their layers need edges= with the same "
            "dimensions, n + 1 along the vertical one (oceankit.fields.depth_edges of the other model)"
        )
    for what, given in (("levels", levels), ("edges", edges)):
        if given is not None and not (isinstance(given, xr.DataArray) and given.ndim > 1):
            raise ValueError(
                f"levels or edges are those of each column, but {what} has one dimension; give both alike, or one"
            )
    limits, own = (None, None) if edges is None else _metres(edges, field, dim, "edges")
    new: Hashable
    if levels is None:
        assert limits is not None
        new = str(own).removesuffix("_edges") or "depth"
        centres = midpoints(limits, own, new)
        coords: dict[Hashable, Any] = {"depth": centres.variable.copy(deep=False)}
        coords["depth"].attrs = _usual()
    else:
        centres, new = _metres(levels, field, dim, "levels")
        name = "depth" if levels.name in (None, new) else levels.name
        coords = {name: levels.variable.copy(deep=False)}
        coords[name].attrs = {**_usual(levels), **levels.attrs}
        if new in levels.coords and levels.coords[new].dims == (new,):
            coords[new] = levels.coords[new]
    n = centres.sizes[new]
    if not layers or limits is None:
        return Target(new, n, coords, without(centres, new), new)
    if limits.sizes[own] != n + 1:
        raise ValueError(
            f"edges has {limits.sizes[own]} values along {own!r} for {n} levels; give {n + 1}, one more than levels"
        )
    return Target(new, n, coords, without(limits, own).rename({own: EDGES.format(new)}), EDGES.format(new))


def _metres(given: xr.DataArray, field: xr.DataArray, dim: Hashable, what: str) -> tuple[xr.DataArray, Hashable]:
    return metres_down(given, trusted=True), _own_dim(given, field, dim, what)


def _own_dim(given: xr.DataArray, field: xr.DataArray, dim: Hashable, what: str) -> Hashable:
    """The vertical dimension of levels that belong to columns."""
    more = [d for d in given.dims if d not in field.dims]
    if len(more) == 1:
        return more[0]
    found = vertical_dim(as_dataset(given), given)
    if found is None and dim in given.dims:
        found = dim
    if found is None or (found in field.dims and found != dim):
        raise ValueError(
            f"{what} {given.name!r} has the dimensions {given.dims}, and {describe(field)} {field.dims}: which of them is "
            "vertical cannot be told; give its dimension a usual name (depth, s_rho)"
        )
    return found
