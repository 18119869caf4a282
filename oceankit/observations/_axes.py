"""Where a field's values are in depth and time, and between which two of them an observation lies."""

from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.fields import coordinates
from oceankit.observations.table import ObservationError

__all__ = ["Bracket", "along_axis", "bracket", "elapsed", "in_nanoseconds", "place_of"]


class Bracket(NamedTuple):
    """The two places of an axis around each observation."""

    lower: np.ndarray
    """int64 (obs,)"""
    upper: np.ndarray
    share: np.ndarray
    """float64 (obs,): weight of the upper one; NaN outside"""


def place_of(field: xr.DataArray, kind: Literal["depth", "time"], name: str | None = None) -> xr.DataArray | None:
    """The depth (metres, positive down) or time (days) of a field: 1-D along a dimension, a number, or None.

    Raises
    ------
    ObservationError
        If depth is in units that are no length, or times were not decoded.
    """
    which: Literal["vertical", "time"] = "vertical" if kind == "depth" else "time"
    if name is None and not coordinates.candidates(field, which):
        return None
    found = coordinates.find(field, which, name=name)
    if found.ndim > 1:
        if name is not None:
            raise ObservationError(f"{found.name!r} depends on {found.dims}; a {kind} along one dimension is needed")
        return None
    values = elapsed(found.values) if kind == "time" else _metres(found)
    return xr.DataArray(values, dims=found.dims, name=found.name)


def _metres(depth: xr.DataArray) -> np.ndarray:
    """Depth in metres, positive down."""
    values = np.asarray(depth.values, np.float64)
    units = str(depth.attrs.get("units", "")).strip().lower()
    scale = {"m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0, "cm": 0.01, "centimeters": 0.01,
             "centimeter": 0.01, "km": 1000.0, "kilometers": 1000.0}.get(units)  # fmt: skip
    if scale is None and units == "":
        says_depth = depth.attrs.get("standard_name") in ("depth", "height", "altitude") or "positive" in depth.attrs
        scale = 1.0 if says_depth or str(depth.name).lower().startswith(("depth", "z")) else None
    if scale is None:
        given = f"has units {units!r}" if units else "has no units"
        raise ObservationError(
            f"{depth.name!r} is taken for the depth, but {given}; give it in metres (set its units attribute to 'm' if it is), "
            "interpolate the field to depths first, or drop the coordinate"
        )
    # Heights: depth is positive down.
    upwards = depth.attrs.get("positive") == "up" or (values.size > 0 and values.max() <= 0 and values.min() < 0)
    return values * scale * (-1.0 if upwards else 1.0)


def elapsed(times: Any) -> np.ndarray:
    """Days since 1970 as float64, of datetime64 or cftime dates."""
    values = np.asarray(times)
    if values.dtype.kind == "M":
        return (values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    if values.dtype.kind == "O":
        # cftime: the date as written, on the proleptic Gregorian calendar (a 30 February has no place there).
        try:
            stamps = [np.datetime64(v.strftime("%Y-%m-%dT%H:%M:%S"), "ns") for v in values.ravel()]
        except ValueError as error:
            raise ObservationError(
                f"the field's dates cannot be compared with those of the observations: {error}"
            ) from None
        return elapsed(np.array(stamps).reshape(values.shape))
    raise ObservationError(f"times of dtype {values.dtype} were not decoded; open the file with decoded times")


def in_nanoseconds(value: Any, name: str) -> int:
    """A duration above zero as whole nanoseconds: a timedelta, or text such as ``"6h"``."""
    try:
        duration = None if isinstance(value, int | float | np.number) else pd.Timedelta(value)
    except (TypeError, ValueError):
        duration = None
    if duration is None or pd.isna(duration) or duration <= pd.Timedelta(0):
        raise ObservationError(f"{name}={value!r} is no duration above zero; give a timedelta or text such as '6h'")
    return int(duration.as_unit("ns").value)


def bracket(axis: xr.DataArray, obs: xr.Dataset, kind: Literal["depth", "time"]) -> Bracket:
    """The two places of a 1-D axis around each observation; half a step beyond its ends the end holds.

    Raises
    ------
    ObservationError
        If the observations have no depth (time), or a value of the axis is there twice.
    """
    if kind not in obs.variables:
        raise ObservationError(
            f"the field has {axis.size} values of {axis.name!r}, but the observations have no {kind}; give table(..., {kind}=...)"
        )
    at = elapsed(obs["time"].values) if kind == "time" else obs["depth"].values
    order = np.argsort(axis.values, kind="stable")
    places = axis.values[order]
    if (np.diff(places) == 0).any():
        twice = places[:-1][np.diff(places) == 0][0]
        raise ObservationError(f"{axis.name!r} of the field holds a value twice ({twice:g}); drop one of them")
    upper = np.clip(np.searchsorted(places, at, side="right"), 1, places.size - 1)
    share = (at - places[upper - 1]) / (places[upper] - places[upper - 1])
    # A daily mean or a layer reaches half a step beyond the last one; farther out is outside.
    share = np.where((share < -0.5) | (share > 1.5), np.nan, np.clip(share, 0.0, 1.0))
    return Bracket(order[upper - 1], order[upper], share)


def along_axis(
    there: xr.DataArray, field: xr.DataArray, obs: xr.Dataset, kind: Literal["depth", "time"], name: str | None
) -> xr.DataArray:
    """Linear along the depth or the time of ``field``; ``there`` are its values at the places of the observations."""
    axis = place_of(field, kind, name)
    if axis is None or axis.ndim == 0:
        return there
    dim = axis.dims[0]
    if axis.size == 1:
        return there.isel({dim: 0}, drop=True)
    around = bracket(axis, obs, kind)
    low = there.isel({dim: xr.DataArray(around.lower, dims="obs")}).drop_vars([axis.name], errors="ignore")
    high = there.isel({dim: xr.DataArray(around.upper, dims="obs")}).drop_vars([axis.name], errors="ignore")
    weight = xr.DataArray(around.share, dims="obs")
    mixed = low * (1 - weight) + high * weight
    # A missing neighbour with no weight is no loss.
    return xr.where(weight == 0, low, xr.where(weight == 1, high, mixed)).astype(there.dtype)
