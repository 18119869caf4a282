"""From levels to levels: fields of any vertical coordinate onto depths, or onto the levels of another model."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from oceankit.fields import blocks
from oceankit.fields.coordinates import CoordinateError, describe
from oceankit.fields.depths import as_dataset
from oceankit.fields.layers import is_place
from oceankit.fields.verticals import EDGES, vertical_dim
from oceankit.regridding import _columns
from oceankit.regridding._sources import Source, as_source
from oceankit.regridding._targets import Target, as_target

__all__ = ["VERTICAL_METHODS", "regrid_vertical", "vertical_coverage"]

VERTICAL_METHODS = ("linear", "conservative")
Field = TypeVar("Field", xr.DataArray, xr.Dataset)
Depths = xr.DataArray | Sequence[float] | np.ndarray
_COVERAGE = _columns.MODES["coverage"]


def regrid_vertical(
    data: Field,
    levels: Depths | None,
    *,
    method: str = "linear",
    depth: xr.DataArray | Hashable | None = None,
    dim: Hashable | None = None,
    edges: Depths | None = None,
    skipna: bool | None = None,
    min_coverage: float = 0.5,
    extrapolate: str | tuple[str | None, str | None] | None = None,
) -> Field:
    """Regrid a field from its levels to others; lazy in, lazy out.

    Parameters
    ----------
    data
        A DataArray, which knows its own coordinates only, or a Dataset, which also has formula terms or thicknesses of
        layers: see :func:`oceankit.fields.depths` for what is understood.
    levels
        Depths of the target levels in metres, positive down: a sequence, or a DataArray whose name, attributes and values
        become the new coordinate (``units`` m, cm or km; ``positive: "up"`` for heights). A DataArray with further dimensions
        of the field has levels for each column: those of another model. None where ``edges`` say it all.
    method
        ``"linear"``: between the two nearest levels of the column; the value itself where the target is a level.
        ``"conservative"``: the mean over the overlaps of the target layer with the layers of the column, first order.
    depth
        Where the levels of ``data`` are, in metres: a DataArray or the name of one. Depths of levels, edges of layers (n + 1
        along a dimension of their own) or bounds (n, 2); with any further dimensions. Found from ``data`` where None.
    dim
        The vertical dimension of ``data``, where names and attributes do not tell.
    edges
        Edges of the target layers for ``"conservative"``: n + 1 depths. Where None, the ``bounds`` of ``levels``, or half-way
        between them: the outer ones as far from their level as the inner, but not above 0.
    skipna
        ``"linear"``: whether to interpolate across levels that are missing inside a column (default False: what lies beside a
        missing level is missing). ``"conservative"``: whether missing layers are left out (default True, see
        ``min_coverage``); if not, one missing layer that overlaps makes the target missing.
    min_coverage
        ``"conservative"``: a target layer gets a value where at least this share of it is covered by layers with a value.
        0 asks for any.
    extrapolate
        ``"linear"``: what holds above the first and below the last valid level of a column. None: missing. ``"layer"``: the
        end value, as far as the edge of its layer, so up to the surface and down to the sea floor. ``"nearest"``: the end
        value without limit. ``"linear"``: the line through the last two, without limit. A pair names what holds above and
        what below.

    Returns
    -------
    Like ``data``: the new levels in place of the old dimension, other dimensions and chunks as they were; floats keep their
    precision, and sums are float64. Of a Dataset every variable that has levels is regridded, each on its own (``s_w`` has
    other depths than ``s_rho``); variables without levels are kept, and those that say where the old levels were are left
    behind.
    Conservative levels of a Dataset have ``bounds``, which a DataArray cannot hold.

    Raises
    ------
    ValueError
        If an option is unknown, levels are not sorted, or depths turn back in a column (for lazy fields when they are computed).
    CoordinateError
        If the depths of the levels cannot be found, or are no lengths.

    See Also
    --------
    vertical_coverage : the share of each target layer that was covered, which keeps the integral.

    Notes
    -----
    Columns are independent of each other. With the horizontal regridding, go vertical first where levels follow the terrain:
    depths belong to the columns of the source.

    References
    ----------
    Jones, P. W. (1999), Mon. Weather Rev. 127, 2204-2210 (first-order conservative means, here in one dimension).

    Examples
    --------
    >>> temp = xr.DataArray([20.0, 16.0, 10.0], dims="depth", coords={"depth": ("depth", [5.0, 15.0, 35.0], {"units": "m"})})
    >>> regrid_vertical(temp, [10, 15, 30, 50]).values
    array([18. , 16. , 11.5,  nan])
    >>> regrid_vertical(temp, None, edges=[0, 20, 45], method="conservative").values
    array([18. , 11.2])
    """
    options = _options(method, skipna, min_coverage, extrapolate)
    return _regrid(data, levels, edges, depth, dim, options)


def vertical_coverage(
    data: Field,
    levels: Depths | None,
    *,
    depth: xr.DataArray | Hashable | None = None,
    dim: Hashable | None = None,
    edges: Depths | None = None,
) -> Field:
    """Share of each target layer that layers with a value cover (0 to 1): what ``min_coverage`` is held against.

    With ``min_coverage=0`` the integral of a column is ``(regridded * coverage * thickness).sum()``, to rounding, where the
    target layers reach from the surface (above 0 where the sea surface is) to the sea floor; ``thickness`` is that of the
    target layers.

    Parameters
    ----------
    data, levels, depth, dim, edges
        As for :func:`regrid_vertical`.

    Examples
    --------
    >>> temp = xr.DataArray([20.0, 16.0, 10.0], dims="depth", coords={"depth": ("depth", [5.0, 15.0, 35.0], {"units": "m"})})
    >>> vertical_coverage(temp, None, edges=[0, 20, 40, 60]).values
    array([1.  , 1.  , 0.25])
    """
    options = {**_options("conservative", None, 0.0, None), "mode": _columns.MODES["coverage"]}
    return _regrid(data, levels, edges, depth, dim, options)


def _options(method: str, skipna: bool | None, min_coverage: float, extrapolate: Any) -> dict[str, Any]:
    if method not in VERTICAL_METHODS:
        raise ValueError(f"method={method!r} is not known; choose one of {', '.join(map(repr, VERTICAL_METHODS))}")
    if not isinstance(min_coverage, float | int | np.floating | np.integer) or not 0.0 <= min_coverage <= 1.0:
        raise ValueError(f"min_coverage={min_coverage!r}; it is a share between 0 and 1")
    if skipna not in (None, True, False):
        raise ValueError(f"skipna={skipna!r}; choose True, False or None, the method's own")
    pair = extrapolate if isinstance(extrapolate, tuple) else (extrapolate, extrapolate)
    if len(pair) != 2 or any(not isinstance(p, str | None) or p not in _columns.OUTSIDE for p in pair):
        raise ValueError(
            f"extrapolate={extrapolate!r} is not known; choose None, 'layer', 'nearest' or 'linear', or a pair of them for "
            "above and below"
        )
    if method == "conservative":
        if any(p is not None for p in pair):
            raise ValueError(
                f"extrapolate={extrapolate!r} belongs to method='linear'; conservative layers that are covered in part are ruled "
                "by min_coverage"
            )
        # Shares come from sums of thicknesses: what is covered by half to rounding is covered by half.
        mode = "strict" if skipna is False else "value"
        return {"least": min_coverage - 1e-9, "mode": _columns.MODES[mode]}
    return {"bridge": bool(skipna), "outside": (_columns.OUTSIDE[pair[0]], _columns.OUTSIDE[pair[1]])}


def _regrid(data: Field, levels: Any, edges: Any, depth: Any, dim: Hashable | None, options: dict[str, Any]) -> Field:
    if isinstance(data, xr.Dataset):
        return _dataset(data, levels, edges, depth, dim, options)
    if not isinstance(data, xr.DataArray):
        raise ValueError(
            f"a field is an xarray DataArray or Dataset, not a {type(data).__name__}; give it dims and coords first"
        )
    source = as_source(as_dataset(data), data, depth, dim)
    if source is None:
        raise CoordinateError(
            f"{describe(data)} has no vertical dimension among {data.dims}; name it with dim=, or give the depths with depth="
        )
    return _array(data, source, as_target(levels, edges, data, source.dim, layers="least" in options), options)


def _dataset(
    ds: xr.Dataset, levels: Any, edges: Any, depth: Any, dim: Hashable | None, options: dict[str, Any]
) -> xr.Dataset:
    known: dict[Any, Source] = {}
    found = {
        name: as_source(ds, variable, depth, dim, known)
        for name, variable in ds.data_vars.items()
        if not is_place(name, variable.variable)
    }
    sources = {name: source for name, source in found.items() if source is not None}
    described = {n for source in sources.values() for n in source.levels.described_by}
    sources = {name: source for name, source in sources.items() if name not in described}
    if not sources:
        places = [n for n, v in ds.data_vars.items() if n not in found and vertical_dim(ds, v) is not None]
        told = (
            f", but for {', '.join(map(repr, places))}, told by name or standard_name to be depths or thicknesses"
            if places
            else ""
        )
        raise CoordinateError(
            f"no variable of {describe(ds)} has a vertical dimension{told}; name it with dim=, or check these"
        )
    old = {source.dim for source in sources.values()}
    out: dict[Hashable, xr.DataArray] = {}
    new: dict[Hashable, xr.DataArray] = {}
    target = None
    for name, source in sources.items():
        target = as_target(levels, edges, ds[name], source.dim, layers="least" in options)
        out[name] = _array(ds[name], source, target, options)
        new.update(target.coords)
    left = _left_behind(ds, old, described, {d for n in sources for d in ds[n].dims})
    out.update({n: v for n, v in ds.data_vars.items() if n not in sources and n not in left})
    clash = [n for n in new if n in ds.variables and n not in left]
    if clash:
        raise ValueError(
            f"{describe(ds)} has a variable {clash[0]!r} that is no coordinate of the old levels, and the new ones get the same "
            f"name; rename one: ds.rename({{{clash[0]!r}: ...}}), or give levels as a DataArray with another name"
        )
    kept = {n: c for n, c in ds.coords.items() if n not in new and n not in left}
    # In the order in which they stood.
    result = xr.Dataset({n: out[n] for n in ds.data_vars if n in out}, coords=kept, attrs=ds.attrs)
    if target is not None and target.bounds is not None:
        result = result.assign_coords({target.bounds.name: target.bounds})
        result[target.dim].attrs["bounds"] = target.bounds.name
    return result


def _left_behind(ds: xr.Dataset, old: set[Hashable], described: set[Hashable], common: set[Hashable]) -> set[Hashable]:
    """Variables along the old levels, and those that say where they are along levels that no regridded field has."""

    def says_where(name: Hashable) -> bool:
        return (name in described or is_place(name, ds[name].variable)) and not set(ds[name].dims) <= common

    return {
        n
        for n, v in ds.variables.items()
        if old & set(v.dims) or (says_where(n) and vertical_dim(ds, ds[n]) is not None)
    }


def _array(field: xr.DataArray, source: Source, target: Target, options: dict[str, Any]) -> xr.DataArray:
    field = _ready(field)
    name = describe(field)
    new = [d for d in target.coords if d in field.coords and source.dim not in field.coords[d].dims]
    if (target.dim in field.dims and target.dim != source.dim) or new:
        raise ValueError(
            f"{name} and the target levels both have {[*new, target.dim][0]!r} and mean different things; rename one, "
            "for example levels as a DataArray with another name"
        )
    layers = "least" in options
    own = EDGES.format(source.dim) if layers else source.dim
    depth = source.levels.edges() if layers else source.levels.centres()
    beside = [(depth, own), (target.goal, target.own)]
    if not layers and _columns.OUTSIDE["layer"] in options["outside"]:
        beside.append((source.levels.edges(), EDGES.format(source.dim)))
    beside = [(a.compute() if a.ndim == 1 else a, d) for a, d in beside]
    shared = all(a.ndim == 1 for a, _ in beside)
    if depth.ndim == 1:
        _check_axis(beside[0][0], name, source.dim)
    # Levels that move in time make the result move, even of a field that does not.
    more = {d: a.sizes[d] for a, own in beside for d in a.dims if d != own and d not in field.dims}
    if more:
        field = field.expand_dims(more)
    out = blocks.columns(
        _columns.conservative if layers else _columns.linear,
        field,
        source.dim,
        beside,
        blocks.Output((target.dim,), (target.size,), np.float64 if options.get("mode") == _COVERAGE else field.dtype),
        constants={**options, "shared": shared, "name": name},
    )
    if options.get("mode") == _COVERAGE:
        out = out.rename("coverage")
        out.attrs = {"long_name": "share covered", "units": "1"}
    elif "volume:" in str(out.attrs.get("cell_measures", "")):
        # The volumes are those of the old cells.
        out.attrs["cell_measures"] = re.sub(r"\s*volume:\s*\S+", "", out.attrs["cell_measures"]).strip()
    return out.assign_coords(target.coords)


def _ready(field: xr.DataArray) -> xr.DataArray:
    """The field as floats."""
    if field.dtype.kind not in "fiub":
        raise ValueError(
            f"{describe(field)} has dtype {field.dtype}, which cannot be regridded; select the numeric variables"
        )
    packed = [a for a in ("scale_factor", "add_offset", "_FillValue") if a in field.attrs]
    if packed:
        raise ValueError(
            f"{describe(field)} was opened without decoding, its attributes say {packed[0]}={field.attrs[packed[0]]!r}; "
            "open it with mask_and_scale, or pass the dataset through xarray.decode_cf"
        )
    dtype = np.result_type(field.dtype, np.float32)
    return field if field.dtype == dtype else field.astype(dtype)


def _check_axis(depth: xr.DataArray, name: str, dim: Hashable) -> None:
    """An axis of depths rises or falls; levels at the same depth are allowed, missing ones are not."""
    values = depth.values
    if not np.isfinite(values).all():
        raise CoordinateError(
            f"{name}: the depths along {dim!r} hold {values[~np.isfinite(values)][0]}; they are finite numbers"
        )
    steps = np.diff(values)
    if not ((steps >= 0.0).all() or (steps <= 0.0).all()):
        k = int(np.argmax(steps < 0.0 if values[-1] >= values[0] else steps > 0.0))
        raise CoordinateError(
            f"{name}: the depths along {dim!r} turn back, {values[k + 1]:g} m follows {values[k]:g} m; sort the field by them"
        )
