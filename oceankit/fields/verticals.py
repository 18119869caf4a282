"""Vertical axes: which dimension is the vertical one, metres positive down from any axis of length, edges of layers."""

import re
from collections.abc import Hashable

import numpy as np
import xarray as xr

from oceankit.fields import blocks
from oceankit.fields.coordinates import CoordinateError, candidates, conventions_of, describe

__all__ = [
    "EDGES", "attribute", "axis_edges", "between", "from_bounds", "halfway", "metres_down", "midpoints", "ordered",
    "vertical_dim", "without",
]  # fmt: skip

EDGES = "{}_edges"

# Dimensions that are vertical by name, whole and lower case; what has CF attributes needs no name.
_NAMES = re.compile(
    r"depth|depth[tuvw]|dep|lev|levels?|olevel|olevels?|nav_lev|z|z_?[ltcuwi]|zp1|nz1?|s_(rho|w)|sig(ma|lay|lev)|sigma_?level|"
    r"st_(ocean|edges_ocean)|sw_(ocean|edges_ocean)|(hybrid_)?layers?|(n)?schism_vgrid_layers|k|kmax|depth_\w+"
)
_METRES = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0, "mtr": 1.0,
    "cm": 0.01, "centimeter": 0.01, "centimeters": 0.01, "centimetre": 0.01, "centimetres": 0.01,
    "km": 1000.0, "kilometer": 1000.0, "kilometers": 1000.0, "kilometre": 1000.0, "kilometres": 1000.0,
}  # fmt: skip
_PRESSURE = re.compile(r"(deci|d|milli|m|hecto|h|kilo|k|mega|m)?(bars?|pa|pascals?)")
_DOWN = re.compile(r"depth(_below_(geoid|sea_surface|mean_sea_level))?")
_UP = re.compile(r"height(_above_\w+)?|altitude")
# Usual names of heights and depths in files without attributes.
_UP_NAMES = re.compile(r"z_(rho|r|w|u|v|psi)0?|zcoordinates|zcor")
_DOWN_NAMES = re.compile(r"(g|n_)?dep(t|w)?h?[tuvwf]?(_\w+)?|deptho")


def attribute(variable: xr.DataArray | xr.Variable, name: str) -> str:
    """An attribute that xarray may have moved to the encoding; '' where there is none."""
    return str(variable.attrs.get(name, variable.encoding.get(name, "")))


def vertical_dim(ds: xr.Dataset, field: xr.DataArray, dim: Hashable | None = None) -> Hashable | None:
    """The vertical dimension of ``field``, whose coordinates are among the variables of ``ds``; None where it has none.

    Raises
    ------
    CoordinateError
        If ``dim`` is none of its dimensions, or several may be meant.
    """
    if dim is not None:
        if dim not in field.dims:
            raise CoordinateError(
                f"{describe(field)} has no dimension {dim!r} to take as vertical; it has {field.dims}"
            )
        return dim
    vertical = set(candidates(ds, "vertical"))
    flat = _flat_dims(ds)
    found = []
    for d in field.dims:
        if d in flat:
            continue
        own = ds.variables.get(d)
        marked = d in vertical or (own is not None and _is_parametric(own))
        if marked or _NAMES.fullmatch(str(d).lower()):
            found.append(d)
    if not found:
        # A field of depths, or an axis under another name, along the one dimension that is neither flat nor time.
        along = {
            d
            for n in vertical
            # The depth of the bed along a mesh is no axis.
            if not _is_sea_floor(ds[n]) and set(ds[n].dims) <= set(field.dims) and (n in ds.coords or ds[n].ndim > 1)
            for d in ds[n].dims
            if d not in flat
        }
        found = [d for d in field.dims if d in along]
    if len(found) > 1:
        raise CoordinateError(
            f"{describe(field)} has several vertical dimensions: {', '.join(map(repr, found))}; name the one that is meant "
            "with dim="
        )
    return found[0] if found else None


def _is_parametric(variable: xr.Variable) -> bool:
    return bool(attribute(variable, "formula_terms")) or "_coordinate" in str(variable.attrs.get("standard_name", ""))


def _is_sea_floor(variable: xr.DataArray) -> bool:
    said = f"{variable.attrs.get('standard_name', '')} {variable.attrs.get('long_name', '')}".lower()
    return any(word in said for word in ("sea_floor", "sea floor", "bathymetry", "topography"))


def _flat_dims(ds: xr.Dataset) -> set[Hashable]:
    """Dimensions of longitude and latitude, of axes X and Y, and of time."""
    names = [*candidates(ds, "longitude"), *candidates(ds, "latitude")]
    # Data variables called t are temperatures.
    names += [n for n in candidates(ds, "time") if n in ds.coords]
    names += [n for axis in "XY" for n in conventions_of(ds).axes.get(axis, []) if n in ds.variables]
    return {d for n in names for d in ds[n].dims} - {
        # Longitudes of a section along a vertical axis do not make that axis flat.
        d
        for d in ds.dims
        if d in ds.variables and str(ds[d].attrs.get("axis", "")).upper() == "Z"
    }


