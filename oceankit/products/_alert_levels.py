"""From a value or a forecast to one of four levels, by rules that say where each number comes from."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from oceankit._version import __version__
from oceankit.products._alert_conditions import gather, met
from oceankit.products._alert_follow import BEYOND, MISSING, TIME_DIMS, follow, highest, level_attrs
from oceankit.products._alert_rules import Picked, pick
from oceankit.products._alert_values import Limits, Values, check_dims, limits, reached, values_of

__all__ = ["assess", "state_of"]


def assess(
    hazard: str,
    value_or_forecast: Any = None,
    *,
    rules: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    rule: str | None = None,
    station: str | None = None,
    place: Any = None,
    surge: Any = None,
    units: str | None = None,
    datum: str | None = None,
    confidence: float | None = None,
    hold: float | None = None,
    state: xr.Dataset | None = None,
    **inputs: Any,
) -> xr.Dataset:
    """The alert level of a value, a field, a series or a forecast.

    Parameters
    ----------
    hazard
        A hazard of the rules: ``"near_shore_waves"``, ``"offshore_waves"``, ``"storm_surge"``, ``"green_tide"``,
        ``"sea_ice"``, ``"red_tide"``, ``"marine_heatwave"``.
    value_or_forecast
        A number (in the units of the rule, or in ``units``); a DataArray of any shape with ``units``: a series along
        ``time`` or ``valid_time``, a field, an ensemble along ``member``; a forecast Dataset with ``mean`` and ``std`` (normal
        distribution) along ``lead_time`` and maybe ``init_time`` with the coordinate ``valid_time``. NumPy or Dask. For
        green and red tide: a Dataset of the inputs below, of any shapes that fit together.
    rules
        Path or mapping, see :func:`check_rules`; by default those shipped, see :func:`rules`.
    rule
        Name of one rule of the hazard instead of its default; superseded ones are only used when named.
    station
        Storm surge: the tide gauge in ``stations`` of the rules (:func:`add_station`). Not needed where the data have a
        coordinate ``station`` with such names.
    place
        Sea ice: ``"liaodong_bay"``, ``"north_yellow_sea"`` or ``"laizhou_bay"``. Green tide: where it is, see below.
    surge
        Storm surge: the expected surge (for ``mean`` and ``std`` its mean; for members theirs), with units. A blue alert is then
        also reached where the surge reaches the rule's ``surge_below_blue`` (0.3 m) below the blue level.
    units
        Of a number, or of data without the attribute; no units are guessed.
    datum
        Vertical datum of a water level whose ``vertical_datum`` (attribute, or coordinate along ``station``) is missing.
    confidence
        Probability at which a level counts as reached; by default ``decision.confidence`` of the rules (0.5).
    hold, state
        For ``status``, see :func:`follow`.
    **inputs
        Green tide: ``distribution_area`` and ``coverage_area`` (km2), ``days_to_shore``, ``place`` (one of
        ``changjiang_to_35n``, ``35n_to_lingshan``, ``lingshan_to_dagong``, ``around_dagong``, ``elsewhere``).
        Red tide: ``area`` (km2) and ``toxic`` (true or false). An input that is not given, NaN or ``""`` is unknown,
        not zero.

    Returns
    -------
    Dataset
        ``level``: 0 none, 1 blue, 2 yellow, 3 orange, 4 red; -1 where data are missing and no level is certain; -2 where
        the rules found give no level. A level is reached when the value is equal to its threshold or higher, or when
        that has at least the probability ``confidence``.

        ``probability`` of reaching each ``alert_level``, where there is a spread. ``threshold`` of each ``alert_level`` with
        coordinates ``threshold_source``, ``threshold_date`` and ``threshold_note``; with a surge also
        ``threshold_with_surge`` of blue. ``value`` (of an ensemble the mean), or the inputs. ``level_with_margin`` where the
        hazard has a margin.

        Along a series of dates (``time``, ``valid_time``, ``lead_time``; along ``init_time`` of the highest level of each
        forecast) also ``status`` and ``action`` of :func:`follow`, and its state as ``state_*``, see :func:`state_of`;
        not for lazy data, where everything else stays lazy.

    Raises
    ------
    ValueError
        If the hazard, rule, station, place or an input is unknown, units are missing or do not fit, the vertical datum is
        missing or another one than that of the warning levels, or the confidence is no probability.

    Examples
    --------
    >>> int(assess("near_shore_waves", 4.5).level)
    3
    >>> forecast = xr.Dataset({"mean": ("lead_time", [3.0, 4.2], {"units": "m"}), "std": ("lead_time", [0.5, 0.5])})
    >>> found = assess("near_shore_waves", forecast, confidence=0.3)
    >>> found.level.values, found.probability.sel(alert_level="orange").values.round(2)
    (array([1, 2], dtype=int8), array([0.  , 0.27]))
    >>> int(assess("green_tide", coverage_area=6, place="lingshan_to_dagong", days_to_shore=10).level)
    3
    """
    picked = pick(rules, hazard, rule)
    needed = _confidence(picked, confidence)
    if picked.entry["kind"] == "conditions":
        unused = {"station": station, "surge": surge, "units": units, "datum": datum}
        out, spread = _by_conditions(picked, value_or_forecast, needed, {**inputs, "place": place}, unused)
    else:
        if inputs:
            raise TypeError(f"assess() got unexpected keywords {sorted(inputs)} for {hazard}")
        out, spread = _by_thresholds(picked, value_or_forecast, needed, station, place, surge, units, datum)
    out["level"].attrs = level_attrs(picked.book, f"alert level of {picked.entry['names']['en']}")
    if "level_with_margin" in out:
        out["level_with_margin"].attrs = level_attrs(
            picked.book, "alert level if every threshold were lower by the margin"
        )
    out.attrs = _attrs(picked, needed if spread else None, out.attrs)
    return _with_status(out, picked, hold, state)


def _confidence(picked: Picked, confidence: float | None) -> float:
    value = picked.book["decision"]["confidence"]["value"] if confidence is None else confidence
    if not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"confidence={value!r} is no probability; give a number above 0 and at most 1")
    return float(value)


def _by_thresholds(
    picked: Picked, given: Any, needed: float, station: Any, place: Any, surge: Any, units: Any, datum: Any
) -> tuple[xr.Dataset, bool]:
    want = picked.entry["quantity"]["units"]
    what = f"the {picked.entry['quantity']['names']['en']}"
    values = values_of(given, what, want, units)
    check_dims(values.value)
    out = xr.Dataset()
    found = limits(picked, values, station=station, place=place, datum=datum)
    official = threshold = found.threshold
    texts = {"source": found.source, "date": found.date, "note": found.note}
    if surge is not None:
        threshold = _with_surge(picked, values, threshold, surge, want, units)
        blue, also = next(iter(picked.book["levels"])), picked.rule["surge_below_blue"]
        out["threshold_with_surge"] = threshold.sel(alert_level=blue, drop=True).assign_attrs(
            long_name=f"water level from which on {blue} is reached, or the surge of {also['value']:g} {want}",
            units=want,
        )
        texts["source"][0] += f"; surge of {also['value']:g} {want} below it: {also['source']}"
        texts["note"][0] = "; ".join(filter(None, [texts["note"][0], also.get("note")]))
    chance = reached(values, threshold)
    out["level"] = _levels(picked, chance, needed)
    margin = picked.entry.get("margin")
    if margin:
        out["level_with_margin"] = _levels(picked, reached(values, threshold - margin["value"]), needed)
    if values.spread:
        attrs = {
            "long_name": "probability of reaching the alert level",
            "units": "1",
            "valid_min": 0.0,
            "valid_max": 1.0,
        }
        out["probability"] = chance.assign_attrs(attrs)
    value = values.value.mean("member", skipna=False) if values.members else values.value
    out["value"] = value.assign_attrs(long_name=picked.entry["quantity"]["names"]["en"], units=want)
    out["threshold"] = official.assign_attrs(long_name="value from which on the alert level is reached", units=want)
    out = out.drop_vars("vertical_datum", errors="ignore")
    out = out.assign_coords({f"threshold_{k}": ("alert_level", v) for k, v in texts.items()})
    out.attrs = _where(found, station, place)
    return out, values.spread


def _with_surge(
    picked: Picked, values: Values, threshold: xr.DataArray, surge: Any, want: str, units: Any
) -> xr.DataArray:
    """The blue threshold lowered to where the surge reaches its own: the tide is what the water level has besides it."""
    rule = picked.rule.get("surge_below_blue")
    lowest = next(iter(picked.book["levels"]))
    if rule is None or lowest not in threshold["alert_level"]:
        raise ValueError(
            f"surge is given, but the rule {picked.name!r} of {picked.hazard} has no level for it; leave it out"
        )
    expected = values_of(surge, "the surge", want, units if not isinstance(surge, xr.DataArray | xr.Dataset) else None)
    if expected.members and not values.members:
        raise ValueError(
            "the surge has members, the water level has none; give both with members, or the mean of the surge"
        )
    # The level itself is exact where it is the lower one.
    below = values.value.astype(np.float64) - expected.value + rule["value"]
    blue = threshold.sel(alert_level=lowest, drop=True)
    lowered = xr.where(below.isnull(), np.nan, np.minimum(blue, below))
    # Where the surge alone decides, it is compared by itself: a difference of sums would round.
    value = values.value if values.std is None else values.value.astype(np.float64)
    lowered = xr.where((expected.value >= rule["value"]) & (value < lowered), value, lowered)
    # An unknown surge leaves a water level above blue known.
    lowered = xr.where(below.isnull() & (value >= blue), blue, lowered)
    rest = threshold.sel(alert_level=[n for n in threshold["alert_level"].values if n != lowest])
    first = lowered.expand_dims(alert_level=[lowest])
    return xr.concat(xr.broadcast(first, rest, exclude=["alert_level"]), dim="alert_level")


def _by_conditions(
    picked: Picked, given: Any, needed: float, inputs: dict[str, Any], unused: dict[str, Any]
) -> tuple[xr.Dataset, bool]:
    for name, value in unused.items():
        if value is not None:
            raise ValueError(f"{name}={value!r} means nothing for {picked.hazard}; leave it out")
    if given is not None and not isinstance(given, xr.Dataset):
        names = ", ".join(picked.entry["inputs"])
        raise ValueError(
            f"{picked.hazard} was given a {type(given).__name__}; give a Dataset of {names}, or these as keywords"
        )
    inputs = {k: v for k, v in inputs.items() if v is not None}
    arrays = gather(picked.hazard, picked.entry, given, inputs)
    chance = met(picked.rule, arrays, list(picked.book["levels"]))
    spread = "member" in chance.dims
    if spread:
        beyond = (chance == np.inf).any("member")
        chance = (chance.where(np.isfinite(chance)).sum("member", skipna=False) / chance.sizes["member"]).where(
            ~beyond, np.inf
        )
    out = xr.Dataset({"level": _levels(picked, chance, needed)})
    if spread:
        attrs = {"long_name": "probability of reaching the alert level", "units": "1"}
        out["probability"] = chance.where(np.isfinite(chance)).assign_attrs(attrs)
    for name, array in arrays.items():
        attrs = {"long_name": picked.entry["inputs"][name]["names"]["en"]}
        kept = array.mean("member", skipna=False) if "member" in array.dims and array.dtype.kind == "f" else array
        if "member" not in kept.dims:
            out[name] = kept.assign_attrs(
                {**attrs, **({"units": array.attrs["units"]} if "units" in array.attrs else {})}
            )
    conditions = {level: [*c.get("any", []), *c.get("all", [])] for level, c in picked.rule["levels"].items()}
    for part in ("source", "date"):
        texts = ["; ".join(dict.fromkeys(str(c[part]) for c in conditions[n])) for n in chance["alert_level"].values]
        out = out.assign_coords(
            {f"threshold_{part}": ("alert_level", texts), "alert_level": chance["alert_level"].values}
        )
    return out, spread


def _levels(picked: Picked, chance: xr.DataArray, needed: float) -> xr.DataArray:
    """The highest level that is reached; missing where none is and one is unknown."""
    value = {name: level["value"] for name, level in picked.book["levels"].items()}
    codes = xr.DataArray([value[str(n)] for n in chance["alert_level"].values], dims="alert_level")
    codes = codes.assign_coords(alert_level=chance["alert_level"])
    beyond = (chance == np.inf).any("alert_level")
    known = xr.where((chance >= needed) & np.isfinite(chance), codes, 0).max("alert_level")
    level = xr.where((known == 0) & chance.isnull().any("alert_level"), MISSING, known)
    return xr.where(beyond, BEYOND, level).astype(np.int8)


def _where(found: Limits, station: Any, place: Any) -> dict[str, Any]:
    attrs: dict[str, Any] = {"station": station, "place": place, "vertical_datum": found.datum}
    attrs |= {"longitude": found.lon, "latitude": found.lat}
    if found.names:
        attrs |= {"place_zh": found.names["zh"], "place_en": found.names["en"]}
    return {k: v for k, v in attrs.items() if v is not None}


def _attrs(picked: Picked, needed: float | None, more: Mapping[Any, Any]) -> dict[str, Any]:
    caution = picked.rule.get("caution") or {}
    attrs = {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": f"Alert level of {picked.entry['names']['en']}",
        "source": f"oceankit {__version__}, rule {picked.name!r}",
        "hazard": picked.hazard,
        "rule": picked.name,
        "superseded": "true" if picked.rule["superseded"] else "false",
        "confidence": needed,
        "caution": caution.get("en"),
        "caution_zh": caution.get("zh"),
    }
    return {k: v for k, v in {**attrs, **more}.items() if v is not None}


def _with_status(out: xr.Dataset, picked: Picked, hold: float | None, state: xr.Dataset | None) -> xr.Dataset:
    dim = next((d for d in TIME_DIMS if d in out["level"].dims), None)
    dated = dim is not None and any(
        n in out.coords and out[n].dims == (dim,) and out[n].dtype.kind == "M" for n in (dim, "valid_time")
    )
    if not dated or out["level"].chunks is not None:
        if state is not None and out["level"].chunks is None:
            raise ValueError("state is given, but the data have no dated series to go on with; leave it out")
        if state is not None:
            raise ValueError("state is given, but the data are lazy; compute() them first, or call follow() yourself")
        return out
    wait = (picked.entry.get("hold") or picked.book["decision"]["hold"])["value"] if hold is None else hold
    levels, guard = out["level"], out.get("level_with_margin")
    if dim == "init_time":
        levels = highest(levels, "lead_time")
        guard = None if guard is None else highest(guard, "lead_time")
    followed, after = follow(levels, guard=guard, dim=dim, hold=wait, rules=picked.book, state=state)
    out["status"], out["action"] = followed["status"], followed["action"]
    out.attrs["hold"] = f"{float(wait):g} h"
    return out.assign({f"state_{name}": variable for name, variable in after.data_vars.items()})


def state_of(assessment: xr.Dataset) -> xr.Dataset:
    """The state of :func:`follow` at the end of an assessed series, to hand on as ``state=``.

    Raises
    ------
    ValueError
        If the assessment is of no series.
    """
    names = [n for n in assessment.data_vars if str(n).startswith("state_")]
    if not names:
        raise ValueError("the assessment is of no series along dates, so it has no state; assess a series")
    return assessment[names].rename({n: str(n).removeprefix("state_") for n in names}).drop_attrs(deep=False)
