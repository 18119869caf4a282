"""What an assessment is given: one number, a field, an ensemble or a forecast with spread; and against what."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import special

from oceankit.fields.coordinates import describe
from oceankit.products._alert_rules import Picked, listing
from oceankit.products._alert_units import in_rule_units

__all__ = ["Limits", "Values", "limits", "reached", "values_of"]

_NO_DATUM = ("", "unknown", "none", "not stated")


class Values(NamedTuple):
    """In the units of the rule: a value, or a mean with its standard deviation, or members."""

    value: xr.DataArray
    std: xr.DataArray | None
    attrs: dict[Any, Any]  # as they were given
    bare: bool  # a plain number

    @property
    def members(self) -> bool:
        """Whether there is an ensemble."""
        return "member" in self.value.dims

    @property
    def spread(self) -> bool:
        """Whether there is a probability."""
        return self.members or self.std is not None


class Limits(NamedTuple):
    """Thresholds along ``alert_level`` (and further dimensions) and where they come from."""

    threshold: xr.DataArray
    source: list[str]
    date: list[str]
    note: list[str]
    datum: str | None
    names: dict[str, str] | None  # of the station or the place
    lon: float | None
    lat: float | None


def values_of(given: Any, what: str, want: str, units: str | None) -> Values:
    """Read what was given as values in the units of a rule.

    Raises
    ------
    ValueError
        If it is nothing of the kind, its units do not fit or a spread is negative.
    """
    std = None
    bare = not isinstance(given, xr.DataArray | xr.Dataset)
    if isinstance(given, xr.Dataset):
        given, std = _of_dataset(given, what)
    elif bare:
        if given is None or isinstance(given, str | bytes | bool | os.PathLike):
            raise ValueError(f"{what} is {given!r}; give a number, a DataArray or a forecast Dataset")
        given = xr.DataArray(np.asarray(given))
        if given.ndim:
            raise ValueError(
                f"{what} is a bare array of shape {given.shape}; give a DataArray with coordinates and units"
            )
    value = in_rule_units(given, want, what, units=units, bare=bare)
    if std is not None:
        if "units" not in std.attrs:
            std = std.assign_attrs(units=given.attrs.get("units", units))
        std = in_rule_units(std, want, f"std of {what}", bare=want == "1")
        std = _each_block(_not_negative, std, f"std of {what}")
    return Values(_each_block(_finite, value, what), std, dict(given.attrs), bare)


def _each_block(check: Any, field: xr.DataArray, what: str) -> xr.DataArray:
    """The field, checked when it is computed: lazy fields stay lazy."""
    return xr.apply_ufunc(
        check, field, kwargs={"what": what}, dask="parallelized", output_dtypes=[field.dtype], keep_attrs=True
    )


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    if np.isinf(values).any():
        raise ValueError(
            f"{what} has {int(np.isinf(values).sum())} infinite values; set them to NaN if they are missing"
        )
    return values


def _not_negative(values: np.ndarray, what: str) -> np.ndarray:
    if (values < 0).any() or np.isinf(values).any():
        raise ValueError(
            f"{what} has the value {values[(values < 0) | np.isinf(values)][0]:g}; it must be finite and not negative"
        )
    return values


def _of_dataset(given: xr.Dataset, what: str) -> tuple[xr.DataArray, xr.DataArray | None]:
    if "mean" in given:
        mean = given["mean"]
        keep = {k: v for k, v in given.attrs.items() if k in ("units", "vertical_datum") and k not in mean.attrs}
        mean = mean.assign_attrs({**mean.attrs, **keep})
        return mean, given.get("std")
    names = list(given.data_vars)
    if len(names) != 1:
        raise ValueError(
            f"{what} has the variables {listing(names)}; give one of them, or a forecast with mean and std"
        )
    return given[names[0]], None


def limits(picked: Picked, values: Values, *, station: str | None, place: str | None, datum: str | None) -> Limits:
    """The thresholds of a rule, at a station or place where it has them by station or place.

    Raises
    ------
    ValueError
        If the station or place is missing or unknown, or the vertical datum is missing or another one.
    """
    if picked.entry["kind"] == "station":
        if place is not None:
            raise ValueError(f"place={place!r}: {picked.hazard} has levels by station; name it with station=")
        return _of_stations(picked, values, station, datum)
    if station is not None:
        raise ValueError(f"station={station!r}: {picked.hazard} has no levels by station; leave it out")
    if datum is not None:
        raise ValueError(f"datum={datum!r}: {picked.hazard} compares no heights above a datum; leave it out")
    places = picked.rule.get("places")
    if places is None:
        if place is not None:
            raise ValueError(
                f"place={place!r}: the rule {picked.name!r} of {picked.hazard} is the same everywhere; leave it out"
            )
        return _plain(picked.rule["levels"], None)
    if place not in places:
        raise ValueError(f"place={place!r}: {picked.hazard} needs one of {listing(places)}")
    return _plain(places[place]["levels"], places[place]["names"])


def _plain(levels: Mapping[str, Any], names: dict[str, str] | None) -> Limits:
    threshold = xr.DataArray(
        np.array([v["value"] for v in levels.values()], dtype=np.float64),
        dims="alert_level",
        coords={"alert_level": list(levels)},
    )
    source, date, note = ([str(v.get(k) or "") for v in levels.values()] for k in ("source", "date", "note"))
    return Limits(threshold, source, date, note, None, names, None, None)


def _of_stations(picked: Picked, values: Values, station: str | None, datum: str | None) -> Limits:
    stations, want = picked.book["stations"], picked.entry["quantity"]["units"]
    field = values.value
    names = [station] if station is not None else None
    along = None
    if names is None and "station" in field.coords and field["station"].ndim <= 1:
        names, along = [str(n) for n in np.atleast_1d(field["station"].values)], field["station"].dims
    if names is None:
        raise ValueError(f"{picked.hazard} has warning levels by station; name one with station=: {listing(stations)}")
    unknown = [n for n in names if n not in stations]
    if unknown:
        raise ValueError(
            f"station {listing(unknown)} is not in the rules, which have {listing(stations)}; oceankit ships no warning "
            "levels: add them with oceankit.products.alerts.add_station, from the authority that published them"
        )
    datums = _datums(picked.hazard, values, datum, len(names))
    for name, have in zip(names, datums, strict=True):
        if have != stations[name]["datum"].strip():
            raise ValueError(
                f"the water level at {name!r} is above the datum {have!r}, its warning levels above "
                f"{stations[name]['datum']!r}; bring the water level to the same datum first"
            )
    found = [_in_units(stations[n], want, n) for n in names]
    first = _plain(found[0]["levels"], found[0].get("names") or {"zh": names[0], "en": names[0]})
    if along:
        table = [_plain(f["levels"], None) for f in found]
        if any(t.threshold.alert_level.values.tolist() != first.threshold.alert_level.values.tolist() for t in table):
            raise ValueError(f"the stations {listing(names)} do not have the same alert levels; assess them one by one")
        threshold = xr.concat([t.threshold for t in table], dim=along[0]).transpose("alert_level", along[0])
        for axis in ("lon", "lat"):
            if axis not in field.coords and all(axis in f for f in found):
                threshold = threshold.assign_coords({axis: (along[0], [float(f[axis]) for f in found])})
        texts = [
            ["; ".join(dict.fromkeys(column)) for column in zip(*(getattr(one, part) for one in table), strict=True)]
            for part in ("source", "date", "note")
        ]
        return Limits(threshold, texts[0], texts[1], texts[2], "; ".join(dict.fromkeys(datums)), None, None, None)
    return first._replace(datum=datums[0], lon=found[0].get("lon"), lat=found[0].get("lat"))


def _in_units(station: Mapping[str, Any], want: str, name: str) -> dict[str, Any]:
    def changed(value: float) -> float:
        return float(
            in_rule_units(xr.DataArray(float(value), attrs={"units": station["units"]}), want, f"levels of {name}")
        )

    return {**station, "levels": {k: {**v, "value": changed(v["value"])} for k, v in station["levels"].items()}}


def _datums(hazard: str, values: Values, datum: str | None, size: int) -> list[str]:
    """The datum of the water level at each station; from a coordinate, the attributes or the keyword."""
    said: Any = values.attrs.get("vertical_datum")
    if "vertical_datum" in values.value.coords:
        said = np.broadcast_to(values.value["vertical_datum"].values, (size,)).tolist()
    all_said = [str(s).strip() for s in (said if isinstance(said, list) else [said] * size) if s is not None]
    if datum is not None and any(s != datum.strip() for s in all_said):
        raise ValueError(f"the water level says vertical_datum {all_said[0]!r}, but datum={datum!r}; leave datum= out")
    found = all_said or ([datum.strip()] * size if datum is not None else [])
    if not found or any(f.lower() in _NO_DATUM for f in found):
        have = repr(found[0]) if found else "missing"
        raise ValueError(
            f"the vertical datum of the water level for {hazard} is {have}; set .attrs['vertical_datum'] to the name of "
            "the datum that its zero is, or give datum=: levels are only compared within one datum"
        )
    return found


def reached(values: Values, threshold: xr.DataArray) -> xr.DataArray:
    """The probability (or 0 and 1) that each threshold is reached or exceeded; NaN where it is not known."""
    value = values.value
    if values.std is not None:
        steps = xr.where(values.std > 0, values.std, 1.0)
        chance = xr.apply_ufunc(
            special.ndtr, (value - threshold) / steps, dask="parallelized", output_dtypes=[np.float64]
        )
        # Without spread the mean is the value.
        chance = xr.where(values.std > 0, chance, (value >= threshold).astype(np.float64))
        return chance.where(value.notnull() & values.std.notnull() & threshold.notnull())
    if value.dtype == np.float32:
        # 7.2 in single precision is not 7.2: a threshold is what the data can say of it.
        threshold = threshold.astype(np.float32)
    over = (value >= threshold).astype(np.float64).where(value.notnull() & threshold.notnull())
    if values.members:
        # A count over the size: 7 of 10 is 0.7, and one missing member leaves the probability unknown.
        return over.sum("member", skipna=False) / value.sizes["member"]
    return over


def check_dims(value: xr.DataArray) -> None:
    """Refuse an ensemble without members."""
    if value.sizes.get("member", 1) == 0:
        raise ValueError(f"{describe(value)} has no members; give at least one")
