"""The observations table: a flat Dataset along ``obs``, checked at the door."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["ATTRS", "ObservationError", "table", "validate"]


class ObservationError(ValueError):
    """Observations cannot be used as they are; the message names the variable, the value and the remedy."""


ATTRS: dict[str, dict[str, str]] = {
    "value": {"long_name": "observed value"},
    "error_std": {"long_name": "standard deviation of the observation error"},
    "lon": {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"},
    "lat": {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"},
    "x": {"long_name": "x on a plane"},
    "y": {"long_name": "y on a plane"},
    "time": {"standard_name": "time", "long_name": "time of observation"},
    "depth": {"standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down"},
    "variable": {"long_name": "CF standard name or field name of what was observed"},
    "flag": {
        "long_name": "QARTOD quality flag",
        "flag_values": np.array([1, 2, 3, 4, 9], np.int8),  # type: ignore[dict-item]
        "flag_meanings": "good not_evaluated suspect bad missing",
    },
}


def table(
    *,
    value: Any,
    error_std: Any,
    lon: Any = None,
    lat: Any = None,
    x: Any = None,
    y: Any = None,
    time: Any = None,
    depth: Any = None,
    variable: Any = None,
    units: str | None = None,
    **more: Any,
) -> xr.Dataset:
    """Observations as a flat Dataset along ``obs`` (CF discrete sampling geometry, feature type point).

    Parameters
    ----------
    value
        Observed values, 1-D of length n.
    error_std
        Standard deviation of each one's error, in the units of ``value``; one number stands for all. Above zero.
    lon, lat
        Positions in degrees. ``x`` and ``y`` instead are positions on a plane.
    time
        datetime64, or anything that converts to it; one for all, or one each.
    depth
        Metres, positive down; one for all, or one each.
    variable
        CF standard name or field name of what was observed; needed where the background has more than one variable.
    units
        Units of ``value`` and ``error_std``; where given, they are held against the background's.
    **more
        Further columns, for example ``platform`` or ``flag`` (QARTOD 1 2 3 4 9; 3, 4 and 9 are not assimilated).

    Raises
    ------
    ObservationError
        If lengths differ, a number is missing, a latitude is beyond a pole, or an error is not above zero.

    Examples
    --------
    >>> obs = table(value=[14.2, 15.1], error_std=0.3, lon=[120.5, 121.0], lat=[36.0, 35.5])
    >>> dict(obs.sizes), float(obs.error_std[1])
    ({'obs': 2}, 0.3)
    """
    planar = lon is None and lat is None
    names = ("x", "y") if planar else ("lon", "lat")
    first, second = (x, y) if planar else (lon, lat)
    if first is None or second is None or (not planar and (x is not None or y is not None)):
        raise ObservationError("observations need positions: give either lon= and lat=, or x= and y=")
    if units is None and isinstance(value, xr.DataArray):
        units = value.attrs.get("units")
    try:
        values = np.atleast_1d(_unmasked(value, np.float64))
    except (TypeError, ValueError) as error:
        raise ObservationError(f"value cannot be taken as numbers: {error}") from None
    if values.ndim != 1:
        raise ObservationError(f"value has {values.ndim} dimensions; flatten it, observations are one list along 'obs'")
    n = values.size
    columns: dict[str, Any] = {"value": values, "error_std": _column("error_std", error_std, n, np.float64)}
    coords: dict[str, Any] = {
        names[0]: _column(names[0], first, n, np.float64),
        names[1]: _column(names[1], second, n, np.float64),
    }
    if time is not None:
        coords["time"] = _times(time, n)
    if depth is not None:
        coords["depth"] = _column("depth", depth, n, np.float64)
    if variable is not None:
        columns["variable"] = _column("variable", variable, n, np.str_)
    for name, column in more.items():
        columns[name] = _column(name, column, n, None)
    ds = xr.Dataset(
        {k: ("obs", v, dict(ATTRS.get(k, {}))) for k, v in columns.items()},
        coords={k: ("obs", v, dict(ATTRS.get(k, {}))) for k, v in coords.items()},
        attrs={"featureType": "point"},
    )
    if units is not None:
        ds["value"].attrs["units"] = ds["error_std"].attrs["units"] = units
    return validate(ds)


def validate(obs: xr.Dataset) -> xr.Dataset:
    """Check a table of observations, made here or elsewhere; returns it unchanged.

    Raises
    ------
    ObservationError
        As for :func:`table`.
    """
    if not isinstance(obs, xr.Dataset):
        raise ObservationError(
            f"observations are a Dataset along 'obs', not a {type(obs).__name__}; make one with table(...)"
        )
    if "obs" not in obs.dims:
        raise ObservationError(f"observations lie along a dimension 'obs'; this Dataset has {tuple(obs.dims)}")
    positions = [n for n in ("lon", "lat") if n in obs.variables] or [n for n in ("x", "y") if n in obs.variables]
    for name in ("value", "error_std"):
        if name not in obs.variables:
            raise ObservationError(f"the observations have no {name!r}; they have {list(obs.variables)}")
    if len(positions) < 2:
        raise ObservationError(f"the observations have no lon and lat (or x and y); they have {list(obs.variables)}")
    if obs.sizes["obs"] == 0:
        raise ObservationError("the table holds no observation at all")
    flags = obs["flag"].values if "flag" in obs.variables else np.full(obs.sizes["obs"], 2)
    strange = ~np.isin(flags, (1, 2, 3, 4, 9))
    if strange.any():
        raise ObservationError(
            f"flag {flags[strange][0]} is none of QARTOD's 1 2 3 4 9 (the first at obs {np.argmax(strange)})"
        )
    wanted = np.isin(flags, (1, 2))
    for name in (*positions, "value", "error_std", *(["depth"] if "depth" in obs.variables else [])):
        values = obs[name].values
        if values.dtype.kind not in "fiu":
            raise ObservationError(f"{name} has dtype {values.dtype}; observations are numbers")
        # A missing value that is flagged as such is on record; one that is not would vanish.
        bad = ~np.isfinite(values) & (wanted if name in ("value", "error_std") else True)
        if bad.any():
            raise ObservationError(
                f"{name} is missing or infinite in {int(bad.sum())} of {bad.size} observations, the first at obs "
                f"{int(np.argmax(bad))}; drop them, or flag them 9"
            )
    bad = (obs["error_std"].values <= 0) & wanted
    if bad.any():
        i = int(np.argmax(bad))
        raise ObservationError(
            f"error_std is {obs['error_std'].values[i]:g} at obs {i} ({int(bad.sum())} such); the standard deviation of "
            "an observation error is above zero"
        )
    if positions[0] == "lon":
        lat, lon = obs["lat"].values, obs["lon"].values
        if (np.abs(lat) > 90).any():
            i = int(np.argmax(np.abs(lat) > 90))
            raise ObservationError(f"lat is {lat[i]:g} at obs {i}; latitudes lie between -90 and 90 degrees")
        if (np.abs(lon) > 540).any():
            i = int(np.argmax(np.abs(lon) > 540))
            raise ObservationError(f"lon is {lon[i]:g} at obs {i}; longitudes are degrees, -180..180 or 0..360")
    if "time" in obs.variables and obs["time"].dtype.kind != "M":
        raise ObservationError(
            f"time has dtype {obs['time'].dtype}; observations have datetime64 times, as table(...) makes them"
        )
    if "time" in obs.variables and np.isnat(obs["time"].values).any():
        raise ObservationError(
            f"time is missing at obs {int(np.argmax(np.isnat(obs['time'].values)))}; drop those observations"
        )
    return obs


def _column(name: str, given: Any, n: int, dtype: Any) -> np.ndarray:
    try:
        values = _unmasked(given, dtype)
    except (TypeError, ValueError) as error:
        raise ObservationError(f"{name} cannot be taken as numbers: {error}") from None
    if values.ndim == 0:
        return np.full(n, values)
    if values.shape != (n,):
        raise ObservationError(
            f"{name} has shape {values.shape}, but there are {n} values; give one each, or one for all"
        )
    return values


def _unmasked(given: Any, dtype: Any) -> np.ndarray:
    """An array whose masked values are NaN, so that they are seen."""
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        return np.ma.filled(given.astype(np.float64), np.nan)
    return np.asarray(given) if dtype is None else np.asarray(given, dtype)


def _times(given: Any, n: int) -> np.ndarray:
    values = np.asarray(given)
    if values.dtype.kind not in "MUSO":
        raise ObservationError(
            f"time has dtype {values.dtype}; numbers do not say since when: give datetime64, datetimes or ISO dates"
        )
    if values.dtype.kind == "O" and any(hasattr(v, "calendar") for v in values.ravel()[:1]):
        values = np.array([v.isoformat() for v in values.ravel()]).reshape(values.shape)
    try:
        stamps = pd.to_datetime(
            pd.Series(np.atleast_1d(values).ravel()), utc=True, format="ISO8601" if values.dtype.kind in "US" else None
        )
        times = stamps.dt.tz_localize(None).dt.as_unit("ns").to_numpy()
    except (TypeError, ValueError, OverflowError) as error:
        raise ObservationError(f"time cannot be taken as datetime64: {error}") from None
    return _column("time", times if values.ndim else times[0], n, None)