def metres_down(levels: xr.DataArray, *, trusted: bool = False) -> xr.DataArray:
    """Depths in metres, positive down, as float64.

    Parameters
    ----------
    levels
        Depths or heights. Which of the two follows from the attribute ``positive``, a standard name, a usual name, or the signs.
    trusted
        Whether values without units are taken for metres even though nothing says that they are depths.

    Raises
    ------
    CoordinateError
        If the units are not a length, the direction cannot be told, or the values contradict it.
    """
    units = str(levels.attrs.get("units", "")).strip().lower()
    named = str(levels.name).lower()
    standard = str(levels.attrs.get("standard_name", ""))
    positive = str(levels.attrs.get("positive", "")).strip().lower()
    factor = _METRES.get(units)
    if not units:
        says = positive or _DOWN.fullmatch(standard) or _UP.fullmatch(standard)
        usual = _UP_NAMES.fullmatch(named) or named.startswith(("dep", "gdep", "nz", "z"))
        factor = 1.0 if trusted or says or usual else None
    if factor is None:
        raise CoordinateError(_no_length(levels, units))
    if levels.dtype.kind not in "fiu":
        raise CoordinateError(f"{levels.name!r} has dtype {levels.dtype}; depths are numbers in metres")
    upwards = _upwards(levels, positive, standard, named)
    metres = levels.astype(np.float64, copy=False)
    # Depths of every column are large: no copy where nothing changes.
    return metres if factor == 1.0 and not upwards else (metres * (-factor if upwards else factor)).rename(levels.name)


def _no_length(levels: xr.DataArray, units: str) -> str:
    if _PRESSURE.fullmatch(units.replace(" ", "")):
        return (
            f"{levels.name!r} is a pressure in {levels.attrs.get('units')!r}; convert it to depth, for example with "
            "-gsw.z_from_p(p, lat), and give the result with depth="
        )
    if not units:
        return (
            f"{levels.name!r} has no units, and nothing says that it is a depth; set its attribute units to 'm', or give the "
            "depths with depth="
        )
    return (
        f"{levels.name!r} is taken for the depth, but its units are {levels.attrs.get('units')!r}, which is no length; give the "
        "depths in metres with depth="
    )


def _upwards(levels: xr.DataArray, positive: str, standard: str, named: str) -> bool:
    """Whether values are heights, which fall with depth."""
    if positive and positive not in ("up", "down"):
        raise CoordinateError(f"{levels.name!r} has the attribute positive={positive!r}; it is 'up' or 'down'")
    said = positive or ("down" if _DOWN.fullmatch(standard) else "up" if _UP.fullmatch(standard) else "")
    if not said and (_UP_NAMES.fullmatch(named) or _DOWN_NAMES.fullmatch(named)) and blocks.is_lazy(levels):
        said = "up" if _UP_NAMES.fullmatch(named) else "down"
    if levels.ndim > 1 and (said or blocks.is_lazy(levels)):
        if not said:
            raise CoordinateError(
                f"{levels.name!r} is lazy and does not say whether it grows up or down; set its attribute positive to 'up' or "
                "'down'"
            )
        return said == "up"
    values = levels.values
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return said == "up"
    low, high = float(finite.min()), float(finite.max())
    # Of mixed signs the larger part is the depth, the rest lies between the datum and the surface.
    signs = "up" if -low > high else "down"
    if said == "down" and high <= 0.0 and low < 0.0 and levels.size > 1:
        raise CoordinateError(
            f"{levels.name!r} says that it is positive down, but its values run from {low:g} to {high:g}; "
            "set its attribute positive to 'up'"
        )
    return (said or signs) == "up"


def between(parts: list[xr.DataArray], dim: Hashable) -> xr.DataArray:
    """Parts one after another along the edges of ``dim``."""
    edges = EDGES.format(dim)
    bare = [without(p, dim).rename({dim: edges}) for p in parts]
    like = max(bare, key=lambda p: p.ndim)
    bare = [p.broadcast_like(like.isel({edges: slice(0, 1)}), exclude=[edges]) for p in bare]
    joined = xr.concat(bare, dim=edges, coords="minimal", compat="override", join="override")
    return joined.transpose(*like.dims)


def halfway(centres: xr.DataArray, dim: Hashable, *, surface: float | None = None) -> xr.DataArray:
    """Edges half-way between centres; the outer two as far from their centres as the inner ones.

    Parameters
    ----------
    centres
        Depths.
    surface
        No edge lies above this depth where all centres lie below it (1-D centres).

    Raises
    ------
    CoordinateError
        If there is only one level.
    """
    if centres.sizes[dim] < 2:
        raise CoordinateError(
            f"{centres.name!r} has one level, and a layer's edges cannot be told from one; give the edges (n + 1 values)"
        )
    middle = midpoints(centres, dim, dim)
    first, second = centres.isel({dim: slice(0, 1)}), centres.isel({dim: slice(1, 2)})
    last, before = centres.isel({dim: slice(-1, None)}), centres.isel({dim: slice(-2, -1)})
    steps = [without(p, dim) for p in (first, second, last, before)]
    start = steps[0] - 0.5 * (steps[1] - steps[0])
    end = steps[2] + 0.5 * (steps[2] - steps[3])
    edges = between([start, middle, end], dim)
    if surface is not None and centres.ndim == 1 and float(centres.min()) >= surface:
        edges = edges.clip(min=surface)
    return edges


