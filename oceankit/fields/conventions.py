"""CF-1.11 and ACDD-1.3 attributes of products: what the data say about themselves, and what only people know."""

import logging
import re
from collections.abc import Hashable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import xarray as xr

from oceankit._version import __version__
from oceankit.fields import coordinates
from oceankit.fields.files import StoreError

__all__ = ["CONVENTIONS", "bounds_of", "described", "is_time", "time_coverage", "with_references"]

log = logging.getLogger(__name__)

CONVENTIONS = "CF-1.11, ACDD-1.3"
_VOCABULARY = "CF Standard Name Table v93"
# Written by the store alone: a value from elsewhere would be about another file.
_RESERVED = ("Conventions", "provenance", "history", "date_created", "date_modified", "date_metadata_modified")
_STALE = ("geospatial_", "time_coverage_", "date_issued", "external_variables")
_CONTENT_TYPES = (
    "image", "thematicClassification", "physicalMeasurement", "auxiliaryInformation",
    "qualityInformation", "referenceInformation", "modelResult", "coordinate",
)  # fmt: skip
_REFERENCES = ("bounds", "climatology", "grid_mapping", "formula_terms", "ancillary_variables", "cell_measures")
_DEGREES = ("", "deg", "degree", "degrees", "°")
_TEMPERATURE = re.compile(r"k|kelvins?|°c|(deg(ree)?s?[_ ]?)?c(elsius)?", re.IGNORECASE)
_LEAPING = ("standard", "gregorian", "proleptic_gregorian", "julian")
_INHERITED_BY_BOUNDS = ("units", "units_metadata", "standard_name", "long_name", "axis", "positive", "calendar")


def described(
    ds: xr.Dataset, *, name: str, metadata: Mapping[str, Any], sources: tuple[str, ...], now: datetime
) -> xr.Dataset:
    """A copy of ``ds`` with the attributes of a product; the coordinates must be in memory.

    Parameters
    ----------
    ds
        As `with_references` returns it.
    name
        The product's file name.
    metadata
        What only people know (``title``, ``institution``, ``license`` ...). It goes before what ``ds`` carries, and
        that before what can be derived. ``coverage_content_type`` is given to the data variables that have none.
    sources
        The files that the product was made from.
    now
        The moment of writing, in UTC.
    """
    metadata = _checked(metadata)
    ds = ds.copy()
    _describe_coordinates(ds)
    _describe_fields(ds, metadata.pop("coverage_content_type", None))
    kept = {k: v for k, v in ds.attrs.items() if k not in _RESERVED and not str(k).startswith(_STALE)}
    if "external_variables" in ds.attrs:
        kept["external_variables"] = ds.attrs["external_variables"]
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{stamp} oceankit {__version__}: wrote {name}"
    ds.attrs = {
        "Conventions": CONVENTIONS,
        **_derived(ds, name, sources),
        **kept,
        "id": name.rpartition(".")[0].replace(" ", "_"),  # one carried along would be another product's
        **_extent(ds),
        **_vertical_extent(ds),
        **time_coverage(ds),
        **metadata,
        "date_created": stamp,
        "date_modified": stamp,
        "date_metadata_modified": stamp,
        "history": "\n".join([h for h in (str(ds.attrs.get("history", "")).rstrip(), line) if h]),
    }
    return ds


