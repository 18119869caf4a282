"""A forecast at observations: the field of the nearest valid time, interpolated to where each was made."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.fields import Grid
from oceankit.forecast._pairing import Given, Pairs, place_in_year
from oceankit.observations import matching
from oceankit.observations.operators import Interp, elapsed
from oceankit.observations.table import validate

__all__ = ["at_observations", "is_table", "observed", "read_table"]


def is_table(truth: Any) -> bool:
    """Whether the truth is a table of observations and no field."""
    return isinstance(truth, xr.Dataset) and "obs" in truth.dims and "value" in truth.variables


def read_table(obs: xr.Dataset, given: Given) -> tuple[xr.Dataset, int]:
    """Observations of what is forecast, good ones alone, and how many flagged ones were left out.

    Raises
    ------
    ValueError
        For a table without times, in other units, or of other variables than the forecast's.
    """
    if "error_std" not in obs.variables:
        obs = obs.assign(error_std=("obs", np.ones(obs.sizes["obs"])))  # verification weighs observations alike
    obs = validate(obs)
    if "time" not in obs.variables:
        raise ValueError("the observations have no time, so no forecast is valid for them; give table(..., time=...)")
    field = given.one
    if list(given.fields) != ["p"]:
        matching.same_units(field, obs)
    if "variable" in obs.variables:
        kinds = obs["variable"].values.astype(str)
        names = {str(field.name), str(field.attrs.get("standard_name", field.name))}
        mine = np.isin(kinds, list(names))
        if len(set(kinds)) > 1 and not mine.any():
            raise ValueError(
                f"the observations are of {sorted(set(kinds))} and the forecast is called {sorted(names)}; select those that "
                "belong to it, or name the field or its standard_name after them"
            )
        obs = obs.isel(obs=np.flatnonzero(mine)) if mine.any() else obs
    good = np.isin(obs["flag"].values, (1, 2)) if "flag" in obs.variables else np.ones(obs.sizes["obs"], bool)
    if not good.any():
        raise ValueError(
            f"all {good.size} observations are flagged as suspect, bad or missing; none is left to verify by"
        )
    return obs.isel(obs=np.flatnonzero(good)), int((~good).sum())


def at_observations(field: Any, obs: xr.Dataset, given: Given) -> np.ndarray:
    """A climatology or threshold at each observation, (obs,): interpolated in space, of the month or day of each."""
    if isinstance(field, int | float | np.number) and not isinstance(field, bool):
        return np.full(obs.sizes["obs"], float(field))
    if isinstance(field, xr.Dataset) and "mean" in field:
        field = field["mean"]
    if list(given.fields) != ["p"]:
        matching.agree(given.one, field)
    there = Interp()(field.astype(np.float64), obs)
    dims = [d for d in there.dims if d != "obs"]
    if not dims:
        return np.asarray(there.values)
    if dims not in (["month"], ["dayofyear"]):
        raise ValueError(f"a field along {dims} cannot be taken to observations; it may have 'month' or 'dayofyear'")
    rows = place_in_year(obs["time"].values, str(dims[0]), there.sizes[dims[0]])
    return np.asarray(there.transpose(dims[0], "obs").values[rows, np.arange(rows.size)])


def observed(
    given: Given, obs: xr.Dataset, extra: dict[str, np.ndarray], reference: Given | None, tolerance: Any
) -> Iterator[Pairs]:
    """Pairs at observations, start by start.

    Each observation belongs to the lead whose valid time is nearest: times between two leads are parted half-way, and
    half a step beyond the first and the last is taken too. ``tolerance`` narrows that.
    """
    valid = np.stack([elapsed(row) for row in given.valid])
    when = elapsed(obs["time"].values)
    reach = _reach(tolerance)
    steps = _steps(valid)
    operator, grid = Interp(), Grid.from_dataset(given.cells)
    order = np.argsort(when, kind="stable")
    for row, times in enumerate(valid):
        ranks = np.argsort(times)
        ahead = times[ranks]
        edges = np.concatenate([[ahead[0] - steps / 2], (ahead[1:] + ahead[:-1]) / 2, [ahead[-1] + steps / 2]])
        first, last = np.searchsorted(when[order], [edges[0], edges[-1]])
        mine = order[first:last]
        lead = ranks[np.clip(np.searchsorted(edges, when[mine], side="right") - 1, 0, len(ahead) - 1)]
        near = np.abs(when[mine] - times[lead]) <= reach
        mine, lead = mine[near], lead[near]
        if not mine.size:
            continue
        some = obs.isel(obs=mine)
        values = {"obs": some["value"].values.astype(np.float64)}
        for prefix, one in (("", given), ("ref_", reference)):
            for name, field in {} if one is None else one.fields.items():
                values[prefix + name] = _there(field.isel(init_time=row), operator, grid, some, lead)
        values |= {name: array[mine] for name, array in extra.items()}
        yield Pairs(values, np.array(row), lead, mine, some["time"].values)


def _there(
    field: xr.DataArray, operator: Callable[..., xr.DataArray], grid: Grid, obs: xr.Dataset, lead: np.ndarray
) -> np.ndarray:
    """A field (lead_time, *space[, member]) at observations of given leads: (obs[, member])."""
    needed = np.unique(lead)
    # Only the cells' own coordinates: a date of the forecast is no axis to interpolate along.
    loaded = field.isel(lead_time=needed).load().astype(np.float64)
    drop = [n for n, c in loaded.coords.items() if "lead_time" in c.dims or n in ("init_time", "valid_time", "member")]
    there = operator(loaded.drop_vars(drop), obs, grid=grid)
    there = there.transpose("lead_time", "obs", ...)
    return np.asarray(there.values[np.searchsorted(needed, lead), np.arange(lead.size)])


def _steps(valid: np.ndarray) -> float:
    """Days between neighbouring valid times."""
    along = valid if valid.shape[1] > 1 else valid.T
    if along.shape[1] < 2:
        return np.inf
    return float(np.median(np.abs(np.diff(np.sort(along, axis=1), axis=1))))


def _reach(tolerance: Any) -> float:
    if tolerance is None:
        return np.inf
    try:
        days = pd.Timedelta(tolerance) / pd.Timedelta("1D")
    except (TypeError, ValueError):
        days = np.nan
    if not days > 0 or isinstance(tolerance, int | float):
        raise ValueError(f"tolerance={tolerance!r} is no duration above zero; give a timedelta or text such as '6h'")
    return float(days)
