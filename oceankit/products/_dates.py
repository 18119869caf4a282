"""Times of any calendar on an axis, as numbers that keep gaps and lengths honest."""

from collections.abc import Hashable
from typing import Any

import cftime
import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields.coordinates import describe, find

__all__ = ["day_of_year", "dress", "numbers", "time_of", "with_gaps"]

_STANDARD = ("standard", "gregorian", "proleptic_gregorian")
# A step longer than this many usual steps is a gap, not a long month.
_GAP = 1.75


def time_of(field: xr.DataArray, name: Hashable | None) -> xr.DataArray:
    """The 1-D time coordinate of a field: dates in increasing order.

    Raises
    ------
    ValueError
        If there is none, it holds no dates, has missing ones or does not increase.
    """
    time = find(field, "time", name=name)
    if time.ndim != 1:
        raise ValueError(f"the time {time.name!r} of {describe(field)} lies along {time.dims}; it needs one dimension")
    values, what = time.values, f"{time.name!r} of {describe(field)}"
    dated = time.dtype.kind == "M" or (time.dtype == object and time.size and hasattr(values[0], "calendar"))
    if not dated:
        raise ValueError(f"{what} holds {time.dtype} values, not dates; decode it first with xr.decode_cf(ds)")
    if time.dtype.kind == "M" and np.isnat(values).any():
        raise ValueError(f"{what} has missing dates; drop them first with .dropna({time.dims[0]!r})")
    if not (values[1:] > values[:-1]).all():
        raise ValueError(f"{what} does not increase; sort it first with .sortby({time.name!r})")
    return time


def numbers(times: Any, like: xr.DataArray) -> np.ndarray:
    """Dates as days since 1970 in the calendar of ``like``, which matplotlib's date axis shares where it is ours."""
    values = np.atleast_1d(np.asarray(times))
    if values.dtype.kind == "M":
        if like.dtype.kind != "M":
            raise ValueError(f"dates such as {values[0]} are not in the calendar {_calendar(like)!r} of {like.name!r}")
        return values.astype("datetime64[us]").astype(np.int64) / 86_400e6
    mine = {getattr(v, "calendar", None) for v in values}
    if mine != {_calendar(like)}:
        raise ValueError(f"dates such as {values[0]} are not in the calendar {_calendar(like)!r} of {like.name!r}")
    return np.asarray(cftime.date2num(values, "days since 1970-01-01", calendar=_calendar(like)), dtype=np.float64)


def _calendar(time: xr.DataArray) -> str:
    return "proleptic_gregorian" if time.dtype.kind == "M" else str(time.values.ravel()[0].calendar)


def dress(axis: Any, time: xr.DataArray) -> None:
    """Date ticks on an axis of :func:`numbers`.

    Calendars that people do not use (360_day, noleap) get ticks at their own month and year starts and their name.
    """
    dates = require("matplotlib.dates", extra="plot", purpose="time axes")
    ticker = require("matplotlib.ticker", extra="plot", purpose="time axes")
    calendar = _calendar(time)
    first = time.values[0]
    if calendar in _STANDARD and (time.dtype.kind == "M" or first.year >= 1583):
        locator = dates.AutoDateLocator(minticks=4, maxticks=9)
        axis.set_major_locator(locator)
        axis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=True))
        axis.set_label_text("")
        return
    first, last = time.values[[0, -1]]
    months = (last.year - first.year) * 12 + last.month - first.month
    step = next(s for s in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 10**9) if months <= 9 * s)
    starts = [m for m in range(first.year * 12, last.year * 12 + 13) if m % step == 0]
    ticks = [cftime.datetime(m // 12, m % 12 + 1, 1, calendar=calendar) for m in starts]
    ticks = [t for t in ticks if first <= t <= last] or [first]
    labels = [f"{t.year:04d}" if step >= 12 else f"{t.year:04d}-{t.month:02d}" for t in ticks]
    axis.set_major_locator(ticker.FixedLocator(numbers(np.array(ticks, dtype=object), time)))
    axis.set_major_formatter(ticker.FixedFormatter(labels))
    axis.set_label_text(f"{calendar} calendar")


def with_gaps(t: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and values (time first) with missing values where a regular series skips times."""
    steps = np.diff(t)
    if steps.size < 2:
        return t, values
    usual = float(np.median(steps))
    if np.mean(np.abs(steps - usual) <= 0.2 * usual) < 0.8:
        return t, values
    gaps = np.flatnonzero(steps > _GAP * usual)
    added = np.concatenate([t[gaps] + usual, t[gaps + 1] - usual])
    order = np.argsort(np.concatenate([t, added]), kind="stable")
    holes = np.full((added.size, *values.shape[1:]), np.nan)
    return np.concatenate([t, added])[order], np.concatenate([values, holes])[order]


def day_of_year(time: xr.DataArray, length: int) -> np.ndarray:
    """Day of the year of each date, as a climatology of this length counts.

    With 366 days, as in ``oceankit.anomaly``, days are those of a leap year: 1 March is always 61. With 365 or 360 the
    calendar must have years of that length.
    """
    month, day = time.dt.month.values, time.dt.day.values
    if length == 366:
        before = np.cumsum([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30])
        return before[month - 1] + day
    if length == {"360_day": 360, "noleap": 365, "365_day": 365}.get(_calendar(time)):
        return time.dt.dayofyear.values
    raise ValueError(
        f"a climatology of {length} days does not fit the calendar {_calendar(time)!r} of {time.name!r}; "
        "give one of 366 days, or select it at the times of the series"
    )
