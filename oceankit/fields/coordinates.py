"""Find longitude, latitude, time and depth of a field by CF attributes and usual names (cf-xarray)."""

import re
from collections.abc import Hashable
from typing import Any, Literal

import cf_xarray  # noqa: F401  (registers the accessor)
import numpy as np
import xarray as xr

__all__ = ["CoordinateError", "candidates", "conventions_of", "find", "horizontal", "in_degrees", "plane"]

Kind = Literal["longitude", "latitude", "time", "vertical"]


class CoordinateError(ValueError):
    """A coordinate is absent, ambiguous or unusable; the message names it and the remedy."""


# Whole names, lower case; CF attributes come first, these serve files without them.
_USUAL_NAMES = {
    "longitude": re.compile(
        r"lons?|long|longitude|nav_lon|x?long?_?[tuvcm]?|[tuv]long?|lon_(rho|u|v|psi)|glam[tuvf]|geolon(_[tuvc])?|"
        r"[cepuv]lon|longitude_[tuv]|obs_lon|lonc"
    ),
    "latitude": re.compile(
        r"lats?|latitude|nav_lat|xlat_?[tuvcm]?|lat_?[tuvcm]|[tuv]lat|lat_(rho|u|v|psi)|gphi[tuvf]|geolat(_[tuvc])?|"
        r"[cepuv]lat|latitude_[tuv]|obs_lat|latc"
    ),
    "time": re.compile(r"time|time_counter|ocean_time|valid_time|date|t"),
    "vertical": re.compile(r"depth[tuvw]?|lev|level|z|z[_]?[ltc]|st_ocean|olevel|s_rho|siglay"),
}
_STAGGERED = re.compile(r"(.*_(u|v|psi)|.*lon_?[uv]|.*lat_?[uv]|[uv]lon.?|[uv]lat|glam[uvf]|gphi[uvf]|lonc|latc)$")
_EAST = re.compile(r"degrees?[ _]*(true[ _]*)?e(ast)?", re.IGNORECASE)
_NORTH = re.compile(r"degrees?[ _]*(true[ _]*)?n(orth)?", re.IGNORECASE)
_DEGREES = re.compile(r"deg(ree)?s?|°", re.IGNORECASE)
_RADIANS = re.compile(r"radians?|rad", re.IGNORECASE)


def candidates(obj: xr.Dataset | xr.DataArray, kind: Kind) -> list[Hashable]:
    """Names of the variables of ``obj`` that may be its ``kind`` coordinate, CF attributes first.

    Bounds variables are left out. Only the coordinates of a DataArray are looked at.
    """
    variables = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    bounds = {v.attrs.get("bounds") for v in variables.values()} | {
        v.encoding.get("bounds") for v in variables.values()
    }
    marked = [n for n in _by_attributes(obj, kind) if n not in bounds]
    usual = [
        name
        for name in variables
        if name not in marked
        and name not in bounds
        and _USUAL_NAMES[kind].fullmatch(str(name).lower())
        and variables[name].dtype.kind in ("fiuMO" if kind == "time" else "fiu")
        and not str(variables[name].attrs.get("standard_name", "")).startswith(("grid_lon", "grid_lat", "projection"))
    ]
    return marked + usual


def conventions_of(obj: xr.Dataset | xr.DataArray) -> Any:
    """What cf-xarray says of ``obj``.

    Its accessor ``.cf`` and what it belongs to refer to each other, so that both stay until the garbage collector comes, which
    counts objects and not bytes: it gets a copy without the values of the field.
    """
    if isinstance(obj, xr.Dataset):
        return obj.copy(data={name: _nothing(v) for name, v in obj.data_vars.items()}).cf
    return obj.copy(data=_nothing(obj)).cf


def _nothing(variable: xr.DataArray) -> np.ndarray:
    # Only attributes are looked at; pandas has types that NumPy has not.
    return np.broadcast_to(np.zeros((), np.int8), variable.shape)


def _by_attributes(obj: xr.Dataset | xr.DataArray, kind: Kind) -> list[Hashable]:
    variables = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    cf = conventions_of(obj)
    found = [n for n in cf.coordinates.get(kind, []) if n in variables]
    if kind in ("longitude", "latitude"):
        # cf-xarray looks at coordinates; many files keep longitude and latitude among the data variables.
        pattern = _EAST if kind == "longitude" else _NORTH
        for name, variable in variables.items():
            attrs = variable.attrs
            named = attrs.get("standard_name") == kind
            united = "standard_name" not in attrs and pattern.fullmatch(str(attrs.get("units", "")).strip())
            if name not in found and variable.dtype.kind in "fiu" and (named or united):
                found.append(name)
    else:
        axis = {"time": "T", "vertical": "Z"}[kind]
        found += [n for n in cf.axes.get(axis, []) if n in variables and n not in found]
        if kind == "time":
            found += [
                n
                for n, v in variables.items()
                if n not in found
                and n in obj.dims
                and (v.dtype.kind == "M" or " since " in str(v.attrs.get("units", "")))
            ]
    return found


