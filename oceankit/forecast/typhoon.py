"""Wind, pressure and a simple surge of a typhoon, from its track alone.

A parametric vortex (Holland 1980; Holland, Belanger & Fritz 2010) along the track; the inverse barometer and the bathystrophic
storm tide (Freeman, Baer & Jung 1957) at a gauge. With the best track these are a hindcast; with :func:`persist` or
:func:`ensemble` nothing is used that was not known at the start, except that the best track was revised after the storm.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from oceankit.forecast._typhoon_tracks import ensemble, persist, read_jtwc

__all__ = [
    "central_pressure", "ensemble", "inverse_barometer", "persist", "radius_of_maximum_wind", "read_jtwc", "storm_tide", "vortex",
]  # fmt: skip

_AIR, _SEA, _GRAVITY = 1.15, 1025.0, 9.81
_OMEGA, _EARTH = 7.2921e-5, 6371.0  # rad/s, km
_TO_TEN_MINUTES = 0.93  # Harper, Kepert & Ginger (2010), at sea
_REDUCTION = 0.9  # wind at 10 m over gradient wind
_ADVECTED, _TURNED = 0.55, np.deg2rad(20.0)  # of the translation, Lin & Chavas (2012)
_INFLOW = np.deg2rad(20.0)
_FRICTION = 2.5e-3  # of the bottom
MODELS = ("holland1980", "holland2010")


def central_pressure(vmax: Any) -> Any:
    """Central pressure (hPa) from the highest wind: Atkinson & Holliday (1977) for the western North Pacific.

    Parameters
    ----------
    vmax
        Highest 1-minute wind in m/s; a number, array or DataArray.

    Examples
    --------
    >>> round(float(central_pressure(75 * 1852 / 3600)), 1)
    967.5
    """
    return 1010.0 - (np.maximum(vmax, 0.0) * 3600 / 1852 / 6.7) ** (1 / 0.644)


def radius_of_maximum_wind(vmax: Any, lat: Any) -> Any:
    """Radius of maximum wind in km: Willoughby, Darling & Rahn (2006), equation 7a, a mean over Atlantic storms.

    A single storm may be four times larger: give what is known of it instead.

    Examples
    --------
    >>> round(float(radius_of_maximum_wind(38.6, 27.0)))
    40
    """
    return 46.4 * np.exp(-0.0155 * vmax + 0.0169 * np.abs(lat))


def vortex(
    track: xr.Dataset,
    *,
    lat: Any,
    lon: Any,
    time: Any,
    model: str = "holland1980",
    rmax: float | None = None,
    ambient: float = 1010.0,
) -> xr.Dataset:
    """Wind and pressure of a typhoon at places and times.

    The wind at 10 m, means over 10 minutes: the symmetric vortex, turned inwards by 20 degrees, and a share of the storm's own
    motion (0.55 of it, turned by 20 degrees) that fades with the vortex. Together the highest wind is that of the track, to a few
    per cent.

    Parameters
    ----------
    track
        ``lat``, ``lon``, ``vmax`` (m/s, 1 minute) and maybe ``mslp`` (hPa) along ``time``, maybe along ``member``;
        linear between.
    lat, lon
        Places in degrees, shape (n,) or numbers.
    time
        UTC, within the track.
    model
        ``"holland1980"`` (gradient wind of the pressure profile) or ``"holland2010"`` (surface wind with an exponent that
        falls from 0.5 at the radius of maximum wind by 0.0055 in 100 km, in place of outer observations).
    rmax
        Radius of maximum wind in km; by default :func:`radius_of_maximum_wind`.
    ambient
        Pressure far away, hPa.

    Returns
    -------
    Dataset
        ``u``, ``v`` (m/s), ``pressure`` (hPa) along (``member``,) ``time``, ``point``. Missing central pressures are those of
        :func:`central_pressure`.

    Raises
    ------
    ValueError
        If the model is unknown, a time lies outside the track, or a variable is missing.

    Notes
    -----
    Holland (1980, Mon. Wea. Rev. 108, 1212), equations 3-6; the shape B from the highest wind, kept in his range of 1 to 2.5.
    Holland, Belanger & Fritz (2010, Mon. Wea. Rev. 138, 4393), equations 6 and 7. Asymmetry: Lin & Chavas (2012).

    Examples
    --------
    >>> when = np.array(["2000-01-01T00", "2000-01-01T06"], "datetime64[ns]")
    >>> values = {"lat": [20.0, 20.0], "lon": [130.0, 130.0], "vmax": [50.0, 50.0], "mslp": [940.0, 940.0]}
    >>> track = xr.Dataset({k: ("time", v) for k, v in values.items()}, coords={"time": when})
    >>> eye = vortex(track, lat=20.0, lon=[130.0, 130.3], time=when[:1], rmax=31.4)
    >>> eye.pressure.values.round(0), np.hypot(eye.u, eye.v).values.round(1)
    (array([[940., 966.]]), array([[ 0. , 45.8]]))
    """
    if model not in MODELS:
        raise ValueError(f"model={model!r} is none of {', '.join(MODELS)}")
    at = _positions(track, time)
    y, x = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (lat, lon))
    y, x = np.broadcast_arrays(y, x)
    r, east, north = _away(at, y, x)
    low = np.where(np.isnan(at["mslp"]), central_pressure(at["vmax"]), at["mslp"])[..., None]
    drop = np.maximum(ambient - low, 1.0) * 100
    motion = np.hypot(at["east"], at["north"])
    top = np.maximum(at["vmax"] * _TO_TEN_MINUTES - _ADVECTED * motion, 0.5 * at["vmax"] * _TO_TEN_MINUTES)[..., None]
    radius = np.broadcast_to(
        radius_of_maximum_wind(at["vmax"], at["lat"]) if rmax is None else float(rmax), motion.shape
    )[..., None]
    coriolis = np.abs(2 * _OMEGA * np.sin(np.deg2rad(at["lat"])))[..., None]
    shape = np.clip((top / _REDUCTION) ** 2 * _AIR * np.e / drop, 1.0, 2.5)
    if model == "holland2010":
        shape = np.clip(top**2 * _AIR * np.e / drop, 0.5, 2.5)
    ratio = (radius / np.maximum(r, 1e-3)) ** shape
    pressure = low + drop / 100 * np.exp(-ratio)
    if model == "holland1980":
        half = r * 1000 * coriolis / 2
        wind = np.sqrt(ratio * np.exp(1 - ratio) * (top / _REDUCTION) ** 2 + half**2) - half
        wind = wind * _REDUCTION
    else:
        power = np.clip(0.5 - 0.0055 * np.maximum(r - radius, 0) / 100, 0.3, 0.5)
        wind = (ratio * np.exp(1 - ratio)) ** power * top
    sign = np.where(at["lat"] >= 0, 1.0, -1.0)[..., None]
    length = np.maximum(np.hypot(east, north), 1e-9)
    # Around the centre, counter-clockwise in the north, and turned inwards.
    around_e, around_n = -sign * north / length, sign * east / length
    u = wind * (around_e * np.cos(_INFLOW) - east / length * np.sin(_INFLOW))
    v = wind * (around_n * np.cos(_INFLOW) - north / length * np.sin(_INFLOW))
    share = _ADVECTED * wind / np.maximum(top, 1e-9)
    turn = sign * _TURNED
    u = u + share * (at["east"][..., None] * np.cos(turn) - at["north"][..., None] * np.sin(turn))
    v = v + share * (at["east"][..., None] * np.sin(turn) + at["north"][..., None] * np.cos(turn))
    dims = (*at["dims"], "time", "point")
    coords = {"time": at["time"], "lat": ("point", y), "lon": ("point", x)}
    out = xr.Dataset({"u": (dims, u), "v": (dims, v), "pressure": (dims, pressure)}, coords=coords)
    for name, text in (("u", "eastward wind at 10 m"), ("v", "northward wind at 10 m")):
        out[name].attrs = {"units": "m s-1", "long_name": text, "averaging": "10 minutes"}
    out["pressure"].attrs = {"units": "hPa", "long_name": "air pressure at sea level"}
    return out.assign_attrs(track.attrs | {"vortex": model, "ambient_pressure": ambient})


def _positions(track: xr.Dataset, time: Any) -> dict[str, Any]:
    """The track at ``time``: (member,) time arrays, and the motion in m/s."""
    missing = [n for n in ("lat", "lon", "vmax", "time") if n not in track.variables]
    if missing:
        raise ValueError(f"the track has no {missing}; it needs lat, lon, vmax along time, see read_jtwc")
    when = np.atleast_1d(np.asarray(time)).astype("datetime64[ns]")
    known = track["time"].values.astype("datetime64[ns]")
    outside = (when < known[0]) | (when > known[-1])
    if outside.any():
        raise ValueError(
            f"time {when[outside][0]} is outside the track, which runs from {known[0]} to {known[-1]}; cut the times, or "
            "carry the track on with persist"
        )
    dims = tuple(d for d in track["lat"].dims if d != "time")
    seconds = (known - known[0]) / np.timedelta64(1, "s")
    wanted = (when - known[0]) / np.timedelta64(1, "s")
    at = np.clip(np.searchsorted(seconds, wanted, side="right") - 1, 0, seconds.size - 2)
    part = (wanted - seconds[at]) / (seconds[at + 1] - seconds[at])
    out: dict[str, Any] = {"time": when, "dims": dims}
    for name in ("lat", "lon", "vmax", "mslp"):
        values = (
            track[name].transpose(*dims, "time").values.astype(float)
            if name in track
            else np.full_like(out["lat_all"], np.nan)
        )
        if name == "lon":
            values = np.rad2deg(np.unwrap(np.deg2rad(values), axis=-1))
        out[f"{name}_all"] = values
        out[name] = values[..., at] * (1 - part) + values[..., at + 1] * part
    spans = seconds[at + 1] - seconds[at]
    metre = np.pi * _EARTH / 180 * 1000
    out["north"] = (out["lat_all"][..., at + 1] - out["lat_all"][..., at]) * metre / spans
    out["east"] = (
        (out["lon_all"][..., at + 1] - out["lon_all"][..., at]) * metre * np.cos(np.deg2rad(out["lat"])) / spans
    )
    return out


def _away(at: dict[str, Any], y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of the places from the centre (km), and its eastward and northward parts."""
    lat0, lon0 = np.deg2rad(at["lat"])[..., None], np.deg2rad(at["lon"])[..., None]
    lat1, lon1 = np.deg2rad(y), np.deg2rad(x)
    dlon = (lon1 - lon0 + np.pi) % (2 * np.pi) - np.pi
    h = np.sin((lat1 - lat0) / 2) ** 2 + np.cos(lat0) * np.cos(lat1) * np.sin(dlon / 2) ** 2
    return 2 * _EARTH * np.arcsin(np.sqrt(np.clip(h, 0, 1))), dlon * np.cos((lat0 + lat1) / 2), lat1 - lat0