def midpoints(edges: xr.DataArray, dim: Hashable, new: Hashable) -> xr.DataArray:
    """The middles of layers."""
    upper, lower = (without(edges, dim).isel({dim: s}) for s in (slice(None, -1), slice(1, None)))
    return (0.5 * (upper + lower)).rename({dim: new})


def without(part: xr.DataArray, dim: Hashable) -> xr.DataArray:
    """``part`` without coordinates along ``dim``, so that its values meet others by place."""
    return part.drop_vars([c for c in part.coords if dim in part.coords[c].dims])


def ordered(found: xr.DataArray, field: xr.DataArray, old: Hashable, new: Hashable) -> xr.DataArray:
    """``found`` with its dimensions as in ``field``, where ``new`` stands for ``old``; further ones in front."""
    order = [new if d == old else d for d in field.dims]
    more = [d for d in found.dims if d not in order]
    return found.transpose(*more, *(d for d in order if d in found.dims))


def from_bounds(bounds: xr.DataArray, dim: Hashable, pair: Hashable) -> xr.DataArray:
    """Edges from CF bounds (..., n, 2), which must join: one layer ends where the next begins.

    Raises
    ------
    CoordinateError
        If there are gaps or overlaps.
    """
    a, b = bounds.isel({pair: 0}, drop=True), bounds.isel({pair: 1}, drop=True)
    if not blocks.is_lazy(bounds) and bounds.sizes[dim] > 1:
        # Bounds may run against their axis.
        for one, other in ((a, b), (b, a)):
            apart = np.abs(
                without(one.isel({dim: slice(1, None)}), dim) - without(other.isel({dim: slice(None, -1)}), dim)
            )
            tolerance = 1e-6 * float(np.abs(bounds).max())
            if not bool((apart > tolerance).any()):
                return between([one, other.isel({dim: slice(-1, None)})], dim)
        raise CoordinateError(
            f"the bounds {bounds.name!r} leave gaps or overlap; give the edges of layers (n + 1 values)"
        )
    return between([a, b.isel({dim: slice(-1, None)})], dim)


_PARTNERS = {
    "s_rho": "s_w", "siglay": "siglev", "nz1": "nz", "zl": "zi", "z_l": "z_i", "st_ocean": "st_edges_ocean",
    "sw_ocean": "sw_edges_ocean", "Z": "Zp1", "z_rho": "z_w",
}  # fmt: skip


def axis_edges(ds: xr.Dataset, axis: xr.DataArray, dim: Hashable) -> tuple[xr.DataArray, set[Hashable]]:
    """Edges of the layers around the levels ``axis`` in metres positive down, and the variables that say so.

    From the axis' ``bounds``, from an axis of interfaces beside it (its attribute ``edges``, or a usual name), or half-way.
    """
    name = str(axis.name)
    marked = attribute(axis, "bounds")
    for n in (marked, f"{name}_bnds", f"{name}_bounds", f"bounds_{name}"):
        if n and n in ds.variables and dim in ds[n].dims and set(ds[n].dims) > set(axis.dims):
            pairs = [d for d in ds[n].dims if d not in axis.dims and ds[n].sizes[d] == 2]
            if len(pairs) == 1:
                edges = from_bounds(_as(ds[n], axis), dim, pairs[0])
                return edges, {n}
    for n in (attribute(axis, "edges"), _PARTNERS.get(name, "")):
        if n and n in ds.variables:
            beside = [d for d in ds[n].dims if d not in axis.dims and ds[n].sizes[d] == axis.sizes[dim] + 1]
            if len(beside) == 1 and ds[n].ndim == axis.ndim:
                edges = _as(ds[n], axis)
                return edges.drop_vars([c for c in edges.coords if beside[0] in edges.coords[c].dims]).rename(
                    {beside[0]: EDGES.format(dim)}
                ), {n}
    return halfway(metres_down(axis), dim, surface=0.0), set()


def _as(edges: xr.DataArray, axis: xr.DataArray) -> xr.DataArray:
    """Edges in metres positive down, in the units and direction of their axis where they do not say their own."""
    said = {k: v for k, v in axis.attrs.items() if k in ("units", "positive", "standard_name")}
    if "positive" not in {**said, **edges.attrs}:
        said["positive"] = (
            "up" if _upwards(axis, "", str(said.get("standard_name", "")), str(axis.name).lower()) else "down"
        )
    own = {k: v for k, v in edges.attrs.items() if k in said or k in ("units", "positive")}
    return metres_down(edges.assign_attrs({**said, **own}), trusted=True)
