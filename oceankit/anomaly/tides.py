"""The tide: analysed from a record, or predicted from published constants; on UTide, the extra ``oceankit[forecast]``.

Constituents are a Dataset along ``constituent``: ``amplitude`` (m), Greenwich ``phase`` (degrees), ``frequency`` (degrees per
hour), and the ``mean_level`` (m) above a vertical datum that is named; along ``station`` too where there are several.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.anomaly import _tide_constants as names
from oceankit.anomaly._tide_tables import as_table, metres, table_of, times_of
from oceankit.fields.coordinates import candidates, find

__all__ = ["analyse", "predict", "read_ticon"]


def analyse(
    sea_level: xr.DataArray,
    *,
    lat: float | Sequence[float] | xr.DataArray | None = None,
    time: str | None = None,
    constituents: str | Sequence[str] = "auto",
    method: str = "ols",
    nodal: bool = True,
    rayleigh: float = 1.0,
) -> xr.Dataset:
    """Tidal constituents of a record of sea level.

    No trend is fitted: two years cannot tell one from slow weather, and carried on beyond the record it does harm (measured on
    eight gauges: it made the residual of the following year a tenth larger).

    Parameters
    ----------
    sea_level
        Along time, and along one more dimension where there are several stations; in m, cm or mm. Missing hours are left out of
        the fit. Times are UTC.
    lat
        Latitude in degrees, one for each station; by default that of the data.
    time
        Name of the time coordinate, instead of looking.
    constituents
        ``"auto"``: those that the length of the record can tell apart; or UTide's names.
    method
        ``"ols"`` or ``"robust"`` (iteratively reweighted: slower, and storms weigh less).
    nodal
        Whether amplitudes are freed of the 18.6-year modulation, at each time exactly.
    rayleigh
        For ``"auto"``: least distance of frequencies, in units of one over the length of the record.

    Returns
    -------
    Dataset
        ``amplitude`` (m) and ``phase`` (degrees, Greenwich, after UTide's tables), ``frequency`` (degrees per hour) along
        ``constituent``, ``mean_level`` (m); a constituent that one station cannot tell is NaN there. ``vertical_datum`` and the
        period fitted are among the attributes.

    Raises
    ------
    ValueError
        If the units, latitude or time are missing or unusable, or a station has too few values.

    Notes
    -----
    Codiga, D. L. (2011): Unified Tidal Analysis and Prediction Using the UTide Matlab Functions, as the package ``utide``.

    Examples
    --------
    >>> hours = np.arange("2012-01-01", "2012-03-01", dtype="datetime64[h]").astype("datetime64[ns]")
    >>> level = predict({"M2": (1.2, 40.0), "K1": (0.3, 200.0)}, hours, lat=30.0)
    >>> found = analyse(level, lat=30.0)
    >>> found.amplitude.sel(constituent=["M2", "K1"]).values.round(3)
    array([1.2, 0.3])
    """
    utide = require("utide", extra="forecast", purpose="tidal analysis")
    if method not in ("ols", "robust"):
        raise ValueError(f"method={method!r} is none of 'ols', 'robust'")
    level = metres(sea_level, "the sea level")
    clock = times_of(level, time)
    others = [d for d in level.dims if d != clock.dims[0]]
    if len(others) > 1:
        raise ValueError(f"the sea level has dimensions {level.dims}; analyse time and at most one more, the stations")
    rows = level.transpose(*others, clock.dims[0]).values.reshape(-1, clock.size)
    lats = _latitudes(level, lat, rows.shape[0])
    stamps = clock.values.astype("datetime64[ns]")
    options = {"constit": constituents, "method": method, "nodal": nodal, "trend": False, "Rayleigh_min": rayleigh}
    options |= {"conf_int": "none", "verbose": False}
    found = []
    for k, row in enumerate(rows):
        _enough(row, k, level, others)
        known = np.isfinite(row)
        try:
            coef = utide.solve(stamps[known], row[known].astype(np.float64), lat=names.latitude(lats[k]), **options)
        except KeyError as error:
            raise ValueError(f"constituents has {error}, which UTide does not know; its names are like 'M2'") from error
        found.append({n: (a, g) for n, a, g in zip(coef.name, coef.A, coef.g, strict=True)} | {"": (coef.mean, 0.0)})
    out = table_of(found, others, level, "utide")
    out = out.assign_coords(lat=(others, lats.reshape([level.sizes[d] for d in others]), {"units": "degrees_north"}))
    out.attrs |= {"nodal": int(nodal), "fit_method": method, "fit_start": str(stamps[0]), "fit_end": str(stamps[-1])}
    if "vertical_datum" in sea_level.attrs:
        out.attrs["vertical_datum"] = sea_level.attrs["vertical_datum"]
    return out


def _enough(row: np.ndarray, k: int, level: xr.DataArray, others: Sequence[Any]) -> None:
    known = int(np.isfinite(row).sum())
    if known >= 25:
        return
    where = f" at {others[0]} {level[others[0]].values[k] if others[0] in level.coords else k!r}" if others else ""
    raise ValueError(
        f"the sea level{where} has {known} values; a tide needs at least 25, and a month to tell M2 from N2"
    )


def _latitudes(level: xr.DataArray, lat: Any, size: int) -> np.ndarray:
    if lat is None:
        if not candidates(level, "latitude"):
            raise ValueError("the sea level has no latitude, on which nodal corrections depend; give lat= in degrees")
        lat = find(level, "latitude")
    values = np.broadcast_to(np.asarray(lat, dtype=np.float64), (size,))
    bad = ~(np.abs(values) <= 90)
    if bad.any():
        raise ValueError(f"lat has {float(values[bad][0])!r}; give latitudes in degrees from -90 to 90")
    return values


def predict(
    constituents: xr.Dataset | Mapping[str, tuple[float, float]],
    time: Any,
    *,
    lat: float | None = None,
    convention: str | None = None,
    nodal: bool | None = None,
    skip: Iterable[str] = (),
) -> xr.DataArray:
    """The tide at given times.

    Parameters
    ----------
    constituents
        As :func:`analyse` and :func:`read_ticon` give them, or ``{name: (amplitude in m, Greenwich phase in degrees)}``.
    time
        UTC: datetime64 values, or anything with a time coordinate.
    lat
        Latitude in degrees, where the constituents have none.
    convention
        Whose phases these are: ``"utide"`` or ``"iho"`` (most published lists); by default what the constituents say, else
        ``"iho"``. SA and S1, for example, differ by more than a month and by hours.
    nodal
        Nodal corrections at each time; by default as in the analysis, else True.
    skip
        Names to leave out, for those that have no meaning here.

    Returns
    -------
    DataArray
        ``tide`` in m, along ``time`` after the stations; above ``vertical_datum`` where the constituents have a mean level.

    Raises
    ------
    ValueError
        If a constituent is not known, has another frequency than its name says, the latitude is missing, or the
        convention is unknown.

    Examples
    --------
    >>> hours = np.arange("1997-08-18T00", "1997-08-18T04", dtype="datetime64[h]").astype("datetime64[ns]")
    >>> predict({"M2": (1.88, 22.3), "S2": (0.68, 54.7)}, hours, lat=28.1).values.round(2)
    array([2.3 , 2.48, 2.03, 1.06])
    """
    table = as_table(constituents)
    convention = table.attrs.get("convention", "iho") if convention is None else convention
    if convention not in names.CONVENTIONS:
        raise ValueError(f"convention={convention!r} is none of {', '.join(names.CONVENTIONS)}")
    nodal = bool(table.attrs.get("nodal", 1)) if nodal is None else nodal
    left = [str(n) for n in skip]
    table = table.sel(constituent=[n for n in table["constituent"].values if n not in left])
    meanings = _meanings(table, convention)
    clock = (
        times_of(time, None)
        if isinstance(time, xr.DataArray | xr.Dataset)
        else times_of(xr.DataArray(np.atleast_1d(time), dims="time", name="time"), None)
    )
    stations = [d for d in table["amplitude"].dims if d != "constituent"]
    amplitude = metres(table["amplitude"], "the amplitude").transpose(*stations, "constituent")
    phase = np.deg2rad(table["phase"].transpose(*stations, "constituent").values)
    complex_ = np.nan_to_num(amplitude.values * np.exp(-1j * phase)).reshape(-1, len(meanings))
    size = complex_.shape[0]
    if lat is None and not ("lat" in table.coords or candidates(table, "latitude")):
        raise ValueError("the constituents have no latitude, on which nodal corrections depend; give lat= in degrees")
    lats = np.broadcast_to(
        np.asarray(find(table, "latitude") if lat is None else lat, dtype=np.float64).ravel(), (size,)
    )
    mean = np.broadcast_to(table["mean_level"].values.ravel() if "mean_level" in table else 0.0, (size,))
    values = np.empty((size, clock.size))
    for one in np.unique(lats):
        basis = names.arguments(meanings, clock.values, float(one), nodal=nodal)
        rows = lats == one
        values[rows] = (basis @ complex_[rows].T).real.T
    values += mean[:, None]
    shape = [table.sizes[d] for d in stations]
    out = xr.DataArray(
        values.reshape(*shape, clock.size),
        dims=(*stations, "time"),
        coords={"time": clock.values} | {d: table[d] for d in stations if d in table.coords},
        name="tide",
        attrs={"units": "m", "long_name": "tide", "constituents": " ".join(map(str, table["constituent"].values))},
    )
    if left:
        out.attrs["constituents_left_out"] = " ".join(left)
    for key in ("vertical_datum", "license", "source", "fit_start", "fit_end"):
        if key in table.attrs:
            out.attrs[key] = table.attrs[key]
    return out


def _meanings(table: xr.Dataset, convention: str) -> list[names.Meaning]:
    every = [str(n) for n in table["constituent"].values]
    found = [names.meaning(n, convention) for n in every]
    unknown = [n for n, m in zip(every, found, strict=True) if m is None]
    if unknown:
        raise ValueError(
            f"constituents {unknown} are not known in the convention {convention!r}; leave them out with skip={unknown!r}"
        )
    known = [m for m in found if m is not None]
    if "frequency" in table:
        ours, said = names.frequencies(known), table["frequency"].values.astype(np.float64)
        bad = np.flatnonzero(np.abs(ours - said) > 1e-3)
        if bad.size:
            k = bad[0]
            raise ValueError(
                f"constituent {every[k]!r} has {said[k]:g} degrees per hour, that name here means {ours[k]:g}; rename it, "
                f"correct the frequency, or leave it out with skip=[{every[k]!r}]"
            )
    return known


def read_ticon(
    source: str | os.PathLike[str] | Sequence[Mapping[str, Any]], station: str, *, vertical_datum: str | None = None
) -> xr.Dataset:
    """Constituents of one station of TICON-4, from the JSON of the tide database of the Neaps project.

    Parameters
    ----------
    source
        Path of the JSON file, or its content: a list of stations.
    station
        Name or id; a name that several stations have is refused.
    vertical_datum
        Name of the zero of this station; by default ``"gauge zero of <id>"``.

    Returns
    -------
    Dataset
        As :func:`analyse`, with phases in the convention ``"iho"``, ``tidal_datum`` (m, along ``datum``: HAT, MSL ...) and the
        licence, source and epoch among the attributes.

    Raises
    ------
    ValueError
        If there is no such station, or several.

    Examples
    --------
    >>> waves = [{"name": "M2", "amplitude": 1.9, "phase": 22.3}]
    >>> one = {"id": "t/k", "name": "Kanmen", "latitude": 28.1, "longitude": 121.3, "datums": {"MSL": 3.9}}
    >>> read_ticon([one | {"constituents": waves}], "Kanmen").mean_level.item()
    3.9
    """
    if isinstance(source, str | os.PathLike):
        with open(source, encoding="utf-8") as file:
            source = json.load(file)
    assert not isinstance(source, str | os.PathLike)
    hits = [s for s in source if station in (s["id"], s["name"])]
    if len(hits) != 1:
        near = [s["id"] for s in source if station.lower() in s["name"].lower()][:8]
        what = f"several stations {station!r}" if hits else f"no station {station!r}"
        raise ValueError(f"the file has {what}; name one by its id{', for example ' + str(near) if near else ''}")
    one = hits[0]
    datums = one.get("datums", {})
    found = {c["name"]: (float(c["amplitude"]), float(c["phase"]) % 360) for c in one["constituents"]}
    known = {n: v for n, v in found.items() if names.meaning(n, "iho") is not None}
    out = table_of([known | {"": (float(datums.get("MSL", np.nan)), 0.0)}], [], xr.DataArray(0.0), "iho")
    rest = [n for n in found if n not in known]
    if rest:
        raise ValueError(
            f"station {station!r} has constituents {rest} without a meaning here; take them out of the list"
        )
    if "MSL" not in datums:
        out = out.drop_vars("mean_level")
    out["tidal_datum"] = ("datum", [float(v) for v in datums.values()], {"units": "m"})
    epoch, licence = one.get("epoch", {}), one.get("license", {})
    attrs = {
        "convention": "iho",
        "vertical_datum": vertical_datum or f"gauge zero of {one['id']}",
        "source": f"{one.get('source', {}).get('name', 'TICON-4')}, {one['id']}",
        "source_url": one.get("source", {}).get("url", ""),
        "license": f"{licence.get('type', 'not stated')} {licence.get('url', '')}".strip(),
        "epoch": " to ".join(filter(None, [epoch.get("start"), epoch.get("end")])),
    }
    coords = {"datum": list(datums), "station": one["name"], "lat": one["latitude"], "lon": one["longitude"]}
    out = out.assign_coords(coords).assign_attrs(attrs)
    out["lat"].attrs["units"], out["lon"].attrs["units"] = "degrees_north", "degrees_east"
    return out