def inverse_barometer(pressure: Any, *, ambient: float = 1010.0) -> Any:
    """The rise of the sea (m) where the air pressure is ``pressure`` (hPa) instead of ``ambient``: 1 cm for each hPa.

    Examples
    --------
    >>> round(float(inverse_barometer(960.0)), 3)
    0.497
    """
    return (ambient - pressure) * 100 / (_SEA * _GRAVITY)


def storm_tide(
    track: xr.Dataset,
    *,
    lat: float,
    lon: float,
    time: Any,
    seaward: float,
    depths: Sequence[tuple[float, float]],
    coefficient: float = 1.0,
    spin_up: int = 48,
    **options: Any,
) -> xr.Dataset:
    """A first estimate of the surge at a gauge on an open coast: inverse barometer and bathystrophic storm tide.

    Along one line from the gauge to the edge of the shelf the onshore wind stress, and the Coriolis force on the current along
    the coast that the wind drives, are balanced by the slope of the surface. Nothing of the coast's shape, of tides, waves and
    flooding is in it. Nothing is fitted either, unless ``coefficient`` is a number found from past storms at that gauge.

    Parameters
    ----------
    track, **options
        For :func:`vortex`.
    lat, lon
        The gauge, degrees.
    time
        Hourly times, UTC, within the track.
    seaward
        Direction of the line from the gauge out to sea, degrees clockwise from north.
    depths
        Depth in m at distances in km, rising: ``[(0, 8), (80, 50), (250, 100)]``; linear between.
    coefficient
        Factor on the wind's part.
    spin_up
        Hours before the first of ``time`` from which the current along the coast starts at rest, as far as the track reaches.

    Returns
    -------
    Dataset
        ``inverse_barometer``, ``wind`` and their sum ``surge`` in m, along (``member``,) ``time``.

    Raises
    ------
    ValueError
        If the times are not hourly, or depths not positive along rising distances.

    Notes
    -----
    Freeman, Baer & Jung (1957, J. Mar. Res. 16, 12). Drag of Large & Pond (1981), at most 2.4e-3 (Powell et al. 2003); bottom
    friction quadratic with 2.5e-3.
    """
    when = np.atleast_1d(np.asarray(time)).astype("datetime64[ns]")
    hour = np.timedelta64(1, "h")
    if when.size > 1 and (np.diff(when) != hour).any():
        raise ValueError(f"time has a step of {np.diff(when)[np.diff(when) != hour][0]}; give hourly times")
    far, deep = np.array(depths, dtype=float).T
    if far.size < 2 or (np.diff(far) <= 0).any() or (deep <= 0).any():
        raise ValueError(f"depths={list(depths)!r} need at least two rising distances (km) with depths above zero (m)")
    first = max(when[0] - spin_up * hour, track["time"].values[0].astype("datetime64[ns]"))
    early = np.arange(when[0], first - hour / 2, -hour)[:0:-1] if first < when[0] else when[:0]
    clock = np.concatenate([early, when])
    edges = np.linspace(far[0], far[-1], 41)
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges) * 1000
    h = np.interp(middle, far, deep)
    out_e, out_n = np.sin(np.deg2rad(seaward)), np.cos(np.deg2rad(seaward))
    places_lat = lat + middle * out_n / (np.pi * _EARTH / 180)
    places_lon = lon + middle * out_e / (np.pi * _EARTH / 180 * np.cos(np.deg2rad(lat)))
    air = vortex(track, lat=np.append(places_lat, lat), lon=np.append(places_lon, lon), time=clock, **options)
    u, v = air["u"].values[..., :-1], air["v"].values[..., :-1]
    speed = np.hypot(u, v)
    drag = np.clip(np.where(speed < 11, 1.2e-3, 4.9e-4 + 6.5e-5 * speed), None, 2.4e-3)
    onshore = -(u * out_e + v * out_n) * _AIR * drag * speed
    # Along the coast, with the coast on the right: where the Coriolis force presses on it in the northern hemisphere.
    along = (u * out_n - v * out_e) * _AIR * drag * speed
    f = 2 * _OMEGA * np.sin(np.deg2rad(lat))
    flow, level = np.zeros(along[..., 0, :].shape), []
    for k in range(clock.size):
        for _ in range(6):  # ten minutes, friction implicit
            flow = (flow + 600 * along[..., k, :] / _SEA) / (1 + 600 * _FRICTION * np.abs(flow) / h**2)
        slope = (onshore[..., k, :] / _SEA + f * flow) / (_GRAVITY * h)
        level.append((slope * width).sum(-1))
    wind = coefficient * np.stack(level, -1)[..., early.size :]
    still = inverse_barometer(air["pressure"].values[..., early.size :, -1], ambient=air.attrs["ambient_pressure"])
    dims = tuple(d for d in air["u"].dims if d != "point")
    out = xr.Dataset(
        {"inverse_barometer": (dims, still), "wind": (dims, wind), "surge": (dims, still + wind)}, {"time": when}
    )
    for name in out:
        out[name].attrs = {"units": "m"}
    return out.assign_attrs(track.attrs | {"coefficient": coefficient})