def find(obj: xr.Dataset | xr.DataArray, kind: Kind, *, name: Hashable | None = None) -> xr.DataArray:
    """The ``kind`` coordinate of a field.

    Parameters
    ----------
    obj
        The field.
    kind
        ``"longitude"``, ``"latitude"``, ``"time"`` or ``"vertical"``.
    name
        Takes this variable instead of looking.

    Raises
    ------
    CoordinateError
        If there is none, or several and none of them is a dimension coordinate.

    Examples
    --------
    >>> import xarray as xr
    >>> field = xr.DataArray([1.0, 2.0], dims="t", coords={"t": ("t", [0, 1], {"units": "days since 2000-01-01"})})
    >>> find(field, "time").name
    't'
    """
    if name is not None:
        return _named(obj, name, kind)
    names = candidates(obj, kind)
    if len(names) > 1:
        dimensional = [n for n in names if n in obj.dims]
        names = dimensional if len(dimensional) == 1 else names
    if len(names) > 1 and kind in ("time", "vertical"):
        # Two coordinates along one dimension (a forecast's valid and reference time): the dimension's own wins, or the first.
        shared = {tuple(obj[n].dims) for n in names}
        names = names[:1] if len(shared) == 1 and () not in shared else names
    if not names:
        raise CoordinateError(f"{describe(obj)} has no {kind} coordinate; {_remedy(obj, kind)}")
    if len(names) > 1:
        raise CoordinateError(
            f"{describe(obj)} has several {kind} coordinates: {_listing(names)}; name the one that is meant"
        )
    return obj[names[0]]


def horizontal(
    obj: xr.Dataset | xr.DataArray, *, lon: Hashable | None = None, lat: Hashable | None = None
) -> tuple[xr.DataArray, xr.DataArray]:
    """The longitude and the latitude that belong together, as they stand in ``obj``.

    Of several pairs (staggered model grids) the one that serves most data variables is taken; between equals the
    cell centres (``lon_rho``, ``nav_lon``, ``glamt``) come before velocity points and corners.

    Raises
    ------
    CoordinateError
        If no pair fits, or several do equally well.
    """
    lons: list[Hashable] = [_named(obj, lon, "longitude").name] if lon is not None else candidates(obj, "longitude")
    lats: list[Hashable] = [_named(obj, lat, "latitude").name] if lat is not None else candidates(obj, "latitude")
    missing = [kind for kind, names in (("longitude", lons), ("latitude", lats)) if not names]
    if missing:
        raise CoordinateError(f"{describe(obj)} has no {' and no '.join(missing)}; {_remedy(obj, missing[0])}")
    pairs = [(a, b) for a in lons for b in lats if _belong(obj[a], obj[b])]
    if not pairs and all(obj[n].ndim == 0 for n in (*lons, *lats)):
        raise CoordinateError(
            f"{describe(obj)} has a single position, {_listing(lons)} and {_listing(lats)}: one station is no grid; use "
            "Grid.points, or oceankit.observations"
        )
    if not pairs:
        raise CoordinateError(
            f"{describe(obj)}: no longitude of {_listing(lons)} shares its dimensions with a latitude of "
            f"{_listing(lats)}; name them with lon= and lat="
        )
    ranks = [(*_rank(obj, *pair), n) for n, pair in enumerate(pairs)]
    best = min(ranks)
    equals = [r for r in ranks if r[:-1] == best[:-1]]
    if len(equals) > 1 and lon is None:
        alike = all(
            obj[pairs[r[-1]][0]].equals(obj[pairs[best[-1]][0]])
            and obj[pairs[r[-1]][1]].equals(obj[pairs[best[-1]][1]])
            for r in equals
        )
        if not alike:
            raise CoordinateError(
                f"{describe(obj)} has several grids: {_listing([pairs[r[-1]] for r in equals])}; "
                "name the one that is meant with lon= and lat="
            )
    a, b = pairs[best[-1]]
    return obj[a], obj[b]


def _belong(lon: xr.DataArray, lat: xr.DataArray) -> bool:
    return lon.ndim > 0 and (lon.dims == lat.dims or (lon.ndim == lat.ndim == 1))


