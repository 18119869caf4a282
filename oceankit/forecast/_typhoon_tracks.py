"""Tracks of typhoons: read, carried on by persistence, and an ensemble from the errors that persistence made before."""

import os
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["KNOT", "STEP", "as_time", "ensemble", "persist", "read_jtwc"]

KNOT = 1852 / 3600  # m/s
STEP = np.timedelta64(6, "h")
_DEGREE = 111.195  # km
_COLUMNS = ("Year", "Month", "Day", "Hour", "Lat", "Lon", "VMax", "MSLP", "SN")


def read_jtwc(path: str | os.PathLike[str], *, storm: int | str | None = None) -> xr.Dataset:
    """Best tracks of the Joint Typhoon Warning Center from a CSV table.

    Parameters
    ----------
    path
        Columns Year, Month, Day, Hour (UTC), Lat, Lon, VMax (knots), MSLP (hPa, empty or 0 where missing), SN (year and number).
    storm
        SN of one storm, for example ``199714``; by default all of them.

    Returns
    -------
    Dataset
        One storm: ``lat``, ``lon`` (degrees), ``vmax`` (m/s, highest mean wind of 1 minute at 10 m), ``mslp`` (hPa, NaN where
        missing) along ``time``. All storms: the same along ``fix``, with ``time`` and ``storm``.

    Raises
    ------
    ValueError
        If columns are missing or there is no such storm.

    Examples
    --------
    >>> import io
    >>> text = "Year,Month,Day,Hour,Lat,Lon,VMax,MSLP,SN\\n1997,8,18,0,26.6,124.0,75,,199714\\n1997,8,18,6,27.4,122.7,75,,199714"
    >>> read_jtwc(io.StringIO(text), storm=199714).vmax.values.round(1)
    array([38.6, 38.6])
    """
    table = pd.read_csv(path)
    missing = [c for c in _COLUMNS if c not in table.columns]
    if missing:
        raise ValueError(f"the table of tracks has no columns {missing}; it needs {list(_COLUMNS)}")
    if storm is not None:
        table = table[table["SN"].astype(str) == str(storm)]
        if table.empty:
            raise ValueError(f"storm={storm!r} is not in the table; its SN are like 199714, year and number")
    clock = pd.to_datetime(table[["Year", "Month", "Day", "Hour"]].rename(columns=str.lower)).to_numpy("datetime64[ns]")
    dim = "fix" if storm is None else "time"
    pressure = table["MSLP"].to_numpy(float)
    out = xr.Dataset(
        {
            "lat": (dim, table["Lat"].to_numpy(float), {"units": "degrees_north"}),
            "lon": (dim, table["Lon"].to_numpy(float), {"units": "degrees_east"}),
            "vmax": (dim, table["VMax"].to_numpy(float) * KNOT, {"units": "m s-1", "averaging": "1 minute"}),
            "mslp": (dim, np.where(pressure > 0, pressure, np.nan), {"units": "hPa"}),
        },
        coords={"time": (dim, clock)},
        attrs={"source": "JTWC best track", "kind": "best track"},
    )
    if storm is None:
        return out.assign_coords(storm=(dim, table["SN"].astype(str).to_numpy(object)))
    return out.drop_duplicates("time").sortby("time").assign_attrs(storm=str(storm))


def as_time(value: Any) -> np.datetime64:
    """A date as datetime64[ns]."""
    return np.datetime64(value, "ns")


def _until(track: xr.Dataset, issue: Any, motion: int) -> tuple[xr.Dataset, np.ndarray]:
    """What is known at ``issue``, and the displacement in degrees of one step."""
    start = as_time(issue)
    known = track.sel(time=slice(None, start))
    back = start - np.timedelta64(motion, "h")
    need = [t for t in (back, start) if t not in known.time.values]
    if need:
        raise ValueError(
            f"the track has no position at {need[0]}; issue={issue!r} must be one of its times, and {motion} hours before it too"
        )
    last, before = known.sel(time=start), known.sel(time=back)
    east = (float(last.lon) - float(before.lon) + 180) % 360 - 180
    return known, np.array([float(last.lat) - float(before.lat), east]) * (6 / motion)


