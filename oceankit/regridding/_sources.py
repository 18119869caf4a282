"""Where the levels of a field are: found, or as the caller gives them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import CoordinateError, describe
from oceankit.fields.depths import find_levels
from oceankit.fields.verticals import EDGES, from_bounds, halfway, metres_down, midpoints, vertical_dim, without

__all__ = ["Source", "as_source"]


class Source(NamedTuple):
    """The levels of a field: its vertical dimension and what knows their depths."""

    dim: Hashable
    levels: Any
    """As :class:`oceankit.fields.depths.Levels`."""


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
            f"depth={depth!r} is none of the variables {', '.join(map(repr, list(ds.variables)[:12]))}; name one of "
            "them, or give a DataArray"
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
