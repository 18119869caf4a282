"""Pick one time of a field."""

import xarray as xr

from oceankit.fields import coordinates

__all__ = ["at_time", "time_dim"]


def time_dim(field: xr.DataArray) -> str | None:
    """The name of the time coordinate that is a dimension of ``field``."""
    return next((str(n) for n in coordinates.candidates(field, "time") if n in field.dims), None)


def at_time(field: xr.DataArray, date: str | None) -> xr.DataArray:
    """The field at one time: that in ``date``, or the only one there is.

    Raises
    ------
    ValueError
        If there is none, or several.
    """
    name = time_dim(field)
    if name is None:
        return field
    values = field[name].values
    if date is not None:
        field = field.sel({name: slice(date, date)})
    if field.sizes[name] == 1:
        return field.isel({name: 0})
    span = f"{field.name!r} has {values.size}, from {str(values[0])[:10]} to {str(values[-1])[:10]}"
    if date is None:
        raise ValueError(f"one time is shown, and {span}; choose one with 'time'")
    raise ValueError(f"there are {field.sizes[name] or 'no'} times in {date!r}; {span}")