def _rank(obj: xr.Dataset | xr.DataArray, lon: Hashable, lat: Hashable) -> tuple[int, int, int]:
    """Smaller is better: served data variables, names that match, cell centres before staggered points."""
    dims = set(obj[lon].dims) | set(obj[lat].dims)
    fields = obj.data_vars.values() if isinstance(obj, xr.Dataset) else [obj]
    served = sum(dims <= set(f.dims) and f.name not in (lon, lat) and f.dtype.kind in "fiu" for f in fields)
    alike = str(lon).lower().translate(_XY) == str(lat).lower().translate(_XY)
    alike = alike or _stem(lon) == _stem(lat)
    return (
        -served if isinstance(obj, xr.Dataset) else -int(served > 0),
        -int(alike),
        int(bool(_STAGGERED.match(str(lon).lower()))),
    )


_XY = str.maketrans("xy", "__")


def _stem(name: Hashable) -> str:
    return re.sub(r"longitude|latitude|long|lon|lat|glam|gphi", "_", str(name).lower())


def in_degrees(coordinate: xr.DataArray, kind: Literal["longitude", "latitude"]) -> np.ndarray:
    """Values of a longitude or latitude as float64 degrees; huge fill values become NaN.

    Raises
    ------
    CoordinateError
        If the units are not an angle, or a value lies outside what the angle can be.
    """
    units = str(coordinate.attrs.get("units", "")).strip()
    values = np.array(coordinate.values, dtype=np.float64)
    fill = coordinate.encoding.get("_FillValue", coordinate.attrs.get("_FillValue"))
    worst = max(values.max(initial=0.0), -values.min(initial=0.0))  # NaN where any is
    if not worst < 1e30:
        # Missing, or fill values that were never declared (POP writes NetCDF's default 9.97e36 over land).
        values[~(np.abs(values) < 1e30)] = np.nan
    if fill is not None and np.isfinite(fill):
        values[values == np.float64(fill)] = np.nan
    if _RADIANS.fullmatch(units):
        values, worst = np.degrees(values), np.degrees(worst)
    elif units and not (_EAST.fullmatch(units) or _NORTH.fullmatch(units) or _DEGREES.fullmatch(units)):
        raise CoordinateError(
            f"{coordinate.name!r} is taken for the {kind}, but its units are {units!r}; if its values are degrees, set "
            f"ds[{str(coordinate.name)!r}].attrs['units'] = 'degrees_{'east' if kind == 'longitude' else 'north'}', "
            "otherwise name another coordinate with lon= and lat="
        )
    limit = 90.0 + 1e-6 if kind == "latitude" else 1080.0
    if not worst <= limit:
        worst = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 0.0
    if worst > limit:
        raise CoordinateError(
            f"{coordinate.name!r} is taken for the {kind} in degrees, but holds the value {worst:g}; "
            "check its units, or name another coordinate with lon= and lat="
        )
    return np.clip(values, -90.0, 90.0) if kind == "latitude" and worst > 90.0 else values


def plane(obj: xr.Dataset | xr.DataArray) -> tuple[xr.DataArray, xr.DataArray] | None:
    """The coordinates ``x`` and ``y`` of a field on a plane, or None where there is none."""
    names = {str(n).lower(): n for n in obj.coords}
    if "x" in names and "y" in names and _belong(obj[names["x"]], obj[names["y"]]):
        return obj[names["x"]], obj[names["y"]]
    return None


def _named(obj: xr.Dataset | xr.DataArray, name: Hashable, kind: str) -> xr.DataArray:
    known = list(obj.variables if isinstance(obj, xr.Dataset) else obj.coords)
    if name not in known:
        raise CoordinateError(f"{describe(obj)} has no variable {name!r} to take as {kind}; it has {_listing(known)}")
    return obj[name]


def describe(obj: xr.Dataset | xr.DataArray) -> str:
    """How an error message calls ``obj``: its name or the file it came from."""
    source = obj.encoding.get("source")
    if isinstance(obj, xr.DataArray):
        return f"the field {obj.name!r}" if obj.name is not None else "the field"
    return f"the dataset of {str(source).rsplit('/', 1)[-1]!r}" if source else "the dataset"


def _listing(names: object, most: int = 12) -> str:
    items = [repr(n) if not isinstance(n, tuple) else "/".join(map(str, n)) for n in names]  # type: ignore[attr-defined]
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def _remedy(obj: xr.Dataset | xr.DataArray, kind: str) -> str:
    keyword = {"longitude": "lon=", "latitude": "lat=", "time": "a keyword", "vertical": "depth="}[kind]
    known = list(obj.variables if isinstance(obj, xr.Dataset) else obj.coords)
    if not known:
        return f"it has no coordinates at all: assign them with .assign_coords(...) before naming one with {keyword}"
    return f"it has {_listing(known)}: name the right one with {keyword}, or add the coordinate"
