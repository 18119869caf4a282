"""What is normal on a day: mean and threshold of its place in the year."""

import numpy as np
import xarray as xr

__all__ = ["normal_on", "place_in_year"]


def normal_on(clim: xr.Dataset, field: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean and threshold of a climatology on each day of a field, like the field."""
    times = field["time"]
    at = xr.DataArray([place_in_year(d) for d in times.values.astype("M8[D]")], dims="time", coords={"time": times})
    mean, threshold = (
        clim[n].isel(dayofyear=at).drop_vars("dayofyear", errors="ignore").transpose(*field.dims)
        for n in ("mean", "threshold")
    )
    return mean, threshold


def place_in_year(day: np.datetime64) -> int:
    """0 for the first of January, as in a leap year."""
    start = day.astype("M8[Y]").astype("M8[D]")
    number = int((day - start).astype(int))
    leap = int((start.astype("M8[Y]") + 1).astype("M8[D]").astype(int) - start.astype(int)) == 366
    return number + (not leap and number >= 59)
