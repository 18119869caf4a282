"""A day's forecast: from a record whose last days may have holes, for the model and for what it has to beat."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.replay.normals import normal_on, place_in_year
from oceankit.replay.preparing import Prepared
from oceankit.replay.records import Record
from oceankit.replay.regions import severity
from oceankit.replay.settings import Settings

__all__ = ["forecast", "start_of"]


def start_of(record: Record, ready: Prepared, steps: int) -> tuple[xr.DataArray, int]:
    """The last days of a record without holes, and how many values of the last day are none that came.

    Within the record the departure from the mean is interpolated in time, after the last value it stays.
    """
    first = max(0, len(record.days) - steps)
    normal = ready.mean[[place_in_year(d) for d in record.days[first:]]]
    departure = record.values[first:] - normal
    known = np.isfinite(departure)
    at = np.arange(len(departure), dtype=float)
    for cell in np.flatnonzero((~known).any(axis=0) & known.any(axis=0)):
        here = known[:, cell]
        departure[~here, cell] = np.interp(at[~here], at[here], departure[here, cell])
    guessed = int((~known[-1] & np.isfinite(departure[-1])).sum())
    field = record.field(first)
    return field.copy(data=(normal + departure).reshape(field.shape)), guessed


def forecast(start: xr.DataArray, ready: Prepared, settings: Settings) -> xr.Dataset:
    """What the model and damped persistence say, in units of the field and as severity; lead 0 is the start itself."""
    day = start["time"].values[-1].astype("M8[D]")
    leads = np.array([0, *settings.leads])
    dates = day + leads
    like = start.isel(time=[-1] * leads.size).assign_coords(time=dates.astype("M8[ns]"))
    mean, threshold = (a.drop_vars("time").rename(time="lead_time") for a in normal_on(ready.clim, like))
    found: dict[str, Any] = {}
    for name, model in (("", ready.model), ("damped_", ready.damped)):
        said = model.predict(start)[["mean", "std"]].drop_vars(["init_time", "valid_time"], errors="ignore")
        said = said.transpose("lead_time", *mean.dims[1:])
        now = start.isel(time=[-1]).rename(time="lead_time").drop_vars("lead_time").transpose(*mean.dims)
        values = np.concatenate([now.values, said["mean"].values])
        spread = np.concatenate([np.zeros_like(now.values), said["std"].values])
        found[f"{name}mean"] = mean.copy(data=values).drop_attrs()
        found[f"{name}std"] = mean.copy(data=spread).drop_attrs()
    units = {"units": str(start.attrs.get("units", ""))}
    for name, variable in found.items():
        what = "standard deviation" if name.endswith("std") else "mean"
        variable.attrs = units | {"long_name": f"{'damped persistence, ' * name.startswith('damped')}{what}"}
    width = threshold - mean
    found["severity"] = severity(found["mean"], mean, threshold)
    found["severity_std"] = (found["std"] / width).assign_attrs(
        units="1", long_name="standard deviation of the severity"
    )
    found["threshold"] = threshold.assign_attrs(units | {"long_name": "threshold of a moderate heatwave"})
    out = xr.Dataset(found)
    return out.assign_coords(
        lead_time=("lead_time", leads, {"units": "days", "long_name": "days ahead"}),
        valid_time=("lead_time", dates.astype("M8[ns]")), init_time=day.astype("M8[ns]"),
    )  # fmt: skip
