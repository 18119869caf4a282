"""What matters of an assessment: the highest level, when and where it is reached, the peak, the probability."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import CoordinateError, describe, horizontal, in_degrees
from oceankit.products._alert_follow import MISSING, highest

__all__ = ["Summary", "degrees", "grid_of", "moment", "places", "summarise"]

_SERIES = ("time", "valid_time", "lead_time")


class Summary(NamedTuple):
    """One level and its circumstances; None where the assessment does not say."""

    level: int
    partly: bool  # a place has levels at some times and none at others
    value: float | None
    units: str
    peak_time: np.datetime64 | None
    first_time: np.datetime64 | None
    last_time: np.datetime64 | None
    probability: float | None
    lon: float | None
    lat: float | None
    station: str | None


def summarise(assessment: xr.Dataset, *, only: int | None = None) -> Summary:
    """The highest level of all times and places and where it is; ``only`` looks at places whose highest level is this.

    Raises
    ------
    ValueError
        If it is no assessment, or of several forecasts.
    """
    field = _one_forecast(assessment)
    per_place = places(field)
    here = per_place["level"]
    mask = (here == only) if only is not None else xr.ones_like(here, dtype=bool)
    level = _overall(field, here) if only is None else only
    at = _at(per_place, mask & (here == level))
    chosen = per_place.isel(at)
    probability = chosen["probability"].item() if "probability" in chosen and level > 0 else None
    first, last, peak = (_date(chosen, name) for name in ("first_time", "last_time", "peak_time"))
    if only is not None or level > 0:
        inside = (mask & (here == level)).values
        first = per_place["first_time"].values[inside].min() if "first_time" in per_place else None
        last = per_place["last_time"].values[inside].max() if "last_time" in per_place else None
    lon, lat = (assessment.attrs.get(n) for n in ("longitude", "latitude"))
    if at or here.size == 1:
        found = _position(chosen)
        lon, lat = found if found else (lon, lat)
    value = chosen["value"].item() if "value" in chosen else None
    units = str(field["value"].attrs.get("units", "")) if "value" in field else ""
    station = str(chosen["station"].item()) if "station" in chosen.coords and chosen["station"].ndim == 0 else None
    return Summary(
        level, _gaps(field, here),
        None if value is None or np.isnan(value) else value, units,
        peak, first, last, None if probability is None or np.isnan(probability) else probability,
        None if lon is None else float(lon), None if lat is None else float(lat), station,
    )  # fmt: skip


def _overall(field: xr.Dataset, here: xr.DataArray) -> int:
    """The highest level of all places; those that never have data (land) are left out."""
    times = [d for d in field["level"].dims if d not in here.dims]
    seen = (field["level"] != MISSING).any(times).values
    return int(highest(xr.DataArray(here.values[seen], dims="place"), "place")) if seen.any() else MISSING


def _gaps(field: xr.Dataset, here: xr.DataArray) -> bool:
    """Whether a place has levels at some times and none at others."""
    times = [d for d in field["level"].dims if d not in here.dims]
    missing = field["level"] < 0
    return bool((missing.any(times) & ~missing.all(times)).any())


def places(assessment: xr.Dataset) -> xr.Dataset:
    """For each place its highest level, the probability of it, the highest ``value``, and when: ``peak_time`` of the value,
    ``first_time`` and ``last_time`` of the level."""
    field = _one_forecast(assessment)
    level = field["level"]
    dim = next((d for d in _SERIES if d in level.dims), None)
    out = xr.Dataset({"level": level if dim is None else highest(level, dim)})
    value = field.get("value")
    if dim is None:
        if value is not None:
            out["value"] = value
        time = next((field[n] for n in ("valid_time", "time") if n in field.coords and field[n].ndim == 0), None)
        if time is not None and time.dtype.kind == "M":
            for name in ("first_time", "last_time", "peak_time"):
                out[name] = xr.full_like(out["level"], np.datetime64("NaT", "ns"), "datetime64[ns]").fillna(time.values)
    else:
        _along(out, field, level, value, dim)
    if "probability" in field:
        most = field["probability"] if dim is None else field["probability"].max(dim)
        names = [str(n) for n in most["alert_level"].values]
        codes = {
            n: i
            for i, n in enumerate(
                field["level"].attrs["flag_meanings"].split(), start=int(min(field["level"].attrs["flag_values"]))
            )
        }
        chance = xr.full_like(out["level"], np.nan, np.float64)
        for name in names:
            chance = xr.where(out["level"] == codes[name], most.sel(alert_level=name, drop=True), chance)
        out["probability"] = chance
    return out.assign_coords(
        {n: c for n, c in field.coords.items() if set(c.dims) <= set(out["level"].dims) and n not in out}
    )


def _along(out: xr.Dataset, field: xr.Dataset, level: xr.DataArray, value: xr.DataArray | None, dim: str) -> None:
    reached = level == out["level"]
    size = level.sizes[dim]
    if value is not None and dim in value.dims:
        out["value"] = value.max(dim)
    elif value is not None:
        out["value"] = value
    name = dim if dim in field.coords and field[dim].dtype.kind == "M" else "valid_time"
    if name not in field.coords or field[name].dims != (dim,) or not size:
        return
    dates = field[name].values.astype("datetime64[ns]")
    rest = reached.transpose(..., dim)
    dims = rest.dims[:-1]
    out["first_time"] = (dims, dates[rest.values.argmax(axis=-1)])
    out["last_time"] = (dims, dates[size - 1 - rest.values[..., ::-1].argmax(axis=-1)])
    if value is not None and dim in value.dims:
        numbers = value.transpose(*dims, dim).values.astype(np.float64)
        peak = dates[np.where(np.isnan(numbers), -np.inf, numbers).argmax(axis=-1)]
        out["peak_time"] = (dims, np.where(np.isnan(numbers).all(axis=-1), np.datetime64("NaT"), peak))


def _one_forecast(assessment: Any) -> xr.Dataset:
    if not isinstance(assessment, xr.Dataset) or "level" not in assessment or "hazard" not in assessment.attrs:
        raise ValueError("the assessment must be the Dataset that oceankit.products.alerts.assess() returned")
    if assessment.sizes.get("init_time", 1) > 1:
        raise ValueError(
            f"the assessment holds {assessment.sizes['init_time']} forecasts; select one, for example .isel(init_time=-1)"
        )
    assessment = assessment.squeeze("init_time") if "init_time" in assessment.dims else assessment
    if not assessment["level"].size:
        raise ValueError(f"the assessment is empty: {dict(assessment['level'].sizes)}; assess at least one value")
    return assessment.compute()


def _at(per_place: xr.Dataset, wanted: xr.DataArray) -> dict[Any, int]:
    """Where among the wanted places the value is highest."""
    if not wanted.dims:
        return {}
    rank = (
        per_place["value"].astype(np.float64).transpose(*wanted.dims)
        if "value" in per_place
        else xr.zeros_like(wanted, np.float64)
    )
    numbers = np.where(wanted.values, np.where(np.isnan(rank.values), -1e300, rank.values), -np.inf)
    return dict(zip(wanted.dims, (int(i) for i in np.unravel_index(numbers.argmax(), numbers.shape)), strict=True))


def _date(ds: xr.Dataset, name: str) -> np.datetime64 | None:
    if name not in ds or np.isnat(ds[name].values):
        return None
    date: Any = ds[name].values.astype("datetime64[ns]")[()]
    return np.datetime64(date)


def _position(place: xr.Dataset) -> tuple[float, float] | None:
    for lon, lat in (("lon", "lat"), ("longitude", "latitude")):
        if lon in place.coords and lat in place.coords and place[lon].ndim == place[lat].ndim == 0:
            return float(place[lon]), float(place[lat])
    return None


def moment(time: Any) -> datetime:
    """A date in UTC: of a datetime (naive ones are UTC), a datetime64 or an ISO text.

    Raises
    ------
    ValueError
        If it is no date.
    """
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise ValueError(f"{time!r} is no date; write it as 2024-08-01T06:00") from None
    if isinstance(time, np.datetime64 | xr.DataArray):
        value = np.asarray(time).astype("datetime64[us]")
        if np.isnat(value):
            raise ValueError("the date is missing (NaT)")
        time = value.item()
    if not isinstance(time, datetime):
        raise ValueError(f"{time!r} is no date; give a datetime, a datetime64 or a text as 2024-08-01T06:00")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def grid_of(per_place: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Longitude and latitude of places on a grid or a list; None for one place."""
    level = per_place["level"]
    if not level.dims:
        return None
    try:
        x, y = horizontal(level)
    except CoordinateError as error:
        raise ValueError(f"{describe(level)} has no positions: {error}") from error
    if set(x.dims) | set(y.dims) != set(level.dims):
        raise ValueError(
            f"{describe(level)} has dimensions {level.dims} besides those of its positions; select one entry first"
        )
    return x, y


def degrees(x: xr.DataArray, y: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes in -180..180 and latitudes."""
    lon, lat = in_degrees(x, "longitude"), in_degrees(y, "latitude")
    return (np.asarray(lon) + 180.0) % 360.0 - 180.0, np.asarray(lat)
