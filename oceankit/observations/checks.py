"""Checks of the table itself: repeated observations, and those outside a window of time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.observations.flags import SUSPECT, flagged, usable
from oceankit.observations.table import ObservationError, validate

__all__ = ["duplicates", "within_window"]

# A place is the same to a centimetre, a depth to a millimetre, whatever the turn of its longitude.
_DIGITS = {"lon": 7, "lat": 7, "depth": 3}


def duplicates(obs: xr.Dataset, *, by: str | Sequence[str] | None = None) -> xr.Dataset:
    """Flag observations that repeat an earlier one: the same variable, place, time and depth, as far as the table has them.

    Parameters
    ----------
    obs
        A table of observations. Those flagged 3, 4 or 9 take no part and stay as they are.
    by
        Further columns in which a repetition agrees; ``platform`` where None and the table has it. ``by=()`` finds what two
        platforms report of the same place and time. Values may differ: two reports of one measurement often do.

    Returns
    -------
    Dataset
        All observations; the first of each kind as it was, the others with ``flag`` 3 and ``flag_reason`` "duplicate". The
        attribute ``n_duplicates`` counts them. Longitudes and latitudes are the same to 1e-7 degrees, depths to 1 mm.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> obs = table(value=[14.0, 14.0, 15.0], error_std=0.1, lon=[-120.5, 239.5, 121.0], lat=35.0)
    >>> duplicates(obs).flag.values.tolist()
    [2, 3, 2]
    """
    obs = validate(obs)
    names = (["platform"] if "platform" in obs.variables else []) if by is None else [by] if isinstance(by, str) else by
    for name in names:
        if name not in obs.variables:
            raise ObservationError(f"by={name!r} is no column of the observations; they have {list(obs.variables)}")
    usual = [n for n in ("variable", "lon", "lat", "x", "y", "time", "depth") if n in obs.variables]
    good = usable(obs)
    keys = {}
    for name in dict.fromkeys([*usual, *names]):
        values = obs[name].values[good]
        if name in _DIGITS:
            values = np.round(values % 360.0 if name == "lon" else values, _DIGITS[name])
        keys[name] = np.where(values == 360.0, 0.0, values) if name == "lon" else values
    repeated = np.zeros(good.size, bool)
    repeated[good] = pd.DataFrame(keys).duplicated().values
    return flagged(obs, repeated, SUSPECT, "duplicate").assign_attrs(n_duplicates=int(repeated.sum()))


def within_window(obs: xr.Dataset, start: Any, end: Any) -> xr.Dataset:
    """Flag observations that are not of a window of time: from ``start`` to before ``end``.

    Windows that follow one another share no observation.

    Parameters
    ----------
    obs
        A table of observations with ``time``. Those flagged 3, 4 or 9 stay as they are.
    start, end
        What converts to datetime64. An observation at ``start`` is inside, one at ``end`` is not.

    Returns
    -------
    Dataset
        All observations; those outside with ``flag`` 3 and ``flag_reason`` "outside the time window". The attribute
        ``n_outside_window`` counts them.

    Raises
    ------
    ObservationError
        If the observations have no time, or the window no length.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> obs = table(value=[14.0, 14.2], error_std=0.1, lon=120.5, lat=35.0, time=["2015-01-01", "2015-01-02"])
    >>> within_window(obs, "2015-01-01", "2015-01-02").flag.values.tolist()
    [2, 3]
    """
    obs = validate(obs)
    if "time" not in obs.variables:
        raise ObservationError("the observations have no time to be inside a window; give table(..., time=...)")
    try:
        begin, stop = (pd.Timestamp(v) for v in (start, end))
        begin, stop = (v.tz_convert("UTC").tz_localize(None) if v.tzinfo else v for v in (begin, stop))
    except (TypeError, ValueError) as error:
        raise ObservationError(f"start={start!r} and end={end!r} are no times: {error}") from None
    if not begin < stop:
        raise ObservationError(f"the window from {start!r} to {end!r} has no length; end comes after start")
    times = obs["time"].values
    outside = usable(obs) & ~((times >= begin.to_datetime64()) & (times < stop.to_datetime64()))
    return flagged(obs, outside, SUSPECT, "outside the time window").assign_attrs(n_outside_window=int(outside.sum()))
