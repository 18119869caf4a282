"""Levels that need several things at once (green tide, red tide): each condition true, false or unknown."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import xarray as xr

from oceankit.products._alert_rules import listing
from oceankit.products._alert_units import in_rule_units

__all__ = ["gather", "met"]

_COMPARE = {
    "at_least": lambda a, b: a >= b,
    "above": lambda a, b: a > b,
    "at_most": lambda a, b: a <= b,
    "below": lambda a, b: a < b,
    "is": lambda a, b: a == b,
}


def gather(
    hazard: str, entry: Mapping[str, Any], given: xr.Dataset | None, keywords: Mapping[str, Any]
) -> dict[str, xr.DataArray]:
    """The inputs of a hazard by name, from a Dataset and from keywords, checked and in the units of the rules.

    Raises
    ------
    ValueError
        If none is given, one is unknown or given twice, has wrong units or is none of its choices.
    """
    inputs = entry["inputs"]
    named = {str(n): given[n] for n in given.data_vars} if given is not None else {}
    twice = set(named) & set(keywords)
    if twice:
        raise ValueError(f"{listing(sorted(twice))} of {hazard} is given in the Dataset and as a keyword; give it once")
    named |= keywords
    strange = [n for n in named if n not in inputs]
    if strange:
        raise ValueError(f"{listing(strange)}: no input of {hazard}, which takes {listing(inputs)}; leave it out")
    if not named:
        raise ValueError(f"{hazard} needs at least one of {listing(inputs)}; give a Dataset of them, or keywords")
    out = {}
    for name, value in named.items():
        array = value if isinstance(value, xr.DataArray) else xr.DataArray(value)
        choices = inputs[name].get("choices")
        if choices is None:
            bare = not isinstance(value, xr.DataArray)
            out[name] = in_rule_units(array, inputs[name]["units"], f"{name} of {hazard}", bare=bare)
            if bool((out[name] < 0).any()):
                raise ValueError(f"{name} of {hazard} is {float(out[name].min()):g}; it cannot be negative")
        else:
            out[name] = _chosen(array, choices, f"{name} of {hazard}")
    return out


def _chosen(array: xr.DataArray, choices: Mapping[str, Any], what: str) -> xr.DataArray:
    values = np.asarray(array.values)
    if values.dtype.kind == "b":
        values = np.where(values, "true", "false")
    texts = np.array([_text(v) for v in values.ravel().tolist()], dtype=object).reshape(values.shape)
    strange = sorted(set(texts.ravel().tolist()) - set(choices) - {""})
    if strange:
        raise ValueError(f"{what} is {strange[0]!r}, which is none of {listing(choices)}; an empty text means unknown")
    return array.copy(data=texts.astype("U64"))


def _text(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "" if missing else str(value).lower() if isinstance(value, bool) else str(value)


def met(rule: Mapping[str, Any], inputs: Mapping[str, xr.DataArray], order: list[str]) -> xr.DataArray:
    """Whether each level or a higher one is reached: 1, 0, or NaN where that is unknown; along ``alert_level``.

    Where a rule is not complete and none of its levels nor its ``none`` is met, infinity: the level is beyond the rules.
    """
    levels = {name: _level(level, inputs) for name, level in rule["levels"].items()}
    names = [n for n in order if n in levels]
    # A level includes those below it.
    rising: list[xr.DataArray] = []
    for name in reversed(names):
        rising.insert(0, levels[name] if not rising else _any([levels[name], rising[0]]))
    reached = xr.concat(xr.broadcast(*rising), dim="alert_level").assign_coords(alert_level=names)
    if rule["complete"]:
        return reached
    nothing = (
        _all([_holds(c, inputs) for c in rule.get("none") or []]) if rule.get("none") else xr.zeros_like(rising[0])
    )
    return reached.where(~((reached.isel(alert_level=0) == 0) & (nothing == 0)), np.inf)


def _level(level: Mapping[str, Any], inputs: Mapping[str, xr.DataArray]) -> xr.DataArray:
    parts = [_holds(c, inputs) for c in level.get("all", [])]
    if "any" in level:
        parts.append(_any([_holds(c, inputs) for c in level["any"]]))
    return _all(parts)


def _holds(condition: Mapping[str, Any], inputs: Mapping[str, xr.DataArray]) -> xr.DataArray:
    if condition["input"] not in inputs:
        return xr.DataArray(np.nan)
    value = inputs[condition["input"]]
    name = next(o for o in _COMPARE if o in condition)
    missing = (value == "") if name == "is" else value.isnull()
    limit = condition[name]
    if value.dtype == np.float32:
        limit = np.float32(limit)  # 0.5 as the data can say it
    return _COMPARE[name](value, limit).astype(np.float64).where(~missing).drop_attrs()


def _any(parts: list[xr.DataArray]) -> xr.DataArray:
    """1 where one is 1; else unknown where one is unknown."""
    return reduce(lambda a, b: xr.where((a == 1) | (b == 1), 1.0, a * 0 + b * 0), parts)


def _all(parts: list[xr.DataArray]) -> xr.DataArray:
    """0 where one is 0; else unknown where one is unknown."""
    return reduce(lambda a, b: xr.where((a == 0) | (b == 0), 0.0, a * b), parts)