def _checked(metadata: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in metadata.items():
        if key in _RESERVED:
            raise StoreError(f"metadata sets {key!r}, which the store writes itself; leave it out")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise StoreError(f"metadata[{key!r}] is {value!r}; attributes must be text or numbers")
    content = metadata.get("coverage_content_type", _CONTENT_TYPES[0])
    if content not in _CONTENT_TYPES:
        raise StoreError(
            f"metadata['coverage_content_type'] is {content!r}; ISO 19115-1 knows {', '.join(_CONTENT_TYPES)}"
        )
    return dict(metadata)


def with_references(ds: xr.Dataset) -> xr.Dataset:
    """A copy whose attributes name other variables only where these exist.

    xarray keeps such attributes now in ``attrs``, now in ``encoding``. A cell measure in another file is declared
    external, as CF has it; other references that lead nowhere (the bounds that a selection has lost) go.
    """
    ds = ds.copy()
    external: list[str] = []
    auxiliary: list[Hashable] = []
    for name, variable in ds.variables.items():
        auxiliary += [n for n in str(variable.attrs.pop("coordinates", "")).split() if n in ds.data_vars]
        for key in _REFERENCES:
            value = variable.attrs.pop(key, variable.encoding.get(key))
            if value is None:
                continue
            named = _names_in(key, str(value))
            lost = [n for n in named if n not in ds.variables]
            if key == "ancillary_variables":
                value = " ".join(n for n in named if n not in lost)
            elif key == "cell_measures":
                external += lost
            elif lost:
                log.info("%r: its attribute %s=%r leads to no variable and is left out", name, key, value)
                continue
            if value:
                variable.attrs[key] = value
    if external:
        ds.attrs["external_variables"] = " ".join(dict.fromkeys(external))
    else:
        ds.attrs.pop("external_variables", None)
    return ds.set_coords(auxiliary)


def _names_in(key: str, value: str) -> list[str]:
    words = value.split()
    if key in ("cell_measures", "formula_terms"):
        return [w for w in words if not w.endswith(":")]
    return [w.rstrip(":") for w in words]


def bounds_of(ds: xr.Dataset) -> dict[Hashable, Hashable]:
    """Each bounds variable of ``ds`` and the coordinate that it bounds."""
    pairs = ((v.attrs.get(key), n) for n, v in ds.variables.items() for key in ("bounds", "climatology"))
    return {b: n for b, n in pairs if b in ds.variables}


def is_time(variable: xr.Variable) -> bool:
    """Whether ``variable`` holds dates: NumPy's, or objects of cftime."""
    if variable.dtype.kind != "O":
        return bool(variable.dtype.kind == "M")
    return variable.size > 0 and hasattr(np.asarray(variable[(0,) * variable.ndim]).item(), "calendar")


def _describe_coordinates(ds: xr.Dataset) -> None:
    bounds = bounds_of(ds)
    for kind, axis in (("longitude", "X"), ("latitude", "Y"), ("vertical", "Z"), ("time", "T")):
        for name in coordinates.candidates(ds, kind):  # type: ignore[arg-type]
            if name not in ds.coords:
                continue
            variable = ds.variables[name]
            attrs = variable.attrs
            if kind in ("longitude", "latitude"):
                _describe_angle(attrs, kind)
            elif kind == "vertical":
                if attrs.get("standard_name", "depth") == "depth" and str(name).lower().startswith("dep"):
                    attrs.update({"standard_name": "depth", "positive": attrs.get("positive", "down")})
            elif is_time(variable):
                attrs.setdefault("standard_name", "time")
                # The days of a field's calendar have 86400 s; whether its dates were UTC is not known here.
                if variable.dtype.kind == "M" or variable.values.flat[0].calendar in _LEAPING:
                    attrs.setdefault("units_metadata", "leap_seconds: unknown")
            if variable.dims == (name,):
                attrs.setdefault("axis", axis)
            attrs.setdefault("long_name", _words(attrs.get("standard_name", name)))
            attrs.setdefault("coverage_content_type", "coordinate")
    for name in bounds:
        for key in _INHERITED_BY_BOUNDS:
            ds.variables[name].attrs.pop(key, None)


def _describe_angle(attrs: dict[Any, Any], kind: str) -> None:
    if attrs.setdefault("standard_name", kind) == kind and str(attrs.get("units", "")).strip() in _DEGREES:
        attrs["units"] = "degrees_east" if kind == "longitude" else "degrees_north"


def _describe_fields(ds: xr.Dataset, content_type: str | None) -> None:
    bounds = bounds_of(ds)
    for name, variable in ds.variables.items():
        attrs = variable.attrs
        attrs.pop("actual_range", None)  # of the values that the variable once had
        for key in ("valid_min", "valid_max", "valid_range"):
            if variable.dtype.kind == "f" and np.asarray(attrs.get(key, 0.0)).dtype.kind in "iu":
                log.warning("%r: %s=%r is in packed numbers, its values are not: left out", name, key, attrs.pop(key))
            elif key in attrs and variable.dtype.kind in "fiu":
                attrs[key] = np.asarray(attrs[key]).astype(variable.dtype)[()]
        if name in bounds or name in ds.coords:
            continue
        attrs.setdefault("long_name", _words(attrs.get("standard_name", name)))
        standard = str(attrs.get("standard_name", ""))
        if "temperature" in standard and _TEMPERATURE.fullmatch(str(attrs.get("units", ""))):
            kind = "difference" if "anomaly" in standard or "difference" in standard else "unknown"
            attrs.setdefault("units_metadata", f"temperature: {kind}")
        if content_type is not None and "flag_meanings" not in attrs:
            attrs.setdefault("coverage_content_type", content_type)


def _words(name: Hashable) -> str:
    return str(name).replace("_", " ")


def _derived(ds: xr.Dataset, name: str, sources: tuple[str, ...]) -> dict[str, Any]:
    """Descriptions for want of better ones."""
    bounds = bounds_of(ds)
    fields = [v for n, v in ds.variables.items() if n not in bounds and n not in ds.coords and v.ndim > 0]
    titles = list(dict.fromkeys(str(v.attrs["long_name"]) for v in fields))
    standard = list(dict.fromkeys(str(v.attrs["standard_name"]) for v in fields if "standard_name" in v.attrs))
    title = ", ".join(titles) or name
    sizes = ", ".join(f"{d} {n}" for d, n in ds.sizes.items())
    attrs = {
        "title": title,
        "summary": f"{title} ({sizes}), written by oceankit {__version__}.",
        "keywords": ", ".join(standard or titles) or name,
        "standard_name_vocabulary": _VOCABULARY,
        "source": f"oceankit {__version__}" + (f" from {_few(sources)}" if sources else ""),
    }
    return attrs | ({"keywords_vocabulary": _VOCABULARY} if standard else {})


def _few(names: tuple[str, ...], most: int = 5) -> str:
    short = [n.rstrip("/").rpartition("/")[2] for n in names]
    return ", ".join(short[:most]) + (f" and {len(short) - most} more" if len(short) > most else "")


def _extent(ds: xr.Dataset) -> dict[str, Any]:
    try:
        lon, lat = coordinates.horizontal(ds)
        x, y = coordinates.in_degrees(lon, "longitude"), coordinates.in_degrees(lat, "latitude")
    except coordinates.CoordinateError:
        return {}
    if not (np.isfinite(x).any() and np.isfinite(y).any()):
        return {}
    west, east, south, north = (float(f(v)) for v in (x, y) for f in (np.nanmin, np.nanmax))
    corners = ((south, west), (north, west), (north, east), (south, east), (south, west))
    attrs = {
        "geospatial_lon_min": west,
        "geospatial_lon_max": east,
        "geospatial_lon_units": "degrees_east",
        "geospatial_lat_min": south,
        "geospatial_lat_max": north,
        "geospatial_lat_units": "degrees_north",
        # EPSG:4326 has the latitude first.
        "geospatial_bounds": f"POLYGON (({', '.join(f'{a!r} {b!r}' for a, b in corners)}))",
        "geospatial_bounds_crs": "EPSG:4326",
    }
    for key, values in (("lon", x), ("lat", y)):
        spacing = _spacing(values)
        if spacing:
            attrs[f"geospatial_{key}_resolution"] = f"{spacing} degree"
    return attrs


def _spacing(values: np.ndarray) -> str:
    """The distance of neighbours, the typical one where it varies."""
    steps = np.abs(np.diff(values, axis=-1 if values.ndim == 1 else 0)).ravel()
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not steps.size:
        return ""
    typical = float(np.median(steps))
    even = values.ndim == 1 and np.allclose(steps, typical, rtol=1e-3)
    return f"{typical:.6g}" if even else f"about {typical:.2g}"


def _vertical_extent(ds: xr.Dataset) -> dict[str, Any]:
    try:
        z = coordinates.find(ds, "vertical")
    except coordinates.CoordinateError:
        return {}
    positive = str(z.attrs.get("positive", "")).lower()
    if z.name not in ds.coords or z.dtype.kind not in "fiu" or positive not in ("up", "down") or "units" not in z.attrs:
        return {}
    if not np.isfinite(z.values).any():
        return {}
    spacing = _spacing(np.atleast_1d(z.values)) if z.ndim < 2 else ""
    return {
        "geospatial_vertical_min": float(np.nanmin(z.values)),
        "geospatial_vertical_max": float(np.nanmax(z.values)),
        "geospatial_vertical_units": str(z.attrs["units"]),
        "geospatial_vertical_positive": positive,
        **({"geospatial_vertical_resolution": f"{spacing} {z.attrs['units']}"} if spacing else {}),
    }


def time_coverage(ds: xr.Dataset) -> dict[str, str]:
    """``time_coverage_start``, ``_end``, ``_duration`` and ``_resolution``, where there is a time that decodes."""
    try:
        time = coordinates.find(ds, "time").variable
    except coordinates.CoordinateError:
        return {}
    if not is_time(time):
        return {}
    values = np.sort(time.values[~np.asarray(xr.DataArray(time).isnull())].ravel())
    if not values.size:
        return {}
    seconds = np.array([_seconds(step) for step in np.diff(values)])
    attrs = {
        "time_coverage_start": _iso(values[0]),
        "time_coverage_end": _iso(values[-1]),
        "time_coverage_duration": _duration(_seconds(values[-1] - values[0])),
    }
    if (seconds > 0).any():
        attrs["time_coverage_resolution"] = _cadence(seconds[seconds > 0])
    return attrs


def _seconds(step: Any) -> float:
    return float(step / np.timedelta64(1, "s")) if isinstance(step, np.timedelta64) else float(step.total_seconds())


def _iso(date: Any) -> str:
    if isinstance(date, np.datetime64):
        return f"{np.datetime_as_string(date, unit='s')}Z"
    return f"{date.isoformat(timespec='seconds')}Z"


def _cadence(seconds: np.ndarray) -> str:
    days = seconds / 86400
    for name, low, high in (("P1M", 28, 31), ("P1Y", 365, 366)):
        if np.ptp(days) > 0 and days.min() >= low and days.max() <= high:
            return name
    return _duration(float(np.median(seconds)))


def _duration(seconds: float) -> str:
    """An ISO 8601 duration.

    Examples
    --------
    >>> _duration(86400), _duration(5400), _duration(0)
    ('P1D', 'PT1H30M', 'P0D')
    """
    minutes, rest = divmod(seconds, 60)
    hours, minute = divmod(int(minutes), 60)
    days, hour = divmod(hours, 24)
    date = f"{days}D" if days else ""
    clock = "".join(f"{n:g}{unit}" for n, unit in ((hour, "H"), (minute, "M"), (round(rest, 6), "S")) if n)
    return f"P{date}" + (f"T{clock}" if clock else "") if date or clock else "P0D"