def persist(track: xr.Dataset, issue: Any, *, hours: int = 72, motion: int = 12) -> xr.Dataset:
    """The track as it could be foreseen without any model: the same motion, the same intensity.

    Parameters
    ----------
    track
        As :func:`read_jtwc`; nothing after ``issue`` is looked at.
    issue
        Time of the last known position.
    hours
        How far ahead.
    motion
        Hours before ``issue`` from which the motion is taken.

    Returns
    -------
    Dataset
        The known track and its continuation every 6 hours.

    Examples
    --------
    >>> time = np.array(["2000-01-01T00", "2000-01-01T06", "2000-01-01T12"], "datetime64[ns]")
    >>> values = {"lat": [10.0, 10.5, 11.0], "lon": [150.0, 149.0, 148.0], "vmax": [30.0] * 3, "mslp": [np.nan] * 3}
    >>> track = xr.Dataset({k: ("time", v) for k, v in values.items()}, coords={"time": time})
    >>> persist(track, "2000-01-01T12", hours=12).lon.values
    array([150., 149., 148., 147., 146.])
    """
    known, step = _until(track, issue, motion)
    n = np.arange(1, hours // 6 + 1)
    last = known.isel(time=-1)
    ahead = xr.Dataset(
        {
            "lat": ("time", float(last.lat) + n * step[0]),
            "lon": ("time", float(last.lon) + n * step[1]),
            "vmax": ("time", np.full(n.size, float(last.vmax))),
            "mslp": ("time", np.full(n.size, float(last.mslp))),
        },
        coords={"time": as_time(issue) + n * STEP},
    )
    out = xr.concat([known, ahead], "time", combine_attrs="override")
    return out.assign_attrs(known.attrs | {"kind": "persistence", "issue": str(as_time(issue))[:16]})


def _errors(
    past: xr.Dataset, steps: int, box: tuple[float, float, float, float], least: float, motion: int
) -> np.ndarray:
    """Errors (starts, steps, 3) of persistence: km to the right of the motion, km ahead, and the share of vmax that is left."""
    found = []
    west, east, south, north = box
    back = motion // 6
    for _, one in past.groupby("storm"):
        lat, lon, vmax = (np.asarray(one[n].values, dtype=float) for n in ("lat", "lon", "vmax"))
        gaps = np.diff(one["time"].values)
        for k in range(back, lat.size - steps):
            inside = west <= lon[k] <= east and south <= lat[k] <= north
            if not inside or vmax[k] < least or (gaps[k - back : k + steps] != STEP).any():
                continue
            scale = np.array([_DEGREE, _DEGREE * np.cos(np.deg2rad(lat[k]))])
            step = np.array([lat[k] - lat[k - back], lon[k] - lon[k - back]]) / back
            went = np.stack([lat[k + 1 : k + steps + 1] - lat[k], lon[k + 1 : k + steps + 1] - lon[k]], 1)
            wrong = (went - np.arange(1, steps + 1)[:, None] * step) * scale
            north_, east_ = step * scale / max(float(np.hypot(*(step * scale))), 1e-9)
            right = wrong[:, 1] * north_ - wrong[:, 0] * east_
            ahead = wrong[:, 0] * north_ + wrong[:, 1] * east_
            found.append(np.stack([right, ahead, vmax[k + 1 : k + steps + 1] / vmax[k]], 1))
    return np.array(found).reshape(-1, steps, 3)


def ensemble(
    track: xr.Dataset,
    issue: Any,
    past: xr.Dataset,
    *,
    box: tuple[float, float, float, float],
    members: int = 100,
    hours: int = 72,
    motion: int = 12,
    least: float = 33.0,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Tracks as they could be foreseen, with the errors that persistence made for earlier storms nearby.

    Each member is the persistent track plus the whole error, in position and intensity, of one start of an earlier storm, turned
    to the present motion: what storms there usually do next (turn, slow down, die over land) is in it.

    Parameters
    ----------
    track, issue, hours, motion
        As in :func:`persist`.
    past
        Earlier storms, :func:`read_jtwc` of all; fixes not before the first of this track are left out.
    box
        West, east, south, north of the starts that count.
    members
        How many, drawn with replacement.
    least
        Least ``vmax`` (m/s) of a start.
    rng
        Seed or generator.

    Returns
    -------
    Dataset
        ``lat``, ``lon``, ``vmax``, ``mslp`` (NaN ahead) along ``member`` and ``time``; the number of starts is an attribute.

    Raises
    ------
    ValueError
        If fewer than 20 starts of earlier storms fit.
    """
    known, step = _until(track, issue, motion)
    earlier = past.isel(fix=np.flatnonzero(past["time"].values < track["time"].values.min()))
    if "storm" in track.attrs:
        earlier = earlier.isel(fix=np.flatnonzero(earlier["storm"].values != track.attrs["storm"]))
    steps = hours // 6
    errors = _errors(earlier, steps, box, least, motion)
    if len(errors) < 20:
        raise ValueError(
            f"{len(errors)} starts of earlier storms lie in box={box} with {hours} hours after them; take a wider box, fewer "
            "hours or more storms"
        )
    pick = errors[np.random.default_rng(rng).integers(len(errors), size=members)]
    base = persist(track, issue, hours=hours, motion=motion)
    out = base.expand_dims(member=members).copy(deep=True)
    lat0 = float(known.lat[-1])
    cos = np.cos(np.deg2rad(lat0))
    moved = step * np.array([_DEGREE, _DEGREE * cos])
    north, east = moved / max(float(np.hypot(*moved)), 1e-9)
    ahead = slice(known.sizes["time"], None)
    out["lat"].values[:, ahead] += (pick[..., 1] * north - pick[..., 0] * east) / _DEGREE
    out["lon"].values[:, ahead] += (pick[..., 1] * east + pick[..., 0] * north) / (_DEGREE * cos)
    out["vmax"].values[:, ahead] *= pick[..., 2]
    out["mslp"].values[:, ahead] = np.nan
    return out.assign_attrs(base.attrs | {"kind": "persistence with past errors", "starts": len(errors)})
