"""What the caller says of levels, told apart: where those of the source are, and which ones are wanted."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import CoordinateError, describe
from oceankit.fields.depths import as_dataset, find_levels
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

__all__ = ["Source", "Target", "as_source", "as_target"]


class Source(NamedTuple):
    """The levels of a field: its vertical dimension and what knows their depths."""

    dim: Hashable
    levels: Any
    """As :class:`oceankit.fields.depths.Levels`."""


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


class _Given:
    """Levels from the keyword ``depth``."""

    def __init__(
        self, centres: xr.DataArray | None, edges: xr.DataArray | None, dim: Hashable, names: set[Hashable]
    ) -> None:
        self._centres, self._edges, self._dim = centres, edges, dim
        self.described_by = names

    def centres(self) -> xr.DataArray:
        if self._centres is not None:
            return self._centres
        assert self._edges is not None
        return midpoints(self._edges, EDGES.format(self._dim), self._dim)

    def edges(self) -> xr.DataArray:
        if self._edges is not None:
            return self._edges
        assert self._centres is not None
        return halfway(self._centres, self._dim, surface=0.0)


def as_source(
    ds: xr.Dataset, field: xr.DataArray, depth: Any, dim: Hashable | None, known: dict[Any, Source] | None = None
) -> Source | None:
    """Where the levels of ``field`` are; None where it has no vertical dimension.

    Parameters
    ----------
    ds
        The Dataset of the field, or its coordinates.
    depth, dim
        As given to :func:`oceankit.regridding.regrid_vertical`.
    known
        Sources of fields with the same dimensions, for use again.

    Raises
    ------
    CoordinateError
        If depths cannot be found, or those given do not fit the field.
    """
    if dim is not None and dim not in field.dims and known is not None:
        return None
    if depth is None:
        found = vertical_dim(ds, field, dim)
        return None if found is None else _found(ds, field, found, known)
    given, names = _named(ds, depth)
    found = _dim_with(ds, field, given, dim)
    if found is None:
        return None
    levels = _given(field, given, found, names)
    if levels is not None:
        return Source(found, levels)
    if known is None:
        raise CoordinateError(
            f"depth={given.name!r} has the sizes {dict(given.sizes)}, and {describe(field)} {field.sizes[found]} levels along "
            f"{found!r}; give a depth for each level, an edge more than levels along a dimension of its own, or bounds (n, 2)"
        )
    return _found(ds, field, found, known)


def _found(ds: xr.Dataset, field: xr.DataArray, dim: Hashable, known: dict[Any, Source] | None) -> Source:
    key = (dim, field.dims)
    if known is not None and key in known:
        return known[key]
    source = Source(dim, find_levels(ds, field, dim))
    if known is not None:
        known[key] = source
    return source


def _named(ds: xr.Dataset, depth: Any) -> tuple[xr.DataArray, set[Hashable]]:
    """The variable that ``depth`` is or names."""
    if isinstance(depth, xr.DataArray):
        return depth, ({depth.name} if depth.name in ds.variables else set())
    if isinstance(depth, list | tuple | np.ndarray):
        values = np.asarray(depth, np.float64)
        if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 2):
            raise CoordinateError(f"depth has the shape {values.shape}; give depths with dimensions as a DataArray")
        return xr.DataArray(
            values, dims=("_levels", "_pair")[: values.ndim], name="depth", attrs={"positive": "down"}
        ), set()
    if depth not in ds.variables:
        raise CoordinateError(
            f"depth={depth!r} is none of the variables {', '.join(map(repr, list(ds.variables)[:12]))}; name one, or give a DataArray"
        )
    return ds[depth], {depth}


def _dim_with(ds: xr.Dataset, field: xr.DataArray, given: xr.DataArray, dim: Hashable | None) -> Hashable | None:
    """The vertical dimension of ``field``, which the depths given help to find."""
    if dim is not None:
        return vertical_dim(ds, field, dim)
    more = [d for d in given.dims if d not in field.dims]
    if given.ndim == 1 and not more:
        return given.dims[0]
    found = vertical_dim(ds, field)
    if found is not None:
        return found
    # Dimensions that the depths lack and that have one level fewer than they have edges, or as many as a list has depths.
    sizes = {given.sizes[d] for d in more}
    alike = [d for d in field.dims if d not in given.dims and field.sizes[d] + 1 in sizes]
    if given.dims[0] == "_levels":
        alike = [d for d in field.dims if given.shape[0] in (field.sizes[d], field.sizes[d] + 1)]
    if len(alike) > 1:
        raise CoordinateError(
            f"the vertical dimension of {describe(field)} may be {' or '.join(map(repr, alike))}; name it with dim="
        )
    return alike[0] if alike else None


def _given(field: xr.DataArray, given: xr.DataArray, dim: Hashable, names: set[Hashable]) -> _Given | None:
    """Centres, edges or bounds in ``given``; None where it is none of these for ``dim``."""
    n = field.sizes[dim]
    if given.dims[0] == "_levels" and given.sizes["_levels"] == n:
        given = given.rename({"_levels": dim})
    more = [d for d in given.dims if d not in field.dims]
    if dim in given.dims:
        if given.sizes[dim] != n:
            return None
        depths = metres_down(given, trusted=True)
        pairs = [d for d in more if given.sizes[d] == 2]
        if given.ndim == 2 and len(pairs) == 1:
            return _Given(None, from_bounds(depths, dim, pairs[0]), dim, names)
        _same_places(field, given, dim)
        return _Given(without(depths, dim), None, dim, names)
    own = [d for d in more if given.sizes[d] == n + 1]
    if len(own) != 1:
        return None
    _same_places(field, given, dim)
    edges = without(metres_down(given, trusted=True), own[0]).rename({own[0]: EDGES.format(dim)})
    return _Given(None, edges, dim, names)


def _same_places(field: xr.DataArray, given: xr.DataArray, dim: Hashable) -> None:
    for d in given.dims:
        if d == dim or d not in field.dims or d not in field.coords or d not in given.coords:
            continue
        if field.sizes[d] != given.sizes[d] or not field.indexes[d].equals(given.indexes[d]):
            raise CoordinateError(
                f"the depths {given.name!r} are those of other places than {describe(field)}: their coordinate {d!r} differs; "
                "select the same part of both"
            )


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
        return Target(name, centres.size, coords, xr.DataArray(centres, dims=name), name)
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
    lowest = float(values.min())
    if lowest < 0.0 and (not above or float(values.max()) <= 0.0):
        raise ValueError(
            f"{what} holds {lowest:g}, which lies {-lowest:g} m above the surface: depths are positive down; for heights give a "
            "DataArray whose attribute positive is 'up'"
        )
    return values


def _downward(given: xr.DataArray) -> xr.DataArray:
    """Depths where nothing says heights: the sign of numbers alone decides nothing here."""
    said = given.attrs.get("positive") or given.attrs.get("standard_name") in ("height", "altitude")
    # Not metres_down's own refusal of negative depths, which speaks of a coordinate of the source.
    return given if said or bool((given <= 0).all()) else given.assign_attrs(positive="down")


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
    usual = {"standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down", "axis": "Z"}
    if given is None:
        return xr.DataArray(centres, dims=name, name=name, attrs=usual)
    own = {k: v for k, v in given.attrs.items() if k != "bounds"}
    if str(own.get("positive", "down")).lower() == "up" or own.get("standard_name") in ("height", "altitude"):
        usual = {"units": "m", "positive": "up", "axis": "Z"}
    return xr.DataArray(given.values, dims=name, name=name, attrs={**usual, **own})


def _columns_target(levels: Any, edges: Any, field: xr.DataArray, dim: Hashable, layers: bool) -> Target:
    """Levels of each column."""
    if layers and not (isinstance(edges, xr.DataArray) and edges.ndim > 1):
        raise ValueError(
            f"levels={getattr(levels, 'name', None)!r} are those of each column, and their layers need edges= with the same dimensions, "
            "n + 1 along the vertical one (oceankit.fields.depth_edges of the other model)"
        )
    limits = own = None
    if edges is not None:
        if not isinstance(edges, xr.DataArray):
            raise ValueError(
                "levels has several dimensions and edges has one; give edges as a DataArray of each column"
            )
        own = _own_dim(edges, field, dim, "edges")
        limits = metres_down(edges, trusted=True)
    if levels is None:
        assert limits is not None and own is not None
        new = str(own).removesuffix("_edges") if str(own) != "_edges" else "depth"
        centres = midpoints(limits, own, new)
        given, name = centres, "depth"
    else:
        if not isinstance(levels, xr.DataArray):
            raise ValueError(
                "edges has several dimensions and levels has one; give levels as a DataArray of each column, or None"
            )
        new = _own_dim(levels, field, dim, "levels")
        centres, given = metres_down(levels, trusted=True), levels
        name = "depth" if levels.name in (None, new) else levels.name
    n = centres.sizes[new]
    if limits is not None and limits.sizes[own] != n + 1:
        raise ValueError(
            f"edges has {limits.sizes[own]} values along {own!r} for {n} levels; give {n + 1}, one more than levels"
        )
    attrs = {"standard_name": "depth", "units": "m", "positive": "down", **given.attrs} if levels is not None else {
        "standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down",
    }  # fmt: skip
    coords: dict[Hashable, xr.DataArray] = {name: given.variable.copy(deep=False)}  # type: ignore[dict-item]
    coords[name].attrs = attrs
    if new in given.coords and given.coords[new].dims == (new,):
        coords[new] = given.coords[new]
    if layers:
        assert limits is not None and own is not None
        renamed = without(limits, own).rename({own: EDGES.format(new)})
        return Target(new, n, coords, renamed, EDGES.format(new))
    return Target(new, n, coords, without(centres, new), new)


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
            f"{what} {given.name!r} has the dimensions {given.dims}, and {describe(field)} {field.dims}: which of them is vertical "
            "cannot be told; give its dimension a usual name (depth, s_rho)"
        )
    return found
